"""What ends training too soon is told in one line."""

from __future__ import annotations

import pytest
import torch

from textcls.errors import TrainingError, is_out_of_memory
from textcls.training.failures import explained, memory_for

LACKS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"),
]


@pytest.mark.parametrize("error", LACKS)
def test_a_lack_of_memory_is_told_with_what_helps(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert "out of memory in epoch 3" in str(explained(error, "in epoch 3"))
    with (
        pytest.raises(TrainingError, match=r"^out of memory for the network: lower it$"),
        memory_for("the network", "lower it"),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    bug = RuntimeError("a bug")
    assert not is_out_of_memory(bug)
    assert explained(bug, "in epoch 3") is None
    with pytest.raises(RuntimeError, match="a bug"), memory_for("the network", "lower it"):
        raise bug
    told = TrainingError("the disk is full")
    assert explained(told, "in epoch 3") is told
    assert "another process of this run ended in epoch 3" in str(
        explained(RuntimeError("gloo: connection closed"), "in epoch 3")
    )
