"""Nothing is lost: runs that were killed, interrupted or ran out of room go on to the weights of one that never was."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from textcls.artifact import read_artifact
from textcls.config import Config
from textcls.errors import InputError, TextclsError, TrainingError
from textcls.training import EpochEnd, Event, Note, Progress, clock, optimizer, run_log, train
from textcls.training.checkpoint_file import write_checkpoint
from textcls.training.step import Step

WORDS = tuple(f"word{number}" for number in range(30))


class KilledError(Exception):
    """What a report raises in the place of a process that dies."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "data.csv")


def write_data(path: Path, rows: int = 80, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    lines = [f"{' '.join(draw.choice(WORDS, draw.integers(1, 9)))},{'ab'[row % 2]}" for row in range(rows)]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


def config(data: Path, **changes: Any) -> Config:
    sizes = {
        "model.embedding_size": 4,
        "model.hidden_size": 4,
        "model.pooling": "final",
        "model.ngram_slots": 0,
        "training.metric": "macro_f1",
        "training.epoch_steps": 1,
        "training.batch_size": 8,
        "training.epochs": 4,
        "training.learning_rate": 2e-3,
    }
    often = {"training.threads": 1, "training.checkpoint_minutes": 1e-9, "data.validation_share": 0.25}
    return Config().replace({"data.train": str(data)} | sizes | often | changes)


@pytest.fixture(autouse=True)
def _a_checkpoint_after_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_REPORT_SECONDS", 0)


def killed_at(number: int, kind: type = Progress) -> Any:
    """A report that dies at an event of a kind, which is lost."""
    seen: list[Event] = []

    def report(event: Event) -> None:
        seen.extend([event] if isinstance(event, kind) else [])
        if len(seen) == number:
            raise KilledError

    return report


def model_of(folder: Path) -> str:
    return read_artifact(folder / "model").fingerprint  # over weights, vocabulary, labels and calibration


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The events of a log but for notes and what depends on time."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    timed = ("tokens_per_second", "seconds", "seconds_left")
    return [{k: v for k, v in line.items() if k not in timed} for line in lines if line["event"] != "Note"]


CASES: dict[str, dict[str, Any]] = {
    "lstm": {},
    "gru": {"model.cell": "gru", "model.layers": 2, "training.average": 0},
    "two threads": {"training.threads": 2, "training.patience": 1, "training.epochs": 6},
    "frozen": {"training.freeze_embeddings": True, "data.validation_share": 0.0},
    "epochs of other lengths": {"training.batch_tokens": 20, "training.epoch_steps": 20, "training.keep": "best"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_is_the_run_that_never_ended(case: str, data: Path, tmp_path: Path) -> None:
    settings = config(data, **CASES[case])
    train(settings, tmp_path / "whole")
    for number, (at, kind) in enumerate([(3, Progress), (9, Progress), (1, EpochEnd), (4, Progress)]):
        with pytest.raises(KilledError):
            train(settings, tmp_path / "resumed", resume=number > 0, report=killed_at(at, kind))
    torch.manual_seed(99)  # what the process drew before does not matter
    train(settings, tmp_path / "resumed", resume=True)
    assert model_of(tmp_path / "resumed") == model_of(tmp_path / "whole")
    assert log_of(tmp_path / "resumed") == log_of(tmp_path / "whole")
    assert {path.name for path in (tmp_path / "resumed").iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


@pytest.mark.slow
def test_the_last_two_are_kept_and_a_damaged_one_is_passed_over(data: Path, tmp_path: Path) -> None:
    train(config(data), tmp_path / "whole")
    with pytest.raises(KilledError):
        train(config(data), tmp_path / "run", report=killed_at(6))
    before, last = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert (before.name, last.name) == ("000001-000000004.pt", "000001-000000005.pt")
    last.write_bytes(last.read_bytes()[:5000])
    for torn in (
        "checkpoints/.000001-000000006.pt.0123abcd.part.pt",
        ".config.yaml.0123abcd.part.yaml",
    ):  # as SIGKILL leaves them
        (tmp_path / "run" / torn).write_bytes(b"half")
    train(config(data), tmp_path / "run", resume=True)
    assert model_of(tmp_path / "run") == model_of(tmp_path / "whole")
    assert not (tmp_path / "run" / "checkpoints").exists()  # the run is over
    assert not list((tmp_path / "run").glob(".*"))


def test_a_damaged_byte_changes_no_weight_and_is_told(data: Path, tmp_path: Path) -> None:
    train(config(data), tmp_path / "whole")
    with pytest.raises(KilledError):
        train(config(data), tmp_path / "run", report=killed_at(6))
    last = max((tmp_path / "run" / "checkpoints").iterdir())
    with last.open("rb") as file:
        file.readline()
        weights = torch.load(file, weights_only=True)["state"]["network"]["classifier.weight"].numpy().tobytes()
    changed = last.read_bytes().replace(weights, bytes([weights[0] ^ 1]) + weights[1:])
    assert changed != last.read_bytes()
    last.write_bytes(changed)
    events: list[Event] = []
    train(config(data), tmp_path / "run", resume=True, report=events.append)
    assert events[0] == Note("checkpoints/000001-000000005.pt is damaged: going on from the one before it")
    assert model_of(tmp_path / "run") == model_of(tmp_path / "whole")


def test_a_checkpoint_with_other_content_is_one_line_and_nothing_is_written(data: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(config(data), tmp_path / "run", report=killed_at(6))
    last = max((tmp_path / "run" / "checkpoints").iterdir())
    with last.open("rb") as file:
        file.readline()
        content = torch.load(file, weights_only=True)
    for name, said in (("network", r"network.embedding.weight is not float32 \[\d+, 4\]"), ("plain", "step")):
        state = dict(content["state"])
        if name == "network":
            state[name] = {key: tensor.double() for key, tensor in state[name].items()}
        else:
            state[name] = json.dumps(json.loads(state[name]) | {"step": 10**9})
        write_checkpoint(last, {**content, "state": state})
        before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
        with pytest.raises(InputError, match=rf"000005.pt: is no checkpoint of this run: .*{said}.*; remove it") as caught:
            train(config(data), tmp_path / "run", resume=True)
        assert "\n" not in str(caught.value)
        assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("left", ["nothing", "all but the checkpoint", "half a checkpoint", "half the settings"])
def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(left: str, data: Path, tmp_path: Path) -> None:
    train(config(data), tmp_path / "whole")
    folder = tmp_path / "run"
    folder.mkdir()
    if left == "half the settings":
        (folder / ".config.yaml.0123abcd.part.yaml").write_bytes(b"half")
    elif left != "nothing":
        (folder / "checkpoints").mkdir()
        for name in ("config.yaml", "splits.json", "log.jsonl"):
            (folder / name).write_bytes((tmp_path / "whole" / name).read_bytes()[:30])
    if left == "half a checkpoint":
        (folder / "checkpoints" / ".000001-000000001.pt.0123abcd.part.pt").write_bytes(b"half")
    events: list[Event] = []
    train(config(data), folder, resume=True, report=events.append)
    assert events[0] == Note("the run that was here had no checkpoint yet: training starts from the beginning")
    assert model_of(folder) == model_of(tmp_path / "whole")
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


@pytest.mark.parametrize("kept", ["mine.txt", "model", "metrics.json", "checkpoints/mine.txt"])
def test_a_folder_that_holds_something_else_is_no_run_to_start_again(kept: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / kept).write_text("mine")
    with pytest.raises(InputError, match=r"holds no checkpoint to go on from; train anew, with --force"):
        train(config(data), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / kept).read_text() == "mine"


def test_checkpoints_execute_nothing(data: Path, tmp_path: Path) -> None:
    """A pickle that would run code counts as damaged."""

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    with pytest.raises(KilledError):
        train(config(data), tmp_path / "run", report=killed_at(2))
    (path,) = (tmp_path / "run" / "checkpoints").iterdir()
    torch.save({"version": 1, "state": Evil()}, path)
    with pytest.raises(InputError, match=r"holds no checkpoint to go on from; train anew, with --force"):
        train(config(data), tmp_path / "run", resume=True)
    assert not (tmp_path / "executed").exists()


def test_a_run_killed_behind_an_early_end_goes_on(data: Path, tmp_path: Path) -> None:
    settings = config(data, **{"training.keep": "best", "training.patience": 1, "training.epochs": 30})
    train(settings, tmp_path / "whole")

    def report(event: Event) -> None:
        if isinstance(event, Note) and event.text.startswith("stopped after epoch"):
            raise KilledError

    with pytest.raises(KilledError):
        train(settings, tmp_path / "run", report=report)
    train(settings, tmp_path / "run", resume=True)
    assert model_of(tmp_path / "run") == model_of(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_and_on(data: Path, tmp_path: Path) -> None:
    train(config(data), tmp_path / "whole")
    events: list[Event] = []

    def press(event: Event) -> None:
        events.append(event)
        if sum(isinstance(one, Progress) for one in events) == 3:
            signal.raise_signal(signal.SIGINT)

    assert train(config(data), tmp_path / "run", report=press).interrupted
    assert (tmp_path / "run" / "model" / "labels.json").is_file()
    assert not train(config(data), tmp_path / "run", resume=True).interrupted
    assert model_of(tmp_path / "run") == model_of(tmp_path / "whole")
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


def test_a_finished_run_says_so(data: Path, tmp_path: Path) -> None:
    train(config(data, **{"training.epochs": 1}), tmp_path / "run")
    with pytest.raises(InputError, match=r"run: training is finished, there is nothing to resume; --from .*run/model starts"):
        train(config(data), tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="nowhere: there is no such run to resume"):
        train(config(data), tmp_path / "nowhere", resume=True)


def test_changed_settings_and_data_are_refused_by_name(tmp_path: Path) -> None:
    data, vectors = write_data(tmp_path / "data.csv"), tmp_path / "tiny.txt"
    vectors.write_text("word1 1 2 3 4\nword2 3 4 5 6\n")
    settings = config(data, **{"text.vectors": str(vectors)})
    with pytest.raises(KilledError):
        train(settings, tmp_path / "run", report=killed_at(2))

    def refused(message: str, **changes: Any) -> None:
        with pytest.raises(InputError, match=message) as caught:
            train(settings.replace(changes), tmp_path / "run", resume=True)
        assert "\n" not in str(caught.value)

    refused(r"run: cannot be resumed, for training.epochs was 4, is 9; put it back", **{"training.epochs": 9})
    refused(r"for data.split_seed was 0, is 1; model.layers was 1, is 2;", **{"data.split_seed": 1, "model.layers": 2})
    vectors.write_text("word1 1 2 3 4\nword2 3 4 5 7\n")
    refused(r"for text.vectors.sha256 was")
    write_data(data, seed=1)
    refused(r"for data.train.data.csv \(SHA-256\) was \"[0-9a-f]{64}\", is \"[0-9a-f]{64}\"; put it back")
    write_data(data)
    vectors.write_text("word1 1 2 3 4\nword2 3 4 5 6\n")
    train(settings.replace({"training.checkpoint_minutes": 3}), tmp_path / "run", resume=True)  # which changes no weight


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint_before(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(data), tmp_path / "whole")
    calls: list[int] = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            TrainingError,
            match=r"checkpoints: the checkpoint cannot be written: No space left on device; make room, then go on",
        ):
            train(config(data), tmp_path / "run")
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2  # and nothing half-written
    train(config(data), tmp_path / "run", resume=True)
    assert model_of(tmp_path / "run") == model_of(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("model_fits", [False, True])
@pytest.mark.parametrize("moment", ["the log", "within the first epoch", "at its end"])
def test_a_disk_that_is_full_before_the_first_checkpoint(
    moment: str, model_fits: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the message advises leads to the model of a run that was never interrupted."""
    settings = config(data, **({"training.checkpoint_minutes": 10} if moment == "at its end" else {}))
    train(settings, tmp_path / "whole")
    folder = tmp_path / "run"

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if moment == "the log":
            patch.setattr("textcls.training.run_log._open_log", lambda *_: Path("/dev/full").open("w"))  # noqa: SIM115
        patch.setattr(os, "fsync", full)  # of a checkpoint
        if not model_fits:
            patch.setattr("textcls.training.run.write_files", full)  # the model of the first epoch, which is whole
        with pytest.raises(TrainingError, match=r": No space left on device; make room, then ") as caught:
            train(settings, folder)
    resume, force = (option in str(caught.value) for option in ("--resume", "--force"))
    assert resume != force
    train(settings, folder, resume=resume, force=force)
    assert model_of(folder) == model_of(tmp_path / "whole")
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of a process")
@pytest.mark.slow
def test_a_checkpoint_that_the_disk_does_not_take_is_one_line(data: Path, tmp_path: Path) -> None:
    """Where a write fails within `torch.save`, torch's own error hides the system's."""
    import resource

    before, settings = resource.getrlimit(resource.RLIMIT_FSIZE), config(data, **{"training.checkpoint_minutes": 10})
    train(settings, tmp_path / "whole")

    def shrink(event: Event) -> None:
        if isinstance(event, EpochEnd) and event.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, before[1]))  # less than a checkpoint, more than a log

    try:
        with pytest.raises(TrainingError, match=r"checkpoints: the checkpoint cannot be written: File too large; make room"):
            train(settings, tmp_path / "run", report=shrink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    train(settings, tmp_path / "run", resume=True)
    assert model_of(tmp_path / "run") == model_of(tmp_path / "whole")


CANNOT = {
    "000005.pt: cannot be read: Input/output error": OSError(errno.EIO, os.strerror(errno.EIO)),
    "out of memory for the checkpoint .*000005.pt: close other": RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you"
    ),
}


@pytest.mark.parametrize("message", CANNOT)
def test_a_checkpoint_that_cannot_be_read_just_now_is_kept(
    message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KilledError):
        train(config(data), tmp_path / "run", report=killed_at(6))

    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise CANNOT[message]

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", refuse)
        with pytest.raises(TextclsError, match=message):
            train(config(data), tmp_path / "run", resume=True)
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    train(config(data), tmp_path / "run", resume=True)


def test_without_a_whole_checkpoint_nothing_is_removed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"checkpoints: holds no checkpoint to go on from; train anew"):
        train(config(data), tmp_path / "run", resume=True)
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / "000001-000000004.pt").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"checkpoints: holds no checkpoint to go on from; train anew"):
        train(config(data), tmp_path / "run", resume=True)
    assert [path.read_bytes() for path in (tmp_path / "run" / "checkpoints").iterdir()] == [b"damaged"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_log_on_a_full_disk_is_one_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KilledError):
        train(config(data), tmp_path / "run", report=killed_at(2))
    real = run_log._open_log
    monkeypatch.setattr(run_log, "_open_log", lambda *_: real(Path("/dev/full"), None))
    with pytest.raises(TrainingError, match=r"log.jsonl: cannot be written: No space left on device"):
        train(config(data), tmp_path / "run", resume=True)


FAILURES = {
    "the loss became nan in epoch 3, step 2: lower training.learning_rate": None,
    "out of memory in epoch 3, step 2: lower training.batch_size, text.max_tokens or model.hidden_size": torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB"
    ),
    "out of memory in epoch 3, step 2: lower": RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you"),
}


@pytest.mark.parametrize("message", FAILURES)
def test_a_failure_is_one_line_and_keeps_the_best_model(
    message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(data, **{"training.metric": "log_loss"})
    error, real, steps = FAILURES[message], Step.__call__, iter(range(1, 999))

    def fails(*arguments: Any) -> torch.Tensor:
        loss = real(*arguments)
        if next(steps) < 18:  # the second step of the third epoch
            return loss
        if error is None:
            return loss * torch.nan
        raise error

    ends: list[EpochEnd] = []
    monkeypatch.setattr(Step, "__call__", fails)
    with pytest.raises(TrainingError, match=f"^{message}.*; the best model so far is in .*model$") as caught:
        train(settings, tmp_path / "run", report=lambda event: ends.append(event) if isinstance(event, EpochEnd) else None)
    assert caught.value.exit_code == 1
    assert len(ends) == 2
    log_loss = read_artifact(tmp_path / "run" / "model").metrics["validation"]["log_loss"]
    assert log_loss <= min(end.metrics["log_loss"] for end in ends) + 1e-6  # calibrated, so it may be better


@pytest.mark.parametrize("weight", [3e38, float("nan")])
def test_weights_that_the_last_step_of_an_epoch_spoils_are_not_kept(
    weight: float, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is looked at before the step, so the next look would come too late."""
    real, steps = optimizer.Optimizer.step, iter(range(1, 999))

    def spoils(self: optimizer.Optimizer, *arguments: Any) -> None:
        if next(steps) == 16:  # the last one of the second epoch
            for tensor in self._weights:
                tensor.data.fill_(weight)
        real(self, *arguments)

    monkeypatch.setattr(optimizer.Optimizer, "step", spoils)
    settings = config(data, **{"training.average": 0})
    what = "the logits of validation rows" if weight == 3e38 else "the weights"
    with pytest.raises(
        TrainingError, match=rf"^{what} are no longer finite numbers.*: lower training.learning_rate; the best model so far is"
    ):
        train(settings, tmp_path / "run")
    assert read_artifact(tmp_path / "run" / "model").metrics["validation"]["rows"] == 20


@pytest.mark.slow
def test_a_run_killed_while_n_grams_are_fitted_goes_on_and_tells_what_it_did(data: Path, tmp_path: Path) -> None:
    def report(event: Event) -> None:
        if isinstance(event, Note) and event.text.startswith("n-grams"):
            raise KilledError

    with pytest.raises(KilledError):
        train(config(data, **{"model.ngram_slots": 128}), tmp_path / "run", report=report)
    train(config(data, **{"model.ngram_slots": 64}), tmp_path / "run", resume=True)
    assert "ngram_slots: 64" in (tmp_path / "run" / "config.yaml").read_text()
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert "going on from the last checkpoint" in log
    assert "64 slots" in log
    assert "128 slots" not in log  # which came behind the last checkpoint


def test_another_error_is_not_explained_away(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Step, "__call__", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train(config(data), tmp_path / "run")


def test_the_threads_are_those_of_the_first_process(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(data, **{"training.threads": None})
    with pytest.raises(KilledError):
        train(settings, tmp_path / "run", report=killed_at(2))
    monkeypatch.setattr(sys.modules["textcls.training.fit"], "available_cores", lambda: 61)  # `fit` is a function too
    notes: list[str] = []
    train(settings, tmp_path / "run", resume=True, report=lambda e: notes.append(e.text) if isinstance(e, Note) else None)
    assert notes[0] == "going on from the last checkpoint"
    assert not any("threads: 61" in note for note in notes)


# --- killed from outside

KILLS = 20


def trained_in_a_process(data: str, folder: str, resume: bool, said: Connection, torn_write: int) -> None:
    """Train, saying a byte at each event; stall in the middle of the write with a given number."""
    clock._REPORT_SECONDS = 0
    real, writes = torch.save, iter(range(1, 10_000))

    def save(content: Any, file: Any) -> None:
        real(content, file)
        if next(writes) == torn_write:
            file.truncate(file.tell() // 2)
            file.flush()
            said.send_bytes(b"t")
            time.sleep(600)

    torch.save = save  # type: ignore[assignment]
    settings = config(Path(data), **{"training.epochs": 60, "training.patience": 60})
    train(settings, folder, resume=resume, report=lambda _event: said.send_bytes(b"e"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_twenty_times_it_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(int.from_bytes(os.urandom(4), "big"))
    context = multiprocessing.get_context("forkserver")  # torch is imported once
    context.set_forkserver_preload(["textcls.training", "textcls.evaluation.plots", __name__])

    def started(folder: str, resume: bool, torn_write: int) -> tuple[Any, Connection]:
        here, there = context.Pipe(duplex=False)
        arguments = (str(data), str(tmp_path / folder), resume, there, torn_write)
        process = context.Process(target=trained_in_a_process, args=arguments)
        process.start()
        there.close()
        return process, here

    def events(said: Connection) -> Iterator[bytes]:
        while True:
            try:
                yield said.recv_bytes()
            except EOFError:
                return

    for number in range(KILLS):
        torn = int(draw.integers(1, 9)) if number % 4 == 1 else 0
        process, said = started("killed", any((tmp_path / "killed").glob("*")), torn)
        after = int(draw.integers(1, 25))
        for seen, what in enumerate(events(said), start=1):
            if what == b"t" or (not torn and seen == after):
                break
        time.sleep(draw.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        said.close()
    for folder, resume in (("killed", True), ("whole", False)):
        process, said = started(folder, resume, 0)
        assert sum(1 for _ in events(said)) > 0
        process.join()
        assert process.exitcode == 0
        said.close()
    assert model_of(tmp_path / "killed") == model_of(tmp_path / "whole")
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    assert not (tmp_path / "killed" / "checkpoints").exists()
