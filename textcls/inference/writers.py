"""Writing classified rows, block by block: JSON lines, csv and tsv, and a table to read on a terminal.

A writer takes the columns of a block, the input's and the answers side by side, as lists of equal length (or pyarrow arrays).
JSON lines leave out what a row does not have (`MISSING`); the other formats have one shape for all rows and leave the field
empty. Parquet is in `textcls.inference.parquet`.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, Final, Protocol

from textcls.data.blocks import LONE_SURROGATES, MISSING, column_values, without_surrogates
from textcls.data.labels import label_text
from textcls.errors import is_terminal, visible, visible_json

_TEXT_WIDTH: Final = 72  # what a table shows of a text, in character cells of a terminal

Columns = Mapping[str, Any]


class Sink(Protocol):
    """Where bytes go: a file, or standard output."""

    def write(self, data: bytes, /) -> Any:
        """Take some bytes."""


class Writer(Protocol):
    """What every format offers."""

    def write(self, columns: Columns, texts: Sequence[str]) -> int:
        """Write the rows of a block; `texts` is what was classified, which only a table shows.

        Returns:
            In how many of them U+FFFD stands for lone surrogates, which the format cannot hold.
        """

    def close(self) -> None:
        """Write what stands at the end of the format, if anything; the sink stays open."""


class JsonlWriter:
    """One JSON object a line, in readable UTF-8; a lone surrogate is written as its escape, NaN as Python reads and writes it."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, columns: Columns, texts: Sequence[str]) -> int:  # noqa: ARG002
        """Write the rows of a block; return 0: JSON can write every text."""
        members = [_members(name, plain_values(column)) for name, column in columns.items()]
        rows = map("".join, zip(*members, strict=True))
        text = "".join([f"{{{row[2:]}}}\n" for row in rows])  # each member starts with a comma and a space
        text = visible_json(text, self._sink)
        try:
            data = text.encode()
        except UnicodeEncodeError:  # they stand inside strings, so an escape means the same
            data = LONE_SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()
        self._sink.write(data)
        return 0

    def close(self) -> None:
        """Do nothing: the last line is the end."""


class CsvWriter:
    """Values with a separator between them under a line of names, fixed beforehand; lines end in a new line alone.

    On a terminal what would steer it stands as its escape.
    """

    def __init__(self, sink: Sink, names: Sequence[str], separator: str = ",") -> None:
        self._sink = sink
        self._names = list(names)
        self._separator = separator
        self._write_rows([self._names])

    def write(self, columns: Columns, texts: Sequence[str]) -> int:  # noqa: ARG002
        """Write the rows of a block; return in how many of them U+FFFD stands for lone surrogates."""
        count = len(next(iter(columns.values())))
        cells = [cells_of(columns[name]) if name in columns else [""] * count for name in self._names]
        return self._write_rows(list(zip(*cells, strict=True)))

    def close(self) -> None:
        """Do nothing: the last line is the end."""

    def _write_rows(self, rows: Sequence[Sequence[str]]) -> int:
        replaced = 0
        if is_terminal(self._sink):
            rows = [list(map(visible, row)) for row in rows]
        text = self._text(rows)
        if "\r" in text or (self._separator == "\t" and "\t" in text and '"' in text):
            text = "".join(self._text([row], self._needs_all_quotes(row)) for row in rows)
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = without_surrogates(text).encode()
            replaced = sum(LONE_SURROGATES.search("".join(row)) is not None for row in rows)
        self._sink.write(data)
        return replaced

    def _needs_all_quotes(self, row: Sequence[str]) -> bool:
        """Whether quotes around some fields alone would not be read back as they were meant.

        Before Python 3.13 the csv module leaves a lone carriage return without quotes. And who reads fields between tabs takes a
        field with a tab and a new line for rows that a stray quote holds together, unless the whole row is in quotes.
        """
        return any("\r" in cell or (self._separator == "\t" and "\t" in cell and "\n" in cell) for cell in row)

    def _text(self, rows: Iterable[Sequence[str]], quote_all: bool = False) -> str:
        buffer = io.StringIO(newline="")
        quoting: Any = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
        csv.writer(buffer, delimiter=self._separator, lineterminator="\n", quoting=quoting).writerows(rows)
        return buffer.getvalue()


class TableWriter:
    """Aligned columns for reading: labels and confidences, the file where there is one, and the start of the text.

    Args:
        sink: Where it goes.
        answers: The label columns and their confidence columns, in order; those of lists are shown with commas.
        label_texts: Every label that can occur, to align by.
    """

    def __init__(self, sink: Sink, answers: Sequence[str], label_texts: Sequence[str]) -> None:
        self._sink = sink
        self._answers = list(answers)
        longest = max(map(_width, label_texts), default=0)
        self._widths = [max(longest if name.startswith("label") else 0, len(name)) for name in answers]
        self._widths.append(len("file"))  # widths grow with the cells, so that blocks of one file each stand in line
        self._headed = False

    def write(self, columns: Columns, texts: Sequence[str]) -> int:
        """Write the rows of a block, under the names of the columns where it is the first."""
        cells = [[_shown(value) for value in columns[name]] for name in self._answers]
        places = _places(columns)
        errors = columns.get("error", [None] * len(texts))
        starts = [_start(error if isinstance(error, str) else text) for text, error in zip(texts, errors, strict=True)]
        names = [*self._answers, *(["file"] if places else []), "text"]
        shown = [*cells, places] if places else cells
        widths = [max([width, *map(_width, column)]) for width, column in zip(self._widths, shown, strict=False)]
        self._widths[: len(widths)] = widths
        rows = list(zip(*shown, starts, strict=True))
        lines = [_aligned(row, widths) for row in (rows if self._headed else [names, *rows])]
        self._headed = True
        self._sink.write("".join(lines).encode("utf-8", "replace"))
        return 0

    def close(self) -> None:
        """Do nothing: the last line is the end."""


def plain_values(column: Any) -> list[Any]:
    """Return a column as Python values that `json` and `cell` can write; times become ISO 8601 text of their full precision."""
    if isinstance(column, list):
        return column
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        column = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    elif pa.types.is_date(column.type) or pa.types.is_time(column.type):
        column = column.cast(pa.string())
    return column_values(column)


def cells_of(column: Any) -> list[str]:
    """Return the text of each value of a column, as it stands in csv."""
    values = plain_values(column)
    kinds = set(map(type, values))
    if kinds == {str}:
        return values
    return list(map(str if kinds <= {int, float} else cell, values))


def cell(value: Any) -> str:
    """Return the text of a value in csv: nothing for null, `true` and `false`, JSON for what is nested."""
    if isinstance(value, str):
        return value
    if value is None or value is MISSING:
        return ""
    if isinstance(value, bool | int | float):
        return label_text(value)
    return _json(value) if isinstance(value, list | dict | tuple) else str(_plain(value))


def _plain(value: Any) -> str:
    """Text for what JSON has no type for: bytes in base64, times in ISO 8601, decimal numbers with all their digits."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


_encode: Final = json.JSONEncoder(ensure_ascii=False, default=_plain).encode
_STRING_OR_INFINITY: Final = re.compile(r'"(?:[^"\\]|\\.)*"|Infinity')


def _json(value: Any) -> str:
    """Return a value as JSON, infinity as a number that is too large: JSON has no word for it, and 1e400 is read as one."""
    text = _encode(value)
    if "Infinity" in text:
        text = _STRING_OR_INFINITY.sub(lambda match: "1e999" if match[0] == "Infinity" else match[0], text)
    return text


def _members(name: str, values: list[Any]) -> list[str]:
    """Return `, "name": value` for each value, "" where it is missing; columns of plain values take a short way."""
    start = f", {_json(name)}: "
    kinds = set(map(type, values))
    if kinds == {str}:
        return [start + encode_basestring(value) for value in values]
    if kinds == {int} or (kinds == {float} and all(map(math.isfinite, values))):
        return [start + repr(value) for value in values]
    return ["" if value is MISSING else start + _json(value) for value in values]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "–"
    return f"{value:.3f}" if type(value) is float else _printable(cell(value))


def _places(columns: Columns) -> list[str]:
    """Return the file of each row, with its line where there is one; nothing where the rows have no file."""
    if "file" not in columns:
        return []
    files = map(_printable, cells_of(columns["file"]))
    return [f"{file}:{line}" for file, line in zip(files, columns["line"], strict=True)] if "line" in columns else list(files)


def _start(text: str) -> str:
    """Return the start of a text on one line."""
    line = _printable(" ".join(text[: 4 * _TEXT_WIDTH].split()))
    if _width(line) <= _TEXT_WIDTH:
        return line
    while _width(line) > _TEXT_WIDTH - 1:
        line = line[:-1]
    return line + "…"


def _printable(text: str) -> str:
    """Put U+FFFD for control characters, which could move a terminal's cursor or change its colours."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


def _width(text: str) -> int:
    """Return how many cells of a terminal a text takes: two for each wide East Asian character, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [text + " " * (width - _width(text)) for text, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, cells[-1]]).rstrip() + "\n"
