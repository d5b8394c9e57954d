"""Writing files: no half of one is left, nothing that is read is lost, and what is no regular file is written into."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO, TextIO

from textcls.descriptors import check_descriptor, descriptor_of, open_double
from textcls.errors import InputError

_TORN = re.compile(r"\.(?P<name>.+)\.(?P<token>[0-9a-f]{8})\.(?P<kind>part|old)(?P<suffix>\.[^.]*)?", re.DOTALL)
_STANDARD_INPUT = Path("/dev/stdin")
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}  # what renaming a folder meets where something stands


class AppearedError(InputError):
    """An output appeared while a command was at work on it; what the command wrote is whole, and is `kept` beside it."""

    def __init__(self, message: str, kept: Path) -> None:
        super().__init__(message)
        self.kept = kept


def from_home(path: str | Path) -> Path:
    """Return a path with `~` as the home folder it stands for; where there is no such user, as it is: no such file is there."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  # that of Path raises an error


@contextmanager
def replacing(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Give a temporary neighbour to write, and put it in the place of `path` when the block ends without an error.

    A symbolic link stays, and what it leads to is replaced. What is no regular file, such as a pipe or a device, stays too: the
    bytes go into it.

    Args:
        path: The file.
        force: Whether what stands there by then gives way; else it stays, and the new file is kept beside it.

    Raises:
        AppearedError: Without `force`, something appeared there; the message names where the new file is. Raised inside the
            block, for another output of the same command, it does not keep this file from its place.
        OSError: The folder cannot be written; it names `path`, not the neighbour.
    """
    if is_special(path):
        with tempfile.TemporaryDirectory(prefix="textcls-") as folder:
            whole = Path(folder, f"whole{path.suffix}")
            whole.touch()
            yield whole
            with opened(path) as file, whole.open("rb") as source:
                shutil.copyfileobj(source, file)
        return
    with _neighbour(path, path.suffix, lambda new: new.touch(0o600, exist_ok=False), _unlink) as (neighbour, _):
        other = None
        try:
            yield neighbour
        except AppearedError as error:
            other = error
        neighbour.chmod(0o666 & ~_umask())
        put(neighbour, path, force=force)
        if other is not None:
            raise other


@contextmanager
def replacing_folder(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Give an empty temporary neighbour folder to fill, and put it in the place of `path` when the block ends without an error.

    Args:
        path: The folder; its parents are made.
        force: Whether what stands there by then gives way; else, unless it is an empty folder, it stays, as in `replacing`.

    Raises:
        AppearedError: As in `replacing`.
        OSError: As in `replacing`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _neighbour(path, "", lambda new: new.mkdir(0o700), _rmtree) as (neighbour, place):
        yield neighbour
        neighbour.chmod(0o777 & ~_umask())
        if not force:
            _put_beside(path, place, lambda to: _move_folder(neighbour, to))
            return
        old = neighbour.with_suffix(".old")
        with suppress(FileNotFoundError):
            place.rename(old)
        try:
            neighbour.rename(place)
        except OSError:
            with suppress(FileNotFoundError):
                old.rename(place)
            raise
        _rmtree(old)


@contextmanager
def opened(path: Path, *, force: bool = True) -> Iterator[BinaryIO]:
    """Give a file to write bytes into, which takes its place as in `replacing`; what is no regular file takes them at once.

    Raises:
        AppearedError: As in `replacing`.
        OSError: It cannot be written.
    """
    if is_special(path):
        descriptor = descriptor_of(path)
        with os.fdopen(os.open(path, os.O_WRONLY) if descriptor is None else open_double(descriptor), "wb") as file:
            os.write(file.fileno(), b"")  # what is closed is told even where nothing comes to be written
            yield file
        return
    with replacing(path, force=force) as neighbour, neighbour.open("wb") as file:
        yield file


def put(file: Path, path: Path, *, force: bool) -> None:
    """Put a whole file of the same file system in its place, as `replacing` does.

    Raises:
        AppearedError: As in `replacing`.
        OSError: It cannot be moved there.
    """
    place = Path(os.path.realpath(path))
    if force:
        file.replace(place)
    else:
        _put_beside(path, place, lambda to: _move_file(file, to))


def write_text(path: Path, text: str, *, force: bool = True) -> None:
    """Write UTF-8 text whole or not at all, as in `opened`."""
    with opened(path, force=force) as file:
        file.write(text.encode())


@contextmanager
def writing(output: str | Path) -> Iterator[None]:
    """Say in one line that an output cannot be written.

    Raises:
        InputError: It cannot.
    """
    try:
        yield
    except BrokenPipeError:  # its reader has enough, which is no fault
        raise
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror or error}") from error


def check_open(output: str | Path) -> None:
    """Refuse an output by the name of a descriptor that is not open, before any work is done.

    Raises:
        InputError: It is not.
    """
    descriptor = descriptor_of(Path(output))
    if descriptor is not None:
        with writing(output):
            check_descriptor(descriptor)


def check_not_read(output: str | Path, read: Iterable[Path], otherwise: str = "name another file") -> None:
    """Refuse an output by which a command would write over what it reads.

    Args:
        output: The file or folder to write.
        read: All files and folders that the command reads; those that do not exist are passed over.
        otherwise: What to do instead, for the message.

    Raises:
        InputError: The output is one of them by whatever name, lies in one of the folders, or is a folder that holds one.
    """
    path = Path(output)
    real = _real(path)
    there, folder = _status(path), path.is_dir()
    for place in read:
        status = _status(place)
        if status is None:
            continue
        if there is not None and os.path.samestat(status, there):
            raise InputError(f"{output}: is the input itself; {otherwise}")
        if stat.S_ISDIR(status.st_mode) and real.is_relative_to(_real(place)):
            raise InputError(f"{output}: lies inside the input folder {place}; write it elsewhere")
        if folder and _real(place).is_relative_to(real):
            raise InputError(f"{output}: holds the input {place}; {otherwise}")


def check_stream_not_read(stream: TextIO, read: Iterable[Path]) -> None:
    """Refuse a stream, such as standard output, that goes into a file which the command reads: it would read its own output.

    Args:
        stream: Where is written to; what has no descriptor is no file.
        read: All files that the command reads.

    Raises:
        InputError: It does.
    """
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return
    same = (place for place in read if (status := _status(place)) is not None and os.path.samestat(status, there))
    if stat.S_ISREG(there.st_mode) and (place := next(same, None)) is not None:
        raise InputError(f"{place}: standard output goes into it, and it is the input itself; write to another file")


def redirected_input() -> list[Path]:
    """Return the file that standard input comes from, none where it is a pipe or a terminal."""
    status = _status(_STANDARD_INPUT)
    return [_STANDARD_INPUT] if status is not None and stat.S_ISREG(status.st_mode) else []


def _real(path: Path) -> Path:
    """Return a path without links; of links in a circle the path itself."""
    return Path(os.path.realpath(path))


def is_special(path: Path) -> bool:
    """Whether what stands at a path is to be written into, not replaced: a pipe, a device, an open descriptor."""
    status = _status(path)
    known = status is None or stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return not known or descriptor_of(path) is not None


def is_torn(path: Path) -> bool:
    """Whether a path has the name of a temporary neighbour, which a process that was killed left half-written."""
    match = _TORN.fullmatch(path.name)
    if match is None or match["suffix"] not in {None, Path(match["name"]).suffix}:
        return False
    # An output may be named after eight digits; its unfinished file has a journal (see `textcls.inference.resume`).
    others = (f"{path.name}.json", path.name.removesuffix(".json"))
    return not any(path.with_name(other).exists() for other in others if other != path.name)


def remove_torn(folder: Path, name: str | None = None) -> None:
    """Remove what processes that were killed left half-written in a folder; what a process still writes is locked, and stays.

    Args:
        folder: The folder.
        name: Only what was to become the file or folder of this name.
    """
    for path in filter(is_torn, map(Path, list(os.scandir(folder)))):
        match = _TORN.fullmatch(path.name)
        assert match is not None
        target = folder / match["name"]
        if name not in {None, target.name}:
            continue
        new = folder / f".{target.name}.{match['token']}.part"  # an old folder is whose new one is
        lock = _lock(new if match["kind"] == "old" and new.exists() else path)
        if lock is None:
            continue
        if match["kind"] == "old" and not target.exists():  # killed between the two renames
            path.rename(target)
        (_rmtree if path.is_dir() else _unlink)(path)
        os.close(lock)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _neighbour(
    path: Path, suffix: str, make: Callable[[Path], object], remove: Callable[[Path], object]
) -> Iterator[tuple[Path, Path]]:
    """Give a temporary neighbour, locked as long as it is used, and the place that it is to take, behind symbolic links."""
    place = Path(os.path.realpath(path))
    with suppress(OSError):
        remove_torn(place.parent, place.name)
    neighbour = place
    try:
        with ExitStack() as stack:
            while True:
                neighbour = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part{suffix}")
                stack.callback(remove, neighbour)  # said first, so that no signal finds it made without this
                make(neighbour)
                if (lock := _lock(neighbour)) is not None:
                    stack.callback(os.close, lock)
                if neighbour.exists():  # and was not taken for torn before it was locked
                    break
            yield neighbour, place
    except BrokenPipeError:  # of another file's reader
        raise
    except OSError as error:
        if error.filename in (None, str(neighbour)):
            error.filename = str(path)
        raise


def _put_beside(path: Path, place: Path, move: Callable[[Path], object]) -> None:
    """Move what is whole to its place, or where that is taken beside it."""
    ends = "".join(place.suffixes[-2:]) if place.suffix in {".gz", ".zst"} else place.suffix
    stem = place.name.removesuffix(ends)
    for to in chain([place], (place.with_name(f"{stem}-{number}{ends}") for number in count(2))):
        with suppress(FileExistsError):
            move(to)
            break
    if to != place:
        said = f"{path}: appeared while this was at work, and stays as it is; what was to stand there is {to}"
        raise AppearedError(said, to)


def _move_file(file: Path, to: Path) -> None:
    """Give a file a name that nothing has.

    Raises:
        FileExistsError: Something has it.
    """
    try:
        os.link(file, to)  # unlike a rename, never over another file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(to):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(to)) from None
        file.replace(to)
    else:
        file.unlink()


def _move_folder(folder: Path, to: Path) -> None:
    """Give a folder a name that nothing has but an empty folder.

    Raises:
        FileExistsError: Something has it.
    """
    if sys.platform == "win32":
        with suppress(OSError):
            to.rmdir()
    try:
        folder.rename(to)
    except OSError as error:
        if error.errno in _TAKEN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(to)) from error
        raise


def _status(path: Path) -> os.stat_result | None:
    """Return what stands at a path, behind links; None where nothing does."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _lock(path: Path) -> int | None:
    """Lock a file or folder until the descriptor is closed; None where another process has it, or the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows, which does not let files be removed that are in use
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _rmtree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    """Read the umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
