"""One step of training: a batch, its loss and gradients, and what the optimiser makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from textcls.config import TrainingSettings
from textcls.model import Network
from textcls.model.device import autocast
from textcls.training.batches import LabelledSplit, TrainingBatch, made_ahead, make_batch
from textcls.training.distributed import ALONE, World
from textcls.training.failures import SMALLER_NETWORK, memory_for
from textcls.training.losses import class_weights, disagreement, divisor_of, loss_of, to_mean_one
from textcls.training.optimizer import Optimizer

_FP16_SCALE = 1024.0  # of the loss: gradients of half precision are lost below 6e-8


class Step:
    """Learns from one batch after the other.

    Args:
        network: On its device already.
        train: Rows to learn from.
        settings: Optimiser, schedule, regularisation.
        world: The processes that train together, each from its share of a batch.

    Attributes:
        optimizer: With its moments, and the moving average of the weights.

    Raises:
        ConfigError: `training.class_weights` does not fit the labels, or leaves no row that weighs something.
        TrainingError: There is no memory for the optimiser.
    """

    def __init__(self, network: Network, train: LabelledSplit, settings: TrainingSettings, world: World = ALONE) -> None:
        self._train, weights = to_mean_one(train, class_weights(settings, train))
        self._settings, self._world = settings, world
        like = next(network.parameters())
        self._device, self._weights = like.device, weights.to(like)
        with memory_for("the optimiser's moments", SMALLER_NETWORK):
            self.optimizer = Optimizer(network, settings)
        self._model = world.parallel(network)

    def batches(self, rows: Sequence[NDArray[np.int64]], epoch: int, start: int = 0) -> Iterator[TrainingBatch]:
        """Cut an epoch's batches, from a step on; for a GPU each while it works on the one before."""

        def make(step: int) -> TrainingBatch:
            return make_batch(self._train, rows[step], self._settings, self._world, epoch, step).to(self._device)

        return (made_ahead if self._device.type == "cuda" else map)(make, range(start, len(rows)))

    def __call__(self, batch: TrainingBatch, rate: float) -> Tensor:
        """Learn from a batch, or from this process's share of it.

        Args:
            batch: From `batches`.
            rate: Learning rate.

        Returns:
            The loss, (); its mean over the processes is the batch's.
        """
        optimizer, settings = self.optimizer, self._settings
        optimizer.rate = rate
        vectors = optimizer.vectors(batch.types)  # (types, embedding)
        with autocast(self._device, settings.precision):
            logits = self._model(batch.texts, vectors).to(self._weights.dtype)  # (texts, classes)
        loss = self._loss(logits, batch)
        scale = _FP16_SCALE if settings.precision == "fp16" else 1.0
        optimizer.zero_grad()
        (loss * scale).backward()  # type: ignore[no-untyped-call]
        if vectors.grad is not None:
            vectors.grad = self._world.mean(vectors.grad)  # of the others, DistributedDataParallel has done it
        optimizer.step(batch.types, vectors, scale)
        return loss.detach()

    def _loss(self, logits: Tensor, batch: TrainingBatch) -> Tensor:
        settings, world, weights = self._settings, self._world, self._weights
        passes = 2 if settings.consistency else 1
        if world.size == 1:
            loss = loss_of(logits, batch.targets, weights, settings.label_smoothing, of_row=batch.weights)
        else:  # the mean over the batch, not over the share; the gradients become means over the processes
            total = loss_of(logits, batch.targets, weights, settings.label_smoothing, "sum", of_row=batch.weights)
            divisor = divisor_of(self._train.targets[batch.rows], weights, by_row=batch.weights is not None)
            loss = total * (world.size * batch.own / (passes * divisor))
        if settings.consistency:
            apart = disagreement(logits, self._train.many)
            apart = apart if batch.weights is None else apart * batch.weights[: len(apart)]
            loss = loss + settings.consistency * apart.sum() * (world.size * batch.own / len(batch.rows))
        return loss
