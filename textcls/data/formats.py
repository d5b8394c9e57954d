"""The table formats, each as a stream of `(row number, record)`: csv, tsv, jsonl, json and Parquet; and fastText's lines.

A record maps column names to values: texts alone in csv and tsv, JSON's or Parquet's own types in the others.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textcls.data.files import COMPRESSIONS, Decoder, ending, iter_lines
from textcls.errors import DataError

TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
FASTTEXT_PREFIX = "__label__"
_BATCH_ROWS = 8192
_BUFFER = 1 << 20  # bytes of a Parquet column read at once
_SHOWN_COLUMNS, _SHOWN_CHARACTERS = 20, 40  # in messages: a file without a header has an article for a name
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Record = dict[str, object]


def iter_records(
    path: str | Path, decoder: Decoder, *, header: bool = True, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, Record]]:
    """Stream the rows of a table file, its format taken from its ending; text formats may be compressed.

    Args:
        path: A file whose ending is one of `TABLE_ENDINGS`, with `.gz`, `.bz2` or `.zst` after it for text formats.
        decoder: How to decode text; it counts what it replaced.
        header: Whether csv and tsv start with a line of names; without one the columns are named `0`, `1`, ….
        columns: Columns that every record must have, the only ones read from Parquet; every column where not given.

    Yields:
        The row number (the line on which the row starts; the item of a JSON array; the row in Parquet; all from 1) and the
        record.

    Raises:
        DataError: The file cannot be read, is not what its ending says, lacks a column or has a malformed row.
    """
    kind = ending(path)
    if kind in {".csv", ".tsv"}:
        return _iter_csv(path, decoder, header, columns or ())
    if kind in {".jsonl", ".json"}:
        return _iter_json(path, decoder, columns or (), arrays=kind == ".json")
    if kind == ".parquet" and Path(path).suffix.lower() not in COMPRESSIONS:
        return _iter_parquet(path, decoder, columns)
    raise DataError(
        f"{path}: a file that ends in {''.join(Path(path).suffixes[-2:]) or 'nothing'} cannot be read as a table; "
        f"these can: {', '.join(TABLE_ENDINGS)}, text formats also {', '.join(COMPRESSIONS)}"
    )


def check_columns(wanted: Iterable[str], there: Collection[str], place: str, hint: str = "") -> None:
    """Make sure that columns exist.

    Raises:
        DataError: One is missing; the message names those there are and the nearest, then gives the hint.
    """
    for column in wanted:
        if column not in there:
            close = difflib.get_close_matches(column, there, 1, cutoff=0.5)
            nearest = f" (did you mean {close[0]!r}?)" if close else ""
            names = [repr(name[:_SHOWN_CHARACTERS] + "…" if len(name) > _SHOWN_CHARACTERS else name) for name in there]
            more = [f"and {len(names) - _SHOWN_COLUMNS} more"] if len(names) > _SHOWN_COLUMNS else []
            shown = ", ".join(names[:_SHOWN_COLUMNS] + more) or "none"
            raise DataError(f"{place}: there is no column {column!r}{nearest}; the columns are: {shown}{hint}")


def is_fasttext(path: str | Path) -> bool:
    """Tell whether a text file's first line that is not blank starts with `__label__`."""
    first = next((line for _, line in iter_lines(path, Decoder(errors="replace")) if line.strip()), "")
    return first.startswith(FASTTEXT_PREFIX)


def iter_fasttext(path: str | Path, decoder: Decoder) -> Iterator[tuple[int, list[str], str]]:
    """Stream fastText's lines, `__label__a __label__b the text`: line number, labels, text. Blank lines are skipped.

    Raises:
        DataError: The file cannot be read, or a label stands behind the start of the text.
    """
    for row, line in iter_lines(path, decoder):
        labels, text = [], line.strip()
        if not text:
            continue
        while text.startswith(FASTTEXT_PREFIX):
            label, *rest = text.split(maxsplit=1)
            labels.append(label.removeprefix(FASTTEXT_PREFIX))
            text = rest[0] if rest else ""
        if f" {FASTTEXT_PREFIX}" in text:
            raise DataError(f"{path}, row {row}: {FASTTEXT_PREFIX} inside the text; labels stand at the start of the line")
        yield row, labels, text


def _iter_csv(path: str | Path, decoder: Decoder, header: bool, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than a long article; the limit is the process's
    reader = csv.reader(_csv_lines(path, decoder), delimiter="\t" if ending(path) == ".tsv" else ",", strict=True)
    names: list[str] = []
    row = 1
    try:
        for fields in reader:
            start, row = row, reader.line_num + 1
            if not fields:  # a blank line
                continue
            if not names:
                names = fields if header else [str(number) for number in range(len(fields))]
                _refuse_duplicates(names, str(path))
                check_columns(columns, names, str(path), _csv_hint(names, header))
                if header:
                    continue
            if len(fields) != len(names):
                raise DataError(
                    f"{path}, row {start}: {len(fields)} fields where the first row has {len(names)}; "
                    "put double quotes around a field that holds the separator or a new line"
                )
            yield start, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        fault = "a double quote is opened and never closed" if "end of data" in str(error) else str(error)
        raise DataError(f"{path}, row {row}: {fault}; inside a quoted field write each double quote twice") from None


def _csv_hint(names: Sequence[str], header: bool) -> str:
    """Return what the likely fault is where a column is missing."""
    if len(names) == 1 and (other := re.search(r"[;\t|,]", names[0])):
        return f"; the fields seem to be separated by {other[0]!r}: a .csv file takes commas, a .tsv file tabs"
    return "; if the first row is no header, set data.header to false" if header else ""


def _csv_lines(path: str | Path, decoder: Decoder) -> Iterator[str]:
    r"""Yield lines as the csv module wants them: it takes a lone `\r`, an old Macintosh's line end, only at a line's end."""
    for _, line in iter_lines(path, decoder):
        if line.find("\r", 0, -2) < 0:
            yield line
        else:
            yield from io.StringIO(line, newline="")


def _iter_json(path: str | Path, decoder: Decoder, columns: Sequence[str], arrays: bool) -> Iterator[tuple[int, Record]]:
    lines = iter_lines(path, decoder)
    for row, line in lines:
        if not line.strip():
            continue
        if arrays and line.lstrip().startswith("["):
            items = _parse_json(line + "".join(rest for _, rest in lines), path, row)
            for number, item in enumerate(items, start=1):
                yield number, _record(item, columns, f"{path}, row {number}")
            return
        yield row, _record(_parse_json(line.rstrip(), path, row), columns, f"{path}, row {row}")


def _parse_json(text: str, path: str | Path, row: int) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, row {row + error.lineno - 1}: not valid JSON: {error.msg} (column {error.colno})") from None
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, brackets thousands deep
        raise DataError(f"{path}, row {row}: JSON that cannot be read: {error}") from None
    return _without_surrogates(value) if "\\u" in text else value


def _record(value: Any, columns: Sequence[str], place: str) -> Record:
    if not isinstance(value, dict):
        raise DataError(
            f'{place}: expected a JSON object such as {{"text": "…", "label": "…"}}, found a {type(value).__name__}'
        )
    check_columns(columns, value, place)
    return value


def _without_surrogates(value: Any) -> Any:
    r"""Put U+FFFD for lone surrogates, which JSON can write (`\ud800`) and UTF-8 cannot."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)  # pairs were joined in parsing
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _iter_parquet(path: str | Path, decoder: Decoder, columns: Sequence[str] | None) -> Iterator[tuple[int, Record]]:
    import pyarrow as pa
    from pyarrow import parquet

    row = 1
    try:
        # Through a buffer: a column of a group of rows, often a million of them, would be read as a whole.
        with parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            _refuse_duplicates(file.schema_arrow.names, str(path))
            check_columns(columns or (), file.schema_arrow.names, str(path))
            for batch in file.iter_batches(_BATCH_ROWS, columns=None if columns is None else list(columns)):
                values = [_column_values(column, decoder, path, row) for column in batch.columns]
                for record in zip(*values, strict=True):
                    yield row, dict(zip(batch.schema.names, record, strict=True))
                    row += 1
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror and error.errno:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        raise DataError(f"{path}: is not a Parquet file, or is damaged or cut short; copy it again") from None


def _column_values(column: Any, decoder: Decoder, path: str | Path, first_row: int) -> list[object]:
    """Turn an Arrow array into Python values; strings that are not UTF-8 go through the decoder."""
    import pyarrow as pa

    try:
        values: list[object] = column.to_pylist()
        return values
    except UnicodeDecodeError:
        pieces = enumerate(column.cast(pa.binary()).to_pylist(), start=first_row)
        return [None if piece is None else decoder.decode(piece, path, row) for row, piece in pieces]


def _refuse_duplicates(names: Sequence[str], place: str) -> None:
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise DataError(f"{place}: two columns are named {twice[0]!r}; rename one of them")
