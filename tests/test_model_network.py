"""The network against the field's own definitions, on tiny exact tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence, pad_sequence

from textcls.config import ModelSettings
from textcls.model import Encoder, Network, pack

LENGTHS = [3, 7, 1, 5, 5]
SHAPES = list(itertools.product(("lstm", "gru", "rnn"), (1, 2), (True, False), (True, False)))


def model_settings(**changes: Any) -> ModelSettings:
    plain = {
        "embedding_size": 4,
        "hidden_size": 3,
        "ngram_slots": 0,
        "embedding_dropout": 0,
        "layer_dropout": 0,
        "output_dropout": 0,
    }
    return ModelSettings(**(plain | changes))


def by_cells(rnn: nn.RNNBase, text: Tensor) -> tuple[Tensor, Tensor]:
    """The definition: a loop of single cells over one unpadded text; outputs and final states."""
    kind: Any = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}[type(rnn)]
    finals: list[Tensor] = []
    for layer in range(rnn.num_layers):
        halves = []
        for suffix in ("", "_reverse")[: 2 if rnn.bidirectional else 1]:
            cell = kind(text.shape[1], rnn.hidden_size, bias=rnn.bias, dtype=text.dtype)
            for name in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if rnn.bias else ())):
                delattr(cell, name)
                setattr(cell, name, getattr(rnn, f"{name}_l{layer}{suffix}"))  # the same tensors, so that gradients flow
            state: Any = None
            outputs = []
            for token in text.flip(0) if suffix else text:
                state = cell(token[None], state)
                outputs.append(state[0] if isinstance(state, tuple) else state)
            finals.append(outputs[-1][0])
            halves.append(torch.cat(outputs[::-1] if suffix else outputs))
        text = torch.cat(halves, dim=1)
    return text, torch.stack(finals)


@pytest.mark.parametrize(("cell", "layers", "bidirectional", "bias"), SHAPES)
def test_encoder_equals_a_loop_of_cells(cell: str, layers: int, bidirectional: bool, bias: bool) -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, model_settings(cell=cell, layers=layers, bidirectional=bidirectional, bias=bias)).double()
    texts = [torch.randn(n, 4, dtype=torch.float64) for n in LENGTHS]
    output, h_n = encoder(pack_sequence(texts, enforce_sorted=False))
    padded, lengths = pad_packed_sequence(output, batch_first=True)
    assert lengths.tolist() == LENGTHS
    assert h_n.shape == (layers * (2 if bidirectional else 1), len(texts), 3)
    loss, expected_loss = h_n.pow(2).sum(), torch.zeros((), dtype=torch.float64)
    for row, text in enumerate(texts):
        outputs, finals = by_cells(encoder.rnn, text)
        torch.testing.assert_close(padded[row, : len(text)], outputs)
        torch.testing.assert_close(h_n[:, row], finals)
        expected_loss = expected_loss + finals.pow(2).sum() + outputs.sin().sum()
    loss = loss + output.data.sin().sum()
    parameters = list(encoder.parameters())
    for ours, theirs in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected_loss, parameters), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_outputs_hold_the_final_states(cell: str) -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, model_settings(cell=cell, layers=2))
    packed = pack_sequence([torch.randn(n, 4) for n in LENGTHS], enforce_sorted=False)
    output, h_n = encoder(packed)
    padded, lengths = pad_packed_sequence(output, batch_first=True)
    last = padded[torch.arange(len(LENGTHS)), lengths - 1]
    torch.testing.assert_close(last[:, :3], h_n[-2])
    torch.testing.assert_close(padded[:, 0, 3:], h_n[-1])
    torch.testing.assert_close(encoder.final_states(packed), torch.cat([h_n[-2], h_n[-1]], dim=1))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("pooling", ["final+max", "final+mean"])
def test_pooling_is_over_each_texts_own_outputs(pooling: str, cell: str, layers: int) -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, model_settings(cell=cell, layers=layers, pooling=pooling)).double()
    texts = [torch.randn(n, 4, dtype=torch.float64) for n in LENGTHS]
    found = encoder.summary(pad_sequence(texts), torch.tensor(LENGTHS))
    assert found.shape == (len(texts), encoder.output_size) == (len(texts), 12)
    expected = []
    for text in texts:
        outputs, finals = by_cells(encoder.rnn, text)
        pooled = torch.stack([outputs[:, i].max() if pooling == "final+max" else outputs[:, i].mean() for i in range(6)])
        expected.append(torch.cat([finals[-2], finals[-1], pooled]))
    torch.testing.assert_close(found, torch.stack(expected))
    parameters = list(encoder.parameters())
    ours = torch.autograd.grad(found.sin().sum(), parameters)
    for mine, theirs in zip(ours, torch.autograd.grad(torch.stack(expected).sin().sum(), parameters), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("cell", "module"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
def test_parameters_have_torchs_names_and_shapes(cell: str, module: Callable[..., nn.RNNBase]) -> None:
    ours = Encoder(4, model_settings(cell=cell, layers=2)).rnn
    theirs = module(4, 3, 2, bidirectional=True)
    assert {k: v.shape for k, v in ours.named_parameters()} == {k: v.shape for k, v in theirs.named_parameters()}


@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_equal_torchs_module(layers: int) -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, model_settings(layers=layers)).double()
    packed = pack_sequence([torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in LENGTHS], enforce_sorted=False)
    parameters = [packed.data, *encoder.parameters()]
    _, h_n = encoder(packed)
    _, (expected, _) = encoder.rnn(packed)
    torch.testing.assert_close(h_n, expected)
    ours = torch.autograd.grad(h_n.pow(3).sum(), parameters)
    for mine, theirs in zip(ours, torch.autograd.grad(expected.pow(3).sum(), parameters), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_layer_dropout_is_drawn_in_training_alone() -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, model_settings(layers=2, layer_dropout=0.5))
    packed = pack_sequence([torch.randn(6, 4)])
    assert not torch.equal(encoder.final_states(packed), encoder.final_states(packed))
    encoder.eval()
    assert torch.equal(encoder.final_states(packed), encoder.final_states(packed))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_dropout_drops_recurrent_weights_alone_and_in_training_alone(cell: str) -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, model_settings(cell=cell, layers=2, hidden_size=10, recurrent_dropout=0.5))
    packed = pack_sequence([torch.randn(6, 4), torch.randn(3, 4)])
    one = pack_sequence([torch.randn(1, 4)])  # a first step has no state before it, so no recurrent weight matters
    assert not torch.equal(encoder.final_states(packed), encoder.final_states(packed))
    assert torch.equal(encoder.final_states(one), encoder.final_states(one))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    encoder.final_states(packed).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in encoder.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is not None
        zeros = (parameter.grad == 0).float().mean()
        assert 0.35 < zeros < 0.65 if "weight_hh" in name else zeros == 0
    encoder.eval()
    assert torch.equal(encoder.final_states(packed), encoder.final_states(packed))


def test_type_dropout_drops_a_token_at_all_its_places() -> None:
    torch.manual_seed(0)
    network = Network(model_settings(type_dropout=0.5), 20, 3)
    seen: list[Tensor] = []
    summary = network.encoder.summary
    network.encoder.summary = lambda data, lengths: seen.append(data) or summary(data, lengths)  # type: ignore[method-assign, func-returns-value]
    batch = pack(*flat([list(range(1, 20)) * 2]))
    network(batch)
    twice = seen[0][:38].view(2, 19, 4)
    assert torch.equal(twice[0], twice[1])
    lost = (twice[0] == 0).all(dim=1)
    assert 3 < lost.sum() < 16
    torch.testing.assert_close(twice[0][~lost], 2 * network.embedding.weight[1:][~lost])
    network.eval()(batch)
    assert torch.equal(seen[1], network.embedding(batch.ids))


texts_of_ids = st.lists(st.lists(st.integers(1, 19), min_size=1, max_size=12), min_size=1, max_size=9)


def flat(texts: list[list[int]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.concatenate(texts).astype(np.int32), np.cumsum([0, *map(len, texts)])


@settings(deadline=None, max_examples=50)
@given(texts_of_ids, st.randoms(), st.sampled_from(["final", "final+max", "final+mean"]), st.sampled_from([0, 7]))
def test_scores_do_not_depend_on_batch_order_or_padding(
    texts: list[list[int]], random: Any, pooling: str, ngram_slots: int
) -> None:
    torch.manual_seed(0)
    network = Network(model_settings(pooling=pooling, ngram_slots=ngram_slots), 20, 3).eval()
    if network.ngrams is not None:
        network.ngrams.weight[1:].random_(-9, 9)
    rows = list(range(len(texts)))
    random.shuffle(rows)
    with torch.inference_mode():
        together = network(pack(*flat(texts), np.array(rows)))
        for place, row in enumerate(rows):
            alone = network(pack(*flat([texts[row]])))
            torch.testing.assert_close(together[place], alone[0], atol=1e-6, rtol=1e-6)


def test_pad_row_is_zero_and_gets_no_gradient() -> None:
    network = Network(model_settings(), 20, 3)
    network(pack(*flat([[0], [5, 6]]))).sum().backward()
    gradient = network.embedding.weight.grad
    assert gradient is not None
    assert not network.embedding.weight[0].any()
    assert not gradient[0].any()
    assert gradient[5].any()


def test_encoder_takes_a_numeric_series() -> None:
    """Not text at all: telling a rising series from a falling one."""
    torch.manual_seed(0)
    encoder, head = Encoder(1, model_settings(hidden_size=8)), nn.Linear(16, 2)
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.02)
    targets = torch.arange(32) % 2
    for _ in range(60):
        series = [
            torch.randn(n, 1) * 0.1 + torch.linspace(-1, 1, n)[:, None] * (1 - 2 * y)
            for n, y in zip(torch.randint(5, 20, (32,)).tolist(), targets.tolist(), strict=True)
        ]
        logits = head(encoder.final_states(pack_sequence(series, enforce_sorted=False)))
        loss = nn.functional.cross_entropy(logits, targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert (logits.argmax(1) == targets).float().mean() == 1.0
