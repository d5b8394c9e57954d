"""The tree of settings as scikit-learn knows parameters: one, `config`, and with it each setting, as `training__epochs`."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from textcls.config import Config, load_config, parse_config
from textcls.errors import ConfigError

Given: TypeAlias = Config | Mapping[str, Any] | str | Path | None
"""Settings: a `Config`, a nested dictionary, a YAML file, or None for the defaults."""

_SHORT = reprlib.Repr()
_SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 12, 60, 60


def resolved(config: Given) -> Config:
    """Return all settings.

    Raises:
        ConfigError: One is unknown or does not fit, or what was given holds no settings.
    """
    if config is None:
        return Config()
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        return parse_config(config, "config")
    if isinstance(config, str | Path):
        return load_config(config)
    raise ConfigError(
        f"config is a {type(config).__name__}: give settings as a dictionary, a Config or the path of a YAML file"
    )


def parameters(config: Given) -> dict[str, Any]:
    """Return every setting by its name as a parameter.

    Example:
        >>> parameters({"training": {"epochs": 5}})["training__epochs"]
        5
    """
    tree = resolved(config).model_dump()
    return {f"{section}__{name}": value for section, settings in tree.items() for name, value in settings.items()}


def with_parameters(config: Given, params: Mapping[str, Any]) -> Given:
    """Return settings with some changed; as they were given, where none is to be.

    Raises:
        ConfigError: A setting is unknown or does not fit.
    """
    whole = resolved(config)
    for name in params:
        if "__" not in name:
            raise ConfigError(f"{name}: no such parameter; a setting is named with its section, such as training__epochs")
    return whole.replace({name.replace("__", ".", 1): value for name, value in params.items()}) if params else config


def shown(config: Given) -> str:
    """Return the settings that differ from the defaults, as Python writes them; long ones are cut, and no difference is ""."""
    try:
        tree = resolved(config).model_dump(mode="json", exclude_defaults=True)
    except ConfigError:  # the file is gone, or the dictionary was changed
        return _SHORT.repr(config)
    changed = {section: settings for section, settings in tree.items() if settings}
    return _SHORT.repr(changed) if changed else ""
