"""JSON: an object a line, an array of objects, or one object that holds columns, as pandas writes it by default."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final, Literal

from textcls.data.blocks import BLOCK_CHARACTERS, MISSING, Block, Reading, Source, check_columns
from textcls.data.json_values import JsonArray, parse_all, parse_json, repeated_key
from textcls.data.places import CHUNK, TOO_LONG, Opened, as_utf8, read_whole
from textcls.data.text_rows import block_of, decoded_lines, in_words, settle, split_lines, texts_of, too_long
from textcls.errors import DataError

_PEEKED_ROWS: Final = 100
_OF_COLUMNS: Final = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*[\[{]')  # an object whose first value is a list or an object
_MOST_TOGETHER: Final = 1 << 30  # bytes of one object that holds all rows: as values they take four times as much
_RECORDS: Final = 'write one object a row, in pandas to_json(orient="records", lines=True)'


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
    values = parse_all(lines[:_PEEKED_ROWS])
    layout: Literal["lines", "array", "columns"] = "lines"
    if sample.lstrip().startswith("[") and (len(lines) == 1 or not isinstance(values[0], list) or _objects(values[0])):
        layout, values = "array", _first_items(source, sample, reading)
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
    of_columns = bool(rows) and any(isinstance(rows[0].get(name), dict | list) for name in reading.text)
    return source, [f"its first row holds several texts; {_RECORDS}"] if of_columns else []


def _objects(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _is_one_line(source: Source, reading: Reading) -> bool:
    """Whether nothing follows the first line of a file, which is longer than a sample."""
    if source.is_stream:  # what was read of it is gone; a table as one object is a file of its own
        return False
    with source.open() as opened:
        texts = (text.strip() for text, _ in decoded_lines(opened, source, reading))
        return "\n" not in next(texts, "") and not any(texts)


def _first_items(source: Source, sample: str, reading: Reading) -> list[Any]:
    """Return the first items of an array, as far as its start has them."""
    found: list[Any] = []
    try:
        for values, _ in JsonArray(iter([sample]), source.place, reading.longest).items():
            found += values
            if len(found) > _PEEKED_ROWS:
                break
    except DataError:  # it is cut short there
        pass
    return found[:_PEEKED_ROWS]


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
        places = [place for place, line in enumerate(lines) if place in faults or (line and not line.isspace())]
        for start in range(0, len(places), reading.block_rows):
            some = places[start : start + reading.block_rows]
            texts = [lines[place] for place in some]
            wrong = {row: faults[place] for row, place in enumerate(some) if place in faults} if faults else {}
            numbers, count = [done + place + 1 for place in some], 0 if start else len(replaced)
            yield _block(parse_all(texts), texts, numbers, wrong, source, reading, opened.position(), count)
        done += len(lines)


def _item_blocks(opened: Opened, source: Source, reading: Reading) -> Iterator[Block]:
    """Read an array."""
    pieces = codecs.iterdecode(as_utf8(opened.chunks(), source.dialect.encoding), "utf-8", "surrogateescape")
    values: list[Any] = []
    texts: list[str] = []
    done, characters = 0, 0
    for more, written in chain(JsonArray(pieces, source.place, reading.longest).items(), [([], [])]):
        values += more
        texts += written
        characters += len(written[0]) if len(written) == 1 else CHUNK
        if len(values) < reading.block_rows and characters < BLOCK_CHARACTERS and more:
            continue
        for start in range(0, len(values), reading.block_rows):
            some = texts[start : start + reading.block_rows]
            long = {row: too_long(reading) for row, text in enumerate(some) if len(text) > reading.longest}
            faults, replaced = settle(some, source, reading)
            parsed = values[start : start + reading.block_rows]
            for row in {*faults, *replaced}:
                parsed[row] = parse_all([some[row]])[0]
            numbers = range(done + 1, done + len(some) + 1)
            done += len(some)
            yield _block(parsed, some, numbers, faults | long, source, reading, opened.position(), len(replaced))
        values, texts, characters = [], [], 0


def _column_blocks(opened: Opened, source: Source, reading: Reading) -> Iterator[Block]:
    """Read one object that holds all rows."""
    content = read_whole(opened, source.dialect.encoding, _MOST_TOGETHER)
    if content is TOO_LONG:
        raise DataError(f"{source.place}: is one JSON object of more than {_MOST_TOGETHER:,} bytes; {_RECORDS}")
    text = [content.decode("utf-8", "surrogateescape")]
    del content
    faults, replaced = settle(text, source, reading)
    if faults:
        raise DataError(f"{source.place}: {faults[0]}")
    columns = _columns(text[0], source, reading)
    count = len(next(iter(columns.values())))
    for start in range(0, count, reading.block_rows):
        numbers = range(start + 1, min(start + reading.block_rows, count) + 1)
        some = {name: values[start : start + reading.block_rows] for name, values in columns.items()}
        faults = {}
        texts = texts_of(some, reading, len(numbers), faults)
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
        columns = {name: [one[key] for key in inner[0]] for name, one in value.items()}  # each may have an order of its own
    elif any(isinstance(value.get(name), dict | list) for name in reading.text):
        raise DataError(f"{source.place}: is one JSON object whose columns are of different lengths; {_RECORDS}")
    else:  # a single row, over several lines
        columns = {name: [one] for name, one in value.items()}
    check_columns(reading.wanted, replace(source, columns=tuple(columns)), hint=f"; {_RECORDS}")
    return columns


def _block(
    values: list[Any],
    written: Sequence[str],
    numbers: Sequence[int],
    faults: dict[int, str],
    source: Source,
    reading: Reading,
    bytes_read: int,
    replaced: int,
) -> Block:
    """Put a block together from the values of its rows; a fault that is known already stays."""
    if {*map(type, values)} != {dict}:
        for row, value in enumerate(values):
            if fault := _fault(value, reading):
                faults.setdefault(row, fault)
                values[row] = value if isinstance(value, dict) else {}
    raw = {row: written[row] for row in faults if not values[row]}
    keys = dict.fromkeys(chain.from_iterable(values)) if reading.only is None else reading.only
    columns: dict[str, Any] = {key: [value.get(key, MISSING) for value in values] for key in keys}
    texts = texts_of(columns, reading, len(values), faults)
    return block_of(texts, columns, numbers, source, faults, bytes_read, raw=raw, replaced=replaced)


def _fault(value: Any, reading: Reading) -> str | None:
    """Say why a value is no row, None where it is one."""
    if isinstance(value, json.JSONDecodeError):
        return f"not valid JSON: {value.msg} (column {value.colno})"
    if isinstance(value, ValueError):
        return f"JSON that cannot be read: {value}"
    if not isinstance(value, dict):
        return f"not a JSON object but {in_words(value)}"
    twice = repeated_key(value, reading.wanted)
    return None if twice is None else f"the key {twice!r} stands twice in it"
