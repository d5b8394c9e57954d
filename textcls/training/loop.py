"""The training loop: a generator that yields what happened, while whoever runs it draws, logs and saves."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textcls.config import TrainingSettings
from textcls.errors import ConfigError, TrainingError
from textcls.evaluation import Targets, choose_thresholds, evaluate_blocks, in_single_precision, probabilities_of
from textcls.model import Network, pack
from textcls.model.device import autocast, full_precision, reduced_precision
from textcls.model.packing import batches_of_tokens
from textcls.storage import row_blocks
from textcls.text import Encoded
from textcls.training.batches import LabelledSplit, TrainingBatch, made_ahead, make_batch
from textcls.training.checkpoint import Checkpoints, TrainingState
from textcls.training.distributed import ALONE, World
from textcls.training.events import EpochEnd, Event, Note, Progress
from textcls.training.failures import SMALLER_NETWORK, explained, memory_for
from textcls.training.optimizer import Optimizer

_SCORE_TOKENS = 16_384  # of one batch; the LSTM on the CPU takes about 100 bytes a hidden unit for each
_MOST_WEIGHT = 20  # of having a label, where balanced: the few texts of a rare one would else outweigh all others
_FP16_SCALE = 1024.0  # of the loss: gradients of half precision are lost below 6e-8
_LOWER_IS_BETTER = frozenset({"log_loss"})
# Validation rows below which `training.keep: auto` keeps the last epoch. With 6 or 20 rows (trec, banking77, bbc; 9 runs) it was 0 to
# 3.8 points of a held-out fifth better than the one of least loss, in the mean of a set; with 400 and more from .1 better to .8 worse.
_ENOUGH_TO_CHOOSE = 100


def training_loop(
    network: Network,
    train: LabelledSplit,
    validation: LabelledSplit | None,
    settings: TrainingSettings,
    should_stop: Callable[[], bool],
    checkpoints: Checkpoints | None = None,
    world: World = ALONE,
) -> Generator[Event, None, TrainingError | None]:
    """Train a network; when the generator ends, it holds the best weights that validation saw.

    Args:
        network: On its device already.
        train: Rows to learn from.
        validation: Rows that choose the best epoch; without them, or with few, the last one is kept.
        settings: Optimiser, schedule, regularisation, early stopping.
        should_stop: Asked after each step; once true, the best weights so far are kept and the loop ends.
        checkpoints: Where the loop goes on from, and what it leaves behind.
        world: The processes that train together.

    Yields:
        `Progress` several times a second, `EpochEnd`, and a `Note` where early stopping ends it.

    Returns:
        What ended training too soon, where an epoch before it left weights to keep.

    Raises:
        ConfigError: `training.class_weights` does not fit the labels, or leaves no row that weighs something.
        TrainingError: The loss is no longer a finite number, memory or disk is full, or another process ended, in the first epoch.
    """
    train, weights = to_mean_one(train, class_weights(settings, train))
    weights = weights.to(next(network.parameters()).device)
    order = np.random.default_rng(settings.seed)
    with memory_for("the optimiser's moments", SMALLER_NETWORK):
        optimizer = Optimizer(network, settings)
    state = TrainingState(network, optimizer, order, loss=torch.zeros((), device=weights.device))
    checkpoints = checkpoints or Checkpoints()
    choosing = kept_epoch(settings, validation) == "best"
    checkpoints.restore(state, settings, train.encoded.lengths, choosing=choosing)
    failure = None
    if validation is not None and settings.keep == "auto" and kept_epoch(settings, validation) == "last":
        few = f"{len(validation.encoded):,} validation rows are" if len(validation.encoded) > 1 else "one validation row is"
        yield Note(f"{few} too few to choose the best epoch by: the last one is kept (training.keep)")
    try:
        with reduced_precision(settings.precision):
            yield from _epochs(state, train, validation, settings, weights, should_stop, checkpoints, world)
    except (TrainingError, RuntimeError, MemoryError) as error:
        failure = explained(error, f"in epoch {state.epoch}, step {state.step + 1}")
        if failure is None:
            raise
        if not state.best_weights:
            raise failure from None
    network.load_state_dict(state.best_weights)
    return failure


def _epochs(
    state: TrainingState,
    train: LabelledSplit,
    validation: LabelledSplit | None,
    settings: TrainingSettings,
    weights: Tensor,
    should_stop: Callable[[], bool],
    checkpoints: Checkpoints,
    world: World,
) -> Iterator[Event]:
    """The loop itself: from where the state stands to the last epoch."""
    model, clock, choosing = world.parallel(state.network), state.clock, kept_epoch(settings, validation) == "best"
    batches_of = made_ahead if weights.device.type == "cuda" else map
    while not state.finished:
        recent_loss, recent_steps, stopping = torch.zeros_like(state.loss), 0, False
        model.train()
        clock.go()
        batches = state.batches(train.encoded.lengths, settings)
        sizes, steps = list(map(len, batches)), len(batches)
        seen, rows = sum(sizes[: state.step]), sum(sizes)

        def make(step: int, epoch: int = state.epoch, batches: list[NDArray[np.int64]] = batches) -> TrainingBatch:
            return make_batch(train, batches[step], settings, world, epoch, step).to(weights.device)

        for batch in batches_of(make, range(state.step, steps)):
            middle = (state.epoch - 1 + (seen + len(batch.rows) / 2) / rows) / settings.epochs  # so no rate is 0
            world.seed(settings.seed, state.epoch, state.step)
            state.optimizer.rate = settings.learning_rate * learning_rate_factor(middle, settings)
            loss = train_step(model, train, batch, state.optimizer, weights, settings, world)
            seen += len(batch.rows)
            state.step += 1
            state.loss += loss
            recent_loss += loss
            recent_steps += 1
            clock.count(batch.tokens)
            stopping = should_stop()
            if clock.report_due() or state.step == steps or stopping:
                mean = recent_loss.item() / recent_steps  # waits for the device, so not in every step
                if not math.isfinite(mean) and world.first:
                    raise _diverged(f"the loss became {mean}", state)
                recent_loss.zero_()
                recent_steps = 0
                done = (state.epoch - 1 + seen / rows) / settings.epochs
                left = clock.seconds / done * (1 - done)
                yield Progress(state.epoch, settings.epochs, state.step, steps, mean, clock.tokens_per_second(), left)
                if stopping or checkpoints.due():
                    _check_finite(state)
                    checkpoints.save(state)
            if stopping:
                break

        speed, seconds = clock.end_epoch()
        metrics: dict[str, Any] = {}
        with state.optimizer.averaged():
            _check_finite(state)
            if validation is not None and world.first:
                metrics = validation_metrics(state.network, validation)
            better = world.agreed(state.is_better(standing(metrics, settings.metric) if choosing else None))
            state.keep(better)
        train_loss, rate = world.mean(state.loss).item() / state.step, state.optimizer.rate
        yield EpochEnd(state.epoch, train_loss, metrics, rate, speed, seconds, better)
        if stopping:  # in the middle of the epoch, from where a resumed run goes on
            return
        early = choosing and state.epochs_without_better >= settings.patience
        state.end_epoch()
        state.finished = early or state.epoch > settings.epochs
        checkpoints.save(state)
        if early:
            epoch = state.epoch - 1
            yield Note(f"stopped after epoch {epoch}: {settings.metric} is best in epoch {epoch - state.epochs_without_better}")
        if should_stop():
            return


def kept_epoch(settings: TrainingSettings, validation: LabelledSplit | None) -> Literal["best", "last"]:
    """Return which epoch's weights are kept."""
    if validation is None:
        return "last"
    if settings.keep == "auto":
        return "best" if len(validation.encoded) >= _ENOUGH_TO_CHOOSE else "last"
    return settings.keep


def _check_finite(state: TrainingState) -> None:
    """Make sure that the weights are numbers to go on from: a step comes after the look at its loss.

    Raises:
        TrainingError: They are not.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in state.network.parameters()):
        raise _diverged("the weights are no longer finite numbers", state)


def _diverged(what: str, state: TrainingState) -> TrainingError:
    return TrainingError(f"{what} in epoch {state.epoch}, step {state.step}: lower training.learning_rate")


def standing(metrics: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Return by what epochs are compared, higher is better: the metric, then minus the log loss; None without validation."""
    if not metrics:
        return None
    log_loss = metrics.get("log_loss")
    return metrics[metric] * (-1 if metric in _LOWER_IS_BETTER else 1), -math.inf if log_loss is None else -log_loss


def train_step(
    network: nn.Module,
    train: LabelledSplit,
    batch: TrainingBatch,
    optimizer: Optimizer,
    weights: Tensor,
    settings: TrainingSettings,
    world: World = ALONE,
) -> Tensor:
    """Learn from one batch, or from this process's share of it; return the loss, (), whose mean over the processes is the batch's."""
    vectors = optimizer.vectors(batch.types)  # (types, embedding)
    with autocast(weights.device, settings.precision):
        logits = network(batch.packed, vectors).to(weights.dtype)  # (batch, classes)
    passes = 2 if settings.consistency else 1
    if world.size == 1:
        loss = loss_of(logits, batch.targets, weights, settings.label_smoothing, of_row=batch.weights)
    else:  # the mean over the batch, not over the share; the gradients become means over the processes
        total = loss_of(logits, batch.targets, weights, settings.label_smoothing, "sum", of_row=batch.weights)
        divisor = _divisor(train.targets[batch.rows], weights, by_row=batch.weights is not None)
        loss = total * (world.size * batch.own / (passes * divisor))
    if settings.consistency:
        apart = disagreement(logits, train.many)
        apart = apart if batch.weights is None else apart * batch.weights[: len(apart)]
        loss = loss + settings.consistency * apart.sum() * (world.size * batch.own / len(batch.rows))
    scale = _FP16_SCALE if settings.precision == "fp16" else 1.0
    optimizer.zero_grad()
    (loss * scale).backward()  # type: ignore[no-untyped-call]
    if vectors.grad is not None:
        vectors.grad = world.mean(vectors.grad)  # of the others, DistributedDataParallel has done it
    optimizer.step(batch.types, vectors, scale)
    return loss.detach()


def loss_of(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float,
    reduction: Literal["mean", "sum"] = "mean",
    *,
    of_row: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy, a mean over the texts by weight; with many labels a text the binary one, a mean over texts and labels.

    What a weight multiplies is all of a text, or of a text's entry for a label: its target with the smoothing in it. A weight on
    each class's share of the target would let the smoothing turn every text into the class that weighs most.

    Args:
        logits: (batch, classes).
        targets: Classes, int64 (batch,), or whether each text has each label, bool (batch, classes).
        weights: Of each class, (classes,): a text weighs what its class does. With many labels a text they are of having the
            label, and not having it weighs 1.
        smoothing: Share of the target spread over all classes, or over having the label and not having it.
        reduction: `sum` leaves the mean's division out.
        of_row: What each text weighs, (batch,), where `to_mean_one` has made all weights 1 in the mean: the mean is then over the
            number of texts, so that a batch of light ones teaches less than one of heavy ones.
    """
    if targets.dim() == 2:
        drawn = targets * (1 - smoothing) + smoothing / 2  # to 0.5
        of_entry = torch.where(targets, weights, 1.0)
        of_entry = of_entry if of_row is None else of_entry * of_row[:, None]
        return nn.functional.binary_cross_entropy_with_logits(logits, drawn, of_entry, reduction=reduction)
    log_p, of_text = logits.log_softmax(dim=1), weights[targets]
    mean_over: Tensor | float
    if of_row is None:
        own, mean_over = nn.functional.nll_loss(log_p, targets, weights, reduction="sum"), _sum_of(of_text)
    else:
        of_text, mean_over = of_text * of_row, float(len(targets))
        own = (nn.functional.nll_loss(log_p, targets, reduction="none") * of_text).sum()
    spread = -(log_p.sum(dim=1) * of_text).sum()
    divisor = mean_over if reduction == "mean" else 1.0
    return (1 - smoothing) * (own / divisor) + smoothing / len(weights) * (spread / divisor)  # torch's order: its bits


def disagreement(logits: Tensor, many: bool) -> Tensor:
    """Return how far two passes over each text are apart: half the sum of the Kullback-Leibler divergences both ways, (texts,).

    It draws the passes together and so regularises what dropout leaves apart (R-Drop: Liang et al., 2021). With many labels a text
    it is the mean over the labels.

    Args:
        logits: Those of the first pass, then those of the second, (2 * texts, classes).
        many: Whether a text may have many labels.
    """
    one, other = logits.chunk(2)
    if many:
        return ((one.sigmoid() - other.sigmoid()) * (one - other)).mean(dim=1) / 2
    return ((one.softmax(dim=1) - other.softmax(dim=1)) * (one - other)).sum(dim=1) / 2  # what the logs subtract cancels out


def _divisor(targets: Targets, weights: Tensor, *, by_row: bool) -> float:
    """Return what the sum of `loss_of` is divided by for its mean; `by_row`: rows have weights."""
    if targets.ndim == 2 or by_row:
        return float(targets.size)
    return float(_sum_of(weights[torch.from_numpy(targets).to(weights.device)]))


def _sum_of(weights: Tensor) -> Tensor:
    """Return the sum of the weights of some texts, (); 1 where it is 0, so that the mean loss of texts that weigh nothing is 0."""
    total = weights.sum()
    return torch.where(total > 0, total, 1.0)


def learning_rate_factor(done: float, settings: TrainingSettings) -> float:
    """Return the share of the peak learning rate at a share `done` of all steps: a linear rise, then the schedule's fall."""
    if done < settings.warmup:
        return done / settings.warmup
    fallen = (done - settings.warmup) / (1 - settings.warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * fallen))
    return 1 - fallen if settings.schedule == "linear" else 1.0


def to_mean_one(train: LabelledSplit, weights: Tensor) -> tuple[LabelledSplit, Tensor]:
    """Scale the weights of rows, where they have any, and those of classes, so that over all rows their mean is 1.

    The mean loss of a batch is then a sum over its texts, divided by how many they are, and its gradient is in the mean that of
    all rows, each as often as it weighs. Dividing by the weights of the batch instead would undo them where a batch has one text,
    or texts of like weight: batches are made of texts of like length.

    Raises:
        ConfigError: The rows that weigh something all have labels whose weight is 0.
    """
    if train.weights is None:
        return train, weights
    rows = train.weights / train.weights.mean()
    if not train.many:
        mean = float((rows * weights.numpy()[train.targets]).mean())
        if not mean:
            raise ConfigError(
                "training.class_weights are 0 for every label whose rows weigh something: nothing would be learnt"
            )
        weights = weights / mean
    return replace(train, weights=rows), weights


def class_weights(settings: TrainingSettings, train: LabelledSplit) -> Tensor:
    """Return the weight of each class in the loss, float32 (classes,); where rows have weights, balanced ones count them by these.

    Raises:
        ConfigError: `training.class_weights` leaves a label out, names one that training does not have, or gives all of them 0.
    """
    classes = len(train.labels)
    if isinstance(settings.class_weights, Mapping):
        given = settings.class_weights
        if set(given) != set(train.labels):
            odd = sorted(set(given) ^ set(train.labels))
            raise ConfigError(f"training.class_weights must name each label of the training rows once; check {', '.join(odd)}")
        if not any(given.values()):
            raise ConfigError("training.class_weights are all 0, so no label would be learnt: give some of them more")
        return torch.tensor([given[label] for label in train.labels])
    of_rows = np.ones(len(train.targets)) if train.weights is None else train.weights
    if settings.class_weights == "balanced" and train.many:
        having = of_rows @ train.targets
        ratios = (of_rows.sum() - having) / np.maximum(having, np.finfo(float).tiny)
        return torch.tensor(ratios.clip(1 / _MOST_WEIGHT, _MOST_WEIGHT), dtype=torch.float32)
    if settings.class_weights == "balanced":
        counts = np.bincount(train.targets, of_rows, minlength=classes)
        weighing = np.count_nonzero(counts)  # a class of rows that weigh nothing is as good as not there
        return torch.tensor(
            np.where(counts > 0, of_rows.sum() / (weighing * np.where(counts > 0, counts, 1)), 0), dtype=torch.float32
        )
    return torch.ones(classes)


@torch.inference_mode()
@full_precision()
def score(network: Network, encoded: Encoded) -> NDArray[np.float32]:
    """Return the logits of a split with the network as it is, dropouts off, float32 [n, classes]."""
    network.eval()
    device = next(network.parameters()).device
    logits = np.empty((len(encoded), network.classifier.out_features), np.float32)
    for rows in batches_of_tokens(encoded.lengths, _SCORE_TOKENS):
        logits[rows] = network(pack(encoded.ids, encoded.offsets, rows).to(device)).float().cpu().numpy()
    return logits


def validation_metrics(network: Network, validation: LabelledSplit) -> dict[str, Any]:
    """Evaluate the network as it is on the validation split, with the thresholds that are best there.

    Raises:
        TrainingError: Its weights are such that a logit is infinite or NaN.
    """
    logits = score(network, validation.encoded)
    if not np.isfinite(logits).all():
        raise TrainingError("the logits of validation rows are no longer finite numbers: lower training.learning_rate")
    many, targets = validation.many, validation.targets
    thresholds = best_thresholds(probabilities_of(logits, many=True), validation) if many else None
    blocks = ((probabilities_of(logits[rows], many=many), targets[rows]) for rows in row_blocks(*logits.shape))
    report = evaluate_blocks(blocks, validation.labels, thresholds)
    return {name: value for name, value in report.items() if name != "per_class"}


def best_thresholds(probabilities: NDArray[np.float64], split: LabelledSplit) -> NDArray[np.float32] | None:
    """Choose the threshold of each label on a split, float32 [classes]; None where a text has one label."""
    if not split.many:
        return None
    known = split.targets[:, : probabilities.shape[1]].astype(np.bool_)
    return in_single_precision(choose_thresholds(probabilities.astype(np.float32), known))
