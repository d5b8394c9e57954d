"""How the embedding table learns: at the cost of the rows that a batch uses, or as AdamW's weights do, at the cost of all rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # AdamW's usual ones
_MOST_STEPS = 2**24  # where AdamW's own count, a float, stands still
_BLOCK = 65_536  # rows worked on at once, where all of them are
_TINY = 1e-30  # where shares that shrink in each step stop: sums no longer feel them, and smaller floats are slow
_NOTHING_PENDING = (1.0, 0.0, 0.0, 1.0)


def new_moments(weight: Tensor) -> dict[str, Tensor]:
    """Return what AdamW keeps of a weight, as it is before the first step."""
    moments = {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
    return {"step": torch.zeros((), dtype=torch.float32, device=weight.device), **moments}


def set_steps(moments: Mapping[str, Tensor], steps: int) -> None:
    """Let AdamW count on from a number of steps."""
    moments["step"].fill_(min(steps, _MOST_STEPS))


class DenseTable:
    """A table that AdamW learns as it does every other weight.

    Args:
        weight: The table, (vocabulary, embedding).

    Attributes:
        weight: The same.
        average: Its moving average, of the same shape.
        moments: What AdamW keeps of it.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.average, self.moments = weight, weight.detach().clone(), new_moments(weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their average, in place."""
        _swap(self.weight, self.average)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: that of a `RowTable` none of whose rows waits for anything."""
        rows, device = len(self.weight), self.weight.device
        return {
            "average": self.average,
            "momentum": self.moments["exp_avg"],
            "squared": self.moments["exp_avg_sq"],
            "last": torch.full((rows,), int(self.moments["step"]), dtype=torch.int64, device=device),
            "pending": torch.tensor(_NOTHING_PENDING, device=device)[:, None].repeat(1, rows),
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any], steps: int) -> None:
        """Go on from what `state` gave after so many steps, also that of a `RowTable`."""
        by_rows = RowTable(self.weight.data)
        by_rows.restore(state, steps)
        by_rows.catch_up()
        caught_up = by_rows.state()
        for name, tensor in self.state().items():
            if name not in ("last", "pending"):
                tensor.copy_(caught_up[name])
        set_steps(self.moments, steps)


class RowTable:
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
        self._nothing_pending = table.new_tensor(_NOTHING_PENDING)[:, None]
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
        first, second = 1 - BETA1**self._steps, 1 - BETA2**self._steps  # Adam's corrections of its first steps
        shrunk, moved, lagging, left = self._pending
        shrunk.mul_(BETA1 / math.sqrt(BETA2)).clamp_(min=_TINY)
        moved.add_(shrunk, alpha=rate * math.sqrt(second) / first)
        lagging.mul_(decay).add_(moved, alpha=1 - decay)
        left.mul_(decay).clamp_(min=_TINY)

        types, (table, average, momentum, squared) = self._drawn
        momentum.lerp_(gradient, 1 - BETA1)
        squared.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        table.addcdiv_(momentum, squared.sqrt().div_(math.sqrt(second)).add_(EPS), value=-rate / first)
        average.lerp_(table, 1 - decay)
        self._put(types, (table, average, momentum, squared))

    def _caught_up(self, types: Tensor) -> tuple[Tensor, ...]:
        """Return weights, average, momentum and squared gradient of some rows as they are now, each (types, embedding)."""
        table, average, momentum, squared = (tensor.index_select(0, types) for tensor in self._rows)
        _, moved, lagging, left = (column[:, None] for column in self._pending.index_select(1, types))
        passed = (self._steps - self._last.index_select(0, types))[:, None].to(table.dtype)  # (types, 1)
        direction = momentum / (squared.sqrt() + EPS)
        average.mul_(left).addcmul_(table, 1 - left).addcmul_(direction, lagging, value=-1)
        table.addcmul_(direction, moved, value=-1)
        return table, average, momentum.mul_(torch.pow(BETA1, passed)), squared.mul_(torch.pow(BETA2, passed))

    def _put(self, types: Tensor, rows: tuple[Tensor, ...]) -> None:
        """Write rows back as they are now."""
        for tensor, own in zip(self._rows, rows, strict=True):
            tensor.index_copy_(0, types, own)
        self._last.index_fill_(0, types, self._steps)
        self._pending.index_copy_(1, types, self._nothing_pending.expand(4, len(types)))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their average, in place: the network holds the table."""
        self.catch_up()
        _swap(self.table, self.average)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, beside the table itself."""
        return {
            "average": self.average,
            "momentum": self._rows[2],
            "squared": self._rows[3],
            "last": self._last,
            "pending": self._pending,
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any], steps: int) -> None:
        """Go on from what `state` gave after so many steps."""
        self._steps = steps
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def _swap(table: Tensor, average: Tensor) -> None:
    """Exchange two tables by blocks, so that little is held twice."""
    for start in range(0, len(table), _BLOCK):
        weights, averaged = table[start : start + _BLOCK], average[start : start + _BLOCK]
        kept = weights.clone()
        weights.copy_(averaged)
        averaged.copy_(kept)
