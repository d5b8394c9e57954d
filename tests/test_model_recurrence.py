"""The hand-written backward pass against numerical gradients; `test_model_network.py` compares it with loops of cells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from textcls.config import ModelSettings
from textcls.model import Encoder

LENGTHS = [2, 4, 3, 3]

READS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, ...]]] = {
    "outputs": lambda outputs, _finals: (outputs,),
    "first final state": lambda _outputs, finals: (finals[0],),
    "last final state": lambda _outputs, finals: (finals[-1],),
    "all": lambda outputs, finals: (outputs, finals),
}


def tiny_encoder(**changes: Any) -> Encoder:
    torch.manual_seed(0)
    return Encoder(2, ModelSettings(**({"hidden_size": 2, "layer_dropout": 0} | changes))).double()


def sequences() -> PackedSequence:
    return pack_sequence([torch.randn(n, 2, dtype=torch.float64) for n in LENGTHS], enforce_sorted=False)


@pytest.mark.parametrize("changes", [{"bidirectional": False}, {}, {"bias": False, "layers": 2}], ids=str)
@pytest.mark.parametrize("read", READS)
def test_gradients_equal_numerical_ones(read: str, changes: dict[str, Any]) -> None:
    encoder, packed = tiny_encoder(**changes), sequences()
    names = [name for name, _ in encoder.named_parameters()]

    def run(data: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        arguments = PackedSequence(data, *packed[1:])
        output, finals = torch.func.functional_call(encoder, dict(zip(names, weights, strict=True)), (arguments,))
        return READS[read](output.data, finals)

    inputs = [packed.data, *encoder.parameters()]
    assert torch.autograd.gradcheck(run, [tensor.detach().requires_grad_() for tensor in inputs])


def test_leaves_its_inputs_and_incoming_gradients_alone() -> None:
    """It works in place on buffers of its own: what it was handed must stay as it was, and a second backward pass must agree."""
    encoder, packed = tiny_encoder(layers=2), sequences()
    packed.data.requires_grad_()
    output, finals = encoder(packed)
    inputs = [packed.data, *encoder.parameters()]
    handed = [*inputs, output.data, finals, torch.ones_like(output.data), torch.ones_like(finals)]
    before = [tensor.detach().clone() for tensor in handed]
    first = torch.autograd.grad((output.data, finals), inputs, handed[-2:], retain_graph=True)
    second = torch.autograd.grad((output.data, finals), inputs, handed[-2:])
    assert all(torch.equal(now, then) for now, then in zip(handed, before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_second_derivative_is_refused() -> None:
    encoder, packed = tiny_encoder(), sequences()
    packed.data.requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(packed)[1].pow(2).sum(), packed.data, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


def test_equals_torchs_own_packed_lstm_in_inference_mode() -> None:
    encoder, packed = tiny_encoder(layers=2), sequences()
    with torch.inference_mode():
        output, finals = encoder(packed)
        expected_output, (expected_finals, _) = encoder.rnn(packed)
    torch.testing.assert_close(output.data, expected_output.data)
    torch.testing.assert_close(finals, expected_finals)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_thread_for_each_direction_changes_no_bit(layers: int) -> None:
    encoder, packed = tiny_encoder(layers=layers), sequences()
    packed.data.requires_grad_()
    results = []
    for encoder.parallel in (False, True):
        output, finals = encoder(packed)
        loss = output.data.pow(2).sum() + finals.sin().sum()
        results.append([output.data, finals, *torch.autograd.grad(loss, [packed.data, *encoder.parameters()])])
    assert all(torch.equal(alone, beside) for alone, beside in zip(*results, strict=True))


def test_an_error_in_the_second_thread_is_raised() -> None:
    encoder, packed = tiny_encoder(), sequences()
    encoder.parallel = True
    encoder.rnn.weight_hh_l0_reverse = torch.nn.Parameter(torch.zeros(8, 2))  # single precision among double
    with pytest.raises(RuntimeError):
        encoder(packed)


FORKING = """
import os, signal, torch
from torch.nn.utils.rnn import pack_sequence
from textcls.config import ModelSettings
from textcls.model import Encoder

encoder = Encoder(3, ModelSettings(hidden_size=2, pooling="final"))
encoder.parallel = True
packed = pack_sequence([torch.ones(4, 3), torch.ones(2, 3)])
encoder(packed)  # starts the thread that the child will not have
child = os.fork()
if child == 0:
    signal.alarm(10)  # ends the child should it wait for ever
    torch.set_num_threads(1)  # torch's own threads are not there either
    encoder(packed)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    """In a process of its own: what other tests have loaded may not survive a fork."""
    result = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
