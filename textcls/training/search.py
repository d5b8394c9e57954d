"""A search for better settings: trials within a time budget, compared by their validation rows, and a folder with what it found."""

from __future__ import annotations

import csv
import io
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from textcls.config import Config
from textcls.data import Splits, load_splits
from textcls.errors import ConfigError, TrainingError
from textcls.evaluation.search_plot import plot_search
from textcls.files import remove_torn, write_text
from textcls.training.events import Ending, EpochEnd, Event, Note, SearchEvent, TrialEnd, TrialStart
from textcls.training.finish import linear_of
from textcls.training.fit import Fitted, TrainingStoppedError, fit
from textcls.training.folder import check_folder, check_links, check_spares, files_read, held
from textcls.training.interrupt import interruptible
from textcls.training.loop import Context
from textcls.training.losses import class_weights
from textcls.training.pictures import drawn
from textcls.training.prepare import Prepared, prepare
from textcls.training.results import Results
from textcls.training.run import data_sums, lasting
from textcls.training.space import Choice, searched, setting
from textcls.training.study import Study, rank

STUDY, BEST, TABLE, PICTURE = "trials.db", "best.yaml", "trials.csv", "search.png"
WRITTEN = (STUDY, BEST, TABLE, PICTURE)
_ENDING_SECONDS = 4.0  # of the budget, at most a tenth of it, kept for the picture and what else ends a search
_FEW_TRIALS = 10
_WAY = 2  # raised where trials compare something else, or choices change: older studies are then of no use
_UNSETTLED = "textcls's defaults were not tried to their end, and may do better: tune --resume goes on, for more --minutes"


@dataclass(frozen=True)
class Search:
    """What a search left.

    Attributes:
        folder: With `best.yaml`, `trials.csv`, `search.png`, and `trials.db`, from which it goes on.
        trials: In the order in which they were made.
        best: The best of them.
        config: Its settings, as `best.yaml` has them: `text.vectors` names what `auto` found.
        searched: The settings that were tried out, by dotted name.
        interrupted: Whether Ctrl-C or SIGTERM ended it before its time.
        signal: The number of the one that did; 0 where none did.
    """

    folder: Path
    trials: tuple[TrialEnd, ...]
    best: TrialEnd
    config: Config
    searched: tuple[str, ...]
    interrupted: bool
    signal: int = 0


class Budget:
    """The time that a search may take.

    Args:
        minutes: From now on.
        pressed: Whether somebody wants it to end before.
        before: Seconds that it took before it was interrupted.

    Attributes:
        finishing: Seconds that trials took at most from the last step of the network to the whole model.
    """

    finishing = 0.0

    def __init__(self, minutes: float, pressed: Callable[[], bool] = lambda: False, before: float = 0.0) -> None:
        self.pressed = pressed
        self.before = before
        self._begun = time.monotonic()
        self._seconds = 60 * minutes - min(_ENDING_SECONDS, 6 * minutes)

    @property
    def left(self) -> float:
        """Seconds until the network of the last trial must be trained."""
        return self._seconds - self.finishing - (time.monotonic() - self._begun)

    @property
    def taken(self) -> float:
        """Seconds that the search has taken."""
        return self.before + time.monotonic() - self._begun

    def over(self) -> bool:
        """Whether the trial under way must end."""
        return self.left <= 0 or self.pressed()


def tune(
    config: Config,
    folder: str | Path,
    minutes: float,
    *,
    search: Sequence[str] | None = None,
    fixed: Sequence[str] = (),
    force: bool = False,
    resume: bool = False,
    report: Callable[[SearchEvent], None] = lambda _event: None,
) -> Search:
    """Search for settings that do better on the validation rows; test rows are not read.

    The first trial has the given settings, so that there is always an answer; the second has textcls's defaults for those that are
    searched, and some more have what is known to help beside these. Each trains a whole model: the network at its best epoch with
    its n-grams, calibrated. They are compared by its `training.metric`, so that no answer is worse than the defaults there.

    Args:
        config: The given settings.
        folder: Where to write: new, empty, or with `force` one whose files give way once the first epoch is over.
        minutes: How long the search may take; one that is resumed takes as long again.
        search: Dotted names of the settings to search, out of `textcls.training.space.SPACE`; the usual ones where None.
        fixed: Settings to leave as they are, unless `search` names them.
        force: Write into a folder that is not empty.
        resume: Go on with the search in the folder; settings and data must be the same.
        report: Called with each event: notes, progress, the end of each epoch, start and end of each trial.

    Raises:
        InputError: Settings, data or folder cannot be used. Or something appeared in the place of a result while this was at work
            (`textcls.files.AppearedError`): the result is kept beside it.
        MissingPackageError: Optuna is not installed (the extra `tune`).
        TrainingError: Every trial failed, or the disk is full.
    """
    budget, folder = Budget(minutes), Path(folder)
    space = searched(search, fixed)

    def check() -> None:
        check_links(folder, WRITTEN)
        check_folder(folder, force)

    with closing(Study(folder / STUDY, space, config, check)) as study, ExitStack() as stack:
        check_links(folder, WRITTEN)
        stack.enter_context(held(folder, make=not resume))
        if resume:
            study.resume()
            budget.before = max((end.searched for end in study.trials), default=0.0)
        else:
            check_folder(folder, force, STUDY)
            check_spares(folder, WRITTEN, files_read(config, test=False))
        results = Results(folder, (BEST, TABLE, PICTURE), force=force)
        study.expect("the way of searching", _WAY)
        study.expect("settings", lasting(config))
        study.expect("model.ngram_slots", config.model.ngram_slots)
        study.expect("--search", list(space))
        splits = load_splits(config.data, test=False)
        study.expect("data", data_sums(splits))
        if splits.validation is None:
            raise ConfigError("a search compares settings by validation rows: set data.validation or data.validation_share")
        for note in splits.notes:
            report(Note(note))
        found = len(study.trials)  # and epochs that ended: before the first there is nothing to keep
        pressed = stack.enter_context(interruptible(lambda: found > 0, (signal.SIGINT, signal.SIGTERM)))
        budget.pressed = pressed
        for event in stack.enter_context(closing(trials(config, splits, study, budget))):
            found += isinstance(event, EpochEnd)
            report(event)
            if isinstance(event, TrialEnd):
                _write(results, study, splits)
        best = study.best
        if best is None:
            failed = [end.reason for end in study.trials if end.reason]
            raise TrainingError(failed[0] if failed else "no trial could be made: give the search more --minutes")
        if not study.settled:
            report(Note(_UNSETTLED))
        remove_torn(folder)
        kinds = {
            name: "choice" if isinstance(values, Choice) else "log" if values.log else "linear"
            for name, values in study.space.items()
        }
        rows, metric = table(study.trials, config, list(study.space)), config.training.metric
        for told in drawn(results, PICTURE, lambda path: plot_search(rows, metric, kinds, path)):
            report(told)
        results.check()
        return Search(folder, study.trials, best, study.settings(best), tuple(study.space), pressed(), pressed.number)


def trials(config: Config, splits: Splits, study: Study, budget: Budget) -> Generator[SearchEvent, None, None]:
    """Train with one proposal after the other, until the time is over.

    Yields:
        Notes; start and end of each trial, and between them its progress and its epochs.
    """
    rows = _Rows(splits)
    prepared = yield from rows.of(config)
    study.know_vectors(prepared.vectors)
    while not study.trials or not (budget.over() or budget.left < _quickest_epoch(study.trials)):
        start = study.propose()
        if start is None:
            yield Note("the search ends here: of the searched settings there is nothing left to try")
            return
        yield start
        end = yield from _trial(start, config.replace(start.changes), rows, study, budget)
        study.take(end)
        yield end
        if budget.over():
            return
        if end.number == 1 and (others := budget.left / end.seconds) < _FEW_TRIALS:
            yield Note(f"there is time for about {others:.0f} more trials as long as this one; more --minutes would find more")


class _Rows:
    """The rows of a search, and what they are as numbers: once for each value of `text.vectors`."""

    def __init__(self, splits: Splits) -> None:
        self.train, self.validation = splits.train, splits.validation
        self._prepared: dict[str | None, Prepared] = {}

    def of(self, config: Config) -> Generator[Event, None, Prepared]:
        """Return the rows as numbers, for some settings."""
        source = config.text.vectors
        if source not in self._prepared:
            self._prepared[source] = yield from prepare(config, self.train, self.validation)
        return self._prepared[source]


def _quickest_epoch(ends: Sequence[TrialEnd]) -> float:
    """Return the seconds of an epoch, and what goes with it, of the quickest trial; with less time left none is begun."""
    return min((end.seconds / end.epochs for end in ends if end.best_epoch is not None), default=0.0)


def _trial(
    start: TrialStart, config: Config, rows: _Rows, study: Study, budget: Budget
) -> Generator[SearchEvent, None, TrialEnd]:
    """Train a whole model with the settings of one trial, its network as long as it is worth it."""
    begun = last_step = time.monotonic()
    epochs, reason, whole = 0, "", False
    ending: Ending = "finished"
    best: EpochEnd | None = None
    fitted: list[Fitted] = []
    first = study.best is None  # without a result as yet: what there is of its first epoch is evaluated whatever the time

    def should_stop() -> bool:
        nonlocal ending
        if ending == "finished" and not whole and budget.over():
            ending = "stopped"
        return ending != "finished"

    with closing(_training(config, rows, should_stop, fitted)) as training:
        try:
            for event in training:
                if isinstance(event, Note):
                    continue
                yield event
                epochs = event.epoch
                if isinstance(event, EpochEnd):
                    best = event if event.best else best
                    whole = event.epoch == config.training.epochs
                    if study.should_prune(event.epoch, event.metrics) and not (whole or should_stop()):
                        ending = "pruned"
                else:
                    last_step = time.monotonic()
                    if should_stop() and best is None and not first:
                        break  # there is nothing to say of it
        except TrainingError as error:
            ending, reason = "failed", str(error)
    ended = time.monotonic()
    report = fitted[0].artifact.metrics["validation"] if fitted else {}
    if fitted:
        budget.finishing = max(budget.finishing, ended - last_step)
    end = TrialEnd(
        number=start.number,
        changes=start.changes,
        origin=start.origin,
        metrics={name: value for name, value in report.items() if isinstance(value, float)},
        best_epoch=None if best is None else best.epoch,
        epochs=epochs,
        seconds=ended - begun,
        ending=ending,
        reason=reason,
        searched=budget.taken,
        best=False,
    )
    return replace(end, best=bool(end.metrics) and (study.best is None or study.rank(end) > study.rank(study.best)))


def _training(
    config: Config, rows: _Rows, should_stop: Callable[[], bool], fitted: list[Fitted]
) -> Generator[Event, None, None]:
    """Train a whole model, which joins `fitted`: also the one that is left where training fails.

    The linear classifier is fitted first, where earlier trials did not do so: a trial that is stopped has no more time for it.
    """
    prepared = yield from rows.of(config)
    class_weights(config.training, prepared.train)  # wrong ones are told
    if config.model.ngram_slots:
        with suppress(MemoryError):  # which is told once the network is trained
            yield from linear_of(prepared.train, config, np.random.default_rng(config.training.seed), prepared.linears)
    try:
        model = yield from fit(config, rows.train, rows.validation, prepared=prepared, context=Context(should_stop=should_stop))
    except TrainingStoppedError as error:
        fitted.append(error.fitted)
        raise
    fitted.append(model)


def _write(results: Results, study: Study, splits: Splits) -> None:
    """Write what was found so far: the table of trials, and the best settings.

    Raises:
        TrainingError: It cannot be written.
    """
    config, best = study.config, study.best
    rows = table(study.trials, config, list(study.space))
    try:
        with results.taking(TABLE) as (path, force):
            write_text(path, _csv(rows), force=force)
        if best is not None:
            metric = config.training.metric
            assert splits.validation is not None
            lines = (
                f"# Found by textcls tune: {metric} {best.metrics[metric]:.4f} on {len(splits.validation):,} validation rows,\n"
            )
            lines += f"# the best of {len(study.trials)} trials. Settings that are not here have their defaults.\n"
            lines += "" if study.settled else f"# {_UNSETTLED}\n"
            with results.taking(BEST) as (path, force):
                write_text(path, lines + study.settings(best).to_yaml(defaults=False), force=force)
    except OSError as error:
        raise TrainingError(
            f"{results.folder}: cannot be written: {error.strerror}; make room, then go on with --resume"
        ) from error


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def table(ends: Sequence[TrialEnd], config: Config, space: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each trial, the best first: what came of it, then the searched settings it had."""
    metric = config.training.metric
    rows = []
    for end in sorted(ends, key=lambda end: rank(end, metric), reverse=True):
        row = {"trial": end.number, "origin": end.origin, "ending": end.ending, metric: end.metrics.get(metric)}
        row |= {name: value for name, value in end.metrics.items() if name != metric}
        row |= {"best_epoch": end.best_epoch, "epochs": end.epochs, "seconds": round(end.seconds, 1)}
        row |= {
            "searched_seconds": round(end.searched, 1),
            **{name: end.changes.get(name, setting(config, name)) for name in space},
        }
        rows.append({name: "none" if name == "text.vectors" and value is None else value for name, value in row.items()})
    return rows
