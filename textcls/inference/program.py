"""What a `.pt2` file says of itself, read without torch: the file is a zip archive with texts beside the program."""

from __future__ import annotations

import hashlib
import io
import zipfile
from contextlib import suppress
from pathlib import Path

from textcls.errors import ModelError

RELEASE = "textcls.torch"  # the text that names the release of torch
_SEAL = "textcls.sha256"
_EXTRA = "/extra/"  # the texts' folder within the archive's own
_END = b"PK\5\6"  # of the last record of a zip archive, which has 22 bytes where no comment is in it
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a zip archive's first date: the same program gives the same bytes


def read_program(path: Path) -> dict[str, str]:
    """Return the texts of a `.pt2` file, by name.

    Raises:
        ModelError: There is no such file, or it is none of `textcls export --to pt2`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            extras = {name.partition(_EXTRA)[2]: archive.read(name).decode() for name in archive.namelist() if _EXTRA in name}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: is no .pt2 file that `textcls export` wrote, or a damaged one: {error}") from error
    if not extras.keys() >= {RELEASE, "textcls", "textcls.vocabulary"}:
        raise ModelError(f"{path}: is no .pt2 file that `textcls export` wrote: it carries no vocabulary and labels")
    return extras


def sealed_program(content: bytes) -> bytes:
    """Return the bytes of a `.pt2` file with the hash of everything in it beside the other texts."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(zipfile.ZipInfo(f"{root}{_EXTRA}{_SEAL}", _LONG_AGO), _sha256(archive))
    return file.getvalue()


def verify_program(path: Path) -> list[str]:
    """Return what has changed in a `.pt2` file since textcls wrote it, as `seal.verify` does.

    Raises:
        ModelError: It cannot be read, is none of ours, or carries no hash.
    """
    seal = read_program(path).get(_SEAL)
    if seal is None:
        raise ModelError(f"{path}: carries no hash, so it cannot be verified: export the model again")
    with zipfile.ZipFile(path) as archive, suppress(zipfile.BadZipFile):  # a zip archive has sums of its own
        if seal == _sha256(archive) and _has_nothing_around(archive, path):
            return []
    return [f"{path}: its program, weights or metadata are not what textcls wrote"]


def _has_nothing_around(archive: zipfile.ZipFile, path: Path) -> bool:
    """Whether a file is the archive alone: a zip archive may have a comment, and other bytes before and behind it."""
    starts = min(entry.header_offset for entry in archive.infolist()) == 0
    return starts and not archive.comment and path.read_bytes()[-22:].startswith(_END)


def _sha256(archive: zipfile.ZipFile) -> str:
    """Return the SHA-256 over names and contents, the seal left out."""
    digest = hashlib.sha256()
    for name in sorted(archive.namelist()):
        if not name.endswith(_EXTRA + _SEAL):
            digest.update(f"{name} {archive.getinfo(name).file_size}\n".encode())
            digest.update(archive.read(name))
    return digest.hexdigest()
