"""The error of a classifier that is not trained yet; in a module of its own, because it takes scikit-learn, which is slow to import."""

from __future__ import annotations

from sklearn.exceptions import NotFittedError

from textcls.errors import ModelError


class NotTrainedError(ModelError, NotFittedError):  # type: ignore[misc]  # scikit-learn has no types
    """A `TextClassifier` was asked something before `fit` or `load`: scikit-learn's error, and one of textcls."""
