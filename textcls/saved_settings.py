"""The settings of saved models: what an absent one meant when the model was written, and which of training still fit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from textcls.config import Config, load_config, parse_config
from textcls.errors import ConfigError
from textcls.settings import MOST

# What a setting that a saved model does not have meant when the model was written, where that is not the default of today, or is
# not to become another one. A default that changes leaves its old value here: tests/test_artifact_settings.py knows them all.
_BEFORE: dict[str, dict[str, Any]] = {
    "data": {"strip_labels": False},
    "text": {"vectors": None, "extend": 0, "split_unspaced": False},
    "model": {"pooling": "final", "ngram_slots": 0},
}


def load_saved_config(path: str | Path) -> Config:
    """Read the settings of a saved model, complete as `saved_settings` makes them; those of training that do not fit are left out.

    Raises:
        ConfigError: As `load_config`.
    """

    def amend(tree: dict[str, Any]) -> dict[str, Any]:
        return {**saved_settings(tree), "training": _fitting_training(tree.get("training"))}

    return load_config(path, amend=amend)


def saved_settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model says of itself, complete: a setting that it does not have means what it meant when it was written.

    Args:
        tree: Settings by section and name, of `config.yaml` or of what an exported file carries; other entries stay as they are.
    """
    sections = {name: {} if tree.get(name) is None else tree[name] for name in _BEFORE}
    whole = {name: {**_BEFORE[name], **_in_64_bits(given)} for name, given in sections.items() if isinstance(given, Mapping)}
    return {**tree, **whole}


def _in_64_bits(given: Mapping[str, Any]) -> dict[str, Any]:
    """Take limits beyond 64 bits, which settings once could have, for the largest ones: neither is ever reached."""
    return {name: min(value, MOST) if type(value) is int else value for name, value in given.items()}


def _fitting_training(given: Any) -> dict[str, Any]:
    """Leave out what is no setting of training, or not any more: a trained model needs none of them."""
    kept: dict[str, Any] = {}
    for name, value in given.items() if isinstance(given, Mapping) else ():
        with suppress(ConfigError, RecursionError):
            parse_config({"training": {**kept, name: value}}, "training")
            kept[name] = value
    return kept
