"""Damaged and hostile checkpoints: passed over or refused in one line, and never other weights."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from textcls.config import ModelSettings, TrainingSettings
from textcls.errors import InputError
from textcls.model import Network
from textcls.text import Encoded
from textcls.training import clock
from textcls.training.batches import LabelledSplit
from textcls.training.checkpoint import Checkpoints, TrainingState
from textcls.training.checkpoint_file import VERSION, write_checkpoint
from textcls.training.events import EpochEnd
from textcls.training.loop import Context, training_loop
from textcls.training.optimizer import Optimizer

SETTINGS = TrainingSettings(batch_size=4, epoch_steps=1, epochs=4, patience=3, keep="best", metric="accuracy", threads=1)
EPOCH, STEP = 3, 2  # of the last checkpoint: there are best weights
NESTED = json.loads("[" * 500 + "]" * 500)


def split(rows: int) -> LabelledSplit:
    lengths = np.arange(rows) % 3 + 1
    ids = np.random.default_rng(0).integers(1, 9, lengths.sum()).astype(np.int32)
    no = np.zeros(rows, bool)
    return LabelledSplit(Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]), no, no), np.arange(rows) % 2, ("a", "b"))


TRAIN, VALIDATION = split(12), split(6)


def network() -> Network:
    torch.manual_seed(0)
    return Network(ModelSettings(embedding_size=2, hidden_size=2, ngram_slots=0, pooling="final"), 9, 2)


def fresh() -> TrainingState:
    own = network()
    return TrainingState(own, Optimizer(own, SETTINGS), np.random.default_rng(SETTINGS.seed), loss=torch.zeros(()))


@dataclass(frozen=True)
class Left:
    """What a run that was killed left.

    Attributes:
        folder: With two checkpoints.
        contents: What the last one holds, as torch reads it.
        states: What each leads to, the last one last.
    """

    folder: Path
    contents: dict[str, Any]
    states: tuple[Any, Any]

    @property
    def last(self) -> Path:
        return self.folder / f"{EPOCH:06}-{STEP:09}.pt"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoints, history = Checkpoints(folder, 1e-9), list[dict[str, Any]]()
    checkpoints.record = lambda: {"history": history, "bytes": 7}
    about: dict[str, Any] = {"settings": {"training": {"epochs": 4}}, "text.vectors": {"name": "v", "sha256": None}}
    for name, value in about.items():
        checkpoints.expect(name, value)
    checkpoints.settled("threads", 1)
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(clock, "_REPORT_SECONDS", 0)
        for event in training_loop(network(), TRAIN, VALIDATION, SETTINGS, Context(checkpoints)):
            if isinstance(event, EpochEnd):
                history.append({"epoch": event.epoch, "best": event.best, "train_loss": event.train_loss, **event.metrics})
            elif getattr(event, "epoch", 0) == EPOCH and getattr(event, "step", 0) == STEP + 1:
                break
    last = max(folder.iterdir())
    assert last.name == f"{EPOCH:06}-{STEP:09}.pt"
    data = last.read_bytes()
    last.unlink()
    states = [outcome(folder)]
    last.write_bytes(data)
    states.append(outcome(folder))
    assert states[0] != states[1]
    with last.open("rb") as file:
        file.readline()
        return Left(folder, torch.load(file, weights_only=True), (states[0], states[1]))


def outcome(folder: Path) -> Any:
    """Go on from the checkpoints of a folder; return all that weights to come depend on."""
    checkpoints = Checkpoints(folder)
    record = checkpoints.resume()
    assert (type(record["bytes"]), type(record["history"])) == (int, list)  # which a log goes on from
    checkpoints.expect("settings", {"training": {"epochs": 4}})
    assert checkpoints.settled("threads", 1) in range(1, 1025)
    state = fresh()
    with torch.random.fork_rng():
        checkpoints.restore(state, SETTINGS, TRAIN.encoded.lengths, choosing=True)
        found = state.to_dict()
    plain = json.loads(found.pop("plain"))
    del plain["clock"]
    return plain | {name: bits(value) for name, value in found.items()}


def bits(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: bits(one) for key, one in value.items()}
    return [bits(one) for one in value] if isinstance(value, list) else value


def refused(folder: Path) -> str:
    """Go on from what must be refused; return the message."""
    with pytest.raises(InputError) as caught:
        outcome(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def copied(left: Left, tmp_path: Path) -> Left:
    return Left(Path(shutil.copytree(left.folder, tmp_path / "checkpoints")), left.contents, left.states)


def test_whole_checkpoints_are_what_the_run_left(copied: Left) -> None:
    assert outcome(copied.folder) == copied.states[1]
    write_checkpoint(copied.last, copied.contents)
    assert outcome(copied.folder) == copied.states[1]


# --- damaged


def damaged(data: bytes, draw: np.random.Generator) -> bytes:
    """Return the bytes of a file with one damage."""
    start, length = int(draw.integers(len(data))), int(draw.integers(1, 600))
    if draw.random() < 0.2:
        start = int(draw.integers(120))  # the line with the sum, and what torch begins with
    kind = draw.integers(7)
    if kind < 3:
        return data[:start] + bytes([data[start] ^ (1 << int(draw.integers(8)))]) + data[start + 1 :]
    if kind == 3:
        return data[:start]
    if kind == 4:
        return data[:start] + draw.bytes(length) + data[start:]
    if kind == 5:
        return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]
    return data[:start] + data[start + length :]


@pytest.mark.parametrize("damages", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_damaged_one_is_passed_over(damages: int, copied: Left) -> None:
    draw, data = np.random.default_rng(damages), copied.last.read_bytes()
    for _ in range(damages):
        changed = damaged(data, draw)
        copied.last.write_bytes(changed)
        checkpoints = Checkpoints(copied.folder)
        checkpoints.resume()
        assert checkpoints.damaged == ([] if changed == data else [copied.last])
    assert outcome(copied.folder) == copied.states[0]


def test_torchs_own_bytes_without_the_sum_are_a_damaged_file(copied: Left) -> None:
    torch.save({"version": VERSION, **{k: v for k, v in copied.contents.items() if k != "version"}}, copied.last)
    assert outcome(copied.folder) == copied.states[0]


@pytest.mark.parametrize(("version", "shown"), [(1, "1"), (3, "3"), (5, "5"), (10**30, "unknown"), (-1, "unknown")])
def test_another_format_is_refused_in_one_line(copied: Left, version: int, shown: str) -> None:
    message = f"{copied.last}: is a checkpoint of format {shown}; this textcls goes on from format 4 alone"
    assert write_summed(copied.last, {**copied.contents, "version": version})
    assert refused(copied.folder) == message
    if version < 3:  # they had no sum
        torch.save({**copied.contents, "version": version}, copied.last)
        assert refused(copied.folder) == message


def test_what_is_no_file_is_refused(copied: Left) -> None:
    copied.last.unlink()
    copied.last.mkdir()
    assert ": is no file; remove it, and --resume goes on from the one before" in refused(copied.folder)


# --- hostile: another content under a right sum

WHOLE: tuple[Any, ...] = (None, True, -1, 10**9, 10**30, 0.5, float("nan"), "1", [], {}, [[1]])
OTHERS: dict[str, tuple[Any, ...]] = {
    "int": WHOLE,
    "float": (None, True, -1, -0.5, 10**30, float("inf"), float("nan"), "1", [], {}),
    "bool": (None, 0, 1, 2, "true", [], {}),
    "str": (None, True, 1, [], {}, "x"),
    "NoneType": (True, 7, [], {}, "x"),
    "dict": (None, True, 1, [], [1, 2], {}, "x", {"x": 1}),
    "list": (None, True, 1, {}, "x", [], [[]] * 9),
}


def other_tensors(tensor: Tensor) -> Iterator[Any]:
    """Yield what a hostile file may have in the place of a tensor."""
    yield from (None, 1, 0.5, "x", [], {}, tensor.tolist())
    yield tensor.to(torch.float64 if tensor.dtype != torch.float64 else torch.float32)
    yield tensor.to(torch.complex64)
    yield tensor.bool()
    yield tensor[None]
    yield torch.cat([tensor.reshape(-1), tensor.reshape(-1)])
    yield tensor.reshape(-1)[:0]
    yield torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    yield torch.zeros((), dtype=tensor.dtype).expand(10**9, 10**9)
    if tensor.dim() and len(tensor) > 1:
        yield torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)  # one number for all, which no step could write into
    if tensor.dim():
        yield tensor.to_sparse()
    if tensor.is_floating_point():
        yield tensor.clone().requires_grad_()
        yield torch.nn.Parameter(tensor.clone())
        for number in (torch.nan, torch.inf, -torch.inf):
            odd = tensor.clone()
            odd.view(-1)[-1] = number
            yield odd
    if tensor.dtype == torch.int64:
        yield tensor - 100
        yield tensor + 100


def edits(value: Any, put: Callable[[Any], None]) -> Iterator[tuple[Any, Callable[[], None]]]:
    """Yield what to do for each edit of a tree, with what is put there; `put` sets the tree itself."""
    others = other_tensors(value) if isinstance(value, Tensor) else OTHERS[type(value).__name__]
    for other in (*others, *([] if isinstance(value, Tensor) else [NESTED])):
        if type(other) is not type(value) or isinstance(other, Tensor) or other != value:
            yield other, lambda other=other: put(other)  # type: ignore[misc]
    if isinstance(value, dict):
        yield "another key", lambda: put({**value, "other": 1})
        for key, one in value.items():
            yield f"no {key}", lambda key=key: put({k: v for k, v in value.items() if k != key})  # type: ignore[misc]
            yield from edits(one, lambda new, key=key: put({**value, key: new}))  # type: ignore[misc]
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield f"no {number}", lambda number=number: put(value[:number] + value[number + 1 :])  # type: ignore[misc]
            yield from edits(one, lambda new, number=number: put([*value[:number], new, *value[number + 1 :]]))  # type: ignore[misc]


def hostile(contents: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield contents with one edit each, and where it is."""
    made: list[Any] = []
    for name in ("about", "record"):
        for what, do in edits(json.loads(contents[name]), made.append):
            do()
            yield f"{name}: {what}", {**contents, name: json.dumps(made.pop())}
    state = contents["state"]
    for what, do in edits(json.loads(state["plain"]), made.append):
        do()
        yield f"plain: {what}", {**contents, "state": {**state, "plain": json.dumps(made.pop())}}
    for what, do in edits(contents, made.append):
        do()
        yield f"content: {what}", made.pop()
    for text in ("", "{", "[" * 100_000, "1" * 10_000, '{"a": ' * 900 + "1" + "}" * 900, "\ud800"):
        for name in ("about", "record"):
            yield f"{name}: {text[:9]}", {**contents, name: text}
        yield f"plain: {text[:9]}", {**contents, "state": {**state, "plain": text}}


def write_summed(path: Path, content: Any) -> bool:
    """Write anything under a right sum; return whether torch does."""
    file = io.BytesIO()
    try:
        torch.save(content, file)
    except (RecursionError, NotImplementedError):
        return False
    data = file.getvalue()
    path.write_bytes(f"textcls checkpoint, SHA-256 {hashlib.sha256(data).hexdigest()}\n".encode() + data)
    return True


def in_form(found: Any) -> Any:
    """Leave out what may be any number of its range, as weights may: how the batches go on, and the best metric."""
    return {**found, "order": None, "best": found["best"] is None}


def check_hostile(left: Left, contents: Iterator[tuple[str, Any]]) -> int:
    """Go on from each of some contents; return how many were refused. The others have changed nothing that weights depend on."""
    count = 0
    for where, content in contents:
        if not write_summed(left.last, content):
            continue
        said, found = "", None
        try:
            found = outcome(left.folder)
        except InputError as error:
            said = str(error)
        if found is None:
            assert len(said.splitlines()) == 1, where
            assert len(said) < 700, where
            count += 1
        else:
            assert in_form(found) == in_form(left.states[1]), where
    return count


def test_some_hostile_ones_are_refused_in_one_line(copied: Left) -> None:
    assert check_hostile(copied, islice(hostile(copied.contents), 0, None, 61)) > 20


@pytest.mark.slow
def test_every_hostile_one_is_refused_in_one_line(copied: Left) -> None:
    assert check_hostile(copied, hostile(copied.contents)) > 1000


def test_what_torch_refuses_or_does_not_know_is_refused(copied: Left) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(copied.folder / "executed"),)

    assert write_summed(copied.last, {**copied.contents, "state": Evil()})
    assert "is no checkpoint that textcls wrote; remove it" in refused(copied.folder)
    assert not (copied.folder / "executed").exists()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1_000_000))
    for data in (packed.getvalue(), b"", b"PK", b"PK\x03\x04", pickle.dumps({"version": 3}), b"\x00" * 1000):
        copied.last.write_bytes(f"textcls checkpoint, SHA-256 {hashlib.sha256(data).hexdigest()}\n".encode() + data)
        assert "is no checkpoint that textcls wrote; remove it" in refused(copied.folder)


def test_another_name_is_another_step(copied: Left) -> None:
    copied.last.rename(copied.last.with_name("000003-000000009.pt"))
    assert "epoch and step are not those of its name" in refused(copied.folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": 6}, "epoch is not 1 to 5"),
        ({"step": 1}, "optimizer.steps is not the sum of all epochs"),
        ({"step": 4}, "step is not 0 to 3"),
        ({"epoch": 5, "step": 0}, "finished is not true in this epoch"),
        ({"finished": True}, "finished is not false in this epoch"),
        ({"epochs_without_better": 2}, "epochs_without_better is more than there were"),
        ({"best": None}, "best is there where none is, or the other way round"),
    ],
)
def test_what_cannot_be_is_refused_also_where_all_else_agrees(copied: Left, changes: dict[str, Any], said: str) -> None:
    plain = json.loads(copied.contents["state"]["plain"]) | changes
    record = json.loads(copied.contents["record"])
    record["history"] = [{**record["history"][0], "epoch": number} for number in range(1, plain["epoch"])]
    content = {**copied.contents, "record": json.dumps(record)}
    copied.last.unlink()
    write_summed(
        copied.folder / f"{plain['epoch']:06}-{plain['step']:09}.pt",
        {**content, "state": {**content["state"], "plain": json.dumps(plain)}},
    )
    assert f".pt: is no checkpoint of this run: {said}; remove it, and --resume goes on from the one before" in refused(
        copied.folder
    )
