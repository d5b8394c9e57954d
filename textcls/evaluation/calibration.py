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
_LARGEST_FACTOR = 1000.0  # of the second logits in a mixture: machines' margins are small
_LARGEST = 1e300  # logits beyond it, infinite ones included, are cut, so that no difference or product overflows


def softmax(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of exclusive labels: each row of `logits / temperature` exponentiated and summing to 1.

    Args:
        logits: float [n, K] of any size, infinite ones included.
        temperature: Positive; above 1 flattens.

    Returns:
        float64 [n, K].
    """
    logits = _double(logits)
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
    return np.asarray(np.exp(-np.logaddexp(0.0, -_double(logits) / temperature)))


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
            some = _double(logits[rows])
            yield some, some - np.take_along_axis(some, targets[rows, None], axis=1)

    bounds = [(margin.min(), margin.max()) for _, margin in margins()]
    if not np.any(bounds):
        return 1.0
    right = all(highest <= 0 for _, highest in bounds)
    doubt = _doubt(len(targets)) / (logits.shape[1] - 1) if right else 0.0  # probability of each wrong label

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
    doubt = _doubt(len(logits)) if right else 0.0

    def slope(inverse: float) -> float:
        total = 0.0
        for rows in blocks:
            some, wanted = _double(logits[rows]), np.where(targets[rows], 1 - doubt, doubt)
            total += float(((sigmoid(some, 1 / inverse) - wanted) * some).sum())
        return total / logits.size

    return _temperature_where_zero(slope)


def fit_mixture(
    logits: Floats, others: Floats, targets: NDArray[np.int64] | NDArray[np.bool_]
) -> tuple[float, float, NDArray[np.float64]]:
    """Find the factors of two classifiers' logits whose sum has the least loss.

    The loss, that of `fit_temperature` or `fit_temperature_multi`, is convex in them. With many labels each has an intercept too:
    weights of having a label shift its logits, which no factor can make up for.

    Args:
        logits: Of the first classifier, float [n, K].
        others: Of the second, float [n, K].
        targets: True label of each row, int64 [n], those outside 0..K-1 left out; or whether a row has each label, bool [n, K].

    Returns:
        The factor of the first in 0.05..20, that of the second in 0..1000, and the intercepts, float64 [K], zeros with one label
        a text; 1, 0 and zeros where the data cannot tell.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    many, classes = targets.ndim == 2, logits.shape[1]
    if not many:
        known = (targets >= 0) & (targets < classes)
        logits, others, targets = logits[known], others[known], np.eye(classes, dtype=np.bool_)[targets[known]]
    both = np.stack([_double(logits), _double(others)])  # (2, n, K)
    if not both[1].any():
        return 1.0, 0.0, np.zeros(classes)
    doubt = _doubt(len(targets))  # so that nothing grows for ever where every row is right
    wanted = np.where(targets, 1 - doubt, doubt / (1 if many else max(1, classes - 1)))

    def loss(found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        given = np.tensordot(found[:2], both, 1) + (found[2:] if many else 0)
        normaliser = np.logaddexp(0, given).sum() if many else logsumexp(given, axis=1).sum()
        excess = probabilities_of(given, many=many) - wanted
        slopes = np.concatenate([(excess * both).sum(axis=(1, 2)), excess.sum(axis=0)[: len(found) - 2]])
        return float(normaliser - (wanted * given).sum()) / len(targets), slopes / len(targets)

    start = np.concatenate([[1.0, 1.0], np.zeros(classes * many)])
    bounds = [(1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE), (0, _LARGEST_FACTOR), *[(None, None)] * (len(start) - 2)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return float(found[0]), float(found[1]), found[2:] if many else np.zeros(classes)


def _doubt(rows: int) -> float:
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


def _double(logits: Floats) -> NDArray[np.float64]:
    return np.clip(np.asarray(logits, dtype=np.float64), -_LARGEST, _LARGEST)
