"""The packed LSTM layer with a backward pass of its own, for the CPU.

`torch.nn.LSTM` on a packed sequence is the slowest way to train on a CPU: it records each small operation of each step. Here the
gates are kept from the forward pass, every elementwise factor of the backward pass is computed for all tokens at once, and the
gradient of the recurrent weights is one matrix product. Equal to `torch.nn.LSTM` up to rounding, gradients too.

The backward direction reads each text from its end: its tokens are put in that order first, so that both directions walk the same
steps and the texts of a step are always the first of those of the step before. The two know nothing of each other, so each can
have a thread of its own: they meet once a layer, where threads inside the operations would meet at each of them. The results do
not depend on it, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_Result = TypeVar("_Result")
_pool: ThreadPoolExecutor


def _make_pool() -> None:
    global _pool
    _pool = ThreadPoolExecutor(1, thread_name_prefix="textcls-direction")


_make_pool()
if hasattr(os, "register_at_fork"):  # a forked child inherits the pool but none of its threads, and would wait for ever
    os.register_at_fork(after_in_child=_make_pool)


class Steps:
    """How packed tokens are walked.

    Args:
        batch_sizes: Texts that have a first, second, … token, int64 (longest,), on the CPU.
        parallel: Whether the second direction runs in a thread of its own.
    """

    def __init__(self, batch_sizes: Tensor, parallel: bool = False) -> None:
        self.parallel = parallel
        self._sizes = batch_sizes
        self._starts = batch_sizes.cumsum(0) - batch_sizes
        ends = list(accumulate(batch_sizes.tolist(), initial=0))
        self.rows = [slice(start, end) for start, end in pairwise(ends)]
        """Packed tokens of each step."""
        self._step = torch.repeat_interleave(batch_sizes)  # of each token
        self._rank = torch.arange(ends[-1]) - self._starts[self._step]  # of its text, by falling length
        texts = torch.arange(int(batch_sizes[0]))
        self._lengths = len(batch_sizes) - torch.searchsorted(
            batch_sizes.flip(0), texts, right=True
        )  # steps larger than the rank

    @cached_property
    def reversal(self) -> Tensor:
        """For each token, the one at its place when the text is read from its end, int64 (tokens,); its own inverse."""
        return self._starts[self._lengths[self._rank] - 1 - self._step] + self._rank

    @cached_property
    def last(self) -> Tensor:
        """The last token of each text, int64 (batch,)."""
        return self._starts[self._lengths - 1] + torch.arange(len(self._lengths))

    @cached_property
    def before(self) -> Tensor:
        """The token before each one that is not its text's first, int64 (tokens - batch,)."""
        first = int(self._sizes[0])
        return torch.arange(first, len(self._step)) - self._sizes[self._step[first:] - 1]


class PackedLSTMLayer(torch.autograd.Function):
    """One LSTM layer, all its directions, over packed tokens (Hochreiter and Schmidhuber, 1997, with forget gates)."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, steps: Steps, *weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            ctx: Where autograd keeps what the backward pass needs.
            data: Input of each token, packed by step, (tokens, inputs).
            steps: How the tokens are walked.
            weights: For each direction `weight_ih` (4 * hidden, inputs), `weight_hh` (4 * hidden, hidden), and `bias_ih` and
                `bias_hh` (4 * hidden,) or None; gates in torch's order i, f, g, o.

        Returns:
            Hidden states of all tokens, (tokens, directions * hidden), and the final ones, (directions, batch, hidden), packed order.
        """
        directions = [weights[i : i + 4] for i in range(0, len(weights), 4)]

        def run(direction: int) -> tuple[Tensor, ...]:
            weight_ih, weight_hh, bias_ih, bias_hh = directions[direction]
            bias = None if bias_ih is None or bias_hh is None else bias_ih + bias_hh
            read = data.index_select(0, steps.reversal) if direction == 1 else data
            gates = torch.nn.functional.linear(read, _of(weight_ih), bias)  # (tokens, 4 * hidden), completed below
            return _forward(gates, _of(weight_hh), steps)

        kept = _each_direction(run, len(directions), steps.parallel)
        ctx.save_for_backward(data, *(tensor for direction in kept for tensor in direction), *weights)
        ctx.steps, ctx.directions = steps, len(directions)
        ctx.set_materialize_grads(False)
        outputs = [states for states, *_ in kept]
        finals = torch.stack([states.index_select(0, steps.last) for states in outputs])
        outputs[1:] = [states.index_select(0, steps.reversal) for states in outputs[1:]]
        return torch.cat(outputs, dim=1), finals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor | None, grad_finals: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the data and of each direction's weights."""
        data, *saved = ctx.saved_tensors
        directions, steps = ctx.directions, ctx.steps
        kept, weights = saved[: 4 * directions], saved[4 * directions :]

        def run(direction: int) -> tuple[Tensor | None, ...]:
            states, gates, cells, cell_tanh = kept[4 * direction : 4 * direction + 4]
            weight_ih, weight_hh, bias_ih, _ = weights[4 * direction : 4 * direction + 4]
            hidden = weight_hh.shape[1]
            own = None if grad_outputs is None else grad_outputs[:, direction * hidden : (direction + 1) * hidden]
            read = data
            if direction == 1:
                own = None if own is None else own.index_select(0, steps.reversal)
                read = data.index_select(0, steps.reversal)
            final = None if grad_finals is None else grad_finals[direction]
            grad = _backward(gates, cells, cell_tanh, weight_hh, own, final, steps)
            first = steps.rows[0].stop
            grad_hh = grad[first:].t() @ states.index_select(0, steps.before)
            grad_data = None
            if ctx.needs_input_grad[0]:
                grad_data = grad @ weight_ih
                grad_data = grad_data.index_select(0, steps.reversal) if direction == 1 else grad_data
            bias = None if bias_ih is None else grad.sum(0)
            return grad_data, grad.t() @ read, grad_hh, bias, bias

        parts = _each_direction(run, directions, steps.parallel)
        grad_data = parts[0][0]
        if grad_data is not None and directions == 2:
            grad_data += _of(parts[1][0])
        return grad_data, None, *(gradient for part in parts for gradient in part[1:])


def _forward(gates: Tensor, weight_hh: Tensor, steps: Steps) -> tuple[Tensor, ...]:
    """Run the recurrence of one direction.

    Args:
        gates: Input product and biases, (tokens, 4 * hidden); becomes the gates.
        weight_hh: Recurrent weights, (4 * hidden, hidden).
        steps: How the tokens are walked.

    Returns:
        What the backward pass needs: hidden states (tokens, hidden), gates, cells, and the cells' tanh.
    """
    hidden = weight_hh.shape[1]
    recurrent = weight_hh.t()
    states, cells, cell_tanh = (gates.new_empty(len(gates), hidden) for _ in range(3))
    h = c = gates[:0, :hidden]
    for rows in steps.rows:
        gate, cell, size = gates[rows], cells[rows], rows.stop - rows.start
        if rows.start > 0:
            gate.addmm_(h[:size], recurrent)
        gate[:, : 2 * hidden].sigmoid_()
        gate[:, 2 * hidden : 3 * hidden].tanh_()
        gate[:, 3 * hidden :].sigmoid_()
        i, f, g, o = gate.chunk(4, 1)
        torch.mul(i, g, out=cell)
        if rows.start > 0:
            cell.addcmul_(f, c[:size])
        h, c = states[rows], cell
        tanh = cell_tanh[rows]
        torch.tanh(cell, out=tanh)
        torch.mul(o, tanh, out=h)
    return states, gates, cells, cell_tanh


def _backward(
    gates: Tensor,
    cells: Tensor,
    cell_tanh: Tensor,
    weight_hh: Tensor,
    grad_states: Tensor | None,
    grad_final: Tensor | None,
    steps: Steps,
) -> Tensor:
    """Return the gradient of one direction's gates before their nonlinearities, (tokens, 4 * hidden)."""
    tokens, hidden = cells.shape
    i, f, g, o = gates.chunk(4, 1)
    first = steps.rows[0].stop
    # Every elementwise factor, for all tokens at once; the loop only multiplies them, in place, into the gradient.
    grad = torch.empty_like(gates).view(tokens, 4, hidden)
    torch.mul(g, i, out=grad[:, 0]).mul_(1 - i)
    grad[:first, 1] = 0
    torch.mul(f[first:], 1 - f[first:], out=grad[first:, 1]).mul_(cells.index_select(0, steps.before))
    torch.mul(i, 1 - g * g, out=grad[:, 2])
    torch.mul(cell_tanh, o, out=grad[:, 3]).mul_(1 - o)
    to_cell = (1 - cell_tanh * cell_tanh).mul_(o)
    dh = gates.new_zeros(first, hidden) if grad_final is None else grad_final.clone()
    dc = torch.zeros_like(dh)
    for rows in reversed(steps.rows):
        size = rows.stop - rows.start
        dht, dct, own = dh[:size], dc[:size], grad[rows]
        if grad_states is not None:
            dht += grad_states[rows]
        dct.addcmul_(dht, to_cell[rows])
        own[:, :3].mul_(dct.unsqueeze(1))
        own[:, 3].mul_(dht)
        if rows.start > 0:
            torch.mm(own.view(size, 4 * hidden), weight_hh, out=dht)
            dct.mul_(f[rows])
    return grad.view(tokens, 4 * hidden)


def _each_direction(run: Callable[[int], _Result], directions: int, parallel: bool) -> list[_Result]:
    """Run both directions, the second in a thread of its own where `parallel`."""
    if directions == 1 or not parallel:
        return [run(direction) for direction in range(directions)]
    inference = torch.is_inference_mode_enabled()  # torch keeps its modes by thread

    def in_thread() -> _Result:
        with torch.inference_mode(inference), torch.no_grad():
            return run(1)

    second = _pool.submit(in_thread)
    return [run(0), second.result()]


def _of(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
