"""The packed LSTM layer with a backward pass of its own, for the CPU.

`torch.nn.LSTM` on a packed sequence is the slowest way to train on a CPU: it records each small operation of each step. Here the
gates are kept from the forward pass, every elementwise factor of the backward pass is computed for all tokens at once, and the
gradient of the recurrent weights is one matrix product. Equal to `torch.nn.LSTM` up to rounding, gradients too.

The two directions know nothing of each other, so each can have a thread of its own: they meet once a layer, where threads inside
the operations would meet at each of them. The results do not depend on it, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_Result = TypeVar("_Result")
_pool = ThreadPoolExecutor(1, thread_name_prefix="textcls-direction")


@dataclass(frozen=True)
class Steps:
    """How packed tokens are walked.

    Attributes:
        batch_sizes: Texts that have a first, second, … token.
        parallel: Whether the second direction runs in a thread of its own.
    """

    batch_sizes: list[int]
    parallel: bool = False

    def walk(self, backwards: bool) -> list[tuple[int, int]]:
        """Return the first packed token and the number of texts of each step."""
        steps, start = [], 0
        for size in self.batch_sizes:
            steps.append((start, size))
            start += size
        return steps[::-1] if backwards else steps


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
        hidden = _of(directions[0][1]).shape[1]
        outputs = data.new_empty(len(data), len(directions) * hidden)

        def run(direction: int) -> tuple[Tensor, ...]:
            weight_ih, weight_hh, bias_ih, bias_hh = directions[direction]
            bias = None if bias_ih is None or bias_hh is None else bias_ih + bias_hh
            projected = torch.nn.functional.linear(data, _of(weight_ih), bias)  # (tokens, 4 * hidden)
            own = outputs[:, direction * hidden : (direction + 1) * hidden]
            return _forward(projected, _of(weight_hh), own, steps.walk(direction == 1))

        kept = _each_direction(run, len(directions), steps.parallel)
        ctx.save_for_backward(data, *(tensor for _, *rest in kept for tensor in rest), *weights)
        ctx.steps, ctx.directions = steps, len(directions)
        ctx.set_materialize_grads(False)
        return outputs, torch.stack([final for final, *_ in kept])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor | None, grad_final: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the data and of each direction's weights."""
        data, *saved = ctx.saved_tensors
        directions, steps = ctx.directions, ctx.steps
        kept, weights = saved[: 4 * directions], saved[4 * directions :]

        def run(direction: int) -> tuple[Tensor | None, ...]:
            gates, cell_tanh, previous_h, previous_c = kept[4 * direction : 4 * direction + 4]
            weight_ih, weight_hh, bias_ih, _ = weights[4 * direction : 4 * direction + 4]
            hidden = weight_hh.shape[1]
            own = None if grad_outputs is None else grad_outputs[:, direction * hidden : (direction + 1) * hidden]
            final = None if grad_final is None else grad_final[direction]
            grad = _backward(gates, cell_tanh, previous_c, weight_hh, own, final, steps, direction == 1)
            bias = None if bias_ih is None else grad.sum(0)
            return grad @ weight_ih, grad.t() @ data, grad.t() @ previous_h, bias, bias

        parts = _each_direction(run, directions, steps.parallel)
        inputs = [_of(part[0]) for part in parts]
        grad_data = inputs[0] if directions == 1 else inputs[0].add_(inputs[1])
        return grad_data, None, *(gradient for part in parts for gradient in part[1:])


def _forward(projected: Tensor, weight_hh: Tensor, outputs: Tensor, steps: list[tuple[int, int]]) -> tuple[Tensor, ...]:
    """Run the recurrence of one direction.

    Args:
        projected: Input product and biases, (tokens, 4 * hidden).
        weight_hh: Recurrent weights, (4 * hidden, hidden).
        outputs: Where the hidden states go, (tokens, hidden).
        steps: First token and number of texts of each step, in the order of reading.

    Returns:
        The final hidden states (batch, hidden), and what the backward pass needs: gates, tanh of the cells, states before each step.
    """
    tokens, hidden = len(projected), weight_hh.shape[1]
    recurrent = weight_hh.t()
    gates = torch.empty_like(projected)
    cell_tanh, previous_h, previous_c = (projected.new_empty(tokens, hidden) for _ in range(3))
    h, c = (projected.new_zeros(max(size for _, size in steps), hidden) for _ in range(2))
    for start, size in steps:
        rows = slice(start, start + size)
        ht, ct, gate = h[:size], c[:size], gates[rows]  # views: texts that have ended, or not begun, keep their state
        previous_h[rows], previous_c[rows] = ht, ct
        torch.addmm(projected[rows], ht, recurrent, out=gate)
        gate[:, : 2 * hidden].sigmoid_()
        gate[:, 2 * hidden : 3 * hidden].tanh_()
        gate[:, 3 * hidden :].sigmoid_()
        i, f, g, o = gate.chunk(4, 1)
        ct.mul_(f).addcmul_(i, g)
        torch.tanh(ct, out=cell_tanh[rows])
        torch.mul(o, cell_tanh[rows], out=ht)
        outputs[rows] = ht
    return h, gates, cell_tanh, previous_h, previous_c


def _backward(
    gates: Tensor,
    cell_tanh: Tensor,
    previous_c: Tensor,
    weight_hh: Tensor,
    grad_outputs: Tensor | None,
    grad_final: Tensor | None,
    steps: Steps,
    reverse: bool,
) -> Tensor:
    """Return the gradient of one direction's gates before their nonlinearities, (tokens, 4 * hidden)."""
    hidden = weight_hh.shape[1]
    i, f, g, o = gates.chunk(4, 1)
    # Every elementwise factor, for all tokens at once; the loop below only multiplies.
    to_o, to_c = cell_tanh * o * (1 - o), o * (1 - cell_tanh * cell_tanh)
    to_i, to_f, to_g = g * i * (1 - i), previous_c * f * (1 - f), i * (1 - g * g)
    grad_gates = torch.empty_like(gates)
    dh = gates.new_zeros(steps.batch_sizes[0], hidden) if grad_final is None else grad_final.clone()
    dc = torch.zeros_like(dh)
    for start, size in steps.walk(not reverse):
        rows = slice(start, start + size)
        dht, dct, grad = dh[:size], dc[:size], grad_gates[rows]
        if grad_outputs is not None:
            dht += grad_outputs[rows]
        dct.addcmul_(dht, to_c[rows])
        torch.mul(dct, to_i[rows], out=grad[:, :hidden])
        torch.mul(dct, to_f[rows], out=grad[:, hidden : 2 * hidden])
        torch.mul(dct, to_g[rows], out=grad[:, 2 * hidden : 3 * hidden])
        torch.mul(dht, to_o[rows], out=grad[:, 3 * hidden :])
        torch.mm(grad, weight_hh, out=dht)
        dct.mul_(f[rows])
    return grad_gates


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
