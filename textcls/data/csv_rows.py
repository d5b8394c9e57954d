"""csv and its dialects: fields with commas, tabs, semicolons or bars between them, with quotes or without."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final, NamedTuple

from textcls.data.blocks import BLOCK_CHARACTERS, Block, Dialect, Reading, Source, check_columns, filled, with_columns
from textcls.data.text_rows import block_of, decoded_lines, settle, texts_of
from textcls.errors import DataError

SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}
_OTHERS: Final = (",", "\t", ";", "|")
_NOT_FOUND: Final = (*_OTHERS, "^", "~", "\x01")  # the last ones must be given
_SEP_LINE: Final = re.compile(r'"?(sep=([^"\r\n]|[^"\w\r\n]+))"?(?:\r\n?|\n|$)', re.IGNORECASE)  # which Excel writes and reads
_ROW_NAMES: Final = "if R wrote names of rows, write row.names = FALSE there, or name the first column"
_TWICE: Final = "inside a quoted field write each double quote twice"
_ESCAPED: Final = f'{_TWICE}, not as \\"'
_GOES_ON: Final = "is longer than what is read of a file to find its columns; is a double quote never closed?"
_ALL_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"(?:\t"(?:[^"]|"")*")*\r?\n?')
_BACKSLASHES: Final = re.compile(r'(?:^|[^\w ]) *"[^"]*\\"')  # in a quoted field
_ALL_QUOTED_SO_FAR: Final = re.compile(r'(?:"(?:[^"]|"")*"\t)*"(?:[^"]|"")*')


def look_at_csv(source: Source, sample: str, whole: bool, reading: Reading) -> tuple[Source, list[str]]:
    """Find out how a file is written from its start, and make sure that it has the columns that are wanted.

    Args:
        source: The file.
        sample: Its first lines.
        whole: Whether they are all.
        reading: What is known, and the columns that are wanted.

    Returns:
        The source with its dialect and columns, and what the user should know of them.

    Raises:
        DataError: Its first row is no csv, or it lacks a column.
    """
    csv.field_size_limit(min(reading.longest, 2**31 - 1))  # the default of 128 KiB is less than a long article
    notes = []
    first = _SEP_LINE.match(sample)
    sample = sample[first.end() :] if first else sample
    given = reading.delimiter or (first[2] if first else None)
    if first and not reading.delimiter and len(first[2]) > 1:
        raise DataError(f"{source.place}, row 1: {first[1]!r} must name one character")
    usual = replace(source.dialect, delimiter=given or SEPARATORS[source.kind], quoted=reading.quoting != "none")
    dialect, shape = _quoting_found(sample, whole, usual, reading)
    if not given and (other := _other_delimiter(sample, whole, dialect, shape.header, reading)):
        shown = _shown(other[0].delimiter)
        if reading.header:
            dialect, shape = other
            notes.append(f"its fields are separated by {shown}")
        else:
            notes.append(f"each row is one field, but {shown} would split all evenly: set data.delimiter (--delimiter)")
    if dialect.guessed and not dialect.quoted:
        notes.append(
            "double quotes are characters like others there, as with data.quoting none; "
            "if they hold fields together, set it (--quoting) to csv"
        )
    if dialect.guessed and dialect.quoted and shape.joined and len(shape.header) == 1:
        notes.append("double quotes hold several lines together; if each is a row, set data.quoting (--quoting) to none")
    if dialect.quoted and re.search(
        rf'{re.escape(dialect.delimiter)} +"[^"\n]*"(?=[{re.escape(dialect.delimiter)}\r\n]|$)', sample
    ):
        spaced = replace(dialect, spaced=True)
        if (skipping := _shape(sample, whole, spaced)).even:
            dialect, shape = spaced, skipping
            notes.append("blanks behind its separators are skipped, for double quotes stand behind them")
    skipped = 1 if first else 0
    if shape.fault:
        raise DataError(f"{source.place}, row {shape.start + skipped}: {shape.fault}{_header_hint(shape, reading)}")
    source = replace(source, dialect=replace(dialect, skipped=skipped, padded=shape.padded))
    names = shape.header if reading.header else [str(number) for number in range(len(shape.header))]
    source, repeated = with_columns(source, names)
    if names:  # an empty file has no rows to lack anything
        hint = "; if the first row is no header, set data.header to false (--no-header)" if reading.header else ""
        check_columns(reading.wanted, source, repeated, _header_hint(shape, reading) or hint)
    return source, notes


def csv_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read a file as `look_at_csv` found it, one text a row; every value is the string that stands there.

    Raises:
        DataError: Quotes were found to hold fields together, and a row behind those looked at speaks against it.
    """
    csv.field_size_limit(min(reading.longest, 2**31 - 1))  # of this process: others may read what one looked at
    wanted = source.columns if reading.only is None else reading.only
    with source.open() as opened:
        rows = _Rows(decoded_lines(opened, source, reading), source.dialect)
        above = (fields for _, fields, _ in rows if fields)
        for _ in range(source.dialect.skipped + (reading.header and bool(source.columns))):
            next(above, None)
        while some := _next_rows(rows, source, reading):
            cells = zip(source.columns, zip(*some.fields, strict=True), strict=True)
            columns = {name: list(values) for name, values in cells if name in wanted}
            replaced: set[int] = set()
            for values in () if rows.clean else (some.raw, *columns.values()):
                faults, others = settle(values, source, reading)
                some.faults.update(faults)
                replaced |= others
            texts = texts_of(columns, reading, len(some.fields), some.faults)
            raw, at = {row: line for row, line in enumerate(some.raw) if line}, opened.position()
            yield block_of(texts, columns, some.numbers, source, some.faults, at, raw=raw, replaced=len(replaced))


class _Rows:
    """The rows of a text that comes in pieces: the line on which each starts, its fields, and what is wrong with its quotes, if so.

    A blank line is a row without fields.

    Attributes:
        start: The line on which the row that came last starts, from 1.
        end: The line on which it ends.
        clean: Whether all lines so far could be decoded.
        characters: How many there are in the pieces so far.
    """

    def __init__(self, pieces: Iterable[tuple[str, bool]], dialect: Dialect) -> None:
        self._pieces, self._dialect = pieces, dialect
        self._lines: list[str] = []  # those of the last piece
        self._before = 0  # how many stand before them
        self._begun: list[str] = []  # of the row that was being read when it came: not as lines, which may be millions
        self.start = self.end = self.characters = 0
        self.clean = True
        self._rows = self._read()

    def __iter__(self) -> Iterator[tuple[int, list[str], csv.Error | None]]:
        return self._rows

    def _read(self) -> Iterator[tuple[int, list[str], csv.Error | None]]:
        lines, delimiter = chain.from_iterable(self._line_lists()), self._dialect.delimiter
        spaced, quoted = self._dialect.spaced, self._dialect.quoted
        reader: Any = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True) if quoted else None
        rows = reader or (line.split(delimiter) if line else [] for line in (line.rstrip("\r\n") for line in lines))
        while True:
            self.start = start = self.end + 1
            error = None
            try:
                fields = next(rows)
            except StopIteration:
                return
            except csv.Error as wrong:  # the reader goes on with the next line
                fields, error = [], wrong
            self.end = reader.line_num if reader else start
            yield start, fields, error

    def _line_lists(self) -> Iterator[list[str]]:
        r"""Yield the lines of each piece; a lone `\r`, an old Macintosh's line end, ends one too."""
        for text, clean in self._pieces:
            over = self.end - self._before  # lines of the last piece that are of rows that have ended
            self._begun = [*(self._begun if over <= 0 else []), "".join(self._lines[max(0, over) :])]
            self._before += len(self._lines)
            self._lines = found = list(io.StringIO(text, newline=""))
            self.clean &= clean
            self.characters += len(text)
            yield found

    def raw(self) -> str:
        """Return the lines of the row that came last."""
        begun = self._begun if self.start <= self._before else []
        return "".join([*begun, *self._lines[max(0, self.start - 1 - self._before) : self.end - self._before]])

    def would_wait(self) -> bool:
        """Whether more must come before there is another row."""
        return self.end - self._before == len(self._lines)


class _Some(NamedTuple):
    """Some rows: their fields, the line on which each starts, what stands there where it is no row, and what is wrong by row."""

    fields: list[list[str]]
    numbers: list[int]
    raw: list[str]
    faults: dict[int, str]


def _next_rows(rows: _Rows, source: Source, reading: Reading) -> _Some | None:
    """Take the rows of a block, None where there are no more."""
    width, guessed, answered_at_once = len(source.columns), source.dialect.guessed, source.is_stream
    some = _Some([], [], [], {})
    enough = rows.characters + BLOCK_CHARACTERS
    for number, fields, error in rows:
        raw = ""
        if error or len(fields) != width or not fields or (guessed and rows.end > number):
            if not fields and not error and width != 1:  # a blank line; of one column it is an empty value
                continue
            if guessed:
                _check_guess(rows, fields, error, source)
            fitting = None if error else _fitted(fields, source)
            if fitting is None:
                raw = rows.raw().rstrip("\r\n")
                some.faults[len(some.fields)] = _fault(error, raw) if error else _misfit(fields, raw, source)
            fields = fitting or [*fields, *[""] * width][:width]
        some.fields.append(fields)
        some.numbers.append(number)
        some.raw.append(raw)
        if len(some.numbers) == reading.block_rows or rows.characters > enough or (answered_at_once and rows.would_wait()):
            break
    return some if some.fields else None


def _fitted(fields: list[str], source: Source) -> list[str] | None:
    """Return a row with the number of fields that it should have, None where that cannot be."""
    width = len(source.columns)
    if len(fields) > width:
        return fields[:width] if source.dialect.padded and not any(fields[width:]) else None
    return [*fields, *[""] * (width - len(fields))] if len(fields) >= source.named or width == 1 else None


def _check_guess(rows: _Rows, fields: Sequence[str], error: csv.Error | None, source: Source) -> None:
    """Make sure that a row does not speak against it that quotes hold fields together, which was found out.

    Raises:
        DataError: It does.
    """
    if error or (rows.end > rows.start and _swallowed(fields, len(source.columns), rows.raw())):
        fault = _fault(error, rows.raw()) if error else "double quotes seem to hold several rows together"
        raise DataError(
            f"{source.place}, row {rows.start}: {fault}, which its first rows gave no sign of; set data.quoting (--quoting) "
            "to none where double quotes are characters like others, else to csv"
        )


def _swallowed(fields: Sequence[str], width: int, raw: str, *, cut: bool = False) -> bool:
    """Whether some lines between tabs that quotes hold together as one row look like several rows.

    That is one with another number of fields, or a field with a tab and a new line in it, but where every field is in quotes.
    """
    several = any("\t" in field and "\n" in field for field in fields)
    if cut:
        lines = raw.split("\n")[1:-1]
        alike = sum(line.count("\t") == width - 1 for line in lines) > len(lines) / 2  # each as a row would be
        return several and (alike or not _ALL_QUOTED_SO_FAR.fullmatch(raw))
    return len(fields) != width or (several and not _ALL_QUOTED.fullmatch(raw))


class _Shape(NamedTuple):
    """What the start of a file looks like in a dialect.

    Attributes:
        header: The fields of the first row.
        start: The line on which it starts.
        fault: What is wrong with it, if anything.
        even: Whether no row has a fault, all have as many fields, and no quotes between tabs hold several rows together.
        padded: Whether rows go on behind the last field of the first one, and none ends there.
        lengths: How many fields the other rows have.
        joined: Whether quotes hold lines together.
    """

    header: list[str]
    start: int
    fault: str
    even: bool
    padded: bool
    lengths: set[int]
    joined: bool


def _shape(sample: str, whole: bool, dialect: Dialect) -> _Shape:
    """Look at the start of a file in a dialect."""
    rows = _Rows([(sample, True)], dialect)
    header, begin, fault, even, lengths, joined = list[str](), 1, "", True, set[int](), False
    for start, fields, error in rows:
        cut = not whole and rows.would_wait() and (_is_unfinished(error) if error else not sample.endswith("\n"))
        if error and cut:  # the row as far as it can be seen
            *_, fields = csv.reader(io.StringIO(rows.raw(), newline=""), delimiter=dialect.delimiter)
        if not header:
            header, begin = fields or ([rows.raw()] if error else []), start
            fault = _GOES_ON if cut else _fault(error, rows.raw()) if error else ""
        elif fields and not cut:
            lengths.add(len(fields))
        several = dialect.delimiter == "\t" and rows.end > start and _swallowed(fields, len(header), rows.raw(), cut=cut)
        joined |= rows.end > start
        even = even and not several and (cut or not error) and not any(fields[len(header) :])
    # Of a single column it is rather the end of a text that nobody put in quotes.
    padded = bool(lengths) and max(lengths) > len(header) > 1 and len(header) not in lengths
    fits = all(filled(header) <= length <= len(header) or padded for length in lengths)
    return _Shape(header, begin, fault, even and fits, padded, lengths, joined)


def _quoting_found(sample: str, whole: bool, dialect: Dialect, reading: Reading) -> tuple[Dialect, _Shape]:
    """Find out whether quotes between tabs hold fields together: not where there is a fault, or rows seem to be held together."""
    shape = _shape(sample, whole, dialect)
    if dialect.delimiter == "\t" and reading.quoting == "auto":
        dialect = replace(dialect, guessed=True, quoted=shape.even or '"' not in sample)
    return dialect, shape if dialect.quoted else _shape(sample, whole, dialect)


def _other_delimiter(
    sample: str, whole: bool, usual: Dialect, header: Sequence[str], reading: Reading
) -> tuple[Dialect, _Shape] | None:
    """Find another separator than the usual one, where the first row has one field and that one splits all rows evenly."""
    if len(header) != 1 or (reading.header and {*reading.wanted} <= {*header}):
        return None
    others = [other for other in _OTHERS if other != usual.delimiter and other in header[0]]
    dialects = [replace(usual, delimiter=other, guessed=False, quoted=reading.quoting != "none") for other in others]
    even = [found for dialect in dialects if (found := _quoting_found(sample, whole, dialect, reading))[1].even]
    most = max((len(shape.header) for _, shape in even), default=0)
    best = [(dialect, shape) for dialect, shape in even if len(shape.header) == most > 1]
    return best[0] if len(best) == 1 else None


def _is_unfinished(error: csv.Error) -> bool:
    return "end of data" in str(error)


def _fault(error: csv.Error, raw: str) -> str:
    """Say what is wrong with the quotes of a row, and what to do."""
    if "field limit" in str(error):
        return "longer than data.max_row_bytes; perhaps a double quote is opened and never closed"
    fault = "a double quote is opened and never closed" if _is_unfinished(error) else str(error)
    return f"{fault}; {_ESCAPED if _BACKSLASHES.search(raw) else _TWICE}"


def _misfit(row: Sequence[str], raw: str, source: Source) -> str:
    width, hint = len(source.columns), "put double quotes around a field that holds the separator or a new line"
    if not source.dialect.quoted:
        hint = "its quotes hold nothing together"
    elif _BACKSLASHES.search(raw):
        hint = _ESCAPED
    elif re.search(f"(?:^|{re.escape(source.dialect.delimiter)})'", raw):
        hint = "single quotes hold nothing together, double quotes do"
    elif source.dialect.padded and len(row) == width + 1:
        hint = f"{_ROW_NAMES}; else {hint}"
    return f"{len(row)} field{'s' * (len(row) != 1)} where the first row has {width}; {hint}"


def _header_hint(shape: _Shape, reading: Reading) -> str:
    """Return why the first row may not be the names of the columns, as far as that can be seen."""
    header, (most, *more) = shape.header, sorted(shape.lengths) or [0]
    others = [other for other in _NOT_FOUND if reading.delimiter is None and any(other in name for name in header)]
    if len(header) == 1 < most and not more and (header[0].startswith("#") or not others):
        return f"; the first row has one field and those below it have {most}: take it out if it is a comment or a title"
    if others:
        seem = "the fields seem to be" if len(header) == 1 else "if the fields are"
        return f"; {seem} separated by {_shown(others[0])}: set data.delimiter (--delimiter)"
    return f"; {_ROW_NAMES}" if shape.padded and not shape.even else ""


def _shown(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else repr(delimiter)
