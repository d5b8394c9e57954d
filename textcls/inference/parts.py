"""Output as a folder of part files, written by several processes, that is there as a whole or not at all."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from textcls.data.inputs import Inputs
from textcls.data.remote import delete_remote, is_remote, list_remote, make_remote_folder, write_remote
from textcls.errors import InputError, named
from textcls.files import check_not_read, replacing, replacing_folder, writing
from textcls.inference.writers import Columns, JsonlWriter, Writer

FORMATS = ("jsonl", "parquet")
_PART = re.compile(r"part-[^/]*\.(jsonl|parquet)")
SUCCESS = "_SUCCESS"  # behind a URI, where a folder cannot be renamed at once, the file that is written last


def check_folder(output: str | Path, read: Iterable[Path], found: Inputs, force: bool) -> None:
    """Make sure that a folder of part files can be written, and that it neither holds what is read nor lies in it.

    Args:
        output: The folder, a path or a URI.
        read: What is read on this machine.
        found: The inputs, also those behind URIs.
        force: Whether an earlier output gives way, where the folder holds nothing else.

    Raises:
        InputError: It cannot, or does.
    """
    if is_remote(output):
        base = str(output).partition("?")[0].rstrip("/")
        if any(str(source.path).startswith(f"{base}/") for source in found.sources):
            raise InputError(f"{output}: holds the input; name another folder")
        _check_replaced(output, [name or "a file of that name" for _, name in list_remote(str(output))], force)
        return
    path = Path(output)
    if not path.parent.is_dir():
        raise InputError(f"{output}: the folder {Path(output).parent} does not exist; make it first")
    if path.exists() and not path.is_dir():
        raise InputError(f"{output}: is a file; Ray writes a folder of part files")
    check_not_read(output, read, "name another folder")
    if path.exists():
        _check_replaced(output, [file.name for file in path.iterdir()] or ["."], force)


def _check_replaced(output: str | Path, names: Iterable[str], force: bool) -> None:
    """Refuse to replace an output without `force`, and a folder that holds what is no part file whatever was said."""
    names = sorted(names)
    if names and not force:
        raise InputError(f"{output}: exists already; name another folder, or replace it with --force")
    foreign = [name for name in names if name not in {SUCCESS, "."} and not _PART.fullmatch(name)]
    if foreign:
        raise InputError(
            f"{output}: holds other files than part files, and --force would delete them: {named(foreign)}; name another folder"
        )


class PartFolder:
    """Where part files go.

    Attributes:
        place: A path or a URI that holds for all the processes that write.
        parts: The names of those that are written and belong to the output.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.parts: set[str] = set()


@contextmanager
def part_folder(output: str | Path, *, force: bool = True) -> Iterator[PartFolder]:
    """Give a place for part files, which become the output when the block ends without an error.

    Raises:
        AppearedError: Without `force`, something appeared at a path; see `textcls.files.replacing_folder`.
        InputError: It cannot be written, or the parts are on other machines.
    """
    if is_remote(output):
        yield from _remote_folder(str(output))
        return
    path = Path(output).absolute()
    with writing(output), replacing_folder(path, force=force) as neighbour:
        folder = PartFolder(str(neighbour))
        yield folder
        there = {file.name for file in neighbour.iterdir()}
        if missing := folder.parts - there:
            raise InputError(
                f"{output}: {len(missing)} of {len(folder.parts)} part files were written on other machines; "
                "name a folder that all of them share, or a URI such as s3://bucket/folder"
            )
        for name in there - folder.parts:  # of a process that was killed as it wrote, and whose work another one did
            (neighbour / name).unlink()


def _remote_folder(uri: str) -> Iterator[PartFolder]:
    for file, _ in list_remote(uri):  # nobody asked to keep them, or there are none
        delete_remote(file.uri)
    make_remote_folder(uri)
    folder = PartFolder(uri)
    try:
        yield folder
    except BaseException:
        for file, _ in list_remote(uri):
            with suppress(InputError):
                delete_remote(file.uri)
        raise
    write_remote(_within(uri, SUCCESS), b"")


def write_part(place: str, name: str, blocks: Sequence[tuple[Columns, int]], types: Mapping[str, Any] | None) -> int:
    """Write one part file; the file of an earlier attempt gives way to it.

    Args:
        place: The place of a `PartFolder`.
        name: The name of the file.
        blocks: The columns of some blocks, and how many rows each has.
        types: The type of each column for Parquet (`pyarrow.DataType`), in order; None for JSON lines.

    Returns:
        In how many rows U+FFFD stands for lone surrogates.

    Raises:
        InputError: It cannot be written.
        DataError: A value does not fit the type of its column.
    """
    data = io.BytesIO()
    with closing(_writer(data, types)) as writer:
        replaced = sum(writer.write(columns, [""] * count) for columns, count in blocks)
    if is_remote(place):
        write_remote(_within(place, name), data.getvalue())
        return replaced
    path = Path(place, name)
    with writing(path), replacing(path) as neighbour:
        neighbour.write_bytes(data.getvalue())
    return replaced


def _writer(data: io.BytesIO, types: Mapping[str, Any] | None) -> Writer:
    if types is None:
        return JsonlWriter(data)
    from textcls.inference.parquet import ParquetWriter

    return ParquetWriter(data, types)


def _within(uri: str, name: str) -> str:
    address, query, options = uri.partition("?")
    return f"{address.rstrip('/')}/{name}{query}{options}"
