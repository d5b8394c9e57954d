"""Finding what is to be classified."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from reading import found, message, put, rows, texts

from textcls.data.inputs import find_inputs
from textcls.errors import InputError


def test_folders_are_read_in_order_and_what_is_left_out_is_noted(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt", ".hidden/c.txt", "picture.png", "a/other.png", ".x.txt"):
        put(tmp_path / name, name)
    assert texts(tmp_path) == ["a/z.txt", "a.txt", "b.txt"]
    assert [columns["file"] for _, columns, _ in rows(tmp_path)] == ["a/z.txt", "a.txt", "b.txt"]
    assert found(tmp_path).notes == (
        f"{tmp_path}: left out files of other kinds: .png (2)",
        f"{tmp_path}: left out hidden files: .txt (1)",
    )
    assert texts(tmp_path, glob="a/*") == ["a/z.txt"]
    assert texts(tmp_path, glob="b.*") == ["b.txt"]
    assert message(tmp_path, glob="*.csv") == (
        f"{tmp_path}: holds no file that matches *.csv and ends in .txt, .csv, .tsv, .jsonl, .json, .parquet"
    )


def test_links_in_a_folder_that_are_left_out_are_noted(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/c.txt", "c")
    put(tmp_path / "in/a.txt", "a")
    (tmp_path / "in" / "b.txt").symlink_to("a.txt")
    (tmp_path / "in" / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "in" / "more").symlink_to("../elsewhere")
    inputs = found(tmp_path / "in", glob="*.txt")
    assert [source.name for source in inputs.sources] == ["a.txt", "b.txt"]
    assert inputs.notes == (
        f"{tmp_path / 'in'}: left out links to nothing: gone.txt",
        f"{tmp_path / 'in'}: left out links to folders, which are not followed: more",
    )


def test_links_to_nothing_are_called_so(tmp_path: Path) -> None:
    gone, loop = tmp_path / "gone.txt", tmp_path / "loop.txt"
    gone.symlink_to("nowhere.txt")
    loop.symlink_to("loop.txt")
    for link in (gone, loop):
        assert message(link) == message(link, follow=True) == f"{link}: is a link to nothing, or to itself"


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("**/*.txt", ["a.txt", "x/b.txt", "x/y/c.txt"]),
        ("x/**/*.txt", ["x/b.txt", "x/y/c.txt"]),
        ("**/x/**/c.txt", ["x/y/c.txt"]),
        ("**/y/*", ["x/y/c.txt"]),
    ],
)
def test_two_stars_stand_for_any_number_of_folders(tmp_path: Path, glob: str, expected: list[str]) -> None:
    for name in ("a.txt", "x/b.txt", "x/y/c.txt"):
        put(tmp_path / name, name)
    assert texts(tmp_path, glob=glob) == expected


def test_files_of_several_inputs_have_names_that_tell_them_apart(tmp_path: Path) -> None:
    put(tmp_path / "one/a.txt", "1")
    put(tmp_path / "two/a.txt", "2")
    names = [columns["file"] for _, columns, _ in rows(tmp_path / "one", tmp_path / "two")]
    assert names == [(tmp_path / "one/a.txt").as_posix(), (tmp_path / "two/a.txt").as_posix()]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "id,txt\n1,a\n", "there is no column 'text' (did you mean 'txt'?); the columns are: "),
        ("a.csv", "text,text\n", "two columns are named 'text'; rename one of them"),
        ("a.jsonl", '{"txt":"a"}', "there is no column 'text' (did you mean 'txt'?); the columns are: "),
        ("a.parquet", "text", "is not a Parquet file, or is damaged or cut short; copy it again"),
        ("a.csv", b"PAR1....", "its ending says .csv, but it is a Parquet file"),
        ("a.parquet.gz", "", "only files that end in .txt, .csv, .tsv, .jsonl, .json, .parquet can be classified"),
        ("a.docx", "", "only files that end in .txt, .csv, .tsv, .jsonl, .json, .parquet can be classified"),
    ],
)
def test_what_cannot_be_read_says_so_before_the_first_row(
    tmp_path: Path, name: str, content: str | bytes, expected: str
) -> None:
    path = put(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        find_inputs([path])
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_missing_inputs() -> None:
    assert message("nowhere.csv") == "nowhere.csv: there is no such file or folder"
    assert message().startswith("nothing to classify")
    assert message("-", "-") == "standard input (-) is named twice"


def test_files_without_rows_have_no_blocks(tmp_path: Path) -> None:
    for name, content in (("a.csv", "text\n"), ("a.jsonl", "\n"), ("l.txt", "")):
        assert list(found(put(tmp_path / name, content), lines=True).blocks()) == []


def test_standard_input_is_answered_as_its_lines_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as binary, os.fdopen(writer, "wb", buffering=0) as sender:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(binary))
        sender.write(b"one\ntw")
        blocks = found("-").blocks()
        first = next(blocks)  # would wait for ever if it wanted more than there is
        sender.write(b"o\nthree")
        sender.close()
        rest = [text for block in blocks for text in block.texts]
    assert (first.texts, first.columns, rest) == (["one"], {"line": [1]}, ["two", "three"])


def test_blocks_are_bounded_and_count_bytes_to_the_end(tmp_path: Path) -> None:
    put(tmp_path / "d/a.csv", "text\n" + "a\n" * 25)
    put(tmp_path / "d/b.txt", "b\n" * 25)
    put(tmp_path / "d/c.csv.gz", gzip.compress(b"text\n" + b"c\n" * 25))
    inputs = found(tmp_path / "d", lines=True, block_rows=10)
    blocks = list(inputs.blocks())
    assert [len(block) for block in blocks] == [10, 10, 5] * 3
    assert [block.bytes_read for block in blocks] == sorted(block.bytes_read for block in blocks)
    assert blocks[-1].bytes_read == inputs.total_bytes


def test_how_files_are_written_is_found_out_once_and_travels_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "in/a.csv", 'text;n\n"one; two";1\n')
    put(tmp_path / "in/b.tsv", 'text\tn\n"so" he said\t1\n')
    put(tmp_path / "in/c.csv", "text,n\nover,1\n".encode("utf-16"))
    put(tmp_path / "in/d.json", '[{"text": "here"}]')
    inputs = pickle.loads(pickle.dumps(found(tmp_path / "in")))
    monkeypatch.setattr("textcls.data.csv_rows._shape", None)  # nothing is looked at again
    assert [text for block in inputs.blocks() for text in block.texts] == ["one; two", '"so" he said', "over", "here"]


def test_long_rows_end_a_block_early(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *[["x" * 1_500_000]] * 4])
    assert [len(block) for block in found(tmp_path / "a.csv").blocks()] == [2, 2]


def test_reading_text_imports_nothing_heavy(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", "text\na\n")
    put(tmp_path / "b.tsv.gz", gzip.compress(b'text\n"a"\n'))
    put(tmp_path / "c.txt.bz2", "c")
    put(tmp_path / "d.jsonl", '{"text": "d"}\n')
    put(tmp_path / "e.json", '[{"text": "e"}]')
    code = (
        "import sys; from textcls.data.inputs import find_inputs; list(find_inputs([sys.argv[1]]).blocks());"
        "print([m for m in ('torch', 'spacy', 'datasets', 'sklearn', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


PIECES = [
    *(b"text", b"label", b",", b"\t", b";", b"|", b'"', b"\n", b"\r", b"sep=;", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"{", b"}", b"[", b"]", b":", b"1", b"\\ud800"),
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join),
    st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".txt", ".parquet", ".csv.gz", ".csv.bz2", ".jsonl.zst"]),
    st.sampled_from(["strict", "replace"]),
    st.sampled_from(["utf-8", "cp1252", "gbk", "utf-16"]),
)
def test_any_bytes_give_rows_or_one_clear_line(tmp_path: Path, content: bytes, kind: str, errors: str, encoding: str) -> None:
    path = put(tmp_path / f"a{kind}", content)
    try:
        blocks = list(found(path, lines=True, encoding=encoding, encoding_errors=errors).blocks())
        outcome = "".join(str(block.error(row)) for block in blocks for row in block.failed)
        outcome += "".join(text.replace("\n", "") for block in blocks for text in block.texts)
    except InputError as error:
        outcome = str(error)
        assert f"a{kind}: " in outcome or f"a{kind}, " in outcome
    assert "\n" not in outcome
    outcome.encode()  # fails on a lone surrogate


class TestFoldersThatHoldMore:
    """Nothing in a folder is left out in silence, and nothing in it is waited for."""

    def test_what_is_no_regular_file(self, tmp_path: Path) -> None:
        put(tmp_path / "in/a.txt", "a")
        os.mkfifo(tmp_path / "in/pipe.txt")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "in/listening.csv"))
            assert texts(tmp_path / "in") == ["a"]
        [note] = found(tmp_path / "in").notes
        assert note == f"{tmp_path / 'in'}: left out what is no regular file: listening.csv, pipe.txt"
        assert "is no regular file; give a stream through standard input" in message(tmp_path / "in/pipe.txt")

    def test_a_folder_that_may_not_be_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "in/a.txt", "a")
        put(tmp_path / "in/closed/b.txt", "b")
        forbid(monkeypatch, tmp_path / "in" / "closed")
        assert texts(tmp_path / "in") == ["a"]
        assert found(tmp_path / "in").notes == (
            f"{tmp_path / 'in'}: left out folders that cannot be listed: closed (Permission denied)",
        )
        assert message(tmp_path / "in" / "closed") == f"{tmp_path / 'in/closed'}: cannot be listed: Permission denied"

    def test_a_file_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "in/a.txt", "a")
        closed = put(tmp_path / "in/b.txt", "b")
        open_path = Path.open

        def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
            if path == closed:
                raise PermissionError(13, "Permission denied", str(path))
            return open_path(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", refuse)
        assert [(text, error) for text, _, error in rows(tmp_path / "in")] == [
            ("a", None),
            ("", f"{closed}: cannot be read: Permission denied"),
        ]
        assert message(tmp_path / "in", lines=True) == f"{closed}: cannot be read: Permission denied"

    def test_a_link_to_itself(self, tmp_path: Path) -> None:
        put(tmp_path / "in/a.txt", "a")
        (tmp_path / "in/b.txt").symlink_to("b.txt")
        assert texts(tmp_path / "in") == ["a"]
        assert found(tmp_path / "in").notes == (f"{tmp_path / 'in'}: left out links to nothing: b.txt",)
        assert "\n" not in message(tmp_path / "in/b.txt")

    @pytest.mark.parametrize("name", ["d", "a_long_name"])
    def test_folders_1500_deep(self, tmp_path: Path, name: str) -> None:
        """As deep as a path may be long they are read; what is deeper is noted."""
        put(tmp_path / "a.txt", "a")
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir(name, dir_fd=here)  # a path would be too long
            deeper = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(os.open("b.txt", os.O_CREAT, dir_fd=here))
        os.close(here)
        try:
            inputs = found(tmp_path)
            read, notes = [text for block in inputs.blocks() for text in block.texts], inputs.notes
        finally:
            subprocess.run(["rm", "-rf", tmp_path / name], check=True)  # Python's own is recursive
        if name == "d":
            assert (read, notes) == (["a", ""], ())
        else:
            assert read == ["a"]
            assert "left out folders that cannot be listed: a_long_name/" in notes[0]
            assert len(notes[0]) < 500


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the system refuse to list a folder, which it does for everyone but root."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


class TestStandardInput:
    def given(self, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.encode())))

    @pytest.mark.parametrize(
        ("format", "data"),
        [
            ("lines", "one\ntwo\n"),
            ("jsonl", '{"text": "one"}\n\n{"text": "two"}'),
            ("csv", '\ntext;n\n"one";1\ntwo;2\n'),
            ("tsv", "text\tn\none\t1\ntwo\t2\n"),
        ],
    )
    def test_formats(self, monkeypatch: pytest.MonkeyPatch, format: str, data: str) -> None:
        self.given(monkeypatch, data)
        assert texts("-", input_format=format) == ["one", "two"]

    def test_faults_name_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given(monkeypatch, "text;n\none;1\n")
        assert found("-", input_format="csv").notes == ("standard input: its fields are separated by ';'",)
        self.given(monkeypatch, "text,n\none,1\ntwo\n")
        inputs = found("-", input_format="csv")
        [block] = inputs.blocks()
        assert str(block.error(1)).startswith("standard input, row 3: 1 field where the first row has 2")
        self.given(monkeypatch, "txt\none\n")
        assert message("-", input_format="csv").startswith("standard input: there is no column 'text'")

    def test_is_none_of_the_formats(self) -> None:
        assert message("-", input_format="xml") == "xml: is no format of standard input; there are lines, jsonl, csv, tsv"

    @pytest.mark.parametrize(
        ("data", "noted"),
        [('{"text": "one"}\n', True), ("{\n", False), ('["text"]\n', False), ("7\n", False), ("[" * 99999, False)],
    )
    def test_lines_that_seem_to_be_json_are_noted(self, monkeypatch: pytest.MonkeyPatch, data: str, noted: bool) -> None:
        self.given(monkeypatch, data)
        inputs = found("-")
        assert any("--input-format jsonl" in note for note in inputs.notes) is noted
        assert [text for block in inputs.blocks() for text in block.texts] == data.splitlines()

    @pytest.mark.parametrize("format", ["lines", "jsonl", "csv", "tsv"])
    def test_is_answered_as_its_rows_arrive(self, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
        rows = {"lines": "{}\n", "jsonl": '{{"text": "{}"}}\n', "csv": '"{}"\n', "tsv": '"{}"\n'}[format]
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as binary, os.fdopen(writer, "wb", buffering=0) as sender:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(binary))
            sender.write(("text\n" if format in {"csv", "tsv"} else "").encode() + rows.format("one").encode())
            blocks = found("-", input_format=format).blocks()
            for text in ("one", "two", "three"):
                block = next(blocks)  # would wait for ever if it wanted more than there is
                assert block.texts == [text]
                sender.write(rows.format({"one": "two", "two": "three"}.get(text, "four")).encode())
            sender.close()
            assert [text for block in blocks for text in block.texts] == ["four"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delimiter": ";"}, "data.delimiter (--delimiter) is for csv and tsv files, and none is read"),
        ({"quoting": "csv"}, "data.quoting (--quoting) is for csv and tsv files, and none is read"),
        ({"header": False}, "data.header (--no-header) is for csv and tsv files, and none is read"),
        ({"encoding": "cp1252"}, "data.encoding (--encoding) is for text, and none is read"),
    ],
)
def test_options_that_no_file_is_for_are_noted(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    parquet.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    assert found(tmp_path, **options).notes == (said,)
    put(tmp_path / "a.jsonl", '{"text": "a"}')
    assert found(tmp_path, **options).notes == (() if "encoding" in options else (said,))
    put(tmp_path / "a.tsv", "text\na\n")
    if "header" not in options:
        assert found(tmp_path, **options).notes == ()


@pytest.mark.parametrize("marker", ["state.json", "dataset_dict.json"])
def test_a_saved_data_set_is_told(tmp_path: Path, marker: str) -> None:
    put(tmp_path / "disk" / marker, "{}")
    assert message(tmp_path / "disk").endswith(
        "disk: is a data set that was saved to disk; write it as a file, with its to_parquet, and name that"
    )
