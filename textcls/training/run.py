"""A run: data in, a folder with the model, its metrics, its log and its pictures out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from textcls.artifact import RECORD, Artifact, check_gives_way, read_artifact, write_files
from textcls.config import Config
from textcls.data import Rows, Splits, load_splits
from textcls.errors import InputError, TrainingError
from textcls.files import remove_torn, replacing, replacing_folder, write_text
from textcls.training.board import Board
from textcls.training.card import model_card
from textcls.training.checkpoint import Checkpoints
from textcls.training.distributed import joined
from textcls.training.events import EpochEnd, Event, Note
from textcls.training.fit import Fitted, TrainingStoppedError, evaluate_rows, fit
from textcls.training.folder import (
    CHECKPOINTS,
    TENSORBOARD,
    WRITTEN,
    check_folder,
    check_links,
    check_new,
    clear,
    going_on,
    held,
    only_begun,
    resumed,
)
from textcls.training.interrupt import interruptible
from textcls.training.loop import Context
from textcls.training.pictures import FILES, draw_curves, draw_predictions
from textcls.training.prepare import check_labels
from textcls.training.results import Results

Report = Callable[[Event], None]
RESULTS = ("model", RECORD, *FILES)  # written at the end
_BLOCK = 8192  # row numbers written at once
_RESTARTS = "the run that was here had no checkpoint yet: training starts from the beginning"


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
    resume: bool = False,
    start_from: str | Path | None = None,
    report: Report = lambda _event: None,
) -> Run:
    """Train a model on the data that the settings name, evaluate it, and write a run folder.

    Where `torchrun` started several processes, they train together, and the first one writes and reports.

    Args:
        config: The settings.
        folder: The run folder: new, empty, or with `force` one whose files give way once the first step is done.
        force: Write into a folder that is not empty.
        resume: Go on with the run in the folder, from its last checkpoint; settings and data must be the same. A run that was
            killed before its first checkpoint starts again.
        start_from: A model folder whose weights and vocabulary to start from.
        report: Called with each event: notes, progress, the end of each epoch.

    Raises:
        InputError: Settings, data or folder cannot be used, for example as another process is at work in it; nothing was written. Or
            something appeared in the place of a result meanwhile (`textcls.files.AppearedError`): the result is kept beside it.
        TrainingError: The loss is no longer a finite number, or memory or disk is full; the best model so far was written.
    """
    folder = Path(folder)
    with joined() as world, ExitStack() as stack:
        check_links(folder, WRITTEN)
        if world.first:
            stack.enter_context(held(folder, make=not resume))
        restart = resume and only_begun(folder)
        resume, force = resume and not restart, force or restart
        if world.first and not resume:
            check_new(folder, config, start_from, force)
        checkpoints = Checkpoints(folder / CHECKPOINTS, config.training.checkpoint_minutes, writes=world.first)
        before = resumed(folder, checkpoints) if resume else None
        results = Results(folder, RESULTS, force=force)
        checkpoints.expect("settings", lasting(config))
        started = None if start_from is None else read_artifact(start_from)
        checkpoints.expect("--from", None if started is None else started.fingerprint)
        splits = load_splits(config.data)
        if splits.test is not None and splits.test.labels.distinct:  # told now, not once the network is trained
            check_labels(splits.train, splits.test, "test")
        checkpoints.expect("data", data_sums(splits))
        log = _RunLog(folder, config, splits, stack, before, force=force)
        checkpoints.record = log.record

        def tell(event: Event) -> None:
            if world.first:
                log.write(event)
                report(event)

        notes = [*(going_on(checkpoints) if resume else []), *([_RESTARTS] if restart else []), *splits.notes]
        if started is not None and _knows_held_out_rows(started, splits, config):
            notes.append(
                "the model that training starts from learned from these files: some rows held out now may be known to it"
            )
        if (processes := checkpoints.settled("processes", world.size)) != world.size:
            notes.append(
                f"{processes} processes began this run and {world.size} go on with it: other dropouts, so other weights"
            )
        for note in notes:
            tell(Note(note))
        should_stop = stack.enter_context(interruptible(lambda: log.begun)) if world.size == 1 else lambda: False
        training = fit(
            config,
            splits.train,
            splits.validation,
            validation_cut="validation" in splits.cut,
            start_from=started,
            context=Context(checkpoints, world, should_stop),
        )
        stack.enter_context(closing(training))  # gives torch's random state and threads back, also after an error in `report`
        failure = None
        try:
            fitted = _drive(training, tell)
        except TrainingStoppedError as stopped:
            failure, fitted = stopped, stopped.fitted
        if world.first:
            log.begin()  # in a run that was resumed with its network trained nothing did
        if fitted.stopped:
            tell(Note("interrupted: training ends here, with the best weights so far; --resume goes on"))
        if not world.first:
            if failure is not None:
                raise failure
            return Run(folder, fitted.artifact, dict(fitted.artifact.metrics), False)
        run = _finish(fitted, splits, log, results, failure, tell)
        if not run.interrupted:
            checkpoints.remove()
        results.check()
        return run


def _drive(training: Generator[Event, None, Fitted], tell: Report) -> Fitted:
    """Run a generator to its end, telling its events; return what it returns."""
    while True:
        try:
            tell(next(training))
        except StopIteration as end:
            fitted: Fitted = end.value
            return fitted


def _knows_held_out_rows(started: Artifact, splits: Splits, config: Config) -> bool:
    """Whether rows that this run cuts from train, or tests on, may be among those that the trained model learned from."""
    learned = {file.get("sha256") for file in started.provenance.get("data", {}).get("train", [])} - {None}
    held_out = {file.get("sha256") for name in ("validation", "test") for file in splits.files.get(name, [])}
    if learned & held_out:
        return True
    # A cut depends on texts, labels, shares and seed alone, so the same settings hold the same rows out.
    same_cut = all(
        getattr(started.config.data, name) == getattr(config.data, name)
        for name in ("split_seed", "validation_share", "test_share")
    )
    return bool(splits.cut) and not same_cut and bool(learned & {file.get("sha256") for file in splits.files["train"]})


def lasting(config: Config) -> dict[str, Any]:
    """Return the settings that must not change while a run lasts."""
    tree = config.model_dump(mode="json")
    for name in ("checkpoint_minutes", "tensorboard", "capture"):
        del tree["training"][name]
    del tree["model"]["ngram_slots"]  # n-grams are fitted once the network is trained
    return tree


def data_sums(splits: Splits) -> dict[str, Any]:
    """Return the SHA-256 of each file of each split, or the fingerprint of its dataset."""
    return {
        split: {
            f"{file.get('file') or file.get('dataset')} (SHA-256)": file.get("sha256") or file.get("fingerprint")
            for file in files
        }
        for split, files in splits.files.items()
    }


def _finish(
    fitted: Fitted, splits: Splits, log: _RunLog, results: Results, failure: TrainingStoppedError | None, tell: Report
) -> Run:
    """Write what training gave.

    Raises:
        TrainingError: It cannot be written; or training failed, which is told once its best model is safe.
    """
    try:
        run = _write(fitted, splits, log, results, tell)
    except OSError as error:
        full = f"{log.folder}: the model cannot be written: {error.strerror}; make room, then go on with --resume"
        raise TrainingError(str(failure or full)) from error
    if failure is not None:
        raise TrainingError(f"{failure}; the best model so far is in {log.folder / 'model'}")
    return run


def _write(fitted: Fitted, splits: Splits, log: _RunLog, results: Results, tell: Report) -> Run:
    """Evaluate on test, and write model, metrics and pictures."""
    metrics = dict(fitted.artifact.metrics)
    provenance = {**fitted.artifact.provenance, "data": splits.files}
    probabilities, targets = fitted.probabilities, fitted.targets
    if splits.test is not None:
        metrics["test"], probabilities, targets = evaluate_rows(fitted, splits.test)
    artifact = replace(fitted.artifact, metrics=metrics, provenance=provenance)
    with results.taking("model") as (folder, force):
        _write_model(artifact, folder, force)
    with results.taking(RECORD) as (path, force):
        write_text(path, json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", force=force)
    ngrams = fitted.network.ngrams is not None
    for note in draw_curves(results, log.history, before_ngrams=ngrams, many=artifact.many):
        tell(note)
    if probabilities is not None and targets is not None:
        report = metrics["test" if "test" in metrics else "validation"]
        for note in draw_predictions(results, probabilities, targets, report, artifact.thresholds):
            tell(note)
    log.board.outcome(artifact.config, metrics)
    return Run(log.folder, artifact, metrics, fitted.stopped)


def _write_model(artifact: Artifact, folder: Path, force: bool) -> None:
    """Write the model; with `force` an older one gives way, and nothing else does."""
    card = model_card(artifact)
    try:
        check_gives_way(folder)
    except InputError:
        force = False
    with replacing_folder(folder, force=force) as new:
        write_files(artifact, new, card)


class _RunLog:
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
            _write_split_record(self.folder / "splits.json", self._splits)
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


def _write_split_record(path: Path, splits: Splits) -> None:
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
