"""A search for better settings: trials within a time budget, compared by their validation rows, and a folder with what it found."""

from __future__ import annotations

import csv
import io
import signal
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textcls.config import Config
from textcls.data import load_splits
from textcls.errors import ConfigError, MissingPackageError, TrainingError
from textcls.evaluation.search_plot import plot_search
from textcls.files import remove_torn, write_text
from textcls.training.events import EpochEnd, Event, Note, SearchEvent, TrialEnd, TrialStart
from textcls.training.folder import check_folder, check_links, check_spares, files_read, held
from textcls.training.interrupt import interruptible
from textcls.training.pictures import drawn
from textcls.training.results import Results
from textcls.training.run import data_sums, lasting
from textcls.training.space import searched, setting
from textcls.training.trial import Budget, PreparedRows, Trial, rank

if TYPE_CHECKING:
    from textcls.training.study import Study

STUDY, BEST, TABLE, PICTURE = "trials.db", "best.yaml", "trials.csv", "search.png"
WRITTEN = (STUDY, BEST, TABLE, PICTURE)
_FEW_TRIALS = 10
_WAY = 3  # raised where trials compare something else, or choices change: older studies are then of no use
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
    folder, space, budget = Path(folder), searched(search, fixed), Budget(minutes)

    def check() -> None:
        check_links(folder, WRITTEN)
        if not resume:
            check_folder(folder, force, STUDY)
            check_spares(folder, WRITTEN, files_read(config, test=False))

    with ExitStack() as stack:
        stack.enter_context(held(folder, make=not resume))
        check()
        study = stack.enter_context(closing(_study_class()(folder / STUDY, space, config)))
        if resume:
            study.resume()
            budget.before = max((end.searched for end in study.trials), default=0.0)
        results = Results(folder, WRITTEN, force=force)
        rows = _rows(study, report)
        searching = _Searching(study, rows, budget, results, report, check, begun=bool(study.trials))
        pressed = stack.enter_context(interruptible(lambda: searching.begun, (signal.SIGINT, signal.SIGTERM)))
        budget.pressed = pressed
        best = searching.run()
        results.check()
        return Search(folder, study.trials, best, study.settings(best), tuple(study.space), pressed(), pressed.number)


def _study_class() -> type[Study]:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("a search needs Optuna, which is not installed: pip install 'textcls[tune]'") from error
    from textcls.training.study import Study

    return Study


def _rows(study: Study, report: Callable[[SearchEvent], None]) -> PreparedRows:
    """Read the rows to train on and to compare by; the study is to be begun with them, or to go on with the same.

    Raises:
        InputError: They cannot be used, or the study was begun with other rows or settings.
    """
    config = study.config
    study.expect("the way of searching", _WAY)
    study.expect("settings", lasting(config))
    study.expect("model.ngram_slots", config.model.ngram_slots)
    study.expect("--search", list(study.space))
    splits = load_splits(config.data, test=False)
    study.expect("data", data_sums(splits))
    if splits.validation is None:
        raise ConfigError("a search compares settings by validation rows: set data.validation or data.validation_share")
    for note in splits.notes:
        report(Note(note))
    return PreparedRows(splits.train, splits.validation)


@dataclass
class _Searching:
    """A search under way: it trains what the study proposes, tells of it, and writes what was found.

    Attributes:
        check: Refuses the folder, right before anything is written there: it may have filled since the search began.
        begun: Whether an epoch ended: before the first there is nothing to keep, and nothing is written.
    """

    study: Study
    rows: PreparedRows
    budget: Budget
    results: Results
    report: Callable[[SearchEvent], None]
    check: Callable[[], None]
    begun: bool

    def run(self) -> TrialEnd:
        """Make trials until the time is over, and draw what came of them; return the best.

        Raises:
            TrainingError: There is none, or the disk is full.
        """
        study = self.study
        for note in self._prepare():
            self.report(note)
        if not study.trials or self._has_time():
            study.optimize(self._train, self._goes_on)
        if study.exhausted:
            self.report(Note("the search ends here: of the searched settings there is nothing left to try"))
        best = study.best
        if best is None:
            failed = [end.reason for end in study.trials if end.reason]
            raise TrainingError(failed[0] if failed else "no trial could be made: give the search more --minutes")
        if not study.settled:
            self.report(Note(_UNSETTLED))
        remove_torn(self.results.folder)
        rows, metric = table(study.trials, study.config, study.space), study.config.training.metric
        kinds = {name: values.kind for name, values in study.space.items()}
        for note in drawn(self.results, PICTURE, lambda path: plot_search(rows, metric, kinds, path)):
            self.report(note)
        return best

    def _prepare(self) -> Generator[Event, None, None]:
        """Turn the rows into numbers as the given settings have it, which tells whether there are vectors."""
        prepared = yield from self.rows.of(self.study.config)
        self.study.know_vectors(prepared.vectors)

    def _train(self, start: TrialStart, should_prune: Callable[[EpochEnd], bool]) -> TrialEnd:
        """Make one trial."""
        self.report(start)
        config = self.study.config.replace(start.changes)
        return Trial(start, config, self.budget, should_prune, self.study.best).train(self.rows, self._tell)

    def _tell(self, event: Event) -> None:
        """Tell an event of a trial; the end of the first epoch is the first thing to keep."""
        if isinstance(event, EpochEnd) and not self.begun:
            self._write()
        self.report(event)

    def _goes_on(self, end: TrialEnd) -> bool:
        """Tell and write what came of a trial; return whether there is time for another."""
        self.report(end)
        self._write()
        if not self._has_time():
            return False
        if end.number == 1 and (others := self.budget.left / end.seconds) < _FEW_TRIALS:
            few = f"there is time for about {others:.0f} more trials as long as this one; more --minutes would find more"
            self.report(Note(few))
        return True

    def _has_time(self) -> bool:
        """Whether there is time for an epoch, and what goes with it, of the quickest trial: with less none is begun."""
        quickest = min((end.seconds / end.epochs for end in self.study.trials if end.best_epoch is not None), default=0.0)
        return not self.budget.over() and self.budget.left >= quickest

    def _write(self) -> None:
        """Write what was found so far: the study, the table of trials, and the best settings.

        Raises:
            TrainingError: It cannot be written.
        """
        if not self.begun:
            self.check()
        self.begun = True
        try:
            with self.results.taking(STUDY) as (path, force):
                self.study.save(path, force=force)
            for name, text in self._texts():
                with self.results.taking(name) as (path, force):
                    write_text(path, text, force=force)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise TrainingError(
                f"{self.results.folder}: cannot be written: {reason}; make room, then go on with --resume"
            ) from error

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of the files to read, once there is something to read."""
        study, best = self.study, self.study.best
        if study.trials:
            yield TABLE, _csv(table(study.trials, study.config, study.space))
        if best is not None:
            metric, rows = study.config.training.metric, len(self.rows.validation)
            head = f"# Found by textcls tune: {metric} {best.metrics[metric]:.4f} on {rows:,} validation rows,\n"
            head += f"# the best of {len(study.trials)} trials. Settings that are not here have their defaults.\n"
            head += "" if study.settled else f"# {_UNSETTLED}\n"
            yield BEST, head + study.settings(best).to_yaml(defaults=False)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def table(ends: Sequence[TrialEnd], config: Config, space: Iterable[str]) -> list[dict[str, Any]]:
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
