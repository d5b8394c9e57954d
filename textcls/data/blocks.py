"""What every format is read into: blocks of rows. And what is read: a source, and how.

Every row of the input is one row of a block, in order; one that cannot be read is an empty text with a message. Classifying passes
such a row on, training stops at it. Memory holds a block at a time.
"""

from __future__ import annotations

import difflib
import itertools
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal

from textcls.config import DataSettings
from textcls.data.places import Opened, fingerprint, open_bytes, open_growing, standard_input
from textcls.data.remote import Place
from textcls.errors import DataError, named, quoted

STANDARD_INPUT: Final = "-"
BLOCK_ROWS: Final = 8192
BLOCK_CHARACTERS: Final = 2 << 20  # a block of long rows ends here, before it has its number of rows
_SHOWN_COLUMNS = 20  # in messages
LONE_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class _Missing(Enum):
    """The value of a column that a row does not have, which is not the same as null; a copy from another process is the same one."""

    MISSING = "MISSING"


MISSING: Final = _Missing.MISSING


@dataclass(frozen=True)
class Reading:
    """How to read.

    Attributes:
        text: The columns that hold the text, joined by a new line.
        lines: Take each line of a `.txt` file as a text, not the whole file.
        header: Whether csv and tsv files start with a line of names; without one the columns are named 0, 1, 2, …
        delimiter: What separates the fields of csv and tsv files; by the ending and the first rows where not given.
        quoting: `csv`, `none` or `auto`, as the setting `data.quoting`.
        encoding: Of text files without a byte order mark.
        encoding_errors: `strict` makes an error of a row with bytes that cannot be decoded, `replace` reads them as U+FFFD.
        longest: The most bytes of a row, decompressed and as UTF-8; a longer one is an error.
        block_rows: The most rows in a block.
        follow: Whether `.txt` and `.jsonl` files are still growing: at their end, wait for more.
        only: The columns to read, which must exist, those of the text among them; all columns where not given.
    """

    text: tuple[str, ...] = ("text",)
    lines: bool = False
    header: bool = True
    delimiter: str | None = None
    quoting: Literal["auto", "csv", "none"] = "auto"
    encoding: str = "utf-8"
    encoding_errors: Literal["strict", "replace"] = "strict"
    longest: int = 64_000_000
    block_rows: int = BLOCK_ROWS
    follow: bool = False
    only: tuple[str, ...] | None = None

    @classmethod
    def of(cls, settings: DataSettings, labels: Sequence[str]) -> Reading:
        """Return how labelled rows are read, from `.txt` files as lines, given the columns of the labels."""
        text = (settings.text,) if isinstance(settings.text, str) else settings.text
        return cls(
            text=text,
            lines=True,
            header=settings.header,
            delimiter=settings.delimiter,
            quoting=settings.quoting,
            encoding=settings.encoding,
            encoding_errors=settings.encoding_errors,
            longest=settings.max_row_bytes,
            only=tuple(dict.fromkeys((*text, *labels))),
        )

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns that must exist."""
        return self.text if self.only is None else self.only

    def is_one_text(self, source: Source) -> bool:
        """Whether a file is a text as a whole."""
        return source.kind == ".txt" and not self.lines and not source.is_stream


@dataclass(frozen=True)
class Dialect:
    """How a text file is written; found out once, before its rows are read.

    Attributes:
        encoding: Of its bytes.
        delimiter: What separates the fields of a row.
        quoted: Whether double quotes hold fields together, as in csv; else they are characters like others.
        guessed: Whether `quoted` was found out, and not given: then a row that speaks against it is an error of the file.
        skipped: Lines before the header.
        spaced: Whether blanks between a separator and a double quote belong to neither.
        padded: Whether rows end in separators that the header does not have.
        layout: Of JSON: an object a line, an array of them, or one object that holds columns.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    quoted: bool = True
    guessed: bool = False
    skipped: int = 0
    spaced: bool = False
    padded: bool = False
    layout: Literal["lines", "array", "columns"] = "lines"


@dataclass(frozen=True)
class Source:
    """One file of rows, or standard input.

    Attributes:
        path: Where it lies, a path or behind a URI; `-` for standard input.
        name: How records, notes and the column `file` call it: relative to what the user named.
        kind: Its ending without that of the compression, such as `.csv`; for standard input that of its format.
        size: Its bytes on disk when it was found; 0 where it is a stream or grows.
        dialect: How it is written.
        columns: What its columns are called, each by a name of its own; none where there are none, or they are not known.
        named: How many of them a row must have: nameless ones at the end may be missing.
    """

    path: Place
    name: str
    kind: str
    size: int = 0
    dialect: Dialect = Dialect()
    columns: tuple[str, ...] = ()
    named: int = 0

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input."""
        return str(self.path) == STANDARD_INPUT

    @property
    def place(self) -> str:
        """What messages call it."""
        return "standard input" if self.is_stream else str(self.path)

    def open(self, *, follow: bool = False) -> AbstractContextManager[Opened]:
        """Open its bytes, decompressed; with `follow` those too that are still to come.

        Raises:
            DataError: As `open_bytes`.
        """
        if self.is_stream:
            return nullcontext(Opened(standard_input(sys.stdin).chunks))
        return open_growing(Path(str(self.path))) if follow else open_bytes(self.path, self.size)

    def start(self, most: int) -> tuple[bytes, bool]:
        """Return its first bytes, at most so many, and whether they are all; of standard input what is there with the first line.

        Raises:
            DataError: As `open_bytes`.
        """
        if self.is_stream:
            return standard_input(sys.stdin).start(blank=self.kind == ".txt")
        found = b""
        with self.open() as opened:
            for chunk in opened.chunks():
                found += chunk
                if len(found) > most:
                    break
        return found[:most], len(found) <= most

    def fingerprint(self) -> dict[str, object]:
        """Return the file's name, SHA-256 and size in bytes.

        Raises:
            DataError: It cannot be read.
        """
        digest, size = fingerprint(self.path)
        return {"file": self.name, "sha256": digest, "bytes": size}


@dataclass
class Block:
    """Some consecutive rows.

    Attributes:
        texts: The text of each row, free of lone surrogates; "" where the row could not be read.
        columns: The input's columns by name, in order: a list of values each, or a pyarrow array where the input is Parquet.
            A row of JSON that lacks a key has `MISSING` there.
        numbers: Where each row stands in its file, from 1: the line on which it starts, the item of a JSON array, the row in
            Parquet; 1 for a file that is one text.
        name: What messages call the file; empty where each row is a file of its own, whose fault says which.
        faults: By row of the block, why it could not be read.
        bytes_read: Bytes on disk, from the start of the input, that are read when this block is.
        raw: By row, what stands in the file where a row could not be parsed.
        replaced: Rows with bytes that could not be decoded and became U+FFFD, where that was asked for.
    """

    texts: list[str]
    columns: dict[str, Any]
    numbers: Sequence[int]
    name: str = ""
    faults: dict[int, str] = field(default_factory=dict)
    bytes_read: int = 0
    raw: dict[int, str] = field(default_factory=dict)
    replaced: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)

    @property
    def failed(self) -> list[int]:
        """The rows that could not be read, ascending."""
        return sorted(self.faults)

    def error(self, row: int) -> str | None:
        """Return where a row stands and why it could not be read; None for a row that could."""
        fault = self.faults.get(row)
        return f"{self.name}, row {self.numbers[row]}: {fault}" if fault and self.name else fault


def with_columns(source: Source, header: Sequence[str]) -> tuple[Source, tuple[str, ...]]:
    """Give each column of a source a name of its own: a second `note` is `note.2`, a nameless one in third place `column_3`.

    Returns:
        The source with its columns, and the names that stood there more than once.
    """
    taken, names = set(header), dict[str, None]()
    for place, name in enumerate(header, start=1):
        if not name.strip() or name in names:
            start, numbers = (f"{name}.", itertools.count(2)) if name.strip() else ("column_", itertools.count(place))
            name = next(new for new in (f"{start}{number}" for number in numbers) if new not in taken)
            taken.add(name)
        names[name] = None
    repeated = tuple(name for name, count in Counter(header).items() if count > 1 and name.strip())
    return replace(source, columns=tuple(names), named=filled(header)), repeated


def filled(header: Sequence[str]) -> int:
    """Return how many fields a line of names has up to the last that is a name; all, where none is."""
    return max((place for place, name in enumerate(header, start=1) if name.strip()), default=len(header))


def check_columns(wanted: Iterable[str], source: Source, repeated: Collection[str] = (), hint: str = "") -> None:
    """Make sure that columns exist, and each only once.

    Raises:
        DataError: One is missing or stands twice; the message names those there are and the nearest, then gives the hint.
    """
    for column in wanted:
        if column in repeated:
            raise DataError(f"{source.place}: two columns are named {column!r}; rename one of them")
        if column not in source.columns:
            close = difflib.get_close_matches(column, source.columns, 1, cutoff=0.5)
            nearest = f" (did you mean {quoted(close[0])}?)" if close else ""
            there = named(list(map(quoted, source.columns)), _SHOWN_COLUMNS) or "none"
            raise DataError(f"{source.place}: there is no column {column!r}{nearest}; the columns are: {there}{hint}")


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
