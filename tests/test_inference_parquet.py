"""Columns of every input in one Parquet output: no value ends a run, and none loses a digit."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from pyarrow import parquet
from reading import found, put

from textcls.inference.parquet import ParquetWriter, column_types

LONG = 2**53 + 1  # no float holds it

Column: TypeAlias = Any  # a list, or a pyarrow array


def written(folder: Path, *columns: Column, **options: Any) -> tuple[str, list[Any]]:
    """Write each column as the `n` of a file, JSON lines or Parquet, and all of them as one Parquet file; return that one's."""
    for number, column in enumerate(columns):
        if isinstance(column, list):
            put(folder / f"{number}.jsonl", "".join(json.dumps({"text": "x", "n": value}) + "\n" for value in column))
        else:
            table = pa.table({"text": ["x"] * len(column), "n": column})
            parquet.write_table(table, folder / f"{number}.parquet", **options)
    inputs = found(folder, block_rows=1)
    sink = io.BytesIO()
    writer = ParquetWriter(sink, column_types(inputs))
    for block in inputs.blocks():
        assert writer.write(block.columns, block.texts) == 0
    writer.close()
    column = parquet.read_table(io.BytesIO(sink.getvalue()))["n"]
    return str(column.type), column.to_pylist()


FLOATS = pa.array([0.5])


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        (([LONG, 0.5],), [str(LONG), "0.5"]),
        (([0.5, LONG],), ["0.5", str(LONG)]),
        (([1, 0.5, LONG],), ["1", "0.5", str(LONG)]),
        (([LONG], [0.5], [1]), [str(LONG), "0.5", "1"]),
        ((pa.array([LONG, 1]), FLOATS), [str(LONG), "1", "0.5"]),
        ((FLOATS, pa.array([-LONG])), ["0.5", f"-{LONG}"]),
        ((pa.array([LONG]), [0.5]), [str(LONG), "0.5"]),
        (([LONG], FLOATS.cast(pa.float32())), [str(LONG), "0.5"]),
        ((pa.array([2**63], pa.uint64()), pa.array([-1])), [str(2**63), "-1"]),
        (([2**63], [1]), [str(2**63), "1"]),
        (([[LONG]], [[0.5]]), [f"[{LONG}]", "[0.5]"]),
        ((pa.array([[LONG]]), pa.array([[0.5]])), [f"[{LONG}]", "[0.5]"]),
        ((pa.array([{"a": LONG}]), pa.array([{"a": 0.5}])), [f'{{"a": {LONG}}}', '{"a": 0.5}']),
        ((pa.array([1]).cast(pa.decimal128(38, 2)), FLOATS), ["1.00", "0.5"]),
        ((pa.array([b"\xff"]), ["y"], [[1]], [{"a": 1}]), ["/w==", "y", "[1]", '{"a": 1}']),
        ((pa.array(["y"]), pa.array([b"\xff"])), ["y", "/w=="]),
    ],
)
def test_values_that_no_common_type_holds_are_text_as_in_csv(
    tmp_path: Path, columns: tuple[Column, ...], values: list[str]
) -> None:
    assert written(tmp_path, *columns) == ("string", values)


@pytest.mark.parametrize(
    ("columns", "type_", "values"),
    [
        (([1], [0.5]), "double", [1, 0.5]),
        ((pa.array([2**53]), FLOATS), "double", [2**53, 0.5]),
        ((pa.nulls(1, pa.int64()), FLOATS), "double", [None, 0.5]),
        ((pa.array([LONG]), [LONG]), "int64", [LONG, LONG]),
        ((pa.array([1], pa.uint64()), pa.array([-1])), "int64", [1, -1]),
        ((pa.array([1], pa.int8()), pa.array([LONG])), "int64", [1, LONG]),
        (([[1]], [[0.5]]), "list<element: double>", [[1], [0.5]]),
        (([[]], [[LONG]]), "list<element: int64>", [[], [LONG]]),
        (([LONG], [None]), "int64", [LONG, None]),
    ],
)
def test_others_keep_a_type_of_numbers(tmp_path: Path, columns: tuple[Column, ...], type_: str, values: list[Any]) -> None:
    assert written(tmp_path, *columns) == (type_, values)


def test_a_file_without_statistics_may_have_long_numbers(tmp_path: Path) -> None:
    assert written(tmp_path, pa.array([LONG]), FLOATS, write_statistics=False) == ("string", [str(LONG), "0.5"])


def test_numbers_of_a_column_are_those_of_its_name(tmp_path: Path) -> None:
    """A long number in `nn` or in `n.a` says nothing of `n`."""
    columns = {"text": ["x"], "n": [1], "nn": [LONG], "n.a": [LONG]}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    parquet.write_table(pa.table({"text": ["x"], "n": [0.5], "nn": [0.5]}), tmp_path / "b.parquet")
    types = column_types(found(tmp_path))
    assert {name: str(type_) for name, type_ in types.items()} == {
        "text": "string",
        "n": "double",
        "nn": "string",
        "n.a": "int64",
    }


def test_lone_surrogates_are_counted_once_a_row(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", '{"text": "a\\ud800", "n": "\\udfff"}\n{"text": "b", "n": "c"}\n')
    inputs = found(tmp_path)
    sink = io.BytesIO()
    writer = ParquetWriter(sink, column_types(inputs))
    assert [writer.write(block.columns, block.texts) for block in inputs.blocks()] == [1]
    writer.close()
    assert parquet.read_table(io.BytesIO(sink.getvalue())).to_pylist() == [
        {"text": "a\ufffd", "n": "\ufffd"},
        {"text": "b", "n": "c"},
    ]


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary())], ids=str)
def test_text_that_was_bytes_is_bytes_again(tmp_path: Path, type_: pa.DataType) -> None:
    values = pa.array([b"x", None])
    table = pa.table({"text": values.dictionary_encode() if pa.types.is_dictionary(type_) else values.cast(type_)})
    parquet.write_table(table, tmp_path / "a.parquet")
    inputs = found(tmp_path)
    sink = io.BytesIO()
    writer = ParquetWriter(sink, column_types(inputs))
    for block in inputs.blocks():
        writer.write(block.columns, block.texts)
    writer.close()
    assert parquet.read_table(io.BytesIO(sink.getvalue())).equals(table)
