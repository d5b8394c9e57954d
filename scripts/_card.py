"""What a card does while it trains: for the scripts that measure it."""

from __future__ import annotations

import time
from typing import Any

import torch

WARM_UP = 3  # epochs whose speed does not count, as steps are captured in them
PROFILED = 5  # the epoch that is profiled, which does not count either


class Card:
    """Tells how busy a CUDA device is in one epoch, and how much of its memory was taken.

    Args:
        device: As `training.device` has it; of others than CUDA nothing is told.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        self._profile: Any = None
        self._began = 0.0
        self._figures: dict[str, float] = {}
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()

    def counts(self, epoch: int) -> bool:
        """Whether the speed of an epoch is one of those that the figure comes from."""
        return not self._cuda or (epoch > WARM_UP and epoch != PROFILED)

    def epoch_ended(self, epoch: int) -> None:
        """Start the profile with the end of the epoch before, and end it with its own."""
        if self._cuda and epoch + 1 == PROFILED:
            torch.cuda.synchronize()
            self._profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._profile.start()
            self._began = time.perf_counter()
        elif self._profile is not None:
            torch.cuda.synchronize()
            seconds = time.perf_counter() - self._began
            self._profile.stop()
            kernels = [event for event in self._profile.events() if event.device_type.name == "CUDA"]
            self._figures["busy"] = sum(event.time_range.elapsed_us() for event in kernels) / 1e6 / seconds
            self._profile = None

    def figures(self) -> dict[str, float]:
        """Return `busy`, the share of the profiled epoch in which a kernel ran, and `peak_mb`; nothing without a card."""
        if self._cuda:
            self._figures["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
        return self._figures
