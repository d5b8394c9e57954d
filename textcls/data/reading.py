"""Labelled rows from every source: which column is the text, which the label, and what a value must be."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from textcls.config import DataSettings
from textcls.data.files import Decoder, ending, read_text
from textcls.data.formats import FASTTEXT_PREFIX, Record, check_columns, is_fasttext, iter_fasttext, iter_records
from textcls.data.labels import Label, label_text
from textcls.data.rows import Rows, RowsBuilder
from textcls.data.sources import ClassFolder, File, Role, Source, StoredDataset, resolve
from textcls.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

# Separators of several labels in one text field; labels that hold one of these are written as a JSON list.
_SEPARATORS = re.compile(r"[,;|]")
_BATCH_ROWS = 8192

# One row on its way into `Rows`: display name of its file, row number, text, label (or labels).
_Row: TypeAlias = tuple[str, int, str, Any]


def read_labelled(source: str | Path | Sequence[str] | Dataset, settings: DataSettings, role: Role = "train") -> Rows:
    """Read every labelled row of a source.

    Args:
        source: What a setting such as `data.train` may be, a path, or a `datasets.Dataset`.
        settings: Columns and decoding.
        role: Which split of a data set with several is meant.

    Raises:
        DataError: Something cannot be read, a row has no text or no label, or there are no rows; with file and row.
        MissingPackageError: A `package:` is not installed.
    """
    if isinstance(source, Path):
        source = str(source)
    if isinstance(source, str | tuple | list):
        return read_sources(resolve(source, role), settings)
    return rows_from_dataset(cast("Dataset", source), settings)


def rows_from_dataset(dataset: Dataset, settings: DataSettings) -> Rows:
    """Read the labelled rows of a `datasets.Dataset`; the numbers of a `ClassLabel` column become its names.

    Raises:
        DataError: It is not a `Dataset` (but, say, a dictionary of splits), or a column or a value is not as it should be.
    """
    return read_sources([StoredDataset(dataset, "dataset", None, None)], settings)


def read_sources(sources: Sequence[Source], settings: DataSettings) -> Rows:
    """Read the labelled rows of resolved sources, in order.

    Raises:
        DataError: As `read_labelled`.
    """
    decoder = Decoder(settings.encoding_errors)
    rows = RowsBuilder()
    names: dict[tuple[int, str], int] = {}  # the names of two sources may be equal: a/x.csv and b/x.csv are both x.csv
    notes: list[str] = []
    for number, source in enumerate(sources):
        before = len(rows)
        for name, row, text, label in _iter_rows(source, settings, decoder):
            rows.append(names.setdefault((number, name), len(names)), row, text, label)
        if len(rows) == before:
            place = source.name if isinstance(source, StoredDataset) else source.path
            raise DataError(f"{place}: there are no rows in it")
        if isinstance(source, ClassFolder) and source.skipped:
            kinds = ", ".join(sorted({path.suffix for path in source.skipped}))
            notes.append(f"{source.name}: files left out because their ending is not .txt: {len(source.skipped)} ({kinds})")
    if not len(rows):
        raise DataError("there is nothing to read: the list of files is empty")
    notes += decoder.notes()
    return rows.finish(tuple(name for _, name in names), tuple(notes))


def _iter_rows(source: Source, settings: DataSettings, decoder: Decoder) -> Iterator[_Row]:
    if isinstance(source, ClassFolder):
        return _from_class_folder(source, settings, decoder)
    if isinstance(source, StoredDataset):
        return _from_dataset(source, settings)
    if ending(source.path) == ".txt":
        return _from_fasttext(source, settings, decoder)
    return _from_table(source, settings, decoder)


def _from_table(source: File, settings: DataSettings, decoder: Decoder) -> Iterator[_Row]:
    columns = _columns(settings)
    for row, record in iter_records(source.path, decoder, header=settings.header, columns=columns):
        try:
            yield source.name, row, _text(record, settings), _label(record, settings)
        except _BadValueError as fault:
            raise DataError(f"{source.path}, row {row}: {fault}") from None


def _from_class_folder(source: ClassFolder, settings: DataSettings, decoder: Decoder) -> Iterator[_Row]:
    for label, path in source.texts:
        yield f"{label}/{path.name}", 1, read_text(path, decoder), [label] if settings.labels else label


def _from_fasttext(source: File, settings: DataSettings, decoder: Decoder) -> Iterator[_Row]:
    if not is_fasttext(source.path):
        raise DataError(
            f"{source.path}: a .txt file has labels only as fastText lines, {FASTTEXT_PREFIX}name and then the text; "
            "for one text a file make a folder per class"
        )
    for row, labels, text in iter_fasttext(source.path, decoder):
        place = f"{source.path}, row {row}"
        if "" in labels or not (labels or settings.labels):
            raise DataError(f"{place}: no label; the line must start with {FASTTEXT_PREFIX}name")
        if len(labels) > 1 and not settings.labels:
            raise DataError(f"{place}: {len(labels)} labels; set data.labels to train on texts with several")
        yield source.name, row, text, list(dict.fromkeys(labels)) if settings.labels else labels[0]


def _from_dataset(source: StoredDataset, settings: DataSettings) -> Iterator[_Row]:
    import datasets

    dataset = source.dataset
    if not isinstance(dataset, datasets.Dataset):
        hint = "; pass one of its splits" if isinstance(dataset, dict) else ""
        raise DataError(f"{source.name}: expected a datasets.Dataset, not a {type(dataset).__name__}{hint}")
    columns = _columns(settings)
    check_columns(columns, dataset.column_names, source.name)
    name = f"{source.name} {source.split}" if source.split else source.name
    restore = _class_names(dataset.features[columns[-1]])
    plain = dataset.select_columns(list(dict.fromkeys(columns))).with_format("arrow")
    row = 0
    for start in range(0, len(plain), _BATCH_ROWS):
        for record in plain[start : start + _BATCH_ROWS].to_pylist():
            row += 1
            try:
                record[columns[-1]] = restore(record[columns[-1]])
                yield name, row, _text(record, settings), _label(record, settings)
            except _BadValueError as fault:
                raise DataError(f"{name}, row {row}: {fault}") from None


def _class_names(feature: Any) -> Callable[[Any], Any]:
    """Return the function that turns a label column's values into class names where the feature has them."""
    import datasets

    def name_of(names: Sequence[str], value: int | None) -> str | None:
        if value is None or value < 0:  # -1 is the field's mark for a label that is kept secret
            return None
        return names[value]

    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else None)
    if isinstance(feature, datasets.ClassLabel):
        return partial(name_of, feature.names)
    if isinstance(inner, datasets.ClassLabel):
        return lambda values: None if values is None else [name_of(inner.names, value) for value in values]
    return lambda value: value


def _columns(settings: DataSettings) -> tuple[str, ...]:
    """Return the columns to read: those of the text, and the label's last."""
    texts = (settings.text,) if isinstance(settings.text, str) else settings.text
    return (*texts, settings.labels or settings.label or "label")


class _BadValueError(Exception):
    """A value that cannot be a text or a label; the caller knows its place."""


def _text(record: Record, settings: DataSettings) -> str:
    if isinstance(settings.text, str):
        return _plain_text(record[settings.text], settings.text)
    return "\n".join(_plain_text(record[column], column) for column in settings.text)


def _plain_text(value: object, column: str) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:  # NaN, which pandas writes for a missing text
        raise _BadValueError(f"the text in column {column!r} is missing; write an empty text, or leave the row out")
    if isinstance(value, bool | int | float):
        return label_text(value)
    raise _BadValueError(f"the text in column {column!r} is a {type(value).__name__}, not a text")


def _label(record: Record, settings: DataSettings) -> Label | list[Label]:
    if settings.labels is None:
        column = settings.label or "label"
        return _plain_label(record[column], column)
    values = _label_list(record[settings.labels], settings.labels)
    labels = [_plain_label(value, settings.labels) for value in values]
    return list({label_text(label): label for label in labels}.values())


def _plain_label(value: object, column: str) -> Label:
    if value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value.strip()):
        raise _BadValueError(f"the label in column {column!r} is missing; fill it in, or leave the row out")
    if isinstance(value, str | bool | int | float):
        return value
    hint = "; for several labels a text set data.labels" if isinstance(value, list) else ""
    raise _BadValueError(f"the label in column {column!r} is a {type(value).__name__}{hint}")


def _label_list(value: object, column: str) -> list[object]:
    """Return the labels of one row: a list, a JSON list as text, or a text with separators; nothing means none."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise _BadValueError(f"the labels in column {column!r} are a {type(value).__name__}, not a list")
    if not value.lstrip().startswith("["):
        return [part.strip() for part in _SEPARATORS.split(value)] if value.strip() else []
    try:
        parsed = json.loads(value)
    except ValueError:
        raise _BadValueError(f'the labels in column {column!r} are no JSON list, such as ["a", "b"]') from None
    return list(parsed)
