"""What stands in the column of a label, or of many labels: one label, a list in any usual spelling, or columns of 0 and 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from textcls.config import DataSettings
from textcls.data.blocks import MISSING, Block, column_values, without_surrogates
from textcls.data.json_values import repeated_key
from textcls.data.label_lists import labels_in
from textcls.data.labels import Label, label_text
from textcls.data.text_rows import in_words
from textcls.errors import DataError, quoted

_TRUE: Final = frozenset({"1", "1.0", "true"})
_FALSE: Final = frozenset({"0", "0.0", "false"})
_TRUTHS: Final = _TRUE | _FALSE
_LARGEST: Final = 2**53  # as a float, a larger number may have lost digits
_INSTEAD: Final = (
    'write the names of the labels, or an object such as {"a": 1, "b": 0}, or name columns of 0 and 1, as data.labels: [a, b]'
)

Found: TypeAlias = Label | list[Label] | None  # None: the label is missing


class LabelCells:
    """Turns the column, or the columns, of the labels into labels, block by block.

    Args:
        settings: Which columns, and whether blanks around a label are stripped.

    Attributes:
        columns: The columns to read.
        many: Whether each row has a list of labels.
        stripped: Rows of each label that had blanks around it, as it stood there.
    """

    def __init__(self, settings: DataSettings) -> None:
        self._strip = settings.strip_labels
        self._by_column = isinstance(settings.labels, tuple)
        self.many = settings.labels is not None
        names = settings.labels or settings.label or "label"
        self.columns = (names,) if isinstance(names, str) else names
        self._place = f"column {self.columns[0]!r}"
        self.stripped: Counter[str] = Counter()
        self._shapes: Counter[int] = Counter()

    def read(self, block: Block, names: Mapping[str, Sequence[str]]) -> tuple[list[Found], dict[int, str]]:
        """Return the label of each row, or its labels, and by row what is wrong with it.

        Args:
            block: The rows.
            names: By column, the names of classes that are numbers there.
        """
        columns = [column_values(block.columns[name]) for name in self.columns]
        cells: Iterable[Any] = zip(*columns, strict=True) if self._by_column else columns[0]
        read: Callable[[Any], Found] = partial(self._of_columns, names=names)
        if not self._by_column:
            read = partial(self._list if self.many else self._class, names=names.get(self.columns[0], ()))
        found: list[Found] = []
        faults: dict[int, str] = {}
        for row, cell in enumerate(cells):
            try:
                found.append(read(cell))
            except BadLabelError as fault:
                found.append(None)
                faults[row] = str(fault)
        return found, faults

    def check_all(self) -> None:
        """Look at all that was read.

        Raises:
            DataError: Every list has as many values, all of them 0 or 1.
        """
        refuse_one_hot(self._shapes, f"data.labels: each list in {self._place}")

    def _class(self, value: Any, names: Sequence[str]) -> Label | None:
        return self.label(self._named(value, names) if names else value)

    def label(self, value: Any) -> Label | None:
        """Return one label; None where there is none.

        Raises:
            BadLabelError: It is no text, number or truth value.
        """
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise BadLabelError(f"the label in {self._place} is bytes that are not UTF-8 text") from None
        if isinstance(value, str):
            stripped = value.strip()
            if stripped != value and stripped and self._strip:
                self.stripped[value] += 1
                value = stripped
            return without_surrogates(value) if stripped else None
        if value is MISSING or is_null(value):
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST:
            return int(value)  # JSON's 1 and 1.0 are one number
        if isinstance(value, bool | int | float):
            return value
        hint = "; for several labels a text set data.labels" if isinstance(value, list | dict) and not self.many else ""
        raise BadLabelError(f"the label in {self._place} is {in_words(value)}{hint}")

    def _list(self, value: Any, names: Sequence[str]) -> list[Label] | None:
        """Return the labels of one cell: a list, an object of 0 and 1, either of them as text, or text with separators."""
        if value is MISSING:
            return None
        if is_null(value):
            return []
        if names:
            value = [self._named(one, names) for one in (value if isinstance(value, list) else [value])]
            if None in value:
                return None
        elif isinstance(value, str):
            try:
                value = labels_in(value.strip())
            except ValueError:
                raise BadLabelError(f'the labels in {self._place} are no JSON list, such as ["a", "b"]') from None
        numbers_are_names = names or isinstance(value, dict)
        if isinstance(value, dict):
            value = self._having(value)
        if not isinstance(value, list | tuple):
            raise BadLabelError(f"the labels in {self._place} are {in_words(value)}, not a list")
        labels = [label for label in map(self.label, value) if label is not None]
        if len(labels) < len(value):
            raise BadLabelError(f"a label in {self._place} is missing")
        shape = 0 if numbers_are_names else shape_of(labels)
        self._shapes[shape] += bool(labels)
        if len({*map(label_text, labels)}) < len(labels):
            twice = Counter(map(label_text, labels)).most_common(1)[0][0]
            self._refuse_twice(twice, f"the list seems to be 0 or 1 for each label; {_INSTEAD}" if shape else "name each once")
        return labels

    def _having(self, value: dict[Any, Any]) -> list[Any]:
        """Return the labels that an object has 1 for; null is 0: where rows share a type, it stands for a label not named."""
        if (twice := repeated_key(value)) is not None:
            self._refuse_twice(twice, "name each once")
        return [name for name, has in value.items() if has is not None and _truth(has, name)]

    def _of_columns(self, values: Sequence[Any], names: Mapping[str, Sequence[str]]) -> list[Label] | None:
        """Return the names of the columns that hold 1; None where one of them is missing, or -1, which stands for that."""
        cells = zip(self.columns, values, strict=True)
        values = [self._class_truth(value, names[name], name) if name in names else value for name, value in cells]
        texts = ["" if value is MISSING or is_null(value) else label_text(value).strip() for value in values]
        if any(text in {"", "-1", "-1.0"} for text in texts):
            return None
        return [name for name, text in zip(self.columns, texts, strict=True) if _truth(text, name)]

    def _class_truth(self, value: Any, names: Sequence[str], column: str) -> Any:
        """Return the name of a class from its number, for yes and no 1 and 0."""
        name = self._named(value, names, column)
        return {"yes": "1", "no": "0"}.get(name.strip().lower(), name) if isinstance(name, str) else name

    def _named(self, value: Any, names: Sequence[str], column: str | None = None) -> Any:
        """Return the name of a class from its number; None for -1, which stands for a label that is missing."""
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(number, int):
            return value
        if not -1 <= number < len(names):
            place = f"column {column!r}" if column else self._place
            raise BadLabelError(
                f"the label in {place} is {number}, but its {len(names)} classes have the numbers from 0 to {len(names) - 1}"
            )
        return None if number == -1 else names[number]

    def _refuse_twice(self, label: str, hint: str) -> None:
        raise BadLabelError(f"the labels in {self._place} name {quoted(label)} twice; {hint}")


class BadLabelError(Exception):
    """A value that cannot be a label; the caller knows its place."""


def shape_of(labels: Sequence[Label]) -> int:
    """Return how many values a list has that may be 0 or 1 for each label there is; 0 for another list."""
    zeros_and_ones = all(label_text(label).lower() in _TRUTHS for label in labels)
    return len(labels) if zeros_and_ones and len(labels) > 1 else 0


def refuse_one_hot(shapes: Counter[int], what: str) -> None:
    """Make sure that lists of labels, given how many of them have each shape, are not 0 or 1 for each label.

    Raises:
        DataError: They are; the message starts with what they are.
    """
    (shape, count), *others = (+shapes).most_common(2) or [(0, 0)]
    if shape and count > 1 and not others:
        raise DataError(f"{what} has {shape} values, all 0 or 1: it seems to be 0 or 1 for each label; {_INSTEAD}")


def is_null(value: Any) -> bool:
    """Whether a value stands for a missing one: None or NaN."""
    return value is None or (isinstance(value, float) and value != value)


def _truth(value: Any, label: str) -> bool:
    """Return whether a row has a label, from 0 or 1."""
    text = label_text(value).strip().lower() if isinstance(value, str | int | float) else in_words(value)
    if text in _TRUTHS:
        return text in _TRUE
    raise BadLabelError(f"the value of the label {label!r} is {quoted(value)}; it must be 0 or 1")
