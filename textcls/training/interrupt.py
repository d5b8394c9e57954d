"""Ctrl-C ends training in good order instead of losing it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class Pressed:
    """Whether Ctrl-C was pressed, or another of the signals that are taken for it.

    Attributes:
        number: That of the signal; 0 until then.
    """

    number = 0

    def __call__(self) -> bool:
        """Whether it was."""
        return self.number != 0


@contextmanager
def interruptible(
    under_way: Callable[[], bool] = lambda: True, numbers: Sequence[signal.Signals] = (signal.SIGINT,)
) -> Iterator[Pressed]:
    """Give a function that is true once Ctrl-C was pressed; a second Ctrl-C interrupts at once, as it does elsewhere.

    So does the first one until training is `under_way`: there is nothing to keep.

    Outside the main thread, where Python takes no signal handlers, Ctrl-C is left as it is.

    Args:
        under_way: Whether there is something to keep.
        numbers: The signals that are taken for Ctrl-C.
    """
    pressed = Pressed()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = {number: signal.getsignal(number) for number in numbers}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def press(number: int, frame: FrameType | None) -> None:
        put_back()
        handler = before[signal.Signals(number)]
        if under_way():
            pressed.number = number
        elif callable(handler):  # for Ctrl-C Python's own, which raises KeyboardInterrupt
            handler(number, frame)
        else:  # no process is to end without taking back what is half done
            raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, press)
    try:
        yield pressed
    finally:
        put_back()
