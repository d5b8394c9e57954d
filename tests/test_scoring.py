"""Evaluating a model on rows: the same figures however the rows are cut into blocks, and little memory for many labels."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import TinyRun
from typer.testing import CliRunner

from textcls import storage
from textcls.cli import app
from textcls.config import Config
from textcls.data import Rows
from textcls.scoring import evaluate, evaluate_rows
from textcls.training import train

LABELS = tuple(f"label {number:03}" for number in range(300))


class Fixed:
    """Gives to the text `t7` the seventh row of some probabilities."""

    labels = LABELS

    def __init__(self, rows: int, *, many: bool) -> None:
        draw = np.random.default_rng(0)
        scores = draw.random((rows, len(LABELS)), np.float32)
        self.thresholds = np.full(len(LABELS), 0.99, np.float32) if many else None
        self._probabilities = scores if many else scores / scores.sum(axis=1, keepdims=True)
        self.calls: list[int] = []

    def predict(self, texts: Sequence[str]) -> Any:
        self.calls.append(len(texts))
        return SimpleNamespace(probabilities=self._probabilities[[int(text[1:]) for text in texts]])


def labelled(rows: int, *, many: bool) -> Rows:
    """Return rows of which some labels are right and some are none of the model's."""
    known = [LABELS[number * 7 % len(LABELS)] if number % 5 else f"new {number % 2}" for number in range(rows)]
    labels: list[Any] = [[label, LABELS[0]] if number % 3 else [] for number, label in enumerate(known)] if many else known
    return Rows.of([f"t{number}" for number in range(rows)], labels)


@pytest.mark.parametrize("many", [False, True])
def test_blocks_change_no_figure(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for values in (1 << 30, 1000, 1):
        monkeypatch.setattr(storage, "_MOST_WORKED_ON", values)
        predictor: Any = Fixed(50, many=many)
        report, errors, _ = evaluate_rows(predictor, labelled(50, many=many))
        found.append((report, errors))
        assert max(predictor.calls) == max(1, min(50, values // 302))
    (whole, errors), *others = found
    assert whole["unseen_label_rows"] > 0
    assert len(errors) > 10
    for report, same in others:
        assert same == errors
        for name in ("log_loss", "expected_calibration_error"):
            exact = report[name] if not many else pytest.approx(report[name], rel=1e-12)
            assert whole[name] == exact
        assert {**report, "log_loss": 0, "expected_calibration_error": 0} == {
            **whole,
            "log_loss": 0,
            "expected_calibration_error": 0,
        }


@pytest.mark.parametrize("many", [False, True])
def test_many_labels_do_not_fill_the_memory(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_MOST_WORKED_ON", 1 << 14)
    predictor: Any = Fixed(4000, many=many)
    rows = labelled(4000, many=many)
    tracemalloc.start()
    try:
        evaluate_rows(predictor, rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4000 * len(LABELS) * 4  # the probabilities alone; it was several times as much


# Rows that the model was trained on


def told(model: Path, *data: Path) -> list[str]:
    return [note for note in evaluate(model, [str(path) for path in data]).notes if "learned from" in note]


def test_rows_that_the_model_learned_from_are_told(tiny_run: TinyRun, tiny_onnx: Path, tmp_path: Path) -> None:
    end = "its rows: these figures say little of new texts"
    for model in (tiny_run.model, tiny_onnx):
        assert told(model, tiny_run.test) == []
        assert told(model, tiny_run.train) == [f"the model learned from train.csv, {end}"]
        assert told(model, tiny_run.test, tiny_run.train) == [f"the model learned from train.csv, {end}"]
    same, other = tmp_path / "renamed.csv", tmp_path / "train.csv"
    shutil.copy(tiny_run.train, same)
    assert told(tiny_run.model, same) == [f"the model learned from renamed.csv, {end}"]
    other.write_bytes(tiny_run.train.read_bytes() + b"one more,money\n")
    assert told(tiny_run.model, other) == []
    result = CliRunner().invoke(app, ["evaluate", str(tiny_run.model), str(same), "--json", "-"])
    assert result.exit_code == 0
    assert f"note: the model learned from renamed.csv, {end}" in result.stderr.splitlines()
    assert "learned" not in result.stdout


def refitted(tiny_run: TinyRun, folder: Path, **changes: Any) -> Path:
    """Train a model with n-grams."""
    quick: dict[str, Any] = {"model.hidden_size": 4, "model.embedding_size": 4, "model.ngram_slots": 64, "training.epochs": 1}
    quick |= {"training.epoch_steps": 1, "training.threads": 1, "data.train": str(tiny_run.train)}
    train(Config().replace(quick | changes), folder)
    return folder / "model"


def test_validation_rows_are_among_them_only_after_a_refit(tiny_run: TinyRun, tmp_path: Path) -> None:
    end = "these figures say little of new texts"
    both = f"the model learned from train.csv, its rows, in the end those of validation too: {end}"
    assert told(refitted(tiny_run, tmp_path / "cut"), tiny_run.train) == [both]
    once = refitted(tiny_run, tmp_path / "once", **{"training.refit": False})
    given = refitted(tiny_run, tmp_path / "given", **{"data.validation": str(tiny_run.test)})
    for model in (once, given):
        assert told(model, tiny_run.train) == [f"the model learned from train.csv, its rows: {end}"]
    assert told(given, tiny_run.test) == []  # validation rows that were given are never learned from


def test_rows_that_were_cut_for_test_are_not_among_them(tiny_run: TinyRun, tmp_path: Path) -> None:
    (note,) = told(refitted(tiny_run, tmp_path / "run", **{"data.test_share": 0.2}), tiny_run.train)
    assert "but for those cut for test: " in note
