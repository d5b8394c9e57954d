"""Labels given in memory, beside the texts: one for each text, a list for each, or an indicator matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textcls.config import DataSettings
from textcls.data.frames import frame_of, plain_value, values_of
from textcls.data.label_cells import BadLabelError, LabelCells, is_null, refuse_one_hot, shape_of
from textcls.data.labels import Label, LabelSet, label_text
from textcls.data.rows import ReadReport
from textcls.errors import DataError, named, quoted

_SEVERAL = (list, tuple, set, frozenset)
_SHOWN = 3  # places of rows without a label


@dataclass(frozen=True)
class GivenLabels:
    """What each text has.

    Attributes:
        labels: The label of each text, or the list of them, [n]; None where it is missing and the row is to be left out.
        classes: The columns of an indicator matrix, in their order; None where something else was given.
        notes: What a person should know, a sentence each.
    """

    labels: list[Any]
    classes: tuple[Label, ...] | None
    notes: tuple[str, ...]


def labels_from_memory(
    given: Any, texts: int, settings: DataSettings, many: bool | None, classes: Sequence[Label] | None = None
) -> GivenLabels:
    """Read labels as a column of a table is read: blanks around them, whole numbers and missing ones mean what they mean there.

    Args:
        given: The label of each text, or the labels, [n]; or an indicator matrix, [n, labels] of 0 and 1: an array, whose labels
            are 0, 1, 2, …, or a table, whose columns are the labels.
        texts: How many texts there are.
        settings: Whether blanks are stripped, and what is done with rows that have no label.
        many: Whether each text has a list of labels; where not given, whether the first label is a list, a tuple or a set.
        classes: The labels that there are, of which an indicator matrix must then have a column each: an array in this order.

    Raises:
        DataError: There are no rows, not as many labels as texts, something is no label, or the columns are not the labels.
    """
    names, found = _columns_in(given)
    if names is not None and many is not False and classes is not None:
        names = _columns_of(classes, names)
    if len(found) != texts:
        raise DataError(f"there are {texts:,} texts, but {len(found):,} labels")
    if not texts:
        raise DataError("there are no rows")
    if names is not None:
        if many is False:
            raise DataError("the labels are an indicator matrix, but a text has one label here: give the label of each text")
        lists = [[names[place] for place in np.flatnonzero(row).tolist()] for row in found]
        return GivenLabels(lists, tuple(names), _without_rows(names, found))
    values = list(map(plain_value, found))
    if many is None:
        many = isinstance(next((value for value in values if not is_null(value)), None), _SEVERAL)
    cells = LabelCells(settings)
    labels: list[Any] = _lists(values, cells) if many else [_label(value, place, cells) for place, value in enumerate(values)]
    return GivenLabels(labels, None, (*_left_out(labels, values, settings), *ReadReport(stripped=cells.stripped).notes()))


def _columns_in(given: Any) -> tuple[list[Label] | None, Any]:
    """Return the names of the labels and a matrix of 0 and 1, where that was given; else None and what each row has.

    A table of one column, and a matrix of one, are taken for that column.
    """
    if hasattr(given, "toarray"):  # a sparse matrix of scipy, as `MultiLabelBinarizer` gives it
        given = given.toarray()
    names: list[Label]
    if isinstance(given, np.ndarray) and given.ndim == 2:
        if given.shape[1] == 1:
            return None, values_of(given[:, 0], "the labels")
        names, columns = list(range(given.shape[1])), [given[:, place].tolist() for place in range(given.shape[1])]
    elif (frame := frame_of(given)) is not None:
        if len(frame.columns) == 1:
            return None, frame.column(frame.columns[0])
        names, columns = list(frame.columns), [frame.column(name) for name in frame.columns]
    else:
        return None, values_of(given, "the labels")
    for name, column in zip(names, columns, strict=True):
        for place, value in enumerate(column):
            if value is None or isinstance(value, str) or value not in (0, 1):
                raise DataError(f"the value of the label {quoted(name)} at index {place} is {quoted(value)}; it must be 0 or 1")
    return names, np.array(columns, np.bool_).T


def _columns_of(classes: Sequence[Label], names: list[Label]) -> list[Label]:
    """Return which of the labels that there are each column of an indicator matrix stands for.

    Args:
        classes: The labels.
        names: The columns: texts where they have names, and numbers where they are those of an array.

    Raises:
        DataError: They are not the labels.
    """
    if isinstance(names[0], int):
        if len(names) != len(classes):
            labels = named(list(map(quoted, classes)))
            raise DataError(
                f"the indicator matrix has {len(names)} columns, but there are {len(classes)} labels, {labels}: "
                "give a column for each, in their order"
            )
        return list(classes)
    known, found = LabelSet(tuple(classes)), dict[int | None, Label]()
    strange = [name for name in names if (place := known.number(name)) is None or found.setdefault(place, name) != name]
    lacking = [label for place, label in enumerate(classes) if place not in found]
    if strange or lacking:
        faults = (("of no label", strange), ("missing", lacking))
        told = "; ".join(f"{what}: {named(list(map(quoted, some)))}" for what, some in faults if some)
        raise DataError(f"the columns of the table of labels are not the {len(classes)} labels that there are: {told}")
    return [classes[place] for place in map(known.number, names) if place is not None]


def _without_rows(names: Sequence[Label], found: Any) -> tuple[str, ...]:
    none = [quoted(name) for name, any_ in zip(names, found.any(axis=0), strict=True) if not any_]
    return (f"labels that no row has, of which nothing can be learnt: {named(none)}",) if none else ()


def _left_out(labels: Sequence[Any], values: Sequence[Any], settings: DataSettings) -> tuple[str, ...]:
    """Stop where rows have no label, or note that they are left out.

    Raises:
        DataError: `data.missing_labels` is `error`, or no row has a label.
    """
    lost = [place for place, label in enumerate(labels) if label is None]
    if not lost:
        return ()
    if settings.missing_labels == "error":
        raise DataError(
            f"the label at index {lost[0]} is {quoted(values[lost[0]])}: give text, a number or a bool, "
            "or set data.missing_labels to skip to leave rows without a label out"
        )
    if len(lost) == len(labels):
        raise DataError("no row has a label")
    places = ", ".join(map(str, lost[:_SHOWN])) + ", …" * (len(lost) > _SHOWN)
    return (f"{len(lost):,} row{'s' * (len(lost) != 1)} without a label, left out (index {places})",)


def _label(value: Any, place: int, cells: LabelCells) -> Label | None:
    try:
        return cells.label(value)
    except BadLabelError:
        raise DataError(f"the label at index {place} is {quoted(value)}: give text, a number or a bool") from None


def _lists(found: Sequence[Any], cells: LabelCells) -> list[list[Label]]:
    """Return the labels of each text, each once; a text without a list has none, as in a column."""
    lists = []
    shapes: Counter[int] = Counter()
    for place, values in enumerate(found):
        if not isinstance(values, _SEVERAL) and not is_null(values):
            raise DataError(f"the labels at index {place} are {quoted(values)}: give a list of labels for each text")
        read = [_label(plain_value(value), place, cells) for value in ([] if is_null(values) else values)]
        labels = [label for label in read if label is not None]
        if len(labels) < len(read):
            raise DataError(f"a label at index {place} is missing: {quoted(values)}")
        shapes[shape_of(labels)] += bool(labels)
        lists.append(list({label_text(label): label for label in labels}.values()))
    refuse_one_hot(shapes, "each list of labels")
    return lists
