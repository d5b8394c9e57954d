"""Files behind a URI, such as `s3://bucket/folder/file.csv`: whatever Arrow's filesystems reach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from textcls.errors import InputError


class _Stat(NamedTuple):
    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URI, as it was listed, with those words of `pathlib.Path` that reading needs.

    Attributes:
        uri: Where it lies.
        size: Its bytes.
        mtime_ns: When it was changed, in nanoseconds.
    """

    uri: str
    size: int
    mtime_ns: int = 0

    def __str__(self) -> str:
        return self.uri

    as_posix = __str__

    @property
    def name(self) -> str:
        """The last part of its path."""
        return unquote(self.uri.partition("?")[0].rpartition("/")[2])

    @property
    def suffix(self) -> str:
        """The last ending of its name."""
        return PurePosixPath(self.name).suffix

    def resolve(self) -> RemoteFile:
        """Return itself: a URI says all."""
        return self

    absolute = resolve

    def stat(self) -> _Stat:
        """Return its size and time of change, as they were listed."""
        return _Stat(self.size, self.mtime_ns)

    def open_random(self) -> Any:
        """Open it as a `pyarrow.NativeFile` that can seek."""
        with reaching(self.uri) as (filesystem, path):
            return filesystem.open_input_file(path)


Place = Path | RemoteFile


def is_remote(path: str | Path) -> bool:
    """Tell whether something is a URI, and not a path."""
    return "://" in str(path)


def list_remote(uri: str) -> list[tuple[RemoteFile, str]]:
    """Return the files at and below a URI with their names relative to it, "" for the file itself; none if there is nothing.

    Raises:
        InputError: It cannot be reached, or holds a `#`, what follows which no filesystem sees.
    """
    from pyarrow import fs

    if "#" in uri:
        raise InputError(f"{uri}: in a URI write # as %23")

    uri, query, options = uri.partition("?")  # such as an endpoint, which every file's URI needs again
    uri = uri.rstrip("/")
    with reaching(uri + query + options) as (filesystem, path):
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.File:
            return [(RemoteFile(uri + query + options, info.size, info.mtime_ns or 0), "")]
        found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    below = [(one, PurePosixPath(one.path).relative_to(path).as_posix()) for one in found if one.type == fs.FileType.File]
    return [(RemoteFile(f"{uri}/{quote(name)}{query}{options}", one.size, one.mtime_ns or 0), name) for one, name in below]


def make_remote_folder(uri: str) -> None:
    """Make a folder where the filesystem knows such things; object stores do not.

    Raises:
        InputError: It cannot be made.
    """
    with reaching(uri) as (filesystem, path):
        if filesystem.type_name not in {"s3", "gcs"}:
            filesystem.create_dir(path, recursive=True)


def write_remote(uri: str, data: bytes) -> None:
    """Write a file whole: object stores show it when it is closed.

    Raises:
        InputError: It cannot be written.
    """
    with reaching(uri) as (filesystem, path), filesystem.open_output_stream(path, compression=None) as stream:
        stream.write(data)


def delete_remote(uri: str) -> None:
    """Delete a file.

    Raises:
        InputError: It cannot be deleted.
    """
    with reaching(uri) as (filesystem, path):
        filesystem.delete_file(path)


@contextmanager
def reaching(uri: str) -> Iterator[tuple[Any, str]]:
    """Give the filesystem and the path that a URI names, and say in one line what the filesystem complains of.

    Raises:
        InputError: It did.
    """
    import pyarrow as pa
    from pyarrow import fs

    try:
        yield fs.FileSystem.from_uri(uri)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{uri}: cannot be reached: {next(iter(str(error).splitlines()), type(error).__name__)}") from None
