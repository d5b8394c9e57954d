"""Opening a place, a path or a URI: decompressed, read to the end that it had at the start, and decoded by whole lines."""

from __future__ import annotations

import codecs
import functools
import hashlib
import io
import os
import stat
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from textcls.data.remote import Place, RemoteFile
from textcls.errors import DataError, InputError

COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
CHUNK: Final = 1 << 20
# Stands where a line was longer than the longest allowed: no UTF-8, so decoding leaves it to be seen.
TOO_LONG: Final = b"\xff\xfd\xfftoo long\xff"
_LOOK_AGAIN: Final = 0.01  # seconds after which a growing file may have grown
_BYTE_ORDER_MARKS: Final = {  # the longer ones first: one starts with another
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# First bytes of what people give a text ending by mistake; none of them can start a sensible text.
_SIGNATURES: Final = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh9": "bzip2-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
}


def ending(path: str | Place) -> str:
    """Return a file's ending in lower case without that of its compression: `.csv` for `a.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in Path(path.name if isinstance(path, RemoteFile) else path).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


@dataclass
class Opened:
    """An open place.

    Attributes:
        place: What messages call it.
        stream: Its bytes, decompressed; it can `peek`.
        raw: The same before decompression; None for a stream that has no place on a disk.
        size: The bytes on disk that must be there; 0 where that is not known.
    """

    place: object
    stream: Any
    raw: Any = None
    size: int = 0

    def position(self) -> int:
        """Return how many bytes on disk were read; 0 where that cannot be told."""
        return int(self.raw.tell()) if self.raw is not None else 0

    def chunks(self) -> Iterator[bytes]:
        """Yield what can be read without waiting, to the end.

        Raises:
            DataError: The file became shorter while it was read.
        """
        while chunk := self.stream.read1(CHUNK):
            yield chunk
        if self.size and (self.position() < self.size if self.raw is self.stream else _size_now(self.raw) < self.size):
            raise DataError(f"{self.place}: was cut short while it was read: {self.size:,} bytes were there at the start")


@contextmanager
def open_bytes(place: str | Place, size: int | None = None) -> Iterator[Opened]:
    """Open a text file for its bytes, decompressed by its ending (`.gz`, `.bz2`, `.zst`).

    Args:
        place: The file.
        size: The bytes it had on disk when it was found; those it has now where not given.

    Raises:
        DataError: It cannot be opened, is not text at all, or its compressed bytes are damaged or cut short; this also
            covers what is read inside the `with` block.
    """
    place = Path(place) if isinstance(place, str) else place
    compression = COMPRESSIONS.get(place.suffix.lower())
    try:
        with _raw(place) as raw:
            stream = _decompressed(raw, compression)
            first = stream.peek(4)[:4]
            for signature, what in _SIGNATURES.items():
                if first.startswith(signature):
                    raise DataError(f"{place}: its ending says {ending(place) or 'text'}, but it is {what}")
            yield Opened(place, stream, raw, _size_now(raw) if size is None else size)
    except EOFError:
        raise DataError(f"{place}: its {compression} data is cut short; copy or download it again") from None
    except (OSError, zlib.error, ValueError) as error:
        if isinstance(error, BrokenPipeError):  # of whom the rows were written to
            raise
        if isinstance(error, OSError) and error.strerror and error.errno:  # the system's own words: not found, permission, …
            raise DataError(f"{place}: cannot be read: {error.strerror}") from None
        if compression is None and isinstance(place, RemoteFile):  # Arrow's errors have words alone
            raise DataError(f"{place}: cannot be read: {str(error).splitlines()[0]}") from None
        if compression is None:
            raise
        raise DataError(f"{place}: is not {compression} data, or is damaged; copy it again or correct its ending") from None


def check_regular(path: Path) -> None:
    """Make sure that reading a path comes to an end, which a named pipe or a device may not.

    Raises:
        InputError: It is no regular file, or is not there.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not regular:
        raise InputError(f"{path}: is no regular file; give a stream through standard input, with - in its place")


class StandardInput:
    """Standard input, whose start can be looked at before it is read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._start = b""
        self.ended = False

    def start(self) -> bytes:
        """Wait for the first line, and return what is there then; it is still read after that."""
        while not self.ended and b"\n" not in self._start and len(self._start) < CHUNK:
            chunk = self._stream.read1(CHUNK)
            self._start += chunk
            self.ended = not chunk
        return self._start

    def read1(self, size: int) -> bytes:
        """Return the start, or what is there behind it."""
        found, self._start = self._start, b""
        return found or bytes(self._stream.read1(size))


@functools.lru_cache(1)
def standard_input(stream: TextIO) -> StandardInput:
    """Return what stands for the process's standard input, the same each time."""
    return StandardInput(stream.buffer)


class _Growing(io.RawIOBase):
    """A file that is still being written: at its end, reading waits for more; it ends where another took its name, or it was cut."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, io.FileIO(path)
        self._regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not (count := self._file.readinto(buffer)):
            if self._regular and self._replaced():
                return 0
            time.sleep(_LOOK_AGAIN)
        return count

    def _replaced(self) -> bool:
        own = os.fstat(self._file.fileno())
        if own.st_size < self._file.tell():
            return True
        try:
            now = self._path.stat()
        except OSError:  # moved away; the next one may not be there yet
            return False
        return (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def open_growing(path: str | Path) -> Iterator[Opened]:
    """Open a file, or a named pipe, for its bytes and for those that are still to come.

    It ends only where the file is cut, or another one takes its name: then open it again.

    Raises:
        DataError: It cannot be opened or read.
    """
    try:
        with io.BufferedReader(_Growing(Path(path)), CHUNK) as stream:
            yield Opened(path, stream)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # of whom the rows were written to
            raise
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def encoding_of(first: bytes, given: str) -> str:
    """Return the encoding that the first bytes of a text have by their byte order mark, else the one that was given."""
    return next((name for mark, name in _BYTE_ORDER_MARKS.items() if first.startswith(mark)), given)


def as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Recode a text as UTF-8, without a byte order mark; what cannot be decoded stays as bytes that are not UTF-8 either."""
    if codecs.lookup(encoding).name == "utf-8":
        first = True
        for chunk in chunks:
            yield chunk.removeprefix(codecs.BOM_UTF8) if first else chunk
            first = False
        return
    decoder = codecs.getincrementaldecoder(encoding)(_UNDECODED)
    for chunk in chunks:
        if text := decoder.decode(chunk):
            yield text.removeprefix("\ufeff").encode("utf-8", "surrogateescape")
    if text := decoder.decode(b"", final=True):
        yield text.encode("utf-8", "surrogateescape")


def whole_lines(chunks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """Cut bytes behind their line ends; a line of more than `longest` bytes becomes `TOO_LONG`.

    Yields:
        Some lines, as they can be had without waiting for more.
    """
    tail: list[bytes] = []
    held = 0
    for chunk in chunks:
        head, newline, rest = chunk.rpartition(b"\n")
        if newline:
            yield _shortened(b"".join((*tail, head, newline)), longest)
            tail, held = [], 0
        if rest and held <= longest:  # of a line that is too long already no more is kept
            tail.append(rest)
        held += len(rest)
    if tail:
        yield _shortened(b"".join(tail), longest)


def read_whole(opened: Opened, encoding: str, longest: int) -> bytes:
    """Return a text as UTF-8 bytes, without a byte order mark, or `TOO_LONG` where it has more than `longest`."""
    found = io.BytesIO()
    chunks = opened.chunks()
    first = next(chunks, b"")
    for chunk in as_utf8(_with(first, chunks), encoding_of(first, encoding)):
        if found.tell() <= longest:
            found.write(chunk)
    return TOO_LONG if found.tell() > longest else found.getvalue()


def fingerprint(place: str | Place) -> tuple[str, int]:
    """Return the SHA-256 of a file's bytes as they lie on the disk, in hexadecimal, and their number.

    Raises:
        DataError: It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with _raw(Path(place) if isinstance(place, str) else place) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None
    return digest.hexdigest(), size


def _raw(place: Place) -> io.BufferedReader:
    return place.open_stream() if isinstance(place, RemoteFile) else io.BufferedReader(io.FileIO(place), CHUNK)


def _decompressed(raw: io.BufferedReader, compression: str | None) -> Any:
    """Return a stream that can `peek`."""
    if compression == "gzip":
        import gzip

        return gzip.GzipFile(fileobj=raw)
    if compression == "bzip2":
        import bz2

        return bz2.BZ2File(raw)
    if compression == "zstd":
        import pyarrow

        zstd: Any = pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd")
        return io.BufferedReader(zstd, CHUNK)
    return raw


def _size_now(raw: io.BufferedReader) -> int:
    return os.fstat(raw.fileno()).st_size if isinstance(raw.raw, io.FileIO) else 0


def _with(first: bytes, others: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _shortened(lines: bytes, longest: int) -> bytes:
    """Put `TOO_LONG` for each line of more than `longest` bytes."""
    if len(lines) <= longest:
        return lines
    parts = [TOO_LONG if len(line) > longest else line for line in lines.split(b"\n")]
    return b"\n".join(parts)


def _undecoded(error: UnicodeError) -> tuple[str, int]:
    """Stand for bytes that cannot be decoded with a character that becomes a byte which is no UTF-8."""
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


_UNDECODED: Final = "textcls.undecoded"
codecs.register_error(_UNDECODED, _undecoded)
