"""Two classifiers as one: least loss, and never worse than the better of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from textcls.evaluation import Targets, fit_mixture, fit_temperature, fit_temperature_multi, sigmoid, softmax
from textcls.evaluation.calibration import probability_of_error


def factors(
    logits: NDArray[np.float64], others: NDArray[np.float64], targets: Targets
) -> tuple[float, float, NDArray[np.float64]]:
    found = fit_mixture(logits, others, targets)
    return found.first, found.second, found.intercepts


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.2, 1.0, 5.0]))
def test_a_mixture_is_no_worse_than_a_grid_of_weights_and_needs_no_temperature(seed: int, scale: float) -> None:
    """Against any weight: by the loss with the doubt that forty rows leave, and with ten rows that speak for an equal share."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, 40)
    logits, others = (
        2 * np.eye(3)[targets] + rng.normal(0, 2, (40, 3)),
        scale * (np.eye(3)[targets] + rng.normal(0, 1, (40, 3))),
    )

    wrong = probability_of_error(40)

    def doubted(first: float, second: float, temperature: float) -> float:
        logs = np.log(softmax(first * logits + second * others, temperature))
        loss = -(np.where(np.eye(3, dtype=bool)[targets], 1 - wrong, wrong / 2) * logs).sum(axis=1).mean()
        parts = first * logits.std(axis=0).mean(), second * others.std(axis=0).mean()
        share = parts[1] / sum(parts)
        return float(loss - 10 / 40 * np.log(max(share * (1 - share), 0.001)))

    first, second, intercepts = factors(logits, others, targets)
    assert 0.05 <= first <= 20
    assert 0 <= second <= 1000
    assert not intercepts.any()
    weights = (0, 0.1, 0.3, 1, 3, 10)
    best = min(doubted(1, weight, fit_temperature(logits + weight * others, targets)) for weight in weights)
    assert doubted(first, second, 1.0) <= best + 0.005  # shares are twentieths


@pytest.mark.parametrize("many", [False, True])
def test_one_row_is_enough_for_both_to_count(many: bool) -> None:
    targets: Targets = np.array([[True, False, True]]) if many else np.array([0])
    logits, others = np.array([[0.2, 1.0, -1.0]]), np.array([[20.0, 1.0, -3.0]])
    found = fit_mixture(logits, others, targets)
    assert 0 < found.first < found.second * 1000
    assert found.second > 0


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows_do_not_make_it_worse_than_the_better_one(rows: int) -> None:
    def right(logits: NDArray[np.float64]) -> float:
        return float((logits.argmax(axis=1) == targets).mean())

    for seed in range(40):
        rng = np.random.default_rng(seed)
        targets = rng.integers(0, 3, rows)
        logits, others = rng.normal(0, 1, (2, rows, 3))
        mixed = fit_mixture(logits, others, targets, right).logits(logits, others)
        assert right(mixed) >= max(right(logits), right(others))


def test_a_mixture_of_many_labels_looks_past_what_shifts_them() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random((400, 3)) < [0.1, 0.3, 0.5]
    logits, others = (2 * targets - 1 + rng.normal(0, spread, (400, 3)) for spread in (1.0, 2.0))
    first, second, intercepts = factors(logits, others, targets)
    assert 0.1 < second / first < 0.5  # by the variances: a quarter
    shifts = np.array([3, 2, -1]), np.array([4, 0, 1])
    shifted = factors(logits + shifts[0], others + shifts[1], targets)
    assert shifted[:2] == pytest.approx((first, second), rel=0.01)
    assert shifted[2] == pytest.approx(intercepts - first * shifts[0] - second * shifts[1], abs=0.05)
    mixed = first * logits + second * others + intercepts
    assert fit_temperature_multi(mixed, targets) == pytest.approx(1, abs=0.05)
    assert sigmoid(mixed).mean(axis=0) == pytest.approx(targets.mean(axis=0), abs=0.01)


def test_a_mixture_with_nothing_or_without_rows_or_with_no_error() -> None:
    for logits, others, targets in (([[1, 1]], [[0, 0]], [0]), ([[1, 1]], [[1, 1]], [5])):
        first, second, _ = factors(np.array(logits, float), np.array(others, float), np.array(targets))
        assert (first, second) == (1, 0)
    perfect = np.array([[9.0, 0.0], [0.0, 9.0]])
    first, second, _ = factors(perfect, perfect, np.array([0, 1]))
    assert 0 < first + second < 10


def test_a_useless_first_classifier_leaves_probabilities_as_they_should_be() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random((500, 4)) < 0.05
    logits, others = rng.normal(-3, 0.01, (500, 4)), np.where(targets, -0.8, -1.0) + rng.normal(0, 0.1, (500, 4))
    first, second, intercepts = factors(logits, others, targets)
    mixed = first * logits + second * others + intercepts
    assert fit_temperature_multi(mixed, targets) == pytest.approx(1, abs=0.1)
    assert sigmoid(mixed).mean() == pytest.approx(targets.mean(), abs=0.01)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), sure=st.sampled_from([1.0, 30.0]), many=st.booleans())
def test_the_chosen_mixture_is_never_worse_than_the_better_classifier(seed: int, sure: float, many: bool) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, 30)
    truth: NDArray[np.bool_] = np.eye(4, dtype=bool)[classes]
    logits, others = sure * (truth + rng.normal(0, 0.8, (30, 4))), truth + rng.normal(0, 0.8, (30, 4))

    def quality(found: NDArray[np.float64]) -> float:
        return float(((found > 0) == truth).mean() if many else (found.argmax(axis=1) == classes).mean())

    targets: Targets = truth if many else classes
    found = fit_mixture(logits, others, targets, quality)
    alone = [fit_mixture(one, np.zeros_like(one), targets).first * one for one in (logits, others)]
    if not many:  # with many labels each half has intercepts of its own
        assert quality(found.logits(logits, others)) >= max(quality(alone[0]), quality(alone[1]))
    assert quality(found.logits(logits, others)) >= 0.5


def test_a_network_that_is_too_sure_does_not_cost_right_answers() -> None:
    """Nine rows that the network alone gets right, and one it is so sure of that the least loss takes its word away."""
    rng = np.random.default_rng(0)
    targets = np.arange(40) % 2
    truth = np.eye(2)[targets]
    logits = truth * 2.0
    logits[:3] = (1 - truth[:3]) * 60.0  # three errors, beyond all doubt
    others = truth * 0.1 + rng.normal(0, 0.15, (40, 2))

    def accuracy(found: NDArray[np.float64]) -> float:
        return float((found.argmax(axis=1) == targets).mean())

    least = fit_mixture(logits, others, targets).logits(logits, others)
    chosen = fit_mixture(logits, others, targets, accuracy).logits(logits, others)
    assert accuracy(least) < accuracy(logits) <= accuracy(chosen)
