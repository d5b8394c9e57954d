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

from textcls.errors import ConfigError
from textcls.settings import DataSettings, ModelSettings, Settings, TextSettings, TrainingSettings

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
        tree = yaml.load(Path(path).read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text, so it is no settings file") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not valid settings: brackets inside brackets, too many for YAML to be read") from error
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: something like a date that is none, 2020-13-45
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}{where}: not valid YAML: {reason}") from error
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{path}: expected sections data, text, model and training, found a {type(tree).__name__}")
    changes = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
    return parse_config(_merge(amend(tree or {}), changes), str(path))


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which would let a setting that is given twice pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a name that stands twice."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Turn `a.b=c` items into a dictionary from dotted name to value; values are read as YAML, and the last of a name counts.

    Raises:
        ConfigError: An item has no `=`, or its value is not valid YAML.
    """
    changes: dict[str, Any] = {}
    for item in overrides:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {item}: write it as section.name=value, for example training.epochs=3")
        try:
            # As it stands: `|` starts a block of YAML, and a comma alone is none.
            changes[name.strip()] = value if name.strip() == "data.delimiter" and len(value) == 1 else yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"--set {item}: the value is not valid YAML; quote it") from error
    return changes


def parse_config(tree: Mapping[str, Any], source: str) -> Config:
    """Check a nested dictionary of settings.

    Raises:
        ConfigError: One line for each fault, all collected; `source` starts each line.
    """
    try:
        return Config.model_validate(_numbers(tree))
    except ValidationError as error:
        lines = dict.fromkeys(f"{source}: {_explain(dict(fault))}" for fault in error.errors())  # each once, in order
        raise ConfigError("\n".join(lines)) from None


def _merge(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay dotted changes over a nested dictionary, leaving both as they were; a section with nothing in it is left out."""
    merged = {name: section for name, section in tree.items() if section is not None}
    for dotted, value in changes.items():
        section, dot, name = dotted.partition(".")
        if not dot:
            raise ConfigError(f"--set {dotted}: name the section too, for example training.{dotted}")
        inner = merged.get(section, {})
        merged[section] = {**inner, name: value} if isinstance(inner, Mapping) else inner  # which the check then names
    return merged


def _numbers(value: Any, name: str = "") -> Any:
    """Read `1e-3` as a number, which YAML 1.1 takes for text; paths and names of columns are left alone."""
    if isinstance(value, Mapping):
        return {k: v if name in {"data", "text"} else _numbers(v, str(k)) for k, v in value.items()}
    if isinstance(value, str) and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(fault: dict[str, Any]) -> str:
    """One line for a pydantic fault: the dotted name, what is wrong, and the nearest name where that is the fault."""
    path = [part for part in fault["loc"] if isinstance(part, str)][:2]
    name = ".".join(path) or "the top level"
    if fault["type"] == "model_type":
        return f"{name}: must be a section of settings, not {fault['input']!r}"
    if fault["type"] == "extra_forbidden":
        known = list(Config.model_fields if len(path) == 1 else Config.model_fields[path[0]].annotation.model_fields)  # type: ignore[union-attr]
        near = difflib.get_close_matches(path[-1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return f"{name}: unknown setting; {hint}"
    if fault["type"] in {"string_type", "tuple_type"} and path[0] == "data":
        return f"{name}: must be text or a list of texts, not {fault['input']!r}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return message if "." in message.split(" ")[0] else f"{name}: {message}, not {fault['input']!r}"
    return f"{name}: {message[0].lower()}{message[1:]}, not {fault['input']!r}"
