"""Fixtures that several files of tests share."""

from __future__ import annotations

import csv
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, however busy the machine: a test that fails here fails everywhere.
settings.register_profile("textcls", deadline=None, derandomize=True)
settings.load_profile("textcls")

# As the command line does: threads that wait sleep, so that tests are quick where other processes share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell's job in the background and `nohup` have these signals ignored, and hand that down to what the tests start and interrupt.
if threading.current_thread() is threading.main_thread():
    for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (getattr(signal, "SIGHUP", None), signal.SIG_DFL)):
        if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
            signal.signal(_number, _handler)

_SUBJECTS = {
    "sport": ("the team", "a striker", "our coach", "the goalkeeper"),
    "money": ("the bank", "a trader", "our budget", "the market"),
    "science": ("the telescope", "a virus", "our galaxy", "the molecule"),
}
_ENDS = ("was seen today", "made news again", "surprised everyone", "is doing well", "has lost ground", "looks stronger")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTCLS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_vectors_on_this_machine() -> Iterator[None]:
    """What lies on the machine that tests run on changes no test: `text.vectors: auto` finds nothing, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textcls.training.prepare.on_this_machine", lambda: None)
        yield


@dataclass(frozen=True)
class TinyRun:
    """A run that took a second, and its data.

    Attributes:
        folder: The run folder.
        model: The model folder in it.
        train: csv with `text` and `label`, 72 rows, three labels: money, science, sport.
        test: csv of the same kind, 9 rows.
    """

    folder: Path
    model: Path
    train: Path
    test: Path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A tiny model, trained once for all tests; no test may change its files."""
    from textcls.config import Config
    from textcls.training import train

    folder = tmp_path_factory.mktemp("tiny")
    rows = [(f"{subject} {end}", label) for label, some in _SUBJECTS.items() for subject in some for end in _ENDS]
    new = [
        (f"{subject} {end}", label) for label, some in _SUBJECTS.items() for subject, end in zip(some, TINY_ENDS, strict=False)
    ]
    write_csv(folder / "train.csv", rows)
    write_csv(folder / "test.csv", new)
    config = Config().replace(
        {
            "data.train": str(folder / "train.csv"),
            "data.test": str(folder / "test.csv"),
            "data.validation_share": 0.2,
            "model.hidden_size": 8,
            "model.embedding_size": 8,
            "model.ngram_slots": 0,
            "training.epoch_steps": 1,
            "training.epochs": 2,
            "training.threads": 1,
        }
    )
    train(config, folder / "run")
    return TinyRun(folder / "run", folder / "run" / "model", folder / "train.csv", folder / "test.csv")


@pytest.fixture(scope="session")
def tiny_onnx(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as one file; no test may change it."""
    from textcls.artifact import read_artifact
    from textcls.inference.graph import build_graph

    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    path.write_bytes(build_graph(read_artifact(tiny_run.model)).SerializeToString(deterministic=True))
    return path


TINY_ENDS = ("is back", "won twice", "stands still")


def write_csv(path: Path, rows: list[tuple[str, str]]) -> None:
    """Write rows under the names `text` and `label`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
