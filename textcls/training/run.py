"""A run: data in, a folder with the model, its metrics, its log and its pictures out."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from textcls.artifact import RECORD, Artifact, check_gives_way, read_artifact, write_files
from textcls.config import Config
from textcls.data import Splits, load_splits
from textcls.errors import InputError, TrainingError
from textcls.files import replacing_folder, write_text
from textcls.training.card import model_card
from textcls.training.checkpoint import Checkpoints
from textcls.training.distributed import World, joined
from textcls.training.events import Event, Note
from textcls.training.fit import Fitted, TrainingStoppedError, evaluate_rows, fit
from textcls.training.folder import (
    CHECKPOINTS,
    WRITTEN,
    check_links,
    check_new,
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
from textcls.training.run_log import RunLog

Report = Callable[[Event], None]
RESULTS = ("model", RECORD, *FILES)  # written at the end
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
        opened = _open(folder, config, start_from, world, stack, force=force, resume=resume)
        results = Results(folder, RESULTS, force=opened.force)
        splits, notes = _data(config, opened)
        log = RunLog(folder, config, splits, stack, opened.before, force=opened.force)
        opened.checkpoints.record = log.record

        def tell(event: Event) -> None:
            if world.first:
                log.write(event)
                report(event)

        for note in (*opened.notes, *notes):
            tell(Note(note))
        should_stop = stack.enter_context(interruptible(lambda: log.begun)) if world.size == 1 else lambda: False
        fitted, failure = _fit(config, splits, opened, Context(opened.checkpoints, world, should_stop), stack, tell)
        if not world.first:
            if failure is not None:
                raise failure
            return Run(folder, fitted.artifact, dict(fitted.artifact.metrics), False)
        log.begin()  # in a run that was resumed with its network trained nothing did
        if fitted.stopped:
            tell(Note("interrupted: training ends here, with the best weights so far; --resume goes on"))
        run = _finish(fitted, splits, log, results, failure, tell)
        if not run.interrupted:
            opened.checkpoints.remove()
        results.check()
        return run


@dataclass(frozen=True)
class _Opened:
    """A run folder that this process may train in.

    Attributes:
        checkpoints: Of the run; a resumed one goes on from the last of them.
        started: The model that training starts from, if from one.
        before: What the log's `record` gave, for a run that goes on.
        force: Whether files in the folder give way.
        notes: What is to be told.
    """

    checkpoints: Checkpoints
    started: Artifact | None
    before: dict[str, Any] | None
    force: bool
    notes: list[str]


def _open(
    folder: Path,
    config: Config,
    start_from: str | Path | None,
    world: World,
    stack: ExitStack,
    *,
    force: bool,
    resume: bool,
) -> _Opened:
    """Hold the folder for the length of the run, and find out from where it goes; nothing is written."""
    check_links(folder, WRITTEN)
    if world.first:
        stack.enter_context(held(folder, make=not resume))
    restart = resume and only_begun(folder)
    resume, force = resume and not restart, force or restart
    if world.first and not resume:
        check_new(folder, config, start_from, force)
    checkpoints = Checkpoints(folder / CHECKPOINTS, config.training.checkpoint_minutes, writes=world.first)
    before = resumed(folder, checkpoints) if resume else None
    checkpoints.expect("settings", lasting(config))
    started = None if start_from is None else read_artifact(start_from)
    checkpoints.expect("--from", None if started is None else started.fingerprint)
    notes = going_on(checkpoints) if resume else [_RESTARTS] if restart else []
    if (processes := checkpoints.settled("processes", world.size)) != world.size:
        notes.append(f"{processes} processes began this run and {world.size} go on with it: other dropouts, so other weights")
    return _Opened(checkpoints, started, before, force, notes)


def _data(config: Config, opened: _Opened) -> tuple[Splits, list[str]]:
    """Read the rows, which are those that a resumed run began with; return notes beside them."""
    splits = load_splits(config.data)
    if splits.test is not None and splits.test.labels.distinct:  # told now, not once the network is trained
        check_labels(splits.train, splits.test, "test")
    opened.checkpoints.expect("data", data_sums(splits))
    notes = list(splits.notes)
    if opened.started is not None and _knows_held_out_rows(opened.started, splits, config):
        notes.append("the model that training starts from learned from these files: some rows held out now may be known to it")
    return splits, notes


def _fit(
    config: Config, splits: Splits, opened: _Opened, context: Context, stack: ExitStack, tell: Report
) -> tuple[Fitted, TrainingStoppedError | None]:
    """Train; return the model, and what ended training too soon, if something did."""
    training = fit(
        config,
        splits.train,
        splits.validation,
        validation_cut="validation" in splits.cut,
        start_from=opened.started,
        context=context,
    )
    stack.enter_context(closing(training))  # gives torch's random state and threads back, also after an error in `report`
    try:
        return _drive(training, tell), None
    except TrainingStoppedError as stopped:
        return stopped.fitted, stopped


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
    fitted: Fitted, splits: Splits, log: RunLog, results: Results, failure: TrainingStoppedError | None, tell: Report
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


def _write(fitted: Fitted, splits: Splits, log: RunLog, results: Results, tell: Report) -> Run:
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
