"""Text files: lines, and whole files."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import errors, found, put, rows, texts

NAME_THE_ENCODING = "name the file's encoding in data.encoding (--encoding)"


def test_a_text_file_is_one_text_under_the_name_it_was_given(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\ntwo\x00\n")
    assert rows(path) == [("one\r\ntwo\x00\n", {"file": str(path)}, None)]


def test_lines_are_numbered_and_blank_ones_are_rows(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\n\ntwo\xe2\x80\xa8still two\x0b")
    columns = [{"file": str(path), "line": line} for line in (1, 2, 3)]
    assert rows(path, lines=True) == [
        ("one", columns[0], None),
        ("", columns[1], None),
        ("two\u2028still two\x0b", columns[2], None),
    ]


def test_a_line_that_is_not_utf8_is_an_error_of_that_line_alone(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"good\nb\xffd\r\nalso good\n")
    assert texts(path, lines=True) == ["good", "", "also good"]
    first, second, third = errors(path, lines=True)
    assert (first, third) == (None, None)
    assert str(second).startswith(f"{path}, row 2: byte 0xff is not UTF-8; {NAME_THE_ENCODING}")
    assert texts(path, lines=True, encoding_errors="replace") == ["good", "b\ufffdd", "also good"]


def test_a_text_file_that_cannot_be_read_is_a_row_with_an_error(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "fine")
    put(tmp_path / "b.txt", b"one\n\xff")
    put(tmp_path / "c.txt.gz", gzip.compress(b"abc" * 100)[:20])
    assert texts(tmp_path) == ["fine", "", ""]
    first, second, third = errors(tmp_path)
    assert first is None
    assert str(second).startswith(f"{tmp_path / 'b.txt'}: line 2 of it: byte 0xff is not UTF-8; {NAME_THE_ENCODING}")
    assert str(third).startswith(f"{tmp_path / 'c.txt.gz'}: its gzip data is cut short")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "gbk"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    word = "\u4e2d\u6587" if encoding == "gbk" else "\u00fcber"
    given = {} if encoding in {"utf-8-sig", "utf-16", "utf-32"} else {"encoding": encoding}
    for content in (f"one\n{word} two\n", f"one\n{word} two"):
        path = put(tmp_path / "a.txt", content.encode(encoding))
        assert texts(path, **given) == [content]
        assert texts(path, lines=True, **given) == content.splitlines()


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf16_without_its_mark_is_seen(tmp_path: Path, order: str) -> None:
    path = put(tmp_path / "a.txt", "one\ntwo\n".encode(f"utf-16-{order}"))
    assert texts(path) == ["one\ntwo\n"]
    assert texts(path, lines=True) == ["one", "two"]
    [note] = found(path, lines=True).notes
    assert note == f"{path}: is UTF-16-{order.upper()} text, by the zeros in it, which data.encoding (--encoding) does not say"


def test_a_file_in_another_encoding_says_which_was_tried(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"one \xff\n")
    assert f"{path}: is not all GBK; {NAME_THE_ENCODING}" in str(errors(path, encoding="gbk")[0])
    assert f"{path}, row 1: is not all GBK; {NAME_THE_ENCODING}" in str(errors(path, encoding="gbk", lines=True)[0])
    assert texts(path, encoding="gbk", encoding_errors="replace") == ["one \ufffd\n"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b" "))), st.integers(1, 5))
def test_every_line_of_bytes_is_one_row(tmp_path: Path, lines: Sequence[bytes], block_rows: int) -> None:
    lines = [b"a first line that is no other format's", *lines]
    path = put(tmp_path / "a.txt", b"".join(line + b"\n" for line in lines))
    read = rows(path, lines=True, block_rows=block_rows)
    assert [columns["line"] for _, columns, _ in read] == list(range(1, len(lines) + 1))
    for line, (_, _, error) in zip(lines, read, strict=True):
        assert (error is None) == (line.decode("utf-8", "ignore").encode() == line)


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_bytes_that_are_not_what_their_mark_says_are_damaged(tmp_path: Path, lines: bool, encoding: str) -> None:
    path = put(tmp_path / "a.txt", "one".encode(encoding) + b"x")
    [fault] = errors(path, lines=lines)
    assert f"is not all {encoding.upper()}, as its first bytes say; copy" in str(fault)
    assert "cp1252" not in str(fault)
    assert texts(path, lines=lines, encoding_errors="replace") == ["one\ufffd"]
