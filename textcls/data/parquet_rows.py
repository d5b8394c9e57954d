"""Parquet files and Arrow tables: columns stay Arrow arrays, so that only texts are turned into Python values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from textcls.data.blocks import Block, Reading, Source, check_columns, column_values, with_columns
from textcls.data.remote import Place, RemoteFile
from textcls.data.text_rows import block_of, texts_of
from textcls.errors import DataError

_MOST_ROWS: Final = 8192  # decoded at once
_MOST_NESTED: Final = 64  # with lists and objects, of which a few bytes on disk may be millions
_BLOCK_BYTES: Final = 16 << 20
_BUFFER: Final = 1 << 20  # bytes of a column that are read at once; without it a whole group of rows is
_BYTES: Final = ("binary", "large_binary", "binary_view", "fixed_size_binary")
_TEXTS: Final = ("string", "large_string", "string_view", *_BYTES)


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
        if not holds_text(found):
            raise DataError(f"{source.place}: the column {column!r} holds {found}, not text; name the column of the text")
    return source, []


def holds_text(type_: Any) -> bool:
    """Whether a column of an Arrow type may be that of the text."""
    return _is(type_, (*_TEXTS, "null"))


def parquet_schema(path: Place) -> Any:
    """Return the `pyarrow.Schema` of a Parquet file.

    Raises:
        DataError: It is none.
    """
    with open_parquet(path) as file:
        return file.schema_arrow


def class_names(schema: Any) -> dict[str, list[str]]:
    """Return the names of classes that `datasets` left in a schema, by column: those of a class label, or of lists of them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"].items()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):  # of another version, or another program
        return {}
    found = {}
    for column, feature in features:
        try:
            while isinstance(feature, list) or feature["_type"] != "ClassLabel":
                feature = feature[0] if isinstance(feature, list) else feature["feature"]
            found[column] = list(map(str, feature["names"]))
        except (KeyError, IndexError, TypeError):
            continue
    return found


def parquet_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read a Parquet file.

    Raises:
        DataError: A part of the file is damaged.
    """
    import pyarrow as pa

    with open_parquet(source.path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        paths = Counter(file.schema.column(place).path for place in range(metadata.num_columns))
    # Texts come as dictionaries, as they lie on disk: a thousand equal ones of a megabyte are one until they are taken apart.
    texts = [field.name for field in schema if _is(field.type, _TEXTS) and paths[field.name] == 1]
    plain = tuple(schema.names) == source.columns  # else names are ours, and columns are found by their places
    wanted = list(reading.only) if reading.only is not None and plain else None
    done = 0
    with open_parquet(source.path, metadata=metadata, read_dictionary=texts) as file:
        batches = file.iter_batches(_rows_at_once(schema, metadata), columns=wanted)
        try:
            for block in table_blocks(batches, source, reading, schema):
                done += len(block)
                block.bytes_read = source.size * done // max(1, metadata.num_rows)
                yield block
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, MemoryError):
                raise
            raise DataError(f"{source.place}: cannot be read after row {done}: {str(error).splitlines()[0]}") from None


def table_blocks(batches: Iterable[Any], source: Source, reading: Reading, schema: Any = None) -> Iterator[Block]:
    """Read Arrow batches, which have the columns of a source in their order, or some of them by name.

    Args:
        batches: The batches.
        source: What they are of.
        reading: How to read.
        schema: The types of all columns, where a batch may have texts as dictionaries instead.
    """
    done = 0
    for batch in _gathered(batches, reading.block_rows, schema):
        names = source.columns if batch.num_columns == len(source.columns) else batch.schema.names
        columns: dict[str, Any] = dict(zip(names, batch.columns, strict=True))
        if reading.only is not None:
            columns = {name: columns[name] for name in reading.only}
        columns |= {name: _as_text(columns[name]) for name in reading.wanted}
        damaged = _take_out_damage(columns)
        strict = reading.encoding_errors == "strict"
        faults = {row: f"{name!r} is not UTF-8; save the file as UTF-8" for row, name in damaged.items() if strict}
        texts = texts_of(columns, reading, batch.num_rows, faults)
        numbers = range(done + 1, done + batch.num_rows + 1)
        done += batch.num_rows
        yield block_of(texts, columns, numbers, source, faults, 0, replaced=0 if strict else len(damaged))


@contextmanager
def open_parquet(path: Place, **options: Any) -> Iterator[Any]:
    """Open a Parquet file as a `pyarrow.parquet.ParquetFile`, with options of that.

    Raises:
        DataError: It is none, or cannot be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        place = path.open_random() if isinstance(path, RemoteFile) else path
        # Through a buffer: a column of a group of rows, often a million of them, would be read as a whole.
        file = parquet.ParquetFile(place, buffer_size=_BUFFER, pre_buffer=False, **options)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror and error.errno:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        raise DataError(f"{path}: is not a Parquet file, or is damaged or cut short; copy it again") from None
    with file:
        yield file


def _rows_at_once(schema: Any, metadata: Any) -> int:
    """Return how many rows to decode at once, by the bytes of those of the group with the longest ones."""
    import pyarrow as pa

    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    most = _MOST_NESTED if any(map(pa.types.is_nested, schema.types)) else _MOST_ROWS
    return max(1, min(most, _BLOCK_BYTES // max(1, longest)))


def _gathered(batches: Iterable[Any], most: int, schema: Any) -> Iterator[Any]:
    """Cut and join batches, so that each has at most so many rows, and bytes: of a single row perhaps more."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        step = max(1, min(most, _BLOCK_BYTES * batch.num_rows // max(1, _size(batch))))
        for start in range(0, batch.num_rows, step):
            piece = _as_typed(batch.slice(start, step), schema)
            more = _size(piece)
            if waiting and (rows + piece.num_rows > most or size + more > _BLOCK_BYTES):
                yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]
                waiting, rows, size = [], 0, 0
            waiting.append(piece)
            rows, size = rows + piece.num_rows, size + more
    if rows:
        yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]


def _size(batch: Any) -> int:
    """Return the bytes of a batch, at most, where each row has its own text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = 0
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is(column.type, _TEXTS) and len(column.dictionary):
            words = column.dictionary
            words = words.cast(pa.large_binary()) if str(words.type).endswith("_view") else words  # which have no such kernel
            size += len(column) * pc.max(pc.binary_length(words)).as_py()
        else:
            size += column.nbytes
    return size


def _as_typed(batch: Any, schema: Any) -> Any:
    """Return a batch with the types of a schema, which has its columns by name, or all of them in their order."""
    import pyarrow as pa

    if schema is None:
        return batch
    fields = list(schema) if batch.num_columns == len(schema) else [schema.field(name) for name in batch.schema.names]
    columns = [
        column if column.type == field.type else column.dictionary_decode().cast(field.type)
        for column, field in zip(batch.columns, fields, strict=True)
    ]
    return pa.record_batch(columns, schema=pa.schema(fields))


def _is(type_: Any, kinds: Sequence[str]) -> bool:
    """Whether a type, or that of a dictionary's values, is one of some."""
    import pyarrow as pa

    type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
    return any(getattr(pa.types, f"is_{kind}")(type_) for kind in kinds)


def _as_text(column: Any) -> Any:
    """Return a column of bytes as one of text, which may not be UTF-8; another one as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return column.cast(options=pc.CastOptions(pa.string(), allow_invalid_utf8=True)) if _is(column.type, _BYTES) else column


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
