"""Text files: each line a text, or the whole file. And what all formats share: decoded lines, and a text out of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from textcls.data.blocks import (
    BLOCK_CHARACTERS,
    LONE_SURROGATES,
    MISSING,
    Block,
    Dialect,
    Reading,
    Source,
    column_values,
    without_surrogates,
)
from textcls.data.labels import label_text
from textcls.data.places import TOO_LONG, Opened, as_utf8, encoding_of, read_whole, whole_lines
from textcls.errors import DataError

_TOO_LONG: Final = TOO_LONG.decode("utf-8", "surrogateescape")


def line_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read a file, or standard input, whose every line is a text, without waiting for more lines than there are.

    The columns are `file` and `line`; of standard input `line` alone.
    """
    while True:
        with source.open(follow=reading.follow) as opened:
            number = 1
            for text, clean in decoded_lines(opened, source, reading):
                lines = split_lines(text)
                for start in range(0, len(lines), reading.block_rows):
                    some = lines[start : start + reading.block_rows]
                    numbers = range(number, number + len(some))
                    faults, replaced = ({}, set()) if clean else settle(some, source, reading)
                    columns: dict[str, Any] = {} if source.is_stream else {"file": [source.name] * len(some)}
                    columns["line"] = list(numbers)
                    yield block_of(some, columns, numbers, source, faults, opened.position(), replaced=len(replaced))
                    number += len(some)
        if not reading.follow or source.is_stream:
            return


def file_blocks(sources: Sequence[Source], reading: Reading) -> Iterator[Block]:
    """Read each file as one text; the column `file` holds its name."""
    block, characters, bytes_read = Block([], {"file": []}, []), 0, 0
    for place, source in enumerate(sources, start=1):
        text, fault, replaced = _whole_text(source, reading)
        if fault:
            block.faults[len(block)] = fault
        block.texts.append(text)
        block.columns["file"].append(source.name)
        block.replaced += replaced
        characters += len(text)
        bytes_read += source.size
        if len(block) == reading.block_rows or characters > BLOCK_CHARACTERS or place == len(sources):
            yield replace(block, numbers=[1] * len(block), bytes_read=bytes_read)
            block, characters = Block([], {"file": []}, []), 0


def _whole_text(source: Source, reading: Reading) -> tuple[str, str | None, bool]:
    """Return the text that a file is, or what is wrong with it; and whether bytes of it were replaced."""
    try:
        with source.open() as opened:
            content = read_whole(opened, reading.encoding, reading.longest)
    except DataError as error:
        return "", str(error), False
    try:
        return content.decode(), None, False
    except UnicodeDecodeError:
        source = replace(source, dialect=Dialect(encoding_of(source.start(16)[0], reading.encoding)))
    some = [content.decode("utf-8", "surrogateescape")]
    faults, replaced = settle(some, source, reading)
    return ("", f"{source.place}: {faults[0]}", False) if faults else (some[0], None, bool(replaced))


def decoded_lines(opened: Opened, source: Source, reading: Reading) -> Iterator[tuple[str, bool]]:
    """Yield some whole lines as one text, and whether all of it could be decoded; what could not is lone surrogates."""
    for lines in whole_lines(as_utf8(opened.chunks(), source.dialect.encoding), reading.longest):
        try:
            yield lines.decode(), True
        except UnicodeDecodeError:
            yield lines.decode("utf-8", "surrogateescape"), False


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a text without their ends, `\n` or `\r\n`."""
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def settle(values: list[str], source: Source, reading: Reading) -> tuple[dict[int, str], set[int]]:
    """Put U+FFFD, in place, for the bytes that decoding could only carry along.

    Returns:
        By row, what is wrong where that is an error; and the rows where it is none.
    """
    faults: dict[int, str] = {}
    replaced: set[int] = set()
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        for row, value in enumerate(values):
            if not LONE_SURROGATES.search(value):
                continue
            values[row] = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            if _TOO_LONG in value:
                values[row] = ""
                faults[row] = too_long(reading)
            elif reading.encoding_errors == "strict":
                faults[row] = _not_decoded(value, source.dialect.encoding, reading.encoding)
            else:
                replaced.add(row)
    return faults, replaced


def too_long(reading: Reading) -> str:
    """Say that a row is longer than it may be."""
    return f"longer than data.max_row_bytes, {reading.longest:,}"


def _not_decoded(value: str, encoding: str, asked: str) -> str:
    """Say which byte of a text cannot be decoded, and what to do."""
    place = next((place for place, char in enumerate(value) if "\udc80" <= char <= "\udcff"), 0)
    line = value.count("\n", 0, place) + 1
    where = f"line {line} of it: " if line > 1 else ""
    what = f"byte 0x{ord(value[place]) - 0xDC00:02x} is not" if encoding == "utf-8" else "is not all"
    todo = "; name the file's encoding in data.encoding (--encoding), such as cp1252"
    if encoding != asked:
        todo = ", as its first bytes say; copy or download it again"
    return f"{where}{what} {encoding.upper()}{todo}, or, but for classify, set data.encoding_errors to replace"


def block_of(
    texts: list[str],
    columns: dict[str, Any],
    numbers: Sequence[int],
    source: Source,
    faults: dict[int, str],
    bytes_read: int,
    *,
    raw: dict[int, str] | None = None,
    replaced: int = 0,
) -> Block:
    """Put a block together: texts are free of lone surrogates, and empty where a row has a fault."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        texts = list(map(without_surrogates, texts))
    for row in faults:
        texts[row] = ""
    return Block(texts, columns, numbers, source.name, faults, bytes_read, raw or {}, replaced)


def texts_of(columns: Mapping[str, Any], reading: Reading, count: int, faults: dict[int, str]) -> list[str]:
    """Take the texts out of their columns and note the rows that have none, or one too long; a fault noted before stays."""
    parts: list[list[str]] = []
    for column in reading.text:
        values: list[Any] = column_values(columns[column]) if column in columns else [MISSING] * count
        if set(map(type, values)) - {str}:
            values = [_plain(value) for value in values]
            for row, value in enumerate(values):
                if type(value) is not str:
                    faults.setdefault(row, _why_no_text(column, value))
            values = [value if type(value) is str else "" for value in values]
        parts.append(values)
    texts = list(parts[0]) if len(parts) == 1 else list(map("\n".join, zip(*parts, strict=True)))
    if max(map(len, texts), default=0) > reading.longest:
        for row, text in enumerate(texts):
            if len(text) > reading.longest:
                faults.setdefault(row, too_long(reading))
    return texts


def _plain(value: Any) -> Any:
    """Return a number, or bytes that are UTF-8, as text; NaN, which pandas writes for a missing text, as null."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, bool | int | float):
        return label_text(value) if value == value else None
    return value


def _why_no_text(column: str, value: Any) -> str:
    if value is MISSING:
        return f"there is no {column!r}"
    if isinstance(value, bytes):
        return f"{column!r} holds bytes that are not UTF-8 text"
    return f"{column!r} is null" if value is None else f"{column!r} is not text but {in_words(value)}"


def in_words(value: Any) -> str:
    """Name the type of a JSON value."""
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "a text"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")
