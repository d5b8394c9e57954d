"""Text files: lines, and whole files."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import errors, put, rows, texts

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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b" "))), st.integers(1, 5))
def test_every_line_of_bytes_is_one_row(tmp_path: Path, lines: Sequence[bytes], block_rows: int) -> None:
    lines = [b"a first line that is no other format's", *lines]
    path = put(tmp_path / "a.txt", b"".join(line + b"\n" for line in lines))
    found = rows(path, lines=True, block_rows=block_rows)
    assert [columns["line"] for _, columns, _ in found] == list(range(1, len(lines) + 1))
    for line, (_, _, error) in zip(lines, found, strict=True):
        assert (error is None) == (line.decode("utf-8", "ignore").encode() == line)
