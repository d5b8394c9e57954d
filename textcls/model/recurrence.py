"""The packed recurrent layers: texts in a grid that pads behind each, both directions reading from its start.

What `torch.nn.utils.rnn.pack_padded_sequence` is for, that no padding reaches a state, comes from where the padding stands: behind
the text also for the backward direction, which reads each text reversed. So each direction is a plain run over the grid, for which
torch has fused kernels; packed input makes it record each small operation of each step on the CPU, and makes cuDNN take its slow
algorithm. Equal to a packed bidirectional module up to rounding, gradients too.

On the CPU each direction can have a thread: they know nothing of each other, and a call this long holds no lock of Python's. They
meet once a layer, where threads inside the operations would meet at each of them. The results do not depend on it, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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
    """Where the tokens of a batch stand, one text a column, one token a step.

    Args:
        lengths: Tokens of each text, int64 (texts,).
        steps: At least as many as the longest text has tokens.

    Attributes:
        real: Which places hold tokens, bool (steps, texts).
        last: The place of each text's last token, int64 (texts,), counted row by row.
        turned: The place whose token comes to each place where every text is reversed, int64 (steps * texts,); the way back too.
    """

    def __init__(self, lengths: Tensor, steps: int) -> None:
        step = torch.arange(steps, device=lengths.device)[:, None]
        column = torch.arange(len(lengths), device=lengths.device)
        self.real = step < lengths
        self.last = (lengths - 1) * len(lengths) + column
        self.turned = (torch.where(self.real, lengths - 1 - step, step) * len(lengths) + column).flatten()


class Turned(torch.autograd.Function):
    """Each text of a grid reversed; twice is as before."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, turned: Tensor) -> Tensor:
        """Return the grid, (steps, texts, features), with its tokens in the order that `Grid.turned` tells."""
        ctx.save_for_backward(turned)
        return _in_order(data, turned)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient in the order of before."""
        (turned,) = ctx.saved_tensors
        return _in_order(gradient, turned), None


def _in_order(data: Tensor, turned: Tensor) -> Tensor:
    return data.reshape(-1, data.shape[2]).index_select(0, turned).view(data.shape)


def run_layer(
    cell: str, data: Tensor, grid: Grid, weights: Sequence[Sequence[Tensor]], *, parallel: bool, bf16: bool = False
) -> tuple[Tensor, ...]:
    """Run one layer, all its directions.

    Args:
        cell: `lstm` (Hochreiter and Schmidhuber, 1997, with forget gates), `gru` (Cho et al., 2014) or `rnn` (Elman, 1990).
        data: Input of each place, (steps, texts, inputs).
        grid: Where the tokens stand.
        weights: For each direction `weight_ih` (gates * hidden, inputs), `weight_hh` (gates * hidden, hidden), `bias_ih` and
            `bias_hh` (gates * hidden,), gates in torch's order.
        parallel: Whether the second direction runs in a thread of its own, on the CPU.
        bf16: Whether the run itself is rounded to bf16 where it is trained on the CPU; what goes in and comes out stays as it is.

    Returns:
        Hidden states of each direction, (steps, texts, hidden), in the order of its reading: those of the backward one stand
        where `Grid.turned` puts them. What stands behind a text's end means nothing.
    """
    if data.device.type == "cpu" and torch.is_grad_enabled():
        flat = [tensor for own in weights for tensor in own]
        return LayerOnCPU.apply(cell, data, grid.turned, parallel, bf16, *flat)  # type: ignore[no-untyped-call, no-any-return]
    inputs = [data, Turned.apply(data, grid.turned)] if len(weights) > 1 else [data]  # type: ignore[no-untyped-call]
    return tuple(_read(cell, given, own) for given, own in zip(inputs, weights, strict=True))


class LayerOnCPU(torch.autograd.Function):
    """One layer as it is trained on the CPU: also the backward pass has a thread for each direction."""

    @staticmethod
    def forward(
        ctx: Any, cell: str, data: Tensor, turned: Tensor, parallel: bool, bf16: bool, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        """Run the layer; the arguments are those of `run_layer`, the weights of all directions one after the other."""

        def run(direction: int) -> tuple[list[Tensor], Tensor]:
            given = _in_order(data, turned) if direction else data
            leaves = [tensor.detach().requires_grad_() for tensor in (given, *weights[4 * direction :][:4])]
            rounded = [leaf.to(torch.bfloat16) for leaf in leaves] if bf16 else leaves
            return leaves, _read(cell, rounded[0], rounded[1:]).to(data.dtype)

        ctx.save_for_backward(data, turned, *weights)  # so that autograd sees one of them changed in place in between
        ctx.runs = _each_direction(run, len(weights) // 4, parallel)
        ctx.parallel = parallel
        ctx.set_materialize_grads(False)
        return tuple(states.detach() for _, states in ctx.runs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the data and of each direction's weights."""
        turned = ctx.saved_tensors[1]

        def run(direction: int) -> tuple[Tensor | None, ...]:
            leaves, states = ctx.runs[direction]
            if gradients[direction] is None:
                return (None,) * len(leaves)
            data, *own = torch.autograd.grad(states, leaves, gradients[direction], retain_graph=True)
            return (_in_order(data, turned) if direction else data), *own

        parts = _each_direction(run, len(ctx.runs), ctx.parallel)
        of_data = [part[0] for part in parts if part[0] is not None]
        own = (gradient for part in parts for gradient in part[1:])
        return None, sum(of_data[1:], of_data[0]) if of_data else None, None, None, None, *own


def _read(cell: str, data: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Run one direction over a grid, (steps, texts, inputs); return its hidden states, (steps, texts, hidden)."""
    if data.device.type == "cuda":
        weights = _contiguous(weights)
    nothing = data.new_zeros(1, data.shape[1], weights[1].shape[1])
    plain = (
        list(weights),
        True,
        1,
        0.0,
        torch.is_grad_enabled(),
        False,
        False,
    )  # one layer, no dropout, one direction, steps first
    if cell == "lstm":
        return torch.lstm(data, (nothing, nothing), *plain)[0]
    run = torch.gru if cell == "gru" else torch.rnn_tanh
    return run(data, nothing, *plain)[0]


def _contiguous(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of the weights in one piece of memory, in the order that cuDNN wants; it would warn, and copy them, itself."""
    flat = torch.cat([weight.flatten() for weight in weights])
    parts = torch.split(flat, [weight.numel() for weight in weights])
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]


def _each_direction(run: Callable[[int], _Result], directions: int, parallel: bool) -> list[_Result]:
    """Run both directions, the second in a thread of its own where `parallel`; torch keeps whether gradients are wanted by thread."""

    def recorded(direction: int) -> _Result:
        with torch.enable_grad():
            return run(direction)

    if directions == 1 or not parallel:
        return [recorded(direction) for direction in range(directions)]
    second = _pool.submit(recorded, 1)
    return [recorded(0), second.result()]
