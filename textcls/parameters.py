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


def check_usable(config: Config, before: Config | None = None) -> None:
    """Refuse settings that name what is not on this machine; nothing is downloaded, and nothing imported that they do not need.

    Args:
        config: All settings.
        before: Settings that were there before; what is as it was is not looked at.

    Raises:
        ConfigError: There are no such vectors, spaCy knows no such language, or there is no such device or precision.
        DataError: A zip does not hold the vectors.
        TextclsError: The vectors have to be got by hand.
        MissingPackageError: A package of the tokenizer is not installed.
    """
    text, device = config.text, config.training.device
    then: tuple[Any, ...] = (None,) * 4
    if before is not None:
        then = (before.text.vectors, _tokenizer(before), before.training.device, before.training.precision)
    if text.vectors is not None and text.vectors != then[0]:
        from textcls.text.vector_names import check_vectors

        check_vectors(text.vectors)
    if text.tokenizer == "spacy" and _tokenizer(config) != then[1]:
        from textcls.text.tokenizers import build_tokenizer

        build_tokenizer(text).chunks("")  # which loads the language
    if text.tokenizer == "bpe" and (before is None or text != before.text):
        from textcls.text.subwords import check_subwords

        check_subwords(text.bpe_model)
    precision = config.training.precision
    if device not in {"auto", "cpu", then[2]} or (precision == "bf16" and precision != then[3]):
        from textcls.model.device import resolve_device, rounds_on_cpu

        rounds_on_cpu(resolve_device(device, config.model), precision, config.model)


def _tokenizer(config: Config) -> tuple[str, str]:
    return config.text.tokenizer, config.text.language


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
