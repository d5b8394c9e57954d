"""Evaluating a model on rows: the same figures however the rows are cut into blocks, and little memory for many labels."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from textcls import storage
from textcls.data import Rows
from textcls.scoring import evaluate_rows

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
