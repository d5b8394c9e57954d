"""Writing files so that a killed run leaves the old one or the new one, never half of one."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour to write, and put it in the place of `path` when the block ends without an error.

    Raises:
        OSError: The folder cannot be written.
    """
    neighbour = path.parent / f".{path.name}.{secrets.token_hex(4)}.part{path.suffix}"
    try:
        neighbour.touch(0o600, exist_ok=False)  # in here, so that no signal finds it without the block that takes it back
        yield neighbour
        neighbour.chmod(0o666 & ~_umask())
        neighbour.replace(path)
    finally:
        neighbour.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary neighbour folder to fill, and put it in the place of `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    neighbour = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        neighbour.mkdir(0o700)
        yield neighbour
        neighbour.chmod(0o777 & ~_umask())
        old = neighbour.with_suffix(".old")
        with suppress(FileNotFoundError):
            path.rename(old)
        try:
            neighbour.rename(path)
        except OSError:
            with suppress(FileNotFoundError):
                old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(neighbour, ignore_errors=True)


def is_torn(path: Path) -> bool:
    """Whether a path has the name of a temporary neighbour, which a process that was killed left half-written."""
    return path.name.startswith(".") and ".part" in path.name


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with replacing(path) as neighbour:
        neighbour.write_text(text, encoding="utf-8", newline="\n")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    """Read the umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
