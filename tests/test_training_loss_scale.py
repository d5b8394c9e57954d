"""The scale of the loss in half precision."""

from __future__ import annotations

import pytest
import torch

from textcls.training import loss_scale
from textcls.training.loss_scale import LossScale

HERE = torch.device("cpu")


def test_gradients_lose_the_scale() -> None:
    scale = LossScale(HERE)
    gradients = [torch.full((2,), 3.0) * scale.value, torch.ones(1) * scale.value]
    scale.unscale(gradients)
    torch.testing.assert_close(gradients, [torch.full((2,), 3.0), torch.ones(1)])


def test_shrinks_where_gradients_overflow_and_grows_while_they_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "_EVERY", 3)
    scale = LossScale(HERE)
    first = float(scale.value)
    found = []
    for norm in (torch.inf, torch.nan, 1.0, 1.0, 1.0, 1.0):
        scale.adapt(torch.tensor(norm))
        found.append((float(scale.value) / first, float(scale.overflowed)))
    assert found == [(0.5, 1.0), (0.25, 1.0), (0.25, 0.0), (0.25, 0.0), (0.5, 0.0), (0.5, 0.0)]
    assert int(scale.skipped) == 2


def test_goes_on_from_its_state() -> None:
    scale, other = LossScale(HERE), LossScale(HERE)
    scale.adapt(torch.tensor(torch.inf))
    scale.adapt(torch.tensor(1.0))
    other.restore(scale.state())
    for one in (scale, other):
        one.adapt(torch.tensor(1.0))
    assert {name: float(tensor) for name, tensor in scale.state().items()} == {
        name: float(tensor) for name, tensor in other.state().items()
    }
