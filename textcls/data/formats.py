"""Reading a source, whatever its format: one place for training and for classifying."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from textcls.config import DataSettings
from textcls.data.blocks import Block, Dialect, Reading, Source
from textcls.data.csv_rows import SEPARATORS, csv_blocks, look_at_csv
from textcls.data.json_rows import json_blocks, look_at_json
from textcls.data.places import as_utf8, encoding_of
from textcls.data.text_rows import line_blocks

ENDINGS = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")
_OBJECT = re.compile(rb'\s*\{\s*"[^"\n]*"\s*:[^\n]*\}\s*(\n|$)')
_SAMPLE = 1 << 20  # bytes from which is found out how a file is written


def look_at(source: Source, reading: Reading) -> tuple[Source, list[str]]:
    """Find out how a file is written, and make sure that it has the columns that are wanted, before its rows are read.

    Returns:
        The source with its dialect and columns, and what the user should know of it.

    Raises:
        DataError: It cannot be read, is not what its ending says, or lacks a column.
    """
    if source.kind == ".parquet":
        from textcls.data.parquet_rows import look_at_parquet

        return look_at_parquet(source, reading)
    if reading.follow and (source.kind == ".txt" or not (source.is_stream or Path(str(source.path)).is_file())):
        return replace(source, dialect=Dialect(reading.encoding)), []  # nothing to see yet, or what is seen is gone
    data, whole = source.start(_SAMPLE)
    encoding = encoding_of(data, reading.encoding)
    source = replace(source, dialect=replace(source.dialect, encoding=encoding))
    notes = _encoding_notes(source, data, reading.encoding)
    if source.kind == ".txt":
        if source.is_stream and _OBJECT.match(data):
            notes.append("its first line is a JSON object; --input-format jsonl reads the text in it")
        return source, notes
    sample = b"".join(as_utf8([data], encoding)).decode("utf-8", "replace")
    if not whole and "\n" in sample:
        sample = sample[: sample.rindex("\n") + 1]
    source, more = (look_at_csv if source.kind in SEPARATORS else look_at_json)(source, sample, whole, reading)
    return source, notes + more


def for_none(kinds: Collection[str], given: Reading | DataSettings, usual: Reading | DataSettings) -> list[str]:
    """Say which settings differ from the usual ones, and are for other kinds of files than those that are read."""
    text = {*kinds} - {".parquet"}
    settings = {"header": "--no-header", "delimiter": "--delimiter", "quoting": "--quoting", "encoding": "--encoding"}
    return [
        f"data.{name} ({option}) is for {'text' if name == 'encoding' else 'csv and tsv files'}, and none is read"
        for name, option in settings.items()
        if getattr(given, name) != getattr(usual, name) and not (text if name == "encoding" else text & SEPARATORS.keys())
    ]


def read_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    """Read the rows of a source that was looked at; each line of a `.txt` file is one.

    Raises:
        DataError: It is damaged in such a way that its rows cannot be told apart.
    """
    if source.kind == ".txt":
        return line_blocks(source, reading)
    if source.kind in SEPARATORS:
        return csv_blocks(source, reading)
    if source.kind == ".parquet":
        from textcls.data.parquet_rows import parquet_blocks

        return parquet_blocks(source, reading)
    return json_blocks(source, reading)


def _encoding_notes(source: Source, data: bytes, asked: str) -> list[str]:
    """Say where another encoding is read than was asked for, and where what was asked for is unlikely."""
    found = source.dialect.encoding
    if found != asked:
        zeros = "the zeros in it, which data.encoding (--encoding) does not say"
        why = zeros if found.endswith(("-le", "-be")) else "the mark at its start"
        return [] if found == "utf-8" or found.startswith(f"{asked}-") else [f"is {found.upper()} text, by {why}"]
    lines = data[: data.rfind(b"\n") + 1] or data
    if codecs.lookup(found).name.startswith("utf") or lines.isascii():
        return []
    try:
        lines.decode()
    except UnicodeDecodeError:
        return []
    return [f"is read as {found}, as data.encoding says, but it looks like UTF-8"]


def described(source: Source) -> dict[str, object]:
    """Return how a source that was looked at is read.

    That is `file`, `format` and `columns`; of text `encoding`; of csv `delimiter` and `quotes`; of JSON `layout`.
    """
    found: dict[str, object] = {"file": source.name, "format": source.kind.removeprefix(".")}
    if source.kind != ".parquet":
        found["encoding"] = source.dialect.encoding
    if source.kind in SEPARATORS:
        found |= {"delimiter": source.dialect.delimiter, "quotes": source.dialect.quoted}
    if source.kind in {".json", ".jsonl"}:
        found["layout"] = source.dialect.layout
    return found | {"columns": list(source.columns)}
