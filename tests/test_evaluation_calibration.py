from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textcls import storage
from textcls.evaluation.calibration import (
    fit_temperature,
    fit_temperature_multi,
    probabilities_of,
    sigmoid,
    softmax,
)

GRID = np.exp(np.linspace(np.log(0.05), np.log(20), 101))


def test_softmax_and_sigmoid_by_hand() -> None:
    assert softmax(np.log([[1.0, 3.0]])) == pytest.approx(np.array([[0.25, 0.75]]))
    assert softmax(np.log([[1.0, 9.0]]), temperature=2.0) == pytest.approx(np.array([[0.25, 0.75]]))
    assert sigmoid(np.log([3.0, 1 / 3])) == pytest.approx(np.array([0.75, 0.25]))
    assert sigmoid(np.log([9.0]), temperature=2.0) == pytest.approx(np.array([0.75]))
    assert sigmoid(np.array([-700.0])) == pytest.approx(np.exp(-700.0), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=5), st.sampled_from([0.05, 1.0, 20.0]))
def test_probabilities_of_any_logits(row: list[float], temperature: float) -> None:
    logits = np.array([row], dtype=np.float32)
    probabilities = softmax(logits, temperature)
    assert probabilities.dtype == np.float64
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[0, logits[0].argmax()] == probabilities.max()
    separate = sigmoid(logits, temperature)
    assert ((separate >= 0) & (separate <= 1)).all()
    assert ((separate > 0.5) <= (logits > 0)).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.3, 1.0, 5.0]))
def test_temperature_is_no_worse_than_a_fine_grid(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(0, scale, (12, 3)), rng.integers(0, 3, 12)

    def loss(temperature: float) -> float:
        return float(-np.log(softmax(logits, temperature)[np.arange(12), targets]).mean())

    assert loss(fit_temperature(logits, targets)) <= min(map(loss, GRID)) + 1e-9


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.3, 1.0, 5.0]))
def test_temperature_of_many_labels_is_no_worse_than_a_fine_grid(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(0, scale, (12, 3)), rng.random((12, 3)) < 0.4

    def loss(temperature: float) -> float:
        signed = np.where(targets, logits, -logits) / temperature
        return float(np.logaddexp(0, -signed).mean())

    assert loss(fit_temperature_multi(logits, targets)) <= min(map(loss, GRID)) + 1e-9


def test_known_temperature_is_found() -> None:
    # Three of four rows right at logit gap 4: exp(4 / T) = 3 at the minimum.
    logits = np.tile([4.0, 0.0], (4, 1))
    assert fit_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(4 / np.log(3), rel=1e-9)
    assert fit_temperature_multi(logits[:, :1], np.array([[1], [1], [1], [0]], bool)) == pytest.approx(4 / np.log(3), rel=1e-9)


def test_rows_of_an_unknown_label_are_left_out() -> None:
    logits = np.tile([4.0, 0.0], (6, 1))
    assert fit_temperature(logits, np.array([0, 0, 0, 1, 2, -1])) == pytest.approx(4 / np.log(3), rel=1e-9)


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (np.zeros((0, 3)), np.zeros(0, np.int64)),
        (np.ones((4, 3)), np.array([0, 1, 2, 0])),  # no row prefers any label
        (np.eye(3), np.array([3, 3, -1])),  # no row with a known label
    ],
)
def test_temperature_is_one_where_data_cannot_tell(logits: np.ndarray, targets: np.ndarray) -> None:
    assert fit_temperature(logits, targets) == 1.0


def test_temperature_of_many_labels_is_one_where_data_cannot_tell() -> None:
    assert fit_temperature_multi(np.zeros((0, 2)), np.zeros((0, 2), bool)) == 1.0
    assert fit_temperature_multi(np.zeros((3, 2)), np.ones((3, 2), bool)) == 1.0


def test_where_every_row_is_right_one_more_stands_against_it() -> None:
    timid = np.tile([0.2, 0.0], (8, 1))  # right with probability 0.55, eight times of eight
    temperature = fit_temperature(timid, np.zeros(8, np.int64))
    assert softmax(timid, temperature)[:, 0] == pytest.approx(np.full(8, 9 / 10))
    temperature = fit_temperature_multi(timid[:, :1], np.ones((8, 1), bool))
    assert sigmoid(timid[:, :1], temperature) == pytest.approx(np.full((8, 1), 9 / 10))


def test_temperature_stays_within_bounds() -> None:
    always_wrong = fit_temperature(np.array([[1e30, -1e30], [np.inf, 0]]), np.array([1, 1]))
    too_flat = fit_temperature(np.tile([1e-6, 0.0], (4, 1)), np.array([0, 0, 0, 1]))
    assert [always_wrong, too_flat] == pytest.approx([20, 0.05])


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), values=st.integers(1, 20), right=st.booleans())
def test_blocks_of_rows_change_no_temperature(seed: int, values: int, right: bool) -> None:
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 3, (9, 4)).astype(np.float32)
    targets = logits.argmax(axis=1) if right else draw.integers(-1, 5, 9)
    having = logits > 0 if right else draw.random((9, 4)) < 0.4

    def figures() -> tuple[float, float, list[Any]]:
        probabilities = [probabilities_of(logits, 1.7, many=many).tolist() for many in (False, True)]
        return fit_temperature(logits, targets), fit_temperature_multi(logits, having), probabilities

    single, multi, probabilities = figures()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_MOST_WORKED_ON", values)
        in_blocks = figures()
    assert (in_blocks[0], in_blocks[2]) == (single, probabilities)
    assert in_blocks[1] == pytest.approx(multi, rel=1e-9)
