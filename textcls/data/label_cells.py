"""What stands in the column of a label, or of many labels: one label, a list in any usual spelling, or columns of 0 and 1."""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from textcls.config import DataSettings
from textcls.data.blocks import MISSING, Block, column_values, without_surrogates
from textcls.data.labels import Label, label_text
from textcls.data.text_rows import in_words
from textcls.errors import DataError

# Separators of several labels in one text field; labels that hold one of these are written as a JSON list.
_SEPARATORS: Final = re.compile(r"[,;|]")
_NO_COMMA: Final = re.compile(r"""['"]\s+['"]""")  # as numpy writes a list, which Python would read as one text
_TRUE: Final = frozenset({"1", "1.0", "true"})
_FALSE: Final = frozenset({"0", "0.0", "false"})
_ONE_HOT: Final = (
    'seems to be 0 or 1 for each label; write the labels\' names, or an object such as {"a": 1, "b": 0}, '
    "or name columns of 0 and 1, as data.labels: [a, b]"
)

Found: TypeAlias = Label | list[Label] | None  # None: the label is missing


class LabelCells:
    """Turns the column, or the columns, of the labels into labels, block by block.

    Args:
        settings: Which columns, and whether blanks around a label are stripped.

    Attributes:
        columns: The columns to read.
        stripped: Rows of each label that had blanks around it, as it stood there.
    """

    def __init__(self, settings: DataSettings) -> None:
        self._labels = settings.labels
        self._strip = settings.strip_labels
        self.many = settings.labels is not None
        named = settings.labels or settings.label or "label"
        self.columns = (named,) if isinstance(named, str) else named
        self.stripped: Counter[str] = Counter()
        self._lists: set[int] = set()  # the lengths of lists of 0 and 1; -1 for another one

    def read(self, block: Block, names: Mapping[str, Sequence[str]]) -> tuple[list[Found], dict[int, str]]:
        """Return the label of each row, or its labels, and by row what is wrong with it.

        Args:
            block: The rows.
            names: By column, the names of classes that are numbers there.
        """
        columns = [column_values(block.columns[name]) for name in self.columns]
        if isinstance(self._labels, tuple):
            cells: list[Any] = list(zip(*columns, strict=True))
            read: Callable[[Any], Found] = self._of_columns
        else:
            cells = columns[0]
            known = names.get(self.columns[0])
            if known is not None:
                cells = [_named(value, known) for value in cells]
            read = self._list if self.many else self._label
        found: list[Found] = []
        faults: dict[int, str] = {}
        for row, cell in enumerate(cells):
            try:
                found.append(read(cell))
            except _BadLabelError as fault:
                found.append(None)
                faults[row] = str(fault)
        return found, faults

    def check_all(self) -> None:
        """Look at all that was read.

        Raises:
            DataError: Every list has as many labels, all of them 0 or 1.
        """
        if len(self._lists) == 1 and self._lists != {-1}:
            raise DataError(
                f"data.labels: each list in column {self.columns[0]!r} has as many labels, all 0 or 1: it {_ONE_HOT}"
            )

    def _label(self, value: Any) -> Label | None:
        """Return one label; None where there is none."""
        if isinstance(value, str):
            label = value.strip()
            if not label:
                return None
            if self._strip and label != value:
                self.stripped[value] += 1
            return without_surrogates(label if self._strip else value)
        if value is None or value is MISSING or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, float) and value.is_integer():
            return int(value)  # JSON's 1 and 1.0 are one number
        if isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes):
            return self._label(value.decode("utf-8", "replace"))
        hint = "; for several labels a text set data.labels" if isinstance(value, list | dict) else ""
        raise _BadLabelError(f"the label in column {self.columns[0]!r} is {in_words(value)}{hint}")

    def _list(self, value: Any) -> list[Label]:
        """Return the labels of one cell: a list, an object of 0 and 1, either of them as text, or text with separators."""
        if value is MISSING:
            raise _BadLabelError(f"there is no {self.columns[0]!r}")
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return []
        if isinstance(value, str):
            value = self._parsed(value)
        if isinstance(value, dict):
            return [label for label, has in value.items() if _truth(has, label)]
        if not isinstance(value, list | tuple | set):
            raise _BadLabelError(f"the labels in column {self.columns[0]!r} are {in_words(value)}, not a list")
        labels = [self._label(label) for label in value]
        texts = [label_text(label) for label in labels if label is not None]
        if len(texts) < len(labels):
            raise _BadLabelError(f"a label in column {self.columns[0]!r} is missing")
        zero_or_one = {*texts} <= {"0", "1"}
        if labels:
            self._lists.add(len(labels) if zero_or_one and len(labels) > 1 else -1)
        if len({*texts}) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            hint = f"the list {_ONE_HOT}" if zero_or_one else "name each once"
            raise _BadLabelError(f"the labels in column {self.columns[0]!r} name {twice!r} twice; {hint}")
        return [label for label in labels if label is not None]

    def _parsed(self, text: str) -> Any:
        start = text.lstrip()[:1]
        if start not in {"[", "{"}:
            return [part.strip() for part in _SEPARATORS.split(text)] if text.strip() else []
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
        try:  # as Python writes it, which pandas does in `to_csv`
            if _NO_COMMA.search(text):
                raise ValueError
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise _BadLabelError(f'the labels in column {self.columns[0]!r} are no JSON list, such as ["a", "b"]') from None

    def _of_columns(self, values: Sequence[Any]) -> list[Label] | None:
        """Return the names of the columns that hold 1; None where one of them is missing, or -1, which stands for that."""
        texts = ["" if value is None or value is MISSING or value != value else label_text(value).strip() for value in values]
        if any(text in {"", "-1", "-1.0"} for text in texts):
            return None
        return [name for name, text in zip(self.columns, texts, strict=True) if _truth(text, name)]


class _BadLabelError(Exception):
    """A value that cannot be a label; the caller knows its place."""


def _truth(value: Any, label: str) -> bool:
    """Return whether a row has a label, from 0 or 1."""
    text = label_text(value).strip().lower() if isinstance(value, str | int | float) else in_words(value)
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise _BadLabelError(f"the value of the label {label!r} is {value!r}; it must be 0 or 1")


def _named(value: Any, names: Sequence[str]) -> Any:
    """Return the name of a class, or of each of a list of them, from its number; -1 stands for one that is missing."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if not isinstance(value, int) or value < 0:
        return None if isinstance(value, int) else value
    return names[value] if value < len(names) else value
