"""csv and its dialects: fields with commas, tabs, semicolons or bars between them, with quotes or without."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from textcls.data.blocks import BLOCK_CHARACTERS, Block, Dialect, Reading, Source, check_columns, with_columns
from textcls.data.places import Opened
from textcls.data.text_rows import block_of, decoded_lines, settle, texts_of
from textcls.errors import DataError

SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}
_OTHERS: Final = (",", "\t", ";", "|")
_SEP_LINE: Final = re.compile(r'sep=([^"\r\n])\r?(?:\n|$)', re.IGNORECASE)  # which Excel writes and reads
_ALL_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"(?:\t"(?:[^"]|"")*")*\r?\n?')


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
    dialect = replace(source.dialect, delimiter=SEPARATORS[source.kind])
    if (first := _SEP_LINE.match(sample)) and reading.delimiter in {None, first[1]}:
        dialect, sample = replace(dialect, delimiter=first[1], skipped=1), sample[first.end() :]
    elif reading.delimiter is not None:
        dialect = replace(dialect, delimiter=reading.delimiter)
    elif reading.header and (other := _other_delimiter(sample, whole, dialect, reading)):
        dialect = replace(dialect, delimiter=other)
        notes.append(f"its fields are separated by {_shown(other)}")
    if reading.quoting != "auto":
        dialect = replace(dialect, quoted=reading.quoting == "csv")
    elif dialect.delimiter == "\t":
        dialect = replace(dialect, quoted=_is_quoted(sample, whole), guessed=True)
        if not dialect.quoted:
            notes.append("double quotes are characters like others there, as with data.quoting none")
    header = _first_row(source, sample, dialect)
    names = header if reading.header else [str(number) for number in range(len(header))]
    source, repeated = with_columns(replace(source, dialect=dialect), names)
    if header or reading.only:  # an empty file to classify has no rows to lack anything
        check_columns(reading.wanted, source, repeated, _hint(header, reading))
    return source, notes


def csv_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read a file as `look_at_csv` found it, one text a row; every value is the string that stands there.

    Raises:
        DataError: Quotes were found to hold fields together, and a row behind those looked at speaks against it.
    """
    csv.field_size_limit(min(reading.longest, 2**31 - 1))  # of this process: others may read what one looked at
    width = len(source.columns)
    wanted = source.columns if reading.only is None else reading.only
    with source.open() as opened:
        for rows, numbers, faults, raw, clean in _rows(opened, source, reading):
            cells = list(zip(*rows, strict=True)) if rows else [()] * width
            columns = {name: list(cells[place]) for place, name in enumerate(source.columns) if name in wanted}
            replaced: set[int] = set()
            for values in () if clean else columns.values():
                found, others = settle(values, source, reading)
                faults = found | faults
                replaced |= others
            texts = texts_of(columns, reading.text, len(rows), faults)
            yield block_of(texts, columns, numbers, source, faults, opened.position(), raw=raw, replaced=len(replaced))


def _rows(
    opened: Opened, source: Source, reading: Reading
) -> Iterator[tuple[list[list[str]], list[int], dict[int, str], dict[int, str], bool]]:
    """Yield rows of one width, the line on which each starts, faults, what stands there, and whether all could be decoded."""
    lines = _Lines(opened, source, reading)
    records = _records(lines, source.dialect)
    next_line = 1 + source.dialect.skipped
    if reading.header and source.columns:
        next(filter(None, records), None)
        next_line += lines.take()[0]
    while True:
        rows: list[list[str]] = []
        numbers: list[int] = []
        faults: dict[int, str] = {}
        raw: dict[int, str] = {}
        characters, clean, row = 0, True, None
        while len(rows) < reading.block_rows and characters <= BLOCK_CHARACTERS:
            try:
                row, fault = next(records, None), ""
            except csv.Error as error:  # the reader goes on with the next line
                row, fault = [], csv_fault(error)
            if row is None:
                break
            start = next_line
            count, decoded, text = lines.take()
            next_line += count
            clean &= decoded
            if not row and not fault and len(source.columns) > 1:  # a blank line; of one column it is an empty value
                continue
            if source.dialect.guessed and (fault or (count > 1 and _swallowed(row, text))):
                raise _guessed_wrong(source, start, fault or "a field in double quotes holds a tab and a new line")
            fitting = fitted(row, len(source.columns), source.named)
            if fitting is None or fault:
                faults[len(rows)] = fault or _misfit(row, source)
                raw[len(rows)] = text
                fitting = [*row, *[""] * len(source.columns)][: len(source.columns)]
            rows.append(fitting)
            numbers.append(start)
            characters += sum(map(len, fitting))
        if rows:
            yield rows, numbers, faults, raw, clean
        if row is None:
            return


class _Lines:
    """The lines of a file, behind those that stand before its header, and what was taken of them since it was last asked for."""

    def __init__(self, opened: Opened, source: Source, reading: Reading) -> None:
        self._texts = decoded_lines(opened, source, reading)
        self._dialect = source.dialect
        self._taken: list[str] = []
        self._clean = self._own_clean = True

    def __iter__(self) -> Iterator[str]:
        skipped = self._dialect.skipped
        for text, clean in self._texts:
            self._clean = clean
            self._own_clean &= clean
            for line in itertools.islice(_lines_of(text, self._dialect), skipped, None):
                self._taken.append(line)
                yield line
            skipped = 0

    def take(self) -> tuple[int, bool, str]:
        """Return how many lines were taken, whether they could be decoded, and the lines as one text."""
        found = len(self._taken), self._own_clean, self._taken[0] if len(self._taken) == 1 else "".join(self._taken)
        self._taken.clear()
        self._own_clean = self._clean
        return found


def _lines_of(text: str, dialect: Dialect) -> Iterable[str]:
    r"""Return lines as the reader of a dialect wants them: with quotes a lone `\r`, an old Macintosh's line end, ends one too."""
    return io.StringIO(text, newline="" if dialect.quoted else "\n")


def _records(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Yield the fields of each row, [] for a blank line.

    Raises:
        csv.Error: Quotes are wrong; the rows behind can still be read.
    """
    if dialect.quoted:
        return csv.reader(lines, delimiter=dialect.delimiter, strict=True)
    stripped = (line.rstrip("\r\n") for line in lines)
    return (line.split(dialect.delimiter) if line else [] for line in stripped)


def _rows_of(sample: str, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows of a sample that are not blank."""
    return filter(None, _records(_lines_of(sample, dialect), dialect))


def fitted(fields: list[str], width: int, named: int) -> list[str] | None:
    """Return a row with the number of fields that it should have, None where that cannot be.

    Args:
        fields: The row.
        width: How many fields the first row has; more are fine at the end where they are empty.
        named: How many a row must have; those behind are nameless, and may be missing.
    """
    if len(fields) == width:
        return fields
    if len(fields) > width:
        return None if any(fields[width:]) else fields[:width]
    return [*fields, *[""] * (width - len(fields))] if len(fields) >= named else None


def _swallowed(fields: Sequence[str], raw: str) -> bool:
    """Whether a row between tabs looks like several, held together by quotes that were meant as they stand.

    That is a field with a tab and a new line in it, but for a row whose every field is in quotes.
    """
    return any("\t" in field and "\n" in field for field in fields) and not _ALL_QUOTED.fullmatch(raw)


def _is_quoted(sample: str, whole: bool) -> bool:
    """Whether a sample between tabs is csv with quotes: read as such it has no fault, and no quotes hold rows together."""
    if '"' not in sample:
        return True
    taken: list[str] = []
    width = 0
    try:
        for fields in csv.reader(_recorded(io.StringIO(sample, newline=""), taken), delimiter="\t", strict=True):
            width = width or len(fields)
            if fields and (fitted(fields, width, width) is None or _swallowed(fields, "".join(taken))):
                return False
            taken.clear()
    except csv.Error as error:
        if whole or "end of data" not in str(error):
            return False
        *_, last = csv.reader(taken, delimiter="\t")  # it goes on behind the sample
        return not _swallowed(last, "")
    return True


def _recorded(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _other_delimiter(sample: str, whole: bool, usual: Dialect, reading: Reading) -> str | None:
    """Return another separator than the usual one, where the header has one column and that one splits all rows evenly."""
    try:
        header = next(_rows_of(sample, usual), [])
    except csv.Error:
        header = sample.partition("\n")[0].split(usual.delimiter)
    if len(header) != 1 or {*reading.wanted} <= {*header}:
        return None
    widths = {other: _even_width(sample, whole, other) for other in _OTHERS if other in header[0]}
    best = max(widths.values(), default=0)
    found = [other for other, width in widths.items() if width == best > 1]
    return found[0] if len(found) == 1 else None


def _even_width(sample: str, whole: bool, delimiter: str) -> int:
    """Return into how many columns a separator splits every row, 0 where not every row has as many."""
    width = 0
    try:
        for fields in _rows_of(sample, Dialect(delimiter=delimiter, quoted=delimiter != "\t" or _is_quoted(sample, whole))):
            width = width or len(fields)
            if fitted(fields, width, width) is None:
                return 0
    except csv.Error as error:
        return width if "end of data" in str(error) and not whole else 0  # a quoted field may go on behind the sample
    return width


def _first_row(source: Source, sample: str, dialect: Dialect) -> list[str]:
    try:
        return next(_rows_of(sample, dialect), [])
    except csv.Error as error:
        raise DataError(f"{source.place}, row {1 + dialect.skipped}: {csv_fault(error)}") from None


def csv_fault(error: csv.Error) -> str:
    """Say what is wrong with the quotes of a row, and what to do."""
    if "field limit" in str(error):
        return "longer than data.max_row_bytes; perhaps a double quote is opened and never closed"
    fault = "a double quote is opened and never closed" if "end of data" in str(error) else str(error)
    return f"{fault}; inside a quoted field write each double quote twice"


def _misfit(row: Sequence[str], source: Source) -> str:
    quotes = source.dialect.quoted
    hint = (
        "put double quotes around a field that holds the separator or a new line"
        if quotes
        else "its quotes hold nothing together"
    )
    return f"{len(row)} fields where the first row has {len(source.columns)}; {hint}"


def _guessed_wrong(source: Source, row: int, fault: str) -> DataError:
    return DataError(
        f"{source.place}, row {row}: {fault}, which its first rows gave no sign of; set data.quoting (--quoting) to none where "
        "double quotes are characters like others, else to csv"
    )


def _hint(header: Sequence[str], reading: Reading) -> str:
    """Return what the likely fault is where a column is missing."""
    others = [other for other in _OTHERS if any(other in name for name in header)]
    if others and reading.delimiter is None:
        seem = "the fields seem to be" if len(header) == 1 else "if the fields are"
        return f"; {seem} separated by {_shown(others[0])}: set data.delimiter (--delimiter)"
    return "; if the first row is no header, set data.header to false (--no-header)" if reading.header else ""


def _shown(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else repr(delimiter)
