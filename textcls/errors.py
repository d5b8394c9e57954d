"""The few exceptions a user can meet. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# What libraries say where there is no memory left: CUDA; torch on Linux and on Windows; oneDNN; ONNX Runtime; Linux itself.
_OUT_OF_MEMORY = re.compile(
    "out of memory|can't allocate memory|not enough memory|could not create a primitive$|failed to allocate memory|bad_alloc|"
    "cannot allocate memory|failed to map segment|can't start new thread",
    re.IGNORECASE,
)

# What moves a terminal's cursor, changes its colours or turns its text around: control characters but for the new line, C1 among
# them; the line ends that only Unicode knows; what overrides the direction of writing; and the bytes of names that are no UTF-8.
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TextclsError(Exception):
    """Something failed. The command line prints the message and exits with `exit_code`."""

    exit_code = 1


class InputError(TextclsError):
    """The input is at fault: a setting, a file, a row, an argument."""

    exit_code = 2


class ConfigError(InputError):
    """A setting is unknown, has the wrong type or contradicts another one."""


class DataError(InputError):
    """A data file cannot be read, or its rows cannot be used."""


class ModelError(InputError):
    """A model folder or an exported file is missing, damaged or of a newer format."""


class MissingPackageError(InputError):
    """A feature needs a package that is not installed here; the message names it."""


class TrainingError(TextclsError):
    """Training could not go on, for example because the loss became NaN."""


class ExportError(TextclsError):
    """An export did not agree with the trained model, so nothing was written."""


def named(names: Sequence[str], most: int = 3) -> str:
    """Return names as a message lists them: the first ones, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def quoted(value: object, most: int = 60) -> str:
    """Return a value as a message shows it: where it is long, its start.

    Example:
        >>> quoted("a label"), quoted("0" * 100, 5)
        ("'a label'", "'0000…'")
    """
    try:
        shown = repr(value)
    except ValueError:  # a whole number of more digits than Python writes out
        shown = "a number of thousands of digits"
    return shown if len(shown) <= most + 2 else f"{shown[:most]}…{shown[-1]}"


def shortened(text: str, most: int = 100) -> str:
    """Return a name, or an option, as a message shows it without quotes: in one line, and where it is long, its start."""
    return " ".join((text if len(text) <= most else f"{text[:most]}…").split())


def differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Name what differs between two trees, a phrase each, as a message says why a run cannot be resumed."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in {**before, **now}:
            yield from differences(before.get(key), now.get(key), f"{name}.{key}".removeprefix("settings.").removeprefix("."))
    elif before != now:
        yield f"{name} was {_shown(before)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    import json  # here: the help of the commands does without it

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 100 else text[:96] + " ..."


def visible(text: str) -> str:
    r"""Return a text with what would steer a terminal as its escape, such as `\x1b`; new lines stay."""
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def is_terminal(stream: Any) -> bool:
    """Whether text or bytes go to a terminal; what cannot say so is none."""
    return bool(getattr(stream, "isatty", lambda: False)())


def visible_json(text: str, stream: Any) -> str:
    r"""Return JSON for a stream: on a terminal with what would steer it as an escape of JSON, `\u001b`; the values are the same.

    Args:
        text: JSON, whose only control characters outside of strings are new lines.
        stream: Where it goes; what cannot say whether it is a terminal is none.
    """
    if not is_terminal(stream):
        return text
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on the CPU or on a GPU."""
    if isinstance(error, MemoryError):  # numpy's and pyarrow's own ones too
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    native = isinstance(error, RuntimeError | ImportError) or type(error).__module__.startswith("onnxruntime.")
    return native and bool(_OUT_OF_MEMORY.search(str(error)))
