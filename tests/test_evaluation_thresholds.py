from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from textcls.evaluation.thresholds import choose_thresholds


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 10), seed=st.integers(0, 10**6), steps=st.sampled_from([2, 5, 1000]))
def test_no_other_threshold_has_a_higher_f1(n: int, seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(0, steps + 1, (n, 1)) / steps, rng.random((n, 1)) < 0.5
    (threshold,) = choose_thresholds(scores, truth)
    tried = [f1_score(truth, scores >= cut, zero_division=0) for cut in [0.0, *np.unique(scores), 1.1]]
    if truth.any():
        assert f1_score(truth, scores >= threshold, zero_division=0) == pytest.approx(max(tried))
    else:
        assert threshold == 0.5


def test_thresholds_by_hand() -> None:
    scores = np.array([[0.9, 0.2, 0.7], [0.6, 0.3, 0.7], [0.2, 0.4, 0.1]])
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    assert choose_thresholds(scores, truth) == pytest.approx(np.array([0.4, 0.35, 0.5]))


def test_equally_good_cuts_give_the_one_nearest_a_half() -> None:
    # Only the first row predicted: F1 = 2 / 3; all four predicted, two of them rightly: 2 / 3 as well.
    truth = np.array([[1], [0], [0], [1]], bool)
    assert choose_thresholds(np.array([[0.9], [0.7], [0.6], [0.1]]), truth) == pytest.approx(np.array([0.8]))
    assert choose_thresholds(np.array([[0.99], [0.97], [0.6], [0.4]]), truth) == pytest.approx(np.array([0.2]))


def test_neighbouring_floats_are_kept_apart() -> None:
    low = np.float64(0.5)
    scores = np.array([[low], [np.nextafter(low, 1)]])
    thresholds = choose_thresholds(scores, np.array([[False], [True]]))
    assert (scores >= thresholds).ravel().tolist() == [False, True]


def test_no_rows_and_no_labels() -> None:
    assert choose_thresholds(np.zeros((0, 2)), np.zeros((0, 2), bool)).tolist() == [0.5, 0.5]
    assert choose_thresholds(np.zeros((3, 0)), np.zeros((3, 0), bool)).shape == (0,)
