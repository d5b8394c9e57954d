"""The rows that a model labels wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation.metrics import Floats, Targets


class Mistake(NamedTuple):
    """A row that a model labels wrongly.

    Attributes:
        row: Its place among the rows, from 0.
        label: Its true label; with many labels a text a list of them, in the order of the labels.
        predicted: What the model says, of the same kind.
        confidence: How sure it is of that; with many labels, of its surest wrong decision about one of them.
    """

    row: int
    label: Any
    predicted: Any
    confidence: float


def mistakes(
    probabilities: Floats, targets: Targets, labels: Sequence[str], thresholds: Floats | None = None, start: int = 0
) -> list[Mistake]:
    """Return the rows that are labelled wrongly, in their order.

    Args:
        probabilities: Probability of each label the model knows, float [n, K].
        targets: Of each row, as `evaluate` takes them.
        labels: The K labels the model knows, then U labels that only these rows have.
        thresholds: With many labels a text, the probability from which each label is given, float [K].
        start: The place of the first row, where these are a block of many rows.
    """
    if thresholds is None:
        best = probabilities.argmax(axis=1)
        rows = np.flatnonzero(best != targets)
        true, predicted = ([labels[label] for label in some[rows].tolist()] for some in (targets, best))
        confidence = probabilities[rows, best[rows]]
    else:
        selected = np.zeros(targets.shape, bool)
        selected[:, : probabilities.shape[1]] = probabilities >= thresholds
        rows = np.flatnonzero((selected != targets).any(axis=1))
        selected, having = selected[rows], targets[rows]
        true, predicted = _label_lists(having, labels), _label_lists(selected, labels)
        confidence = _surest_error(probabilities[rows], selected, selected != having)
    return list(map(Mistake, (start + rows).tolist(), true, predicted, confidence.tolist()))


def _label_lists(has: NDArray[Any], labels: Sequence[str]) -> list[list[str]]:
    """Return the labels of each row in the order of all, from bool [n, labels]."""
    return [[labels[column] for column in np.flatnonzero(row).tolist()] for row in has]


def _surest_error(probabilities: Floats, selected: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> Floats:
    """Return how sure a model was of its surest wrong decision on each row, [n]; of a label it does not know, that it is not there."""
    given = np.zeros(selected.shape, probabilities.dtype)
    given[:, : probabilities.shape[1]] = probabilities
    return np.asarray((np.where(selected, given, 1 - given) * wrong).max(axis=1))
