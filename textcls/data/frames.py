"""Tables in memory: a pandas or polars `DataFrame`, an Arrow table, a `datasets.Dataset`, a dictionary of columns.

Whatever offers Arrow's PyCapsule interface is read through it; nothing here imports the library that a table comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from textcls.data.blocks import Block, Reading, Source, check_columns, column_values, with_columns
from textcls.data.text_rows import block_of, texts_of
from textcls.errors import DataError

_BATCH_ROWS: Final = 1000  # of a `Dataset`
_MISSING: Final = {"NAType", "NaTType"}  # pandas' words for a missing value
_NOT_TEXT: Final = "biufcmM"  # kinds of numpy types: truth values, numbers, times


@dataclass(frozen=True)
class Frame:
    """A table in memory, of which columns are read when they are wanted.

    Attributes:
        place: What messages call it.
        columns: The names of its columns, each once: see `textcls.data.blocks.with_columns`.
        repeated: Names that stood there more than once.
        rows: How many it has.
        schema: Its Arrow schema; None where it has none.
        read: Reads its blocks.
        values: Returns the values of a column, [n].
    """

    place: str
    columns: tuple[str, ...]
    repeated: tuple[str, ...]
    rows: int
    schema: Any
    read: Callable[[Source, Reading], Iterator[Block]]
    values: Callable[[str], list[Any]]

    @property
    def name(self) -> str:
        """As `place`."""
        return self.place

    @property
    def source(self) -> Source:
        """The table as blocks know where they come from."""
        return Source(Path(self.place), self.place, "", columns=self.columns)

    def blocks(self, reading: Reading) -> Iterator[Block]:
        """Read the columns that are wanted; all of them where `reading.only` does not say which.

        Raises:
            DataError: One of them is missing, stands there twice, or is to be the text and holds something else.
        """
        check_columns(reading.wanted, self.source, self.repeated)
        return self.read(self.source, reading)

    def reading(self, text: Sequence[str], *, or_text: bool = False, block_rows: int = Reading.block_rows) -> Reading:
        """Return how to read texts alone: of the columns named, or of the only one there is.

        Args:
            text: The columns of the text.
            or_text: Whether `text` may stand in where they are missing.
            block_rows: The most rows of a block.
        """
        if len(self.columns) == 1 and not self.repeated:
            text = self.columns
        elif or_text and "text" in self.columns and any(column not in self.columns for column in text):
            text = ("text",)
        return Reading(text=tuple(text), only=tuple(dict.fromkeys(text)), block_rows=block_rows)

    def texts(self, text: Sequence[str], *, or_text: bool = False) -> list[str]:
        """Return the text of each row, [n]; the arguments are those of `reading`.

        Raises:
            DataError: As `blocks`, or a row has no text.
        """
        texts: list[str] = []
        for block in self.blocks(self.reading(text, or_text=or_text)):
            if block.faults:
                row = min(block.faults)
                raise DataError(f"{self.place}, row {block.numbers[row]}: {block.faults[row]}")
            texts += block.texts
        return texts

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, [n].

        Raises:
            DataError: It is missing, or stands there twice.
        """
        check_columns([name], self.source, self.repeated)
        return self.values(name)


def frame_of(given: Any) -> Frame | None:
    """Return a table in memory as one that can be read; None for what is no table.

    Raises:
        DataError: It is a table that cannot be read, such as a dictionary of splits.
    """
    kind = type(given).__name__
    if kind in {"DatasetDict", "IterableDatasetDict", "IterableDataset"} and type(given).__module__.startswith("datasets"):
        hint = "; pass one of its splits" if isinstance(given, Mapping) else ""
        raise DataError(f"dataset: expected a datasets.Dataset, not a {kind}{hint}")
    if isinstance(given, Mapping):
        if once := [name for name, column in given.items() if isinstance(column, Iterator)]:
            raise DataError(f"column {once[0]!r} of the dictionary can be read once alone: give a list")
        return _of_columns("the dictionary", list(given), list(given.values()), None)
    if hasattr(given, "iloc") and hasattr(given, "columns"):  # pandas, or what is made after it
        columns = [given.iloc[:, place] for place in range(len(given.columns))]
        return _of_columns(f"the {kind}", list(given.columns), columns, len(given))
    if hasattr(given, "features") and hasattr(given, "with_format"):
        return frame_of_dataset(given)
    if (table := arrow_table(given)) is not None:
        return _of_arrow(f"the {kind}", table)
    if kind == "LazyFrame":
        raise DataError("a LazyFrame is a query and no table yet: give what its .collect() returns")
    if hasattr(type(given), "columns"):  # to go through it would give the names of its columns
        raise DataError(
            f"a {kind} cannot be read: give a DataFrame of pandas or polars, an Arrow table or a dictionary of columns"
        )
    return None


def values_of(column: Any, what: str) -> list[Any]:
    """Return the values of a column that stands alone, as Python has them; missing ones are None.

    Args:
        column: A list or another iterable, a pandas or polars `Series`, an array of numpy (of one dimension) or of Arrow.
        what: What messages call it.

    Raises:
        DataError: It is none of them, or has no order.
    """
    kind = type(column).__name__
    if isinstance(column, str | bytes | bytearray):
        raise DataError(f"{what} is one {'string' if isinstance(column, str) else kind}: give a list")
    if isinstance(column, set | frozenset):
        raise DataError(f"{what} is a {kind}, which has no order: give a list")
    if hasattr(column, "iloc") and hasattr(column, "columns"):
        if len(column.columns) != 1:
            raise DataError(f"{what} is a {kind} of {len(column.columns)} columns: give one of them")
        column = column.iloc[:, 0]
    if isinstance(column, np.ndarray) and column.ndim != 1:
        raise DataError(f"{what} is an array of {column.ndim} dimensions: give one of 1")
    if hasattr(column, "__arrow_c_stream__") or hasattr(column, "__arrow_c_array__"):
        if not hasattr(column, "iloc"):
            return list(_arrow_values(column))
    elif hasattr(column, "isna") and not hasattr(column, "iloc"):  # an `Index` or an array of pandas
        column = column.tolist()
    try:
        values = column.tolist() if hasattr(column, "iloc") else list(column)
    except TypeError:
        raise DataError(f"{what} is a {kind}: give a list") from None
    return list(map(plain_value, values))


def plain_value(value: Any) -> Any:
    """Return a value of numpy or pandas as Python has it; None for a missing one."""
    if isinstance(value, np.generic):
        return value.item()
    return None if type(value).__name__ in _MISSING else value


def _of_columns(place: str, names: list[Any], columns: list[Any], rows: int | None) -> Frame:
    """Return a table whose columns can each be turned into lists.

    Raises:
        DataError: They are not equally long.
    """
    source, repeated = with_columns(Source(Path(place), place, ""), list(map(str, names)))
    by_name = dict(zip(source.columns, columns, strict=True))
    if rows is None:
        by_name = {name: values_of(column, f"column {name!r} of {place}") for name, column in by_name.items()}
        lengths = {name: len(column) for name, column in by_name.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name!r} {length:,}" for name, length in lengths.items())
            raise DataError(f"{place}: the columns must have as many values each, and have: {shown}")
        rows = next(iter(lengths.values()), 0)

    def read(source: Source, reading: Reading) -> Iterator[Block]:
        for name in reading.text:
            column = by_name[name]
            if getattr(getattr(column, "dtype", None), "kind", "O") in _NOT_TEXT and column.notna().any():
                raise _not_text(source, name, column.dtype)  # without a value it has no type of its own
        wanted = {name: values_of(by_name[name], f"column {name!r}") for name in _taken(source, reading)}
        for start in range(0, rows, reading.block_rows):
            some = {name: values[start : start + reading.block_rows] for name, values in wanted.items()}
            numbers = range(start + 1, min(start + reading.block_rows, rows) + 1)
            faults: dict[int, str] = {}
            yield block_of(texts_of(some, reading, len(numbers), faults), some, numbers, source, faults, 0)

    return Frame(place, source.columns, repeated, rows, None, read, lambda name: values_of(by_name[name], f"column {name!r}"))


def frame_of_dataset(dataset: Any, place: str = "dataset") -> Frame:
    """Return a `datasets.Dataset` as a table.

    Args:
        dataset: The `Dataset`.
        place: What messages call it.
    """
    source, repeated = with_columns(Source(Path(place), place, ""), dataset.column_names)

    def read(source: Source, reading: Reading) -> Iterator[Block]:
        from textcls.data.parquet_rows import table_blocks

        plain = dataset.select_columns(list(_taken(source, reading))).with_format("arrow")
        tables = (plain[start : start + _BATCH_ROWS] for start in range(0, len(plain), _BATCH_ROWS))
        taken = replace(source, columns=_taken(source, reading))
        return table_blocks((batch for table in tables for batch in table.to_batches()), taken, reading)

    def values(name: str) -> list[Any]:
        return column_values(dataset.with_format("arrow")[:].column(name))

    return Frame(place, source.columns, repeated, len(dataset), dataset.features.arrow_schema, read, values)


def _of_arrow(place: str, table: Any) -> Frame:
    """Return a `pyarrow.Table`."""
    source, repeated = with_columns(Source(Path(place), place, ""), table.column_names)

    def read(source: Source, reading: Reading) -> Iterator[Block]:
        from textcls.data.parquet_rows import holds_text, table_blocks

        taken = _taken(source, reading)
        chosen = table.select([source.columns.index(name) for name in taken]).rename_columns(list(taken))
        for name in reading.text:
            if not holds_text(type_ := chosen.schema.field(name).type):
                raise _not_text(source, name, type_)
        return table_blocks(chosen.to_batches(), replace(source, columns=taken), reading)

    def values(name: str) -> list[Any]:
        return column_values(table.column(source.columns.index(name)))

    return Frame(place, source.columns, repeated, table.num_rows, table.schema, read, values)


def _taken(source: Source, reading: Reading) -> tuple[str, ...]:
    return source.columns if reading.only is None else reading.only


def _not_text(source: Source, name: str, type_: Any) -> DataError:
    return DataError(f"{source.place}: the column {name!r} holds {type_}, not text; name the column of the text")


def arrow_table(given: Any) -> Any:
    """Return what offers a table through Arrow's interface as a `pyarrow.Table`; None for anything else, also for one column."""
    if not (hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__")):
        return None
    import pyarrow as pa

    try:
        if isinstance(given, pa.RecordBatch) or not hasattr(given, "__arrow_c_stream__"):
            return pa.Table.from_batches([pa.record_batch(given)])
        return pa.table(given)
    except (pa.ArrowException, TypeError):
        return None


def _arrow_values(column: Any) -> list[Any]:
    import pyarrow as pa

    array = pa.chunked_array(column) if hasattr(column, "__arrow_c_stream__") else pa.array(column)
    return list(array.to_pylist())
