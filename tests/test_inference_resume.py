"""Killed runs go on, and end with the bytes of a run that never was."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import pytest
from test_inference_files import Answer, ByLength, message, names_in, write

from textcls.errors import InputError
from textcls.inference.answers import Summary
from textcls.inference.files import classify_files
from textcls.inference.options import ClassifyOptions


class Stops(ByLength):
    """Fails while it scores a block, counted from 1."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.left = block

    def score(self, texts: list[str], /) -> Answer:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().score(texts)


def table(folder: Path, rows: int = 50_000) -> Path:
    """Return a table of seven blocks, of which some rows cannot be read."""
    lines = (b"\xff,%d\n" % n if n % 9000 == 5 else b"%s,%d\n" % (b"x" * (n % 11), n) for n in range(rows))
    return write(folder / "in.csv", b"text,label\n" + b"".join(lines))


def run(path: Path, output: Path, predictor: ByLength | None = None, **options: Any) -> Summary:
    return classify_files(predictor or ByLength(), [path], output, resume=True, **options)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "tsv", "csv.gz", "jsonl.zst"])
@pytest.mark.slow
def test_a_run_goes_on_behind_its_last_whole_block(tmp_path: Path, ending: str) -> None:
    path, out, whole = table(tmp_path), tmp_path / f"out.{ending}", tmp_path / f"whole.{ending}"
    rejects = [tmp_path / name for name in ("r.jsonl", "s.jsonl")]
    expected = classify_files(ByLength(), [path], whole, rejects=rejects[0])
    for block in (1, 3, 2):
        with pytest.raises(KeyboardInterrupt):
            run(path, out, Stops(block), rejects=rejects[1])
        assert not out.exists()
    predictor = ByLength()
    found = run(path, out, predictor, rejects=rejects[1])
    assert 0 < len(predictor.seen) < 6
    assert out.read_bytes() == whole.read_bytes()
    assert rejects[0].read_bytes() == rejects[1].read_bytes()
    assert (found.rows, found.errors, found.counts, found.notes) == (expected.rows, 6, expected.counts, expected.notes)
    assert [name for name in names_in(tmp_path) if name.startswith(".")] == []


def test_bytes_behind_the_last_whole_block_are_cut_off(tmp_path: Path) -> None:
    path, out, whole = table(tmp_path), tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    classify_files(ByLength(), [path], whole)
    with pytest.raises(KeyboardInterrupt):
        run(path, out, Stops(3))
    with (tmp_path / ".out.jsonl.part").open("ab") as file:
        file.write(b'{"half a r')
    run(path, out)
    assert out.read_bytes() == whole.read_bytes()


def stopped(path: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(path, out, Stops(3))


# Another value of each option, as Python takes it.
CHANGED: dict[str, Any] = {
    "format": "tsv",
    "text": "label",
    "lines": True,
    "header": False,
    "delimiter": ";",
    "quoting": "none",
    "encoding": "latin-1",
    "max_row_bytes": 1000,
    "input_format": "csv",
    "glob": "*.csv",
    "top_k": 2,
    "all_scores": True,
    "min_confidence": 0.5,
    "unsure_label": "none",
    "fast": True,
    "by": True,
    "rejects": "r.jsonl",
    "strict": True,
    "follow": True,
}


def test_every_option_decides_the_output_or_is_known_not_to() -> None:
    assert set(CHANGED) == {field.name for field in fields(ClassifyOptions)} - {"force", "resume"}
    decided = ClassifyOptions().deciding()
    for name, value in CHANGED.items():
        changed = ClassifyOptions(**{name: value}).deciding()
        assert [one for one in decided if decided[one] != changed[one]] == [name]


def refused(folder: Path, said: str, **options: Any) -> None:
    """Make sure that a run that is not the one before leaves what that one wrote, and says why it does."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before[".out.jsonl.part"].count(b"\n") > 8000
    with pytest.raises(InputError) as caught:
        run(folder / "in.csv", folder / "out.jsonl", **options)
    found = str(caught.value)
    assert found.startswith(f"{folder / 'out.jsonl'}: cannot be resumed, for {said}"), found
    assert found.endswith(f"; put it back, or delete {folder / '.out.jsonl.part'} to start anew")
    assert "\n" not in found
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_run_is_refused_and_leaves_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path)
    monkeypatch.chdir(tmp_path)
    stopped(path, tmp_path / "out.jsonl")
    for name in set(CHANGED) - {"follow", "text", "strict", "header", "delimiter", "fast", "by"}:  # which fail before
        was, now = (json.dumps(value) for value in (ClassifyOptions(format="jsonl").deciding()[name], CHANGED[name]))
        refused(tmp_path, f"{name} was {was}, is {now}; put", **{name: CHANGED[name]})
    refused(tmp_path, "text was null, is ", text="label")
    refused(tmp_path, 'the model (SHA-256) was "', predictor=Other())
    more = write(tmp_path / "more" / "more.csv", "text\nx\n")
    with pytest.raises(InputError, match=r'more.csv was null, is {"bytes": 7'):
        classify_files(ByLength(), [path, more], tmp_path / "out.jsonl", resume=True)
    more.unlink()
    more.parent.rmdir()
    stamp = path.stat()
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 10**9))
    refused(tmp_path, f'{path}.changed was "')
    path.write_bytes(path.read_bytes() + b"another,row\n")
    refused(tmp_path, f"{path}.bytes was {stamp.st_size}, is {stamp.st_size + 12}; ")


class Other(ByLength):
    record: ClassVar[dict[str, Any]] = {"labels": ["even", "odd"]}


def test_one_of_very_many_inputs_that_changed_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.inference.files._MOST_NAMED", 0)
    path, out = table(tmp_path), tmp_path / "out.jsonl"
    stopped(path, out)
    os.utime(path)
    refused(tmp_path, 'the inputs (SHA-256) was "')


def test_who_deletes_the_part_starts_anew(tmp_path: Path) -> None:
    path, out = table(tmp_path), tmp_path / "out.jsonl"
    stopped(path, out)
    (tmp_path / ".out.jsonl.part").unlink()
    predictor = ByLength()
    assert run(path, out, predictor, top_k=2).rows == 50_000
    assert names_in(tmp_path) == ["in.csv", "out.jsonl"]


@pytest.mark.parametrize("damage", ["cut", "garbled", "deep", "missing"])
def test_what_is_damaged_starts_anew(tmp_path: Path, damage: str) -> None:
    path, out, whole = table(tmp_path), tmp_path / "out.csv", tmp_path / "whole.csv"
    classify_files(ByLength(), [path], whole)
    stopped(path, out)
    if damage == "cut":
        os.truncate(tmp_path / ".out.csv.part", 100)
    elif damage in {"garbled", "deep"}:
        (tmp_path / ".out.csv.part.json").write_text("{" if damage == "garbled" else "[" * 100_000)
    else:
        (tmp_path / ".out.csv.part").unlink()
    run(path, out)
    assert out.read_bytes() == whole.read_bytes()


def test_an_output_that_exists_is_kept_without_force(tmp_path: Path) -> None:
    path, out = table(tmp_path, 10), write(tmp_path / "out.csv", "old")
    assert "exists already" in message([path], out, resume=True)
    assert out.read_text() == "old"
    assert run(path, out, force=True).rows == 10


def test_what_cannot_be_resumed(tmp_path: Path) -> None:
    path = table(tmp_path, 10)
    assert "name one as the output" in message([path], resume=True)
    assert "Parquet cannot be resumed" in message([path], tmp_path / "o.parquet", resume=True)
    assert "standard input" in message(["-"], tmp_path / "o.csv", resume=True)
    assert names_in(tmp_path) == ["in.csv"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path, out = table(tmp_path, 10), tmp_path / "out.csv"

    class Meanwhile(ByLength):
        def encode(self, texts: Sequence[str], /) -> list[str]:
            with pytest.raises(InputError, match="another process is writing it"):
                run(path, out)
            return super().encode(texts)

    assert run(path, out, Meanwhile()).rows == 10
    assert len(out.read_text().splitlines()) == 11


class Slow(ByLength):
    def score(self, texts: list[str], /) -> Answer:
        time.sleep(0.01)
        return super().score(texts)


def killed(path: Path, out: Path, moment: float) -> bool:
    """Run in a process of its own and kill it, some after they took something down; return whether it was still alive."""
    child = os.fork()
    if child == 0:
        run(path, out, Slow())
        os._exit(0)
    journal = out.with_name(f".{out.name}.part.json")
    before = journal.stat().st_mtime_ns if journal.exists() else 0
    until = time.monotonic() + 5
    while moment > 0.1 and time.monotonic() < until and not (journal.exists() and journal.stat().st_mtime_ns != before):
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    time.sleep(moment / 2)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    path, out, whole = table(tmp_path), tmp_path / "out.csv", tmp_path / "whole.csv"
    classify_files(ByLength(), [path], whole)
    draw, kills, resumed = random.Random(0), 0, 0
    while kills < 20:
        resumed += (tmp_path / ".out.csv.part.json").exists()
        kills += killed(path, out, draw.uniform(0, 0.2))
        if out.exists():
            assert out.read_bytes() == whole.read_bytes()
            out.unlink()
    run(path, out)
    assert out.read_bytes() == whole.read_bytes()
    assert resumed
