"""The training loop: a generator that yields what happened, while whoever runs it draws, logs and saves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textcls.config import TrainingSettings
from textcls.errors import ConfigError, TrainingError
from textcls.evaluation import Targets, choose_thresholds, evaluate, in_single_precision, probabilities_of
from textcls.model import Network, PackedBatch, pack
from textcls.model.device import full_precision
from textcls.model.packing import batches_of_tokens
from textcls.text import UNK, Encoded
from textcls.training.average import MovingAverage
from textcls.training.batches import shuffled_batches
from textcls.training.events import EpochEnd, Event, Note, Progress

_REPORT_SECONDS = 0.2  # between two progress events; only then is the loss read from the device
_SCORE_TOKENS = 16_384  # of one batch; the LSTM on the CPU takes about 100 bytes a hidden unit for each
_MOST_WEIGHT = 20  # of having a label, where balanced: the few texts of a rare one would else outweigh all others
_LOWER_IS_BETTER = frozenset({"log_loss"})


@dataclass(frozen=True)
class LabelledSplit:
    """One split as numbers.

    Attributes:
        encoded: The texts.
        targets: Class of each text, int64 [n]; or with many labels a text whether it has each one, bool [n, labels]. A class
            beyond the model's is a label it does not know.
        labels: Text of each class: the model's first, then those that only this split has.
    """

    encoded: Encoded
    targets: Targets
    labels: tuple[str, ...]

    @property
    def many(self) -> bool:
        """Whether a text may have many labels, or none."""
        return self.targets.ndim == 2


def training_loop(
    network: Network,
    train: LabelledSplit,
    validation: LabelledSplit | None,
    settings: TrainingSettings,
    should_stop: Callable[[], bool],
) -> Iterator[Event]:
    """Train a network; when the generator ends, it holds the best weights that validation saw.

    Args:
        network: On its device already.
        train: Rows to learn from.
        validation: Rows that choose the best epoch; without them the last one is kept.
        settings: Optimiser, schedule, regularisation, early stopping.
        should_stop: Asked after each step; once true, the best weights so far are kept and the loop ends.

    Yields:
        `Progress` several times a second, `EpochEnd`, and a `Note` where early stopping ends it.

    Raises:
        ConfigError: `training.class_weights` does not fit the labels.
        TrainingError: The loss is no longer a finite number.
    """
    generator = np.random.default_rng(settings.seed)
    optimizer = build_optimizer(network, settings)
    average = MovingAverage(network, settings.average)
    weights = class_weights(settings, train).to(next(network.parameters()).device)
    steps_per_epoch = math.ceil(len(train.targets) / settings.batch_size)
    total_steps = steps_per_epoch * settings.epochs
    best, best_state, epochs_without_better = None, None, 0
    clock = _Clock()

    for epoch in range(1, settings.epochs + 1):
        epoch_loss = torch.zeros((), device=weights.device)
        recent_loss, recent_steps = torch.zeros_like(epoch_loss), 0
        clock.start_epoch()
        network.train()
        batches = shuffled_batches(train.encoded.lengths, settings.batch_size, generator)
        for step, rows in enumerate(batches, start=1):
            done = (epoch - 1) * steps_per_epoch + step
            middle = (done - 0.5) / total_steps  # of this step, so that none has the rate 0
            rate = settings.learning_rate * learning_rate_factor(middle, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, tokens = train_step(network, train, rows, optimizer, weights, settings)
            average.update()
            epoch_loss += loss
            recent_loss += loss
            recent_steps += 1
            clock.count(tokens)
            stopping = should_stop()
            if clock.report_due() or step == len(batches) or stopping:
                mean = recent_loss.item() / recent_steps  # waits for the device, so not in every step
                if not math.isfinite(mean):
                    raise TrainingError(f"the loss became {mean} in epoch {epoch}, step {step}: lower training.learning_rate")
                recent_loss.zero_()
                recent_steps = 0
                left = clock.seconds() / done * (total_steps - done)
                yield Progress(epoch, settings.epochs, step, len(batches), mean, clock.tokens_per_second(), left)
            if stopping:
                break

        speed, seconds = clock.end_epoch()
        metrics: dict[str, Any] = {}
        better = True
        with average.applied():
            if validation is not None:
                metrics = validation_metrics(network, validation)
                score = metrics[settings.metric] * (-1 if settings.metric in _LOWER_IS_BETTER else 1)
                better = best is None or score > best
                best = score if better else best
            if better:
                best_state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        epochs_without_better = 0 if better else epochs_without_better + 1
        train_loss = epoch_loss.item() / step
        yield EpochEnd(epoch, train_loss, metrics, rate, speed, seconds, better)
        if should_stop():
            break
        if validation is not None and epochs_without_better >= settings.patience:
            yield Note(f"stopped after epoch {epoch}: {settings.metric} is best in epoch {epoch - epochs_without_better}")
            break
    assert best_state is not None
    network.load_state_dict(best_state)


def train_step(
    network: Network,
    train: LabelledSplit,
    rows: NDArray[np.int64],
    optimizer: torch.optim.Optimizer,
    weights: Tensor,
    settings: TrainingSettings,
) -> tuple[Tensor, int]:
    """Learn from one batch; return its loss, (), and its tokens."""
    device = weights.device
    batch = pack(train.encoded.ids, train.encoded.offsets, rows).to(device)
    targets = torch.from_numpy(train.targets[rows]).to(device)
    logits = network(drop_words(batch, settings.word_dropout))  # (batch, classes)
    loss = loss_of(logits, targets, weights, settings.label_smoothing)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), settings.clip, foreach=True)
    optimizer.step()
    return loss.detach(), len(batch.ids)


def loss_of(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy, a mean over the texts by weight; with many labels a text the binary one, a mean over texts and labels.

    Args:
        logits: (batch, classes).
        targets: Classes, int64 (batch,), or whether each text has each label, bool (batch, classes).
        weights: Of each class, (classes,); with many labels a text they weigh having the label alone.
        smoothing: Share of the target spread over all classes, or over having the label and not having it.
    """
    if targets.dim() == 1:
        return nn.functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing)
    drawn = targets * (1 - smoothing) + smoothing / 2  # to 0.5
    return nn.functional.binary_cross_entropy_with_logits(logits, drawn, pos_weight=weights)


def drop_words(batch: PackedBatch, share: float) -> PackedBatch:
    """Replace a random share of the tokens by `<unk>`, so that the network learns to do without any one word."""
    if share == 0:
        return batch
    dropped = (torch.rand(batch.ids.shape, device=batch.ids.device) < share) & (batch.ids > 0)
    return PackedBatch(batch.ids.masked_fill(dropped, UNK), batch.batch_sizes, batch.sorted_indices, batch.unsorted_indices)


def build_optimizer(network: Network, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter, 2019) that decays the matrices of the layers, not embeddings and biases."""
    trainable = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in trainable if p.dim() > 1 and not name.startswith("embedding")]
    plain = [p for name, p in trainable if p.dim() == 1 or name.startswith("embedding")]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def learning_rate_factor(done: float, settings: TrainingSettings) -> float:
    """Return the share of the peak learning rate at a share `done` of all steps: a linear rise, then the schedule's fall."""
    if done < settings.warmup:
        return done / settings.warmup
    fallen = (done - settings.warmup) / (1 - settings.warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * fallen))
    return 1 - fallen if settings.schedule == "linear" else 1.0


def class_weights(settings: TrainingSettings, train: LabelledSplit) -> Tensor:
    """Return the weight of each class in the loss, float32 (classes,).

    Raises:
        ConfigError: `training.class_weights` leaves a label out, or names one that training does not have.
    """
    classes = len(train.labels)
    if isinstance(settings.class_weights, Mapping):
        given = settings.class_weights
        if set(given) != set(train.labels):
            odd = sorted(set(given) ^ set(train.labels))
            raise ConfigError(f"training.class_weights must name each label of the training rows once; check {', '.join(odd)}")
        return torch.tensor([given[label] for label in train.labels])
    if settings.class_weights == "balanced" and train.many:
        having = train.targets.sum(axis=0)
        ratios = (len(train.targets) - having) / np.maximum(having, 1)
        return torch.tensor(ratios.clip(1 / _MOST_WEIGHT, _MOST_WEIGHT), dtype=torch.float32)
    if settings.class_weights == "balanced":
        counts = np.bincount(train.targets, minlength=classes)
        return torch.tensor(len(train.targets) / (classes * counts), dtype=torch.float32)
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
    """Evaluate the network as it is on the validation split, with the thresholds that are best there."""
    probabilities = probabilities_of(score(network, validation.encoded), many=validation.many)
    report = evaluate(probabilities, validation.targets, validation.labels, best_thresholds(probabilities, validation))
    return {name: value for name, value in report.items() if name != "per_class"}


def best_thresholds(probabilities: NDArray[np.float64], split: LabelledSplit) -> NDArray[np.float32] | None:
    """Choose the threshold of each label on a split, float32 [classes]; None where a text has one label."""
    if not split.many:
        return None
    known = split.targets[:, : probabilities.shape[1]].astype(np.bool_)
    return in_single_precision(choose_thresholds(probabilities.astype(np.float32), known))


class _Clock:
    """Seconds and tokens of training, evaluation left out."""

    def __init__(self) -> None:
        self._finished_seconds = 0.0
        self._finished_tokens = 0
        self.start_epoch()

    def start_epoch(self) -> None:
        self._start = self._reported = time.perf_counter()
        self._epoch_tokens = 0

    def count(self, tokens: int) -> None:
        self._epoch_tokens += tokens

    def report_due(self) -> bool:
        now = time.perf_counter()
        due = now - self._reported >= _REPORT_SECONDS
        self._reported = now if due else self._reported
        return due

    def seconds(self) -> float:
        return self._finished_seconds + time.perf_counter() - self._start

    def tokens_per_second(self) -> float:
        return (self._finished_tokens + self._epoch_tokens) / max(self.seconds(), 1e-9)

    def end_epoch(self) -> tuple[float, float]:
        """Return the epoch's tokens per second and its seconds."""
        seconds = time.perf_counter() - self._start
        self._finished_seconds += seconds
        self._finished_tokens += self._epoch_tokens
        return self._epoch_tokens / max(seconds, 1e-9), seconds
