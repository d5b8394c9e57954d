"""Finding what a user wants classified: files, folders and standard input, checked before the first row is read.

Every row of the input comes back as one row of a block, in order (see `textcls.data.blocks`). pyarrow is imported only where
a Parquet file is among the inputs.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, product
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from textcls.data.blocks import (
    MISSING,
    Block,
    Reading,
    csv_blocks,
    csv_header,
    jsonl_blocks,
    line_blocks,
    parquet_blocks,
    whole_file_blocks,
)
from textcls.data.files import COMPRESSIONS, ending, open_bytes, open_growing
from textcls.data.formats import check_columns
from textcls.data.remote import Place, RemoteFile, is_remote, list_remote
from textcls.errors import DataError, InputError

ENDINGS = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")
STANDARD_INPUT = "-"
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PEEKED_LINES = 100  # of a jsonl file, to see whether the text column exists at all


@dataclass(frozen=True)
class Source:
    """One file to read, or standard input.

    Attributes:
        path: Where it lies, a path or behind a URI; `-` for standard input.
        name: How messages and the column `file` call it.
        kind: Its ending without that of the compression, such as `.csv`; `-` for standard input.
    """

    path: Place
    name: str
    kind: str

    @property
    def size(self) -> int:
        """Bytes on disk; 0 for standard input."""
        return 0 if self.kind == STANDARD_INPUT else self.path.stat().st_size


@dataclass(frozen=True)
class Inputs:
    """The files behind what a user named, found and checked; `blocks()` reads them.

    Attributes:
        sources: The files in the order of reading.
        lines: Whether each line of a `.txt` file is a text, or the whole file is.
        reading: How to read them.
        notes: What the user should know, such as files that were left out.
    """

    sources: tuple[Source, ...]
    lines: bool
    reading: Reading
    notes: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int | None:
        """Bytes of all files on disk; None where standard input or a growing file is among them."""
        if self.reading.follow or any(source.kind == STANDARD_INPUT for source in self.sources):
            return None
        return sum(source.size for source in self.sources)

    def blocks(self) -> Iterator[Block]:
        """Read every row, in blocks, in order.

        Raises:
            DataError: A file is damaged in such a way that its rows cannot be told apart.
        """
        done = 0
        for whole, group in groupby(self.sources, self._is_one_text):
            sources = list(group)
            for some in [sources] if whole else [[source] for source in sources]:
                for block in self._read_whole(some) if whole else self.read(some[0]):
                    block.bytes_read += done
                    yield block
                done += sum(source.size for source in some)

    def column_names(self) -> list[str]:
        """Return the names of all columns of all files, in order of appearance; jsonl files are read through for theirs."""
        return list(dict.fromkeys(name for source in self.sources for name in self.names_of(source)))

    def names_of(self, source: Source) -> list[str]:
        """Return the names of the columns of one of the sources."""
        if source.kind in _SEPARATORS:
            return csv_header(source.path, _SEPARATORS[source.kind], self.reading.header)
        if source.kind == ".parquet":
            return list(parquet_schema(source.path).names)
        if source.kind == ".jsonl":
            return list(dict.fromkeys(name for block in self.read(source) for name in block.columns))
        if source.kind == STANDARD_INPUT:
            return ["line"]
        return ["file", "line"] if self.lines else ["file"]

    def _read_whole(self, sources: Sequence[Source]) -> Iterator[Block]:
        return whole_file_blocks([(source.path, source.name) for source in sources], self.reading)

    def _is_one_text(self, source: Source) -> bool:
        return source.kind == ".txt" and not self.lines

    def read(self, source: Source) -> Iterator[Block]:
        """Read the rows of one of the sources; `.txt` files as lines."""
        path, name = source.path, source.name
        if source.kind == STANDARD_INPUT:
            stream: Any = sys.stdin.buffer
            return line_blocks(stream, "standard input", self.reading, file_column=False)
        if source.kind == ".txt":
            return _text_line_blocks(source, self.reading)
        if source.kind in _SEPARATORS:
            return csv_blocks(path, name, _SEPARATORS[source.kind], self.reading)
        return jsonl_blocks(path, name, self.reading) if source.kind == ".jsonl" else parquet_blocks(path, name, self.reading)


def find_inputs(
    inputs: Sequence[str | Path],
    *,
    text: str | tuple[str, ...] = "text",
    lines: bool = False,
    header: bool = True,
    glob: str | None = None,
    encoding_errors: Literal["strict", "replace"] = "strict",
    block_rows: int = 8192,
    follow: bool = False,
) -> Inputs:
    """Find the files behind `inputs` and make sure that they can be read and have the text column.

    Args:
        inputs: Files, folders (with all below them, sorted by path; hidden ones are left out) and `-` for standard input,
            whose lines are the texts. Text formats may be compressed.
        text: The column that holds the text in csv, tsv, jsonl and Parquet, or several, joined by a new line.
        lines: Take each line of a `.txt` file as a text, not the whole file.
        header: Whether csv and tsv files start with a line of names; without one the columns are named 0, 1, 2, …
        glob: Read only those files of a folder that match, such as `*.csv`, `2024/*.txt` or `**/notes/*.txt`.
        encoding_errors: `strict` makes an error of a row with bytes that are not UTF-8, `replace` reads them as U+FFFD.
        block_rows: The most rows in a block.
        follow: Wait for more at the end of the one input, a `.txt` file (then of lines) or a `.jsonl` file that is still growing.

    Raises:
        InputError: A file or folder is missing, cannot be read, holds nothing to read, or lacks the text column.
    """
    paths = list(map(str, inputs))
    if not paths:
        raise InputError("nothing to classify: name files, folders, or - for standard input")
    if paths.count(STANDARD_INPUT) > 1:
        raise InputError("standard input (-) is named twice")
    sources: list[Source] = []
    notes: list[str] = []
    for path in paths:
        if is_remote(path):
            sources += _behind_uri(path, glob, notes, alone=len(paths) == 1)
        elif path != STANDARD_INPUT and Path(path).is_dir():
            sources += _of_folder(path, _below(Path(path)), glob, notes, alone=len(paths) == 1)
        else:
            sources.append(_named(path))
    reading = Reading((text,) if isinstance(text, str) else tuple(text), header, encoding_errors, block_rows, follow)
    if follow:
        _check_growing(sources)
    for source in sources:
        _check(source, reading)
    return Inputs(tuple(sources), lines or follow, reading, tuple(notes))


def read_blocks(inputs: Sequence[str | Path], **options: Any) -> Iterator[Block]:
    """Read the rows of files, folders and standard input: `find_inputs(inputs, **options).blocks()`.

    Raises:
        InputError: As `find_inputs` and `Inputs.blocks` do.
    """
    return find_inputs(inputs, **options).blocks()


def _named(path: str) -> Source:
    """Return the source for a file that the user named."""
    if path == STANDARD_INPUT:
        return Source(Path(path), path, STANDARD_INPUT)
    if not Path(path).exists():
        raise InputError(f"{path}: there is no such file or folder")
    kind = _kind(Path(path))
    if kind is None:
        raise _unreadable(path)
    return Source(Path(path), path, kind)


def _unreadable(path: str) -> InputError:
    return InputError(
        f"{path}: only files that end in {', '.join(ENDINGS)} can be classified, "
        f"those of text also compressed ({', '.join(COMPRESSIONS)}); for lines of text use --lines and .txt, or -"
    )


def _behind_uri(uri: str, glob: str | None, notes: list[str], *, alone: bool) -> list[Source]:
    """Return the readable files that a URI names: one, those below it, or with `*` or `[…]` those that match."""
    base, pattern = uri, None
    if any(char in uri for char in "*["):
        address, query, options = uri.partition("?")
        folders = address.split("/")
        first = next(place for place, part in enumerate(folders) if any(char in part for char in "*["))
        base, pattern = "/".join(folders[:first]) + query + options, folders[first:]
    files = list_remote(base)
    if pattern:
        files = [(file, name) for file, name in files if _fits(name.split("/"), pattern)]
    if len(files) == 1 and not files[0][1]:
        kind = _kind(files[0][0])
        if kind is None:
            raise _unreadable(uri)
        return [Source(files[0][0], uri, kind)]
    if not files:
        raise InputError(f"{uri}: there is no such file or folder")
    return _of_folder(uri, files, glob, notes, alone=alone)


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(parts) == len(pattern) and all(map(fnmatch.fnmatchcase, parts, pattern))


def _kind(path: Place) -> str | None:
    kind = ending(path)
    compressed_parquet = kind == ".parquet" and path.suffix.lower() in COMPRESSIONS
    return kind if kind in ENDINGS and not compressed_parquet else None


def _below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder, and the links to folders, with their names relative to it; no hidden folders."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*files, *(name for name in folders if Path(parent, name).is_symlink())]:
            path = Path(parent, name)
            yield path, path.relative_to(folder).as_posix()


def _of_folder(
    folder: str, files: Iterable[tuple[Place, str]], glob: str | None, notes: list[str], *, alone: bool
) -> list[Source]:
    """Return the readable files among those below a folder, sorted by name; what is left out is noted."""
    found: list[tuple[tuple[str, ...], Source]] = []
    left_out: dict[str, Counter[str]] = {"files of other kinds": Counter(), "hidden files": Counter()}
    links: dict[str, list[str]] = {"links to nothing": [], "links to folders, which are not followed": []}
    patterns = _patterns(glob) if glob else ()
    for path, relative in files:
        linked, dead = _link(path) if isinstance(path, Path) else (False, False)
        if patterns and not linked and not any(_matches(relative, pattern) for pattern in patterns):
            continue
        kind = _kind(path)
        if linked:
            links["links to folders, which are not followed"].append(relative)
        elif path.name.startswith("."):
            left_out["hidden files"][path.suffix or path.name] += 1
        elif kind is None:
            left_out["files of other kinds"][path.suffix or path.name] += 1
        elif dead:
            links["links to nothing"].append(relative)
        else:
            found.append((PurePosixPath(relative).parts, Source(path, relative if alone else path.as_posix(), kind)))
    if not found:
        which = f"no file that matches {glob} and" if glob else "no file that"
        raise InputError(f"{folder}: holds {which} ends in {', '.join(ENDINGS)}")
    shown = {what: [f"{kind} ({count})" for kind, count in kinds.items()] for what, kinds in left_out.items()} | links
    notes += [f"{folder}: left out {what}: {', '.join(sorted(names))}" for what, names in shown.items() if names]
    return [source for _, source in sorted(found, key=lambda one: one[0])]


def _link(path: Path) -> tuple[bool, bool]:
    """Return whether a path that is no folder leads to one, and whether it leads to nothing."""
    try:
        if not path.is_symlink():
            return False, False
        return path.is_dir(), not path.exists()
    except OSError:  # reading the file says what is wrong
        return False, False


def _patterns(glob: str) -> list[str]:
    """Return what a pattern means where each `**/` stands for some folders, and for none."""
    first, *others = re.split(r"(?:^|(?<=/))\*\*/", glob)
    choices = product(("**/", ""), repeat=len(others))
    return [pattern for stars in choices if (pattern := first + "".join(map("".join, zip(stars, others, strict=True))))]


def _matches(relative: str, pattern: str) -> bool:
    return PurePosixPath(relative).match(pattern) or fnmatch.fnmatch(relative, pattern)


def _check_growing(sources: Sequence[Source]) -> None:
    """Make sure that the input is one that can be read while it grows."""
    growing = [source for source in sources if source.kind in {".txt", ".jsonl", STANDARD_INPUT}]
    if (
        len(sources) > 1
        or not growing
        or not isinstance(sources[0].path, Path)
        or sources[0].path.suffix.lower() in COMPRESSIONS
    ):
        raise InputError("only one growing file can be followed: a .txt or .jsonl file that is not compressed, or -")


def _check(source: Source, reading: Reading) -> None:
    """Make sure that a table file is what its ending says and has the text columns, before anything is written."""
    if source.kind in _SEPARATORS:
        names = csv_header(source.path, _SEPARATORS[source.kind], reading.header)
    elif source.kind == ".parquet":
        names = parquet_schema(source.path).names
    elif source.kind == ".jsonl":
        names = _jsonl_names(source)
        if not names:  # an empty file has no rows to lack anything; a damaged one says so row by row
            return
    else:
        return
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{source.path}: two columns are named {twice[0]!r}; rename one of them")
    check_columns(reading.text, names, str(source.path))
    if source.kind == ".parquet":
        _check_types(source, reading)


def _check_types(source: Source, reading: Reading) -> None:
    """Make sure that the text columns of a Parquet file hold text."""
    import pyarrow as pa

    schema = parquet_schema(source.path)
    for column in reading.text:
        found = schema.field(column).type
        stored = found.value_type if pa.types.is_dictionary(found) else found
        if not any(is_text(stored) for is_text in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)):
            raise DataError(f"{source.path}: the column {column!r} holds {found}, not text; name the column of the text")


def _jsonl_names(source: Source) -> list[str]:
    names: dict[str, None] = {}
    with open_bytes(source.path) as stream:
        for line in islice(stream, _PEEKED_LINES):
            try:
                row = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
            except (ValueError, RecursionError):
                continue
            names |= dict.fromkeys(row) if isinstance(row, dict) else {}
    return list(names)


def parquet_schema(path: Place) -> Any:
    """Return the `pyarrow.Schema` of a Parquet file.

    Raises:
        DataError: It is none.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_schema(path.open_random() if isinstance(path, RemoteFile) else path)
    except (pa.ArrowException, OSError):
        raise DataError(f"{path}: is not a Parquet file, or is damaged or cut short; copy it again") from None


def _text_line_blocks(source: Source, reading: Reading) -> Iterator[Block]:
    with open_growing(str(source.path)) if reading.follow else open_bytes(source.path) as stream:
        yield from line_blocks(stream, source.name, reading)


__all__ = ["ENDINGS", "MISSING", "STANDARD_INPUT", "Block", "Inputs", "Reading", "Source", "find_inputs", "read_blocks"]
