"""Runs that may be killed and go on: unfinished files beside their places, and a journal of how far they are whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from textcls.errors import InputError, differences
from textcls.files import AppearedError, put, writing
from textcls.inference.outputs import compressed

_MOST_NAMED = 3  # differences in a message


class Journal:
    """The unfinished files of a run, in their places' folder as `.NAME.part`; `.NAME.part.json` says how far they are whole.

    A run that ends otherwise than well, or is killed, leaves both; the same run again goes on from there, and puts the files in
    their places when it is done. Another run is refused, and leaves both as they are.

    Args:
        targets: The files that the run writes, the output first; links are followed.
        run: What decides their bytes, by the names that a message gives it, as JSON.
        force: Whether what stands in their places by then gives way.

    Attributes:
        blocks: Blocks of the input that the files hold already.
        state: What was saved with them; empty at the start.
        sinks: Where each file's bytes go.

    Raises:
        InputError: A file cannot be written, another process is writing it, or the journal is another run's.
        AppearedError: Without `force`, something appeared in a place; see `textcls.files.put`.
    """

    def __init__(self, targets: Sequence[Path], run: Mapping[str, Any], *, force: bool = False) -> None:
        self._targets, self._force = targets, force
        self._parts = [place.with_name(f".{place.name}.part") for place in map(Path, map(os.path.realpath, targets))]
        self._path = self._parts[0].with_name(f"{self._parts[0].name}.json")
        self._run: dict[str, Any] = json.loads(json.dumps(run, default=str))
        self._files: list[BinaryIO] = []
        self.sinks: list[Any] = []

    def __enter__(self) -> Journal:
        self._read()  # before a file is made
        with writing(self._targets[0]):
            self._files = [os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b") for part in self._parts]
        _lock(self._files[0], self._targets[0])
        saved = self._saved()
        self.blocks: int = saved["blocks"]
        self.state: dict[str, Any] = saved["state"]
        self._sizes: list[int] = saved["sizes"]
        self.sinks = [compressed(path, file) for path, file in zip(self._targets, self._files, strict=True)]
        return self

    def cut(self) -> None:
        """Cut the files behind the last whole block, once their writers have written what stands before the first."""
        for file, size in zip(self._files, self._sizes, strict=True):
            if self.blocks:
                file.seek(size)
            file.truncate()

    def save(self, blocks: int, state: Mapping[str, Any]) -> None:
        """Take down that the files hold so many blocks."""
        for file in self._files:
            file.flush()
        sizes = [file.tell() for file in self._files]
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"run": self._run, "blocks": blocks, "sizes": sizes, "state": state}), encoding="utf-8")
        new.replace(self._path)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with writing(self._targets[0]):
            for file in self._files:
                file.close()
        if kind is not None:
            return
        appeared: list[AppearedError] = []
        for part, target in reversed(list(zip(self._parts, self._targets, strict=True))):  # the output comes last
            try:
                with writing(target):
                    put(part, target, force=self._force)
            except AppearedError as error:
                appeared.append(error)
        for path in (self._path, self._path.with_suffix(".new")):  # which a kill as it was written leaves
            path.unlink(missing_ok=True)
        if appeared:
            raise appeared[-1]

    def _saved(self) -> dict[str, Any]:
        """Return what the journal says of the files as they are, or that nothing is done."""
        saved = self._read()
        lengths = [os.fstat(file.fileno()).st_size for file in self._files]
        if saved is not None and all(map(int.__ge__, lengths, saved["sizes"])):
            return saved
        return {"blocks": 0, "state": {}, "sizes": [0 for _ in self._files]}

    def _read(self) -> dict[str, Any] | None:
        """Return what the journal says of this very run; None where there is none that can be read.

        Raises:
            InputError: It is another run's.
        """
        try:
            saved: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            run, sizes = saved["run"], list(map(int, saved["sizes"]))
            whole = self._parts[0].stat().st_size >= sizes[0]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        if not whole:  # deleted or damaged: there is nothing to lose
            return None
        if odd := list(differences(run, self._run)):
            what = "; ".join(odd[:_MOST_NAMED])
            raise InputError(
                f"{self._targets[0]}: cannot be resumed, for {what}; put it back, or delete {self._parts[0]} to start anew"
            )
        return saved | {"sizes": sizes}


def _lock(file: BinaryIO, target: Path) -> None:
    """Make sure that no other process writes the file; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise InputError(f"{target}: another process is writing it; wait for its end") from None
