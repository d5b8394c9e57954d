import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from textcls.data.files import Decoder, ending, fingerprint, read_text

from textcls.data.formats import iter_fasttext, iter_records
from textcls.errors import DataError

TABLE = b"text,label\nhello,a\nbye,b\n"
RECORDS = [(2, {"text": "hello", "label": "a"}), (3, {"text": "bye", "label": "b"})]


def records(path: Path, content: bytes | None = None, **options: Any) -> list[tuple[int, dict[str, object]]]:
    if content is not None:
        path.write_bytes(content)
    return list(iter_records(path, options.pop("decoder", Decoder()), **options))


def message(path: Path, content: bytes | None = None, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        records(path, content, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def zstd(data: bytes) -> bytes:
    compressed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return compressed


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", ".csv"), ("a.CSV.GZ", ".csv"), ("a.b.jsonl.zst", ".jsonl"), ("a", ""), ("a.gz", ""), (".csv", "")],
)
def test_ending(name: str, kind: str) -> None:
    assert ending(name) == kind


class TestCsv:
    def test_values_stay_texts(self, tmp_path: Path) -> None:
        found = records(tmp_path / "a.csv", b"text,label\n007,NA\n,null\n1e5, x \n")
        assert [list(record.values()) for _, record in found] == [["007", "NA"], ["", "null"], ["1e5", " x "]]

    def test_row_is_the_line_on_which_it_starts(self, tmp_path: Path) -> None:
        content = b'\xef\xbb\xbftext,label\r\n"two\r\nlines",a\r\n\r\n"say ""hi"", ok",b\r\n'
        assert records(tmp_path / "a.csv", content) == [
            (2, {"text": "two\r\nlines", "label": "a"}),
            (5, {"text": 'say "hi", ok', "label": "b"}),
        ]

    def test_old_macintosh_line_ends(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.csv", TABLE.replace(b"\n", b"\r")) == RECORDS

    def test_no_line_end_at_the_end(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.csv", TABLE.rstrip()) == RECORDS

    def test_nul_is_kept(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.csv", b"text\na\x00b\n") == [(2, {"text": "a\0b"})]

    def test_long_field(self, tmp_path: Path) -> None:
        assert len(str(records(tmp_path / "a.csv", b"text\n" + b"x" * 200_000)[0][1]["text"])) == 200_000

    def test_tab_separated(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.tsv", TABLE.replace(b",", b"\t")) == RECORDS

    def test_without_header(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.csv", b"hello,a\n", header=False) == [(1, {"0": "hello", "1": "a"})]

    @pytest.mark.parametrize("content", [b"", b"text,label\n", b"\n\n"])
    def test_no_rows(self, tmp_path: Path, content: bytes) -> None:
        assert records(tmp_path / "a.csv", content) == []

    @pytest.mark.parametrize("row", [b"a,b,c", b"a"])
    def test_wrong_number_of_fields(self, tmp_path: Path, row: bytes) -> None:
        assert f"row 4: {row.count(b',') + 1} fields" in message(tmp_path / "a.csv", TABLE + row)

    def test_quote_never_closed_names_the_row_it_opens_in(self, tmp_path: Path) -> None:
        assert "row 3: a double quote is opened and never closed" in message(
            tmp_path / "a.csv", b'text,label\nx,a\n"y,b\nz,a\nw,b\n'
        )

    def test_text_after_a_closing_quote(self, tmp_path: Path) -> None:
        assert "row 2:" in message(tmp_path / "a.csv", b'text,label\n"so" he said,a\n')

    def test_duplicate_column(self, tmp_path: Path) -> None:
        assert "two columns are named 'text'" in message(tmp_path / "a.csv", b"text,label,text\n1,2,3\n")

    def test_missing_column_names_those_there_are(self, tmp_path: Path) -> None:
        fault = message(tmp_path / "a.csv", TABLE, columns=["texts"])
        assert "did you mean 'text'?" in fault
        assert "'text', 'label'" in fault

    def test_missing_column_hints_at_another_separator(self, tmp_path: Path) -> None:
        assert "separated by ';'" in message(tmp_path / "a.csv", TABLE.replace(b",", b";"), columns=["text"])

    def test_missing_column_hints_at_a_missing_header_and_stays_short(self, tmp_path: Path) -> None:
        fault = message(tmp_path / "a.csv", b"x" * 5000 + b",a\n", columns=["text"])
        assert "data.header" in fault
        assert len(fault) < 400

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1), st.sampled_from(["csv", "tsv"])
    )
    def test_what_python_writes_is_read_back(self, tmp_path: Path, texts: list[str], kind: str) -> None:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, delimiter="\t" if kind == "tsv" else ",")
        writer.writerows([["text", "n"], *([text, str(i)] for i, text in enumerate(texts))])
        found = records(tmp_path / f"a.{kind}", buffer.getvalue().encode())
        assert [record["text"] for _, record in found] == texts


class TestJson:
    def test_lines(self, tmp_path: Path) -> None:
        content = b'\xef\xbb\xbf{"text": "x", "label": 1}\n\n{"text": "y", "label": true, "more": [1]}\n'
        expected = [(1, {"text": "x", "label": 1}), (3, {"text": "y", "label": True, "more": [1]})]
        assert records(tmp_path / "a.jsonl", content) == expected
        assert records(tmp_path / "a.json", content) == expected

    def test_array(self, tmp_path: Path) -> None:
        content = json.dumps([{"text": "x"}, {"text": "y"}], indent=1).encode()
        assert records(tmp_path / "a.json", content) == [(1, {"text": "x"}), (2, {"text": "y"})]

    def test_lone_surrogates_become_replacement_characters(self, tmp_path: Path) -> None:
        content = rb'{"text": "a\ud800b \ud83d\ude00 \udc00", "more": {"k\udfff": ["\ud800"]}, "c": "\\ud800"}'
        expected = {"text": "a\ufffdb 😀 \ufffd", "more": {"k\ufffd": ["\ufffd"]}, "c": "\\ud800"}
        assert records(tmp_path / "a.jsonl", content) == [(1, expected)]

    @pytest.mark.parametrize(
        ("content", "row"),
        [
            (b'{"text": "x"}\n{"text": "y"\n', 2),
            (b'{"text": "x"}\n["y"]\n', 2),
            (b'{"text": ' + b"[" * 100_000 + b"\n", 1),
            (b'{"text": ' + b"1" * 5000 + b"}\n", 1),
        ],
    )
    def test_bad_line(self, tmp_path: Path, content: bytes, row: int) -> None:
        assert f"row {row}: " in message(tmp_path / "a.jsonl", content)

    def test_bad_array_names_the_line(self, tmp_path: Path) -> None:
        assert "row 4: not valid JSON" in message(tmp_path / "a.json", b'\n[{"text": "x"},\n{"text": "y"},\noops]\n')

    def test_missing_key_names_the_row(self, tmp_path: Path) -> None:
        fault = message(tmp_path / "a.jsonl", b'{"text": "x"}\n{"txt": "y"}\n', columns=["text"])
        assert "row 2: there is no column 'text' (did you mean 'txt'?)" in fault


class TestParquet:
    def test_types_are_kept_and_only_the_columns_asked_for_are_read(self, tmp_path: Path) -> None:
        parquet.write_table(pa.table({"text": ["x", None], "label": [1, 2], "more": [[1], []]}), tmp_path / "a.parquet")
        assert records(tmp_path / "a.parquet", columns=["label", "text"]) == [
            (1, {"text": "x", "label": 1}),
            (2, {"text": None, "label": 2}),
        ]
        assert records(tmp_path / "a.parquet")[0] == (1, {"text": "x", "label": 1, "more": [1]})

    def test_missing_column(self, tmp_path: Path) -> None:
        parquet.write_table(pa.table({"text": ["x"]}), tmp_path / "a.parquet")
        assert "'label'; the columns are: 'text'" in message(tmp_path / "a.parquet", columns=["label"])

    def test_duplicate_column(self, tmp_path: Path) -> None:
        parquet.write_table(pa.Table.from_arrays([pa.array(["x"])] * 2, names=["text", "text"]), tmp_path / "a.parquet")
        assert "two columns are named 'text'" in message(tmp_path / "a.parquet")

    def test_text_that_is_not_utf8(self, tmp_path: Path) -> None:
        bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"fine", b"\xa3"]).buffers())
        parquet.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
        assert "row 2: byte 0xa3 is not UTF-8" in message(tmp_path / "a.parquet")
        decoder = Decoder("replace")
        assert [r["text"] for _, r in records(tmp_path / "a.parquet", decoder=decoder)] == ["fine", "\ufffd"]
        assert decoder.replaced == 1

    def test_text_under_a_parquet_ending(self, tmp_path: Path) -> None:
        assert "not a Parquet file" in message(tmp_path / "a.parquet", TABLE)

    def test_cut_short(self, tmp_path: Path) -> None:
        parquet.write_table(pa.table({"text": ["x" * 100] * 100}), tmp_path / "a.parquet")
        whole = (tmp_path / "a.parquet").read_bytes()
        assert "cut short" in message(tmp_path / "a.parquet", whole[:-20])


class TestBytes:
    @pytest.mark.parametrize("suffix", COMPRESSORS)
    def test_compressed(self, tmp_path: Path, suffix: str) -> None:
        assert records(tmp_path / f"a.csv{suffix}", COMPRESSORS[suffix](TABLE)) == RECORDS

    @pytest.mark.parametrize("suffix", COMPRESSORS)
    def test_compressed_and_cut_short(self, tmp_path: Path, suffix: str) -> None:
        content = b"text,label\n" + b"".join(f"{i * i},a\n".encode() for i in range(2000))
        message(tmp_path / f"a.csv{suffix}", COMPRESSORS[suffix](content)[:-100])

    @pytest.mark.parametrize("suffix", COMPRESSORS)
    def test_not_compressed(self, tmp_path: Path, suffix: str) -> None:
        assert "data, or is damaged" in message(tmp_path / f"a.csv{suffix}", TABLE)

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"PAR1....", "Parquet"),
            (gzip.compress(TABLE, mtime=0), "gzip"),
            (b"PK\x03\x04..", "Excel"),
            (TABLE.decode().encode("utf-16"), "UTF-16"),
        ],
    )
    @pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz"])
    def test_not_what_the_ending_says(self, tmp_path: Path, name: str, content: bytes, what: str) -> None:
        content = gzip.compress(content) if name.endswith(".gz") else content
        assert what in message(tmp_path / name, content, decoder=Decoder("replace"))

    def test_unknown_ending(self, tmp_path: Path) -> None:
        assert ".csv, .tsv, .jsonl, .json, .parquet" in message(tmp_path / "a.xlsx")

    def test_bad_utf8(self, tmp_path: Path) -> None:
        content = b"text,label\nok,a\n\xa3 5,b\n"
        assert "row 3: byte 0xa3 is not UTF-8" in message(tmp_path / "a.csv", content)
        decoder = Decoder("replace")
        assert records(tmp_path / "a.csv", decoder=decoder)[1] == (3, {"text": "\ufffd 5", "label": "b"})
        assert decoder.notes() == ("rows with bytes that are not UTF-8, replaced by U+FFFD: 1",)

    def test_whole_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
        assert read_text(path, Decoder()) == "one\r\ntwo\n"
        path.write_bytes(b"one\ntwo\n\xff")
        with pytest.raises(DataError, match=r"a\.txt, row 3: byte 0xff"):
            read_text(path, Decoder())

    def test_fingerprint(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        assert fingerprint(tmp_path / "a") == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)


PIECES = [
    b"text",
    b"label",
    b",",
    b"\t",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"1",
    b"\\ud800",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join),
    st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet", ".csv.gz", ".csv.bz2", ".jsonl.zst"]),
    st.sampled_from([Decoder("strict"), Decoder("replace")]),
)
def test_any_bytes_give_records_or_one_clear_line(tmp_path: Path, content: bytes, kind: str, decoder: Decoder) -> None:
    try:
        outcome = json.dumps(records(tmp_path / f"a{kind}", content, decoder=decoder), ensure_ascii=False)
    except DataError as error:
        outcome = f"{error}"
        assert f"a{kind}: " in outcome or f"a{kind}, row " in outcome
    assert "\n" not in outcome
    assert outcome.encode("utf-8")  # fails on a lone surrogate


class TestFastText:
    def test_lines(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"__label__x some text\n\n__label__a __label__b\tmore\n__label__y\nnone\n")
        assert list(iter_fasttext(tmp_path / "a.txt", Decoder())) == [
            (1, ["x"], "some text"),
            (3, ["a", "b"], "more"),
            (4, ["y"], ""),
            (5, [], "none"),
        ]

    def test_label_inside_the_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"__label__x some __label__y text\n")
        with pytest.raises(DataError, match="row 1: __label__ inside the text"):
            list(iter_fasttext(tmp_path / "a.txt", Decoder()))
