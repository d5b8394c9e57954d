"""The rows that a model labels wrongly."""

from __future__ import annotations

import numpy as np

from textcls.evaluation import Mistake, mistakes


def test_the_label_the_prediction_and_how_sure_it_was() -> None:
    probabilities = np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]], np.float32)
    found = mistakes(probabilities, np.array([0, 2, 1]), ["a", "b", "new"], start=10)
    assert found == [Mistake(11, "new", "b", 0.75), Mistake(12, "b", "a", 0.5)]


def test_with_many_labels_the_surest_wrong_decision_counts() -> None:
    probabilities = np.array([[0.75, 0.25], [0.25, 0.875], [0.75, 0.125], [0.0, 0.25]], np.float32)
    targets = np.array([[True, False, False], [True, False, False], [False, True, False], [False, False, True]])
    found = mistakes(probabilities, targets, ["a", "b", "new"], np.array([0.5, 0.5]))
    assert found == [Mistake(1, ["a"], ["b"], 0.875), Mistake(2, ["b"], ["a"], 0.875), Mistake(3, ["new"], [], 1.0)]
