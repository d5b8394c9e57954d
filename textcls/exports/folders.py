"""Exports that are folders: where they may be written."""

from __future__ import annotations

from pathlib import Path

from textcls.errors import InputError


def check_folder(out: Path, to: str, marks: tuple[str, ...], *, force: bool) -> None:
    """Refuse a place that is taken; even `force` gives way to an earlier export alone.

    Args:
        out: The folder to write.
        to: Name of the format.
        marks: Files by which an earlier export of it is known.
        force: Write over an earlier export.

    Raises:
        InputError: The place is taken.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --to {to} writes a folder")
    if out.is_dir() and any(out.iterdir()):
        if not all((out / mark).is_file() for mark in marks):
            raise InputError(f"{out}: holds other files than an export; name a new or an empty folder")
        if not force:
            raise InputError(f"{out}: exists already; name another folder, or --force to write over it")


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
