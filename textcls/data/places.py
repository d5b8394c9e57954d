"""Opening a place, a path or a URI: decompressed, read to the end that it had at the start, and decoded by whole lines."""

from __future__ import annotations

import bz2
import codecs
import errno
import gzip
import hashlib
import io
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, TextIO

from textcls.data.remote import Place, RemoteFile
from textcls.errors import DataError, InputError

COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
CHUNK: Final = 1 << 20
# Stands where a line was longer than the longest allowed: no UTF-8, so decoding leaves it to be seen.
TOO_LONG: Final = b"\xff\xfd\xfftoo long\xff"
_LOOK_AGAIN: Final = 0.01  # seconds after which a growing file may have grown
_LAST_LINES: Final = 0.5  # seconds for which a file may still be written to after another one has its name
_COMPARED: Final = 256  # bytes at the start of a growing file by which it is seen that it was written anew
_BYTE_ORDER_MARKS: Final = {  # the longer ones first: one starts with another
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# A text in UTF-16 that has no mark, but letters of Latin.
_ZEROS: Final = {re.compile(rb"(?:[^\0]\0){2,}"): "utf-16-le", re.compile(rb"(?:\0[^\0]){2,}"): "utf-16-be"}
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
        chunks: Yields its bytes, decompressed: of a file always in the same pieces, of a stream as they can be had without waiting.
        position: Returns how many bytes on disk were read; 0 where that cannot be told.
    """

    chunks: Callable[[], Iterator[bytes]]
    position: Callable[[], int] = lambda: 0


@contextmanager
def open_bytes(place: Place, size: int = 0) -> Iterator[Opened]:
    """Open a text file for its bytes, decompressed by its ending (`.gz`, `.bz2`, `.zst`).

    Args:
        place: The file.
        size: The bytes that it had on disk when it was found, and must have still; 0 where that is not known.

    Raises:
        DataError: It cannot be opened, is not text at all, or its bytes are damaged or cut short; this also covers what is read
            inside the `with` block.
    """
    suffix = place.suffix.lower()
    with _in_one_line(place, COMPRESSIONS.get(suffix)), _raw(place) as raw:
        stream = _decompressed(raw, suffix)
        first = stream.peek(4)
        for signature, what in _SIGNATURES.items():
            if first.startswith(signature):
                raise DataError(f"{place}: its ending says {ending(place) or 'text'}, but it is {what}")

        def chunks() -> Iterator[bytes]:
            yield from iter(partial(stream.read, CHUNK), b"")
            if raw.tell() < size:
                raise DataError(f"{place}: was cut short while it was read: {size:,} bytes were there at the start")

        yield Opened(chunks, raw.tell)


@contextmanager
def open_growing(path: Path) -> Iterator[Opened]:
    """Open a file, or a named pipe, for its bytes and for those that are still to come.

    It ends only where the file is cut or written anew, or another one takes its name: then open it again.

    Raises:
        DataError: It cannot be opened or read.
    """
    with _in_one_line(path), path.open("rb", buffering=0) as file:

        def chunks() -> Iterator[bytes]:
            start, left = b"", False
            while not left:
                left = _has_another_place(path, file)
                time.sleep(_LAST_LINES if left else _LOOK_AGAIN)
                while True:
                    chunk = file.read(CHUNK)
                    if _is_written_anew(file, start):
                        return
                    if not chunk:
                        break
                    start += chunk[: _COMPARED - len(start)]
                    yield chunk

        yield Opened(chunks)


def _has_another_place(path: Path, file: io.FileIO) -> bool:
    """Whether another file has the name of this one; after it was moved away, that one may not be there yet."""
    own = os.fstat(file.fileno())
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino)


def _is_written_anew(file: io.FileIO, start: bytes) -> bool:
    """Whether a file is shorter than what was read of it, or no longer starts as it did."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return False
    place = file.tell()
    file.seek(0)
    now = file.read(len(start))
    file.seek(place)
    return status.st_size < place or now != start


def check_regular(path: Path) -> None:
    """Make sure that reading a path comes to an end, which a named pipe or a device may not.

    Raises:
        InputError: It is no regular file, or is not there.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        nowhere = path.is_symlink() and error.errno in {errno.ENOENT, errno.ELOOP}
        why = "is a link to nothing, or to itself" if nowhere else f"cannot be read: {error.strerror}"
        raise InputError(f"{path}: {why}") from None
    if not regular:
        raise InputError(f"{path}: is no regular file; give a stream through standard input, with - in its place")


class StandardInput:
    """Standard input, whose start can be looked at before it is read."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._start, self._ended = stream, b"", False

    def start(self, *, blank: bool) -> tuple[bytes, bool]:
        """Wait for the first line, which may be blank or not; return what is there then, and whether it is all."""
        while not self._ended and b"\n" not in (self._start if blank else self._start.lstrip()) and len(self._start) < CHUNK:
            chunk = self._read()
            self._start += chunk
            self._ended = not chunk
        return self._start, self._ended

    def chunks(self) -> Iterator[bytes]:
        """Yield the start, and what comes behind it."""
        found, self._start = self._start, b""
        if found:
            yield found
        yield from iter(self._read, b"")

    def _read(self) -> bytes:
        try:
            return bytes(self._stream.read1(CHUNK))
        except OSError as error:
            why = "is closed" if error.errno == errno.EBADF else f"cannot be read: {error.strerror}"
            raise DataError(f"standard input {why}; give the text through a pipe, or name files") from None


@lru_cache(1)
def standard_input(stream: TextIO | None) -> StandardInput:
    """Return what stands for the process's standard input, the same each time.

    Raises:
        DataError: It is closed; also while it is read.
    """
    if stream is None:
        raise DataError("standard input is closed; give the text through a pipe, or name files")
    return StandardInput(stream.buffer)


def encoding_of(first: bytes, given: str) -> str:
    """Return the encoding that a text has by its first bytes, a byte order mark or UTF-16's zeros, else the one that was given."""
    marked = (name for mark, name in _BYTE_ORDER_MARKS.items() if first.startswith(mark))
    seen = (name for zeros, name in _ZEROS.items() if zeros.fullmatch(first, 0, min(len(first) & ~1, 16)))
    return next(chain(marked, seen), given)


def as_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Recode a text as UTF-8; what cannot be decoded stays as bytes that are not UTF-8 either.

    A byte order mark goes before `encoding`, and is left out.
    """
    chunks = iter(chunks)
    first = next(chunks, b"")
    while _may_become_a_mark(first) and (more := next(chunks, b"")):
        first += more
    marked = encoding_of(first, "")
    name = codecs.lookup(marked or encoding).name
    if name == "utf-8":
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    if not marked and name in {"utf-16", "utf-32"}:  # for which Python wants a mark
        name += "-be" if first.startswith(b"\0") else "-le"
    decoder = codecs.getincrementaldecoder(name)(_UNDECODED)
    for chunk in chain([first], chunks):
        yield decoder.decode(chunk).encode("utf-8", _UNDECODED)
    yield decoder.decode(b"", final=True).encode("utf-8", _UNDECODED)


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
    for chunk in as_utf8(opened.chunks(), encoding):
        found.write(chunk)
        if found.tell() > longest:
            return TOO_LONG
    return found.getvalue()


def fingerprint(place: Place) -> tuple[str, int]:
    """Return the SHA-256 of a file's bytes as they lie on the disk, in hexadecimal, and their number.

    Raises:
        DataError: It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with _in_one_line(place), _raw(place) as raw:
        while chunk := raw.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


@contextmanager
def _in_one_line(place: Place, compression: str | None = None) -> Iterator[None]:
    """Say in one line that a place cannot be read, or that its bytes are not what they should be."""
    try:
        yield
    except EOFError:
        raise DataError(f"{place}: its {compression} data is cut short; copy or download it again") from None
    except (OSError, zlib.error, ValueError) as error:
        if isinstance(error, OSError) and error.strerror and error.errno:  # the system's own words: not found, permission, …
            raise DataError(f"{place}: cannot be read: {error.strerror}") from None
        if compression:
            raise DataError(f"{place}: is not {compression} data, or is damaged; copy it again or correct its ending") from None
        if isinstance(error, OSError):  # Arrow's errors have words alone
            raise DataError(f"{place}: cannot be read: {str(error).splitlines()[0]}") from None
        raise


def _raw(place: Place) -> Any:
    if isinstance(place, RemoteFile):
        return io.BufferedReader(place.open_random(), CHUNK)
    return place.open("rb", buffering=CHUNK)


def _decompressed(raw: Any, suffix: str) -> Any:
    """Return a stream that can `peek`."""
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if suffix == ".bz2":
        return bz2.BZ2File(raw)
    if suffix == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd"), CHUNK)
    return raw


def _may_become_a_mark(first: bytes) -> bool:
    return any(mark.startswith(first) and mark != first for mark in _BYTE_ORDER_MARKS)


def _shortened(lines: bytes, longest: int) -> bytes:
    """Put `TOO_LONG` for each line of more than `longest` bytes."""
    if len(lines) <= longest:
        return lines
    return b"\n".join(TOO_LONG if len(line) > longest else line for line in lines.split(b"\n"))


def _undecoded(error: UnicodeError) -> tuple[str | bytes, int]:
    """Stand for what cannot be decoded, or encoded, with a byte that is no UTF-8, or the character that becomes one."""
    if isinstance(error, UnicodeEncodeError):
        return b"\xff" * (error.end - error.start), error.end
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


_UNDECODED: Final = "textcls.undecoded"
codecs.register_error(_UNDECODED, _undecoded)
