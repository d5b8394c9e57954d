"""The trials of a search in Optuna's storage: what to try next, when to give a trial up, what came of each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textcls.config import Config
from textcls.errors import InputError, MissingPackageError, TrainingError, differences
from textcls.training.events import TrialEnd, TrialStart
from textcls.training.loop import standing
from textcls.training.space import Choice, Range, changes, setting, starts, with_vectors

if TYPE_CHECKING:
    import optuna

    from textcls.text.vectors import PretrainedVectors

_NAME = "textcls"  # of the study in the file
_RANDOM_TRIALS = 6  # before the sampler builds on what it has seen
_FULL_TRIALS, _FULL_EPOCHS = 3, 3  # that are never pruned: the first trials to finish, the first epochs of each
_NEVER_PRUNED = frozenset({"given", "default"})  # of which one is the defaults, which nothing may be worse than
_MOST_REPEATS = 30  # proposals in a row that were tried before: then there is little left to try, if anything


class Study:
    """The trials of one search, kept in a SQLite file that is made with the first result.

    Trials are proposed by the tree-structured Parzen estimator (Bergstra et al., 2011; multivariate: Falkner et al., 2018), and
    given up where an epoch is worse than the median of the others (Golovin et al., 2017); the defaults are never given up. What is
    proposed depends on the seed and on the results before it alone, so that a search that was interrupted goes on as it would have.

    Args:
        path: The file.
        space: The settings to search.
        config: The given settings.
        check: Refuses the folder, right before the first file is written there.

    Attributes:
        path: The file.
        config: The given settings.
        space: The settings to search.

    Raises:
        MissingPackageError: Optuna is not installed.
    """

    def __init__(
        self,
        path: Path,
        space: Mapping[str, Range | Choice],
        config: Config,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        _require_optuna()
        self.path, self._check = path, check
        self.config, self.space = config, space
        self._vectors: str | None = None  # that `text.vectors` led to
        self._about: dict[str, Any] = {}
        self._ends: dict[int, TrialEnd] = {}
        self._storage: optuna.storages.RDBStorage | None = None
        self._study: optuna.Study | None = None
        self._trial: optuna.Trial | None = None
        self._start: TrialStart | None = None  # of the trial under way, or of one that was stopped and shall start over
        self._fixed: dict[str, Any] | None = None  # what Optuna drew for the latter

    @property
    def trials(self) -> tuple[TrialEnd, ...]:
        """What came of each trial so far."""
        return tuple(self._ends.values())

    @property
    def best(self) -> TrialEnd | None:
        """The best trial so far; None where no epoch of any ended."""
        return max((end for end in self.trials if end.metrics), key=self.rank, default=None)

    @property
    def settled(self) -> bool:
        """Whether the best trial is surely no worse than textcls's defaults: they are the best, or were tried to their end."""
        default = next((changed for origin, changed in starts(self.space, self.config) if origin == "default"), {})
        ended = any(end.changes == default and end.ending != "stopped" for end in self.trials)
        return ended or self.best is None or self.best.changes == default

    def rank(self, end: TrialEnd) -> tuple[bool, float, float]:
        """Return by what trials are compared, higher is better."""
        return rank(end, self.config.training.metric)

    def settings(self, end: TrialStart) -> Config:
        """Return the settings of a trial with the vectors that it had, wherever they are used then."""
        config = self.config.replace(end.changes)
        if config.text.vectors == "auto":
            config = config.replace({"text.vectors": self._vectors})
        return config

    def know_vectors(self, vectors: PretrainedVectors | None) -> None:
        """Take in what `text.vectors` led to: without vectors there is nothing to search there.

        Raises:
            ConfigError: Nothing else is searched.
            InputError: The search was begun with others.
        """
        self.expect("text.vectors", None if vectors is None else {"name": vectors.name, "sha256": vectors.sha256})
        self.space = with_vectors(self.space, self.config, found=vectors is not None)
        self._vectors = None if vectors is None else vectors.name

    def resume(self) -> None:
        """Read what the search left that was interrupted; a trial that was under way starts over.

        Raises:
            InputError: There is none.
        """
        import optuna

        try:
            if not self.path.is_file():
                raise KeyError
            self._storage = _storage(self.path)
            self._study = optuna.load_study(study_name=_NAME, storage=self._storage, pruner=_pruner())
            self._about = dict(self._study.user_attrs["about"])
        except Exception:  # whatever damage leads SQLAlchemy and Optuna to
            raise InputError(
                f"{self.path}: holds no search to go on with; start anew, with --force over what is there"
            ) from None
        for trial in self._study.trials:
            if "end" in trial.user_attrs:
                self._keep(TrialEnd(**trial.user_attrs["end"]))
            if trial.state == optuna.trial.TrialState.RUNNING:
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            killed = "start" in trial.user_attrs and "end" not in trial.user_attrs
            stopped = trial.user_attrs.get("end", {}).get("ending") == "stopped"
            self._start = TrialStart(**trial.user_attrs["start"]) if killed or stopped else None
            self._fixed = trial.params if killed or stopped else None

    def expect(self, name: str, value: Any) -> None:
        """Note what the search was begun with; one that goes on must have the same.

        Raises:
            InputError: It has not; the difference is named.
        """
        if self._study is not None and (odd := list(differences(self._about.get(name), value, name))):
            raise InputError(
                f"{self.path.parent}: cannot be resumed, for {'; '.join(odd[:3])}; put it back, or start another search"
            )
        self._about[name] = value

    def propose(self) -> TrialStart | None:
        """Return what to try next; None where nothing came up that was not tried."""
        first, number = starts(self.space, self.config), len(self._ends) + 1
        if self._start is not None:  # starts over
            self._trial = None
        elif number <= len(first):
            origin, changed = first[number - 1]
            self._start = TrialStart(number, changed, origin)
        else:
            self._start = self._searched()
        return self._start

    def should_prune(self, epoch: int, metrics: Mapping[str, Any]) -> bool:
        """Take in the result of an epoch, and say whether the trial is worth going on with."""
        with _writing(self.path):
            trial = self._under_way()
            trial.report(self._value(metrics), epoch)
            assert self._start is not None
            return self._start.origin not in _NEVER_PRUNED and trial.should_prune()

    def take(self, end: TrialEnd) -> None:
        """Take in what came of the trial under way.

        Raises:
            TrainingError: It cannot be written.
        """
        with _writing(self.path):
            trial = self._under_way()
            trial.set_user_attr("end", asdict(end))
            self._tell(trial, end)
        self._keep(end)
        self._start = self._trial = self._fixed = None

    def close(self) -> None:
        """Close the file."""
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _tell(self, trial: optuna.Trial, end: TrialEnd) -> None:
        """Let Optuna know what came of a trial."""
        from optuna.trial import TrialState

        if end.ending == "stopped" or not trial.params:  # half a trial, or outside of the space: nothing to build on
            self._opened().tell(trial, state=TrialState.FAIL)
        elif end.ending == "finished":
            self._opened().tell(trial, self._value(end.metrics))
        else:
            self._opened().tell(trial, state=TrialState.PRUNED)

    def _value(self, metrics: Mapping[str, Any]) -> float:
        """Return the validation metric, higher is better."""
        compared = standing(metrics, self.config.training.metric)
        assert compared is not None
        return compared[0]

    def _keep(self, end: TrialEnd) -> None:
        """Keep a result; of a trial that started over and was stopped again, the better one."""
        before = self._ends.get(end.number)
        if before is None or end.ending != "stopped" or self.rank(end) >= self.rank(before):
            self._ends[end.number] = end

    def _searched(self) -> TrialStart | None:
        """Ask the sampler for settings that were not tried."""
        tried = {_key(end.changes): end for end in self.trials}
        for _ in range(_MOST_REPEATS):
            self._trial = self._ask({})
            values = {name: self.space[name].plain(value) for name, value in self._trial.params.items()}
            start = TrialStart(len(self._ends) + 1, changes(self.config, values), "search")
            known = tried.get(_key(start.changes))
            if known is None:
                self._trial.set_user_attr("start", asdict(start))
                return start
            self._tell(self._trial, known)
        return None

    def _under_way(self) -> optuna.Trial:
        """Return Optuna's side of the trial that was proposed, which has none before it yields something."""
        assert self._start is not None
        if self._trial is None:
            values = {name: self._start.changes.get(name, setting(self.config, name)) for name in self.space}
            inside = all(value in self.space[name] for name, value in values.items())
            self._trial = self._ask(self._fixed or values) if inside else self._opened().ask()
            self._trial.set_user_attr("start", asdict(self._start))
        return self._trial

    def _ask(self, fixed: Mapping[str, Any]) -> optuna.Trial:
        """Begin a trial of Optuna's with some values, the others drawn."""
        import optuna

        study = self._opened()
        seen = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED))
        seed = (self.config.training.seed + len(seen)) % 2**32  # what Optuna draws with takes no more
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=_RANDOM_TRIALS, seed=seed)
            study.sampler = optuna.samplers.PartialFixedSampler(dict(fixed), sampler) if fixed else sampler
        trial = study.ask()
        for name, values in self.space.items():
            if isinstance(values, Choice):
                trial.suggest_categorical(name, values.values)
            elif values.whole:
                trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
            else:
                trial.suggest_float(name, values.low, values.high, log=values.log)
        return trial

    def _opened(self) -> optuna.Study:
        """Return Optuna's side of the search, with its file."""
        import optuna

        if self._study is None:
            self._check()  # it may have filled since the search began
            self._check = lambda: None  # from here on what is there is ours, also where it could not be written whole
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self._storage = _storage(self.path)
            self._study = optuna.create_study(study_name=_NAME, storage=self._storage, pruner=_pruner(), direction="maximize")
            self._study.set_user_attr("about", self._about)
        return self._study


def _require_optuna() -> None:
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError("a search needs Optuna, which is not installed: pip install 'textcls[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # of what it did, we tell ourselves


def _storage(path: Path) -> optuna.storages.RDBStorage:
    import optuna
    from sqlalchemy import URL

    return optuna.storages.RDBStorage(URL.create("sqlite", database=str(path)).render_as_string())


def _pruner() -> optuna.pruners.BasePruner:
    import optuna

    return optuna.pruners.MedianPruner(n_startup_trials=_FULL_TRIALS, n_warmup_steps=_FULL_EPOCHS + 1)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what a full disk leads to into one line.

    Raises:
        TrainingError: The file cannot be written.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OSError, SQLAlchemyError, StorageInternalError) as error:
        reason = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error).splitlines()[0]
        raise TrainingError(f"{path}: cannot be written: {reason}; make room, then go on with --resume") from error


def rank(end: TrialEnd, metric: str) -> tuple[bool, float, float]:
    """Return by what trials are compared, higher is better: whether it did not fail, then as epochs are."""
    return end.ending != "failed", *(standing(end.metrics, metric) or (-math.inf, -math.inf))


def _key(values: Mapping[str, Any]) -> str:
    return repr(sorted(values.items()))
