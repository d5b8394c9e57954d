"""Where classified rows go: a stream, or files that take their places when they are whole."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from textcls.data.places import COMPRESSIONS, ending
from textcls.errors import InputError, is_terminal
from textcls.files import check_not_read, check_open, is_special, opened, writing
from textcls.inference.writers import Sink

FORMATS = ("jsonl", "csv", "tsv", "parquet", "table")
REJECT_FORMATS = ("jsonl", "csv", "tsv")


def stream_format(given: str | None, stream: TextIO) -> str:
    """Settle the format of rows that go to a stream.

    Raises:
        InputError: There is no such format, or it needs a file.
    """
    _check_format(given)
    if given == "parquet":
        raise InputError("Parquet is written to a file alone: name one as the output")
    return given or ("table" if stream.isatty() else "jsonl")


def file_format(given: str | None, output: str | Path, formats: Sequence[str] = FORMATS) -> str:
    """Settle the format of a file, by its ending where none is given; a pipe or the like needs none, for JSON lines.

    Raises:
        InputError: There is no such format, it cannot be compressed so, or the name is empty.
    """
    _check_format(given)
    _check_named(output)
    format = given or ending(output).removeprefix(".") or ("jsonl" if is_special(Path(output)) else "")
    if format not in formats or (given is None and format == "table"):
        endings = [f".{name}" for name in formats if name != "table"]
        also = "" if formats is not FORMATS else ", or name the format"
        raise InputError(f"{output}: the ending names no format; use {', '.join(endings[:-1])} or {endings[-1]}{also}")
    suffix = Path(output).suffix.lower()
    if suffix in COMPRESSIONS and (suffix not in _COMPRESS or format == "parquet"):
        raise InputError(f"{output}: only .gz and .zst can be written, and of text formats alone; Parquet is compressed inside")
    return format


def _check_named(output: str | Path) -> None:
    if not str(output):  # which `Path` would take for the folder that this is in
        raise InputError("the output has an empty name; name a file")


def _check_format(given: str | None) -> None:
    if given is not None and given not in FORMATS:
        raise InputError(f"{given}: is no output format; there are {', '.join(FORMATS)}")


def check_file(output: str | Path, read: Iterable[Path], force: bool) -> None:
    """Make sure that a file can be written, and is nothing that is read; what is no regular file is written into.

    Raises:
        InputError: It cannot, or is.
    """
    _check_named(output)
    path = Path(output)
    if not path.parent.is_dir():
        raise InputError(f"{output}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{output}: is a folder; name a file")
    check_open(output)
    check_not_read(output, read)
    if path.is_symlink() and os.path.realpath(path) == os.path.abspath(path):  # noqa: PTH100
        raise InputError(f"{output}: cannot be written: is a link to itself")
    if not force and path.exists() and not is_special(path):
        raise InputError(f"{output}: exists already; name another file, or replace it with --force")


class _TextSink:
    """Bytes for a stream that takes text alone, such as `io.StringIO`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: bytes, /) -> None:
        """Write UTF-8 bytes as text."""
        self._stream.write(data.decode())

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return is_terminal(self._stream)


def stream_sink(stream: TextIO) -> Sink:
    """Return the place for a stream's bytes; what was written to it as text comes before them.

    Raises:
        OSError: The stream is closed, which is told even where nothing comes to be written.
    """
    stream.flush()
    sink: Any = getattr(stream, "buffer", None) or _TextSink(stream)
    getattr(sink, "raw", sink).write(b"")  # past the buffer, to where it fails
    return cast(Sink, sink)


def _zstd(data: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.compress(data, "zstd", asbytes=True))


# Equal rows give equal bytes: no name and no time.
_COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": lambda data: gzip.compress(data, 6, mtime=0), ".zst": _zstd}


class _CompressedSink:
    """Each block compressed on its own, one after the other, as both formats allow; so a file can be cut behind any of them."""

    def __init__(self, file: BinaryIO, compress: Callable[[bytes], bytes]) -> None:
        self._file, self._compress = file, compress

    def write(self, data: bytes, /) -> None:
        """Compress and write some bytes."""
        self._file.write(self._compress(data))


def compressed(path: Path, file: BinaryIO) -> Any:
    """Return a sink that compresses what the ending of a file says; one for nothing compressed is the file itself."""
    compress = _COMPRESS.get(path.suffix.lower())
    if compress is None:
        return file
    file.write(compress(b""))  # without a row, too, the file is one of its kind
    return _CompressedSink(file, compress)


@contextmanager
def file_sink(output: str | Path, *, force: bool) -> Iterator[Any]:
    """Give a sink for a file, which takes its place when the block ends without an error; see `textcls.files.opened`.

    Raises:
        AppearedError: Without `force`, something appeared there; the file is kept beside it.
        InputError: It cannot be written.
    """
    path = Path(output)
    with writing(output), opened(path, force=force) as file:
        yield compressed(path, file)
