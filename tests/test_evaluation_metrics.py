from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from textcls import storage
from textcls.errors import DataError
from textcls.evaluation.metrics import (
    confusion_matrix,
    evaluate,
    evaluate_multi,
    evaluate_predictions,
    evaluate_single,
    reliability_bins,
)


def random_rows(seed: int, n: int, known: int) -> NDArray[np.float64]:
    """Probabilities [n, known], some of them equal to another or to 0."""
    weights = np.random.default_rng(seed).integers(0, 6, (n, known)) + np.eye(known)[np.arange(n) % known]
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def sklearn_f1(targets: Any, predicted: Any, n_labels: int) -> dict[str, Any]:
    options: dict[str, Any] = {"labels": range(n_labels), "zero_division": 0}
    averages = {
        f"{name}_f1": sk.f1_score(targets, predicted, average=name, **options) for name in ("macro", "micro", "weighted")
    }
    columns = zip(*sk.precision_recall_fscore_support(targets, predicted, average=None, **options), strict=True)
    per_class = {str(i): dict(zip(("precision", "recall", "f1", "support"), c, strict=True)) for i, c in enumerate(columns)}
    return {"accuracy": sk.accuracy_score(targets, predicted), "per_class": per_class, **averages}


def assert_holds(report: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_holds(report[name], value)
        else:
            assert report[name] == pytest.approx(value, abs=1e-12), name


sizes = {"n": st.integers(1, 12), "known": st.integers(2, 4), "unseen": st.integers(0, 2), "seed": st.integers(0, 10**6)}


@settings(max_examples=40, deadline=None)
@given(**sizes)
def test_single_equals_scikit_learn(n: int, known: int, unseen: int, seed: int) -> None:
    probabilities = random_rows(seed, n, known)
    targets = np.random.default_rng(seed + 1).integers(0, known + unseen, n)
    labels = [str(i) for i in range(known + unseen)]
    report = evaluate_single(probabilities, targets, labels)
    predicted = probabilities.argmax(axis=1)
    macro = sk.f1_score(targets, predicted, average="macro", zero_division=0)  # over the labels there are on either side
    assert_holds(report, sklearn_f1(targets, predicted, known + unseen) | {"macro_f1": macro})
    assert list(report["per_class"]) == labels
    seen = targets < known
    assert report["unseen_label_rows"] == n - seen.sum()
    if seen.any():
        expected = sk.log_loss(targets[seen], probabilities[seen], labels=range(known))
        assert report["log_loss"] == pytest.approx(expected, abs=1e-12)
    else:
        assert report["log_loss"] is None
    assert json.loads(json.dumps(report)) == report


@settings(max_examples=40, deadline=None)
@given(**sizes)
def test_multi_equals_scikit_learn(n: int, known: int, unseen: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 5, (n, known)) / 4
    thresholds = rng.random(known)
    targets = rng.random((n, known + unseen)) < 0.4
    predicted = np.hstack([probabilities >= thresholds, np.zeros((n, unseen), bool)])
    report = evaluate_multi(probabilities, targets, [str(i) for i in range(known + unseen)], thresholds)
    assert_holds(report, sklearn_f1(targets, predicted, known + unseen))
    columns = [sk.log_loss(targets[:, i], probabilities[:, i], labels=[False, True]) for i in range(known)]
    assert report["log_loss"] == pytest.approx(np.mean(columns), abs=1e-12)
    assert report["unseen_label_rows"] == targets[:, known:].any(axis=1).sum()
    assert [c["threshold"] for c in report["per_class"].values()] == [*thresholds, *[None] * unseen]
    assert json.loads(json.dumps(report)) == report


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 12), labels=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_confusion_matrix_equals_scikit_learn(n: int, labels: int, seed: int) -> None:
    predicted, targets = np.random.default_rng(seed).integers(0, labels, (2, n))
    matrix = confusion_matrix(predicted, targets, labels)
    assert matrix.dtype == np.int64
    expected = sk.confusion_matrix(targets, predicted, labels=range(labels)) if n else np.zeros((labels, labels))
    assert (matrix == expected).all()


def test_calibration_error_by_hand() -> None:
    # Confidences 0.9, 0.9 (one right) and 0.6 (right): (2 * |0.9 - 0.5| + 1 * |0.6 - 1|) / 3.
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    report = evaluate_single(probabilities, np.array([0, 0, 0]), ["a", "b"])
    assert report["expected_calibration_error"] == pytest.approx(0.4)


def test_calibration_error_is_over_every_probability_with_many_labels() -> None:
    # 0.2 and 0.2 (one true) share a bin, 0.9 stands alone, 0.0 is right: (0.6 + 0.1 + 0) / 4.
    probabilities = np.array([[0.2, 0.9], [0.2, 0.0]])
    targets = np.array([[True, True], [False, False]])
    report = evaluate_multi(probabilities, targets, ["a", "b"], np.array([0.5, 0.5]))
    assert report["expected_calibration_error"] == pytest.approx(0.175)


def test_calibration_error_counts_an_unseen_label_as_wrong() -> None:
    report = evaluate_single(np.array([[1.0, 0.0]]), np.array([2]), ["a", "b", "new"])
    assert report["expected_calibration_error"] == 1.0
    assert report["log_loss"] is None


def test_bins_are_closed_above_and_hold_the_ends() -> None:
    bins = reliability_bins(np.array([[0.0], [1 / 15], [0.07], [1.0]]), np.ones((4, 1), bool))
    assert bins.count[[0, 1, 14]].tolist() == [2, 1, 1]
    assert bins.count.sum() == 4


def test_a_sure_error_in_float32_costs_a_finite_loss() -> None:
    report = evaluate_single(np.array([[1, 0]], dtype=np.float32), np.array([1]), ["a", "b"])
    assert report["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_predictions_without_probabilities() -> None:
    report = evaluate_predictions(np.array([0, 1, 1]), np.array([0, 1, 0]), ["a", "b", "c"])
    assert report["rows"] == 3
    assert report["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)  # nothing is, and nothing is said to be, a c
    assert "log_loss" not in report


def test_a_label_that_is_only_predicted_counts_in_macro_f1() -> None:
    report = evaluate_predictions(np.array([0, 2]), np.array([0, 0]), ["a", "b", "c"])
    assert report["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_no_rows_is_a_clear_error() -> None:
    none, labels = np.zeros((0, 2)), ["a", "b"]
    with pytest.raises(DataError, match="no rows to evaluate"):
        evaluate_single(none, np.zeros(0, np.int64), labels)
    with pytest.raises(DataError, match="no rows to evaluate"):
        evaluate_multi(none, none.astype(bool), labels, np.full(2, 0.5))


@settings(max_examples=40, deadline=None)
@given(**sizes, many=st.booleans(), values=st.integers(1, 20))
def test_blocks_of_rows_change_no_figure(n: int, known: int, unseen: int, seed: int, many: bool, values: int) -> None:
    draw = np.random.default_rng(seed)
    probabilities = draw.random((n, known), np.float32) if many else random_rows(seed, n, known)
    targets: Any = draw.random((n, known + unseen)) < 0.4 if many else draw.integers(0, known + unseen, n)
    labels, thresholds = [str(i) for i in range(known + unseen)], draw.random(known) if many else None
    whole, bins = evaluate(probabilities, targets, labels, thresholds), reliability_bins(probabilities, targets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_MOST_WORKED_ON", values)
        blocks, other = evaluate(probabilities, targets, labels, thresholds), reliability_bins(probabilities, targets)
    if many:  # sums over all labels of all rows, in another order
        for name in ("log_loss", "expected_calibration_error"):
            assert blocks.pop(name) == pytest.approx(whole.pop(name), rel=1e-12, abs=1e-12)
    assert blocks == whole
    assert (bins.count == other.count).all()
    np.testing.assert_allclose([bins.confidence, bins.accuracy], [other.confidence, other.accuracy], atol=1e-12)
