"""From logits to probabilities that mean what they say: one temperature, fitted on validation data.

Guo et al., "On calibration of modern neural networks", ICML 2017: dividing all logits by one positive number changes no prediction
and mends most of a network's overconfidence. The loss is convex in the inverse temperature, so its slope changes sign at most once
and bisection finds the minimum surely. All arithmetic is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.storage import row_blocks

Floats = NDArray[np.floating[Any]]

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
_BISECTIONS = 40  # halves the range of log T, 6 wide, to 5e-12
_LARGEST = 1e300  # logits beyond it, infinite ones included, are cut, so that no difference or product overflows


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of exclusive labels: each row of `logits / temperature` exponentiated and summing to 1.

    Args:
        logits: float [n, K] of any size, infinite ones included.
        temperature: Positive; above 1 flattens.

    Returns:
        float64 [n, K].
    """
    logits = double(logits)
    unnormalised = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return np.asarray(unnormalised / unnormalised.sum(axis=-1, keepdims=True))


def sigmoid(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probability of each label on its own: `1 / (1 + exp(-logits / temperature))`.

    Args:
        logits: float of any shape and size, infinite ones included.
        temperature: Positive; above 1 draws towards 0.5.

    Returns:
        float64 of the same shape.
    """
    return np.asarray(np.exp(-np.logaddexp(0.0, -double(logits) / temperature)))


def probabilities_of(logits: Floats, temperature: float = 1.0, *, many: bool) -> NDArray[np.float64]:
    """Return the probabilities of logits, float [n, K]: sigmoids with many labels a text, else a softmax. Float64 of the same shape."""
    probabilities = np.empty(logits.shape, np.float64)
    for rows in row_blocks(*logits.shape):
        probabilities[rows] = sigmoid(logits[rows], temperature) if many else softmax(logits[rows], temperature)
    return probabilities


def fit_temperature(logits: Floats, targets: NDArray[np.int64]) -> float:
    """Find the temperature of least mean negative log-likelihood, for one label a text.

    Args:
        logits: float [n, K].
        targets: True label of each row, int64 [n]; rows with one outside 0..K-1 are left out.

    Returns:
        A temperature in 0.05..20; 1.0 where the data cannot tell: no rows, or no row that prefers any label. Where every row is
        right the loss falls for ever as the temperature does: one more row, half of it wrong, then stands against it.
    """
    known = (targets >= 0) & (targets < logits.shape[1])
    if not known.all():
        logits, targets = logits[known], targets[known]
    if not len(targets):
        return 1.0

    def margins() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Yield the logits of some rows, and the margin of every label over the true one, [rows, K]."""
        for rows in row_blocks(*logits.shape):
            some = double(logits[rows])
            yield some, some - np.take_along_axis(some, targets[rows, None], axis=1)

    bounds = [(margin.min(), margin.max()) for _, margin in margins()]
    if not np.any(bounds):
        return 1.0
    right = all(highest <= 0 for _, highest in bounds)
    doubt = probability_of_error(len(targets)) / (logits.shape[1] - 1) if right else 0.0  # probability of each wrong label

    def slope(inverse: float) -> float:
        slopes = [((softmax(some, 1 / inverse) - doubt) * margin).sum(axis=1) for some, margin in margins()]
        return float(np.concatenate(slopes).mean())

    return _temperature_where_zero(slope)


def fit_temperature_multi(logits: Floats, targets: NDArray[np.bool_]) -> float:
    """Find the temperature of least mean binary cross-entropy, for many labels a text.

    Args:
        logits: float [n, K].
        targets: Whether a row has each label, bool [n, K].

    Returns:
        A temperature in 0.05..20, or 1.0 where the data cannot tell, as for `fit_temperature`.
    """
    if not logits.any():
        return 1.0
    blocks = list(row_blocks(*logits.shape))
    right = all((np.where(targets[rows], logits[rows], -logits[rows]) >= 0).all() for rows in blocks)
    doubt = probability_of_error(len(logits)) if right else 0.0

    def slope(inverse: float) -> float:
        total = 0.0
        for rows in blocks:
            some, wanted = double(logits[rows]), np.where(targets[rows], 1 - doubt, doubt)
            total += float(((sigmoid(some, 1 / inverse) - wanted) * some).sum())
        return total / logits.size

    return _temperature_where_zero(slope)


def probability_of_error(rows: int) -> float:
    """Return the probability that a row is wrong after all, when none of `rows` was (Platt 1999, "Probabilistic outputs for SVMs")."""
    return 1 / (rows + 2)


def _temperature_where_zero(slope: Callable[[float], float]) -> float:
    """Bisect on the log temperature for the zero of the loss's slope over the inverse temperature, which it rises with."""
    low, high = log(LOWEST_TEMPERATURE), log(HIGHEST_TEMPERATURE)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if slope(exp(-middle)) > 0:  # still too sharp
            low = middle
        else:
            high = middle
    return exp((low + high) / 2)


def double(logits: Floats) -> NDArray[np.float64]:
    """Return logits in double precision, the largest of them cut to where sums and products stay finite."""
    return np.clip(np.asarray(logits, dtype=np.float64), -_LARGEST, _LARGEST)
