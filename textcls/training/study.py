"""The trials of one search as a study of Optuna's: what to try next, when to give a trial up, what came of each."""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning, TrialPruned
from optuna.trial import FrozenTrial, TrialState

from textcls.config import Config
from textcls.errors import InputError, differences
from textcls.files import replacing
from textcls.training.events import EpochEnd, TrialEnd, TrialStart
from textcls.training.loop import standing
from textcls.training.space import Choice, Range, changes, setting, starts, with_vectors
from textcls.training.trial import rank

if TYPE_CHECKING:
    from textcls.text.vectors import PretrainedVectors

_NAME = "textcls"  # of the study in the file
_RANDOM_TRIALS = 6  # before the sampler builds on what it has seen
_FULL_TRIALS, _FULL_EPOCHS = 3, 3  # that are never pruned: the first trials to finish, the first epochs of each
_NEVER_PRUNED = frozenset({"given", "default"})  # of which one is the defaults, which nothing may be worse than
_MOST_REPEATS = 30  # proposals in a row that were tried before: then there is little left to try, if anything

ShouldPrune = Callable[[EpochEnd], bool]


class Study:
    """The trials of one search: a study of Optuna's, in memory, with what is kept of it in a SQLite file.

    Trials are proposed by the tree-structured Parzen estimator (Bergstra et al., 2011; multivariate: Falkner et al., 2018), and
    given up where an epoch is worse than the median of the others (Golovin et al., 2017); the defaults are never given up. What is
    proposed depends on the seed and on the results before it alone, so that a search that was interrupted goes on as it would have.

    What came of a trial is a user attribute of Optuna's, `end`; so is `start`, what one from the queue tries.

    Args:
        path: The file to go on from.
        space: The settings to search.
        config: The given settings.

    Attributes:
        path: The file to go on from.
        config: The given settings.
        space: The settings to search.
    """

    def __init__(self, path: Path, space: Mapping[str, Range | Choice], config: Config) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # of what it did, we tell ourselves
        self.path, self.space, self.config = path, space, config
        self._begun_with: dict[str, Any] | None = None  # where it is resumed
        self._vectors: str | None = None  # that `text.vectors` led to
        self._repeats = 0  # proposals in a row
        self._storage = optuna.storages.RDBStorage("sqlite://")
        self._pruner = optuna.pruners.MedianPruner(n_startup_trials=_FULL_TRIALS, n_warmup_steps=_FULL_EPOCHS + 1)
        self._study = optuna.create_study(storage=self._storage, study_name=_NAME, pruner=self._pruner, direction="maximize")

    @property
    def trials(self) -> tuple[TrialEnd, ...]:
        """What came of each trial so far; of one that started over and was stopped again, the better result."""
        ends: dict[int, TrialEnd] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if end := _end(trial):
                before = ends.get(end.number)
                if before is None or end.ending != "stopped" or self._rank(end) >= self._rank(before):
                    ends[end.number] = end
        return tuple(ends.values())

    @property
    def best(self) -> TrialEnd | None:
        """The best trial so far; None where no epoch of any ended."""
        return max((end for end in self.trials if end.metrics), key=self._rank, default=None)

    @property
    def settled(self) -> bool:
        """Whether the best trial is surely no worse than textcls's defaults: they are the best, or were tried to their end."""
        default = next((changed for origin, changed in starts(self.space, self.config) if origin == "default"), {})
        ended = any(end.changes == default and end.ending != "stopped" for end in self.trials)
        return ended or self.best is None or self.best.changes == default

    @property
    def exhausted(self) -> bool:
        """Whether nothing came up for long that was not tried."""
        return self._repeats >= _MOST_REPEATS

    def settings(self, end: TrialStart) -> Config:
        """Return the settings of a trial with the vectors that it had, wherever they are used then."""
        config = self.config.replace(end.changes)
        if config.text.vectors == "auto":
            config = config.replace({"text.vectors": self._vectors})
        return config

    def save(self, path: Path, *, force: bool = True) -> None:
        """Write a file, whole or not at all.

        Args:
            path: The file.
            force: Whether what stands there gives way; else the new file is kept beside it.

        Raises:
            AppearedError: Without `force`, something stands there.
            OSError: It cannot be written.
            sqlite3.Error: It cannot.
        """
        with replacing(path, force=force) as new, closing(sqlite3.connect(new)) as file, self._memory() as memory:
            memory.backup(file)

    def resume(self) -> None:
        """Read the file of a search that was interrupted.

        Raises:
            InputError: There is none.
        """
        try:
            if not self.path.is_file():  # which SQLite would make
                raise FileNotFoundError
            with closing(sqlite3.connect(self.path)) as file, self._memory() as memory:
                file.backup(memory)
            self._study = optuna.load_study(storage=self._storage, study_name=_NAME, pruner=self._pruner)
            self._begun_with = self._study.user_attrs
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # it was killed
                self._study.tell(trial.number, state=TrialState.FAIL)
            _ = self.trials
        except Exception:  # whatever damage leads SQLAlchemy and Optuna to
            raise InputError(
                f"{self.path}: holds no search to go on with; start anew, with --force over what is there"
            ) from None

    def expect(self, name: str, value: Any) -> None:
        """Note what the search was begun with; one that goes on must have the same.

        Raises:
            InputError: It has not; the difference is named.
        """
        if self._begun_with is None:
            self._study.set_user_attr(name, value)
        elif odd := list(differences(self._begun_with.get(name), value, name)):
            raise InputError(
                f"{self.path.parent}: cannot be resumed, for {'; '.join(odd[:3])}; put it back, or start another search"
            )

    def know_vectors(self, vectors: PretrainedVectors | None) -> None:
        """Take in what `text.vectors` led to: without vectors there is nothing to search there.

        Raises:
            ConfigError: Nothing else is searched.
            InputError: The search was begun with others.
        """
        self.expect("text.vectors", None if vectors is None else {"name": vectors.name, "sha256": vectors.sha256})
        self.space = with_vectors(self.space, self.config, found=vectors is not None)
        self._vectors = None if vectors is None else vectors.name

    def optimize(self, train: Callable[[TrialStart, ShouldPrune], TrialEnd], goes_on: Callable[[TrialEnd], bool]) -> None:
        """Make one trial after the other, until it is enough or nothing is left to try.

        Args:
            train: Trains with some settings, asks after each epoch whether it is worth going on, and returns what came of it.
            goes_on: Takes in what came of a trial; returns whether there shall be another.
        """

        def after(study: optuna.Study, trial: FrozenTrial) -> None:
            end = _end(trial)
            if self.exhausted if end is None else not goes_on(end):
                study.stop()
            else:
                self._ready()

        self._ready()
        self._study.optimize(lambda trial: self._objective(trial, train), callbacks=[after])

    def close(self) -> None:
        """Free the memory."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _objective(self, trial: optuna.Trial, train: Callable[[TrialStart, ShouldPrune], TrialEnd]) -> float:
        """Train with what a trial proposes, unless that was tried before; return what Optuna is to know of it.

        Raises:
            TrialPruned: It was given up, or failed.
        """
        start = self._start(trial)
        end = next((end for end in self.trials if end.changes == start.changes and end.number != start.number), None)
        self._repeats = self._repeats + 1 if end else 0
        if end is None:
            end = train(start, lambda epoch: self._should_prune(trial, start, epoch))
            trial.set_user_attr("end", asdict(end))
        if end.ending == "stopped" or not trial.params:  # half a trial, or outside of the space: nothing to build on
            return math.nan
        if end.ending != "finished":
            raise TrialPruned
        return self._value(end.metrics)

    def _start(self, trial: optuna.Trial) -> TrialStart:
        """Return what a trial tries: what was queued, else what the sampler proposes."""
        if queued := trial.user_attrs.get("start"):
            start = TrialStart(**queued)
            for name in self._values(start):
                self.space[name].suggest(trial, name)
            return start
        drawn = {name: values.suggest(trial, name) for name, values in self.space.items()}
        return TrialStart(len(self.trials) + 1, changes(self.config, drawn), "search")

    def _should_prune(self, trial: optuna.Trial, start: TrialStart, epoch: EpochEnd) -> bool:
        """Take in the result of an epoch, and say whether the trial is worth going on with."""
        trial.report(self._value(epoch.metrics), epoch.epoch)
        return start.origin not in _NEVER_PRUNED and trial.should_prune()

    def _ready(self) -> None:
        """Queue what comes before the sampler's turn, and give the sampler its seed.

        That is the last trial, where it was stopped and starts over, or the next of those that a search starts with: one at a time,
        as in Optuna's queue the former would wait for all the latter.
        """
        made, first, done = self._study.get_trials(deepcopy=False), starts(self.space, self.config), len(self.trials)
        last = _end(made[-1]) if made else None
        if last is not None and last.ending == "stopped":
            self._queue(TrialStart(last.number, last.changes, last.origin), made[-1].params)
        elif done < len(first):
            origin, changed = first[done]
            self._queue(TrialStart(done + 1, changed, origin), {})
        seen = sum(trial.state in {TrialState.COMPLETE, TrialState.PRUNED} for trial in made)
        seed = (self.config.training.seed + seen) % 2**32  # what Optuna draws with takes no more
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=_RANDOM_TRIALS, seed=seed)

    def _queue(self, start: TrialStart, drawn: dict[str, Any]) -> None:
        """Queue a trial, with what Optuna drew for it before."""
        self._study.enqueue_trial(self._values(start) | drawn, user_attrs={"start": asdict(start)})

    def _values(self, start: TrialStart) -> dict[str, Any]:
        """Return the values of the searched settings; none where one lies outside of the space, which Optuna does not take."""
        values = {name: start.changes.get(name, setting(self.config, name)) for name in self.space}
        return values if all(value in self.space[name] for name, value in values.items()) else {}

    def _value(self, metrics: Mapping[str, Any]) -> float:
        """Return the validation metric, higher is better."""
        compared = standing(metrics, self.config.training.metric)
        assert compared is not None
        return compared[0]

    def _rank(self, end: TrialEnd) -> tuple[bool, float, float]:
        return rank(end, self.config.training.metric)

    @contextmanager
    def _memory(self) -> Iterator[sqlite3.Connection]:
        """Give the connection behind Optuna's storage."""
        self._storage.remove_session()
        with closing(self._storage.engine.raw_connection()) as connection:
            yield connection.driver_connection  # type: ignore[misc]


def _end(trial: FrozenTrial) -> TrialEnd | None:
    """Return what came of a trial; None where it was killed, or repeats another."""
    return TrialEnd(**trial.user_attrs["end"]) if "end" in trial.user_attrs else None
