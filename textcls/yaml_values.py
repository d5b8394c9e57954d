"""YAML as values, within bounds: what is no YAML, or would fill time and memory, becomes one line."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from textcls.errors import ConfigError, quoted, shortened

_MOST_VALUES = 200_000  # some seconds: names count too, and each as often as aliases repeat it; tables of weights may be long
_MOST_DEPTH = 16  # a weight in a table of a setting in a section lies at 4
_LONGEST_NUMBER = 100  # characters; beyond some thousands Python neither reads nor writes whole numbers
_LONGEST_REASON = 200  # characters: some quote what they found
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_NO_NAMES = {"tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"}  # keys that have a meaning of their own, and no value


def read_yaml(text: str, source: str) -> Any:
    """Return what a YAML document holds; None where it is empty.

    Args:
        text: The document.
        source: What messages call it.

    Raises:
        ConfigError: It is no valid YAML, a name is given twice, or it is larger or deeper than any settings.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the latter two: `%YAML` or `\U` with an impossible number
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{source}{where}: not valid YAML: {shortened(reason, _LONGEST_REASON)}") from error


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which would let names that are given twice pass, and fail on much else in its own ways."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[int, int] = {}  # of each node that is complete: its values, with those that aliases repeat

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Count depth and values, an alias as much as what it stands for."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        mark, alias, before = event.start_mark, isinstance(event, yaml.AliasEvent), self._values
        if self._depth == _MOST_DEPTH:
            raise _fault(f"more than {_MOST_DEPTH} levels, one inside the other", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise _fault("an alias stands inside of what it stands for", mark)
        self._values += self._sizes[id(node)] if alias else 1
        if self._values > _MOST_VALUES:
            raise _fault(f"more than {_MOST_VALUES:,} values, with those that aliases repeat", mark)
        if not alias:
            self._sizes[id(node)] = self._values - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a name that stands twice, however it is written; later, names that `<<` merged stand among them."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = key.value if key.tag in _NO_NAMES else self.construct_object(key)
                if not isinstance(name, Hashable):
                    raise _fault("a list as a name", key.start_mark)
                if name in seen:
                    raise _fault(f"{shortened(key.value)} is given twice", key.start_mark)
                seen.add(name)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Say where a value stands that is not what it seems or claims to be, such as the date 2020-13-45.

        A number of too many digits stays a text, which no setting takes for a number.
        """
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
            return node.value
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise _fault(str(error), node.start_mark) from error
        except (ArithmeticError, LookupError, AttributeError) as error:  # a tag before what it does not fit: `!!bool maybe`
            raise _fault(f"{quoted(node.value)} is no {node.tag.rpartition(':')[2]}", node.start_mark) from error


def _fault(reason: str, mark: Any) -> ConstructorError:
    return ConstructorError(None, None, reason, mark)
