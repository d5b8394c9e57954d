"""Writing classified rows to Parquet: the columns of Parquet inputs keep their types, those of text formats get fitting ones."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from textcls.data.blocks import MISSING, without_surrogates
from textcls.data.formats import read_blocks
from textcls.data.inputs import Inputs
from textcls.data.labels import Label
from textcls.data.parquet_rows import open_parquet
from textcls.data.remote import Place
from textcls.errors import DataError
from textcls.inference.writers import Columns, Sink, cell, plain_values

_GROUP_ROWS, _GROUP_BYTES = 1 << 16, 32 << 20
_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
_LARGEST: Final = 2**53  # a float may not hold a larger integer


class ParquetWriter:
    """Row groups of many blocks, of a bounded size; a column that a block does not have is null there.

    Args:
        sink: Where it goes.
        types: The type of each column by name, in order.
    """

    def __init__(self, sink: Sink, types: Mapping[str, pa.DataType]) -> None:
        self._schema = pa.schema(list(types.items()))
        self._writer = parquet.ParquetWriter(sink, self._schema)
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, columns: Columns, texts: Sequence[str]) -> int:
        """Write the rows of a block; return in how many of them U+FFFD stands for lone surrogates."""
        replaced: set[int] = set()
        arrays = [
            _array(columns[f.name], f.type, replaced) if f.name in columns else pa.nulls(len(texts), f.type)
            for f in self._schema
        ]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._write_group()
        return len(replaced)

    def close(self) -> None:
        """Write the rows that are left and the file's footer."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=self._rows)
        self._batches, self._rows, self._bytes = [], 0, 0


class ColumnType(NamedTuple):
    """What a column holds in a file, or in a block.

    Attributes:
        type: Its type; null where it has no value.
        long: Whether it has, or may have, integers of more digits than a float holds.
    """

    type: pa.DataType
    long: bool = False


def column_types(inputs: Inputs) -> dict[str, pa.DataType]:
    """Return the type of each column of the inputs, in order; JSON files are read through for theirs.

    A column whose values have no type in common becomes text, as in csv, and so does one of JSON objects.
    """
    return common_types(block_types(inputs))


def block_types(inputs: Inputs) -> Iterator[dict[str, ColumnType]]:
    """Yield what the columns hold of every file, or of every block of a JSON file."""
    for source in inputs.sources:
        if source.kind == ".parquet":
            yield dict(zip(source.columns, _file_types(source.path), strict=True))
        elif source.kind in {".json", ".jsonl"} and not source.is_stream:
            for block in read_blocks(source, inputs.reading):
                yield {name: value_type(values) for name, values in block.columns.items()}
        else:
            counted = {"line"} if source.kind == ".txt" else set()
            yield {name: ColumnType(pa.int64() if name in counted else pa.string()) for name in inputs.names_of(source)}


def _file_types(path: Place) -> list[ColumnType]:
    """Return what the columns of a Parquet file hold, by its footer."""
    long: set[str] = set()
    with open_parquet(path) as file:
        schema, groups = file.schema_arrow, list(map(file.metadata.row_group, range(file.metadata.num_row_groups)))
        for number in range(file.metadata.num_columns):
            leaf = file.schema.column(number)
            whole = leaf.physical_type == "INT64" and leaf.logical_type.type in {"NONE", "INT"}
            if whole and any(_may_be_long(group.column(number).statistics) for group in groups):
                inside = {name for name in schema.names if leaf.path.startswith(f"{name}.")}
                long |= {leaf.path} if leaf.path in schema.names else inside
    return [ColumnType(field.type, field.name in long) for field in schema]


def _may_be_long(statistics: Any) -> bool:
    if statistics is None or not statistics.has_min_max:
        return statistics is None or statistics.num_values > 0
    return bool(max(abs(statistics.min), abs(statistics.max)) > _LARGEST)


def common_types(parts: Iterable[Mapping[str, ColumnType]]) -> dict[str, pa.DataType]:
    """Return for each column the type that holds the values of all blocks."""
    types: dict[str, ColumnType] = {}
    for part in parts:
        types |= {name: _common(types.get(name, ColumnType(pa.null())), found) for name, found in part.items()}
    return {name: pa.string() if pa.types.is_null(found.type) else found.type for name, found in types.items()}


def answer_types(names: Sequence[str], labels: Sequence[Label]) -> dict[str, pa.DataType]:
    """Return the type of each column that classifying adds: that of the labels, or one for probabilities or remarks."""
    kinds = {"label": value_type(labels).type, "confidence": pa.float64(), "score": pa.float64()}
    kinds |= {"labels": pa.list_(kinds["label"]), "confidences": pa.list_(pa.float64())}
    return {name: kinds.get(re.split("[:_]", name)[0], pa.string()) for name in names}


def value_type(values: Sequence[Any]) -> ColumnType:
    """Return the Arrow type that holds some Python values unchanged, as text where there is no other; null for no values."""
    kinds = set(map(type, values)) - {NoneType, type(MISSING)}
    if not kinds:
        return ColumnType(pa.null())
    if kinds <= {int, float} or kinds == {list}:
        given = [None if value is MISSING else value for value in values]
        try:
            array = pa.array(given, pa.float64() if float in kinds else None)
        except (pa.ArrowException, UnicodeEncodeError, OverflowError):
            return ColumnType(pa.string())
        return ColumnType(pa.string() if _has_objects(array.type) else array.type, _is_long(array))
    return ColumnType(_TYPES.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string())


def _has_objects(type_: pa.DataType) -> bool:
    return pa.types.is_struct(type_) or (pa.types.is_list(type_) and _has_objects(type_.value_type))


def _is_long(array: pa.Array) -> bool:
    """Whether a column of numbers, or of lists of them, has integers of more digits than a float holds."""
    while pa.types.is_list(array.type):
        array = array.flatten()
    bounds = pc.min_max(array).as_py() if pa.types.is_integer(array.type) else {}
    return any(value is not None and abs(value) > _LARGEST for value in bounds.values())


def _common(one: ColumnType, other: ColumnType) -> ColumnType:
    """Return a type that holds the values of both: text where no other does."""
    long = one.long or other.long
    if one.type == other.type:
        return ColumnType(one.type, long)
    if sum(map(pa.types.is_binary, (one.type, other.type))) == 1:  # Arrow would make bytes of texts
        return ColumnType(
            other.type if pa.types.is_null(one.type) else one.type if pa.types.is_null(other.type) else pa.string(), long
        )
    schemas = [pa.schema([("", found.type)]) for found in (one, other)]
    try:
        type_ = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return ColumnType(pa.string())
    rounded = pa.types.is_floating(type_) and any(pa.types.is_decimal(found.type) for found in (one, other))
    kept = all(found.type == type_ for found in (one, other) if found.long) and not rounded
    return ColumnType(type_ if kept else pa.string(), long)


def _array(column: Any, type_: pa.DataType, replaced: set[int]) -> pa.Array:
    """Return a column as an array of a type, which `column_types` made sure of; add the rows where U+FFFD had to be put."""
    if isinstance(column, pa.Array):
        if column.type == type_:
            return column
        if not pa.types.is_string(type_):
            return _converted(column.cast, type_)
    values = [None if value is MISSING or value is None else value for value in plain_values(column)]
    if pa.types.is_string(type_):
        cells = [value if value is None else cell(value) for value in values]
        values = [value if value is None else without_surrogates(value) for value in cells]
        replaced |= {row for row, (one, other) in enumerate(zip(cells, values, strict=True)) if one != other}
    return _converted(functools.partial(pa.array, values), type_)


def _converted(convert: Callable[[pa.DataType], pa.Array], type_: pa.DataType) -> pa.Array:
    try:
        return convert(type_)
    except pa.ArrowException as error:  # a large integer in a column that holds fractions in another block, for example
        fault = str(error).splitlines()[0]
        raise DataError(f"a value cannot be kept in a Parquet column of type {type_}: {fault}; write .jsonl") from None
