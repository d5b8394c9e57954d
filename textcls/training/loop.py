"""The training loop: a generator that yields what happened, while whoever runs it draws, logs and saves."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import torch

from textcls.config import TrainingSettings
from textcls.errors import TrainingError
from textcls.model import Network
from textcls.model.device import reduced_precision
from textcls.training.batches import LabelledSplit
from textcls.training.checkpoint import Checkpoints, TrainingState
from textcls.training.distributed import ALONE, World
from textcls.training.events import EpochEnd, Event, Note, Progress
from textcls.training.failures import explained
from textcls.training.scoring import validation_metrics
from textcls.training.step import Step, make_step

_LOWER_IS_BETTER = frozenset({"log_loss"})
# Validation rows below which `training.keep: auto` keeps the last epoch. With 6 or 20 rows (trec, banking77, bbc; 9 runs) it was 0 to
# 3.8 points of a held-out fifth better than the one of least loss, in the mean of a set; with 400 and more from .1 better to .8 worse.
_ENOUGH_TO_CHOOSE = 100


@dataclass(frozen=True)
class Context:
    """What training has around it, and most of it need not know.

    Attributes:
        checkpoints: Where it goes on from, and what it leaves behind.
        world: The processes that train together.
        should_stop: Asked after each step; once true, the best weights so far are kept and training ends.
    """

    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    world: World = ALONE
    should_stop: Callable[[], bool] = lambda: False


def training_loop(
    network: Network,
    train: LabelledSplit,
    validation: LabelledSplit | None,
    settings: TrainingSettings,
    context: Context | None = None,
) -> Generator[Event, None, TrainingError | None]:
    """Train a network; when the generator ends, it holds the best weights that validation saw.

    Args:
        network: On its device already.
        train: Rows to learn from.
        validation: Rows that choose the best epoch; without them, or with few, the last one is kept.
        settings: Optimiser, schedule, regularisation, early stopping.
        context: Checkpoints, other processes, and what may stop it.

    Yields:
        `Progress` several times a second, `EpochEnd`, and a `Note` where early stopping ends it.

    Returns:
        What ended training too soon, where an epoch before it left weights to keep.

    Raises:
        ConfigError: `training.class_weights` does not fit the labels, or leaves no row that weighs something.
        TrainingError: The loss is no longer a finite number, memory or disk is full, or another process ended, in the first epoch.
    """
    context = context or Context()
    step = make_step(network, train, settings, context.world)
    loss = torch.zeros((), device=next(network.parameters()).device)
    state = TrainingState(network, step.optimizer, np.random.default_rng(settings.seed), loss)
    choosing = kept_epoch(settings, validation) == "best"
    context.checkpoints.restore(state, settings, train.encoded.lengths, choosing=choosing)
    if validation is not None and settings.keep == "auto" and not choosing:
        few = f"{len(validation.encoded):,} validation rows are" if len(validation.encoded) > 1 else "one validation row is"
        yield Note(f"{few} too few to choose the best epoch by: the last one is kept (training.keep)")
    failure = None
    try:
        with reduced_precision(settings.precision):
            stopped = False
            while not (stopped or state.finished):
                stopped = yield from _steps(step, state, train, settings, context)
                yield from _end_epoch(state, validation, settings, context, stopped=stopped)
                stopped = stopped or context.should_stop()
    except (TrainingError, RuntimeError, MemoryError) as error:
        failure = explained(error, f"in epoch {state.epoch}, step {state.step + 1}")
        if failure is None:
            raise
        if not state.best_weights:
            raise failure from None
    network.load_state_dict(state.best_weights)
    return failure


def _steps(
    step: Step, state: TrainingState, train: LabelledSplit, settings: TrainingSettings, context: Context
) -> Generator[Event, None, bool]:
    """Make the steps of the epoch that are left; return whether they were stopped."""
    batches = state.batches(train.encoded.lengths, settings)
    rows = [0, *accumulate(map(len, batches))]  # behind each step
    clock, reported, loss_then = state.clock, state.step, state.loss.clone()
    state.network.train()
    clock.go()
    for batch in step.batches(batches, state.epoch, state.step):
        middle = (rows[state.step] + rows[state.step + 1]) / 2  # so no rate is 0
        context.world.seed(settings.seed, state.epoch, state.step)
        share = (state.epoch - 1 + middle / rows[-1]) / settings.epochs
        state.loss += step(batch, settings.learning_rate * learning_rate_factor(share, settings))
        state.step += 1
        clock.count(batch.tokens)
        stopping = context.should_stop()
        if clock.report_due() or state.step == len(batches) or stopping:
            mean = (state.loss - loss_then).item() / (state.step - reported)  # waits for the device, so not in every step
            if not math.isfinite(mean) and context.world.first:
                raise _diverged(f"the loss became {mean}", state)
            reported, loss_then = state.step, state.loss.clone()
            done = (state.epoch - 1 + rows[state.step] / rows[-1]) / settings.epochs
            left = clock.seconds / done * (1 - done)
            yield from _told(step)
            yield Progress(state.epoch, settings.epochs, state.step, len(batches), mean, clock.tokens_per_second(), left)
            if stopping or context.checkpoints.due():
                _check_finite(state)
                context.checkpoints.save(state)
        if stopping:
            return True
    return False


def _told(step: Step) -> Generator[Event, None, None]:
    """Tell the notes of a step, once."""
    notes, step.notes = step.notes, []
    yield from map(Note, notes)


def _end_epoch(
    state: TrainingState, validation: LabelledSplit | None, settings: TrainingSettings, context: Context, *, stopped: bool
) -> Generator[Event, None, None]:
    """Evaluate the averaged weights, keep them if they are the best, and stand before the next epoch unless this one was stopped."""
    choosing, world = kept_epoch(settings, validation) == "best", context.world
    speed, seconds = state.clock.end_epoch()
    metrics: dict[str, Any] = {}
    with state.optimizer.averaged():
        _check_finite(state)
        if validation is not None and world.first:
            metrics = validation_metrics(state.network, validation)
        better = world.agreed(state.is_better(standing(metrics, settings.metric) if choosing else None))
        state.keep(better)
    train_loss, rate = world.mean(state.loss).item() / state.step, state.optimizer.rate
    yield EpochEnd(state.epoch, train_loss, metrics, rate, speed, seconds, better)
    if stopped:  # in the middle of the epoch, from where a resumed run goes on
        return
    early = choosing and state.epochs_without_better >= settings.patience
    state.end_epoch()
    state.finished = early or state.epoch > settings.epochs
    context.checkpoints.save(state)
    if early:
        epoch = state.epoch - 1
        yield Note(f"stopped after epoch {epoch}: {settings.metric} is best in epoch {epoch - state.epochs_without_better}")


def learning_rate_factor(done: float, settings: TrainingSettings) -> float:
    """Return the share of the peak learning rate at a share `done` of all steps: a linear rise, then the schedule's fall."""
    if done < settings.warmup:
        return done / settings.warmup
    fallen = (done - settings.warmup) / (1 - settings.warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * fallen))
    return 1 - fallen if settings.schedule == "linear" else 1.0


def kept_epoch(settings: TrainingSettings, validation: LabelledSplit | None) -> Literal["best", "last"]:
    """Return which epoch's weights are kept."""
    if validation is None:
        return "last"
    if settings.keep == "auto":
        return "best" if len(validation.encoded) >= _ENOUGH_TO_CHOOSE else "last"
    return settings.keep


def standing(metrics: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Return by what epochs are compared, higher is better: the metric, then minus the log loss; None without validation."""
    if not metrics:
        return None
    log_loss = metrics.get("log_loss")
    return metrics[metric] * (-1 if metric in _LOWER_IS_BETTER else 1), -math.inf if log_loss is None else -log_loss


def _check_finite(state: TrainingState) -> None:
    """Make sure that the weights are numbers to go on from: a step comes after the look at its loss.

    Raises:
        TrainingError: They are not.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in state.network.parameters()):
        raise _diverged("the weights are no longer finite numbers", state)


def _diverged(what: str, state: TrainingState) -> TrainingError:
    return TrainingError(f"{what} in epoch {state.epoch}, step {state.step}: lower training.learning_rate")
