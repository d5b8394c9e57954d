"""Opening places: what is compressed, cut short, no text at all, in another encoding, or still growing."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from reading import put, records, refusal

from textcls.data.places import ending, fingerprint

TABLE = b"text,label\nhello,a\nbye,b\n"
RECORDS = [(2, {"text": "hello", "label": "a"}), (3, {"text": "bye", "label": "b"})]


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


def test_fingerprint(tmp_path: Path) -> None:
    put(tmp_path / "a", "abc")
    assert fingerprint(tmp_path / "a") == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)


@pytest.mark.parametrize("suffix", COMPRESSORS)
class TestCompressed:
    def test_reads(self, tmp_path: Path, suffix: str) -> None:
        assert records(tmp_path / f"a.csv{suffix}", COMPRESSORS[suffix](TABLE)) == RECORDS

    def test_cut_short(self, tmp_path: Path, suffix: str) -> None:
        content = b"text,label\n" + b"".join(f"{i * i},a\n".encode() for i in range(2000))
        refusal(tmp_path / f"a.csv{suffix}", COMPRESSORS[suffix](content)[:-100])

    def test_is_none(self, tmp_path: Path, suffix: str) -> None:
        assert "data, or is damaged" in refusal(tmp_path / f"a.csv{suffix}", TABLE)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"PAR1....", "Parquet"), (gzip.compress(TABLE, mtime=0), "gzip"), (b"PK\x03\x04..", "Excel")],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz"])
def test_not_what_the_ending_says(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    content = gzip.compress(content) if name.endswith(".gz") else content
    assert what in refusal(tmp_path / name, content, encoding_errors="replace")
