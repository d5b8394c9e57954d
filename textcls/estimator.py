"""What scikit-learn's tools ask of a classifier of texts beside learning: parameters, tags, copies, features as tables."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from textcls.errors import InputError
from textcls.parameters import Given, check_usable, parameters, resolved, shown, with_parameters

if TYPE_CHECKING:
    from sklearn.utils import Tags
    from sklearn.utils.metadata_routing import MetadataRequest

_CONTAINERS = ("default", "pandas", "polars")
_ROUTED = ("fit", "score")  # methods that take more than texts and labels: what scikit-learn calls metadata


class Estimator(ABC):
    """A classifier with one parameter, `config`, and beneath it each setting, as `training__epochs`.

    Args:
        config: Settings: a `Config`, a nested dictionary, a YAML file, or None for the defaults.

    Raises:
        ConfigError: A setting is unknown, does not fit, or names what is not on this machine.
    """

    _sklearn_output_config: ClassVar[dict[str, str]] = {}  # under this name scikit-learn's tools look for it, and copy it

    _asked: ClassVar[dict[str, dict[str, Any]]] = {}  # by method, the metadata that it asks for: see `set_fit_request`

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

    def set_fit_request(self, **asked: bool | str | None) -> Self:
        """Say which metadata `fit` gets through scikit-learn's tools, where its metadata routing is on.

        Args:
            asked: By its name, such as `sample_weight`: whether it is passed on, or the name that it is passed under; None, as at
                first, makes it an error.

        Raises:
            InputError: `fit` takes no such thing, or what is asked is none of these.
        """
        return self._ask("fit", asked)

    def set_score_request(self, **asked: bool | str | None) -> Self:
        """Say which metadata `score` gets; see `set_fit_request`."""
        return self._ask("score", asked)

    def _ask(self, method: str, asked: dict[str, Any]) -> Self:
        known = self._metadata(method)
        for name, value in asked.items():
            if name not in known:
                raise InputError(f"{method} takes no {name}: it takes {', '.join(known)}")
            if not (value is None or isinstance(value, bool) or (isinstance(value, str) and value.isidentifier())):
                raise InputError(f"{name} is {value!r}: give True, False, None or another name")
        self._asked = {**self._asked, method: self._asked.get(method, {}) | asked}  # type: ignore[misc]  # of this one alone
        return self

    def _metadata(self, method: str) -> list[str]:
        """Return what a method takes beside texts and labels."""
        return [name for name in inspect.signature(getattr(self, method)).parameters if name not in {"X", "y"}]

    def get_metadata_routing(self) -> MetadataRequest:
        """Tell scikit-learn's metadata routing what each method asks for."""
        from sklearn.utils.metadata_routing import MetadataRequest

        request = MetadataRequest(owner=type(self).__name__)
        for method in _ROUTED:
            asked = dict.fromkeys(self._metadata(method)) | self._asked.get(method, {})
            for name, value in asked.items():
                getattr(request, method).add_request(param=name, alias=value)
        return request

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
        for method, asked in self._asked.items():
            twin._ask(method, asked)
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
