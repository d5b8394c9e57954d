"""JSON: an object a line, an array of objects, or one object that holds columns, as pandas writes it by default."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
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
        DataError: It lacks a column.
    """
    start = sample.lstrip()
    layout: Literal["lines", "array", "columns"]
    if start.startswith("["):
        layout, first = "array", _first_items(start)
    else:
        lines = [line for line in start.split("\n", _PEEKED_ROWS)[:_PEEKED_ROWS] if line.strip()]
        first = [row.value for row in (_row(0, line, reading) for line in lines) if row.fault is None]
        alone = (whole and len(lines) == 1) or not first
        layout = "columns" if alone and (_OF_COLUMNS.match(start) or lines[:1] == ["{"]) else "lines"
    source = replace(source, columns=tuple(dict.fromkeys(chain.from_iterable(first))))
    if source.columns and layout != "columns":  # an empty file has no rows to lack anything; a damaged one says so row by row
        check_columns(reading.wanted, source)
    return replace(source, dialect=replace(source.dialect, layout=layout)), []


def json_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read a file as `look_at_json` found it, one text an object; blank lines are no rows.

    Raises:
        DataError: It is an array that is damaged, or one object that is no table.
    """
    while True:
        with source.open(follow=reading.follow and not source.is_stream) as opened:
            if source.dialect.layout == "columns":
                yield from _column_blocks(opened, source, reading)
            else:
                find = _item_rows if source.dialect.layout == "array" else _line_rows
                for rows, replaced in find(opened, source, reading):
                    yield _block(rows, source, reading, opened.position(), replaced)
        if not reading.follow or source.is_stream:
            return


def _line_rows(opened: Opened, source: Source, reading: Reading) -> Iterator[tuple[list[_Row], int]]:
    """Yield rows of an object a line, as they can be had without waiting, and how many of them had bytes replaced."""
    done = 0
    for text, clean in decoded_lines(opened, source, reading):
        lines = split_lines(text)
        faults, replaced = ({}, set()) if clean else settle(lines, source, reading)
        rows = [
            _row(number, line, reading, faults.get(number - done - 1))
            for number, line in enumerate(lines, start=done + 1)
            if (line and not line.isspace()) or number - done - 1 in faults
        ]
        done += len(lines)
        for start in range(0, len(rows), reading.block_rows):
            yield rows[start : start + reading.block_rows], len(replaced) if not start else 0


def _item_rows(opened: Opened, source: Source, reading: Reading) -> Iterator[tuple[list[_Row], int]]:
    """Yield rows of an array."""
    rows: list[_Row] = []
    characters = replaced = 0
    for number, item in enumerate(_items(opened, source, reading), start=1):
        text = [item]
        faults, others = settle(text, source, reading)
        replaced += len(others)
        rows.append(_row(number, text[0], reading, faults.get(0)))
        characters += len(item)
        if len(rows) == reading.block_rows or characters > BLOCK_CHARACTERS:
            yield rows, replaced
            rows, characters, replaced = [], 0, 0
    if rows:
        yield rows, replaced


def _items(opened: Opened, source: Source, reading: Reading) -> Iterator[str]:
    """Yield the JSON of each item of an array; memory holds a few of them."""
    texts = _decoded(as_utf8(opened.chunks(), source.dialect.encoding))
    rest, place, number = next(texts, "").lstrip().removeprefix("["), 0, 0
    while True:
        place = _end_of_blank(rest, place)
        if number and rest[place : place + 1] == ",":
            place = _end_of_blank(rest, place + 1)
        elif rest[place : place + 1] == "]" or (number and place < len(rest)):
            break
        fault = "the array is cut short"
        if place < len(rest):
            try:
                _, end = _DECODER.raw_decode(rest, place)
                yield rest[place:end]
                place, number = end, number + 1
                continue
            except json.JSONDecodeError as error:  # or what is there of the item is not all of it
                fault = f"not valid JSON: {error.msg}"
            except (ValueError, RecursionError) as error:  # a number with thousands of digits, brackets thousands deep
                raise DataError(f"{source.place}, row {number + 1}: JSON that cannot be read: {error}") from None
        if len(rest) - place > reading.longest:
            raise DataError(f"{source.place}, row {number + 1}: longer than data.max_row_bytes, {reading.longest:,}")
        more = _at_least(texts, len(rest) - place)
        if not more:
            raise DataError(f"{source.place}, row {number + 1}: {fault}")
        rest, place = rest[place:] + more, 0
    if rest[place] != "]" or _end_of_blank(rest, place + 1) < len(rest) or any(map(str.strip, texts)):
        raise DataError(f"{source.place}, behind row {number}: not valid JSON: the array goes on without a comma, or has ended")


def _decoded(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _at_least(texts: Iterator[str], length: int) -> str:
    """Return more text, as much as is waiting or more: so that what is long is not parsed anew for each piece."""
    pieces = [next(texts, "")]
    have = len(pieces[0])
    while have < length and (piece := next(texts, "")):
        pieces.append(piece)
        have += len(piece)
    return "".join(pieces)


def _end_of_blank(text: str, start: int) -> int:
    match = _BLANK.match(text, start)
    return match.end() if match else start


def _first_items(start: str) -> list[dict[str, Any]]:
    """Return the first objects of an array, as far as they stand in its start."""
    found, place = [], 1
    for _ in range(_PEEKED_ROWS):
        place = _end_of_blank(start, place)
        try:
            item, place = _DECODER.raw_decode(start, place)
        except (ValueError, RecursionError):
            break
        found += [item] if isinstance(item, dict) else []
        place = _end_of_blank(start, place) + 1
    return found


def _column_blocks(opened: Opened, source: Source, reading: Reading) -> Iterator[Block]:
    """Read one object that holds all rows."""
    text = [read_whole(opened, source.dialect.encoding, sys.maxsize).decode("utf-8", "surrogateescape")]
    faults, replaced = settle(text, source, reading)
    if faults:
        raise DataError(f"{source.place}: {faults[0]}")
    try:
        value = _DECODER.decode(text[0])
    except json.JSONDecodeError as error:
        raise DataError(f"{source.place}, row {error.lineno}: not valid JSON: {error.msg}; {_RECORDS}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source.place}: JSON that cannot be read: {error}") from None
    columns = _table(value, source, reading)
    count = len(next(iter(columns.values())))
    for start in range(0, count, reading.block_rows):
        numbers = range(start + 1, min(count, start + reading.block_rows) + 1)
        some = {name: values[start : start + reading.block_rows] for name, values in columns.items()}
        faults = {}
        texts = texts_of(some, reading.text, len(numbers), faults)
        yield block_of(texts, some, numbers, source, faults, opened.position(), replaced=len(replaced) * (not start))


def _table(value: Any, source: Source, reading: Reading) -> dict[str, list[Any]]:
    """Return the columns that an object holds: lists of equal length, or objects with the same keys."""
    if not isinstance(value, dict) or not value or isinstance(value, _RepeatedKeys):
        raise DataError(f"{source.place}: is {in_words(value)}, and no table; {_RECORDS}")
    inner = list(value.values())
    if all(isinstance(one, list) and len(one) == len(inner[0]) for one in inner):
        columns = value
    elif all(isinstance(one, dict) and one.keys() == inner[0].keys() for one in inner):
        columns = {name: list(one.values()) for name, one in value.items()}
    elif any(isinstance(value.get(name), dict | list) for name in reading.text):
        raise DataError(f"{source.place}: is one JSON object whose columns are of different lengths; {_RECORDS}")
    else:  # a single row, over several lines
        columns = {name: [one] for name, one in value.items()}
    check_columns(reading.wanted, replace(source, columns=tuple(columns)), hint=f"; {_RECORDS}")
    return columns if reading.only is None else {name: columns[name] for name in reading.only}


def _row(number: int, line: str, reading: Reading, fault: str | None = None) -> _Row:
    """Parse a row; a fault that is known already stays."""
    value: Any = {}
    try:
        value = _DECODER.decode(line.rstrip())
        if not isinstance(value, dict):
            wrong: str | None = f"not a JSON object but {in_words(value)}"
        else:
            twice = value.repeated & {*reading.wanted} if isinstance(value, _RepeatedKeys) else ()
            wrong = f"the key {min(twice)!r} stands twice in it" if twice else None
    except json.JSONDecodeError as error:
        wrong = f"not valid JSON: {error.msg} (column {error.colno})"
    except (ValueError, RecursionError) as error:
        wrong = f"JSON that cannot be read: {error}"
    return _Row(number, value if isinstance(value, dict) else {}, fault or wrong, line)


def _block(rows: Sequence[_Row], source: Source, reading: Reading, bytes_read: int, replaced: int) -> Block:
    objects = [row.value for row in rows]
    faults = {place: row.fault for place, row in enumerate(rows) if row.fault is not None}
    raw = {place: rows[place].raw for place in faults if not objects[place]}
    keys = dict.fromkeys(chain.from_iterable(objects)) if reading.only is None else reading.only
    columns: dict[str, Any] = {key: [one.get(key, MISSING) for one in objects] for key in keys}
    texts = texts_of(columns, reading.text, len(rows), faults)
    numbers = [row.number for row in rows]
    return block_of(texts, columns, numbers, source, faults, bytes_read, raw=raw, replaced=replaced)
