"""The folder of a run or of a search: whether it can be written, and spares what is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from textcls.artifact import HASHED_FILES
from textcls.config import Config
from textcls.data.sources import local_files
from textcls.errors import InputError, TextclsError
from textcls.files import check_not_read, is_torn
from textcls.training.checkpoint import Checkpoints
from textcls.training.pictures import FILES

CHECKPOINTS = "checkpoints"  # there as long as the run can go on
WRITTEN = ("config.yaml", "splits.json", "log.jsonl", "metrics.json", *FILES, "model", CHECKPOINTS)  # by a run
_AT_THE_START = {"config.yaml", "splits.json", "log.jsonl", "tensorboard", CHECKPOINTS}  # before the first checkpoint


def check_folder(folder: Path, force: bool, begun: str = CHECKPOINTS) -> None:
    """Refuse a run folder that holds something, or cannot be made, before the data are read; `begun` lies in one to go on with."""
    _check_writable(folder)
    if folder.exists() and any(folder.iterdir()) and not force:
        if (folder / begun).exists():
            raise InputError(
                f"{folder}: holds a run to go on with: --resume goes on with it, --force writes over it; or name another folder"
            )
        raise InputError(f"{folder}: the run folder is not empty; name another one, or --force to write over it")
    for place in (folder, *folder.absolute().parents):
        if all((place / name).is_file() for name in HASHED_FILES):
            raise InputError(f"{folder}: {place} is a model, which a run in it would damage; name another folder")


def check_spares(folder: Path, written: Iterable[str], read: Sequence[Path]) -> None:
    """Refuse a run folder in which what is read would be written over.

    Args:
        folder: The folder.
        written: The names of the files and folders that are written in it.
        read: The files that are read.
    """
    for name in written:
        check_not_read(folder / name, read, "name another --run")


def files_read(config: Config, *, test: bool = True) -> list[Path]:
    """Return the files on this machine that settings name: rows and vectors; who reads them tells what is missing."""
    data = config.data
    found: list[Path] = []
    for source in (data.train, data.validation, data.test if test else None):
        with suppress(TextclsError):
            found += local_files(source or ())
    if config.text.vectors is not None:  # a file, one in an archive, or a name
        vectors = Path(config.text.vectors)
        found += [path for path in (vectors, *vectors.parents) if path.is_file()]
    return found


def only_begun(folder: Path) -> bool:
    """Whether a run was killed here before its first checkpoint: it can start again from the beginning, and nothing is lost."""
    there = list(folder.iterdir()) if folder.is_dir() else []
    checkpoints = folder / CHECKPOINTS
    kept = checkpoints.is_dir() and not all(map(is_torn, checkpoints.iterdir()))
    return bool(there) and not kept and all(is_torn(path) or path.name in _AT_THE_START for path in there)


def clear(folder: Path) -> None:
    """Remove the files of an older run, and no others."""
    Checkpoints(folder / CHECKPOINTS).remove()
    if (folder / "model" / "labels.json").is_file():
        shutil.rmtree(folder / "model")
    for name in (*FILES, "metrics.json", "log.jsonl"):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / "tensorboard").glob("events.out.tfevents.*"):
        path.unlink()


def _check_writable(folder: Path) -> None:
    """Refuse a run folder that cannot be made, before the data are read."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not there.is_dir():  # a file, a device, a link to nothing
        raise InputError(
            f"{folder}: the run folder cannot be made: {there} {'is a file' if there.is_file() else 'is no folder'}"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: the run folder cannot be made: no right to write in {there}")
