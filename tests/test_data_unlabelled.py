import bz2
import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from textcls.data.unlabelled import find_inputs, read_blocks

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


def test_a_text_file_is_one_text_under_the_name_it_was_given(write: Write) -> None:
    path = write("a.txt", b"\xef\xbb\xbfone\r\ntwo\x00\n")
    assert rows(path) == [("one\r\ntwo\x00\n", {"file": path}, None)]


def test_lines_are_numbered_and_blank_ones_are_rows(write: Write) -> None:
    path = write("a.txt", b"\xef\xbb\xbfone\r\n\ntwo\xe2\x80\xa8still two\x0b")
    columns = [{"file": path, "line": line} for line in (1, 2, 3)]
    assert rows(path, lines=True) == [
        ("one", columns[0], None),
        ("", columns[1], None),
        ("two\u2028still two\x0b", columns[2], None),
    ]


def test_a_line_that_is_not_utf8_is_an_error_of_that_line_alone(write: Write) -> None:
    path = write("a.txt", b"good\nb\xffd\r\nalso good\n")
    assert [(text, error) for text, _, error in rows(path, lines=True)] == [
        ("good", None),
        ("", f"{path}, row 2: not UTF-8; save the file as UTF-8"),
        ("also good", None),
    ]
    assert texts(path, lines=True, encoding_errors="replace") == ["good", "b\ufffdd", "also good"]


def test_folders_are_read_in_order_and_what_is_left_out_is_noted(write: Write, tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt", ".hidden/c.txt", "picture.png", "a/other.png", ".x.txt"):
        write(name, name)
    assert texts(str(tmp_path)) == ["a/z.txt", "a.txt", "b.txt"]
    assert [columns["file"] for _, columns, _ in rows(str(tmp_path))] == ["a/z.txt", "a.txt", "b.txt"]
    assert find_inputs([tmp_path]).notes == (
        f"{tmp_path}: left out files of other kinds: .png (2)",
        f"{tmp_path}: left out hidden files: .txt (1)",
    )
    assert texts(str(tmp_path), glob="a/*") == ["a/z.txt"]
    assert texts(str(tmp_path), glob="b.*") == ["b.txt"]
    assert message(str(tmp_path), glob="*.csv") == (
        f"{tmp_path}: holds no file that matches *.csv and ends in .txt, .csv, .tsv, .jsonl, .parquet"
    )


def test_links_in_a_folder_that_are_left_out_are_noted(write: Write, tmp_path: Path) -> None:
    write("elsewhere/c.txt", "c")
    write("in/a.txt", "a")
    (tmp_path / "in" / "b.txt").symlink_to("a.txt")
    (tmp_path / "in" / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "in" / "more").symlink_to("../elsewhere")
    found = find_inputs([tmp_path / "in"], glob="*.txt")
    assert [source.name for source in found.sources] == ["a.txt", "b.txt"]
    assert found.notes == (
        f"{tmp_path / 'in'}: left out links to nothing: gone.txt",
        f"{tmp_path / 'in'}: left out links to folders, which are not followed: more",
    )
    assert message(str(tmp_path / "in" / "gone.txt")).endswith("gone.txt: there is no such file or folder")


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("**/*.txt", ["a.txt", "x/b.txt", "x/y/c.txt"]),
        ("x/**/*.txt", ["x/b.txt", "x/y/c.txt"]),
        ("**/x/**/c.txt", ["x/y/c.txt"]),
        ("**/y/*", ["x/y/c.txt"]),
    ],
)
def test_two_stars_stand_for_any_number_of_folders(write: Write, tmp_path: Path, glob: str, expected: list[str]) -> None:
    for name in ("a.txt", "x/b.txt", "x/y/c.txt"):
        write(name, name)
    assert texts(str(tmp_path), glob=glob) == expected


def test_files_of_several_inputs_have_names_that_tell_them_apart(write: Write, tmp_path: Path) -> None:
    write("one/a.txt", "1")
    write("two/a.txt", "2")
    names = [columns["file"] for _, columns, _ in rows(str(tmp_path / "one"), str(tmp_path / "two"))]
    assert names == [(tmp_path / "one/a.txt").as_posix(), (tmp_path / "two/a.txt").as_posix()]


def test_a_text_file_that_cannot_be_read_is_a_row_with_an_error(write: Write, tmp_path: Path) -> None:
    write("a.txt", "fine")
    write("b.txt", b"\xff")
    write("c.txt.gz", gzip.compress(b"abc" * 100)[:20])
    found = rows(str(tmp_path))
    assert [text for text, _, _ in found] == ["fine", "", ""]
    assert [error is None for _, _, error in found] == [True, False, False]
    assert "not UTF-8" in str(found[1][2])
    assert "cut short" in str(found[2][2])


def test_csv_values_come_as_they_stand(write: Write) -> None:
    path = write("a.csv", '\ufeffid,text\r\n007,"a ""b""\nc"\r\n\r\nNA,\x00d\r\n')
    assert rows(path) == [
        ('a "b"\nc', {"id": "007", "text": 'a "b"\nc'}, None),
        ("\x00d", {"id": "NA", "text": "\x00d"}, None),
    ]


def test_csv_rows_that_do_not_fit_keep_their_place(write: Write) -> None:
    path = write("a.csv", b'text,n\n"a\nb",1\nc\nd,2,3\n"e"f,4\n\xff,5\ng,\xff\nh,6\n"never closed,7\n')
    found = rows(path)
    assert [text for text, _, _ in found] == ["a\nb", "", "", "", "", "", "h", ""]
    assert [error.removeprefix(path) if error else None for _, _, error in found] == [
        None,
        ", row 4: 1 fields where the first row has 2",
        ", row 5: 3 fields where the first row has 2",
        ", row 6: ',' expected after '\"'; inside a quoted field write each double quote twice",
        ", row 7: not UTF-8; save the file as UTF-8",
        ", row 8: not UTF-8; save the file as UTF-8",
        None,
        ", row 10: a double quote is opened and never closed; inside a quoted field write each double quote twice",
    ]
    assert found[5][1] == {"text": "g", "n": "\ufffd"}
    assert texts(path, encoding_errors="replace")[4:6] == ["\ufffd", "g"]


def test_csv_of_one_column_keeps_its_empty_rows(write: Write) -> None:
    assert texts(write("a.csv", "text\na\n\nb\n")) == ["a", "", "b"]


def test_csv_without_names_and_tsv(write: Write) -> None:
    assert rows(write("a.csv", "x,y\n"), header=False, text="1") == [("y", {"0": "x", "1": "y"}, None)]
    assert rows(write("a.tsv", "text\tn\na,b\t1\n")) == [("a,b", {"text": "a,b", "n": "1"}, None)]


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


def test_compressed_text_formats(write: Write) -> None:
    assert texts(write("a.csv.gz", gzip.compress(b"text\na\n"))) == ["a"]
    assert texts(write("a.jsonl.bz2", bz2.compress(b'{"text":"b"}\n'))) == ["b"]
    zipped = pa.compress(b"c\nd", codec="zstd", asbytes=True)
    assert texts(write("a.txt.zst", zipped), lines=True) == ["c", "d"]
    cut = gzip.compress(os.urandom(9999).hex().encode())[:5000]
    assert "cut short" in message(write("b.txt.gz", cut), lines=True)


def test_a_field_of_10_megabytes(write: Write) -> None:
    long = "x" * 10_000_000
    assert texts(write("a.csv", f'n,text\n1,"{long}"\n2,y\n')) == [long, "y"]
    assert texts(write("a.jsonl", json.dumps({"text": long}))) == [long]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "id,txt\n1,a\n", "there is no column 'text' (did you mean 'txt'?); the columns are: "),
        ("a.csv", "", "there is no column 'text'; the columns are: none"),
        ("a.csv", "text,text\n", "two columns are named 'text'; rename one of them"),
        ("a.jsonl", '{"txt":"a"}', "there is no column 'text' (did you mean 'txt'?); the columns are: "),
        ("a.parquet", "text", "is not a Parquet file, or is damaged or cut short; copy it again"),
        ("a.csv", b"PAR1....", "its ending says .csv, but it is a Parquet file"),
        ("a.parquet.gz", "", "only files that end in .txt, .csv, .tsv, .jsonl, .parquet can be classified"),
        ("a.docx", "", "only files that end in .txt, .csv, .tsv, .jsonl, .parquet can be classified"),
    ],
)
def test_what_cannot_be_read_says_so_before_the_first_row(write: Write, name: str, content: str | bytes, expected: str) -> None:
    path = write(name, content)
    with pytest.raises(InputError) as caught:
        find_inputs([path])
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_missing_inputs() -> None:
    assert message("nowhere.csv") == "nowhere.csv: there is no such file or folder"
    assert message().startswith("nothing to classify")
    assert message("-", "-") == "standard input (-) is named twice"


def test_files_without_rows_have_no_blocks(write: Write) -> None:
    for name, content in (("a.csv", "text\n"), ("a.jsonl", "\n"), ("l.txt", "")):
        assert list(read_blocks([write(name, content)], lines=True)) == []


def test_standard_input_is_answered_as_its_lines_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as binary, os.fdopen(writer, "wb", buffering=0) as sender:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(binary))
        blocks = read_blocks(["-"])
        sender.write(b"one\ntw")
        first = next(blocks)  # would wait for ever if it wanted more than there is
        sender.write(b"o\nthree")
        sender.close()
        rest = [text for block in blocks for text in block.texts]
    assert (first.texts, first.columns, rest) == (["one"], {"line": [1]}, ["two", "three"])


def test_blocks_are_bounded_and_count_bytes_to_the_end(write: Write, tmp_path: Path) -> None:
    write("d/a.csv", "text\n" + "a\n" * 25)
    write("d/b.txt", "b\n" * 25)
    write("d/c.csv.gz", gzip.compress(b"text\n" + b"c\n" * 25))
    found = find_inputs([tmp_path / "d"], lines=True, block_rows=10)
    blocks = list(found.blocks())
    assert [len(block) for block in blocks] == [10, 10, 5] * 3
    assert [block.bytes_read for block in blocks] == sorted(block.bytes_read for block in blocks)
    assert blocks[-1].bytes_read == found.total_bytes


def test_long_rows_end_a_block_early(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *[["x" * 1_500_000]] * 4])
    assert [len(block) for block in read_blocks([tmp_path / "a.csv"])] == [2, 2]


def test_reading_text_imports_nothing_heavy(write: Write) -> None:
    path = write("a.csv", "text\na\n")
    code = (
        "import sys; from textcls.data.unlabelled import read_blocks; list(read_blocks([sys.argv[1]]));"
        "print([m for m in ('torch', 'spacy', 'datasets', 'sklearn', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b" "))), st.integers(1, 5))
def test_every_line_of_bytes_is_one_row(tmp_path: Path, lines: Sequence[bytes], block_rows: int) -> None:
    path = tmp_path / "a.txt"
    lines = [b"a first line that is no other format's", *lines]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    found = rows(str(path), lines=True, block_rows=block_rows)
    assert [columns["line"] for _, columns, _ in found] == list(range(1, len(lines) + 1))
    for line, (_, _, error) in zip(lines, found, strict=True):
        assert (error is None) == (line.decode("utf-8", "ignore").encode() == line)
