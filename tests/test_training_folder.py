"""The folder of a run: one process at a time."""

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
from textcls.training.folder import held

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
