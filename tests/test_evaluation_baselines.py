from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from textcls.evaluation.baselines import (
    majority,
    tfidf_linear_svm,
    tfidf_linear_svm_multi,
    tfidf_logistic_regression,
    tfidf_logistic_regression_multi,
)

Baseline = Callable[..., NDArray[np.int64]]
linear = pytest.mark.parametrize("baseline", [tfidf_logistic_regression, tfidf_linear_svm])

TRAIN = [["not", "good"], ["good", "film"], ["not", "bad"], ["bad", "film"]] * 3
TARGETS = np.array([2, 5, 5, 2] * 3)  # decided by the bigram, never by one word; label numbers need not be dense


def test_majority() -> None:
    predicted = majority(np.array([3, 1, 3, 0]), 2)
    assert predicted.dtype == np.int64
    assert predicted.tolist() == [3, 3]
    assert majority(np.array([1, 0]), 1).tolist() == [0]


@linear
def test_linear_baselines_learn_from_bigrams(baseline: Baseline) -> None:
    predicted = baseline(TRAIN, TARGETS, TRAIN[:4], seed=1)
    assert predicted.dtype == np.int64
    assert predicted.tolist() == [2, 5, 5, 2]


@linear
def test_linear_baselines_fall_back_on_the_majority(baseline: Baseline) -> None:
    assert baseline([["a"], ["b"]], np.array([4, 4]), [["a"]]).tolist() == [4]
    assert baseline([[], [], []], np.array([0, 1, 1]), [["a"], []]).tolist() == [1, 1]
    assert baseline(TRAIN, TARGETS, []).shape == (0,)


@linear
def test_texts_without_known_tokens_are_predicted(baseline: Baseline) -> None:
    assert set(baseline(TRAIN, TARGETS, [[], ["never", "seen"]]).tolist()) <= {2, 5}


by_label = pytest.mark.parametrize("baseline", [tfidf_logistic_regression_multi, tfidf_linear_svm_multi])


@by_label
def test_many_labels(baseline: Baseline) -> None:
    # One label goes with "bad", one every text has, one none has.
    has_bad = np.array(["bad" in text for text in TRAIN])
    targets = np.column_stack([has_bad, np.ones(12, bool), np.zeros(12, bool)])
    probabilities = baseline(TRAIN, targets, TRAIN[:4])
    assert probabilities.shape == (4, 3)
    assert (probabilities[:, 0] > 0.5).tolist() == has_bad[:4].tolist()
    assert (probabilities[:, 1:] == [1, 0]).all()


@by_label
def test_many_labels_without_tokens_give_the_frequencies(baseline: Baseline) -> None:
    probabilities = baseline([[], []], np.array([[True, False], [False, False]]), [["a"], []])
    assert probabilities.tolist() == [[0.5, 0.0], [0.5, 0.0]]


@pytest.mark.skipif("TEXTCLS_DATA" not in os.environ, reason="TEXTCLS_DATA does not name the folder of evaluation data")
def test_linear_svm_on_trec() -> None:
    import pyarrow.parquet as pq

    def load(split: str) -> tuple[list[list[str]], list[str]]:
        table = pq.read_table(Path(os.environ["TEXTCLS_DATA"]) / f"trec-{split}.parquet").to_pydict()
        return [text.lower().split() for text in table["text"]], table["label"]

    (train, labels), (test, test_labels) = load("train"), load("test")
    names, targets = np.unique(labels, return_inverse=True)
    truth = np.searchsorted(names, test_labels)
    assert (tfidf_linear_svm(train, targets, test) == truth).mean() > 0.89
