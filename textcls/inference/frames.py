"""Classifying tables in memory: rows in, the same rows out, in a table of the same kind, with labels beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from textcls.data.blocks import MISSING, check_columns
from textcls.data.frames import arrow_table, frame_of
from textcls.errors import DataError
from textcls.inference.answers import Answers, Names, SomePredictor, Summary
from textcls.inference.options import ClassifyOptions, as_columns, learned_from


def classify_frame(predictor: SomePredictor, frame: Any, options: ClassifyOptions) -> Any:
    """Return a table with the answers beside its rows, in their order.

    The columns added are those that `classify_files` writes into Parquet, `label` and `confidence` first, `note` and `error` last;
    a column of the table with a name of ours becomes `input_<name>`. A row without a text has an `error` and no other answer.

    Args:
        predictor: What classifies.
        frame: A pandas or polars `DataFrame`, an Arrow table, a `datasets.Dataset` or a dictionary of columns. It is left as it is.
        options: The columns of the text, and what is answered; what is said of files does not count. Of a table with one column
            that one is the text, where none is named.

    Returns:
        A table of the same kind, with the index of pandas; a `pyarrow.Table` for what offers Arrow's interface and is none of these.

    Raises:
        InputError: It is no table, lacks a column, or an option is at fault.
    """
    predictor = options.way(predictor)
    answers, text = options.answers(predictor), as_columns(options.text)
    if type(frame).__name__ == "RecordBatchReader":  # which can be read once
        frame = arrow_table(frame)
    table = frame_of(frame)
    if table is None:
        raise DataError(f"classify gives a table back, and a {type(frame).__name__} is none: give one, or call predict")
    columns: dict[str, list[Any]] = {name: [] for name in answers.names}
    columns_of_text = text or learned_from(predictor)
    if text is not None:  # named here and now: the only column does not stand in for another
        check_columns(columns_of_text, table.source, table.repeated)
    for block in table.blocks(table.reading(columns_of_text, or_text=text is None, block_rows=answers.block_rows)):
        block = replace(block, name="")  # an error stands beside its row and need not say which
        found = answers.columns(predictor.score(predictor.encode(block.texts)), block, Summary())
        for name, values in columns.items():
            values += [None if value is MISSING else value for value in found.get(name, [None] * len(block))]
    return _beside(frame, Names(answers.names).in_output(table.columns), columns, answers)


def _beside(frame: Any, names: Sequence[str], columns: dict[str, list[Any]], answers: Answers) -> Any:
    """Put columns beside those of a table, which get new names.

    Args:
        frame: The table.
        names: What its columns are called from now on.
        columns: The others, lists of values.
        answers: What they are.
    """
    if isinstance(frame, Mapping):
        return dict(zip(_renamed(frame, names, columns), frame.values(), strict=True)) | columns
    if hasattr(frame, "iloc"):
        return _beside_pandas(frame, names, columns, answers)
    import pyarrow as pa

    from textcls.inference.parquet import answer_types

    added = pa.table(
        {name: pa.array(columns[name], type_) for name, type_ in answer_types(answers.names, answers.labels).items()}
    )
    origin = type(frame).__module__.partition(".")[0]
    if origin == "datasets":
        import datasets

        changed = {old: new for old, new in zip(frame.column_names, names, strict=True) if old != new}
        return datasets.concatenate_datasets([frame.rename_columns(changed), datasets.Dataset(added)], axis=1)
    if origin == "polars":
        import polars

        changed = {old: new for old, new in zip(frame.columns, names, strict=True) if old != new}
        return frame.rename(changed).hstack(polars.from_arrow(added))
    table = arrow_table(frame)
    table = table.rename_columns(_renamed(table.column_names, names, columns))
    for name in added.column_names:
        table = table.append_column(name, added.column(name))
    return table


def _beside_pandas(frame: Any, names: Sequence[str], columns: dict[str, list[Any]], answers: Answers) -> Any:
    out = frame.copy()
    if (renamed := _renamed(frame.columns, names, columns)) != list(frame.columns):
        out.columns = renamed
    for name, values in columns.items():
        kinds = {type(value) for value in values}
        if not kinds:
            out[name] = _without_values(name, answers)
            continue
        if kinds == {float, type(None)}:
            out[name] = np.array(values, float)
            continue
        if kinds & {list, type(None)} and kinds != {str, type(None)}:  # else pandas makes other types of numbers and of lists
            cells = np.empty(len(values), object)
            for row, value in enumerate(values):
                cells[row] = value
            out[name] = cells
        else:
            out[name] = values
    return out


def _without_values(name: str, answers: Answers) -> Any:
    """Return a column of no rows, of the type that pandas gives it where there are rows."""
    import pandas as pd

    examples: dict[str, Any] = {"label": answers.labels[0], "confidence": 0.5, "score": 0.5}
    return pd.Series([examples.get(re.split("[:_]", name)[0])]).iloc[:0].array


def _renamed(columns: Any, names: Sequence[str], ours: Mapping[str, Any]) -> list[Any]:
    """Return the names of columns, those of ours changed; others are kept, numbers and names that stand twice among them."""
    return [new if str(old) in ours else old for old, new in zip(columns, names, strict=True)]
