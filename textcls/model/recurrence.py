"""The packed LSTM with a backward pass of its own, for the CPU.

`torch.nn.LSTM` on a packed sequence is the slowest way to train on a CPU: it records each small operation of each step. Here the
gates are kept from the forward pass, every elementwise factor of the backward pass is computed for all tokens at once, and the
gradient of the recurrent weights is one matrix product. Equal to `torch.nn.LSTM` up to rounding, gradients too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class PackedLSTM(torch.autograd.Function):
    """One direction of one LSTM layer over packed tokens (Hochreiter and Schmidhuber, 1997, with forget gates)."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight_hh: Tensor, batch_sizes: list[int], reverse: bool) -> tuple[Tensor, Tensor]:
        """Run the recurrence.

        Args:
            ctx: Where autograd keeps what the backward pass needs.
            projected: Input product and both biases, (tokens, 4 * hidden), gates in torch's order i, f, g, o, packed by step.
            weight_hh: Recurrent weights, (4 * hidden, hidden).
            batch_sizes: Texts that have a first, second, … token.
            reverse: Read each text from its last token to its first.

        Returns:
            Hidden states of all tokens, (tokens, hidden), and the final one of each text, (batch, hidden), in packed order.
        """
        tokens, hidden = len(projected), weight_hh.shape[1]
        recurrent = weight_hh.t()
        gates = torch.empty_like(projected)
        outputs, cell_tanh, previous_h, previous_c = (projected.new_empty(tokens, hidden) for _ in range(4))
        h, c = (projected.new_zeros(batch_sizes[0], hidden) for _ in range(2))
        for start, size in _steps(batch_sizes, reverse):
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
        ctx.save_for_backward(gates, cell_tanh, previous_h, previous_c, weight_hh)
        ctx.batch_sizes, ctx.reverse = batch_sizes, reverse
        ctx.set_materialize_grads(False)
        return outputs, h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor | None, grad_final: Tensor | None) -> tuple[Tensor, Tensor, None, None]:
        """Return the gradients of `projected` and `weight_hh`."""
        gates, cell_tanh, previous_h, previous_c, weight_hh = ctx.saved_tensors
        hidden = weight_hh.shape[1]
        i, f, g, o = gates.chunk(4, 1)
        # Every elementwise factor, for all tokens at once; the loop below only multiplies.
        to_o, to_c = cell_tanh * o * (1 - o), o * (1 - cell_tanh * cell_tanh)
        to_i, to_f, to_g = g * i * (1 - i), previous_c * f * (1 - f), i * (1 - g * g)
        grad_gates = torch.empty_like(gates)
        dh = gates.new_zeros(ctx.batch_sizes[0], hidden) if grad_final is None else grad_final.clone()
        dc = torch.zeros_like(dh)
        for start, size in _steps(ctx.batch_sizes, not ctx.reverse):
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
        return grad_gates, grad_gates.t() @ previous_h, None, None


def _steps(batch_sizes: list[int], reverse: bool) -> list[tuple[int, int]]:
    """First packed token and number of texts of each step, in the order of reading."""
    steps, start = [], 0
    for size in batch_sizes:
        steps.append((start, size))
        start += size
    return steps[::-1] if reverse else steps
