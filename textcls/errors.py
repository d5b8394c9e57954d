"""The few exceptions a user can meet. Each message is one line: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


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
