"""Baselines on our own tokens: what a linear model, or no model at all, reaches on the same rows.

The features are TF-IDF weights of unigrams and bigrams with sublinear term counts, fitted on the training rows alone. C, the inverse
strength of regularisation, is the caller's to choose, on validation rows. Each is scikit-learn's, imported when called.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = Sequence[Sequence[str]]  # the tokens of each text


def majority(train_targets: NDArray[np.int64], n_test: int) -> NDArray[np.int64]:
    """Predict the most frequent training label for every text; of equals the smallest.

    Args:
        train_targets: int64 [n_train], at least one row.
        n_test: Number of texts to predict.

    Returns:
        int64 [n_test].
    """
    return np.full(n_test, np.bincount(train_targets).argmax(), dtype=np.int64)


def tfidf_logistic_regression(
    train_tokens: Tokens, train_targets: NDArray[np.int64], test_tokens: Tokens, c: float = 1.0, seed: int = 0
) -> NDArray[np.int64]:
    """Predict with multinomial logistic regression on TF-IDF features.

    Args:
        train_tokens: Tokens of each training text.
        train_targets: Label of each, int64 [n_train].
        test_tokens: Tokens of each text to predict.
        c: Inverse strength of regularisation.
        seed: Seed of the solver; this one draws nothing, so it changes nothing.

    Returns:
        int64 [n_test]; the majority label where training has one label only or no token at all.
    """
    from sklearn.linear_model import LogisticRegression

    # Half the iterations of the default tolerance, the same accuracy.
    model = LogisticRegression(C=c, tol=1e-3, max_iter=1000, random_state=seed)
    return _fit_and_predict(model, train_tokens, train_targets, test_tokens)


def tfidf_linear_svm(
    train_tokens: Tokens, train_targets: NDArray[np.int64], test_tokens: Tokens, c: float = 1.0, seed: int = 0
) -> NDArray[np.int64]:
    """Predict with one-vs-rest linear support vector machines on TF-IDF features.

    Args:
        train_tokens: Tokens of each training text.
        train_targets: Label of each, int64 [n_train].
        test_tokens: Tokens of each text to predict.
        c: Inverse strength of regularisation.
        seed: Seed of the order in which the solver visits rows.

    Returns:
        int64 [n_test]; the majority label where training has one label only or no token at all.
    """
    from sklearn.svm import LinearSVC

    return _fit_and_predict(LinearSVC(C=c, random_state=seed), train_tokens, train_targets, test_tokens)


def tfidf_logistic_regression_multi(
    train_tokens: Tokens, train_targets: NDArray[np.bool_], test_tokens: Tokens, c: float = 1.0
) -> NDArray[np.float64]:
    """Give each label's probability by its own logistic regression, classes balanced, on TF-IDF features.

    Balancing lifts rare labels' probabilities far above their frequency: choose thresholds on validation rows before you score.

    Args:
        train_tokens: Tokens of each training text.
        train_targets: Whether a text has each label, bool [n_train, K].
        test_tokens: Tokens of each text to predict.
        c: Inverse strength of regularisation.

    Returns:
        float64 [n_test, K]; a label's training frequency where all training texts have it, none has, or none has a token.
    """
    from sklearn.linear_model import LogisticRegression

    def probabilities(train: Any, truth: NDArray[np.bool_], test: Any) -> NDArray[np.float64]:
        model = LogisticRegression(C=c, class_weight="balanced", solver="liblinear", random_state=0)
        return np.asarray(model.fit(train, truth).predict_proba(test)[:, 1])

    return _by_label(probabilities, train_tokens, train_targets, test_tokens)


def tfidf_linear_svm_multi(
    train_tokens: Tokens, train_targets: NDArray[np.bool_], test_tokens: Tokens, c: float = 1.0
) -> NDArray[np.float64]:
    """Score each label by its own linear support vector machine, classes balanced, on TF-IDF features.

    A score is the logistic function of the signed distance: no probability, so choose thresholds on validation rows.

    Args:
        train_tokens: Tokens of each training text.
        train_targets: Whether a text has each label, bool [n_train, K].
        test_tokens: Tokens of each text to predict.
        c: Inverse strength of regularisation.

    Returns:
        float64 [n_test, K], as `tfidf_logistic_regression_multi` does.
    """
    from sklearn.svm import LinearSVC

    def scores(train: Any, truth: NDArray[np.bool_], test: Any) -> NDArray[np.float64]:
        model = LinearSVC(C=c, class_weight="balanced", random_state=0)
        return np.asarray(1 / (1 + np.exp(-model.fit(train, truth).decision_function(test))))

    return _by_label(scores, train_tokens, train_targets, test_tokens)


def _by_label(
    scores: Callable[[Any, NDArray[np.bool_], Any], NDArray[np.float64]],
    train_tokens: Tokens,
    train_targets: NDArray[np.bool_],
    test_tokens: Tokens,
) -> NDArray[np.float64]:
    """Score each label that some training texts have and some have not; a label's training frequency where none can be learnt."""
    found = np.tile(train_targets.mean(axis=0), (len(test_tokens), 1))
    features = _features(train_tokens, test_tokens)
    if features is None:
        return found
    train, test = features
    for label, truth in enumerate(train_targets.T):
        if truth.any() and not truth.all():
            found[:, label] = scores(train, truth, test)
    return found


def _fit_and_predict(
    model: Any, train_tokens: Tokens, train_targets: NDArray[np.int64], test_tokens: Tokens
) -> NDArray[np.int64]:
    features = _features(train_tokens, test_tokens)
    if features is None or len(np.unique(train_targets)) == 1:
        return majority(train_targets, len(test_tokens))
    train, test = features
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "The number of unique classes"
        )  # many labels, few texts: these are classes all the same
        return np.asarray(model.fit(train, train_targets).predict(test), dtype=np.int64)


def _features(train_tokens: Tokens, test_tokens: Tokens) -> tuple[Any, Any] | None:
    """Sparse TF-IDF matrices [n_train, features] and [n_test, features]; None where no text has a token to learn from."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(train_tokens) or not test_tokens:
        return None
    vectorizer = TfidfVectorizer(analyzer=_unigrams_and_bigrams, sublinear_tf=True)
    return vectorizer.fit_transform(train_tokens), vectorizer.transform(test_tokens)


def _unigrams_and_bigrams(tokens: Sequence[str]) -> list[str]:
    return [*tokens, *(f"{first} {second}" for first, second in pairwise(tokens))]
