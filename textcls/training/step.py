"""One step of training: a batch, its loss and gradients, and what the optimiser makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from weakref import WeakMethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textcls.config import TrainingSettings
from textcls.model import Network
from textcls.model.device import autocast
from textcls.training.batches import LabelledSplit, TrainingBatch, made_ahead, make_batch, texts_a_step
from textcls.training.distributed import ALONE, World
from textcls.training.failures import SMALLER_NETWORK, memory_for
from textcls.training.graphs import GraphedCalls
from textcls.training.losses import class_weights, disagreement, divisor_of, loss_of, to_mean_one
from textcls.training.optimizer import Optimizer
from textcls.training.resident import Chosen, ResidentSplit, fits

_MOST_DENSE = 2**27
"""Values of an embedding table that learns whole on a GPU: 4 ms a step on an H200, where a step by rows takes longer."""


def make_step(network: Network, train: LabelledSplit, settings: TrainingSettings, world: World = ALONE) -> Step:
    """Return the step for a network: on a GPU the one whose rows lie there, where they and the optimiser find room.

    Args:
        network: On its device already.
        train: Rows to learn from.
        settings: Optimiser, schedule, regularisation.
        world: The processes that train together, each from its share of a batch.

    Raises:
        ConfigError: `training.class_weights` does not fit the labels, or leaves no row that weighs something.
        TrainingError: There is no memory for the optimiser.
    """
    table = network.embedding.weight
    if table.device.type == "cuda" and world.size == 1 and table.numel() <= _MOST_DENSE and fits(train, table.device):
        return ResidentStep(network, train, settings)
    return Step(network, train, settings, world)


class Step:
    """Learns from one batch after the other, each cut on the CPU.

    Args:
        network: On its device already.
        train: Rows to learn from.
        settings: Optimiser, schedule, regularisation.
        world: The processes that train together, each from its share of a batch.
        dense: Whether the whole embedding table learns in each step.

    Attributes:
        optimizer: With its moments, and the moving average of the weights.
        notes: What is to be told, once.

    Raises:
        ConfigError: `training.class_weights` does not fit the labels, or leaves no row that weighs something.
        TrainingError: There is no memory for the optimiser.
    """

    def __init__(
        self,
        network: Network,
        train: LabelledSplit,
        settings: TrainingSettings,
        world: World = ALONE,
        *,
        dense: bool = False,
    ) -> None:
        self._train, weights = to_mean_one(train, class_weights(settings, train))
        self._settings, self._world = settings, world
        like = next(network.parameters())
        self._device, self._weights = like.device, weights.to(like)
        with memory_for("the optimiser's moments", SMALLER_NETWORK):
            self.optimizer = Optimizer(network, settings, dense=dense)
        self._model = world.parallel(network)
        self.notes: list[str] = []

    def batches(self, rows: Sequence[NDArray[np.int64]], epoch: int, start: int = 0) -> Iterator[TrainingBatch | Chosen]:
        """Cut an epoch's batches, from a step on; for a GPU each while it works on the one before."""

        def make(step: int) -> TrainingBatch:
            return make_batch(self._train, rows[step], self._settings, self._world, epoch, step).to(self._device)

        return (made_ahead if self._device.type == "cuda" else map)(make, range(start, len(rows)))

    def __call__(self, batch: TrainingBatch | Chosen, rate: float) -> Tensor:
        """Learn from a batch, or from this process's share of it.

        Args:
            batch: From `batches`.
            rate: Learning rate.

        Returns:
            The loss, (); its mean over the processes is the batch's.
        """
        assert isinstance(batch, TrainingBatch)
        self.optimizer.begin(rate)
        return self._learn(batch)

    def _learn(self, batch: TrainingBatch) -> Tensor:
        """Take the step that the optimiser has begun; return the loss."""
        optimizer, types = self.optimizer, batch.types
        vectors = None if types is None else optimizer.vectors(types)  # (types, embedding)
        with autocast(self._device, self._settings.precision):
            logits = self._model(batch.texts, vectors).to(self._weights.dtype)  # (texts, classes)
        loss = self._loss(logits, batch)
        scaled = loss if optimizer.scale is None else loss * optimizer.scale.value
        optimizer.step(self._gradients(scaled, vectors), types if vectors is not None and vectors.requires_grad else None)
        return loss.detach()

    def _gradients(self, loss: Tensor, vectors: Tensor | None) -> list[Tensor]:
        """Return the gradients of what a step learns; of several processes their mean."""
        leaves = self.optimizer.leaves(vectors)
        if self._world.size == 1:
            return list(torch.autograd.grad(loss, leaves))
        loss.backward()  # type: ignore[no-untyped-call]  # of which DistributedDataParallel takes the mean
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        if vectors is not None and vectors.requires_grad:
            gradients[-1] = self._world.mean(gradients[-1])
        return gradients

    def _loss(self, logits: Tensor, batch: TrainingBatch) -> Tensor:
        settings, world, weights = self._settings, self._world, self._weights
        passes = 2 if settings.consistency else 1
        if world.size == 1:
            loss = loss_of(logits, batch.targets, weights, settings.label_smoothing, of_row=batch.weights, real=batch.real)
        else:  # the mean over the batch, not over the share; the gradients become means over the processes
            total = loss_of(logits, batch.targets, weights, settings.label_smoothing, "sum", of_row=batch.weights)
            divisor = divisor_of(self._train.targets[batch.rows], weights, by_row=batch.weights is not None)
            loss = total * (world.size * batch.own / (passes * divisor))
        if settings.consistency:
            apart = disagreement(logits, self._train.many)
            for factor in (batch.weights, batch.real):
                apart = apart if factor is None else apart * factor[: len(apart)]
            texts = len(batch.rows) if batch.real is None else batch.real.sum() / passes
            loss = loss + settings.consistency * apart.sum() * (world.size * batch.own / texts)
        return loss


class ResidentStep(Step):
    """Learns from rows that lie in the device's memory: told which, it cuts the batch there.

    Batches of like length have the same shape, which short ones are filled up to with texts that count nothing. So on a GPU the
    whole step, from the cut to the average of the weights, can be captured for each shape as one CUDA graph, and replayed.

    Args:
        network: On its device already.
        train: Rows to learn from.
        settings: Optimiser, schedule, regularisation; whether steps are captured.

    Raises:
        ConfigError: `training.class_weights` does not fit the labels, or leaves no row that weighs something.
        TrainingError: There is no memory for the optimiser.
    """

    def __init__(self, network: Network, train: LabelledSplit, settings: TrainingSettings) -> None:
        super().__init__(network, train, settings, dense=True)
        with memory_for("the training rows on the GPU", "lower training.batch_size or text.max_tokens"):
            self._split = ResidentSplit(self._train, self._device)
        self._most = min(texts_a_step(settings, len(train.targets)), len(train.targets))
        self._rows = torch.zeros(self._most, dtype=torch.int64, device=self._device)
        self._count, self._last_loss = (torch.zeros((), device=self._device) for _ in range(2))
        capture = settings.capture and self._device.type == "cuda"
        own_step = WeakMethod(self._step_of_shape)  # a cycle would keep rows, moments and graphs on the device for a while

        def work(texts: int, steps: int) -> None:
            step = own_step()
            assert step is not None
            step(texts, steps)

        self._work = GraphedCalls(work, self._device, capture=capture)

    @property
    def graphs(self) -> int:
        """How many shapes were captured."""
        return len(self._work.graphs)

    def batches(self, rows: Sequence[NDArray[np.int64]], epoch: int, start: int = 0) -> Iterator[Chosen]:  # noqa: ARG002
        """Bring the numbers of an epoch's rows to the device; return those of each step, from one on."""
        filled = self._settings.batch_tokens is None
        return self._split.chosen(rows[start:], self._most, filled=filled)

    def __call__(self, batch: TrainingBatch | Chosen, rate: float) -> Tensor:
        """Learn from a batch; see `Step`."""
        assert isinstance(batch, Chosen)
        self.optimizer.begin(rate)
        self._rows[: len(batch.rows)].copy_(batch.rows)
        self._count.fill_(batch.count)
        self._work(len(batch.rows), batch.steps)
        if self._work.failure:
            self.notes.append(self._work.failure)
            self._work.failure = ""
        return self._last_loss.clone()

    def _step_of_shape(self, texts: int, steps: int) -> None:
        """Take the step that the optimiser has begun, from the rows that were noted for it."""
        passes = 2 if self._settings.consistency else 1
        batch = self._split.cut(self._rows[:texts], self._count, steps, passes, self._settings.word_dropout)
        self._last_loss.copy_(self._learn(batch))
