"""Parquet files and Arrow tables: columns stay Arrow arrays, so that only texts are turned into Python values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from textcls.data.blocks import Block, Reading, Source, check_columns, column_values, with_columns
from textcls.data.remote import Place, RemoteFile
from textcls.data.text_rows import block_of, texts_of
from textcls.errors import DataError

_DECODED_ROWS: Final = 256  # at once: a few bytes on disk may be a thousand rows of a megabyte each
_BLOCK_BYTES: Final = 16 << 20
_BUFFER: Final = 1 << 20  # bytes of a column that are read at once; without it a whole group of rows is


def look_at_parquet(source: Source, reading: Reading) -> tuple[Source, list[str]]:
    """Find the columns of a file, and make sure that those that are wanted are there and that texts can stand in theirs.

    Raises:
        DataError: It is no Parquet file, or lacks a column, or the column of the text holds something else.
    """
    schema = parquet_schema(source.path)
    source, repeated = with_columns(source, schema.names)
    check_columns(reading.wanted, source, repeated)
    for column in reading.text:
        found = schema.field(source.columns.index(column)).type
        if not _may_be_text(found):
            raise DataError(f"{source.place}: the column {column!r} holds {found}, not text; name the column of the text")
    return source, []


def parquet_schema(path: Place) -> Any:
    """Return the `pyarrow.Schema` of a Parquet file.

    Raises:
        DataError: It is none.
    """
    with _readable(path) as file:
        return file.schema_arrow


def class_names(schema: Any) -> dict[str, list[str]]:
    """Return the names of classes that `datasets` left in a schema, by column: those of a class label, or of lists of them."""
    found = {}
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        for column, feature in features.items():
            while isinstance(feature, dict) and "names" not in feature and "feature" in feature:
                feature = feature["feature"]
            feature = feature[0] if isinstance(feature, list) and feature else feature
            if isinstance(feature, dict) and isinstance(feature.get("names"), list):
                found[column] = list(map(str, feature["names"]))
    except (KeyError, ValueError, TypeError, AttributeError):  # of another version, or another program
        return {}
    return found


def parquet_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read a Parquet file.

    Raises:
        DataError: A part of the file is damaged.
    """
    import pyarrow as pa

    done = 0
    with _readable(source.path) as file:
        count = max(1, file.metadata.num_rows)
        plain = tuple(file.schema_arrow.names) == source.columns  # else names are ours, and columns are found by their places
        wanted = list(reading.only) if reading.only is not None and plain else None
        try:
            for block in table_blocks(file.iter_batches(_DECODED_ROWS, columns=wanted), source, reading):
                done += len(block)
                block.bytes_read = source.size * done // count
                yield block
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, MemoryError):
                raise
            raise DataError(f"{source.place}: cannot be read after row {done}: {str(error).splitlines()[0]}") from None


def table_blocks(batches: Iterable[Any], source: Source, reading: Reading) -> Iterator[Block]:
    """Read Arrow batches, which have the columns of a source in their order, or some of them by name."""
    done = 0
    for table in _gathered(batches, reading.block_rows):
        columns = dict(zip(table.schema.names, _arrays(table), strict=True))
        if len(table.schema.names) == len(source.columns):
            columns = dict(zip(source.columns, _arrays(table), strict=True))
        if reading.only is not None:
            columns = {name: columns[name] for name in reading.only}
        faults: dict[int, str] = {}
        damaged = _take_out_damage(columns)
        if reading.encoding_errors == "strict":
            faults = {row: f"{name!r} is not UTF-8; save the file as UTF-8" for row, name in damaged.items()}
        texts = texts_of(columns, reading.text, table.num_rows, faults)
        for row, text in enumerate(texts):
            if len(text) > reading.longest:
                faults[row] = f"longer than data.max_row_bytes, {reading.longest:,}"
        numbers = range(done + 1, done + table.num_rows + 1)
        done += table.num_rows
        yield block_of(texts, columns, numbers, source, faults, 0, replaced=0 if faults else len(damaged))


@contextmanager
def _readable(path: Place) -> Iterator[Any]:
    """Open a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        place = path.open_random() if isinstance(path, RemoteFile) else path
        # Through a buffer: a column of a group of rows, often a million of them, would be read as a whole.
        file = parquet.ParquetFile(place, buffer_size=_BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror and error.errno:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        raise DataError(f"{path}: is not a Parquet file, or is damaged or cut short; copy it again") from None
    with file:
        yield file


def _gathered(batches: Iterable[Any], most: int) -> Iterator[Any]:
    """Yield tables of at most so many rows, or bytes: of a single row perhaps more."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        step = batch.num_rows if batch.nbytes <= _BLOCK_BYTES else max(1, batch.num_rows * _BLOCK_BYTES // batch.nbytes)
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, min(step, batch.num_rows - start))
            while piece.num_rows:
                taken = piece.slice(0, most - rows)
                piece = piece.slice(taken.num_rows)
                waiting.append(taken)
                rows, size = rows + taken.num_rows, size + taken.nbytes
                if rows == most or size > _BLOCK_BYTES:
                    yield pa.Table.from_batches(waiting)
                    waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _arrays(table: Any) -> list[Any]:
    """Return each column as one array."""
    import pyarrow as pa

    found = []
    for column in table.columns:
        whole = column.combine_chunks()
        found.append(whole if isinstance(whole, pa.Array) else whole.chunk(0))
    return found


def _may_be_text(type_: Any) -> bool:
    import pyarrow as pa

    kind = type_.value_type if pa.types.is_dictionary(type_) else type_
    texts = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "fixed_size_binary", "null")
    return any(getattr(pa.types, f"is_{text}")(kind) for text in texts)


def _take_out_damage(columns: dict[str, Any]) -> dict[int, str]:
    """Put U+FFFD, in place, for what a file calls a string and is not UTF-8, null for a list or an object of it.

    Returns:
        The rows where that was so, each with the name of its column.
    """
    import pyarrow as pa

    damaged: dict[int, str] = {}
    for name, column in columns.items():
        try:
            column.validate(full=True)  # reading does not check strings
        except pa.ArrowInvalid:
            rows = {row for row, value in enumerate(column) if not _is_readable(value)}
            if rows and pa.types.is_nested(column.type):
                columns[name] = column.take(pa.array([None if row in rows else row for row in range(len(column))], pa.int64()))
            elif rows:
                columns[name] = pa.array(column_values(column), column.type)
            damaged |= dict.fromkeys(rows, name)
    return damaged


def _is_readable(value: Any) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True
