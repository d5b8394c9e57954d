import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from textcls.data.files import Decoder

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
