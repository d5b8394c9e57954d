"""Every setting of textcls: one frozen, validated tree. YAML in, `--set a.b=c` over it, the resolved tree out.

Unknown names, wrong types and values out of range are collected and reported together, each with the nearest name that exists.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from textcls.errors import ConfigError, quoted, shortened
from textcls.settings import DataSettings, ModelSettings, Settings, TextSettings, TrainingSettings
from textcls.yaml_values import read_yaml

__all__ = [
    "Config",
    "DataSettings",
    "ModelSettings",
    "TextSettings",
    "TrainingSettings",
    "available_cores",
    "load_config",
    "parse_config",
    "parse_overrides",
]

# YAML takes the first ones for ends of lines; the others turn a terminal's text around.
_ESCAPED = frozenset("\x85\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_MOST_BYTES = 4_000_000  # of a file: some seconds to read
_MOST_FAULTS = 20  # told at once


class Config(Settings):
    """The whole tree of settings."""

    data: DataSettings = DataSettings()
    text: TextSettings = TextSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()

    def to_yaml(self, *, defaults: bool = True) -> str:
        """Return the resolved tree as YAML: every setting written out, or those alone that differ from the defaults."""
        tree = self.model_dump(mode="json", exclude_defaults=not defaults)
        readable = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
        return yaml.safe_dump(tree, sort_keys=False, width=120) if _ESCAPED.intersection(readable) else readable

    def replace(self, changes: Mapping[str, Any]) -> Config:
        """Return a copy with dotted settings changed, for example `{"training.epochs": 3}`.

        Raises:
            ConfigError: A name is unknown or a value does not fit.
        """
        return parse_config(_merge(self.model_dump(mode="json"), changes), "the settings")


def available_cores() -> int:
    """Return the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_config(
    path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = (), amend: Callable[..., dict[str, Any]] = dict
) -> Config:
    """Read a YAML file of settings and lay `a.b=c` overrides over it.

    Args:
        path: The YAML file.
        overrides: Items such as `training.epochs=3`, whose value is read as YAML, or values by dotted name.
        amend: Gives what the sections of the file should be, before they are checked.

    Raises:
        ConfigError: The file cannot be read, or a setting is unknown or does not fit; every fault is named.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)  # not all of what has no end
        if len(content) > _MOST_BYTES:
            raise ConfigError(f"{path}: is longer than {_MOST_BYTES:,} bytes, so it is no settings file")
        tree = read_yaml(content.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text, so it is no settings file") from error
    except (OSError, ValueError) as error:  # a ValueError: its name has a NUL
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{path}: expected sections data, text, model and training, found a {type(tree).__name__}")
    changes = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
    return parse_config(_merge(amend(tree or {}), changes), str(path))


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Turn `a.b=c` items into a dictionary from dotted name to value; values are read as YAML, and the last of a name counts.

    Raises:
        ConfigError: An item has no `=`, or its value is not valid YAML.
    """
    changes: dict[str, Any] = {}
    for item in overrides:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {shortened(item)}: write it as section.name=value, for example training.epochs=3")
        if name.strip() == "data.delimiter" and len(value) == 1:
            changes[name.strip()] = value  # as it stands: `|` starts a block of YAML, and a comma alone is none
            continue
        try:
            changes[name.strip()] = read_yaml(value, f"--set {shortened(item)}")
        except ConfigError as error:
            raise ConfigError(f"{error}; quote it if it is text") from error
    return changes


def parse_config(tree: Mapping[str, Any], source: str) -> Config:
    """Check a nested dictionary of settings.

    Raises:
        ConfigError: One line for each fault, all collected; `source` starts each line.
    """
    try:
        return Config.model_validate(_numbers(tree))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = dict.fromkeys(f"{source}: {_explain(dict(fault))}" for fault in faults[:_MOST_FAULTS])  # each once, in order
        if len(faults) > _MOST_FAULTS:
            lines[f"{source}: and {len(faults) - _MOST_FAULTS:,} more faults"] = None
        raise ConfigError("\n".join(lines)) from None
    except ValueError:  # Python does not write such a number out, as a name or elsewhere
        raise ConfigError(f"{source}: a number of thousands of digits, which no setting has") from None


def _merge(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay dotted changes over a nested dictionary, leaving both as they were; a section with nothing in it is left out."""
    merged = {name: section for name, section in tree.items() if section is not None}
    for dotted, value in changes.items():
        section, dot, name = dotted.partition(".")
        if not dot:
            shown = shortened(dotted)
            raise ConfigError(f"--set {shown}: name the section too, for example training.{shown}")
        inner = merged.get(section, {})
        merged[section] = {**inner, name: value} if isinstance(inner, Mapping) else inner  # which the check then names
    return merged


def _numbers(value: Any, name: str = "") -> Any:
    """Read `1e-3` as a number, which YAML 1.1 takes for text; paths and names of columns are left alone."""
    if isinstance(value, Mapping):
        return {k: v if name in {"data", "text"} else _numbers(v, k if isinstance(k, str) else "") for k, v in value.items()}
    if isinstance(value, str) and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(fault: dict[str, Any]) -> str:
    """One line for a pydantic fault: the dotted name, what is wrong, and the nearest name where that is the fault."""
    path = [part for part in fault["loc"] if isinstance(part, str)][:2]
    name = ".".join(map(shortened, path)) or "the top level"
    given = quoted(fault["input"])
    if fault["type"] == "model_type":
        return f"{name}: must be a section of settings, not {given}"
    if fault["type"] == "extra_forbidden":
        known = list(Config.model_fields if len(path) == 1 else Config.model_fields[path[0]].annotation.model_fields)  # type: ignore[union-attr]
        near = difflib.get_close_matches(path[-1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return f"{name}: unknown setting; {hint}"
    if fault["type"] in {"string_type", "tuple_type"} and path[0] == "data":
        return f"{name}: must be text or a list of texts, not {given}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return message if "." in message.split(" ")[0] else f"{name}: {message}, not {given}"
    return f"{name}: {message[0].lower()}{message[1:]}, not {given}"
