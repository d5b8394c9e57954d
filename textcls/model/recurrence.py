"""The packed LSTM layer as it is trained on the CPU: each direction is one call of torch's fused LSTM, in a thread of its own.

`torch.nn.LSTM` on a packed sequence is the slowest way to train on a CPU: it records each small operation of each step. Its fused
kernel (oneDNN's, where torch has it) takes a padded batch of one direction, so the tokens are laid out on such a grid for its
length. The backward direction reads each text from its end: its tokens are put in that order first, so that padding stands behind
every text and reaches no state of a real token, nor any gradient. Equal to `torch.nn.LSTM` up to rounding, gradients too.

The two directions know nothing of each other, and a call this long holds no lock of Python's: each can have a thread. They meet
once a layer, where threads inside the operations would meet at each of them. The results do not depend on it, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# oneDNN keeps what it compiled for each shape: by default for so many of them that it takes a gigabyte. Read at its first call.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

_Result = TypeVar("_Result")
_pool: ThreadPoolExecutor


def _make_pool() -> None:
    global _pool
    _pool = ThreadPoolExecutor(1, thread_name_prefix="textcls-direction")


_make_pool()
if hasattr(os, "register_at_fork"):  # a forked child inherits the pool but none of its threads, and would wait for ever
    os.register_at_fork(after_in_child=_make_pool)


class Grid:
    """Where packed tokens stand in a padded batch, one row a step, for each direction of reading.

    Args:
        batch_sizes: Texts that have a first, second, … token, int64 (longest,), on the CPU.
        parallel: Whether the second direction runs in a thread of its own.

    Attributes:
        steps: Rows; a few more than the longest text has tokens, so that there are few shapes to compile for.
        texts: Columns, by falling length.
        places: For each direction the place of each packed token, int64 (tokens,), in the order of reading.
        last: The place of each text's last token in that order, int64 (texts,); the same for both directions.
    """

    def __init__(self, batch_sizes: Tensor, parallel: bool = False) -> None:
        self.parallel = parallel
        longest, self.texts = len(batch_sizes), int(batch_sizes[0])
        unit = 1 << max(0, longest.bit_length() - 5)
        self.steps = -(-longest // unit) * unit
        texts = torch.arange(self.texts)
        lengths = longest - torch.searchsorted(batch_sizes.flip(0), texts, right=True)  # steps with more texts than this rank
        step = torch.repeat_interleave(batch_sizes)  # of each token
        rank = torch.arange(len(step)) - (batch_sizes.cumsum(0) - batch_sizes)[step]  # of its text
        self.places = (step * self.texts + rank, (lengths[rank] - 1 - step) * self.texts + rank)
        self.last = (lengths - 1) * self.texts + texts


class PackedLSTMLayer(torch.autograd.Function):
    """One LSTM layer, all its directions, over packed tokens (Hochreiter and Schmidhuber, 1997, with forget gates)."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, grid: Grid, whole: bool, *weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            ctx: Where autograd keeps what the backward pass needs.
            data: Input of each token, packed by step, (tokens, inputs).
            grid: Where the tokens stand.
            whole: Whether the hidden states of all tokens are wanted, and not the final ones alone.
            weights: For each direction `weight_ih` (4 * hidden, inputs), `weight_hh` (4 * hidden, hidden), and `bias_ih` and
                `bias_hh` (4 * hidden,) or None; gates in torch's order i, f, g, o.

        Returns:
            Hidden states of all tokens, (tokens, directions * hidden), of none where they are not wanted; and the final ones,
            (directions, batch, hidden), packed order.
        """

        def run(direction: int) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
            own = [weight for weight in weights[4 * direction : 4 * direction + 4] if weight is not None]
            leaves = [tensor.detach().requires_grad_() for tensor in (data, *own)]
            return leaves, _read(leaves[0], leaves[1:], grid, direction, whole)

        ctx.save_for_backward(data, *weights)  # so that autograd sees one of them changed in place in between
        ctx.runs = _each_direction(run, len(weights) // 4, grid.parallel)
        ctx.grid = grid
        ctx.set_materialize_grads(False)
        outputs, finals = zip(*(states for _, states in ctx.runs), strict=True)
        return torch.cat([output.detach() for output in outputs], dim=1), torch.stack([final.detach() for final in finals])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor | None, grad_finals: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the data and of each direction's weights."""
        _, *weights = ctx.saved_tensors
        if grad_outputs is None and grad_finals is None:
            return None, None, None, *(None for _ in weights)

        def run(direction: int) -> list[Tensor | None]:
            leaves, (outputs, final) = ctx.runs[direction]
            hidden = final.shape[1]
            own = None if grad_outputs is None else grad_outputs[:, direction * hidden : (direction + 1) * hidden]
            given = [(outputs, own), (final, None if grad_finals is None else grad_finals[direction])]
            states, gradients = zip(*((state, grad) for state, grad in given if grad is not None), strict=True)
            found = iter(torch.autograd.grad(states, leaves, gradients, retain_graph=True))
            return [next(found), *(None if weight is None else next(found) for weight in weights[4 * direction :][:4])]

        parts = _each_direction(run, len(ctx.runs), ctx.grid.parallel)
        grad_data: Tensor | None = sum(part.pop(0) for part in parts)  # type: ignore[misc, assignment]
        return grad_data, None, None, *(gradient for part in parts for gradient in part)


def _read(data: Tensor, weights: list[Tensor], grid: Grid, direction: int, whole: bool) -> tuple[Tensor, Tensor]:
    """Run one direction.

    Args:
        data: Input of each token, packed by step, (tokens, inputs).
        weights: `weight_ih`, `weight_hh`, and `bias_ih` and `bias_hh` where there are any.
        grid: Where the tokens stand.
        direction: 0 reads forward, 1 backward.
        whole: Whether the hidden states of all tokens are wanted.

    Returns:
        Hidden states of all tokens, (tokens, hidden), packed by step, or of none; and each text's final one, (batch, hidden).
    """
    place, hidden = grid.places[direction], weights[1].shape[1]
    laid_out = data.new_zeros(grid.steps * grid.texts, data.shape[1]).index_copy(0, place, data)
    nothing = data.new_zeros(1, grid.texts, hidden)
    states, _, _ = torch.lstm(
        laid_out.view(grid.steps, grid.texts, -1), (nothing, nothing), weights, len(weights) == 4, 1, 0.0, True, False, False
    )  # one layer, no dropout, training, one direction, steps first
    states = states.reshape(-1, hidden)
    return states.index_select(0, place if whole else place[:0]), states.index_select(0, grid.last)


def _each_direction(run: Callable[[int], _Result], directions: int, parallel: bool) -> list[_Result]:
    """Run both directions, the second in a thread of its own where `parallel`; torch keeps whether gradients are wanted by thread."""

    def recorded(direction: int) -> _Result:
        with torch.enable_grad():
            return run(direction)

    if directions == 1 or not parallel:
        return [recorded(direction) for direction in range(directions)]
    second = _pool.submit(recorded, 1)
    return [recorded(0), second.result()]
