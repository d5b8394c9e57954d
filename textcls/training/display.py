"""What `fit` shows while it trains: a line for each epoch, and under them where training stands, in a terminal or a notebook."""

from __future__ import annotations

import os
import shutil
import sys
from types import TracebackType
from typing import Any, Self, TextIO

from textcls.errors import visible
from textcls.training.events import EpochEnd, Event, Note, Progress

_BAR = 24  # characters
_LEAST_WIDTH = 20
_CLEAR = "\r\x1b[K"  # a terminal's line, up to its end


class FitDisplay:
    """Shows the events of training where somebody looks on: in a terminal, or in a notebook's cell; elsewhere nothing.

    In a notebook one output of plain text is replaced as training goes on, so that the cell keeps the lines of the epochs.

    Args:
        metric: The validation metric that is shown.
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._lines: list[str] = []
        self._status = ""
        self._terminal: TextIO | None = None
        self._output: Any = None  # of a notebook

    def __enter__(self) -> Self:
        if in_notebook():
            from IPython import display

            show: Any = display.display  # which has no types
            self._output = show({"text/plain": "…"}, raw=True, display_id=True)
        elif sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._terminal = sys.stderr
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._status = ""
        self._draw([])

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Note):
            self._draw([visible(event.text)])
        elif isinstance(event, EpochEnd):
            self._draw([self._epoch(event)])
        else:
            self._status = _standing(event)
            self._draw([])

    def _epoch(self, end: EpochEnd) -> str:
        metric = end.metrics.get(self._metric)
        shown = "" if metric is None else f", {self._metric} {metric:.4f}{' (best so far)' if end.best else ''}"
        return f"epoch {end.epoch}: training loss {end.train_loss:.4f}{shown}"

    def _draw(self, lines: list[str]) -> None:
        """Add some lines, and show the status under them."""
        self._lines += lines
        if self._output is not None:
            text = "\n".join([*self._lines, *([self._status] if self._status else [])])
            self._output.update({"text/plain": text}, raw=True)
        elif self._terminal is not None:
            width = max(_LEAST_WIDTH, shutil.get_terminal_size().columns - 1)
            self._terminal.write(_CLEAR + "".join(f"{line}\n" for line in lines) + self._status[:width])
            self._terminal.flush()


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this program, whose cells show what `display` is given."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def _standing(now: Progress) -> str:
    done = ((now.epoch - 1) * now.steps + now.step) / (now.epochs * now.steps)
    filled = round(_BAR * done)
    minutes, seconds = divmod(round(now.seconds_left), 60)
    return (
        f"epoch {now.epoch}/{now.epochs} {'█' * filled}{'░' * (_BAR - filled)} {minutes}:{seconds:02} left at most, "
        f"loss {now.loss:.4f}, {now.tokens_per_second:,.0f} tokens/s"
    )
