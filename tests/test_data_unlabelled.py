import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from textcls.data.unlabelled import read_blocks

from textcls.data.blocks import MISSING, column_values
from textcls.errors import InputError

Write = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below the test's folder and return its path."""

    def write_file(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write_file


def rows(*inputs: str, **options: Any) -> list[tuple[str, dict[str, Any], str | None]]:
    """Return text, columns and error of each row."""
    found = []
    for block in read_blocks(inputs, **options):
        columns = {name: column_values(column) for name, column in block.columns.items()}
        assert {len(values) for values in columns.values()} <= {len(block)}
        for row, text in enumerate(block.texts):
            found.append((text, {n: v[row] for n, v in columns.items()}, block.errors[row] if block.errors else None))
    return found


def texts(*inputs: str, **options: Any) -> list[str]:
    return [text for text, _, _ in rows(*inputs, **options)]


def message(*inputs: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        list(read_blocks(inputs, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_several_text_columns_are_joined(write: Write) -> None:
    path = write("a.jsonl", '{"title":"a","body":"b"}\n{"title":"c","body":null}\n{"title":"d"}\n')
    found = rows(path, text=("title", "body"))
    assert [text for text, _, _ in found] == ["a\nb", "", ""]
    assert [error for _, _, error in found] == [None, f"{path}, row 2: 'body' is null", f"{path}, row 3: there is no 'body'"]


def test_jsonl_rows_that_cannot_be_read_keep_their_place(write: Write) -> None:
    lines = ['{"text":"a","n":[1]}', "", "{", "[1]", '{"text":7}', '{"text":null}', '{"n":1}', '{"text":"b"}', "[" * 99999]
    path = write("a.jsonl", "\n".join(lines))
    found = rows(path)
    assert [text for text, _, _ in found] == ["a", "", "", "", "", "", "b", ""]
    assert [error.removeprefix(path).split(":")[0] if error else None for _, _, error in found] == [
        None,
        *(f", row {row}" for row in (3, 4, 5, 6, 7)),
        None,
        ", row 9",
    ]
    assert "not text but a number" in str(found[3][2])
    assert found[6][1] == {"text": "b", "n": MISSING}


def test_lone_surrogates_stay_in_the_column_but_not_in_the_text(write: Write) -> None:
    [(text, columns, error)] = rows(write("a.jsonl", r'{"text":"a\ud800b"}'))
    assert (text, columns, error) == ("a\ufffdb", {"text": "a\ud800b"}, None)


def test_parquet_columns_stay_arrow_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": pa.array(["a", None, "b"]).dictionary_encode(), "n": pa.array([1, 2, 3], pa.int8())})
    parquet.write_table(table, path)
    [block] = read_blocks([path])
    assert (block.texts, block.columns["n"].type) == (["a", "", "b"], pa.int8())
    assert block.errors == [None, f"{path}, row 2: 'text' is null", None]


def test_parquet_columns_of_other_types_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["a"], "n": [1]}), path)
    assert (
        message(str(path), text=("text", "n")) == f"{path}: the column 'n' holds int64, not text; name the column of the text"
    )


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()])
@pytest.mark.parametrize("column", ["text", "note"])
def test_parquet_text_that_is_not_utf8_is_an_error_of_its_row(tmp_path: Path, column: str, type_: pa.DataType) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": ["x", "y", "z"], "note": ["x", "y", "z"]})
    parquet.write_table(table.set_column(table.schema.get_field_index(column), column, as_type(damaged(), type_)), path)
    [block] = read_blocks([path])
    assert block.errors is not None
    assert block.errors[:2] == [None, f"{path}, row 2: {column!r} is not UTF-8; save the file as UTF-8"]
    assert block.texts[1] == ""
    block.columns[column].validate(full=True)
    assert (block.columns[column].type, block.columns[column].to_pylist()) == (type_, ["ab", "\ufffdc", None])
    [block] = read_blocks([path], encoding_errors="replace")
    assert 1 not in block.failed


def test_parquet_lists_and_objects_of_text_that_is_not_utf8_are_errors_of_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    lists = pa.ListArray.from_arrays([0, 1, 2, 3], damaged())
    objects = pa.StructArray.from_arrays([damaged()], ["a"])
    parquet.write_table(pa.table({"text": ["x", "y", "z"], "list": lists, "object": objects}), path)
    [block] = read_blocks([path])
    assert (block.failed, block.texts) == ([1], ["x", "", "z"])
    assert block.columns["list"].to_pylist() == [["ab"], None, [None]]
    assert block.columns["object"].to_pylist() == [{"a": "ab"}, None, {"a": None}]


def damaged() -> pa.Array:
    """Return strings of which the second is not UTF-8, and the third null."""
    return pa.Array.from_buffers(pa.string(), 3, pa.array([b"ab", b"\xffc", None], pa.binary()).buffers())


def as_type(strings: pa.Array, type_: pa.DataType) -> pa.Array:
    return strings.dictionary_encode() if pa.types.is_dictionary(type_) else strings.cast(type_)


def test_a_field_of_10_megabytes(write: Write) -> None:
    long = "x" * 10_000_000
    assert texts(write("a.jsonl", json.dumps({"text": long}))) == [long]
