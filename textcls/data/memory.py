"""Texts and labelled rows from Python values: tables, columns, lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from textcls.config import DataSettings
from textcls.data.frames import Frame, frame_of, values_of
from textcls.data.labelled import read_sources
from textcls.data.labels import Label
from textcls.data.memory_labels import labels_from_memory
from textcls.data.rows import Rows
from textcls.data.sources import Role
from textcls.data.splits import load_splits, split_rows
from textcls.data.weights import checked_weights, weights_in
from textcls.errors import DataError, quoted

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
    classes: Sequence[Label] | None = None,
) -> Rows:
    """Return labelled rows given in memory.

    Args:
        texts: What `texts_from_memory` takes.
        labels: The label of each text, or the labels, [n]; or an indicator matrix, [n, labels] of 0 and 1: an array, whose labels
            are 0, 1, 2, …, or a table, whose columns are the labels. None where the texts are a table with the labels in it.
        settings: Which columns to read.
        many: Whether each text has a list of labels; where not given, whether the first label is a list, a tuple or a set.
        sample_weight: What each row weighs, [n], 0 or more; the column `data.weight` where not given.
        role: What the rows are for: those of training alone have weights.
        classes: The labels that there are, which the columns of an indicator matrix must then be, those of an array in this order.

    Raises:
        DataError: There are no rows, not as many labels as texts, something is no text, no label or no weight, or columns are not
            the labels.
    """
    frame = frame_of(texts)
    if labels is None:
        if frame is None:
            raise DataError("labels are missing: give a label for each text, or a table that holds both")
        return _labelled_frame(frame, settings, sample_weight, role)
    plain = checked_texts(texts) if frame is None else frame.texts(text_columns(settings))
    given = labels_from_memory(labels, len(plain), settings, many, classes)
    weights = _weights(frame, len(plain), settings, sample_weight) if role == "train" else None
    kept = np.array([row for row, label in enumerate(given.labels) if label is not None])
    rows = Rows.of([plain[row] for row in kept], [given.labels[row] for row in kept])
    weights = None if weights is None else weights[kept]
    return replace(rows, row=kept + 1, weights=weights, notes=given.notes, named=given.classes)


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
    classes = rows.classes.labels
    validation = rows_from_memory(given[0], given[1], columns, many=rows.many, role="validation", classes=classes)
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
