"""Decision thresholds for many labels a text, chosen on validation data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_THRESHOLD = 0.5


def in_single_precision(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round thresholds up to single precision: every probability of that precision stays on its side of the cut."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest < thresholds, np.nextafter(nearest, np.float32(np.inf)), nearest)


def choose_thresholds(probabilities: NDArray[np.floating[Any]], targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Choose for each label the threshold of highest F1; a label is predicted where its probability is at least that.

    Every cut that separates two distinct probabilities is tried, at their midpoint, and the cut below all of them; of equally good
    ones the nearest to 0.5 is taken.

    Args:
        probabilities: float [n, K].
        targets: Whether a row has each label, bool [n, K].

    Returns:
        float64 [K], 0.5 for a label that no row has.
    """
    columns = zip(probabilities.T, targets.T, strict=True)
    return np.array([_best_threshold(scores.astype(np.float64), truth) for scores, truth in columns], dtype=np.float64)


def _best_threshold(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The threshold of highest F1 for one label's scores [n]."""
    if not truth.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-scores, kind="stable")
    above = scores[order]  # falling
    below = np.append(above[1:], 0.0)
    true_positives = np.cumsum(truth[order])
    f1 = 2 * true_positives / (np.arange(1, len(scores) + 1) + truth.sum())
    # Between two neighbouring floats the midpoint rounds to either; the next float after the lower one keeps them apart.
    cuts = np.maximum((above + below) / 2, np.nextafter(below, 1.0))
    cuts[-1] = above[-1] / 2  # below the lowest score, which may itself be 0
    possible = np.append(above[:-1] > below[:-1], True)  # equal scores fall on one side together
    best = possible & (f1 == f1[possible].max())
    return float(min(cuts[best], key=lambda cut: abs(cut - DEFAULT_THRESHOLD)))
