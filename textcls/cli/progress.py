"""Drawing training: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from textcls.cli.output import METRICS, tell

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from textcls.training import EpochEnd, Event, Progress


def is_terminal() -> bool:
    """Whether standard error is a terminal that a live display can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class TrainingDisplay:
    """Shows the events of training: notes and one line for each epoch, and under them on a terminal where training stands.

    Args:
        metric: The validation metric that chooses the best epoch.
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._live: Any = None
        self._headed = False
        self._status = Status(metric)

    def __enter__(self) -> TrainingDisplay:
        if is_terminal():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False)
            self._live = Live(self._status, console=console, refresh_per_second=5, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._live:
            self._live.__exit__(kind, error, traceback)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        from textcls.training import EpochEnd, Note

        if isinstance(event, Note):
            self._line(event.text)
        elif isinstance(event, EpochEnd):
            if not self._headed:
                self._line("")
                self._line(epoch_header(self._metric, bool(event.metrics)))
                self._headed = True
            self._line(epoch_line(event, self._metric))
            self._status.epoch_ended(event)
        else:
            self._status.progress = event

    def _line(self, text: str) -> None:
        if self._live:
            self._live.console.print(text, markup=False)
        else:
            tell(text)


def _columns(metric: str) -> list[str]:
    """The validation metrics of an epoch's line: log loss, accuracy, and the one that chooses, or else macro-F1."""
    return ["log_loss", "accuracy", "macro_f1" if metric in {"log_loss", "accuracy"} else metric]


def epoch_header(metric: str, validated: bool) -> str:
    """Return the names above the epochs' lines."""
    names = [METRICS[name] for name in _columns(metric)] if validated else []
    return "  ".join(["epoch", "train loss", *[f"{name:>8}" for name in names], "tokens/s"])


def epoch_line(event: EpochEnd, metric: str) -> str:
    """Return one line for a finished epoch, under the header's names; a star marks the best so far."""
    cells = [f"{event.epoch:>5}", f"{event.train_loss:>10.4f}"]
    if event.metrics:
        cells += [_fixed(event.metrics[name], max(8, len(METRICS[name]))) for name in _columns(metric)]
    cells += [f"{event.tokens_per_second:>8,.0f}"]
    return "  ".join(cells) + ("  *" if event.metrics and event.best else "")


def _fixed(value: float | None, width: int) -> str:
    return f"{value:>{width}.4f}" if value is not None else "–".rjust(width)


class Status:
    """Two lines for rich: a bar over all epochs with the time left, and the figures of the moment as far as they fit.

    Args:
        metric: The validation metric that is shown.
    """

    def __init__(self, metric: str) -> None:
        self.progress: Progress | None = None
        self._otherwise = "reading data"
        self._metric = metric
        self._last: float | None = None
        self._best: float | None = None

    def epoch_ended(self, event: EpochEnd) -> None:
        """Take in the validation metric of an epoch."""
        self._last = event.metrics.get(self._metric)
        self._best = self._last if event.best else self._best
        if self.progress is not None and event.epoch == self.progress.epochs:
            self.progress, self._otherwise = None, "evaluating and drawing"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw, at the width there is."""
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        if self.progress is None:
            yield Spinner("dots", self._otherwise)
            return
        now = self.progress
        width = options.max_width
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(
            total=now.epochs * now.steps, completed=(now.epoch - 1) * now.steps + now.step, width=max(10, min(50, width - 40))
        )
        grid.add_row(f"epoch {now.epoch}/{now.epochs}", bar, f"{_clock(now.seconds_left)} left at most")
        yield Text("")
        yield grid
        yield Text(_as_fits(self._figures(now), width - 1), style="dim", no_wrap=True)

    def _figures(self, now: Progress) -> Iterator[str]:
        yield f"step {now.step}/{now.steps}"
        yield f"loss {now.loss:.4f}"
        if self._last is not None and self._best is not None:
            yield f"{METRICS[self._metric]} {self._last:.4f}, best {self._best:.4f}"
        yield f"{now.tokens_per_second:,.0f} tokens/s"


def _as_fits(parts: Iterator[str], width: int) -> str:
    """Join as many parts as fit."""
    line = next(parts)
    for part in parts:
        if len(line) + 3 + len(part) <= width:
            line += f" · {part}"
    return line


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
