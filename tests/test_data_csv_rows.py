"""csv and tsv: values as they stand, rows that do not fit, and in which dialect a file is written."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import errors, found, message, put, records, refusal, rows, texts

from textcls.data.blocks import Dialect
from textcls.data.csv_rows import _Rows
from textcls.inference.writers import CsvWriter

TABLE = b"text,label\nhello,a\nbye,b\n"
RECORDS = [(2, {"text": "hello", "label": "a"}), (3, {"text": "bye", "label": "b"})]
ONLY: dict[str, Any] = {"only": ("text", "label")}


class TestValues:
    def test_come_as_they_stand(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", '\ufeffid,text\r\n007,"a ""b""\nc"\r\n\r\nNA,\x00d\r\n')
        assert rows(path) == [
            ('a "b"\nc', {"id": "007", "text": 'a "b"\nc'}, None),
            ("\x00d", {"id": "NA", "text": "\x00d"}, None),
        ]

    def test_stay_texts(self, tmp_path: Path) -> None:
        found = records(tmp_path / "a.csv", b"text,label\n007,NA\n,null\n1e5, x \n")
        assert [list(record.values()) for _, record in found] == [["007", "NA"], ["", "null"], ["1e5", " x "]]

    def test_nul_is_kept(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.csv", b"text\na\x00b\n") == [(2, {"text": "a\0b"})]

    def test_a_field_of_10_megabytes(self, tmp_path: Path) -> None:
        long = "x" * 10_000_000
        assert texts(put(tmp_path / "a.csv", f'n,text\n1,"{long}"\n2,y\n')) == [long, "y"]

    @pytest.mark.parametrize("content", [b"text,label\n", b"text,label", b"\n\ntext,label\n\n"])
    def test_no_rows(self, tmp_path: Path, content: bytes) -> None:
        assert records(tmp_path / "a.csv", content, **ONLY) == []

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("header", [True, False])
    def test_an_empty_file_has_no_rows(self, tmp_path: Path, content: bytes, header: bool) -> None:
        assert rows(put(tmp_path / "a.csv", content), header=header) == []
        assert records(tmp_path / "a.csv", header=header, **ONLY) == []


class TestRows:
    def test_are_numbered_by_the_line_on_which_they_start(self, tmp_path: Path) -> None:
        content = b'\xef\xbb\xbftext,label\r\n"two\r\nlines",a\r\n\r\n"say ""hi"", ok",b\r\n'
        assert records(tmp_path / "a.csv", content) == [
            (2, {"text": "two\r\nlines", "label": "a"}),
            (5, {"text": 'say "hi", ok', "label": "b"}),
        ]

    def test_old_macintosh_line_ends(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.csv", TABLE.replace(b"\n", b"\r")) == RECORDS
        path = put(tmp_path / "a.tsv", 'text\tlabel\rhe said "bye"\ta\r"so" he said\tb\r')
        assert texts(path) == ['he said "bye"', '"so" he said']

    def test_no_line_end_at_the_end(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.csv", TABLE.rstrip()) == RECORDS

    def test_that_do_not_fit_keep_their_place(self, tmp_path: Path) -> None:
        content = b'text,n\n"a\nb",1\nc\nd,2,3\n"e"f,4\n\xff,5\ng,\xff\nh,6\n"never closed,7\n'
        path = put(tmp_path / "a.csv", content)
        found = rows(path)
        assert [text for text, _, _ in found] == ["a\nb", "", "", "", "", "", "h", ""]
        assert [error.removeprefix(str(path)).split(";")[0] if error else None for _, _, error in found] == [
            None,
            ", row 4: 1 field where the first row has 2",
            ", row 5: 3 fields where the first row has 2",
            ", row 6: ',' expected after '\"'",
            ", row 7: byte 0xff is not UTF-8",
            ", row 8: byte 0xff is not UTF-8",
            None,
            ", row 10: a double quote is opened and never closed",
        ]
        assert found[5][1] == {"text": "g", "n": "\ufffd"}
        assert texts(path, encoding_errors="replace")[4:6] == ["\ufffd", "g"]

    def test_of_one_column_may_be_empty(self, tmp_path: Path) -> None:
        found = rows(put(tmp_path / "a.csv", "text\na\n\nb\n"))
        assert [(text, error) for text, _, error in found] == [("a", None), ("", None), ("b", None)]

    @pytest.mark.parametrize("row", [b"a,b,c", b"a"])
    def test_wrong_number_of_fields(self, tmp_path: Path, row: bytes) -> None:
        assert f"row 4: {row.count(b',') + 1} field" in refusal(tmp_path / "a.csv", TABLE + row)

    def test_quote_never_closed_names_the_row_it_opens_in(self, tmp_path: Path) -> None:
        fault = refusal(tmp_path / "a.csv", b'text,label\nx,a\n"y,b\nz,a\nw,b\n')
        assert "row 3: a double quote is opened and never closed" in fault

    def test_text_after_a_closing_quote(self, tmp_path: Path) -> None:
        assert "row 2:" in refusal(tmp_path / "a.csv", b'text,label\n"so" he said,a\n')

    def test_bytes_that_cannot_be_decoded(self, tmp_path: Path) -> None:
        content = b"text,label\nok,a\n\xa3 5,b\n"
        assert "row 3: byte 0xa3 is not UTF-8" in refusal(tmp_path / "a.csv", content)
        assert records(tmp_path / "a.csv", encoding_errors="replace")[1] == (3, {"text": "\ufffd 5", "label": "b"})


class TestColumns:
    def test_two_of_one_name(self, tmp_path: Path) -> None:
        fault = refusal(tmp_path / "a.csv", b"text,label,text\n1,2,3\n", **ONLY)
        assert "two columns are named 'text'" in fault

    def test_a_missing_one_names_those_there_are(self, tmp_path: Path) -> None:
        fault = refusal(tmp_path / "a.csv", TABLE, text=("texts",))
        assert "did you mean 'text'?" in fault
        assert "'text', 'label'" in fault

    def test_a_missing_one_hints_at_a_missing_header_and_stays_short(self, tmp_path: Path) -> None:
        fault = refusal(tmp_path / "a.csv", b"x" * 5000 + b",a\n")
        assert "data.header" in fault
        assert len(fault) < 400

    def test_without_names(self, tmp_path: Path) -> None:
        assert rows(put(tmp_path / "a.csv", "x,y\n"), header=False, text="1") == [("y", {"0": "x", "1": "y"}, None)]
        assert records(tmp_path / "a.csv", b"hello,a\n", header=False, text=("0",)) == [(1, {"0": "hello", "1": "a"})]

    def test_between_tabs(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.tsv", TABLE.replace(b",", b"\t")) == RECORDS
        assert rows(put(tmp_path / "a.tsv", "text\tn\na,b\t1\n")) == [("a,b", {"text": "a,b", "n": "1"}, None)]


class TestRawLines:
    def test_of_rows_that_cannot_be_parsed(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", b'text,n\r\na,1,2\r\n"b\nc"d,3\r\ne,4\n"f\xff\n')
        [block] = found(path).blocks()
        assert block.raw == {0: "a,1,2", 1: '"b\nc"d,3', 3: '"f\ufffd'}

    def test_of_a_line_that_is_too_long_is_not_kept(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", "text,n\n" + "x" * 999 + ",1\nb,2\n")
        [block] = found(path, longest=100).blocks()
        assert (block.texts, block.raw) == (["", "b"], {})
        assert block.error(0) == f"{path}, row 2: longer than data.max_row_bytes, 100"


class TestNames:
    def test_columns_without_a_name_are_called_by_their_place(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", "v1,text,,,\nham,hello,,,\nspam,bye\neggs,so,x,,\n")
        names = ["v1", "text", "column_3", "column_4", "column_5"]
        assert [list(columns.items()) for _, columns, _ in rows(path)] == [
            list(zip(names, values, strict=True))
            for values in (["ham", "hello", "", "", ""], ["spam", "bye", "", "", ""], ["eggs", "so", "x", "", ""])
        ]
        assert errors(path) == [None] * 3

    def test_a_column_without_a_name_may_stand_first(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", ",text\n0,hello\n")  # as pandas writes its index
        assert records(path) == [(2, {"column_1": "0", "text": "hello"})]

    def test_columns_of_one_name_are_counted(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", "note,text,note,note.2,note\n1,t,2,3,4\n")
        assert records(path) == [(2, {"note": "1", "text": "t", "note.3": "2", "note.2": "3", "note.4": "4"})]

    @pytest.mark.parametrize(
        "content", ["text,label\na,x,\nb,y,,\n", "text,label,\na,x,\nb,y\n", "\ntext,label,,\n\na,x\nb,y,,,\n"]
    )
    def test_trailing_separators_are_no_fault(self, tmp_path: Path, content: str) -> None:
        path = put(tmp_path / "a.csv", content)
        assert [list(columns.values())[:2] for _, columns, _ in rows(path)] == [["a", "x"], ["b", "y"]]
        assert errors(path) == [None] * 2

    def test_a_separator_more_that_other_rows_do_not_have_is_one(self, tmp_path: Path) -> None:
        """It may be the end of a text."""
        path = put(tmp_path / "a.csv", "label,text\nham,Hello\nspam,Hello,\n")
        assert "row 3: 3 fields where the first row has 2" in str(errors(path)[1])
        path = put(tmp_path / "a.csv", "text\nHello,\nHello,\n")
        assert "row 3: 2 fields where the first row has 1" in str(errors(path)[1])

    def test_a_name_that_a_number_would_take_is_left_alone(self, tmp_path: Path) -> None:
        assert list(records(put(tmp_path / "a.csv", "text,,column_2\na,b,c\n"))[0][1]) == ["text", "column_3", "column_2"]


class TestAdvice:
    """What is wrong with a row, or a header, as far as it can be seen."""

    @pytest.mark.parametrize("row", ['"he said \\"bye\\" twice",ham', '"so \\"it, ham\\" is",ham', '"it is \\"",ham'])
    def test_quotes_behind_backslashes(self, tmp_path: Path, row: str) -> None:
        path = put(tmp_path / "a.csv", f"text,label\n{row}\n")
        assert 'write each double quote twice, not as \\"' in str(errors(path)[0])
        path = put(tmp_path / "a.csv", 'text,label\na\\"b,c,d\n"a "b\\" c",d\n')
        assert "twice" not in str(errors(path)[0])

    def test_single_quotes(self, tmp_path: Path) -> None:
        first, second, _ = errors(put(tmp_path / "a.csv", "text,label\n'it, so',ham\nit's, so,ham\nso,ham\n"))
        assert "3 fields where the first row has 2; single quotes hold nothing together" in str(first)
        assert "hold nothing" not in str(second)

    def test_names_of_rows_as_r_writes_them(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", '"text","label"\n"1","one","a"\n"2","two","b"\n')
        for fault in (*errors(path), refusal(path)):
            assert "3 fields where the first row has 2; if R wrote names of rows" in str(fault)
            assert "row.names = FALSE" in str(fault)
        path = put(path, "text,label\none,a\none, two,a\n")
        assert "row.names" not in str(errors(path)[1])

    @pytest.mark.parametrize("first", ["# made by X", "Reviews of 2024\n", "#"])
    def test_a_first_line_that_is_no_row(self, tmp_path: Path, first: str) -> None:
        fault = message(put(tmp_path / "a.csv", f"{first}\ntext,label,n\none,a,1\n"))
        assert "the first row has one field and those below it have 3: take it out if it is a comment or a title" in fault
        assert "take it out" not in message(put(tmp_path / "a.csv", "txt\none\ntwo, three\n"))

    @pytest.mark.parametrize("separator", ["^", "~", "\x01"])
    def test_separators_that_are_not_found(self, tmp_path: Path, separator: str) -> None:
        path = put(tmp_path / "a.csv", f"text{separator}label\none{separator}a\n")
        assert message(path).endswith(f"separated by {separator!r}: set data.delimiter (--delimiter)")
        assert texts(path, delimiter=separator) == ["one"]

    def test_a_first_line_that_names_no_separator(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", "sep=||\ntext||label\none||a\n")
        assert "row 1: 'sep=||' must name one character" in message(path)
        assert records(put(tmp_path / "a.csv", "sep=||\ntext;label\none;a\n"), delimiter=";")[0][0] == 3


SWALLOWED = 'label\ttext\nham\t"Call me\nham\tlater\nspam\tWin "\nham\tok\n'
DAMAGED = 'label\ttext\nham\t"so" he said\nham\ta\nspam\t"b\nham\tc\n'


class TestQuoting:
    """Between tabs, whether double quotes hold fields together is found out once a file."""

    @pytest.mark.parametrize("content", [SWALLOWED, DAMAGED])
    def test_quotes_that_would_hold_rows_together_are_characters(self, tmp_path: Path, content: str) -> None:
        path = put(tmp_path / "a.tsv", content)
        assert texts(path) == [line.split("\t")[1] for line in content.splitlines()[1:]]
        [note] = found(path).notes
        assert note.startswith(f"{path}: double quotes are characters like others there")
        assert "data.quoting" in note

    def test_quotes_that_hold_fields_together_do(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.tsv", 'text\tn\n"two\nlines"\t1\n"a ""b""\tc"\t2\nd "e" f\t3\n')
        assert texts(path) == ["two\nlines", 'a "b"\tc', 'd "e" f']
        assert found(path).notes == ()

    def test_lines_of_a_single_column_that_quotes_hold_together_are_noted(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.tsv", 'text\n"Good morning\nWIN CASH\nsee you"\nbye\n')
        assert texts(path) == ["Good morning\nWIN CASH\nsee you", "bye"]
        [note] = found(path).notes
        assert (
            note == f"{path}: double quotes hold several lines together; if each is a row, set data.quoting (--quoting) to none"
        )
        assert found(path, quoting="csv").notes == found(put(path, 'text\n"a"\n')).notes == ()

    def test_a_setting_goes_before_what_is_found(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.tsv", SWALLOWED)
        assert texts(path, quoting="csv") == ["Call me\nham\tlater\nspam\tWin ", "ok"]
        assert texts(path, quoting="none") == texts(path)
        assert found(path, quoting="csv").notes == found(path, quoting="none").notes == ()
        path = put(tmp_path / "a.csv", 'text,n\n"a",1\n')
        assert texts(path, quoting="none") == ['"a"']

    @pytest.mark.parametrize("separator", [",", ";", "|"])
    def test_other_separators_are_always_quoted(self, tmp_path: Path, separator: str) -> None:
        content = SWALLOWED.replace("\t", separator)
        assert len(texts(put(tmp_path / "a.csv", content))) == 2

    def test_rows_that_a_quote_joins_at_the_border_of_two_columns(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.tsv", 'label\ttext\nham\t"Call\nme"\t\n')
        assert texts(path) == ['"Call', ""]

    @pytest.mark.parametrize("end", [DAMAGED, SWALLOWED, 'label\ttext\nham\t"one\nham"\ttwo\n'])
    def test_a_row_behind_those_looked_at_that_speaks_against_it_ends_the_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        monkeypatch.setattr("textcls.data.formats._SAMPLE", 100)
        start = "label\ttext\n" + 'ham\t"so"\n' * 20
        fault = message(put(tmp_path / "a.tsv", start + end.partition("\n")[2]))
        assert "a.tsv, row 22: " in fault
        assert "data.quoting" in fault
        assert texts(put(tmp_path / "a.tsv", start + 'ham\t"two\nlines"\n'))[-1] == "two\nlines"

    @pytest.mark.parametrize("quote_all", [False, True])
    def test_a_quoted_field_that_goes_on_behind_those_looked_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quote_all: bool
    ) -> None:
        monkeypatch.setattr("textcls.data.formats._SAMPLE", 60)
        long = "\n".join("many lines with tabs\tin them" if quote_all else "many lines" for _ in range(20))
        quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
        path = put(tmp_path / "a.tsv", written([["id", "text"], ["1", "short"], ["2", long], ["3", "x"]], "\t", quoting))
        assert texts(path) == ["short", long, "x"]


def written(rows: Sequence[Sequence[str]], separator: str, quoting: Any = csv.QUOTE_MINIMAL, end: str = "\r\n") -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, quoting=quoting, lineterminator=end).writerows(rows)
    return buffer.getvalue()


class TestDelimiter:
    @pytest.mark.parametrize("kind", ["csv", "tsv"])
    @pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
    def test_is_found_where_it_splits_every_row_evenly(self, tmp_path: Path, kind: str, separator: str) -> None:
        content = written([["text", "label"], ["one", "a"], [f"two{separator} and", "b"], ["", "c"]], separator)
        path = put(tmp_path / f"a.{kind}", content)
        assert records(path, **ONLY)[1] == (3, {"text": f"two{separator} and", "label": "b"})
        usual = separator == {"csv": ",", "tsv": "\t"}[kind]
        shown = "tabs" if separator == "\t" else repr(separator)
        assert found(path).notes == (() if usual else (f"{path}: its fields are separated by {shown}",))

    def test_semicolons_between_texts_with_commas_and_decimal_commas(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", "text;price\nOne, two, and three;1,50\nNone;2\n")
        assert records(path) == [
            (2, {"text": "One, two, and three", "price": "1,50"}),
            (3, {"text": "None", "price": "2"}),
        ]

    @pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
    def test_sentences_of_one_column_stay_whole(self, tmp_path: Path, separator: str) -> None:
        sentences = [f"one{separator} two", f"three{separator} four"]
        path = put(tmp_path / "a.csv", written([["text"], *([one] for one in sentences)], ","))
        assert texts(path) == sentences
        assert found(path).notes == ()

    def test_is_not_looked_for_without_a_header(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", "one; a\ntwo; b\n")
        assert texts(path, header=False, text="0") == ["one; a", "two; b"]
        [note] = found(path, header=False, text="0").notes
        assert note == f"{path}: each row is one field, but ';' would split all evenly: set data.delimiter (--delimiter)"
        assert texts(path, header=False, text="0", delimiter=";") == ["one", "two"]
        assert found(put(path, "one; a\ntwo\n"), header=False, text="0").notes == ()

    def test_that_splits_unevenly_is_not_taken_and_the_setting_named(self, tmp_path: Path) -> None:
        content = b"text;label\none;a\ntwo; three;b\n"
        assert "data.delimiter" in refusal(tmp_path / "a.csv", content)
        assert "data.delimiter" in message(tmp_path / "a.csv")
        assert errors(tmp_path / "a.csv", delimiter=";")[0] is None

    def test_quotes_around_the_names_and_commas_in_them(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", '"text";"note, or so"\n"a ""b""";"1"\n')
        assert records(path) == [(2, {"text": 'a "b"', "note, or so": "1"})]
        fault = refusal(put(tmp_path / "a.csv", '"text";"note, or so"\na;b;c\n'))
        assert "row 1: " in fault
        assert "data.delimiter" in fault

    def test_two_that_split_alike_are_not_guessed_between(self, tmp_path: Path) -> None:
        assert "data.delimiter" in refusal(tmp_path / "a.csv", b"text;a|label\none;a|b\n")

    def test_the_first_line_may_name_it(self, tmp_path: Path) -> None:
        for start in ("sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;"):
            for end in ("\n", "\r\n", "\r"):
                path = put(tmp_path / "a.csv", end.join([start, "text;label", "one;a", '"two', '";b', ""]))
                found = [(number, list(record.items())) for number, record in records(path)]
                assert found == [(3, [("text", "one"), ("label", "a")]), (4, [("text", f"two{end}"), ("label", "b")])]
        path = put(tmp_path / "a.csv", "sep=|\none|a\n")
        assert records(path, header=False, text=("0",)) == [(2, {"0": "one", "1": "a"})]
        path = put(tmp_path / "a.csv", "sep=;\ntext|label\none|a\n")
        assert records(path, delimiter="|") == [(3, {"text": "one", "label": "a"})]

    def test_a_header_alone(self, tmp_path: Path) -> None:
        assert records(put(tmp_path / "a.csv", "text;label"), **ONLY) == []
        assert records(put(tmp_path / "a.csv", "sep=;\ntext;label"), **ONLY) == []
        assert records(put(tmp_path / "b.csv", "sep=;")) == []


class TestTheSample:
    """How a file is written is found out from its start, and the whole is read so."""

    @pytest.mark.parametrize("more", [-1, 0, 1])
    def test_that_ends_with_the_file_or_a_byte_from_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
    ) -> None:
        content = written([["text", "label"], ["one\ntwo", "a"], ["three", "b"]], ";").encode()
        monkeypatch.setattr("textcls.data.formats._SAMPLE", len(content) + more)
        for name, data in (("a.csv", content), ("a.csv.gz", gzip.compress(content))):
            assert [record["label"] for _, record in records(tmp_path / name, data)] == ["a", "b"]

    def test_that_ends_anywhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = written([["text", "label"], ["one, two\n\u4e00", "a"], ["three", "b"]], ";")
        for encoding in ("utf-8", "utf-16"):
            data = content.encode(encoding)
            for size in range(len("text;label\r\n".encode(encoding)), len(data)):
                monkeypatch.setattr("textcls.data.formats._SAMPLE", size)
                assert [record["label"] for _, record in records(tmp_path / "a.csv", data)] == ["a", "b"]

    @pytest.mark.parametrize("first", ['"one\ntwo', "one two "])
    def test_that_ends_in_the_first_row_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
        monkeypatch.setattr("textcls.data.formats._SAMPLE", 20)
        content = first + "x" * 99 + '",a\n' if first.startswith('"') else first + "x" * 99 + ",a\n"
        fault = refusal(tmp_path / "a.csv", content.encode(), header=False, text=("0",))
        assert "row 1: is longer than what is read of a file to find its columns" in fault


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "gbk"])
    @pytest.mark.parametrize("end", ["\n", ""])
    def test_tables(self, tmp_path: Path, encoding: str, end: str) -> None:
        word = "\u4e2d\u6587" if encoding == "gbk" else "\u00fcber"
        data = ("text,label\r\n" + f'"{word},\r\n{word}",a\r\n{word},b' + end).encode(encoding)
        given = {} if encoding in {"utf-8-sig", "utf-16", "utf-32"} else {"encoding": encoding}
        assert records(tmp_path / "a.csv", data, **given) == [
            (2, {"text": f"{word},\r\n{word}", "label": "a"}),
            (4, {"text": word, "label": "b"}),
        ]

    @pytest.mark.parametrize(("encoding", "bad"), [("cp1252", b"\x81"), ("gbk", b"\xff"), ("utf-16", b"\x00\xd8")])
    def test_what_cannot_be_decoded_is_an_error_of_its_row(self, tmp_path: Path, encoding: str, bad: bytes) -> None:
        data = "text,label\na,x\nb".encode(encoding) + bad + "c,y\nd,z\n".encode(encoding).removeprefix(b"\xff\xfe")
        path = put(tmp_path / "a.csv", data)
        one, two, three = errors(path, encoding=encoding)
        assert (one, three) == (None, None)
        assert f"row 3: is not all {encoding.upper()}; name the file's encoding" in str(two)
        assert texts(path, encoding=encoding, encoding_errors="replace") == ["a", "b\ufffdc", "d"]

    @pytest.mark.parametrize("order", ["le", "be"])
    def test_utf16_without_its_mark_is_seen(self, tmp_path: Path, order: str) -> None:
        path = put(tmp_path / "a.csv", "text,label\nhello,a\nbye,b\n".encode(f"utf-16-{order}"))
        for encoding in ("utf-8", "utf-16", f"utf-16-{order}"):
            assert records(path, encoding=encoding) == RECORDS
            assert len(found(path, encoding=encoding).notes) == (encoding == "utf-8")


cells = st.text(st.characters(codec="utf-8") | st.sampled_from('\t\n\r",;|a'), max_size=8)
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6))
a_while = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def named(rows: list[list[str]]) -> list[list[str]]:
    """Return rows under a line of names, the first of them `text`."""
    return [["text", "b", "c", "d"][: len(rows[0]) if rows else 1], *rows]


@a_while
@given(table=tables, kind=st.sampled_from(["csv", "tsv"]), sample=st.sampled_from([1 << 20, 12, 20, 40]))
def test_what_we_write_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: list[list[str]], kind: str, sample: int
) -> None:
    monkeypatch.setattr("textcls.data.formats._SAMPLE", sample)
    names, *rest = named(table)
    sink = io.BytesIO()
    writer = CsvWriter(sink, names, "\t" if kind == "tsv" else ",")
    if rest:
        writer.write(dict(zip(names, map(list, zip(*rest, strict=True)), strict=True)), [""] * len(rest))
    assert [list(record.values()) for _, record in records(tmp_path / f"a.{kind}", sink.getvalue())] == rest


@a_while
@given(
    table=tables,
    kind=st.sampled_from(["csv", "tsv"]),
    separator=st.sampled_from(",\t;|"),
    quote_all=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_others_write_is_read_back_or_said(
    tmp_path: Path, table: list[list[str]], kind: str, separator: str, quote_all: bool, end: str
) -> None:
    """Fields between tabs that hold a tab and a new line are beyond telling, but where every field is in quotes."""
    table = [[cell.replace("\r", " ") if end == "\n" else cell for cell in row] for row in table]
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    path = put(tmp_path / f"a.{kind}", written(named(table), separator, quoting, end))
    inputs = found(path)
    beyond = separator == "\t" and not quote_all and any("\t" in c and "\n" in c for row in table for c in row)
    read = rows(path)
    said = any("double quotes are characters like others" in note for note in inputs.notes) or any(errors(path))
    if len(named(table)[0]) == 1 and separator != {"csv": ",", "tsv": "\t"}[kind]:  # of which nothing tells the separator
        beyond = True
    assert (said and beyond) or [list(columns.values()) for _, columns, _ in read] == table


@pytest.mark.parametrize("header", ["id,text,label", "id, text, label", 'id, "text", "label"'])
def test_blanks_before_quotes_belong_to_no_field(tmp_path: Path, header: str) -> None:
    path = put(tmp_path / "a.csv", header + '\n0, "bad, 0", "neg"\n1, "good ""1""", "pos"\n')
    assert [columns for _, columns, _ in rows(path)] == [
        {"id": "0", "text": "bad, 0", "label": "neg"},
        {"id": "1", "text": 'good "1"', "label": "pos"},
    ]
    assert "blanks behind its separators are skipped" in found(path).notes[0]


def test_blanks_before_fields_without_quotes_stay(tmp_path: Path) -> None:
    assert texts(put(tmp_path / "a.csv", 'id,text\n0, one\n1,"a, ""b"", c"\n')) == [" one", 'a, "b", c']


@given(st.text(st.sampled_from('a,"\n\r'), max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_rows_and_what_stands_there_do_not_depend_on_pieces(text: str, cuts: list[int]) -> None:
    """Pieces end with lines, as `decoded_lines` gives them."""
    ends = sorted({0, len(text), *(cut for cut in cuts if text[max(0, cut - 1) : cut] == "\n")})
    pieces = [text[start:end] for start, end in itertools.pairwise(ends)]

    def seen(some: list[str]) -> list[tuple[int, list[str], str]]:
        rows = _Rows([(piece, True) for piece in some], Dialect())
        return [(number, fields, rows.raw()) for number, fields, _ in rows]

    assert seen(pieces) == seen([text])
    assert "".join(raw for _, _, raw in seen(pieces)) == text


@pytest.mark.parametrize("rows", [2, 40_000], ids=["short", "beyond the sample"])
def test_a_quote_that_opens_a_row_of_tabs_and_is_never_closed_is_a_character(tmp_path: Path, rows: int) -> None:
    lines = ["text\tlabel", '"to be or not\ta', *["a text that is neither long nor short\tb"] * rows]
    assert len(texts(put(tmp_path / "a.tsv", "\n".join(lines) + "\n"))) == rows + 1


def test_a_text_of_tabs_and_lines_beyond_the_sample_stays_one(tmp_path: Path) -> None:
    text = "one\ttwo\tthree\n\na line\n" * 60_000
    assert texts(put(tmp_path / "a.tsv", written([["text", "label"], [text, "a"]], "\t", csv.QUOTE_ALL))) == [text]
