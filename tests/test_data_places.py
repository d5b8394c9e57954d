"""Opening places: what is compressed, cut short, no text at all, in another encoding, or still growing."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import found, put, records, refusal, texts

from textcls.data import places
from textcls.data.blocks import LONE_SURROGATES, Block
from textcls.data.places import TOO_LONG, as_utf8, encoding_of, ending, fingerprint, whole_lines
from textcls.errors import DataError

TABLE = b"text,label\nhello,a\nbye,b\n"
Follow = Callable[..., Queue[tuple[int, str]]]
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


class TestCutShortWhileRead:
    """The bytes that were there at the start are read, or it is an error."""

    def blocks(self, path: Path | str, **options: Any) -> Iterator[Block]:
        return found(path, lines=True, block_rows=100, **options).blocks()

    @pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
    @pytest.mark.parametrize("uri", [False, True])
    def test_is_an_error(self, tmp_path: Path, suffix: str, uri: bool) -> None:
        noise = random.Random(0)
        pieces = [b"".join(b"%x\n" % noise.getrandbits(2000) for _ in range(1000)) for _ in range(8)]
        compress = COMPRESSORS.get(suffix, bytes)
        path = put(tmp_path / f"a.txt{suffix}", b"".join(map(compress, pieces)))
        blocks = self.blocks(path.as_uri() if uri else path)
        next(blocks)
        os.truncate(path, sum(len(compress(piece)) for piece in pieces[:5]))  # where another stream of bytes starts
        with pytest.raises(DataError, match="cut short while it was read") as caught:
            list(blocks)
        assert f"a.txt{suffix}: " in str(caught.value)

    @pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
    def test_so_is_a_whole_text(self, tmp_path: Path, suffix: str) -> None:
        compress = COMPRESSORS.get(suffix, bytes)
        one = compress(os.urandom(9).hex().encode())
        path = put(tmp_path / f"a.txt{suffix}", one * 2)
        inputs = found(path)
        os.truncate(path, len(one))
        [block] = inputs.blocks()
        assert "cut short while it was read" in str(block.error(0))

    def test_growing_meanwhile_is_none(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.txt", "a\n" * 2_000_000)
        blocks = self.blocks(path)
        count = len(next(blocks))
        with path.open("ab") as file:
            file.write(b"a\n" * 10)
        assert count + sum(map(len, blocks)) >= 2_000_000

    def test_gone_before_it_is_read(self, tmp_path: Path) -> None:
        inputs = found(put(tmp_path / "a.csv", "text\na\n"))
        (tmp_path / "a.csv").unlink()
        with pytest.raises(DataError, match=r"a\.csv: cannot be read: No such file or directory"):
            list(inputs.blocks())


class TestGrowing:
    """`follow`: lines as they come, of the file that has the name."""

    @pytest.fixture
    def follow(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Follow]:
        """Return what reads a file in a thread, and gives the queue of its rows."""

        class EnoughError(Exception):
            pass

        def sleep(seconds: float) -> None:
            if over.wait(seconds):
                raise EnoughError

        def start(path: Path, **options: Any) -> Queue[tuple[int, str]]:
            def read() -> None:
                with suppress(EnoughError):
                    for block in found(path, follow=True, **options).blocks():
                        for row in zip(block.numbers, block.texts, strict=True):
                            rows.put(row)

            rows: Queue[tuple[int, str]] = Queue()
            threads.append(threading.Thread(target=read))
            threads[-1].start()
            return rows

        over, threads = threading.Event(), list[threading.Thread]()
        monkeypatch.setattr(places, "time", SimpleNamespace(sleep=sleep))
        yield start
        over.set()
        for thread in threads:
            thread.join(5)

    @pytest.mark.parametrize(("kind", "line"), [("txt", "{}\n"), ("jsonl", '{{"text": "{}"}}\n')])
    def test_cut_and_written_anew(self, tmp_path: Path, follow: Follow, kind: str, line: str) -> None:
        path = put(tmp_path / f"a.{kind}", line.format("one") + line.format("two"))
        rows = follow(path)
        assert [rows.get(timeout=5) for _ in range(2)] == [(1, "one"), (2, "two")]
        os.truncate(path, 0)
        with path.open("a") as file:
            file.write(line.format("new"))
        assert rows.get(timeout=5) == (1, "new")

    @pytest.mark.parametrize("more", [0, 1, 1000])
    def test_written_anew_to_its_old_size_or_more(self, tmp_path: Path, follow: Follow, more: int) -> None:
        path = put(tmp_path / "a.txt", "one\ntwo\n")
        rows = follow(path)
        assert [rows.get(timeout=5) for _ in range(2)] == [(1, "one"), (2, "two")]
        put(path, "first\n" + "\n" * (2 + more))
        assert rows.get(timeout=5) == (1, "first")

    def test_what_is_written_to_the_old_file_when_another_has_its_place(self, tmp_path: Path, follow: Follow) -> None:
        """Its writer need not have heard of it yet."""
        path = put(tmp_path / "a.txt", "one\n")
        rows = follow(path)
        assert rows.get(timeout=5) == (1, "one")
        with path.open("a") as file:
            path.rename(tmp_path / "a.txt.1")
            put(path, "three\n")
            time.sleep(0.1)
            file.write("two\n")
        assert [rows.get(timeout=5) for _ in range(2)] == [(2, "two"), (1, "three")]

    @pytest.mark.parametrize(("kind", "line"), [("txt", "{}\n"), ("jsonl", '{{"text": "{}"}}\n')])
    def test_moved_away_and_another_in_its_place(self, tmp_path: Path, follow: Follow, kind: str, line: str) -> None:
        path = put(tmp_path / f"a.{kind}", line.format("one"))
        rows = follow(path)
        assert rows.get(timeout=5) == (1, "one")
        old = path.rename(tmp_path / f"a.{kind}.1")
        with old.open("a") as file:  # a writer that has not heard of it yet
            file.write(line.format("two"))
        assert rows.get(timeout=5) == (2, "two")
        put(tmp_path / "new", line.format("three")).rename(path)
        assert rows.get(timeout=5) == (1, "three")

    def test_the_last_line_of_the_old_file_is_not_lost(self, tmp_path: Path, follow: Follow) -> None:
        path = put(tmp_path / "a.txt", "one\nhalf")
        rows = follow(path)
        assert rows.get(timeout=5) == (1, "one")
        put(tmp_path / "new", "two\n").rename(path)
        assert [rows.get(timeout=5) for _ in range(2)] == [(2, "half"), (1, "two")]

    @pytest.mark.parametrize(("kind", "line"), [("txt", "{}\n"), ("jsonl", '{{"text": "{}"}}\n')])
    def test_a_named_pipe(self, tmp_path: Path, follow: Follow, kind: str, line: str) -> None:
        path = tmp_path / f"a.{kind}"
        os.mkfifo(path)
        rows = follow(path)
        for number, text in enumerate(("one", "two"), start=1):
            with path.open("w") as file:
                file.write(line.format(text))
            assert rows.get(timeout=5) == (number, text)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
    def test_in_another_encoding(self, tmp_path: Path, follow: Follow, encoding: str) -> None:
        path = put(tmp_path / "a.txt", b"")
        rows = follow(path, encoding="utf-8" if encoding.startswith("utf") else encoding)
        with path.open("ab", buffering=0) as file:
            for byte in "\u00fcber\nn\u00e4chste\n".encode(encoding):
                file.write(bytes([byte]))
        assert [rows.get(timeout=5) for _ in range(2)] == [(1, "\u00fcber"), (2, "n\u00e4chste")]


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    stream = io.BytesIO(data)
    for size in sizes:
        yield stream.read(size)
    yield stream.read()


@given(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\ufeff\n")),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"]),
    st.lists(st.integers(1, 5)),
)
def test_recoding_does_not_depend_on_the_pieces(text: str, encoding: str, sizes: list[int]) -> None:
    data = (text.removeprefix("\ufeff") if encoding != "utf-8-sig" else text).encode(encoding)
    given_encoding = "utf-8" if encoding in {"utf-8-sig", "utf-16", "utf-32"} and data else encoding
    chunks = (chunk for chunk in pieces(data, sizes) if chunk)
    assert b"".join(as_utf8(chunks, given_encoding)).decode() == (
        text if encoding == "utf-8-sig" else text.removeprefix("\ufeff")
    )


@given(st.binary(), st.sampled_from(["utf-8", "cp1252", "gbk", "utf-16", "utf-7", "shift_jis"]))
def test_what_cannot_be_decoded_stays_undecodable(data: bytes, encoding: str) -> None:
    recoded = b"".join(as_utf8([data], encoding)).decode("utf-8", "surrogateescape")
    try:
        expected = data.decode(encoding)
    except UnicodeError:
        return
    if encoding_of(data, encoding) == encoding and not recoded.startswith("\ufeff"):
        assert recoded == LONE_SURROGATES.sub("\udcff", expected).removeprefix("\ufeff")


@given(st.lists(st.binary(max_size=6)), st.lists(st.integers(1, 9)), st.integers(1, 5))
def test_whole_lines_do_not_depend_on_the_pieces(lines: list[bytes], sizes: list[int], longest: int) -> None:
    data = b"\n".join(lines)
    cut = list(whole_lines((chunk for chunk in pieces(data, sizes) if chunk), longest))
    assert b"".join(cut).split(b"\n") == [TOO_LONG if len(line) > longest else line for line in data.split(b"\n")]
    assert all(piece.endswith(b"\n") for piece in cut[:-1])


def test_standard_input_in_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    for data, options in (
        ("\u00fcber\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("\u00fcber\n".encode("utf-16"), {}),
        (b"\xef\xbb\xbf\xc3\xbcber", {}),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert texts("-", **options) == ["\u00fcber"]


@pytest.mark.parametrize(("kind", "suffix"), [("csv", ""), ("txt", ""), *(("txt", suffix) for suffix in COMPRESSORS)])
def test_memory_does_not_follow_a_line_that_is_too_long(tmp_path: Path, kind: str, suffix: str) -> None:
    """150 MB in one line, compressed 150 kB or less, where rows may have one."""
    path, compress = tmp_path / f"a.{kind}{suffix}", COMPRESSORS.get(suffix, bytes)
    megabyte = b"x" * 1_000_000
    path.write_bytes(compress(b"text\none\n") + compress(megabyte) * 150 + compress(b"\ntwo\n"))
    code = (
        "import sys, resource; sys.path[:0] = sys.argv[2:]; from reading import rows\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "print(*(error or text for text, _, error in rows(sys.argv[1], lines=True, longest=1_000_000)), sep='\\n')\n"
        "print(peak() - before)"
    )
    folder = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, path, folder, *sys.path], capture_output=True, text=True, check=True)
    *lines, kilobytes = done.stdout.splitlines()
    said = f"{path}, row 3: longer than data.max_row_bytes, 1,000,000"
    assert lines[-3:] == ["one", said, "two"]
    assert int(kilobytes) < 60_000


@pytest.mark.parametrize("suffix", ["", *COMPRESSORS])
def test_a_text_that_is_too_long_is_not_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESSORS.get(suffix, bytes)
    path = put(tmp_path / f"a.txt{suffix}", compress(b"x" * 5_000_000))
    [block] = found(path, longest=1_000_000).blocks()
    assert (block.texts, block.error(0)) == ([""], f"{path}: longer than data.max_row_bytes, 1,000,000")
