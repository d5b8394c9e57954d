"""From a file to decoded text: decompression, UTF-8 with row numbers, and one clear error for what is not as it should be.

Everything streams: no function but `read_text` holds more than a line or a chunk.
"""

from __future__ import annotations

import hashlib
import io
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from textcls.data.remote import Place, RemoteFile
from textcls.errors import DataError

COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
_CHUNK = 1 << 20
_LOOK_AGAIN = 0.01  # seconds after which a growing file may have grown
# First bytes of what people give a text ending by mistake; none of them can start a sensible UTF-8 text.
_SIGNATURES = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh9": "bzip2-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xff\xfe": "UTF-16 text, not UTF-8",
    b"\xfe\xff": "UTF-16 text, not UTF-8",
}


@dataclass
class Decoder:
    """Turns bytes into text: UTF-8, with a choice for bytes that are not.

    Attributes:
        errors: `strict` raises, `replace` puts U+FFFD.
        replaced: How many pieces (lines, or whole files) held bytes that were replaced.
    """

    errors: Literal["strict", "replace"] = "strict"
    replaced: int = 0

    def decode(self, data: bytes, path: str | Place, row: int | None = None) -> str:
        """Decode one piece, a line or a whole file.

        Raises:
            DataError: `errors` is `strict` and the piece is not UTF-8.
        """
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            if self.errors == "strict":
                row = row or 1 + data.count(b"\n", 0, error.start)
                raise DataError(
                    f"{path}, row {row}: byte 0x{data[error.start]:02x} is not UTF-8; "
                    "save the file as UTF-8, or set data.encoding_errors to replace"
                ) from None
            self.replaced += 1
            return data.decode("utf-8", "replace")

    def notes(self) -> tuple[str, ...]:
        """Return a sentence about what was replaced, if anything was."""
        if not self.replaced:
            return ()
        return (f"rows with bytes that are not UTF-8, replaced by U+FFFD: {self.replaced}",)


def ending(path: str | Place) -> str:
    """Return a file's ending in lower case without that of its compression: `.csv` for `a.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in Path(path.name if isinstance(path, RemoteFile) else path).suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


@contextmanager
def open_bytes(path: str | Place) -> Iterator[io.BufferedIOBase]:
    """Open a text file for its bytes, decompressed by its ending (`.gz`, `.bz2`, `.zst`).

    Raises:
        DataError: It cannot be opened, is not text at all, or its compressed bytes are damaged or cut short; this also
            covers what is read inside the `with` block.
    """
    path = Path(path) if isinstance(path, str) else path
    compression = COMPRESSIONS.get(path.suffix.lower())
    try:
        with _open(path, compression) as stream:
            first = stream.peek(4)[:4]  # type: ignore[attr-defined]
            for signature, what in _SIGNATURES.items():
                if first.startswith(signature):
                    raise DataError(f"{path}: its ending says {ending(path) or 'text'}, but it is {what}")
            yield stream
    except EOFError:
        raise DataError(f"{path}: its {compression} data is cut short; copy or download it again") from None
    except (OSError, zlib.error, ValueError) as error:
        if isinstance(error, OSError) and error.strerror and error.errno:  # the system's own words: not found, permission, …
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        if compression is None and isinstance(path, RemoteFile):  # Arrow's errors have words alone
            raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
        if compression is None:
            raise
        raise DataError(f"{path}: is not {compression} data, or is damaged; copy it again or correct its ending") from None


class _Growing(io.RawIOBase):
    """A file that is still being written: at its end, reading waits for more."""

    def __init__(self, path: Path) -> None:
        self._file = io.FileIO(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not (count := self._file.readinto(buffer)):
            time.sleep(_LOOK_AGAIN)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def open_growing(path: str | Path) -> Iterator[io.BufferedIOBase]:
    """Open a file, or a named pipe, for its bytes and for those that are still to come; reading it never ends.

    Raises:
        DataError: It cannot be opened or read.
    """
    try:
        with io.BufferedReader(_Growing(Path(path)), _CHUNK) as stream:
            yield stream
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # of whom the rows were written to
            raise
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def iter_lines(path: str | Path, decoder: Decoder) -> Iterator[tuple[int, str]]:
    r"""Yield `(line number from 1, line with its line end)`; lines end in `\n` alone, a byte order mark is dropped.

    Raises:
        DataError: The file cannot be read or, where the decoder is strict, is not UTF-8.
    """
    with open_bytes(path) as stream:
        for row, line in enumerate(stream, start=1):
            text = decoder.decode(line, path, row)
            yield row, text.removeprefix("\ufeff") if row == 1 else text


def read_text(path: str | Place, decoder: Decoder) -> str:
    """Return a whole file as one text, without a byte order mark.

    Raises:
        DataError: The file cannot be read or, where the decoder is strict, is not UTF-8.
    """
    with open_bytes(path) as stream:
        return decoder.decode(stream.read(), path).removeprefix("\ufeff")


def fingerprint(path: str | Path) -> tuple[str, int]:
    """Return the SHA-256 of a file's bytes as they lie on the disk, in hexadecimal, and their number."""
    digest, size = hashlib.sha256(), 0
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _open(path: Place, compression: str | None) -> io.BufferedIOBase:
    """Open a file for reading; what comes back can `peek`."""
    remote = path.open_stream() if isinstance(path, RemoteFile) else None
    source: Any = remote or path
    if compression == "gzip":
        import gzip

        return gzip.GzipFile(source) if remote is None else gzip.GzipFile(fileobj=remote)
    if compression == "bzip2":
        import bz2

        return bz2.BZ2File(source)
    if compression == "zstd":
        import pyarrow

        raw: Any = pyarrow.input_stream(remote or str(path), compression="zstd")
        return io.BufferedReader(raw, _CHUNK)
    return remote or io.BufferedReader(io.FileIO(source), _CHUNK)
