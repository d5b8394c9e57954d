"""The file of a checkpoint: a line with the SHA-256 of the rest, then what torch writes.

torch itself reads many damaged files, to other numbers. The sum is compared before anything is read. It is no signature: whoever
changes a file can sum it anew, so what is read is then checked too (see `textcls.training.checkpoint_checks`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
import zipfile
from collections.abc import Mapping
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import torch

from textcls.errors import InputError, TrainingError
from textcls.files import replacing
from textcls.training.failures import memory_for

VERSION = 4
_FIRST_WITH_SUM = 3
INSTEAD = "remove it, and --resume goes on from the one before; or train anew"
_TORCH = b"PK\x03\x04"  # how what torch writes begins; up to format 2 it was the whole file
_HEADER = b"textcls checkpoint, SHA-256 %64s\n"
_HEADER_BYTES = len(_HEADER % b"")


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: The file.
        content: Tensors, numbers, texts, lists and dictionaries.

    Raises:
        OSError: It cannot be written.
        RuntimeError: The same, in the context of torch's own error.
    """
    with replacing(path) as neighbour, neighbour.open("w+b") as file:
        file.write(_HEADER % b"")
        torch.save({"version": VERSION, **content}, file)
        total = _sum(file)
        file.seek(0)
        file.write(_HEADER % total)
        file.flush()
        os.fsync(file.fileno())  # or a machine that dies could leave the new name with nothing behind it


def read_checkpoint(path: Path) -> dict[Any, Any] | None:
    """Read a checkpoint; None where it is damaged.

    Raises:
        InputError: Another version of textcls wrote it, or none did; or the system does not let it be read.
        TrainingError: There is no memory for it.
    """
    try:
        if not path.is_file():  # a pipe would keep us waiting
            raise InputError(f"{path}: is no file; {INSTEAD}")
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            if header.startswith(_TORCH):
                _check_older(path, file)
                return None
            if header != _HEADER % _sum(file):
                return None
            content = _loaded(path, file, _HEADER_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if content is None or type(content.get("version")) is not int:
        raise InputError(f"{path}: is no checkpoint that textcls wrote; {INSTEAD}")
    _check_version(path, content["version"])
    return content


def _sum(file: BufferedReader | BufferedRandom) -> bytes:
    """Return the SHA-256 of what stands behind the first line."""
    file.seek(_HEADER_BYTES)
    return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _check_older(path: Path, file: BinaryIO) -> None:
    """Look whether a file without a sum is no damaged one, but of an older textcls.

    Raises:
        InputError: It is.
    """
    content = _loaded(path, file, 0)
    if content is not None and type(content.get("version")) is int and content["version"] < _FIRST_WITH_SUM:
        _check_version(path, content["version"])


def _check_version(path: Path, version: int) -> None:
    if version != VERSION:
        shown = version if 0 < version < 1000 else "unknown"
        raise InputError(f"{path}: is a checkpoint of format {shown}; this textcls goes on from format {VERSION} alone")


def _is_packed(file: BinaryIO) -> bool:
    """Whether a zip holds more than its own size: torch packs nothing, and what is packed could fill the memory."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        return sum(max(one.file_size, one.compress_size) for one in archive.infolist()) > size


def _loaded(path: Path, file: BinaryIO, start: int) -> dict[Any, Any] | None:
    """Return the dictionary that torch reads; None where it reads none."""
    file.seek(start)
    if file.read(len(_TORCH)) != _TORCH:  # torch would look for older formats of its own
        return None
    try:
        with memory_for(f"the checkpoint {path}", "close other programs, then --resume again"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what an odd file is doing there, the caller tells
            if _is_packed(file):
                return None
            file.seek(start)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except TrainingError:
        raise
    except OSError as error:
        if error.errno == errno.EINVAL:  # in a file that was cut short torch looks before its start
            return None
        raise
    except Exception:  # torch raises whatever the damage leads it to
        return None
    return content if type(content) is dict else None
