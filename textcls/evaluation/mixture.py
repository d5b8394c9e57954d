"""Two classifiers as one: factors of their logits, chosen on validation rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation.calibration import Floats, double, probabilities_of, probability_of_error
from textcls.evaluation.metrics import Targets

_STEPS = 20  # from one classifier alone to the other alone
_PRIOR_ROWS = 10.0  # that speak for a share in the middle, which is near the best on every data set that was tried
_NOTHING = 1e-3  # a share's distance from the end, in the prior: none or all of it can be right
_FACTORS = (1e-3, 1e3)  # of logits whose spread is 1


@dataclass(frozen=True)
class Mixture:
    """What two classifiers' logits are multiplied by, and the intercepts that are added, so that the sum is calibrated.

    Attributes:
        first: Factor of the first classifier's logits.
        second: Factor of the second one's.
        intercepts: Float64 [K]; zeros with one label a text.
    """

    first: float
    second: float
    intercepts: NDArray[np.float64]

    def logits(self, logits: Floats, others: Floats) -> NDArray[np.float64]:
        """Return the logits of both together, float64 [n, K]."""
        return self.first * double(logits) + self.second * double(others) + self.intercepts


def fit_mixture(
    logits: Floats, others: Floats, targets: Targets, quality: Callable[[NDArray[np.float64]], float] | None = None
) -> Mixture:
    """Find the factors of two classifiers' logits whose sum has the least loss.

    Each share of the second one in the differences between rows is tried, from none to all, with the best factor of the sum. The
    loss is that of `fit_temperature` or `fit_temperature_multi`; with many labels each has an intercept too: weights of having a
    label shift its logits, which no factor can make up for. Few rows tell little of the share: what they say is weighed against
    a prior (a beta distribution, symmetric), which is gone where there are hundreds.

    Args:
        logits: Of the first classifier, float [n, K].
        others: Of the second, float [n, K].
        targets: True label of each row, int64 [n], those outside 0..K-1 left out; or whether a row has each label, bool [n, K].
        quality: What must not be less than that of the better classifier alone, of logits [n, K]; higher is better. A first
            classifier that is too sure of its errors gets so small a factor that labels suffer.

    Returns:
        What makes a calibrated sum; 1, 0 and zeros where the data cannot tell.
    """
    spreads = [_spread(one) for one in (logits, others)]
    known = targets.ndim == 2 or ((targets >= 0) & (targets < logits.shape[1])).any()
    if not (spreads[1] and known and len(targets)):
        return Mixture(1.0, 0.0, np.zeros(logits.shape[1]))
    first, second = (double(one) / (spread or 1) for one, spread in zip((logits, others), spreads, strict=True))

    def mixed(step: int) -> NDArray[np.float64]:
        return (1 - step / _STEPS) * first + step / _STEPS * second

    @cache
    def fitted(step: int) -> tuple[float, NDArray[np.float64], float]:
        factor, intercepts, loss = _Loss(mixed(step), targets).least()
        share = step / _STEPS
        return factor, intercepts, loss - _PRIOR_ROWS / len(targets) * np.log(max(share * (1 - share), _NOTHING))

    steps = range(_STEPS + 1) if spreads[0] else range(_STEPS, _STEPS + 1)
    best = _lowest(lambda step: fitted(step)[2], steps)
    if quality is not None and len(steps) > 1:
        wanted = max(quality(first), quality(second))
        if quality(mixed(best)) < wanted:
            best = min((step for step in steps if quality(mixed(step)) >= wanted), key=lambda step: fitted(step)[2])
    factor, intercepts, _ = fitted(best)
    share = best / _STEPS
    return Mixture(float(factor * (1 - share) / (spreads[0] or 1)), float(factor * share / spreads[1]), intercepts)


def _lowest(value: Callable[[int], float], steps: range) -> int:
    """Return where a value is lowest that falls and then rises: looking at every fifth step, then nearer."""
    best = min(steps[::5], key=value)
    for distance in (2, 1, 1):
        best = min((step for step in (best, best - distance, best + distance) if step in steps), key=value)
    return best


def _spread(logits: Floats) -> float:
    """Return how far the logits of a class differ between rows, in the mean of the classes; of one row, how far its own differ."""
    return float(double(logits).std(axis=0 if len(logits) > 1 else None).mean()) if len(logits) else 0.0


class _Loss:
    """The mean loss of logits times a factor, with many labels an intercept for each beside it.

    Args:
        logits: Float64 [n, K].
        targets: As for `fit_mixture`.
    """

    def __init__(self, logits: NDArray[np.float64], targets: Targets) -> None:
        classes = logits.shape[1]
        self.many = targets.ndim == 2
        if not self.many:
            known = (targets >= 0) & (targets < classes)
            logits, targets = logits[known], np.eye(classes, dtype=np.bool_)[targets[known]]
        self.logits = logits
        wrong = probability_of_error(len(targets))  # so that nothing grows for ever where every row is right
        self.wanted = np.where(targets, 1 - wrong, wrong / (1 if self.many else max(1, classes - 1)))

    def least(self) -> tuple[float, NDArray[np.float64], float]:
        """Return the factor, and the intercepts [K], of least loss, and that loss."""
        from scipy.optimize import minimize

        classes = self.wanted.shape[1]
        free = classes if self.many else 0
        start = np.concatenate([[1.0], np.zeros(free)])
        found = minimize(self._at, start, jac=True, bounds=[_FACTORS, *[(None, None)] * free], method="L-BFGS-B")
        return float(found.x[0]), found.x[1:] if self.many else np.zeros(classes), float(found.fun)

    def _at(self, found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the loss with a factor and intercepts, and its slopes."""
        from scipy.special import logsumexp

        factor, intercepts = found[0], found[1:]
        given = factor * self.logits + (intercepts if self.many else 0)
        normaliser = np.logaddexp(0, given).sum() if self.many else logsumexp(given, axis=1).sum()
        excess = probabilities_of(given, many=self.many) - self.wanted
        slopes = np.concatenate([[(excess * self.logits).sum()], excess.sum(axis=0)[: len(intercepts)]])
        return float(normaliser - (self.wanted * given).sum()) / len(self.wanted), slopes / len(self.wanted)
