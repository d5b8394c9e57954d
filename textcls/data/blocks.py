"""From one file to blocks of rows: texts to classify beside the columns they came with. One function a format.

Every row of the file becomes one row of a block, in order; one that cannot be read becomes an empty text with a message.
Memory holds a block at a time.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Literal

from textcls.data.files import Decoder, open_bytes, open_growing, read_text
from textcls.data.remote import Place, RemoteFile
from textcls.errors import DataError

_CHUNK: Final = 1 << 20
_BLOCK_CHARACTERS: Final = 2 << 20  # a block of long rows ends here, before it has its number of rows
LONE_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_NOT_UTF8: Final = "not UTF-8; save the file as UTF-8"


class _Missing:
    """The value of a column that a row does not have, which is not the same as null."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"  # a copy from another process is the same one


MISSING: Final = _Missing()


@dataclass
class Block:
    """Some consecutive rows.

    Attributes:
        texts: What to classify, one a row, free of lone surrogates; "" where the row could not be read.
        columns: The input's columns by name, in order: a list of values each, or a pyarrow array where the input is Parquet.
            A jsonl row that lacks a key has `MISSING` there.
        errors: Why a row could not be read, None for the others; None where every row could.
        bytes_read: Bytes on disk, from the start of the input, that are read when this block is.
        raw: By row, the lines of a jsonl file that are no JSON objects and so have nothing in any column.
    """

    texts: list[str]
    columns: dict[str, Any]
    errors: list[str | None] | None = None
    bytes_read: int = 0
    raw: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)

    @property
    def failed(self) -> list[int]:
        """The rows that could not be read."""
        return [row for row, error in enumerate(self.errors or ()) if error is not None]


@dataclass(frozen=True)
class Reading:
    """How to read.

    Attributes:
        text: The columns that hold the text, joined by a new line.
        header: Whether csv and tsv files start with a line of names; without one the columns are named 0, 1, 2, …
        encoding_errors: `strict` makes an error of a row with bytes that are not UTF-8, `replace` reads them as U+FFFD.
        block_rows: The most rows in a block.
        follow: Whether `.txt` and `.jsonl` files are still growing: at their end, wait for more.
    """

    text: tuple[str, ...] = ("text",)
    header: bool = True
    encoding_errors: Literal["strict", "replace"] = "strict"
    block_rows: int = 8192
    follow: bool = False


def column_values(column: Any) -> list[Any]:
    """Return a column of a block as a list of Python values; bytes that are not UTF-8 become U+FFFD."""
    if isinstance(column, list):
        return column
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:  # Arrow does not check what a Parquet file calls a string
        return [None if value is None else value.decode("utf-8", "replace") for value in column.cast("binary").to_pylist()]


def without_surrogates(text: str) -> str:
    """Return a text with U+FFFD for lone surrogates, which UTF-8 cannot hold."""
    return LONE_SURROGATES.sub("\ufffd", text)


def whole_file_blocks(files: Sequence[tuple[Place, str]], reading: Reading) -> Iterator[Block]:
    """Read each file, given as path and name, as one text; the column `file` holds the name."""
    decoder = Decoder(errors=reading.encoding_errors)
    texts: list[str] = []
    names: list[str] = []
    errors: list[str | None] = []
    characters = bytes_read = 0
    for path, name in files:
        try:
            text, error = read_text(path, decoder), None
            bytes_read += path.stat().st_size
        except DataError as fault:
            text, error = "", str(fault)
        texts.append(text)
        names.append(name)
        errors.append(error)
        characters += len(text)
        if len(texts) == reading.block_rows or characters > _BLOCK_CHARACTERS:
            yield Block(texts, {"file": names}, errors if any(errors) else None, bytes_read)
            texts, names, errors, characters = [], [], [], 0
    if texts:
        yield Block(texts, {"file": names}, errors if any(errors) else None, bytes_read)


def line_blocks(stream: io.BufferedIOBase, name: str, reading: Reading, *, file_column: bool = True) -> Iterator[Block]:
    """Read a stream whose every line is a text, without waiting for more lines than there are; columns `file` and `line`."""
    for first, lines, faults in _lines(stream, reading):
        numbers = list(range(first, first + len(lines)))
        columns: dict[str, Any] = {"file": [name] * len(lines)} if file_column else {}
        columns["line"] = numbers
        yield _block(lines, columns, faults, name, numbers, _position(stream))


def csv_header(path: Place, separator: str, header: bool) -> list[str]:
    """Return the column names of a csv file: its first line that is not blank, or 0, 1, 2, …; none for an empty file."""
    csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long article; the limit is the process's
    with open_bytes(path) as stream, _text(stream, "replace") as text:
        try:
            first: list[str] = next(filter(None, csv.reader(text, delimiter=separator, strict=True)), [])
        except csv.Error as error:
            raise DataError(f"{path}, row 1: {_csv_fault(error)}") from None
    return first if header else [str(number) for number in range(len(first))]


def csv_blocks(path: Place, name: str, separator: str, reading: Reading) -> Iterator[Block]:
    """Read a csv or tsv file, one text a row; every value is the string that stands there."""
    names = csv_header(path, separator, reading.header)
    escapes = "surrogateescape" if reading.encoding_errors == "strict" else "replace"
    with open_bytes(path) as stream, _text(stream, escapes) as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        if reading.header and names:
            next(filter(None, reader))
        for rows, numbers, faults in _csv_rows(reader, len(names), reading.block_rows):
            columns = {column: list(values) for column, values in zip(names, zip(*rows, strict=True), strict=True)}
            if reading.encoding_errors == "strict":
                _take_out_escapes(columns, faults)
            texts = _texts(columns, reading.text, len(rows), faults)
            yield _block(texts, columns, faults, name, numbers, _position(stream))


def jsonl_blocks(path: Place, name: str, reading: Reading) -> Iterator[Block]:
    """Read a file with one JSON object a line, one text each; blank lines are no rows."""
    parse = json.JSONDecoder().decode
    with open_growing(str(path)) if reading.follow else open_bytes(path) as stream:
        for first, lines, line_faults in _lines(stream, reading):
            rows: list[dict[str, Any]] = []
            numbers: list[int] = []
            faults: dict[int, str] = {}
            raw: dict[int, str] = {}
            for number, line in enumerate(lines):
                if not line or line.isspace():
                    continue
                row, fault = _json_object(line, parse)
                if fault:
                    raw[len(rows)] = line
                if fault := line_faults.get(number, fault):
                    faults[len(rows)] = fault
                rows.append(row)
                numbers.append(first + number)
            if rows:
                keys = dict.fromkeys(chain.from_iterable(rows))
                columns = {key: [row.get(key, MISSING) for row in rows] for key in keys}
                texts = _texts(columns, reading.text, len(rows), faults)
                block = _block(texts, columns, faults, name, numbers, _position(stream))
                block.raw = raw
                yield block


def parquet_blocks(path: Place, name: str, reading: Reading) -> Iterator[Block]:
    """Read a Parquet file; the columns stay Arrow arrays, so that only the text is turned into Python values.

    Raises:
        DataError: A part of the file is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    done = 0
    try:
        with parquet.ParquetFile(path.open_random() if isinstance(path, RemoteFile) else path) as file:
            size, count = path.stat().st_size, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(reading.block_rows):
                faults: dict[int, str] = {}
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                _take_out_damage(columns, faults, strict=reading.encoding_errors == "strict")
                texts = _texts(columns, reading.text, batch.num_rows, faults)
                numbers = range(done + 1, done + batch.num_rows + 1)
                done += batch.num_rows
                yield _block(texts, columns, faults, name, numbers, size * done // count)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read after row {done}: {str(error).splitlines()[0]}") from None


def _block(
    texts: list[str], columns: dict[str, Any], faults: Mapping[int, str], name: str, numbers: Sequence[int], bytes_read: int
) -> Block:
    """Put a block together; `faults` say by row what is wrong, `numbers` where each row stands in the file."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        texts = list(map(without_surrogates, texts))
    if not faults:
        return Block(texts, columns, None, bytes_read)
    errors: list[str | None] = [None] * len(texts)
    for row, fault in faults.items():
        texts[row] = ""
        errors[row] = f"{name}, row {numbers[row]}: {fault}"
    return Block(texts, columns, errors, bytes_read)


def _texts(columns: Mapping[str, Any], wanted: Sequence[str], count: int, faults: dict[int, str]) -> list[str]:
    """Take the texts out of their columns and note the rows that have none; a fault noted before stays."""
    parts: list[list[str]] = []
    for column in wanted:
        values: list[Any] = column_values(columns[column]) if column in columns else [MISSING] * count
        if set(map(type, values)) - {str}:
            for row, value in enumerate(values):
                if type(value) is not str:
                    faults.setdefault(row, _why_no_text(column, value))
            values = [value if type(value) is str else "" for value in values]
        parts.append(values)
    return list(parts[0]) if len(parts) == 1 else list(map("\n".join, zip(*parts, strict=True)))


def _why_no_text(column: str, value: Any) -> str:
    if value is MISSING:
        return f"there is no {column!r}"
    return f"{column!r} is null" if value is None else f"{column!r} is not text but {_in_words(value)}"


def _in_words(value: Any) -> str:
    """Name the type of a JSON value."""
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "a text"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")


def _lines(stream: io.BufferedIOBase, reading: Reading) -> Iterator[tuple[int, list[str], dict[int, str]]]:
    """Yield the number of the first line, some lines without their ends, and the faults of those that are not UTF-8."""
    done = 0
    for chunk in _whole_lines(stream):
        faults = {}
        try:
            lines = chunk.decode().replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError:
            pieces = chunk.replace(b"\r\n", b"\n").split(b"\n")
            lines = [piece.decode("utf-8", "replace") for piece in pieces]
            if reading.encoding_errors == "strict":
                faults = {row: _NOT_UTF8 for row, piece in enumerate(pieces) if not _is_utf8(piece)}
        if chunk.endswith(b"\n"):
            lines.pop()
        if not done:
            lines[0] = lines[0].removeprefix("\ufeff")
        for start in range(0, len(lines), reading.block_rows):
            stop = start + reading.block_rows
            yield done + start + 1, lines[start:stop], {row - start: faults[row] for row in faults if start <= row < stop}
        done += len(lines)


def _whole_lines(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yield what can be read without waiting, cut behind its last line end."""
    tail: list[bytes] = []
    while chunk := stream.read1(_CHUNK):
        head, newline, rest = chunk.rpartition(b"\n")
        if newline:
            yield b"".join((*tail, head, newline))
            tail = []
        if rest:
            tail.append(rest)
    if tail:
        yield b"".join(tail)


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(stream: io.BufferedIOBase, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, "utf-8-sig", errors=errors, newline="")  # type: ignore[arg-type]


def _position(stream: io.BufferedIOBase) -> int:
    """Return how many bytes on disk were read; 0 where the stream cannot tell: a pipe, or a compression other than gzip."""
    file = getattr(stream, "fileobj", stream)  # of a `GzipFile`
    on_disk = isinstance(getattr(file, "raw", file), io.FileIO) and file.seekable()
    return int(file.tell()) if on_disk else 0


def _csv_rows(reader: Any, width: int, block_rows: int) -> Iterator[tuple[list[list[str]], list[int], dict[int, str]]]:
    """Yield rows of one width, the line on which each starts, and the faults of those that had to be made to fit."""
    rows: list[list[str]] = []
    numbers: list[int] = []
    faults: dict[int, str] = {}
    characters, line = 0, reader.line_num + 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:  # the reader goes on with the next line
            row = [""] * width
            faults[len(rows)] = _csv_fault(error)
        start, line = line, reader.line_num + 1
        if len(row) != width:
            if not row and width > 1:  # a blank line; where there is one column, it is an empty value
                continue
            if row:
                faults[len(rows)] = f"{len(row)} fields where the first row has {width}"
            row = [*row, *[""] * width][:width]
        rows.append(row)
        numbers.append(start)
        characters += sum(map(len, row))
        if len(rows) == block_rows or characters > _BLOCK_CHARACTERS:
            yield rows, numbers, faults
            rows, numbers, faults, characters = [], [], {}, 0
    if rows:
        yield rows, numbers, faults


def _csv_fault(error: csv.Error) -> str:
    fault = "a double quote is opened and never closed" if "end of data" in str(error) else str(error)
    return f"{fault}; inside a quoted field write each double quote twice"


def _take_out_escapes(columns: dict[str, Any], faults: dict[int, str]) -> None:
    """Put U+FFFD for the bytes that the decoder could only carry along, and note their rows."""
    for values in columns.values():
        try:
            "".join(values).encode()
        except UnicodeEncodeError:
            for row, value in enumerate(values):
                if LONE_SURROGATES.search(value):
                    values[row] = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                    faults.setdefault(row, _NOT_UTF8)


def _take_out_damage(columns: dict[str, Any], faults: dict[int, str], *, strict: bool) -> None:
    """Put U+FFFD for what a Parquet file calls a string and is not UTF-8, null for a list or an object of it; note the rows."""
    import pyarrow as pa

    for name, column in columns.items():
        try:
            column.validate(full=True)  # reading does not check strings
        except pa.ArrowInvalid:
            damaged = {row for row, value in enumerate(column) if not _is_readable(value)}
            if damaged and pa.types.is_nested(column.type):
                columns[name] = column.take(
                    pa.array([None if row in damaged else row for row in range(len(column))], pa.int64())
                )
            elif damaged:
                columns[name] = pa.array(column_values(column), column.type)
            for row in damaged if strict else ():
                faults.setdefault(row, f"{name!r} is {_NOT_UTF8}")


def _is_readable(value: Any) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _json_object(line: str, parse: Any) -> tuple[dict[str, Any], str | None]:
    try:
        value = parse(line)
    except json.JSONDecodeError as error:
        return {}, f"not valid JSON: {error.msg} (column {error.colno})"
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, brackets thousands deep
        return {}, f"JSON that cannot be read: {error}"
    return (value, None) if isinstance(value, dict) else ({}, f"not a JSON object but {_in_words(value)}")
