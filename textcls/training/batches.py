"""Which rows make up each step: rows of like length together, in random order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WINDOW = 50  # batches sorted by length together: wide enough for like lengths, narrow enough for a fresh mix in each epoch


def shuffled_batches(lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Split all rows into the batches of one epoch.

    Args:
        lengths: Tokens of each row, int64 [n].
        batch_size: Rows of a batch; the last one of a window may be smaller.
        generator: Settles the order.

    Returns:
        Row numbers of each batch; every row once.
    """
    order = generator.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), _WINDOW * batch_size):
        window = order[start : start + _WINDOW * batch_size]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]
