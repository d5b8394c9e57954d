"""One trial of a search: a whole model, whose network is trained as long as it is worth it and there is time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from textcls.config import Config
from textcls.data import Rows
from textcls.errors import TrainingError
from textcls.training.events import Ending, EpochEnd, Event, Note, Progress, TrialEnd, TrialStart
from textcls.training.finish import linear_of
from textcls.training.fit import Fitted, TrainingStoppedError, fit
from textcls.training.loop import Context, standing
from textcls.training.losses import class_weights
from textcls.training.prepare import Prepared, prepare

_ENDING_SECONDS = 4.0  # of the budget, at most a tenth of it, kept for the picture and what else ends a search


class Budget:
    """The time that a search may take.

    Args:
        minutes: From now on.

    Attributes:
        before: Seconds that it took before it was interrupted.
        finishing: Seconds that trials took at most from the last step of the network to the whole model.
        pressed: Whether somebody wants it to end before.
    """

    def __init__(self, minutes: float) -> None:
        self.before = self.finishing = 0.0
        self.pressed: Callable[[], bool] = lambda: False
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


class PreparedRows:
    """The rows of a search, and what they are as numbers: once for each value of `text.vectors`."""

    def __init__(self, train: Rows, validation: Rows) -> None:
        self.train, self.validation = train, validation
        self._prepared: dict[str | None, Prepared] = {}

    def of(self, config: Config) -> Generator[Event, None, Prepared]:
        """Return the rows as numbers, for some settings."""
        source = config.text.vectors
        if source not in self._prepared:
            self._prepared[source] = yield from prepare(config, self.train, self.validation)
        return self._prepared[source]


@dataclass
class Trial:
    """One trial.

    Attributes:
        start: What it tries.
        config: Its settings.
        budget: Ends its network.
        should_prune: Asked after each epoch; once true, it is not worth going on with.
        best: The best trial before it. Without one, what there is of the first epoch is evaluated whatever the time.
    """

    start: TrialStart
    config: Config
    budget: Budget
    should_prune: Callable[[EpochEnd], bool]
    best: TrialEnd | None
    _ending: Ending = field(default="finished", init=False)
    _reason: str = field(default="", init=False)
    _epochs: int = field(default=0, init=False)  # begun
    _best_epoch: int | None = field(default=None, init=False)
    _last_step: float = field(default=0.0, init=False)  # when it was
    _whole: bool = field(default=False, init=False)  # whether the last epoch ended
    _fitted: Fitted | None = field(default=None, init=False)

    def train(self, rows: PreparedRows, report: Callable[[Event], None]) -> TrialEnd:
        """Train the model, report progress and epochs, and return what came of it."""
        begun = time.monotonic()
        with closing(self._training(rows)) as training:
            for event in training:
                if isinstance(event, Note):
                    continue
                self._see(event)
                report(event)
                if self._best_epoch is None and self.best is not None and self._should_stop():
                    break  # there is nothing to say of it
        ended, figures = time.monotonic(), {}
        if self._fitted is not None:
            self.budget.finishing = max(self.budget.finishing, ended - self._last_step)
            figures = self._fitted.artifact.metrics["validation"]
        end = TrialEnd(
            **asdict(self.start),
            metrics={name: value for name, value in figures.items() if isinstance(value, float)},
            best_epoch=self._best_epoch,
            epochs=self._epochs,
            seconds=ended - begun,
            ending=self._ending,
            reason=self._reason,
            searched=self.budget.taken,
            best=False,
        )
        metric = self.config.training.metric
        better = self.best is None or rank(end, metric) > rank(self.best, metric)
        return replace(end, best=bool(end.metrics) and better)

    def _training(self, rows: PreparedRows) -> Generator[Event, None, None]:
        """Train a whole model; also the one that is left where training fails is kept.

        The linear classifier is fitted first, where earlier trials did not do so: a trial that is stopped has no more time for it.
        """
        config, context = self.config, Context(should_stop=self._should_stop)
        try:
            prepared = yield from rows.of(config)
            class_weights(config.training, prepared.train)  # wrong ones are told
            if config.model.ngram_slots:
                with suppress(MemoryError):  # which is told once the network is trained
                    yield from linear_of(prepared.train, config, np.random.default_rng(config.training.seed), prepared.linears)
            self._fitted = yield from fit(config, rows.train, rows.validation, prepared=prepared, context=context)
        except TrainingError as error:
            self._ending, self._reason = "failed", str(error)
            self._fitted = error.fitted if isinstance(error, TrainingStoppedError) else None

    def _see(self, event: Progress | EpochEnd) -> None:
        self._epochs = event.epoch
        if isinstance(event, Progress):
            self._last_step = time.monotonic()
            return
        self._best_epoch = event.epoch if event.best else self._best_epoch
        self._whole = event.epoch == self.config.training.epochs
        if self.should_prune(event) and not (self._whole or self._should_stop()):
            self._ending = "pruned"

    def _should_stop(self) -> bool:
        """Whether the network must end."""
        if self._ending == "finished" and not self._whole and self.budget.over():
            self._ending = "stopped"
        return self._ending != "finished"


def rank(end: TrialEnd, metric: str) -> tuple[bool, float, float]:
    """Return by what trials are compared, higher is better: whether it did not fail, then as epochs are."""
    return end.ending != "failed", *(standing(end.metrics, metric) or (-math.inf, -math.inf))
