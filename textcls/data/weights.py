"""What a row weighs in training: the cells of a column as numbers, 0 or more."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.data.blocks import MISSING, column_values
from textcls.data.frames import values_of
from textcls.errors import DataError, quoted

_LEAST = 1e-30  # sum of weights


def weights_in(column: Any, name: str) -> tuple[list[float], dict[int, str]]:
    """Return the weight of each row, and by row what is wrong with it.

    Args:
        column: A column of a block.
        name: What messages call it.
    """
    weights: list[float] = []
    faults: dict[int, str] = {}
    for row, value in enumerate(column_values(column)):
        weight = _number(value)
        if weight is None:
            shown = "missing" if value is MISSING or value is None else quoted(value)
            faults[row] = f"the weight in column {quoted(name)} is {shown}; it must be a number, 0 or more"
        weights.append(weight or 0.0)
    return weights, faults


def checked_weights(weights: Any, count: int) -> NDArray[np.float64]:
    """Return weights given in memory, one for each of `count` rows, float64 [count].

    Args:
        weights: Numbers from 0 on; truth values are 1 and 0.
        count: How many there must be.

    Raises:
        DataError: They are no column, there are more or fewer, one is no number from 0 on, or their sum is beyond all measure.
    """
    values = values_of(weights, "sample_weight")
    if len(values) != count:
        raise DataError(f"there are {count:,} texts, but {len(values):,} weights in sample_weight")
    values = [int(value) if isinstance(value, bool) else value for value in values]  # as scikit-learn takes them
    for place, value in enumerate(values):
        if isinstance(value, str) or _number(value) is None:
            raise DataError(f"the weight at index {place} is {quoted(value)}: give a number, 0 or more")
    return summable(np.array(values, np.float64))


def summable(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights, float64 [n], once it is sure that figures can be made of them.

    Raises:
        DataError: Their sum is neither 0 nor anywhere near what numbers of single precision can hold.
    """
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if total and not _LEAST <= total <= 1 / _LEAST:
        raise DataError(f"the weights add up to {total:g}: give some whose sum is from {_LEAST:g} to {1 / _LEAST:g}")
    return weights


def weight_note(weights: NDArray[np.float64], name: str) -> str:
    """Say how far apart the weights of a column are."""
    none = int((weights == 0).sum())
    nothing = f"; {none:,} row{'s weigh' if none > 1 else ' weighs'} nothing" if none else ""
    return f"weights in column {quoted(name)}: from {weights.min():g} to {weights.max():g}{nothing}"


def _number(value: Any) -> float | None:
    """Return a number from 0 on, also where it is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = float(value) if "_" not in str(value) else -1.0  # which Python reads as a number, and no other program
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
