"""The moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of a network's weights (Polyak and Juditsky, 1992, with forgetting).

    The decay grows from small to `decay` over the first steps, so that the average soon forgets the initial weights.

    Args:
        network: Whose weights to average.
        decay: Share of the old average kept in each step; 0 makes the average the weights themselves.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._weights: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._average, self._weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the weights for the length of a block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"updates": self.updates, "average": self._average}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.updates = state["updates"]
        for average, saved in zip(self._average, state["average"], strict=True):
            average.copy_(saved)

    def _swap(self) -> None:
        for weight, average in zip(self._weights, self._average, strict=True):
            weight.data, average.data = average.data, weight.data
