"""JSON: an object a line, an array of objects, or one object that holds columns, as pandas writes it by default."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, Final, Literal, NamedTuple

from textcls.data.blocks import BLOCK_CHARACTERS, MISSING, Block, Reading, Source, check_columns
from textcls.data.places import Opened, as_utf8, read_whole
from textcls.data.text_rows import block_of, decoded_lines, in_words, settle, split_lines, texts_of
from textcls.errors import DataError

_PEEKED_ROWS: Final = 100
_BLANK: Final = re.compile(r"\s*")
_OF_COLUMNS: Final = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*[\[{]')  # an object whose first value is a list or an object
_RECORDS: Final = 'write one object a row, in pandas to_json(orient="records", lines=True)'


class _RepeatedKeys(dict[str, Any]):
    """An object with keys that stand twice in it: the second value of `a` is under `a.2`, as a second column of csv is."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated: set[str] = set()
        for key, value in pairs:
            name, number = key, 2
            while name in self:
                name, number = f"{key}.{number}", number + 1
                self.repeated.add(key)
            self[name] = value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _RepeatedKeys(pairs)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object)


def parse_json(text: str) -> Any:
    """Return a JSON value; see `repeated_key` for objects.

    Raises:
        ValueError: It is none, or cannot be read.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as error:  # brackets thousands deep
        raise ValueError(str(error)) from None


def repeated_key(value: Mapping[Any, Any]) -> str | None:
    """Return a key that stands twice in an object; None where there is none."""
    return min(value.repeated) if isinstance(value, _RepeatedKeys) else None


class _Row(NamedTuple):
    number: int  # the line, or the item of an array
    value: dict[str, Any]
    fault: str | None
    raw: str


def look_at_json(source: Source, sample: str, whole: bool, reading: Reading) -> tuple[Source, list[str]]:
    """Find out the layout of a file from its start, and make sure that it has the columns that are wanted.

    Args:
        source: The file.
        sample: Its first lines.
        whole: Whether they are all.
        reading: The columns that are wanted.

    Returns:
        The source with its layout and the columns of its first rows, and what the user should know of them.

    Raises:
        DataError: It lacks a column, or is one object that is no table.
    """
    lines = [line for line in sample.split("\n") if line.strip()]
    values = _values(lines)
    layout: Literal["lines", "array", "columns"] = "lines"
    if sample.lstrip().startswith("[") and (len(lines) == 1 or not isinstance(values[0], list) or _objects(values[0])):
        layout, values = "array", _values(_Array(source, iter([sample]), reading).items())
    elif _OF_COLUMNS.match(sample) or lines[:1] == ["{"]:
        alone = whole or _is_one_line(source, reading) if len(lines) == 1 else not _objects(values)
        layout = "columns" if alone else "lines"
    source = replace(source, dialect=replace(source.dialect, layout=layout))
    if layout == "columns":
        return replace(source, columns=tuple(_columns(sample, source, reading)) if whole else ()), []
    rows = _objects(values)
    source = replace(source, columns=tuple(dict.fromkeys(chain.from_iterable(rows))))
    if source.columns:  # an empty file has no rows to lack anything; a damaged one says so row by row
        nested = whole and len(lines) == 1 and any(isinstance(value, dict | list) for value in rows[0].values())
        check_columns(reading.wanted, source, hint=f"; {_RECORDS}" if nested else "")
    return source, []


def _objects(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _is_one_line(source: Source, reading: Reading) -> bool:
    """Whether nothing follows the first line of a file, which is longer than a sample."""
    if source.is_stream:  # what was read of it is gone; a table as one object is a file of its own
        return False
    with source.open() as opened:
        texts = (text.strip() for text, _ in decoded_lines(opened, source, reading))
        return "\n" not in next(texts, "") and not any(texts)


def _values(texts: Iterable[str]) -> list[Any]:
    """Parse the first texts, those that are no JSON as null."""
    found = []
    try:
        for text in islice(texts, _PEEKED_ROWS):
            try:
                found.append(parse_json(text))
            except ValueError:
                found.append(None)
    except DataError:  # of an array of which this is not all
        pass
    return found


def json_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read a file as `look_at_json` found it, one text an object; blank lines are no rows.

    Raises:
        DataError: It is an array that is damaged, or one object that is no table.
    """
    read = {"lines": _line_blocks, "array": _item_blocks, "columns": _column_blocks}[source.dialect.layout]
    while True:
        with source.open(follow=reading.follow and not source.is_stream) as opened:
            yield from read(opened, source, reading)
        if not reading.follow or source.is_stream:
            return


def _line_blocks(opened: Opened, source: Source, reading: Reading) -> Iterator[Block]:
    """Read an object a line, as they can be had without waiting."""
    done = 0
    for text, clean in decoded_lines(opened, source, reading):
        lines = split_lines(text)
        faults, replaced = ({}, set[int]()) if clean else settle(lines, source, reading)
        rows = [
            _row(done + place + 1, line, reading, faults.get(place))
            for place, line in enumerate(lines)
            if place in faults or (line and not line.isspace())
        ]
        done += len(lines)
        for start in range(0, len(rows), reading.block_rows):
            some = rows[start : start + reading.block_rows]
            yield _block(some, source, reading, opened.position(), 0 if start else len(replaced))


def _item_blocks(opened: Opened, source: Source, reading: Reading) -> Iterator[Block]:
    """Read an array; memory holds a few of its items."""
    rows: list[_Row] = []
    characters = replaced = 0
    for number, item in enumerate(_Array(source, _decoded(opened, source), reading).items(), start=1):
        texts = [item]
        faults, others = settle(texts, source, reading)
        if len(item) > reading.longest:
            faults[0] = f"longer than data.max_row_bytes, {reading.longest:,}"
        replaced += len(others)
        rows.append(_row(number, texts[0], reading, faults.get(0)))
        characters += len(texts[0])
        if len(rows) == reading.block_rows or characters > BLOCK_CHARACTERS:
            yield _block(rows, source, reading, opened.position(), replaced)
            rows, characters, replaced = [], 0, 0
    if rows:
        yield _block(rows, source, reading, opened.position(), replaced)


class _Array:
    """Takes the items off an array that is read bit by bit."""

    def __init__(self, source: Source, texts: Iterator[str], reading: Reading) -> None:
        self._source, self._texts, self._longest = source, texts, reading.longest
        self._rest, self._start, self._number = "", 0, 0

    def items(self) -> Iterator[str]:
        """Yield each item as it is written.

        Raises:
            DataError: The array is damaged, or an item is so long that its end is not looked for.
        """
        self._take("[")
        while not self._take("]"):
            if self._number and not self._take(","):
                raise self._damaged(
                    "not valid JSON: a comma is missing behind it" if self._next() else "the array is cut short"
                )
            self._number += 1
            yield self._item()
        if self._next():
            raise self._damaged("not valid JSON: the array has ended, but the file goes on")

    def _item(self) -> str:
        while self._next():
            try:
                value, end = _DECODER.raw_decode(self._rest, self._start)
            except json.JSONDecodeError as error:  # or this is not all of it
                if not self._read_on():
                    raise self._damaged(f"not valid JSON: {error.msg}") from None
            except (ValueError, RecursionError) as error:  # a number with thousands of digits, brackets thousands deep
                raise self._damaged(f"JSON that cannot be read: {error}") from None
            else:
                if end < len(self._rest) or not isinstance(value, int | float) or not self._read_on():  # a number may go on
                    text, self._start = self._rest[self._start : end], end
                    return text
        raise self._damaged("the array is cut short")

    def _take(self, character: str) -> bool:
        found = self._next() == character
        self._start += found
        return found

    def _next(self) -> str:
        """Return the next character that is not blank; "" where there is none."""
        while True:
            self._start = _BLANK.match(self._rest, self._start).end()  # type: ignore[union-attr]
            if self._start < len(self._rest) or not self._read_on():
                return self._rest[self._start : self._start + 1]

    def _read_on(self) -> bool:
        """Read more, as much as is waiting or more: so that what is long is not parsed anew for each piece of it."""
        waiting = len(self._rest) - self._start
        if waiting > self._longest:
            raise self._damaged(f"longer than data.max_row_bytes, {self._longest:,}")
        pieces, length = [self._rest[self._start :]], 0
        while length <= waiting and (piece := next(self._texts, None)) is not None:
            pieces.append(piece)
            length += len(piece)
        self._rest, self._start = "".join(pieces), 0
        return length > 0

    def _damaged(self, fault: str) -> DataError:
        return DataError(f"{self._source.place}, row {self._number}: {fault}")


def _decoded(opened: Opened, source: Source) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for chunk in as_utf8(opened.chunks(), source.dialect.encoding):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _column_blocks(opened: Opened, source: Source, reading: Reading) -> Iterator[Block]:
    """Read one object that holds all rows."""
    text = [read_whole(opened, source.dialect.encoding, sys.maxsize).decode("utf-8", "surrogateescape")]
    faults, replaced = settle(text, source, reading)
    if faults:
        raise DataError(f"{source.place}: {faults[0]}")
    columns = _columns(text[0], source, reading)
    count = len(next(iter(columns.values())))
    for start in range(0, count, reading.block_rows):
        numbers = range(start + 1, min(start + reading.block_rows, count) + 1)
        some = {name: values[start : start + reading.block_rows] for name, values in columns.items()}
        faults = {}
        texts = texts_of(some, reading.text, len(numbers), faults)
        some = some if reading.only is None else {name: some[name] for name in reading.only}
        yield block_of(texts, some, numbers, source, faults, opened.position(), replaced=0 if start else len(replaced))


def _columns(text: str, source: Source, reading: Reading) -> dict[str, list[Any]]:
    """Return the columns that an object holds: lists of equal length, or objects with the same keys; or those of a single row.

    Raises:
        DataError: It is no JSON, or no table, or lacks a column.
    """
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{source.place}, row {error.lineno}: not valid JSON: {error.msg}; {_RECORDS}") from None
    except ValueError as error:
        raise DataError(f"{source.place}: JSON that cannot be read: {error}") from None
    if (twice := repeated_key(value)) is not None:
        raise DataError(f"{source.place}: the key {twice!r} stands twice in it; {_RECORDS}")
    inner = list(value.values())
    if all(isinstance(one, list) and len(one) == len(inner[0]) for one in inner):
        columns: dict[str, list[Any]] = value
    elif all(isinstance(one, dict) and one.keys() == inner[0].keys() for one in inner):
        columns = {name: list(one.values()) for name, one in value.items()}
    elif any(isinstance(value.get(name), dict | list) for name in reading.text):
        raise DataError(f"{source.place}: is one JSON object whose columns are of different lengths; {_RECORDS}")
    else:  # a single row, over several lines
        columns = {name: [one] for name, one in value.items()}
    check_columns(reading.wanted, replace(source, columns=tuple(columns)), hint=f"; {_RECORDS}")
    return columns


def _row(number: int, text: str, reading: Reading, fault: str | None = None) -> _Row:
    """Parse a row; a fault that is known already stays."""
    value: Any = None
    try:
        value = parse_json(text.rstrip())
        twice = value.repeated & {*reading.wanted} if isinstance(value, _RepeatedKeys) else None
        if not isinstance(value, dict):
            fault = fault or f"not a JSON object but {in_words(value)}"
        elif twice:
            fault = fault or f"the key {min(twice)!r} stands twice in it"
    except json.JSONDecodeError as error:
        fault = fault or f"not valid JSON: {error.msg} (column {error.colno})"
    except ValueError as error:
        fault = fault or f"JSON that cannot be read: {error}"
    return _Row(number, value if isinstance(value, dict) else {}, fault, text)


def _block(rows: Sequence[_Row], source: Source, reading: Reading, bytes_read: int, replaced: int) -> Block:
    objects = [row.value for row in rows]
    faults = {place: row.fault for place, row in enumerate(rows) if row.fault is not None}
    raw = {place: rows[place].raw for place in faults if not objects[place]}
    keys = dict.fromkeys(chain.from_iterable(objects)) if reading.only is None else reading.only
    columns: dict[str, Any] = {key: [one.get(key, MISSING) for one in objects] for key in keys}
    texts = texts_of(columns, reading.text, len(rows), faults)
    numbers = [row.number for row in rows]
    return block_of(texts, columns, numbers, source, faults, bytes_read, raw=raw, replaced=replaced)
