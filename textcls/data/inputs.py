"""Finding what a user wants classified: files, folders, URIs and standard input, looked at before the first row is read, once."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from textcls.data.blocks import STANDARD_INPUT, Block, Reading, Source
from textcls.data.formats import ENDINGS, for_none, look_at, read_blocks
from textcls.data.places import COMPRESSIONS, check_regular, ending
from textcls.data.remote import Place, RemoteFile, is_remote, list_remote
from textcls.data.sources import is_stored_dataset
from textcls.data.text_rows import file_blocks
from textcls.errors import DataError, InputError, named

INPUT_FORMATS = ("lines", "jsonl", "csv", "tsv")  # of standard input
_NAMED = 5
_SHOWN = 60  # characters of each end of a long name, in notes
# What is left out of a folder.
_OTHERS, _HIDDEN, _DEAD = "files of other kinds", "hidden files", "links to nothing"
_FOLDERS, _SPECIAL = "links to folders, which are not followed", "what is no regular file"
_COUNTED = {_OTHERS, _HIDDEN}  # by their endings; the others are named


@dataclass(frozen=True)
class Inputs:
    """The files behind what a user named, found and looked at; `blocks()` reads them.

    Attributes:
        sources: The files in the order of reading.
        reading: How to read them.
        notes: What the user should know, such as files that were left out.
    """

    sources: tuple[Source, ...]
    reading: Reading
    notes: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int | None:
        """Bytes of all files on disk; None where standard input or a growing file is among them."""
        if self.reading.follow or any(source.is_stream for source in self.sources):
            return None
        return sum(source.size for source in self.sources)

    def blocks(self) -> Iterator[Block]:
        """Read every row, in blocks, in order.

        Raises:
            DataError: A file is damaged in such a way that its rows cannot be told apart.
        """
        done = 0
        for whole, group in groupby(self.sources, self.reading.is_one_text):
            for some in [list(group)] if whole else ([source] for source in group):
                for block in file_blocks(some, self.reading) if whole else read_blocks(some[0], self.reading):
                    block.bytes_read += done
                    yield block
                done += sum(source.size for source in some)

    def column_names(self) -> list[str]:
        """Return the names of all columns of all files, in order of appearance; JSON files are read through for theirs.

        Raises:
            InputError: They are those of JSON from standard input, which can be read once alone.
        """
        return list(dict.fromkeys(name for source in self.sources for name in self.names_of(source)))

    def names_of(self, source: Source) -> list[str]:
        """Return the names of the columns of one of the sources.

        Raises:
            InputError: As `column_names`.
        """
        if source.kind in {".json", ".jsonl"}:
            if source.is_stream:
                raise InputError("the columns of JSON from standard input are not known before its end: write .jsonl")
            return list(dict.fromkeys(name for block in read_blocks(source, self.reading) for name in block.columns))
        if source.kind != ".txt":
            return list(source.columns)
        return ["file"] if self.reading.is_one_text(source) else ["line"] if source.is_stream else ["file", "line"]


def find_inputs(
    inputs: Sequence[str | Path],
    reading: Reading = Reading(),  # noqa: B008  # it is frozen
    *,
    glob: str | None = None,
    input_format: str = "lines",
    or_text: bool = False,
) -> Inputs:
    """Find the files behind `inputs` and make sure that they can be read and have the text column.

    Args:
        inputs: Files, folders (with all below them, sorted by path; hidden ones are left out) and `-` for standard input. Text
            formats may be compressed.
        reading: How to read them.
        glob: Read only those files of a folder that match, such as `*.csv`, `2024/*.txt` or `**/notes/*.txt`.
        input_format: What standard input is: `lines`, each of them a text, `jsonl`, `csv` or `tsv`.
        or_text: Where an input lacks the columns of the text but all have one named `text`, read that one, and say so.

    Raises:
        InputError: A file or folder is missing, cannot be read, holds nothing to read, or lacks the text column.
    """
    paths = list(map(str, inputs))
    if not paths:
        raise InputError("nothing to classify: name files, folders, or - for standard input")
    if paths.count(STANDARD_INPUT) > 1:
        raise InputError("standard input (-) is named twice")
    if input_format not in INPUT_FORMATS:
        raise InputError(f"{input_format}: is no format of standard input; there are {', '.join(INPUT_FORMATS)}")
    found: list[Source] = []
    notes: list[str] = []
    for path in paths:
        if path == STANDARD_INPUT:
            found.append(Source(Path(path), "standard input", ".txt" if input_format == "lines" else f".{input_format}"))
        elif is_remote(path):
            found += _behind_uri(path, glob, notes, alone=len(paths) == 1)
        elif Path(path).is_dir():
            if is_stored_dataset(Path(path)):
                raise InputError(
                    f"{path}: is a data set that was saved to disk; write it as a file, with its to_parquet, and name that"
                )
            found += _of_folder(path, _below(Path(path), notes), glob, notes, alone=len(paths) == 1)
        else:
            found.append(_named(path, follow=reading.follow))
    notes += for_none({source.kind for source in found}, reading, Reading())
    if reading.follow:
        reading = replace(reading, lines=True)
        _check_growing(found)
    try:
        sources, told = _looked_at(found, reading)
    except DataError as error:
        own, reading = reading, replace(reading, text=("text",))
        if not or_text or reading == own:
            raise
        try:
            sources, told = _looked_at(found, reading)
        except DataError:  # it would be of a column that the user never named
            raise error from None
        notes.append("the inputs lack the column that the model learned from; the column text is classified")
    return Inputs(tuple(sources), reading, (*notes, *told))


def _looked_at(found: Sequence[Source], reading: Reading) -> tuple[list[Source], list[str]]:
    """Look at each source, and gather what is the same of many."""
    sources: list[Source] = []
    by_note: dict[str, list[str]] = {}
    for source in found:
        looked, notes = (source, []) if reading.is_one_text(source) else look_at(source, reading)
        sources.append(looked)
        for note in notes:
            by_note.setdefault(note, []).append(source.name)
    return sources, [f"{named(names, _NAMED)}: {note}" for note, names in by_note.items()]


def _named(path: str, *, follow: bool) -> Source:
    """Return the source for a file that the user named."""
    file = Path(path)
    if not (file.exists() or file.is_symlink()):
        raise InputError(f"{path}: there is no such file or folder")
    source = _source(file, path, 0)
    if follow and file.exists():
        return source
    check_regular(file)
    return replace(source, size=file.stat().st_size)


def _source(place: Place, name: str, size: int) -> Source:
    kind = _kind(place)
    if kind is None:
        raise InputError(
            f"{place}: only files that end in {', '.join(ENDINGS)} can be classified, "
            f"those of text also compressed ({', '.join(COMPRESSIONS)}); for lines of text use --lines and .txt, or -"
        )
    return Source(place, name, kind, size)


def _behind_uri(uri: str, glob: str | None, notes: list[str], *, alone: bool) -> list[Source]:
    """Return the readable files that a URI names: one, those below it, or with `*` or `[…]` those that match."""
    address, query, options = uri.partition("?")
    folders = address.split("/")
    fixed = next((place for place, part in enumerate(folders) if re.search(r"[*\[]", part)), len(folders))
    files = list_remote("/".join(folders[:fixed]) + query + options)
    if pattern := list(map(unquote, folders[fixed:])):
        files = [(file, name) for file, name in files if _fits(name.split("/"), pattern)]
    if not files:
        raise InputError(f"{uri}: there is no such file or folder")
    if len(files) > 1 or files[0][1]:
        return _of_folder(uri, files, glob, notes, alone=alone)
    return [_source(files[0][0], uri, files[0][0].size)]


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern, in which `**` stands for some parts, or none."""
    if not pattern or not parts:
        return not parts and all(one == "**" for one in pattern)
    if pattern[0] == "**" and _fits(parts, pattern[1:]):
        return True
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern if pattern[0] == "**" else pattern[1:])


def _kind(path: Place) -> str | None:
    kind = ending(path)
    compressed_parquet = kind == ".parquet" and path.suffix.lower() in COMPRESSIONS
    return kind if kind in ENDINGS and not compressed_parquet else None


def _below(folder: Path, notes: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder, and the links to folders, with their names relative to it; no hidden folders."""
    waiting = [(folder, "")]
    closed: list[str] = []
    while waiting:
        parent, relative = waiting.pop()
        try:
            entries = list(os.scandir(parent))
        except OSError as error:  # no right to list it, or a path that is too long
            if parent == folder:
                raise InputError(f"{folder}: cannot be listed: {error.strerror}") from None
            closed.append(f"{_short(relative[:-1])} ({error.strerror})")
            continue
        for entry in entries:
            name = f"{relative}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), name
            elif not entry.name.startswith("."):
                waiting.append((Path(entry.path), f"{name}/"))
    if closed:
        notes.append(f"{folder}: left out folders that cannot be listed: {named(sorted(closed), _NAMED)}")


def _short(name: str) -> str:
    return name if len(name) <= 2 * _SHOWN else f"{name[:_SHOWN]}…{name[-_SHOWN:]}"


def _of_folder(
    folder: str, files: Iterable[tuple[Place, str]], glob: str | None, notes: list[str], *, alone: bool
) -> list[Source]:
    """Return the readable files among those below a folder, sorted by name; what is left out is noted."""
    found: list[tuple[list[str], Source]] = []
    left_out: dict[str, Counter[str]] = {why: Counter() for why in (_OTHERS, _HIDDEN, _DEAD, _FOLDERS, _SPECIAL)}
    for path, relative in files:
        size, why = _size_and_nature(path)
        parts = relative.split("/")
        if why != _FOLDERS:
            if glob and not _matches(relative, glob):
                continue
            hidden = any(part.startswith(".") for part in parts)
            why = _HIDDEN if hidden else _OTHERS if _kind(path) is None else why
        if why:
            left_out[why][path.suffix or path.name if why in _COUNTED else _short(relative)] += 1
        else:
            found.append((parts, Source(path, relative if alone else path.as_posix(), ending(path), size)))
    if not found:
        which = f"no file that matches {glob} and" if glob else "no file that"
        raise InputError(f"{folder}: holds {which} ends in {', '.join(ENDINGS)}")
    for why, names in left_out.items():
        shown = [f"{name} ({count})" if why in _COUNTED else name for name, count in sorted(names.items())]
        notes += [f"{folder}: left out {why}: {named(shown, _NAMED)}"] if shown else []
    return [source for _, source in sorted(found, key=lambda one: one[0])]


def _size_and_nature(path: Place) -> tuple[int, str | None]:
    """Return the size of what is no folder, and why it is left out, None where it may be read."""
    if isinstance(path, RemoteFile):
        return path.size, None
    try:
        status = path.stat()
    except OSError as error:
        if path.is_symlink():  # to nothing, to itself, or to where nobody may look
            return 0, _DEAD
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        return 0, _FOLDERS
    return status.st_size, None if stat.S_ISREG(status.st_mode) else _SPECIAL


def _matches(relative: str, glob: str) -> bool:
    """Whether a name relative to a folder, or its end, matches a pattern in which each `**/` stands for some folders, or none."""
    first, *others = re.split(r"(?:^|(?<=/))\*\*/", glob)
    choices = product(("**/", ""), repeat=len(others))
    patterns = (first + "".join(map("".join, zip(stars, others, strict=True))) for stars in choices)
    return any(PurePosixPath(relative).match(one) or fnmatch.fnmatch(relative, one) for one in patterns if one)


def _check_growing(sources: Sequence[Source]) -> None:
    """Make sure that the input is one that can be read while it grows."""
    only = sources[0]
    compressed = isinstance(only.path, RemoteFile) or only.path.suffix.lower() in COMPRESSIONS
    if len(sources) > 1 or only.kind not in {".txt", ".jsonl"} or compressed:
        raise InputError("only one growing file can be followed: a .txt or .jsonl file that is not compressed, or -")
