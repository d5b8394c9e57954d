"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from textcls.training.average import MovingAverage


def moved(network: nn.Linear, average: MovingAverage, values: list[float]) -> None:
    for value in values:
        with torch.no_grad():
            network.weight.fill_(value)
        average.update()


def averaged(network: nn.Linear, average: MovingAverage) -> float:
    with average.applied():
        return network.weight.item()


def test_follows_the_closed_form() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 5.0)
    average = MovingAverage(network, 0.3)
    expected = 5.0
    for step, value in enumerate([1.0, -2.0, 4.0, 0.5], start=1):
        moved(network, average, [value])
        decay = min(0.3, (1 + step) / (10 + step))  # 2/11, 3/12, then 0.3
        expected = decay * expected + (1 - decay) * value
        assert averaged(network, average) == pytest.approx(expected, rel=1e-6)


def test_forgets_the_first_weights_as_decay_to_the_power_of_steps() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, 0.1)  # below the growing decay from the first step on
    start = network.weight.item()
    moved(network, average, [0.0] * 4)
    assert averaged(network, average) == pytest.approx(start * 0.1**4, rel=1e-5)


def test_without_decay_is_the_weights_themselves() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, 0)
    moved(network, average, [3.0, 0.1])
    assert averaged(network, average) == network.weight.item()


def test_swap_restores_the_weights_even_after_an_error() -> None:
    network = nn.Linear(2, 2)
    average = MovingAverage(network, 0.9)
    start = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    try:
        with average.applied():
            during = network.weight.detach().clone()
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert torch.equal(during, start)
    assert torch.equal(network.weight, start + 1)
    with average.applied():  # and the average is still the average
        assert torch.equal(network.weight, start)


def test_leaves_frozen_weights_alone() -> None:
    network = nn.Linear(2, 2)
    network.weight.requires_grad_(False)
    average = MovingAverage(network, 0.5)
    with torch.no_grad():
        network.weight.fill_(7)
    average.update()
    with average.applied():
        assert (network.weight == 7).all()
