"""Open descriptors by their names, such as `/dev/stdout` and `/dev/fd/3`: which one a path stands for, and a double to write into."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"/(?:dev|proc/(?:self|thread-self|(?P<process>\d+)))/fd/(?P<number>\d+)")
_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_FOLDER = "/dev/fd"
_MOST_LINKS = 40  # as Linux has it

_inherited: frozenset[int] | None = None  # the only ones that may be written into; None where all may


@contextmanager
def only_those_open() -> Iterator[None]:
    """Within, let only those descriptors be written into that are open as it begins.

    A library may open a file of its own, and gets a number for it that the user names for what the shell was to open there.
    """
    global _inherited
    before, _inherited = _inherited, _open_now()
    try:
        yield
    finally:
        _inherited = before


def descriptor_of(path: Path) -> int | None:
    """Return the descriptor of this process that a path such as `/dev/stdout` or `/dev/fd/3` names, also behind links."""
    place = os.path.abspath(path)  # noqa: PTH100  # `Path.resolve` would follow the links
    for _ in range(_MOST_LINKS):
        if place in _STREAMS:
            return _STREAMS[place]
        match = _NAME.fullmatch(place)
        if match is not None and match["process"] in {None, str(os.getpid())}:
            return int(match["number"])
        if not os.path.islink(place):  # noqa: PTH114
            break
        place = os.path.normpath(os.path.join(os.path.dirname(place), os.readlink(place)))  # noqa: PTH115, PTH118, PTH120
    return None


def check_descriptor(descriptor: int) -> None:
    """Make sure that a descriptor may be written into.

    Raises:
        OSError: It is closed, or was not open when it had to be (see `only_those_open`).
    """
    if _inherited is not None and descriptor not in _inherited:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    os.fstat(descriptor)


def open_double(descriptor: int) -> int:
    """Return the double of a descriptor, so that writing goes on where that is.

    Raises:
        OSError: As in `check_descriptor`.
    """
    check_descriptor(descriptor)
    if sys.stdout is not None and descriptor == 1:
        sys.stdout.flush()
    return os.dup(descriptor)


def _open_now() -> frozenset[int] | None:
    """Return the descriptors that are open; None where the system does not list them."""
    try:
        listed = [int(name) for name in os.listdir(_FOLDER)]  # noqa: PTH208
    except (OSError, ValueError):
        return None
    return frozenset(filter(_is_open, listed))


def _is_open(descriptor: int) -> bool:
    """Whether a descriptor is open; the one by which the folder was listed no longer is."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
