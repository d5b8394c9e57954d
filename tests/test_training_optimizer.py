"""The optimiser by rows against torch's dense AdamW and a moving average written out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from textcls.config import ModelSettings, TrainingSettings
from textcls.model import Network
from textcls.training.optimizer import Optimizer, TableOptimizer

WORDS, SIZE = 7, 3


def tiny_network() -> Network:
    torch.manual_seed(0)
    network = Network(ModelSettings(embedding_size=SIZE, hidden_size=2, ngram_slots=0, pooling="final"), WORDS, 2)
    network.embedding.weight.data[0] = 0
    return network


def plain(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**({"clip": 1e9, "average": 0.9, "learning_rate": 0.01, "weight_decay": 0.1} | changes))


def step(optimizer: Optimizer, network: Network, used: list[int], draw: torch.Generator) -> dict[int, Tensor]:
    """Take a step with random gradients; return those of the rows."""
    types = torch.tensor(used)
    vectors = optimizer.vectors(types)
    for weight in network.parameters():
        if weight.requires_grad:
            weight.grad = torch.randn(weight.shape, generator=draw)
    vectors.grad = torch.randn(vectors.shape, generator=draw)
    gradients = dict(zip(used, vectors.grad.clone(), strict=True))
    optimizer.step(types, vectors)
    return gradients


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

    def step(self, network: Network, rows: dict[int, Tensor], rate: float) -> None:
        gradient = torch.zeros(WORDS, SIZE)
        for row, own in rows.items():
            gradient[row] = own if row else 0
        self.weights[0].grad = gradient
        for weight, other in zip(self.weights[1:], list(network.parameters())[1:], strict=True):
            assert other.grad is not None
            weight.grad = other.grad.clone()
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.steps += 1
        decay = min(self.limit, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for average, weight in zip(self.average, self.weights, strict=True):
                average.lerp_(weight, 1 - decay)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, WORDS - 1), min_size=1), min_size=1, max_size=40), st.sampled_from([0.0, 0.5, 0.998]))
def test_equals_dense_adamw_and_its_average(batches: list[set[int]], average: float) -> None:
    network, chosen, draw = tiny_network(), plain(average=average), torch.Generator().manual_seed(1)
    dense, optimizer = Dense(network, chosen), Optimizer(network, chosen)
    for number, used in enumerate(batches):
        optimizer.rate = 0.01 / (1 + number % 5)
        gradients = step(optimizer, network, sorted(used), draw)
        dense.step(network, gradients, optimizer.rate)
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
        dense.step(network, step(optimizer, network, used, draw), optimizer.rate)
    with optimizer.averaged():
        torch.testing.assert_close(network.embedding.weight.data, dense.average[0], atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(network.embedding.weight.data, dense.weights[0].data, atol=1e-5, rtol=1e-3)
    assert optimizer.table is not None
    assert bool((optimizer.table._pending[[0, 3]] >= 1e-30).all())  # no number so small that it is slow


def test_padding_never_learns() -> None:
    network = tiny_network()
    optimizer = Optimizer(network, plain())
    step(optimizer, network, [0, 1], torch.Generator().manual_seed(1))
    step(optimizer, network, [2], torch.Generator().manual_seed(1))
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
    for weight in network.classifier.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step(torch.tensor([1, 4]), vectors)
    with optimizer.averaged():
        assert torch.equal(network.embedding.weight, before)
    assert not torch.equal(network.classifier.weight, tiny_network().classifier.weight)


def test_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    draw = torch.Generator().manual_seed(1)
    network = tiny_network()
    optimizer = Optimizer(network, plain())
    for used in ([1, 2], [3], [2, 5]):
        step(optimizer, network, used, draw)
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
            step(optimizer, network, used, draw)
        with optimizer.averaged():
            averaged = [p.detach().clone() for p in network.parameters()]
        results.append([*averaged, *(p.detach().clone() for p in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_average_is_swapped_back_even_after_an_error() -> None:
    network = tiny_network()
    optimizer = Optimizer(network, plain())
    step(optimizer, network, [1, 2], torch.Generator().manual_seed(1))
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
    vectors.grad = torch.zeros_like(vectors)
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step(torch.tensor([1, 2]), vectors)
    for name, weight in network.named_parameters():
        decays = "weight" in name and not name.startswith("embedding")
        torch.testing.assert_close(weight.data, before[name] * (0.95 if decays else 1.0), msg=name)


def test_clips_layers_and_table_together() -> None:
    network = tiny_network()
    optimizer = Optimizer(network, plain(clip=1.0))
    vectors = optimizer.vectors(torch.tensor([1, 2]))
    vectors.grad = torch.full_like(vectors, 10.0)
    network.classifier.bias.grad = torch.full_like(network.classifier.bias, 10.0)
    optimizer.step(torch.tensor([1, 2]), vectors)
    norm = torch.cat([vectors.grad.flatten(), network.classifier.bias.grad]).norm()
    torch.testing.assert_close(norm, torch.tensor(1.0), atol=1e-4, rtol=0)


def test_a_large_table_is_worked_on_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    start = torch.from_numpy(np.random.default_rng(0).normal(size=(WORDS, SIZE)).astype(np.float32))
    results = []
    for block in (2, 100):
        monkeypatch.setattr("textcls.training.optimizer._BLOCK", block)
        table = TableOptimizer(start.clone())
        for used in ([1, 2, 6], [3], [1]):
            types = torch.tensor(used)
            table.rows(types)
            table.step(torch.ones(len(used), SIZE), 0.1, 0.5)
        table.catch_up()
        table.swap()
        results.append((table.table, table.average))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
