"""What training yields while it runs; whoever runs it draws, logs and saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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


Event = Note | Progress | EpochEnd
