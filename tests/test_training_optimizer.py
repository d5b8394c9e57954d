"""The optimiser by rows against torch's dense AdamW and a moving average written out."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from textcls.config import ModelSettings, TrainingSettings
from textcls.model import Network
from textcls.training.optimizer import Optimizer
from textcls.training.table import DenseTable, RowTable

WORDS, SIZE = 7, 3
Gradients = tuple[list[Tensor], dict[int, Tensor]]  # of each weight of the layers; of each row of the table in use


def tiny_network() -> Network:
    torch.manual_seed(0)
    network = Network(ModelSettings(embedding_size=SIZE, hidden_size=2, ngram_slots=0, pooling="final"), WORDS, 2)
    network.embedding.weight.data[0] = 0
    return network


def plain(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**({"clip": 1e9, "average": 0.9, "learning_rate": 0.01, "weight_decay": 0.1} | changes))


def step(optimizer: Optimizer, used: list[int], draw: torch.Generator, rate: float = 0.01) -> Gradients:
    """Take a step with random gradients; return those of the layers, and those of the rows."""
    layers = [torch.randn(leaf.shape, generator=draw) for leaf in optimizer.leaves() if leaf.shape != (WORDS, SIZE)]
    rows = torch.randn(len(used), SIZE, generator=draw)
    gradients = [*(tensor.clone() for tensor in layers), rows.clone()], dict(zip(used, rows.clone(), strict=True))
    optimizer.begin(rate)
    scale = 1.0 if optimizer.scale is None else float(optimizer.scale.value)
    if isinstance(optimizer.table, DenseTable):
        whole = torch.zeros(WORDS, SIZE).index_copy_(0, torch.tensor(used), rows)
        whole[0] = 0  # as torch's own embedding leaves out its padding
        optimizer.step([gradient * scale for gradient in (*layers, whole)])
    else:
        optimizer.vectors(torch.tensor(used))
        optimizer.step([gradient * scale for gradient in (*layers, rows)], torch.tensor(used))
    return gradients[0][:-1], gradients[1]


class Dense:
    """The same with torch's AdamW over the whole table, and the average of each step."""

    def __init__(self, network: Network, chosen: TrainingSettings) -> None:
        self.weights = [nn.Parameter(p.detach().clone()) for p in network.parameters()]
        self.average = [p.detach().clone() for p in self.weights]
        matrices = [p for p in self.weights[1:] if p.dim() > 1]
        others = [self.weights[0], *(p for p in self.weights[1:] if p.dim() == 1)]
        groups = [{"params": matrices, "weight_decay": chosen.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, lr=chosen.learning_rate)
        self.limit, self.steps = chosen.average, 0

    def step(self, gradients: Gradients, rate: float = 0.01) -> None:
        layers, rows = gradients
        gradient = torch.zeros(WORDS, SIZE)
        for row, own in rows.items():
            gradient[row] = own if row else 0
        for weight, own in zip(self.weights, [gradient, *layers], strict=True):
            weight.grad = own
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.steps += 1
        decay = min(self.limit, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for average, weight in zip(self.average, self.weights, strict=True):
                average.lerp_(weight, 1 - decay)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, WORDS - 1), min_size=1), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.5, 0.998]),
    st.booleans(),
)
def test_equals_torchs_adamw_and_its_average(batches: list[set[int]], average: float, whole: bool) -> None:
    network, chosen, draw = tiny_network(), plain(average=average), torch.Generator().manual_seed(1)
    dense, optimizer = Dense(network, chosen), Optimizer(network, chosen, dense=whole)
    for number, used in enumerate(batches):
        rate = 0.01 / (1 + number % 5)
        dense.step(step(optimizer, sorted(used), draw, rate), rate)
    with optimizer.averaged():
        for found, expected in zip(network.parameters(), dense.average, strict=True):
            torch.testing.assert_close(found.data, expected, atol=2e-6, rtol=1e-4)
    for found, expected in zip(network.parameters(), dense.weights, strict=True):
        torch.testing.assert_close(found.data, expected.data, atol=2e-6, rtol=1e-4)


def test_a_row_left_out_for_thousands_of_steps_is_where_the_dense_one_is() -> None:
    network, chosen, draw = tiny_network(), plain(average=0.998), torch.Generator().manual_seed(1)
    dense, optimizer = Dense(network, chosen), Optimizer(network, chosen)
    for number in range(3000):
        used = [1, 2, 3] if number in {0, 1, 2999} else [2]
        dense.step(step(optimizer, used, draw))
    with optimizer.averaged():
        torch.testing.assert_close(network.embedding.weight.data, dense.average[0], atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(network.embedding.weight.data, dense.weights[0].data, atol=1e-5, rtol=1e-3)
    assert isinstance(optimizer.table, RowTable)
    assert bool((optimizer.table._pending[[0, 3]] >= 1e-30).all())  # no number so small that it is slow


def test_padding_never_learns() -> None:
    network = tiny_network()
    optimizer = Optimizer(network, plain())
    step(optimizer, [0, 1], torch.Generator().manual_seed(1))
    step(optimizer, [2], torch.Generator().manual_seed(1))
    with optimizer.averaged():
        assert not network.embedding.weight[0].any()
    assert not network.embedding.weight[0].any()
    assert network.embedding.weight[1].any()


def test_a_frozen_table_stays() -> None:
    network = tiny_network()
    before = network.embedding.weight.detach().clone()
    optimizer = Optimizer(network, plain(freeze_embeddings=True))
    vectors = optimizer.vectors(torch.tensor([1, 4]))
    assert not vectors.requires_grad
    torch.testing.assert_close(vectors, before[[1, 4]])
    optimizer.begin(0.01)
    optimizer.step([torch.ones_like(leaf) for leaf in optimizer.leaves(vectors)])
    with optimizer.averaged():
        assert torch.equal(network.embedding.weight, before)
    assert not torch.equal(network.classifier.weight, tiny_network().classifier.weight)


def test_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    draw = torch.Generator().manual_seed(1)
    network = tiny_network()
    optimizer = Optimizer(network, plain())
    for used in ([1, 2], [3], [2, 5]):
        step(optimizer, used, draw)
    file, drawn = io.BytesIO(), draw.get_state()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state()}, file)
    results = []
    for again in (False, True):
        if again:
            file.seek(0)
            saved = torch.load(file, weights_only=True)
            network = tiny_network()
            network.load_state_dict(saved["network"])
            optimizer = Optimizer(network, plain())
            optimizer.restore(saved["optimizer"])
            draw.set_state(drawn)
        for used in ([1], [4, 5], [2]):
            step(optimizer, used, draw)
        with optimizer.averaged():
            averaged = [p.detach().clone() for p in network.parameters()]
        results.append([*averaged, *(p.detach().clone() for p in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_average_is_swapped_back_even_after_an_error() -> None:
    network = tiny_network()
    optimizer = Optimizer(network, plain())
    step(optimizer, [1, 2], torch.Generator().manual_seed(1))
    before = [p.detach().clone() for p in network.parameters()]
    during: list[Tensor] = []

    def fails() -> None:
        with optimizer.averaged():
            during.extend(p.detach().clone() for p in network.parameters())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not any(torch.equal(a, b) for a, b in zip(during, before, strict=True))
    assert all(torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))


def test_decays_the_matrices_of_the_layers_alone() -> None:
    network = tiny_network()
    optimizer = Optimizer(network, plain(weight_decay=0.5, learning_rate=0.1))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    vectors = optimizer.vectors(torch.tensor([1, 2]))
    optimizer.begin(0.1)
    optimizer.step([torch.zeros_like(leaf) for leaf in optimizer.leaves(vectors)], torch.tensor([1, 2]))
    for name, weight in network.named_parameters():
        decays = "weight" in name and not name.startswith("embedding")
        torch.testing.assert_close(weight.data, before[name] * (0.95 if decays else 1.0), msg=name)


def test_clips_layers_and_table_together() -> None:
    network = tiny_network()
    optimizer = Optimizer(network, plain(clip=1.0))
    vectors = optimizer.vectors(torch.tensor([1, 2]))
    gradients = [torch.full_like(leaf, 10.0).detach() for leaf in optimizer.leaves(vectors)]
    optimizer.begin(0.1)
    optimizer.step(gradients, torch.tensor([1, 2]))
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    torch.testing.assert_close(norm, torch.tensor(1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("began_dense", [False, True])
@pytest.mark.parametrize("goes_on_dense", [False, True])
def test_a_table_of_one_kind_goes_on_as_the_other(began_dense: bool, goes_on_dense: bool) -> None:
    """A run that began on a GPU, where the table is dense, goes on elsewhere, and the other way round."""
    draw = torch.Generator().manual_seed(1)
    network, chosen = tiny_network(), plain()
    dense, optimizer = Dense(network, chosen), Optimizer(network, chosen, dense=began_dense)
    for used in ([1, 2], [3], [2, 5]):
        dense.step(step(optimizer, used, draw))
    weights, state = copy.deepcopy(network.state_dict()), copy.deepcopy(optimizer.state())
    network = tiny_network()
    network.load_state_dict(weights)
    optimizer = Optimizer(network, chosen, dense=goes_on_dense)
    optimizer.restore(state)
    for used in ([1, 6], [2], [3]):
        dense.step(step(optimizer, used, draw))
    with optimizer.averaged():
        for found, expected in zip(network.parameters(), dense.average, strict=True):
            torch.testing.assert_close(found.data, expected, atol=2e-6, rtol=1e-4)
    for found, expected in zip(network.parameters(), dense.weights, strict=True):
        torch.testing.assert_close(found.data, expected.data, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("whole", [False, True])
def test_a_step_whose_gradients_overflow_is_skipped(whole: bool) -> None:
    """In half precision: the weights stay, and the steps that follow are as if it had never been; also from a checkpoint."""
    network, chosen = tiny_network(), plain(precision="fp16")
    dense, optimizer = Dense(network, chosen), Optimizer(network, chosen, dense=whole)
    draw = torch.Generator().manual_seed(1)
    for used in ([1, 2], [3]):
        dense.step(step(optimizer, used, draw))
    before = [p.detach().clone() for p in network.parameters()]
    assert optimizer.scale is not None
    scale = float(optimizer.scale.value)
    optimizer.begin(0.01)
    types = None if whole else torch.tensor([4])
    vectors = None if types is None else optimizer.vectors(types)
    optimizer.step([torch.full(leaf.shape, torch.inf) for leaf in optimizer.leaves(vectors)], types)
    assert all(torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))
    assert float(optimizer.scale.value) < scale
    weights, state = copy.deepcopy(network.state_dict()), copy.deepcopy(optimizer.state())
    network = tiny_network()
    network.load_state_dict(weights)
    optimizer = Optimizer(network, chosen, dense=whole)
    optimizer.restore(state)
    for used in ([2, 5], [1]):
        dense.step(step(optimizer, used, draw))
    with optimizer.averaged():  # which brings rows that wait up to date
        pass
    for found, expected in zip(network.parameters(), dense.weights, strict=True):
        torch.testing.assert_close(found.data, expected.data, atol=2e-6, rtol=1e-4)
