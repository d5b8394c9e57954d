"""How long training takes, evaluation left out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

_REPORT_SECONDS = 0.2  # between two progress events; only then is the loss read from the device


@dataclass
class Clock:
    """Seconds and tokens of training; what it has counted so far goes on in a resumed run.

    Attributes:
        seconds: Of all epochs.
        tokens: Trained on in them.
        epoch_seconds: Of the epoch under way.
        epoch_tokens: Trained on in it.
    """

    seconds: float = 0.0
    tokens: int = 0
    epoch_seconds: float = 0.0
    epoch_tokens: int = 0
    _mark: float = field(default_factory=time.perf_counter)
    _reported: float = field(default_factory=time.perf_counter)

    def go(self) -> None:
        """Start, or go on after something that is no training."""
        self._mark = time.perf_counter()

    def count(self, tokens: int = 0) -> None:
        """Take in the time since the last call, and the tokens trained on."""
        now = time.perf_counter()
        self.seconds += now - self._mark
        self.epoch_seconds += now - self._mark
        self.tokens += tokens
        self.epoch_tokens += tokens
        self._mark = now

    def report_due(self) -> bool:
        """Whether it is time for another progress event."""
        due = self._mark - self._reported >= _REPORT_SECONDS
        self._reported = self._mark if due else self._reported
        return due

    def tokens_per_second(self) -> float:
        """Return the speed of all epochs."""
        return self.tokens / max(self.seconds, 1e-9)

    def end_epoch(self) -> tuple[float, float]:
        """Return the epoch's tokens per second and its seconds, and start the next one's."""
        self.count()
        seconds, tokens = self.epoch_seconds, self.epoch_tokens
        self.epoch_seconds, self.epoch_tokens = 0.0, 0
        return tokens / max(seconds, 1e-9), seconds

    def figures(self) -> dict[str, float]:
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in ("seconds", "tokens", "epoch_seconds", "epoch_tokens")}
