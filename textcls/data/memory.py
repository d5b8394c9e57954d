"""Labelled rows from Python values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textcls.config import DataSettings
from textcls.data.label_cells import refuse_one_hot, shape_of
from textcls.data.labelled import rows_from_dataset
from textcls.data.labels import Label, label_text
from textcls.data.rows import Rows
from textcls.errors import DataError, quoted

if TYPE_CHECKING:
    from datasets import Dataset

_SEVERAL = (list, tuple, set, frozenset)


def rows_from_memory(
    texts: Iterable[str] | Dataset,
    labels: Iterable[Label | Collection[Label]] | None,
    settings: DataSettings,
    *,
    many: bool | None = None,
) -> Rows:
    """Return rows given in memory.

    Args:
        texts: Texts, [n], or a `datasets.Dataset`.
        labels: The label of each text, or the labels, [n]; None for a `Dataset`.
        settings: Which columns of a `Dataset` to read.
        many: Whether each text has a list of labels; where not given, whether all labels are lists, tuples or sets.

    Raises:
        DataError: There are no rows, not as many labels as texts, or something is no text or no label.
    """
    if labels is None:
        if hasattr(texts, "column_names") and hasattr(texts, "features"):
            return rows_from_dataset(texts, settings)
        raise DataError("labels are missing: give a label for each text, or a Hugging Face Dataset that holds both")
    plain = checked_texts(texts)
    found = list(labels)
    if len(found) != len(plain):
        raise DataError(f"there are {len(plain):,} texts, but {len(found):,} labels")
    if not plain:
        raise DataError("there are no rows")
    if many is None:
        many = all(isinstance(value, _SEVERAL) for value in found)
    checked: list[Any] = [_label(value, place) for place, value in enumerate(found)] if not many else _lists(found)
    return Rows.of(plain, checked)


def _label(value: Any, place: int) -> Label:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float | bool) or value == "" or value != value:
        raise DataError(f"the label at index {place} is {quoted(value)}: give text, a number or a bool")
    return value


def _lists(found: Sequence[Any]) -> list[list[Label]]:
    """Return the labels of each text, each once."""
    lists = []
    shapes: Counter[int] = Counter()
    for place, values in enumerate(found):
        if not isinstance(values, _SEVERAL):
            raise DataError(f"the labels at index {place} are {quoted(values)}: give a list of labels for each text")
        labels = [_label(value, place) for value in values]
        shapes[shape_of(labels)] += bool(labels)
        lists.append(list({label_text(label): label for label in labels}.values()))
    refuse_one_hot(shapes, "each list of labels")
    return lists


def checked_texts(texts: Iterable[str]) -> list[str]:
    """Return texts as a list.

    Raises:
        DataError: `texts` is one string, or holds something that is no text.
    """
    if isinstance(texts, str):
        raise DataError("texts is one string: give a list of texts")
    found = [str(text) if isinstance(text, np.str_) else text for text in texts]
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise DataError(f"the text at index {place} is {quoted(text)}: give strings")
    return found
