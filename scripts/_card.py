"""What a card does while it trains: for the scripts that measure it."""

from __future__ import annotations

import time
from typing import Any

import torch

PROFILED = 3  # the epoch that is profiled: the first ones make what later ones have


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

    def profiles(self, epoch: int) -> bool:
        """Whether an epoch is profiled, so that its speed does not count."""
        return self._cuda and epoch == PROFILED

    def epoch_ended(self, epoch: int) -> None:
        """Start the profile with the end of the epoch before, and end it with its own."""
        if self.profiles(epoch + 1):
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
