"""Where exports may be written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textcls.artifact import HASHED_FILES, SUMS
from textcls.errors import InputError, ModelError, named
from textcls.files import check_not_read, check_open, is_special
from textcls.inference.seal import foreign_files, read_sums


def check_file(out: Path, ending: str, read: Sequence[str | Path | None], *, force: bool) -> None:
    """Refuse a place for an export that is one file.

    Args:
        out: The file to write.
        ending: How its name must end.
        read: What the export reads, as far as it is given.
        force: Write over an existing file.

    Raises:
        InputError: Its ending is another (what is no regular file needs none), it is a folder, it or what is around it is read, it
            lies in a model folder, it exists and `force` is not given, its folder does not exist, or it names a descriptor that is
            not open.
    """
    if out.suffix != ending and not is_special(out):
        raise InputError(f"{out}: exports of this kind are {ending} files; name one, such as {out.stem or 'model'}{ending}")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; name a file, such as {out / 'model'}{ending}")
    check_open(out)
    check_not_read(out, _given(read))
    _check_in_no_model(out)
    if out.exists() and not force and not is_special(out):
        raise InputError(f"{out}: exists already; name another file, or give force=True (--force) to write over it")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist")


def check_folder(out: Path, to: str, marks: tuple[str, ...], read: Sequence[str | Path | None], *, force: bool) -> None:
    """Refuse a place that is taken; with `force` an earlier export gives way, where the folder holds nothing but its files.

    Args:
        out: The folder to write.
        to: Name of the format.
        marks: Files that the list of an earlier export, which no trained model has, must name.
        read: What the export reads, as far as it is given.
        force: Write over an earlier export.

    Raises:
        InputError: The place is taken, has the name of a file, or is or holds what is read, or lies in it or in a model folder.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; the format {to} is a folder")
    if out.suffix in {".onnx", ".pt2"}:
        raise InputError(f"{out}: is the name of a file; the format {to} is a folder, such as {out.with_suffix('')}")
    if not out.is_dir() or not any(out.iterdir()):
        check_not_read(out, _given(read), "name another folder")
        _check_in_no_model(out)
        return
    try:
        own = read_sums(out)
    except ModelError:
        own = {}
    if not own.keys() >= set(marks):
        is_model = (out / "labels.json").is_file() and not (out / SUMS).exists()
        what = "is a trained model, not an earlier export" if is_model else "holds other files than an export"
        raise InputError(f"{out}: {what}; name a new or an empty folder")
    if not force:
        raise InputError(f"{out}: exists already; name another folder, or give force=True (--force) to write over it")
    if foreign := foreign_files(out, [*own, SUMS]):
        raise InputError(
            f"{out}: holds what no export wrote, which force=True (--force) would delete: {named(foreign)}; "
            "name a new folder and copy its files"
        )
    check_not_read(out, _given(read), "name another folder")


def _check_in_no_model(out: Path) -> None:
    """Refuse a place in any model folder, also in one that is not read: that folder would hold what is no part of the model.

    Raises:
        InputError: It lies in one.
    """
    for folder in out.resolve().parents:
        if all((folder / name).is_file() for name in HASHED_FILES):
            raise InputError(f"{out}: lies inside the model folder {folder.name}; write it elsewhere")


def _given(read: Sequence[str | Path | None]) -> list[Path]:
    return [Path(place) for place in read if place is not None]


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
