"""The folder of a run or of a search: whether it can be written, is nobody else's, and spares what is read."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from textcls.artifact import HASHED_FILES, check_gives_way
from textcls.config import Config
from textcls.data.sources import local_files
from textcls.errors import InputError, TextclsError
from textcls.files import check_not_read, is_torn
from textcls.training.checkpoint import Checkpoints
from textcls.training.pictures import FILES

CHECKPOINTS = "checkpoints"  # there as long as the run can go on
TENSORBOARD = "tensorboard"
WRITTEN = ("config.yaml", "splits.json", "log.jsonl", "metrics.json", *FILES, "model", CHECKPOINTS, TENSORBOARD)  # by a run
_AT_THE_START = {"config.yaml", "splits.json", "log.jsonl", TENSORBOARD, CHECKPOINTS}  # before the first checkpoint
_AT_WORK = "is at work in it; wait for its end, or name another --run"
_TRIES = 10  # to make a folder that others may be removing


@contextmanager
def held(folder: Path, *, make: bool = True) -> Iterator[None]:
    """Keep other processes that do the same out of a folder for the length of a block.

    The lock is the folder's own: no file tells of it, and it ends with the process, however that ends. Windows has no such locks,
    nor has every network file system; there nobody is kept out.

    Args:
        folder: The folder.
        make: Whether it is made where it is not there; it is gone after the block where nothing was put in it.

    Raises:
        InputError: Another process holds it, or it cannot be made.
    """
    made: list[Path] = []
    descriptor = None
    try:
        descriptor = _locked(folder, made if make else None)
        yield
    finally:
        for path in reversed(made):
            with suppress(OSError):  # something is in it
                path.rmdir()
        if descriptor is not None:  # last, so that nobody has locked what is then removed
            os.close(descriptor)


def _locked(folder: Path, made: list[Path] | None) -> int | None:
    """Lock a folder until the descriptor is closed; None where it is not there, or there are no such locks.

    Args:
        folder: The folder.
        made: Takes the folders that are made; None makes none.

    Raises:
        InputError: Another process holds it, or it cannot be made.
    """
    try:
        import fcntl
    except ImportError:
        return None
    for _ in range(_TRIES):
        if made is not None:
            _make(folder, made)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            if made is None:
                return None
            continue
        except OSError:  # it cannot be read
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            busy = f"{folder}: {_holder(descriptor)} {_AT_WORK}"
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):  # this file system has no such locks
                return None
            if made is not None:
                made.clear()  # it is the other's now
            raise InputError(busy) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        os.close(descriptor)  # who made it has removed it meanwhile
    raise InputError(f"{folder}: another process {_AT_WORK}")


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder with its parents, and note what was made.

    Raises:
        InputError: It cannot be made.
    """
    _check_writable(folder)
    try:
        for path in reversed([path for path in (folder, *folder.parents) if not path.is_dir()]):
            with suppress(FileExistsError):
                path.mkdir()
                made.append(path)
    except FileNotFoundError:  # who made a parent has removed it meanwhile
        return
    except OSError as error:
        raise InputError(f"{folder}: the run folder cannot be made: {error.strerror}") from error


def _holder(descriptor: int) -> str:
    """Name the process that has locked a folder, where the system tells; Linux does."""
    status = os.fstat(descriptor)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, kind, *_, process, where, _, _ = line.split()  # 1: FLOCK ADVISORY WRITE 812 fe:00:262146 0 EOF
            if (kind, where) == ("FLOCK", place) and int(process) > 0:  # 0 and -1 are of another container
                return f"process {process}"
    return "another process"


def check_links(folder: Path, names: Collection[str]) -> None:
    """Refuse a folder with links in the places that are written: files would be changed and removed elsewhere.

    The folder itself may be one.

    Args:
        folder: The folder.
        names: Of what is written in it.

    Raises:
        InputError: There is one, also among what a process that was killed left, or in a folder of checkpoints.
    """
    if not folder.is_dir():
        return
    places = [path for path in folder.iterdir() if path.name in names or is_torn(path)]
    inner = [path for name in (CHECKPOINTS, TENSORBOARD) if name in names for path in (folder / name).glob("*")]
    for path in (*places, *inner):
        if path.is_symlink():
            raise InputError(
                f"{path}: is a symbolic link: what is written there would land elsewhere; remove it, or name another --run"
            )


def check_new(folder: Path, config: Config, start_from: str | Path | None, force: bool) -> None:
    """Refuse a folder that a new run cannot or must not have, before the data are read.

    Args:
        folder: The folder.
        config: The settings, which name what is read.
        start_from: The model folder that training starts from.
        force: Whether files in the folder give way.

    Raises:
        InputError: It is such a folder.
    """
    check_folder(folder, force)
    check_gives_way(folder / "model")
    check_spares(folder, WRITTEN, files_read(config))
    if start_from is not None and Path(start_from).resolve().is_relative_to((folder / "model").resolve()):
        raise InputError(f"{start_from}: would be written over by the model of this run; name another --run")


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
    checkpoints = folder / CHECKPOINTS
    kept = checkpoints.is_dir() and not all(map(is_torn, checkpoints.iterdir()))
    there = list(folder.iterdir()) if folder.is_dir() else None
    return there is not None and not kept and all(is_torn(path) or path.name in _AT_THE_START for path in there)


def resumed(folder: Path, checkpoints: Checkpoints) -> dict[str, Any]:
    """Go on from the last checkpoint of a run; return what the run's log left in it.

    Raises:
        InputError: There is none.
        TrainingError: There is no memory for it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such run to resume")
    if (folder / "metrics.json").is_file() and not (folder / CHECKPOINTS).is_dir():
        model = shlex.quote(str(folder / "model"))
        raise InputError(f"{folder}: training is finished, there is nothing to resume; --from {model} starts from its model")
    return checkpoints.resume()


def going_on(checkpoints: Checkpoints) -> list[str]:
    """Say from which checkpoint a run goes on."""
    passed_over = [f"{CHECKPOINTS}/{path.name} is damaged: going on from the one before it" for path in checkpoints.damaged]
    return passed_over or ["going on from the last checkpoint"]


def clear(folder: Path) -> None:
    """Remove the files of an older run, and no others."""
    Checkpoints(folder / CHECKPOINTS).remove()
    if (folder / "model" / "labels.json").is_file():
        shutil.rmtree(folder / "model")
    for name in (*FILES, "metrics.json", "log.jsonl"):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / TENSORBOARD).glob("events.out.tfevents.*"):
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
