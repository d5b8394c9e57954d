"""The folder of a run: one process at a time, and nothing outside of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from textcls.config import Config
from textcls.errors import InputError
from textcls.training import Event, Progress, train
from textcls.training.folder import WRITTEN, check_links, held

OPTIONS: tuple[dict[str, Any], ...] = ({}, {"force": True}, {"resume": True})
needs_locks = pytest.mark.skipif(os.name != "posix", reason="such locks are POSIX's")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("data") / "data.csv"
    path.write_text("text,label\n" + "good film,a\nbad film,b\n" * 10)
    quick = {"model.hidden_size": 4, "model.embedding_size": 4, "model.ngram_slots": 0, "training.threads": 1}
    return Config().replace({"data.train": str(path), "training.epochs": 1, "training.epoch_steps": 1} | quick)


# --- one process at a time


@needs_locks
def test_a_folder_that_another_holds_is_refused_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with held(folder):
        with pytest.raises(InputError) as caught, held(folder):
            pass
        assert folder.is_dir()
    who = f"process {os.getpid()}" if sys.platform == "linux" else "another process"
    assert str(caught.value) == f"{folder}: {who} is at work in it; wait for its end, or name another --run"
    with held(folder), held(tmp_path / "other"):
        pass


@needs_locks
def test_a_folder_that_was_made_is_gone_where_nothing_was_put_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a" / "b"
    with held(folder):
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
    with held(folder):
        (folder.parent / "mine").touch()
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == ["mine"]
    folder.mkdir()
    with held(folder):
        pass
    assert folder.is_dir()  # it was there
    with held(tmp_path / "nowhere", make=False):
        assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"run: the run folder cannot be made: .*file is a file"),
        held(tmp_path / "file" / "run"),
    ):
        pass


HOLDS = """
import sys, time
from pathlib import Path
from textcls.training.folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@needs_locks
@pytest.mark.slow
def test_the_lock_ends_with_a_killed_process(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        who = f"process {process.pid}" if sys.platform == "linux" else "another process"
        for options in OPTIONS:
            with pytest.raises(InputError, match=f"run: {who} is at work in it; wait for its end, or name another --run"):
                train(config, folder, **options)
        process.send_signal(signal.SIGKILL)
    assert list(folder.iterdir()) == []
    train(config, folder)
    with held(folder, make=False):
        pass


def hold_often(folder: Path, inside: Path, times: int) -> None:
    """Hold a folder that nobody keeps, again and again; two at once would both make one file."""
    done = 0
    while done < times:
        with suppress(InputError), held(folder):
            inside.touch(exist_ok=False)
            time.sleep(0.001)
            inside.unlink()
            done += 1


@needs_locks
@pytest.mark.slow
def test_of_processes_that_make_a_folder_at_once_one_holds_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (tmp_path / "runs" / "run", tmp_path / "inside", 300)
    processes = [context.Process(target=hold_often, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@needs_locks
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_second_run_into_a_folder_is_refused_while_the_first_trains(
    options: dict[str, Any], config: Config, tmp_path: Path
) -> None:
    refusals: list[InputError] = []

    def report(event: Event) -> None:
        if isinstance(event, Progress) and not refusals:
            before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
            with pytest.raises(InputError, match=r"run: .*process.* is at work in it") as caught:
                train(config, tmp_path / "run", **options)
            refusals.append(caught.value)
            assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before

    train(config, tmp_path / "run", report=report)
    assert len(refusals) == 1
    assert (tmp_path / "run" / "model" / "labels.json").is_file()


# --- nothing outside of it


def contents(folder: Path) -> dict[Path, Any]:
    return {path: path.is_symlink() or (path.is_file() and path.read_bytes()) for path in folder.rglob("*")}


PLACES = [
    *WRITTEN,
    *("checkpoints/000001-000000001.pt", "checkpoints/other", "tensorboard/events.out.tfevents.1", "tensorboard/other"),
    *(".model.0123abcd.old", ".log.jsonl.0123abcd.part.jsonl", "checkpoints/.x.pt.0123abcd.part.pt"),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_link_in_a_run_folder_is_refused_before_anything_is_written(place: str, config: Config, tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    (outside / "checkpoints").mkdir(parents=True)
    (outside / "file").write_text("mine")
    (outside / "000001-000000001.pt").write_text("mine")
    (run / place).parent.mkdir(parents=True)
    for target in (outside, outside / "file", outside / "nothing"):
        (run / place).symlink_to(target)
        before = contents(tmp_path)
        for options in OPTIONS:
            with pytest.raises(InputError) as caught:
                train(config, run, **options)
            assert str(caught.value) == (
                f"{run / place}: is a symbolic link: what is written there would land elsewhere; remove it, or name another --run"
            )
            assert contents(tmp_path) == before
        (run / place).unlink()


def test_links_elsewhere_are_left_alone(config: Config, tmp_path: Path) -> None:
    """The run folder itself may be one, and what a user keeps in it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    (tmp_path / "run" / "data").symlink_to(tmp_path)
    check_links(tmp_path / "run", WRITTEN)
    train(config, tmp_path / "run", force=True)
    assert (tmp_path / "real" / "model" / "labels.json").is_file()
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "real" / "data").is_symlink()


def test_a_link_that_appears_while_the_data_are_read_is_refused(config: Config, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("mine")

    def report(_event: Event) -> None:
        if not (tmp_path / "run" / "log.jsonl").is_symlink():
            (tmp_path / "run" / "log.jsonl").symlink_to(tmp_path / "mine")

    with pytest.raises(InputError, match=r"log\.jsonl: is a symbolic link"):
        train(config, tmp_path / "run", force=True, report=report)
    assert (tmp_path / "mine").read_text() == "mine"
