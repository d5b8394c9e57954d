"""Batches of texts, cut from flat arrays by index arithmetic: no list per text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Token ids of some texts in a grid, one text a column, that pads behind each text.

    Attributes:
        ids: int64 (steps, texts), 0 behind each text's end; there are a few steps more than the longest text has tokens.
        lengths: Tokens of each text, int64 (texts,).
    """

    ids: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.lengths)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(moved(self.ids, device), moved(self.lengths, device))


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device; on its way to CUDA it keeps nobody waiting."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def batches_of_tokens(lengths: NDArray[np.int64], tokens: int) -> list[NDArray[np.int64]]:
    """Split all rows into batches of like length, longest first, whose grids have at most `tokens` places or a single text."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        end = start + max(1, tokens // grid_steps(int(lengths[order[start]])))
        batches.append(order[start:end])
        start = end
    return batches


def grid_steps(longest: int) -> int:
    """Return how many steps a grid has for a longest text of so many tokens: few sizes, for which few kernels are compiled."""
    return rounded_up(longest, 5)


def rounded_up(number: int, bits: int) -> int:
    """Return the next number that has only zeros behind its first bits: of few sizes the smallest that is no smaller."""
    unit = 1 << max(0, number.bit_length() - bits)
    return -(-number // unit) * unit


def pack(ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64] | None = None) -> Batch:
    """Cut a batch from flat arrays.

    Args:
        ids: Token ids of all texts, int32 [n_tokens].
        offsets: Where each text starts, and the end, int64 [n_texts + 1]; every text has at least one token.
        rows: The texts, in the order in which their results are wanted; all of them where not given.

    Returns:
        The batch; on the CPU.
    """
    starts = offsets[:-1] if rows is None else offsets[rows]
    lengths = (np.diff(offsets) if rows is None else offsets[rows + 1] - starts).astype(np.int64)
    step = np.arange(grid_steps(int(lengths.max())))[:, None]
    real = step < lengths
    grid = np.where(real, ids[np.where(real, starts + step, 0)], 0)
    return Batch(torch.from_numpy(grid.astype(np.int64)), torch.from_numpy(lengths))
