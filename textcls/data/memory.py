"""Texts and labelled rows from Python values: tables, columns, lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from textcls.config import DataSettings
from textcls.data.frames import Frame, frame_of, values_of
from textcls.data.label_cells import refuse_one_hot, shape_of
from textcls.data.labelled import read_sources
from textcls.data.labels import Label, label_text, sorted_texts
from textcls.data.rows import Rows
from textcls.data.sources import Role
from textcls.data.splits import load_splits, split_rows
from textcls.data.weights import checked_weights, weights_in
from textcls.errors import DataError, named, quoted

_SEVERAL = (list, tuple, set, frozenset)

Given: TypeAlias = Any
"""A table or a column of texts: see `texts_from_memory`. The libraries that they come from are not imported for their types."""


def texts_from_memory(given: Given, settings: DataSettings, *, or_text: bool = False) -> list[str]:
    """Return the texts that a user hands in, [n].

    Args:
        given: A pandas or polars `DataFrame`, an Arrow table, a `datasets.Dataset` or a dictionary of columns, of which `data.text`
            names the column or columns, or which has one column alone; or a list, a `Series` or an array of texts.
        settings: Which columns.
        or_text: Whether a column `text` may stand in where a table lacks those named.

    Raises:
        DataError: It is nothing of the kind, a column is missing, or a row has no text.
    """
    frame = frame_of(given)
    return checked_texts(given) if frame is None else frame.texts(text_columns(settings), or_text=or_text)


def text_columns(settings: DataSettings) -> tuple[str, ...]:
    """Return the columns of the text."""
    return (settings.text,) if isinstance(settings.text, str) else settings.text


def rows_from_memory(
    texts: Given,
    labels: Any,
    settings: DataSettings,
    *,
    many: bool | None = None,
    sample_weight: Any = None,
    role: Role = "train",
) -> Rows:
    """Return labelled rows given in memory.

    Args:
        texts: What `texts_from_memory` takes.
        labels: The label of each text, or the labels, [n]; or an indicator matrix, [n, labels] of 0 and 1: an array, whose labels
            are 0, 1, 2, …, or a table, whose columns are the labels. None where the texts are a table with the labels in it.
        settings: Which columns to read.
        many: Whether each text has a list of labels; where not given, whether all labels are lists, tuples or sets.
        sample_weight: What each row weighs, [n], 0 or more; the column `data.weight` where not given.
        role: What the rows are for: those of training alone have weights.

    Raises:
        DataError: There are no rows, not as many labels as texts, or something is no text, no label or no weight.
    """
    frame = frame_of(texts)
    if labels is None:
        if frame is None:
            raise DataError("labels are missing: give a label for each text, or a table that holds both")
        return _labelled_frame(frame, settings, sample_weight, role)
    plain = checked_texts(texts) if frame is None else frame.texts(text_columns(settings))
    names, found = _labels_in(labels)
    if len(found) != len(plain):
        raise DataError(f"there are {len(plain):,} texts, but {len(found):,} labels")
    if not plain:
        raise DataError("there are no rows")
    checked: list[Any]
    if names is not None:
        if many is False:
            raise DataError("the labels are an indicator matrix, but a text has one label here: give the label of each text")
        checked = [[names[place] for place in np.flatnonzero(row).tolist()] for row in found]
    elif many or (many is None and all(isinstance(value, _SEVERAL) for value in found)):
        checked = _lists(found)
    else:
        checked = [_label(value, place) for place, value in enumerate(found)]
    weights = _weights(frame, len(plain), settings, sample_weight) if role == "train" else None
    notes = _of_indicators(names, found) if names is not None and role == "train" else ()
    return replace(Rows.of(plain, checked), weights=weights, notes=notes)


def _of_indicators(names: Sequence[Label], found: Any) -> tuple[str, ...]:
    """Tell where the columns of `predict_proba` are not those of an indicator matrix, as scikit-learn's scorers expect."""
    notes = []
    if none := [quoted(name) for name, any_ in zip(names, found.any(axis=0), strict=True) if not any_]:
        notes.append(f"labels that no row has, which the model will not know: {named(none)}")
    if list(map(label_text, names)) != sorted_texts(map(label_text, names)):
        notes.append("the columns of y are in another order than classes_, which is that of the columns of predict_proba")
    return tuple(notes)


def rows_to_fit(
    settings: DataSettings, texts: Given, labels: Any, sample_weight: Any = None, validation_data: Any = None
) -> tuple[Rows, Rows | None, tuple[str, ...]]:
    """Return the rows to train on, those to validate on, and what reading them found.

    Args:
        settings: Where the rows are, if no texts are given; else which columns to read, and the share to validate on.
        texts: What `texts_from_memory` takes.
        labels: As for `rows_from_memory`.
        sample_weight: What each row weighs, [n].
        validation_data: A table with labels, or a pair of texts and labels; where not given, rows are held out.

    Raises:
        DataError: They cannot be used.
    """
    if texts is None:
        if any(given is not None for given in (labels, sample_weight, validation_data)):
            raise DataError("X is missing: give the texts too, or nothing at all for the data that the settings name")
        splits = load_splits(settings)
        return splits.train, splits.validation, splits.notes
    many = True if settings.labels else None
    rows = rows_from_memory(texts, labels, settings, many=many, sample_weight=sample_weight)
    if validation_data is None:
        cut = split_rows(rows, settings.validation_share, 0.0, settings.split_seed)
        validation = rows.select(cut.validation) if len(cut.validation) else None
        return rows.select(cut.train), validation, rows.notes + cut.notes
    given = validation_data if isinstance(validation_data, tuple | list) else (validation_data, None)
    if len(given) != 2:
        raise DataError("validation_data must be a table with labels, or a pair of texts and labels")
    columns = settings
    if rows.many and settings.labels is None:
        columns = settings.model_copy(update={"label": None, "labels": settings.label or "labels"})
    validation = rows_from_memory(given[0], given[1], columns, many=rows.many, role="validation")
    return rows, validation, rows.notes + tuple(f"validation: {note}" for note in validation.notes)


def _labelled_frame(frame: Frame, settings: DataSettings, sample_weight: Any, role: Role) -> Rows:
    """Read a table that has the labels too."""
    if sample_weight is None:
        return read_sources([frame], settings, role)
    weights = checked_weights(sample_weight, frame.rows)
    rows = read_sources([frame], settings.model_copy(update={"weight": None}), role)
    return replace(rows, weights=weights[rows.row - 1])  # of rows without a label, which may be left out, there are none


def _weights(frame: Frame | None, count: int, settings: DataSettings, sample_weight: Any) -> NDArray[np.float64] | None:
    if sample_weight is not None:
        return checked_weights(sample_weight, count)
    if settings.weight is None:
        return None
    if frame is None:
        raise DataError("data.weight names a column, but the texts come without columns: give sample_weight, or a table")
    weights, faults = weights_in(frame.column(settings.weight), settings.weight)
    if faults:
        raise DataError(f"{frame.place}, row {min(faults) + 1}: {faults[min(faults)]}")
    return np.array(weights, np.float64)


def _labels_in(given: Any) -> tuple[list[Label] | None, Any]:
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


def _label(value: Any, place: int) -> Label:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int | float | bool) or value == "" or value != value:
        raise DataError(f"the label at index {place} is {quoted(value)}: give text, a number or a bool")
    return value


def _lists(found: Sequence[Collection[Label]]) -> list[list[Label]]:
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

    Args:
        texts: A list or another iterable, a `Series` or an array.

    Raises:
        DataError: `texts` is one string, or holds something that is no text.
    """
    if isinstance(texts, str):
        raise DataError("texts is one string: give a list of texts")
    found = values_of(texts, "texts")
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise DataError(f"the text at index {place} is {quoted(text)}: give strings")
    return found
