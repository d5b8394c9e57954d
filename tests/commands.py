"""The command line, run in this process: what it answers, in Python's values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from textcls.cli import app

TINY = (
    "data.validation_share=0",
    "model.embedding_size=4",
    "model.hidden_size=4",
    "model.ngram_slots=0",
    "training.epoch_steps=1",
    "training.epochs=1",
    "training.threads=1",
)
_USUAL = "there is no test split"
_RENAMED = "the input's column "


def command(*arguments: object, input: str | bytes | None = None) -> Result:
    """Run `textcls` with some arguments; an error that is none of ours is raised."""
    return CliRunner().invoke(app, list(map(str, arguments)), input=input, catch_exceptions=False)


def set_to(settings: Sequence[str]) -> list[str]:
    """Return the options that change some settings."""
    return [part for setting in settings for part in ("--set", setting)]


def checked(path: Path, *settings: str) -> tuple[dict[str, Any], list[str]]:
    """Return what `check` says of training rows, none of them cut off for validation: their report, and the notes."""
    result = command("check", path, "--json", *set_to(["data.validation_share=0", *settings]))
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    return report["splits"]["train"], [note for note in report["notes"] if _USUAL not in note]


def classified(
    model: Path, *arguments: object, code: int = 0, input: str | bytes | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows that `classify` writes, and its notes."""
    result = command("classify", model, *arguments, "--format", "jsonl", "--threads", 1, input=input)
    assert result.exit_code == code, result.stderr
    lines = result.stderr.splitlines()
    notes = [line.removeprefix("note: ") for line in lines if line.startswith("note: ") and _RENAMED not in line]
    return [json.loads(line) for line in result.stdout.splitlines()], notes


def answers(rows: Sequence[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """Return label and confidence of each row."""
    return [(row["label"], row["confidence"]) for row in rows]


def trained(path: Path, run: Path, *settings: str) -> Path:
    """Train the smallest model on all rows of a file and return its folder."""
    result = command("train", path, "--run", run, *set_to([*TINY, *settings]))
    assert result.exit_code == 0, result.stderr
    return run / "model"


def evaluated(model: Path, *arguments: object) -> dict[str, Any]:
    """Return the metrics of a model on labelled rows."""
    result = command("evaluate", model, *arguments, "--json", "-")
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def refusal(result: Result) -> str:
    """Return the one line by which bad input is refused."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert re.fullmatch(r"textcls: .+\n", result.stderr), result.stderr
    return result.stderr.removeprefix("textcls: ").rstrip()


def write_jsonl(path: Path, rows: Iterable[tuple[str, Any]], column: str = "label") -> Path:
    """Write texts and their labels, or whatever, as plainly as they can be."""
    path.write_text("".join(json.dumps({"text": text, column: value}) + "\n" for text, value in rows), encoding="utf-8")
    return path
