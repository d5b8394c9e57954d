"""What training yields while it runs; whoever runs it draws, logs and saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Origin = Literal["given", "default", "known", "search"]
Ending = Literal["finished", "pruned", "stopped", "failed"]


@dataclass(frozen=True)
class Note:
    """Something a person should know, in one sentence."""

    text: str


@dataclass(frozen=True)
class Progress:
    """Where training stands, several times a second.

    Attributes:
        epoch: The epoch under way, from 1.
        epochs: Epochs at most.
        step: Steps done in this epoch.
        steps: Steps of one epoch.
        loss: Training loss since the last report, a mean over its steps.
        tokens_per_second: Tokens trained on in each second since training began, evaluation left out.
        seconds_left: Until the last epoch, should early stopping not end it sooner.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class EpochEnd:
    """The result of one epoch.

    Attributes:
        epoch: From 1.
        train_loss: Mean over the epoch's steps.
        metrics: Of the validation split, before calibration. Empty without that split.
        learning_rate: At the epoch's last step.
        tokens_per_second: Of this epoch, evaluation left out.
        seconds: Training took in this epoch, evaluation left out.
        best: Whether this is the best epoch so far.
    """

    epoch: int
    train_loss: float
    metrics: Mapping[str, Any]
    learning_rate: float
    tokens_per_second: float
    seconds: float
    best: bool


@dataclass(frozen=True)
class TrialStart:
    """A search begins to train with some settings.

    Attributes:
        number: From 1; a trial that was stopped keeps its number where it starts over.
        changes: By dotted name, the settings that differ from the given ones.
        origin: Where they come from: they are the `given` settings, textcls's `default` ones, what is `known` to help beside
            these, or what the `search` chose.
    """

    number: int
    changes: Mapping[str, Any]
    origin: Origin


@dataclass(frozen=True)
class TrialEnd(TrialStart):
    """What came of training with some settings.

    Attributes:
        metrics: Of the validation split: those of the whole model, the network of the best epoch with its n-grams, calibrated.
            Empty where no epoch ended.
        best_epoch: That epoch; None where no epoch ended.
        epochs: Epochs that were begun.
        seconds: The trial took.
        ending: `finished`; `pruned`, as it did worse than others had by then; `stopped`, as the search ended; `failed`.
        reason: Why it failed, in one line.
        searched: Seconds that the search had taken by then.
        best: Whether it is the best trial so far.
    """

    metrics: Mapping[str, Any]
    best_epoch: int | None
    epochs: int
    seconds: float
    ending: Ending
    reason: str
    searched: float
    best: bool


Event = Note | Progress | EpochEnd
SearchEvent = Event | TrialStart | TrialEnd
