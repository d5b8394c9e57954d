"""AdamW and the moving average of the weights; all that changes from step to step is a tensor on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from textcls.config import TrainingSettings
from textcls.model import Network
from textcls.text import PAD
from textcls.training.loss_scale import LossScale
from textcls.training.table import BETA1, BETA2, EPS, DenseTable, RowTable, new_moments, set_steps

_CLIP_EPS = 1e-6  # as in torch's own clipping
_MOST_RATE = 1e38  # all is lost far below it; beyond it the number itself overflows


class Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) that decays the matrices of the layers, not embeddings and biases.

    With it goes the moving average of the weights (Polyak and Juditsky, 1992, with forgetting), which is what is evaluated and
    kept. Its decay grows from small to `training.average` over the first steps, so that it soon forgets the initial weights.

    A step is `begin`, which settles its numbers, then `step`, which is the same work each time.

    Args:
        network: On its device already. Unless `dense`, its embedding table no longer asks for gradients: a batch's vectors, handed
            out by `vectors`, take its place.
        settings: Learning rate, weight decay, average, clip, precision; whether the embedding table learns.
        dense: Whether the whole embedding table learns in each step, as the other weights do. On a GPU that is faster up to some
            size; on the CPU never.

    Attributes:
        steps: How many were made.
        rate: Learning rate of the last one.
        table: Learns the embedding table; None where it is frozen.
        scale: Of the loss, in half precision.
    """

    def __init__(self, network: Network, settings: TrainingSettings, *, dense: bool = False) -> None:
        self.steps, self.rate = 0, settings.learning_rate
        self._settings, self._embedding = settings, network.embedding.weight
        device, learns = self._embedding.device, not settings.freeze_embeddings
        self._embedding.requires_grad_(False)
        self._weights: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._weights]
        self._embedding.requires_grad_(dense and learns)
        self.table = None if not learns else DenseTable(self._embedding) if dense else RowTable(self._embedding.data)
        half = settings.precision in {"fp16", "bf16"} and device.type != "mps"  # torch's LSTM on CUDA is in fp16 for both
        self.scale = LossScale(device) if half else None
        self._decay = 0.0  # of the average
        self._new_share, self._rate, self._table_rate = (torch.zeros((), device=device) for _ in range(3))
        self._adamw = self._torchs_own(settings.weight_decay)

    def _torchs_own(self, weight_decay: float) -> torch.optim.AdamW:
        """Return AdamW with the state that it makes before its first step: `state` and a CUDA graph want it from the start."""
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self._weights if p.dim() > 1], "lr": self._rate, "weight_decay": weight_decay},
            {"params": [p for p in self._weights if p.dim() == 1], "lr": self._rate, "weight_decay": 0.0},
        ]
        dense = self.table if isinstance(self.table, DenseTable) else None
        if dense is not None:
            groups.append({"params": [dense.weight], "lr": self._table_rate, "weight_decay": 0.0})
        adamw = torch.optim.AdamW(groups, lr=self._rate, betas=(BETA1, BETA2), eps=EPS, fused=True)
        adamw.state.update({weight: new_moments(weight) for weight in self._weights})
        if dense is not None:
            adamw.state[dense.weight] = dense.moments
        return adamw

    def vectors(self, types: Tensor) -> Tensor:
        """Return the vectors of some tokens as the next step's leaf, (types, embedding); a step learns them if they ask for it.

        Args:
            types: Ids, each once, int64 (types,).
        """
        if isinstance(self.table, RowTable):
            return self.table.rows(types).requires_grad_()
        return self._embedding.detach().index_select(0, types)

    def leaves(self, vectors: Tensor | None = None) -> list[Tensor]:
        """Return what a step learns: the weights, and the vectors that it was given if they ask for it."""
        table = [self.table.weight] if isinstance(self.table, DenseTable) else []
        return [*self._weights, *table, *([vectors] if vectors is not None and vectors.requires_grad else [])]

    @torch.no_grad()
    def begin(self, rate: float) -> None:
        """Settle the numbers of the next step.

        Args:
            rate: Learning rate.
        """
        self.steps += 1
        self.rate = rate
        self._decay = min(self._settings.average, (1 + self.steps) / (10 + self.steps))
        self._new_share.fill_(1 - self._decay)
        self._rate.fill_(min(rate, _MOST_RATE))
        self._table_rate.fill_(min(rate * self._settings.embedding_rate, _MOST_RATE))

    @torch.no_grad()
    def step(self, gradients: list[Tensor], types: Tensor | None = None) -> None:
        """Clip the gradients, take a step, and take the new weights into the average.

        In half precision a step whose gradients overflow changes no weight.

        Args:
            gradients: Of each of the `leaves`; they are changed.
            types: Ids that `vectors` was asked for, int64 (types,), if those were among the leaves.
        """
        if types is not None:
            gradients[-1].masked_fill_((types == PAD)[:, None], 0)  # `<pad>` never learns
        if self.scale is not None:
            self.scale.unscale(gradients)
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        torch._foreach_mul_(gradients, (self._settings.clip / (norm + _CLIP_EPS)).clamp(max=1.0))
        if self.scale is not None:
            self.scale.adapt(norm)
            self._adamw.found_inf = self.scale.overflowed  # type: ignore[attr-defined]  # as torch's own scaler tells it
        for leaf, gradient in zip(self.leaves(), gradients, strict=types is None):
            leaf.grad = gradient
        captured = self._rate.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        for group in self._adamw.param_groups:
            group["capturable"] = captured  # the same work either way; torch refuses what is not said, and warns of what is
        self._adamw.step()
        self._adamw.zero_grad()
        self._learn_average()
        if isinstance(self.table, RowTable) and types is not None and not self._overflowed():
            self.table.step(gradients[-1], self.rate * self._settings.embedding_rate, self._decay)

    def _learn_average(self) -> None:
        for average, weight in zip(self._average, self._weights, strict=True):
            average.lerp_(weight, self._new_share)
        if isinstance(self.table, DenseTable):
            self.table.average.lerp_(self.table.weight, self._new_share)

    def _overflowed(self) -> bool:
        """Whether the last step was skipped; in half precision this waits for the device."""
        return self.scale is not None and bool(self.scale.overflowed)

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
            "scale": None if self.scale is None else self.scale.state(),
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; the network's weights are restored with the network."""
        self.steps, self.rate = state["steps"], state["rate"]
        own = self.state()
        for name in ("momentum", "squared", "average"):
            for tensor, saved in zip(own[name], state[name], strict=True):
                tensor.copy_(saved)
        learned = self.steps
        if self.scale is not None:
            self.scale.restore(state["scale"])
            learned -= int(self.scale.skipped)
        for weight in self._weights:
            set_steps(self._adamw.state[weight], learned)
        if self.table is not None:
            self.table.restore(state["table"], learned)

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange weights and average in place: nobody who holds a weight's memory need know."""
        kept = [weight.clone() for weight in self._weights]
        torch._foreach_copy_(self._weights, self._average)
        torch._foreach_copy_(self._average, kept)
        if self.table is not None:
            self.table.swap()
