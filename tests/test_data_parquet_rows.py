"""Parquet files: types, text in every form that it has there, names of classes, and memory that does not follow what is equal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from reading import errors, found, message, put, records, refusal, texts

from textcls.data.parquet_rows import class_names

X = pa.array(["x", "y", "z"])
TEXT_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int32(), pa.binary()),
]


def write(path: Path, columns: Any, **options: Any) -> Path:
    parquet.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
    return path


def damaged() -> pa.Array:
    """Return strings of which the second is not UTF-8, and the third null."""
    return pa.Array.from_buffers(pa.string(), 3, pa.array([b"ab", b"\xffc", None], pa.binary()).buffers())


def as_type(strings: pa.Array, type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(type_):
        return as_type(strings, type_.value_type).dictionary_encode()
    return strings.view(pa.binary()).cast(type_) if "binary" in str(type_) else strings.cast(type_)


class TestColumns:
    def test_types_are_kept_and_only_the_columns_asked_for_are_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", {"text": ["x", "y"], "label": [1, 2], "more": [[1], []]})
        assert records(path, only=("label", "text")) == [(1, {"label": 1, "text": "x"}), (2, {"label": 2, "text": "y"})]
        assert records(path)[0] == (1, {"text": "x", "label": 1, "more": [1]})

    def test_columns_stay_arrow_arrays(self, tmp_path: Path) -> None:
        columns = {"text": pa.array(["a", None, "b"]).dictionary_encode(), "n": pa.array([1, 2, 3], pa.int8())}
        path = write(tmp_path / "a.parquet", columns)
        [block] = found(path).blocks()
        assert (block.texts, block.columns["n"].type) == (["a", "", "b"], pa.int8())
        assert block.columns["text"].type == columns["text"].type
        assert errors(path) == [None, f"{path}, row 2: 'text' is null", None]

    @pytest.mark.parametrize("missing", [(), ("label",)])
    def test_missing_column(self, tmp_path: Path, missing: tuple[str, ...]) -> None:
        path = write(tmp_path / "a.parquet", {"text": ["x"]} if missing else {"label": ["x"]})
        assert "the columns are: 'text'" in refusal(path, only=("text", "label")) if missing else refusal(path)

    def test_columns_of_one_name_matter_where_it_is_wanted(self, tmp_path: Path) -> None:
        table = pa.Table.from_arrays([X, X, pa.array([1, 2, 3]), X], names=["text", "note", "note", ""])
        path = write(tmp_path / "a.parquet", table)
        assert records(path)[1] == (2, {"text": "y", "note": "y", "note.2": 2, "column_4": "y"})
        assert records(path, only=("column_4", "text"))[1] == (2, {"column_4": "y", "text": "y"})
        assert "two columns are named 'note'" in refusal(path, text=("note",))

    def test_a_name_with_a_point_is_no_path(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", {"my.text": X, "my": [{"text": "q"}] * 3})
        assert texts(path, text="my.text") == ["x", "y", "z"]
        assert records(path, text=("my.text",), only=("my.text",))[0] == (1, {"my.text": "x"})

    def test_numbers_are_no_text(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", {"text": ["a"], "n": [1]})
        assert message(path, text=("text", "n")) == f"{path}: the column 'n' holds int64, not text; name the column of the text"

    def test_a_file_without_rows(self, tmp_path: Path) -> None:
        assert records(write(tmp_path / "a.parquet", {"text": pa.array([], pa.string())})) == []

    def test_blocks_are_bounded(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", {"text": [str(number) for number in range(25)]}, row_group_size=7)
        blocks = list(found(path, block_rows=10).blocks())
        assert [text for block in blocks for text in block.texts] == [str(number) for number in range(25)]
        assert [number for block in blocks for number in block.numbers] == list(range(1, 26))
        assert max(map(len, blocks)) <= 10
        assert blocks[-1].bytes_read == path.stat().st_size


class TestText:
    @pytest.mark.parametrize("type_", [*TEXT_TYPES, pa.binary(1)], ids=str)
    def test_types_that_hold_text(self, tmp_path: Path, type_: pa.DataType) -> None:
        path = write(tmp_path / "a.parquet", {"text": as_type(X, type_), "note": as_type(X, type_)})
        [block] = found(path).blocks()
        assert (block.texts, block.columns["text"].to_pylist()) == (["x", "y", "z"], ["x", "y", "z"])
        assert block.columns["note"].type == type_

    @pytest.mark.parametrize("type_", TEXT_TYPES, ids=str)
    @pytest.mark.parametrize("column", ["text", "note"])
    def test_what_is_not_utf8_is_an_error_of_its_row(self, tmp_path: Path, column: str, type_: pa.DataType) -> None:
        if column == "note" and "binary" in str(type_):
            pytest.skip("bytes that are no text need not be UTF-8")
        path = write(tmp_path / "a.parquet", {"text": X, "note": X} | {column: as_type(damaged(), type_)})
        [block] = found(path).blocks()
        assert errors(path)[:2] == [None, f"{path}, row 2: {column!r} is not UTF-8; save the file as UTF-8"]
        assert block.texts[1] == ""
        block.columns[column].validate(full=True)
        assert block.columns[column].to_pylist() == ["ab", "\ufffdc", None]
        assert "binary" in str(type_) or block.columns[column].type == type_
        [block] = found(path, encoding_errors="replace").blocks()
        assert (1 not in block.faults, block.replaced) == (True, 1)

    def test_lists_and_objects_that_are_not_utf8_are_errors_of_their_rows(self, tmp_path: Path) -> None:
        lists = pa.ListArray.from_arrays([0, 1, 2, 3], damaged())
        objects = pa.StructArray.from_arrays([damaged()], ["a"])
        [block] = found(write(tmp_path / "a.parquet", {"text": X, "list": lists, "object": objects})).blocks()
        assert (block.failed, block.texts) == ([1], ["x", "", "z"])
        assert block.columns["list"].to_pylist() == [["ab"], None, [None]]
        assert block.columns["object"].to_pylist() == [{"a": "ab"}, None, {"a": None}]

    def test_nulls_alone(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", {"text": pa.nulls(2)})
        assert errors(path) == [f"{path}, row {row}: 'text' is null" for row in (1, 2)]

    def test_a_text_that_is_too_long(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", {"text": ["x", "y" * 200]})
        assert errors(path, longest=100) == [None, f"{path}, row 2: longer than data.max_row_bytes, 100"]


class TestDamage:
    def test_text_under_a_parquet_ending(self, tmp_path: Path) -> None:
        assert "not a Parquet file" in refusal(put(tmp_path / "a.parquet", "text,label\n"))

    @pytest.mark.parametrize("kept", [0, 4, -20])
    def test_cut_short(self, tmp_path: Path, kept: int) -> None:
        whole = write(tmp_path / "a.parquet", {"text": ["x" * 100] * 100}).read_bytes()
        assert "cut short" in refusal(put(tmp_path / "a.parquet", whole[:kept]))

    def test_damage_inside(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.parquet", {"text": [f"{number}" * 50 for number in range(1000)]}, row_group_size=500)
        place = parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
        content = bytearray(path.read_bytes())
        content[place : place + 40] = b"\xff" * 40
        assert message(put(path, bytes(content))).startswith(f"{path}: cannot be read after row 0: ")


HUGGINGFACE = {
    "ClassLabel": {"names": ["bad", "good"], "_type": "ClassLabel"},
    "datasets 1": {"num_classes": 2, "names": ["bad", "good"], "names_file": None, "id": None, "_type": "ClassLabel"},
    "Sequence": {"feature": {"names": ["bad", "good"], "_type": "ClassLabel"}, "length": -1, "_type": "Sequence"},
    "List": {"feature": {"names": ["bad", "good"], "_type": "ClassLabel"}, "_type": "List"},
    "list": [{"names": ["bad", "good"], "_type": "ClassLabel"}],
}


@pytest.mark.parametrize("name", HUGGINGFACE)
def test_class_names(name: str) -> None:
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "object": {"names": {"_type": "Value"}},
        "label": HUGGINGFACE[name],
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    assert class_names(pa.schema([("label", pa.int64())], metadata)) == {"label": ["bad", "good"]}


@pytest.mark.parametrize("metadata", ["{", "[]", "null", '{"info": null}', '{"info": {"features": []}}', "[" * 99999, b"\xff"])
def test_other_metadata_names_no_classes(metadata: Any) -> None:
    assert class_names(pa.schema([("label", pa.int64())], {"huggingface": metadata})) == {}
    assert class_names(pa.schema([("label", pa.int64())])) == {}


# --- memory

CODE = """
import sys
from textcls.data.blocks import Reading
from textcls.data.inputs import find_inputs
print(sum(len(block) for block in find_inputs([sys.argv[1]], Reading()).blocks()))
print(next(line.split()[1] for line in open("/proc/self/status", encoding="utf-8") if line.startswith("VmHWM")))
"""


def equal_texts(path: Path, megabytes: int, text: pa.Array, **options: Any) -> Path:
    """Write texts of a megabyte that are all equal, and take next to nothing on disk."""
    with parquet.ParquetWriter(path, pa.schema([("text", text.type)]), compression="zstd", **options) as writer:
        for _ in range(megabytes // len(text)):
            writer.write_table(pa.table({"text": text}))
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory in use")
@pytest.mark.parametrize("kind", ["dictionary", "categories", "plain", "lists"])
def test_a_few_bytes_that_hold_gigabytes_take_little_memory(tmp_path: Path, kind: str) -> None:
    megabyte = "x" * 1_000_000
    arrays = {
        "dictionary": pa.array([megabyte] * 100),
        "categories": pa.array([megabyte] * 100).dictionary_encode(),
        "plain": pa.array([megabyte] * 50),
        "lists": pa.ListArray.from_arrays(range(51), pa.array([megabyte] * 50)),
    }
    path = equal_texts(tmp_path / "a.parquet", 1000, arrays[kind], use_dictionary=kind != "plain")
    if kind == "lists":
        parquet.write_table(
            pa.table({"text": ["x"] * 1000, "list": parquet.read_table(path)["text"]}), path, compression="zstd"
        )
    done = subprocess.run([sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, check=True)
    rows, peak = map(int, done.stdout.split())
    assert path.stat().st_size < 200_000
    assert rows == 1000
    assert peak / 1024 < 450  # megabytes; 1,000 are read
