"""The files of a run that grow while it goes on, and say what it was begun with."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from textcls.config import Config
from textcls.data import Rows, Splits
from textcls.errors import InputError, TrainingError
from textcls.files import remove_torn, replacing, write_text
from textcls.training.board import Board
from textcls.training.events import EpochEnd, Event, Note
from textcls.training.folder import TENSORBOARD, WRITTEN, check_folder, check_links, clear

_BLOCK = 8192  # row numbers written at once


class RunLog:
    """The files that grow while a run goes on: settings and splits at its start, then a line for each event.

    Nothing is written before the first step: what precedes it are notes, and faults of settings and data, which leave no folder.

    Args:
        folder: The run folder.
        config: The settings.
        splits: The data.
        stack: Closes the files.
        before: What `record` gave, for a run that goes on.
        force: Whether files in the folder give way.

    Raises:
        MissingPackageError: TensorBoard was asked for and is not installed.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        splits: Splits,
        stack: ExitStack,
        before: dict[str, Any] | None,
        *,
        force: bool,
    ) -> None:
        self.folder = folder
        self.history: list[dict[str, Any]] = [] if before is None else before["history"]
        self._before, self._force = before, force
        self._config, self._splits, self._stack = config, splits, stack
        self._file: TextIO | None = None
        self._waiting: list[Note] = []
        self.board = Board(config.training.tensorboard)

    @property
    def begun(self) -> bool:
        """Whether the first step is done."""
        return self._file is not None

    def record(self) -> dict[str, Any]:
        """Return what the log needs to go on from here."""
        assert self._file is not None
        return {"history": self.history, "bytes": (self.folder / "log.jsonl").stat().st_size}

    def write(self, event: Event) -> None:
        """Write an event's line.

        Raises:
            InputError: The folder cannot be written.
            TrainingError: The disk is full.
        """
        if self._file is None and isinstance(event, Note):
            self._waiting.append(event)
            return
        file = self.begin()
        if isinstance(event, EpochEnd):
            figures = {"validation_" + k if k.endswith("loss") else k: v for k, v in event.metrics.items()}
            row = {k: v for k, v in asdict(event).items() if k != "metrics"} | figures
            self.history.append(row | {"validation_loss": figures.get("validation_log_loss")})
            self.board.scalars(row)
        else:
            row = asdict(event)
        try:
            file.write(json.dumps({"event": type(event).__name__, **row}, ensure_ascii=False) + "\n")
            file.flush()
        except OSError as error:
            with suppress(OSError):  # which tries to write it once more
                file.close()
            where = self.folder / "log.jsonl"
            raise TrainingError(f"{where}: cannot be written: {error.strerror}; make room, then go on with --resume") from error

    def begin(self) -> TextIO:
        """Open the files, where that is not done yet, and write the notes that waited for it.

        Raises:
            InputError: The folder cannot be written.
            TrainingError: The disk is full.
        """
        if self._file is None:
            self._file = self._start()
            for note in self._waiting:
                self.write(note)
        return self._file

    def _start(self) -> TextIO:
        try:
            check_links(self.folder, WRITTEN)  # once more: reading the data may have taken an hour
            if self._before is None:
                check_folder(self.folder, self._force)
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_torn(self.folder)
            if self._before is None:
                clear(self.folder)
            write_text(self.folder / "config.yaml", self._config.to_yaml())
            write_split_record(self.folder / "splits.json", self._splits)
            self.board.open(self.folder / TENSORBOARD, self._stack)
            return self._stack.enter_context(_open_log(self.folder / "log.jsonl", self._before))
        except OSError as error:
            raise InputError(f"{self.folder}: the run folder cannot be written: {error.strerror}") from error


def _open_log(path: Path, before: dict[str, Any] | None) -> TextIO:
    """Open the log anew, or where a run goes on behind the lines that its checkpoint knew."""
    if before is None or not path.is_file():
        return path.open("w", encoding="utf-8", newline="\n")
    file = path.open("r+", encoding="utf-8", newline="\n")
    file.truncate(min(before["bytes"], path.stat().st_size))
    file.seek(0, os.SEEK_END)
    return file


def write_split_record(path: Path, splits: Splits) -> None:
    """Write the rows of each split: the files, and where a split was cut from train, its rows there, counted from 0."""
    rows: dict[str, Rows | None] = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    record = {
        "rows": {name: 0 if split is None else len(split) for name, split in rows.items()},
        "files": splits.files,
        "cut_from_train": {},
    }
    with replacing(path) as neighbour, neighbour.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(record, ensure_ascii=False).removesuffix("}}"))
        for place, (name, indices) in enumerate(splits.cut.items()):
            file.write(f'{", " * (place > 0)}"{name}": [')
            for start in range(0, len(indices), _BLOCK):  # by blocks: millions of them as one text would fill the memory
                file.write(", " * (start > 0) + ", ".join(map(str, indices[start : start + _BLOCK].tolist())))
            file.write("]")
        file.write("}}\n")
