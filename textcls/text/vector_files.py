"""Readers of pretrained word vectors: each streams a file once and turns only the rows that are wanted into floats."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import lzma
import re
import tarfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple, NoReturn, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from textcls.errors import DataError, named

ENDINGS = (".txt", ".vec", ".bin")
"""Endings of the files that are read, each also with `.gz` after it."""
EXTRA = -1
"""The slot of a row whose word is no token but was kept by `extend`."""
_BLOCK = 1 << 22  # bytes read at once
_FASTTEXT_MODEL = bytes.fromhex("ba164f2f")  # the first four bytes of every model that fastText saves
_LONGEST_LINE = 1 << 22  # bytes; a longer line, or a longer word in a binary file, means that the file is something else
_LONGEST_WORD = 1 << 16
_HEADER = 32  # bytes that hold the whole first line of a binary file
_NAMED = 8  # how many files of an archive a message names before it only counts
_ENCRYPTED = 1  # the bit of a member's flags
# What a damaged archive makes the library raise as it is opened, and as a file in it is read.
_BAD_ARCHIVE = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError)
_BAD_MEMBER = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)


class SelectedRows(NamedTuple):
    """The wanted rows of a vectors file, in its order.

    Attributes:
        slots: Index of each row's token, or `EXTRA`, int64 [n].
        values: Their vectors, float32 [n, dimension].
        sha256: Digest of the file's bytes.
    """

    slots: NDArray[np.int64]
    values: NDArray[np.float32]
    sha256: str


class Selection:
    """Decides, word by word in the file's order, which rows are wanted; the first row of a repeated word wins.

    Args:
        tokens: Distinct tokens, [n].
        extend: Keep up to this many words that are no token.
        accept: Whether such a word may be kept.
    """

    def __init__(self, tokens: Sequence[str], extend: int, accept: Callable[[str], bool]) -> None:
        self.extra_words: list[str] = []
        self._index = {token: number for number, token in enumerate(tokens)}
        self._extend, self._accept = extend, accept
        self._taken: set[str] = set()

    def take(self, word: str) -> int | None:
        """Return the slot of this row, or None where it is not wanted."""
        slot = self._index.get(word)
        if slot is None:
            if len(self.extra_words) >= self._extend or word in self._taken or not self._accept(word):
                return None
            self.extra_words.append(word)
            slot = EXTRA
        elif word in self._taken:
            return None
        self._taken.add(word)
        return slot


def read_vector_file(path: Path, selection: Selection, member: str | None = None) -> SelectedRows:
    """Read a GloVe, word2vec or fastText file, chosen by its ending: `.txt`, `.vec` or `.bin`, each also `.gz`.

    Of a row that is not wanted, only the number of values is checked.

    Args:
        path: The file; of a `.tar.gz` the vectors file in it.
        selection: Decides which rows are wanted.
        member: The file's name in a zip, where `path` is one. It is read in place, and the digest is the archive's.

    Raises:
        DataError: The file cannot be read, is damaged or is no vectors file; the message names the row.
    """
    shown = path / member if member else path
    check_name(shown)
    read_rows = _read_binary if _unpacked(shown.name).endswith(".bin") else _read_text
    try:
        with _opened(path, member) as (stream, digest):
            slots, values = read_rows(shown, stream, selection)
            while stream.read(_BLOCK):  # new lines after the last row of a binary file belong to the digest
                pass
    except (gzip.BadGzipFile, tarfile.TarError, *_BAD_MEMBER) as error:
        kind = "zip" if member else "tar" if isinstance(error, tarfile.TarError) else "gzip"
        raise DataError(f"{shown}: the {kind} data is damaged or cut short ({error}): get the file again") from error
    except OSError as error:
        raise DataError(f"{shown}: cannot be read: {error.strerror or error}") from error
    return SelectedRows(slots, values, digest.hexdigest())


def check_name(path: Path) -> None:
    """Make sure that a file has the name of a vectors file.

    Raises:
        DataError: It has not.
    """
    if not _is_vectors(path.name):
        raise DataError(f"{path}: vectors are read from .txt, .vec or .bin files, each also with .gz after it, and from .zip")


def find_member(archive: Path, wanted: str | None = None) -> str:
    """Return the name of the vectors file in a zip: the one that is wanted, or the only one.

    Raises:
        DataError: The archive cannot be read, or holds no such file, or several of which none is wanted; the message names them.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            names = [name for name in zipped.namelist() if _is_vectors(name) and not _is_hidden(name)]
    except _BAD_ARCHIVE as error:
        raise DataError(f"{archive}: the zip archive is damaged or cut short ({error}): get it again") from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be read: {error.strerror or error}") from error
    if not names:
        raise DataError(f"{archive}: no file in it ends in .txt, .vec or .bin, each also with .gz after it")
    if wanted in names:
        return str(wanted)
    if wanted is not None:
        raise DataError(f"{archive}: holds no vectors file {wanted}; it holds {named(names, _NAMED)}")
    if len(names) > 1:
        raise DataError(f"{archive}: holds {named(names, _NAMED)}: choose one, for example {archive / names[0]}")
    return names[0]


def _is_vectors(name: str) -> bool:
    """Whether a file's name has a right ending."""
    return _unpacked(name).endswith(ENDINGS)


def _unpacked(name: str) -> str:
    """Return a file's name without the ending that it has because it is packed."""
    return name.removesuffix(".gz").removesuffix(".tar")


def _is_hidden(name: str) -> bool:
    """Whether a file in an archive is hidden, as those are that macOS puts beside the others."""
    return PurePosixPath(name).name.startswith(".")


def read_vector_package(matrix_path: Path, words_path: Path, selection: Selection) -> SelectedRows:
    """Gather rows from a `.npy` matrix whose words are the one column of a Parquet file.

    Raises:
        DataError: A file is missing or damaged, or the two do not fit together.
    """
    import pyarrow.parquet

    try:
        words = pyarrow.parquet.read_table(words_path).column(0).to_pylist()
        matrix = np.load(matrix_path, mmap_mode="r", allow_pickle=False)
        with matrix_path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError, EOFError) as error:  # pyarrow's own errors are ValueErrors
        raise DataError(f"{matrix_path} and {words_path.name} cannot be read: install their package again") from error
    if matrix.ndim != 2 or matrix.dtype != np.float32 or len(matrix) != len(words):
        shape = f"{matrix.dtype} {list(matrix.shape)}"
        raise DataError(f"{matrix_path}: holds {shape} for {len(words)} words: install its package again")
    taken = [(row, slot) for row, word in enumerate(words) if (slot := selection.take(word)) is not None]
    rows, slots = np.array(taken, np.int64).reshape(-1, 2).T
    values = np.asarray(matrix[rows])
    _check_finite(matrix_path, values, rows + 1)
    return SelectedRows(slots, values, sha256)


def _read_text(path: Path, stream: BinaryIO, selection: Selection) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Read lines of a word and its values, all separated by single blanks."""
    lines = _lines(path, stream)
    first = next(lines, (1, b""))[1].removeprefix(codecs.BOM_UTF8)
    announced, dimension = _text_shape(path, first)
    slots, numbers, values = array("q"), array("q"), array("f")
    rows = 0
    for number, line in lines if announced is not None else chain([(1, first)], lines):
        blanks = line.count(b" ")
        if blanks == dimension:
            word = line[: line.index(b" ")]
        elif blanks > dimension:
            word = _spaced_word(path, number, line, dimension)
        elif line:
            _fail_length(path, number, blanks, dimension)
        else:
            continue
        rows += 1
        slot = selection.take(word.decode("utf-8", "replace"))
        if slot is not None:
            slots.append(slot)
            numbers.append(number)
            _parse_values(path, number, line.rsplit(b" ", dimension)[1:], values)
    if announced is not None and rows < announced:
        raise DataError(f"{path}: its first line announces {announced} rows, but it ends after {rows}: get the file again")
    matrix = np.frombuffer(values, np.float32).reshape(-1, dimension)
    _check_finite(path, matrix, np.array(numbers))
    return np.array(slots, np.int64), matrix


def _lines(path: Path, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each line and its number from 1, without the blank that fastText writes after the last value."""
    number, rest = 0, b""
    while block := stream.read(_BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            number += 1
            yield number, line.rstrip(b" \r")
        if len(rest) > _LONGEST_LINE:
            raise DataError(f"{path}, row {number + 1}: not a vectors file: a line of over {_LONGEST_LINE} bytes")
    if rest:
        yield number + 1, rest.rstrip(b" \r")


def _text_shape(path: Path, first: bytes) -> tuple[int | None, int]:
    """Return the rows that the first line announces (None where it is a row itself) and the dimension."""
    if not first:
        raise DataError(f"{path}: is empty or starts with an empty line: expected a word and its values a line")
    if shape := _announced(first):
        return shape
    pieces = first.split(b" ")
    dimension = 0
    while dimension < len(pieces) - 1 and _is_number(pieces[-1 - dimension]):
        dimension += 1
    if dimension == 0 and (b"\0" in first or first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))):
        raise DataError(f"{path}: is UTF-16 or no text at all: save it as UTF-8")
    if dimension == 0 or b"\t" in first:
        raise DataError(f"{path}, row 1: not a vectors file: expected a word and its values, separated by single blanks")
    return None, dimension


def _announced(line: bytes) -> tuple[int, int] | None:
    """Return rows and dimension of a header line, or None where the line is none."""
    match = re.fullmatch(rb"(\d{1,12}) ([1-9]\d{0,6})\s*", line)
    return (int(match[1]), int(match[2])) if match else None


def _spaced_word(path: Path, number: int, line: bytes, dimension: int) -> bytes:
    """Return a word that holds blanks itself, as a few of glove.840B do (`at name@domain.com`)."""
    word = line.rsplit(b" ", dimension)[0]
    last = word.rsplit(b" ", 1)[1]
    if b"." in last and _is_number(last):  # no word, but one more value
        _fail_length(path, number, line.count(b" "), dimension)
    return word


def _fail_length(path: Path, number: int, found: int, dimension: int) -> NoReturn:
    raise DataError(f"{path}, row {number}: {found} values instead of {dimension}: get the file again")


def _is_number(piece: bytes) -> bool:
    try:
        float(piece)
    except ValueError:
        return False
    return True


def _parse_values(path: Path, number: int, pieces: list[bytes], values: array[float]) -> None:
    """Append the values of one row."""
    try:
        values.extend(map(float, pieces))
    except ValueError:
        wrong = next(piece for piece in pieces if not _is_number(piece)).decode("utf-8", "replace")
        raise DataError(f"{path}, row {number}: {wrong!r} is not a number") from None


def _read_binary(path: Path, stream: BinaryIO, selection: Selection) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Read word2vec's binary format: a line `rows dimension`, then a word, a blank and little-endian float32 values."""
    buffer = stream.read(_HEADER)
    rows, dimension, position = _binary_shape(path, buffer)
    size = 4 * dimension
    slots, numbers, kept = array("q"), array("q"), bytearray()
    for number in range(1, rows + 1):
        blank = buffer.find(b" ", position)
        while blank < 0 or len(buffer) < blank + 1 + size:
            block = stream.read(_BLOCK)
            if not block or (blank < 0 and len(buffer) - position > _LONGEST_WORD):
                raise DataError(f"{path}, row {number} of {rows}: the file is cut short or not word2vec's: get it again")
            buffer, position = buffer[position:] + block, 0
            blank = buffer.find(b" ")
        word = buffer[position:blank].lstrip(b"\n")  # some writers end each row with a new line, some do not
        position = blank + 1 + size
        slot = selection.take(word.decode("utf-8", "replace"))
        if slot is not None:
            slots.append(slot)
            numbers.append(number)
            kept += buffer[blank + 1 : position]
    if buffer[position:].strip(b"\n") or stream.read(_BLOCK).strip(b"\n"):
        raise DataError(f"{path}: holds more than the {rows} rows of {dimension} values that it announces: get the file again")
    values = np.frombuffer(kept, "<f4").astype(np.float32, copy=False).reshape(-1, dimension)
    _check_finite(path, values, np.array(numbers))
    return np.array(slots, np.int64), values


def _binary_shape(path: Path, start: bytes) -> tuple[int, int, int]:
    """Return rows, dimension and where the first row starts."""
    if not start:
        raise DataError(f"{path}: is empty")
    if start.startswith(_FASTTEXT_MODEL):
        raise DataError(f"{path}: is a fastText model, not word2vec's binary format: give the .vec file that comes with it")
    line, newline, _ = start.partition(b"\n")
    shape = _announced(line)
    if not newline or shape is None:
        raise DataError(f"{path}: not a vectors file: word2vec's binary format starts with a line of rows and dimension")
    return *shape, len(line) + 1


def _check_finite(path: Path, values: NDArray[np.float32], numbers: NDArray[np.int64]) -> None:
    """Refuse NaN and infinite values, among them those too large for float32."""
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        row = int(numbers[wrong.argmax()])
        raise DataError(f"{path}, row {row}: a value is NaN, infinite or too large: get the file again or remove the row")


class _Digest(Protocol):
    def hexdigest(self) -> str: ...


class _DigestReader:
    """Hashes the bytes of a file as they are read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[tuple[BinaryIO, _Digest]]:
    """Open a file, or one in a zip, unpacked where it ends in `.gz`, beside the digest of the bytes on disk."""
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        if member is None:
            digest: _Digest = _DigestReader(raw)
            stream = cast(BinaryIO, digest)
        else:
            digest = hashlib.file_digest(raw, "sha256")  # now: reading one file skips the rest of the archive
            stream = stack.enter_context(_open_member(path, raw, member))
        if member is None and path.name.endswith(".tar.gz"):
            digest = hashlib.file_digest(raw, "sha256")
            raw.seek(0)
            stream = stack.enter_context(_open_packed(path, raw))
        elif (member or path.name).endswith(".gz"):
            stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=stream, mode="rb")))
        yield stream, digest


@contextmanager
def _open_packed(path: Path, raw: BinaryIO) -> Iterator[BinaryIO]:
    """Open the first vectors file in a `.tar.gz`, as BPEmb's are published; in the end its checksum is compared."""
    with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as packed:
        for entry in packed:
            name = PurePosixPath(entry.name).name
            if entry.isfile() and not _is_hidden(name) and _is_vectors(name) and (stream := packed.extractfile(entry)):
                yield cast(BinaryIO, stream)
                while unpacked.read(_BLOCK):
                    pass
                return
    raise DataError(f"{path}: no file in it ends in .txt, .vec or .bin")


def _open_member(archive: Path, raw: BinaryIO, member: str) -> BinaryIO:
    """Open a file in a zip."""
    try:
        zipped = zipfile.ZipFile(raw)
        if zipped.getinfo(member).flag_bits & _ENCRYPTED:
            raise DataError(f"{archive / member}: is encrypted: unpack it with its password and name the unpacked file")
        return cast(BinaryIO, zipped.open(member))
    except _BAD_ARCHIVE as error:
        raise DataError(f"{archive / member}: cannot be read in the archive ({error}): unpack it, or get it again") from error
