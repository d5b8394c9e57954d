"""Ctrl-C ends training in good order instead of losing it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible(under_way: Callable[[], bool] = lambda: True) -> Iterator[Callable[[], bool]]:
    """Give a function that is true once Ctrl-C was pressed; a second Ctrl-C interrupts at once, as it does elsewhere.

    So does the first one until training is `under_way`: there is nothing to keep.

    Outside the main thread, where Python takes no signal handlers, Ctrl-C is left as it is.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def press(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        if not under_way():
            raise KeyboardInterrupt
        pressed.set()

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
