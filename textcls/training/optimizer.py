"""AdamW and the moving average of the weights; for the embedding table at the cost of the rows that a batch uses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from textcls.config import TrainingSettings
from textcls.model import Network
from textcls.text import PAD

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8  # AdamW's usual ones
_BLOCK = 65_536  # rows worked on at once, where all of them are
_MOST_STEPS = 2**24  # where AdamW's own count, a float, stands still
_TINY = 1e-30  # where shares that shrink in each step stop: sums no longer feel them, and smaller floats are slow


class Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) that decays the matrices of the layers, not embeddings and biases.

    With it goes the moving average of the weights (Polyak and Juditsky, 1992, with forgetting), which is what is evaluated and
    kept. Its decay grows from small to `training.average` over the first steps, so that it soon forgets the initial weights.

    Args:
        network: On its device already. Its embedding table no longer asks for gradients: a batch's vectors, handed out by
            `vectors`, take its place.
        settings: Learning rate, weight decay, average, clip; whether the embedding table learns.

    Attributes:
        steps: How many were made.
        rate: Learning rate of the next one, and until it is set of the last.
    """

    def __init__(self, network: Network, settings: TrainingSettings) -> None:
        self.steps, self.rate = 0, settings.learning_rate
        self._settings = settings
        self._network = network
        self.table = None if settings.freeze_embeddings else TableOptimizer(network.embedding.weight.data)
        network.embedding.weight.requires_grad_(False)
        self._weights: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._weights]
        groups = [
            {"params": [p for p in self._weights if p.dim() > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in self._weights if p.dim() == 1], "weight_decay": 0.0},
        ]
        self._adamw = torch.optim.AdamW(groups, lr=self.rate, betas=(_BETA1, _BETA2), eps=_EPS, fused=True)
        for weight in self._weights:  # as AdamW does before its first step: there from the start for `state` and `restore`
            moments = {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
            self._adamw.state[weight] = {"step": torch.zeros((), dtype=torch.float32, device=weight.device), **moments}

    def vectors(self, types: Tensor) -> Tensor:
        """Return the vectors of some tokens as the next step's leaf, (types, embedding); a step learns them if they ask for it.

        Args:
            types: Ids, each once, int64 (types,).
        """
        if self.table is None:
            return self._network.embedding.weight.index_select(0, types)
        return self.table.rows(types).requires_grad_()

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        self._adamw.zero_grad()

    @torch.no_grad()
    def step(self, types: Tensor, vectors: Tensor, scale: float = 1.0) -> None:
        """Clip the gradients, take a step, and take the new weights into the average.

        Args:
            types: Ids that `vectors` was asked for, int64 (types,).
            vectors: What it gave, with its gradient, (types, embedding).
            scale: What the loss was multiplied by.
        """
        learned = self._weights
        if vectors.grad is not None:
            vectors.grad.masked_fill_((types == PAD)[:, None], 0)  # `<pad>` never learns
            learned = [*learned, vectors]
        if scale != 1:
            torch._foreach_div_([tensor.grad for tensor in learned if tensor.grad is not None], scale)
        nn.utils.clip_grad_norm_(learned, self._settings.clip, foreach=True)
        self.steps += 1
        decay = min(self._settings.average, (1 + self.steps) / (10 + self.steps))
        for group in self._adamw.param_groups:
            group["lr"] = self.rate
        self._adamw.step()
        torch._foreach_lerp_(self._average, self._weights, 1 - decay)
        if self.table is not None and vectors.grad is not None:
            self.table.step(vectors.grad, self.rate * self._settings.embedding_rate, decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the average in the place of the weights for the length of a block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: numbers, and tensors whose names and shapes do not change."""
        moments = [self._adamw.state[weight] for weight in self._weights]
        return {
            "steps": self.steps,
            "rate": self.rate,
            "momentum": [one["exp_avg"] for one in moments],
            "squared": [one["exp_avg_sq"] for one in moments],
            "average": self._average,
            "table": None if self.table is None else self.table.state(),
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; the network's weights are restored with the network."""
        self.steps, self.rate = state["steps"], state["rate"]
        own = self.state()
        for name in ("momentum", "squared", "average"):
            for tensor, saved in zip(own[name], state[name], strict=True):
                tensor.copy_(saved)
        for weight in self._weights:
            self._adamw.state[weight]["step"].fill_(min(self.steps, _MOST_STEPS))
        if self.table is not None:
            self.table.restore(state["table"])

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange weights and average in place: nobody who holds a weight's memory need know."""
        kept = [weight.clone() for weight in self._weights]
        torch._foreach_copy_(self._weights, self._average)
        torch._foreach_copy_(self._average, kept)
        if self.table is not None:
            self.table.catch_up()
            self.table.swap()


class TableOptimizer:
    """Adam and the moving average over an embedding table, at the cost of the rows in use.

    A row that a batch leaves out has the gradient zero, and Adam still moves it, by its momentum, and the average still follows.
    But until its next use everything about it is known beforehand: momentum and squared gradient shrink by a factor a step, so
    after some steps the row has moved by `u * moved`, where `u = momentum / sqrt(squared)` is the row's and `moved` depends on the
    steps alone; likewise its average is `left * average + (1 - left) * row - u * lagging`. So four numbers a row are kept up to
    date, and the row itself only when it is used. Equal to the dense step but for rounding, and for `eps`, which the rows left out
    feel as of their last use.

    Args:
        table: The weights, (vocabulary, embedding), changed in place.
    """

    def __init__(self, table: Tensor) -> None:
        self.table, self.average = table, table.clone()
        self._rows = (table, self.average, torch.zeros_like(table), torch.zeros_like(table))  # the last: Adam's two moments
        self._last = torch.zeros(len(table), dtype=torch.int64, device=table.device)  # step of the row's last use
        self._steps = 0
        self._drawn: tuple[Tensor, tuple[Tensor, ...]]  # ids and rows that were handed out last
        # Of each row since then: the momentum's share over the squared gradient's, what it moved by, what the average lags by,
        # and the share of the old average that is left.
        self._nothing_pending = table.new_tensor([[1.0], [0.0], [0.0], [1.0]])
        self._pending = self._nothing_pending.repeat(1, len(table))

    def rows(self, types: Tensor) -> Tensor:
        """Return some rows as they are now, (types, embedding), a copy; a step may follow that learns them."""
        self._drawn = types, self._caught_up(types)
        return self._drawn[1][0].clone()

    @torch.no_grad()
    def catch_up(self) -> None:
        """Bring all rows to where the steps that left them out have taken them."""
        for start in range(0, len(self.table), _BLOCK):
            types = torch.arange(start, min(start + _BLOCK, len(self.table)), device=self.table.device)
            self._put(types, self._caught_up(types))

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float, decay: float) -> None:
        """Learn from the gradient of the rows that were handed out last, and let the others go on.

        Args:
            gradient: (types, embedding).
            rate: Learning rate.
            decay: Share of the old average that is kept.
        """
        self._steps += 1
        rate = min(rate, 1e30)  # all is lost far below it; beyond it the number itself overflows
        first, second = 1 - _BETA1**self._steps, 1 - _BETA2**self._steps  # Adam's corrections of its first steps
        shrunk, moved, lagging, left = self._pending
        shrunk.mul_(_BETA1 / math.sqrt(_BETA2)).clamp_(min=_TINY)
        moved.add_(shrunk, alpha=rate * math.sqrt(second) / first)
        lagging.mul_(decay).add_(moved, alpha=1 - decay)
        left.mul_(decay).clamp_(min=_TINY)

        types, (table, average, momentum, squared) = self._drawn
        momentum.lerp_(gradient, 1 - _BETA1)
        squared.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        table.addcdiv_(momentum, squared.sqrt().div_(math.sqrt(second)).add_(_EPS), value=-rate / first)
        average.lerp_(table, 1 - decay)
        self._put(types, (table, average, momentum, squared))

    def _caught_up(self, types: Tensor) -> tuple[Tensor, ...]:
        """Return weights, average, momentum and squared gradient of some rows as they are now, each (types, embedding)."""
        table, average, momentum, squared = (tensor.index_select(0, types) for tensor in self._rows)
        _, moved, lagging, left = (column[:, None] for column in self._pending.index_select(1, types))
        passed = (self._steps - self._last.index_select(0, types))[:, None].to(table.dtype)  # (types, 1)
        direction = momentum / (squared.sqrt() + _EPS)
        average.mul_(left).addcmul_(table, 1 - left).addcmul_(direction, lagging, value=-1)
        table.addcmul_(direction, moved, value=-1)
        return table, average, momentum.mul_(torch.pow(_BETA1, passed)), squared.mul_(torch.pow(_BETA2, passed))

    def _put(self, types: Tensor, rows: tuple[Tensor, ...]) -> None:
        """Write rows back as they are now."""
        for tensor, own in zip(self._rows, rows, strict=True):
            tensor.index_copy_(0, types, own)
        self._last.index_fill_(0, types, self._steps)
        self._pending.index_copy_(1, types, self._nothing_pending.expand(4, len(types)))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their average, in place: the network holds the table."""
        for start in range(0, len(self.table), _BLOCK):
            weights, average = self.table[start : start + _BLOCK], self.average[start : start + _BLOCK]
            kept = weights.clone()
            weights.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, beside the table itself."""
        return {
            "steps": self._steps,
            "average": self.average,
            "momentum": self._rows[2],
            "squared": self._rows[3],
            "last": self._last,
            "pending": self._pending,
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._steps = state["steps"]
        for name, tensor in self.state().items():
            if name != "steps":
                tensor.copy_(state[name])
