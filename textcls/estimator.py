"""What scikit-learn's tools ask of a classifier of texts beside learning: parameters, tags, copies, features as tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from textcls.errors import InputError
from textcls.parameters import Given, check_usable, parameters, resolved, shown, with_parameters

if TYPE_CHECKING:
    from sklearn.utils import Tags

_CONTAINERS = ("default", "pandas", "polars")


class Estimator(ABC):
    """A classifier with one parameter, `config`, and beneath it each setting, as `training__epochs`.

    Args:
        config: Settings: a `Config`, a nested dictionary, a YAML file, or None for the defaults.

    Raises:
        ConfigError: A setting is unknown, does not fit, or names what is not on this machine.
    """

    _sklearn_output_config: ClassVar[dict[str, str]] = {}  # under this name scikit-learn's tools look for it, and copy it

    def __init__(self, config: Given = None) -> None:
        check_usable(resolved(config))  # a wrong setting is told now, not when training begins
        self.config = config  # as given: scikit-learn's `clone` wants the very object back

    @abstractmethod
    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Train."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many features `transform` gives for each text."""

    @abstractmethod
    def features(self, X: Any) -> NDArray[np.float32]:
        """Return what feeds the classifier layer, float32 [n, width]."""

    def transform(self, X: Any) -> Any:
        """Return what feeds the classifier layer, float32 [n, width]: the final states of the network, and what is pooled beside them.

        With it a trained network stands in a scikit-learn pipeline, before another classifier.

        Args:
            X: The texts, [n].

        Returns:
            An array; after `set_output` a table with the columns that `get_feature_names_out` names, and the index of pandas.

        Raises:
            DataError: As `predict`.
        """
        found, container = self.features(X), self._sklearn_output_config.get("transform", "default")
        if container == "pandas":
            import pandas as pd

            return pd.DataFrame(found, columns=self.get_feature_names_out(), index=X.index if hasattr(X, "iloc") else None)
        if container == "polars":
            import polars as pl

            return pl.DataFrame(found, schema=self.get_feature_names_out().tolist())
        return found

    def fit_transform(self, X: Any, y: Any = None, **given: Any) -> Any:
        """Train, and return what `transform` gives for the same texts.

        Args:
            X: As for `fit`.
            y: As for `fit`.
            given: What else `fit` takes.
        """
        return self.fit(X, y, **given).transform(X)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` gives: `default` an array, `pandas` or `polars` a `DataFrame`; None leaves it as it is.

        Raises:
            InputError: It is none of them.
        """
        if transform is not None:
            if transform not in _CONTAINERS:
                raise InputError(f"transform is {transform!r}: give one of {', '.join(_CONTAINERS)}")
            self._sklearn_output_config = {"transform": transform}  # type: ignore[misc]  # of this one alone
        return self

    def get_feature_names_out(self, input_features: object = None) -> NDArray[Any]:  # noqa: ARG002  # scikit-learn passes it
        """Return the names of the columns of `transform`: `textclassifier0`, `textclassifier1`, …, [width]."""
        return np.array([f"{type(self).__name__.lower()}{place}" for place in range(self.width)], object)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return scikit-learn's parameters: `config`, and with `deep` each setting, as `training__epochs`."""
        params: dict[str, Any] = {"config": self.config}
        if deep:
            params |= parameters(self.config)
        return params

    def set_params(self, **params: Any) -> Self:
        """Set `config`, or single settings such as `training__epochs=5`.

        Raises:
            ConfigError: A setting is unknown, does not fit, or names what is not on this machine; none was changed.
        """
        before = None if "config" in params else resolved(self.config)
        config = with_parameters(params.pop("config", self.config), params)
        check_usable(resolved(config), before)
        self.config = config
        return self

    def __repr__(self) -> str:
        """Return how to make it again, with those settings alone that differ from the defaults; long values are cut."""
        return f"{type(self).__name__}({shown(self.config)})"

    def __sklearn_clone__(self) -> Self:
        """Return an untrained one with the same settings, also where they need what is not on this machine: `fit` tells that."""
        twin = type(self)()
        twin.config = deepcopy(self.config)
        return twin.set_output(transform=self._sklearn_output_config.get("transform"))

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that this is a classifier of strings."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(multi_label=True),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )
