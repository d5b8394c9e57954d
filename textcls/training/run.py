"""A run: data in, a folder with the model, its metrics, its log and its pictures out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from textcls.artifact import Artifact, read_artifact, write_artifact
from textcls.config import Config
from textcls.data import Rows, Splits, load_splits
from textcls.errors import InputError, MissingPackageError
from textcls.evaluation import confusion_matrix
from textcls.evaluation.plots import plot_confusion_matrix, plot_learning_curves, plot_reliability
from textcls.files import write_text
from textcls.training.card import model_card
from textcls.training.events import EpochEnd, Event, Note
from textcls.training.fit import Fitted, evaluate_rows, fit
from textcls.training.interrupt import interruptible

Report = Callable[[Event], None]


@dataclass(frozen=True)
class Run:
    """What a run left.

    Attributes:
        folder: The run folder; the model is in `model/`.
        artifact: The trained model.
        metrics: Reports by split.
        interrupted: Whether Ctrl-C ended training early.
    """

    folder: Path
    artifact: Artifact
    metrics: dict[str, Any]
    interrupted: bool


def train(
    config: Config,
    folder: str | Path,
    *,
    force: bool = False,
    start_from: str | Path | None = None,
    report: Report = lambda _event: None,
) -> Run:
    """Train a model on the data that the settings name, evaluate it, and write a run folder.

    Args:
        config: The settings.
        folder: The run folder: new, empty, or with `force` one whose files of the same names give way.
        force: Write into a folder that is not empty.
        start_from: A model folder whose weights and vocabulary to start from.
        report: Called with each event: notes, progress, the end of each epoch.

    Raises:
        InputError: Settings, data or folder cannot be used; nothing was written.
        TrainingError: The loss is no longer a finite number.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
        raise InputError(f"{folder}: the run folder is not empty; name another one, or --force to write over it")
    _check_writable(folder)
    started = None if start_from is None else read_artifact(start_from)
    splits = load_splits(config.data)
    with ExitStack() as stack:
        log = _RunLog(folder, config, splits, stack)

        def tell(event: Event) -> None:
            log.write(event)
            report(event)

        for note in splits.notes:
            tell(Note(note))
        should_stop = stack.enter_context(interruptible())
        training = fit(config, splits.train, splits.validation, start_from=started, should_stop=should_stop)
        stack.enter_context(closing(training))  # gives torch's random state and threads back, also after an error in `report`
        while True:
            try:
                tell(next(training))
            except StopIteration as end:
                fitted: Fitted = end.value
                break
        if should_stop():
            tell(Note("interrupted: training ends here, with the best weights so far"))
        return _finish(fitted, splits, log, should_stop())


def _check_writable(folder: Path) -> None:
    """Refuse a run folder that cannot be made, before the data are read."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise InputError(f"{folder}: the run folder cannot be made: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: the run folder cannot be made: no right to write in {there}")


def _finish(fitted: Fitted, splits: Splits, log: _RunLog, interrupted: bool) -> Run:
    """Evaluate on test, and write model, metrics and pictures."""
    metrics = dict(fitted.artifact.metrics)
    provenance = {**fitted.artifact.provenance, "data": splits.files}
    probabilities, targets = fitted.probabilities, fitted.targets
    if splits.test is not None:
        metrics["test"], probabilities, targets = evaluate_rows(fitted, splits.test)
    artifact = replace(fitted.artifact, metrics=metrics, provenance=provenance)
    write_artifact(artifact, log.folder / "model", model_card(artifact))
    write_text(log.folder / "metrics.json", json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")
    plot_learning_curves(log.history, log.folder / "learning_curves.png")
    if probabilities is not None and targets is not None:
        name = "test" if "test" in metrics else "validation"
        labels = list(metrics[name]["per_class"])
        if not artifact.many:  # one label taken for another: with many a text there is no such thing
            matrix = confusion_matrix(probabilities.argmax(1), targets.astype(np.int64), len(labels))
            plot_confusion_matrix(matrix, labels, log.folder / "confusion_matrix.png")
        plot_reliability(probabilities, targets, log.folder / "reliability.png")
    return Run(log.folder, artifact, metrics, interrupted)


class _RunLog:
    """The files that grow while a run goes on: settings and splits at its start, then a line for each event.

    Nothing is written before the first step: what precedes it are notes, and faults of settings and data, which leave no folder.

    Raises:
        MissingPackageError: TensorBoard was asked for and is not installed.
    """

    def __init__(self, folder: Path, config: Config, splits: Splits, stack: ExitStack) -> None:
        self.folder = folder
        self.history: list[dict[str, Any]] = []
        self._config, self._splits, self._stack = config, splits, stack
        self._file: TextIO | None = None
        self._board: Any = None
        self._waiting: list[Note] = []
        self._board_writer = _tensorboard() if config.training.tensorboard else None

    def write(self, event: Event) -> None:
        """Write an event's line.

        Raises:
            InputError: The folder cannot be written.
        """
        if self._file is None:
            if isinstance(event, Note):
                self._waiting.append(event)
                return
            self._file = self._start()
            for note in self._waiting:
                self.write(note)
        if isinstance(event, EpochEnd):
            figures = {"validation_" + k if k.endswith("loss") else k: v for k, v in event.metrics.items()}
            row = {k: v for k, v in asdict(event).items() if k != "metrics"} | figures
            self.history.append(row | {"validation_loss": figures.get("validation_log_loss")})
            self._scalars(row)
        else:
            row = asdict(event)
        self._file.write(json.dumps({"event": type(event).__name__, **row}, ensure_ascii=False) + "\n")
        self._file.flush()

    def _start(self) -> TextIO:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / "config.yaml", self._config.to_yaml())
            write_text(self.folder / "splits.json", json.dumps(_split_record(self._splits), ensure_ascii=False) + "\n")
            if self._board_writer is not None:
                self._board = self._board_writer(str(self.folder / "tensorboard"))
                self._stack.callback(self._board.close)
            return self._stack.enter_context((self.folder / "log.jsonl").open("w", encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{self.folder}: the run folder cannot be written: {error.strerror}") from error

    def _scalars(self, row: dict[str, Any]) -> None:
        for name, value in row.items() if self._board else ():
            if isinstance(value, float):
                self._board.add_scalar(name, value, row["epoch"])


def _tensorboard() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError("training.tensorboard needs TensorBoard: pip install 'textcls[tensorboard]'") from error
    return SummaryWriter


def _split_record(splits: Splits) -> dict[str, Any]:
    """The rows of each split: the files, and where a split was cut from train, its rows there, counted from 0."""
    rows: dict[str, Rows | None] = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {
        "rows": {name: 0 if split is None else len(split) for name, split in rows.items()},
        "files": splits.files,
        "cut_from_train": {name: indices.tolist() for name, indices in splits.cut.items()},
    }
