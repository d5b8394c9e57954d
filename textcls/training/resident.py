"""Training rows in the memory of the device, and batches cut from them there: a step needs to be told only which rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textcls.model import Batch
from textcls.model.packing import rounded_up
from textcls.text import UNK
from textcls.training.batches import LabelledSplit, TrainingBatch

_SHARE = 0.25  # of the free memory, for the rows: the rest is for the network, its moments and its states
# Of steps, and of texts, that tell one shape from another: few shapes, and little that is filled up.
_STEP_BITS, _TEXT_BITS = 4, 3


@dataclass(frozen=True)
class Chosen:
    """The rows of one step.

    Attributes:
        rows: Their numbers, on the device, int64 (texts,); behind `count` come some that only fill the shape.
        count: How many count.
        steps: Of the grid, at least as many as the longest has tokens.
        tokens: Of all that count.
    """

    rows: Tensor
    count: int
    steps: int
    tokens: int


def fits(split: LabelledSplit, device: torch.device) -> bool:
    """Whether a GPU has room for the rows."""
    arrays = (split.encoded.ids, split.encoded.offsets, split.encoded.offsets, split.targets, split.weights)
    needed = sum(array.nbytes for array in arrays if array is not None)
    return needed <= _SHARE * torch.cuda.mem_get_info(device)[0]


class ResidentSplit:
    """A split in the memory of a device.

    Args:
        split: The rows.
        device: Where they go.
    """

    def __init__(self, split: LabelledSplit, device: torch.device) -> None:
        encoded = split.encoded
        self._lengths_here = encoded.lengths
        # Copies: the arrays may be such as cannot be written, which torch shares only with a warning.
        self._ids = torch.tensor(encoded.ids, device=device)
        self._starts = torch.tensor(encoded.offsets[:-1], device=device)
        self._lengths = torch.tensor(encoded.lengths, dtype=torch.int64, device=device)
        self._targets = torch.tensor(split.targets, device=device)
        self._weights = None if split.weights is None else torch.tensor(split.weights, dtype=torch.float32, device=device)

    def chosen(self, batches: Sequence[NDArray[np.int64]], most: int, *, filled: bool) -> Iterator[Chosen]:
        """Bring the row numbers of some steps to the device, all at once.

        Args:
            batches: The rows of each step, int64 [n].
            most: Texts of the largest batch.
            filled: Whether all batches are filled up to that; else to the next of few sizes.
        """
        sizes = [most if filled else min(most, rounded_up(len(rows), _TEXT_BITS)) for rows in batches]
        padded = [np.resize(rows, size) for rows, size in zip(batches, sizes, strict=True)]
        on_device = torch.from_numpy(np.concatenate(padded) if padded else np.empty(0, np.int64)).to(self._ids.device)
        for rows, own in zip(batches, torch.split(on_device, sizes), strict=True):
            lengths = self._lengths_here[rows]
            yield Chosen(own, len(rows), rounded_up(int(lengths.max()), _STEP_BITS), int(lengths.sum()))

    def cut(self, rows: Tensor, count: Tensor, steps: int, passes: int, word_dropout: float) -> TrainingBatch:
        """Cut a batch and drop words from it, without the CPU having to wait.

        Args:
            rows: Row numbers, int64 (texts,).
            count: How many of them count, ().
            steps: Of the grid.
            passes: How often each text stands in the batch.
            word_dropout: Share of the words to drop.
        """
        device = rows.device
        real = (torch.arange(len(rows), device=device) < count).to(torch.float32).repeat(passes)
        rows = rows.repeat(passes)
        lengths, starts = self._lengths.index_select(0, rows), self._starts.index_select(0, rows)
        step = torch.arange(steps, device=device)[:, None]
        places = (starts + step).clamp(max=len(self._ids) - 1)
        ids = torch.where(step < lengths, self._ids[places].to(torch.int64), 0)  # (steps, texts)
        if word_dropout:  # as `drop_words` does it on the CPU
            ids = torch.where((torch.rand(ids.shape, device=device) < word_dropout) & (ids > 0), UNK, ids)
        return TrainingBatch(
            Batch(ids, lengths),
            None,
            self._targets.index_select(0, rows),
            weights=None if self._weights is None else self._weights.index_select(0, rows),
            real=real,
        )
