"""Metrics of predictions against labels, with one label a text or many.

An evaluation may hold labels that training never saw. They come after the labels the model knows: `labels` has K + U texts, the
probabilities K columns. A row with an unseen label can only be wrong, and it counts in every metric but the log loss.
Figures equal scikit-learn's with `zero_division=0`: of each label where `labels` names them, macro-F1 of one label a text where it
does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from textcls.errors import DataError
from textcls.storage import row_blocks

Floats = NDArray[np.floating[Any]]
Targets: TypeAlias = NDArray[np.int64] | NDArray[np.bool_]
"""The class of each row, int64 [n]; or with many labels a text whether a row has each label, bool [n, K + U]."""

CALIBRATION_BINS = 15  # of equal width, as in Guo et al. 2017


@dataclass(frozen=True)
class ReliabilityBins:
    """Predictions in bins of equal width over the probability; an empty bin has zeros.

    Attributes:
        count: Predictions in each bin, int64 [bins].
        confidence: Their mean probability, float64 [bins].
        accuracy: The share of them that came true, float64 [bins].
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap between confidence and accuracy, each bin weighted by its count."""
        gaps = self.count * np.abs(self.confidence - self.accuracy)
        return float(gaps.sum() / max(1, self.count.sum()))


def evaluate(
    probabilities: Floats, targets: Targets, labels: Sequence[str], thresholds: Floats | None = None
) -> dict[str, Any]:
    """Evaluate by `evaluate_multi` where there are thresholds, else by `evaluate_single`.

    Raises:
        DataError: There are no rows.
    """
    return evaluate_blocks(_blocks(probabilities, targets), labels, thresholds)


def evaluate_blocks(
    blocks: Iterable[tuple[Floats, Targets]], labels: Sequence[str], thresholds: Floats | None = None
) -> dict[str, Any]:
    """Evaluate as `evaluate` does, block by block: the probabilities of many rows and labels together would fill the memory.

    Args:
        blocks: Probabilities and targets of some rows, in order.
        labels: The labels, as for the other functions.
        thresholds: With many labels a text those of the known labels, float [K].

    Raises:
        DataError: There are no rows.
    """
    if thresholds is None:
        return _evaluate_single(cast("Iterable[tuple[Floats, NDArray[np.int64]]]", blocks), labels)
    return _evaluate_multi(cast("Iterable[tuple[Floats, NDArray[np.bool_]]]", blocks), labels, thresholds)


def _blocks(probabilities: Floats, targets: Targets) -> Iterator[tuple[Floats, Targets]]:
    """Yield the blocks of rows that are worked on at once."""
    for rows in row_blocks(*probabilities.shape):
        yield probabilities[rows], targets[rows]


def evaluate_single(probabilities: Floats, targets: NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    """Evaluate a model that gives one label to each text: the one of highest probability, the first of equals.

    Args:
        probabilities: Probability of each label the model knows, float [n, K].
        targets: Index into `labels` of each row's true label, int64 [n].
        labels: The K labels the model knows, then U labels that only these rows have.

    Returns:
        Plain values, ready for JSON: `rows`, `accuracy`, `macro_f1` (over the labels that a row has or gets: of one that none
        does, these rows say nothing), `micro_f1`, `weighted_f1`, `log_loss` (over rows whose label the model knows, None without
        any), `expected_calibration_error` (of the top probability, all rows), `unseen_label_rows`, and `per_class`, which gives
        `precision`, `recall`, `f1` and `support` of each label, in their order.

    Raises:
        DataError: There are no rows.

    Example:
        >>> report = evaluate_single(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ["no", "yes"])
        >>> report["accuracy"], report["per_class"]["no"]["precision"]
        (0.5, 0.5)
    """
    return evaluate(probabilities, targets, labels)


def _evaluate_single(blocks: Iterable[tuple[Floats, NDArray[np.int64]]], labels: Sequence[str]) -> dict[str, Any]:
    """Keep three numbers of each row: the predicted label, its probability, and if it is known the loss of the true label."""
    rows = []
    for probabilities, targets in blocks:
        known = targets < probabilities.shape[1]
        predicted = probabilities.argmax(axis=1)
        losses = -np.log(_clipped(probabilities[np.flatnonzero(known), targets[known]]))
        rows.append((targets, predicted, probabilities.max(axis=1), losses))
    targets, predicted, confidence, losses = map(np.concatenate, zip(*rows, strict=True))
    return {
        **evaluate_predictions(predicted, targets, labels),
        "log_loss": float(losses.mean()) if len(losses) else None,
        "expected_calibration_error": _Bins.of(confidence, predicted == targets).reliability().error,
        "unseen_label_rows": len(targets) - len(losses),
    }


def evaluate_predictions(predicted: NDArray[np.int64], targets: NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    """Evaluate predicted labels that come without probabilities, such as a baseline's.

    Args:
        predicted: Index into `labels` for each row, int64 [n].
        targets: The true one, int64 [n].
        labels: All labels.

    Returns:
        What `evaluate_single` returns, less `log_loss`, `expected_calibration_error` and `unseen_label_rows`.

    Raises:
        DataError: There are no rows.
    """
    _require_rows(len(targets))
    correct = predicted == targets
    true_positives = np.bincount(targets[correct], minlength=len(labels))
    n_predicted = np.bincount(predicted, minlength=len(labels))
    support = np.bincount(targets, minlength=len(labels))
    return {
        "rows": len(targets),
        "accuracy": float(correct.mean()),
        **_f1_report(true_positives, n_predicted, support, labels, met=(n_predicted + support) > 0),
    }


def evaluate_multi(
    probabilities: Floats, targets: NDArray[np.bool_], labels: Sequence[str], thresholds: Floats
) -> dict[str, Any]:
    """Evaluate a model that gives each text every label whose probability reaches that label's threshold.

    Args:
        probabilities: Probability of each label the model knows, float [n, K].
        targets: Whether a row truly has each label, bool [n, K + U].
        labels: The K labels the model knows, then U labels that only these rows have.
        thresholds: A label is predicted from this probability on, float [K].

    Returns:
        What `evaluate_single` returns, with these meanings: `accuracy` is the share of rows whose labels are all right (exact
        match), `macro_f1` is over all K + U labels, where one that no row has or gets counts as 0, `log_loss`
        the mean binary cross-entropy over rows and known labels, `expected_calibration_error` that of every label's
        probability, `unseen_label_rows` counts rows with at least one unseen label, and `per_class` adds `threshold` (None
        for an unseen label).

    Raises:
        DataError: There are no rows.
    """
    return evaluate(probabilities, targets, labels, thresholds)


def _evaluate_multi(
    blocks: Iterable[tuple[Floats, NDArray[np.bool_]]], labels: Sequence[str], thresholds: Floats
) -> dict[str, Any]:
    """Add up, over the blocks, counts of each label, the loss, and the bins."""
    known = len(thresholds)
    counts = np.zeros((3, len(labels)), np.int64)
    rows, right, unseen, loss, bins = 0, 0, 0, 0.0, _Bins.of(np.empty(0), np.empty(0))
    for probabilities, targets in blocks:
        predicted = np.zeros(targets.shape, dtype=np.bool_)
        predicted[:, :known] = probabilities >= thresholds
        counts += [(predicted & targets).sum(axis=0), predicted.sum(axis=0), targets.sum(axis=0)]
        rows += len(targets)
        right += int((predicted == targets).all(axis=1).sum())
        unseen += int(targets[:, known:].any(axis=1).sum())
        loss += _binary_log_loss(probabilities, targets[:, :known])
        bins += _Bins.of(probabilities.ravel(), targets[:, :known].ravel())
    _require_rows(rows)
    report: dict[str, Any] = {
        "rows": rows,
        "accuracy": right / rows,
        **_f1_report(counts[0], counts[1], counts[2], labels),
        "log_loss": loss / (rows * known),
        "expected_calibration_error": bins.reliability().error,
        "unseen_label_rows": unseen,
    }
    for column, scores in enumerate(report["per_class"].values()):
        scores["threshold"] = float(thresholds[column]) if column < known else None
    return report


def confusion_matrix(predicted: NDArray[np.int64], targets: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Count rows by true label (matrix row) and predicted label (column), int64 [n, n].

    Args:
        predicted: Predicted label of each text, int64 in 0..n-1.
        targets: True label of each text, int64 in 0..n-1.
        n: Number of labels.
    """
    return np.bincount(targets * n + predicted, minlength=n * n).reshape(n, n).astype(np.int64)


def reliability_bins(probabilities: Floats, targets: Targets) -> ReliabilityBins:
    """Sort predictions into bins by their probability, to compare it with how often they come true.

    A prediction is a row's top label where there is one label a text, and every known label where there are many. Bins are open
    below and closed above, `(low, high]`, as in Guo et al., "On calibration of modern neural networks", ICML 2017.

    Args:
        probabilities: float [n, K].
        targets: int64 [n], or bool [n, K + U] for many labels a text.
    """
    bins = _Bins.of(np.empty(0), np.empty(0))
    for some, true in _blocks(probabilities, targets):
        if true.ndim == 1:
            bins += _Bins.of(some.max(axis=1), some.argmax(axis=1) == true)
        else:
            bins += _Bins.of(some.ravel(), true[:, : some.shape[1]].ravel())
    return bins.reliability()


@dataclass(frozen=True)
class _Bins:
    """Sums over the predictions in each bin.

    Attributes:
        count: How many there are, int64 [bins].
        confidence: Their probabilities, float64 [bins].
        came_true: How many of them came true, float64 [bins].
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    came_true: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: Floats, came_true: NDArray[Any]) -> _Bins:
        """Sort predictions by their probability, float [n]."""
        confidence = confidence.astype(np.float64)
        bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(np.int64)
        return cls(
            np.bincount(bins, minlength=CALIBRATION_BINS),
            np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS).astype(np.float64),
            np.bincount(bins, weights=came_true, minlength=CALIBRATION_BINS).astype(np.float64),
        )

    def __add__(self, other: _Bins) -> _Bins:
        """Return the sums over the predictions of both."""
        return _Bins(self.count + other.count, self.confidence + other.confidence, self.came_true + other.came_true)

    def reliability(self) -> ReliabilityBins:
        some = np.maximum(self.count, 1)
        return ReliabilityBins(self.count, self.confidence / some, self.came_true / some)


def _require_rows(rows: int) -> None:
    if not rows:
        raise DataError("there are no rows to evaluate; give data with at least one labelled row")


def _f1_report(
    true_positives: NDArray[np.int64],
    predicted: NDArray[np.int64],
    support: NDArray[np.int64],
    labels: Sequence[str],
    met: NDArray[np.bool_] | slice = slice(None),
) -> dict[str, Any]:
    """Averages and per-class scores from three counts for each label; `met` are those that macro-F1 is the mean of."""
    precision = _ratio(true_positives, predicted)
    recall = _ratio(true_positives, support)
    f1 = _ratio(2 * true_positives, predicted + support)
    columns = zip(labels, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True)
    return {
        "macro_f1": float(f1[met].mean()),
        "micro_f1": float(_ratio(2 * true_positives.sum(), predicted.sum() + support.sum())),
        "weighted_f1": float(_ratio(f1 @ support, support.sum())),
        "per_class": {label: {"precision": p, "recall": r, "f1": f, "support": s} for label, p, r, f, s in columns},
    }


def _ratio(numerator: Any, denominator: Any) -> NDArray[np.float64]:
    """Divide, with 0 where nothing was counted (both sides are then 0)."""
    return np.asarray(numerator / np.maximum(denominator, 1), dtype=np.float64)


def _binary_log_loss(probabilities: Floats, targets: NDArray[np.bool_]) -> float:
    """Return the binary cross-entropy, summed over all rows and labels."""
    probabilities = _clipped(probabilities)
    return float(-np.log(np.where(targets, probabilities, 1 - probabilities)).sum())


def _clipped(probabilities: Floats) -> NDArray[np.float64]:
    """Keep probabilities off 0 and 1 by what their own type can tell apart, so that one sure error is not an infinite loss."""
    smallest = float(np.finfo(probabilities.dtype).eps)
    return np.clip(probabilities.astype(np.float64), smallest, 1 - smallest)
