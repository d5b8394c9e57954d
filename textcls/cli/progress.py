"""Drawing training and searches: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from textcls.cli.output import METRICS, metric_names, tell
from textcls.errors import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from textcls.training import EpochEnd, Event, Progress, SearchEvent, TrialEnd


def is_terminal() -> bool:
    """Whether standard error is a terminal that a live display can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Lines:
    """Lines on standard error, and under them on a terminal something that moves.

    Args:
        status: What rich can draw.
    """

    def __init__(self, status: object) -> None:
        self._drawn = status
        self._live: Any = None

    def __enter__(self) -> Self:
        if is_terminal():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False)
            self._live = Live(cast(Any, self._drawn), console=console, refresh_per_second=5, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._live:
            self._live.__exit__(kind, error, traceback)

    def line(self, text: str) -> None:
        """Write a line."""
        if self._live:
            self._live.console.print(visible(text), markup=False)
        else:
            tell(text)


class TrainingDisplay(Lines):
    """Shows the events of training: notes and one line for each epoch, and under them on a terminal where training stands.

    Args:
        metric: The validation metric that chooses the best epoch.
        many: Whether a text has many labels.
    """

    def __init__(self, metric: str, many: bool = False) -> None:
        self._metric, self._names = metric, metric_names(many)
        self._headed = False
        self._status = Status(metric, many)
        super().__init__(self._status)

    def __call__(self, event: Event) -> None:
        """Show an event."""
        from textcls.training import EpochEnd, Note

        if isinstance(event, Note):
            self.line(event.text)
        elif isinstance(event, EpochEnd):
            if not self._headed:
                self.line("")
                self.line(epoch_header(self._metric, bool(event.metrics), self._names))
                self._headed = True
            self.line(epoch_line(event, self._metric, self._names))
            self._status.epoch_ended(event)
        else:
            self._status.progress = event


class SearchDisplay(Lines):
    """Shows the events of a search: notes and one line for each trial, and under them on a terminal where the search stands.

    Args:
        metric: The validation metric that trials are compared by.
        minutes: The time that the search may take.
        many: Whether a text has many labels.
    """

    def __init__(self, metric: str, minutes: float, many: bool = False) -> None:
        self._metric, self._names = metric, metric_names(many)
        self._headed = False
        self._status = SearchStatus(metric, minutes, many)
        super().__init__(self._status)

    def __call__(self, event: SearchEvent) -> None:
        """Show an event."""
        from textcls.training import Note, TrialEnd, TrialStart

        if isinstance(event, Note):
            self.line(event.text)
        elif isinstance(event, TrialEnd):
            if not self._headed:
                self.line("")
                self.line(trial_header(self._metric, self._names))
                self._headed = True
            self.line(trial_line(event, self._metric, self._names))
            self._status.trial_ended(event)
        elif isinstance(event, TrialStart):
            self._status.trial = event.number
        else:
            self._status.epoch = event.epoch


def trial_header(metric: str, names: Mapping[str, str] = METRICS) -> str:
    """Return the names above the trials' lines."""
    return f"trial  {names[metric]:>8}  best epoch  epochs  seconds"


def trial_line(end: TrialEnd, metric: str, names: Mapping[str, str] = METRICS) -> str:
    """Return one line for a trial, under the header's names; a star marks the best so far."""
    width = max(8, len(names[metric]))
    epoch = "–" if end.best_epoch is None else str(end.best_epoch)
    line = f"{end.number:>5}  {_fixed(end.metrics.get(metric), width)}  {epoch:>10}  {end.epochs:>6}  {end.seconds:>7.1f}"
    origin = {"given": "the given settings", "default": "the defaults", "known": "known to help", "search": ""}[end.origin]
    ending = {"finished": "", "failed": f"failed: {end.reason}"}.get(end.ending, end.ending)
    said = ", ".join(part for part in (origin, ending) if part)
    return f"{line}  {'*' if end.best else ' '}  {said}".rstrip()


def _columns(metric: str) -> list[str]:
    """The validation metrics of an epoch's line: log loss, accuracy, and the one that chooses, or else macro-F1."""
    return ["log_loss", "accuracy", "macro_f1" if metric in {"log_loss", "accuracy"} else metric]


def epoch_header(metric: str, validated: bool, names: Mapping[str, str] = METRICS) -> str:
    """Return the names above the epochs' lines."""
    shown = [names[name] for name in _columns(metric)] if validated else []
    return "  ".join(["epoch", "train loss", *[f"{name:>8}" for name in shown], "tokens/s"])


def epoch_line(event: EpochEnd, metric: str, names: Mapping[str, str] = METRICS) -> str:
    """Return one line for a finished epoch, under the header's names; a star marks the best so far."""
    cells = [f"{event.epoch:>5}", f"{event.train_loss:>10.4f}"]
    if event.metrics:
        cells += [_fixed(event.metrics[name], max(8, len(names[name]))) for name in _columns(metric)]
    cells += [f"{event.tokens_per_second:>8,.0f}"]
    return "  ".join(cells) + ("  *" if event.metrics and event.best else "")


def _fixed(value: float | None, width: int) -> str:
    return f"{value:>{width}.4f}" if value is not None else "–".rjust(width)


class Status:
    """Two lines for rich: a bar over all epochs with the time left, and the figures of the moment as far as they fit.

    Args:
        metric: The validation metric that is shown.
        many: Whether a text has many labels.
    """

    def __init__(self, metric: str, many: bool = False) -> None:
        self._names = metric_names(many)
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
            yield f"{self._names[self._metric]} {self._last:.4f}, best {self._best:.4f}"
        yield f"{now.tokens_per_second:,.0f} tokens/s"


class SearchStatus:
    """Two lines for rich: a bar over the time of a search, and where its trial stands.

    Args:
        metric: The validation metric that is shown.
        minutes: The time that the search may take.
        many: Whether a text has many labels.
    """

    def __init__(self, metric: str, minutes: float, many: bool = False) -> None:
        self._names = metric_names(many)
        self.trial = 0
        self.epoch = 0
        self._metric, self._seconds = metric, 60 * minutes
        self._begun = time.monotonic()
        self._best: float | None = None

    def trial_ended(self, end: TrialEnd) -> None:
        """Take in the result of a trial."""
        self._best = end.metrics[self._metric] if end.best else self._best

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw, at the width there is."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        taken = min(self._seconds, time.monotonic() - self._begun)
        width = options.max_width
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=self._seconds, completed=taken, width=max(10, min(50, width - 40)))
        grid.add_row("search", bar, f"{_clock(self._seconds - taken)} left")
        yield Text("")
        yield grid
        yield Text(_as_fits(self._figures(), width - 1), style="dim", no_wrap=True)

    def _figures(self) -> Iterator[str]:
        yield f"trial {self.trial}" if self.trial else "reading data"
        if self.epoch:
            yield f"epoch {self.epoch}"
        if self._best is not None:
            yield f"best {self._names[self._metric]} {self._best:.4f}"


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
