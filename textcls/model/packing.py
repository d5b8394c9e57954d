"""Packed batches, built from flat arrays by index arithmetic: no list per text, no padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


@dataclass(frozen=True)
class PackedBatch:
    """Token ids of some texts in the order of `PackedSequence.data`: all first tokens, then all second tokens.

    Attributes:
        ids: int64 (tokens,), real tokens alone.
        batch_sizes: Texts that have a first, second, … token, int64 (longest,), on the CPU.
        sorted_indices: Rows by falling length, int64 (batch,).
        unsorted_indices: Where each row went, int64 (batch,).
    """

    ids: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor
    unsorted_indices: Tensor

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.sorted_indices)

    def sequence(self, data: Tensor) -> PackedSequence:
        """Return values of the tokens, (tokens, …), as a `PackedSequence` over the same texts."""
        return PackedSequence(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def padded_ids(self) -> Tensor:
        """Return the ids in the order of the rows, int64 (batch, longest), 0 behind each text's end."""
        return pad_packed_sequence(self.sequence(self.ids), batch_first=True)[0]

    def to(self, device: torch.device) -> PackedBatch:
        """Return the batch with everything but `batch_sizes` on a device."""
        ids, forward, back = (moved(tensor, device) for tensor in (self.ids, self.sorted_indices, self.unsorted_indices))
        return PackedBatch(ids, self.batch_sizes, forward, back)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device; on its way to CUDA it keeps nobody waiting."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def batches_of_tokens(lengths: NDArray[np.int64], tokens: int) -> list[NDArray[np.int64]]:
    """Split all rows into batches of like length, longest first, that hold `tokens` tokens and at most one text more."""
    order = np.argsort(-lengths, kind="stable")
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths[order]) // tokens)) + 1
    return np.split(order, cuts) if len(order) else []


def pack(ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64] | None = None) -> PackedBatch:
    """Pack texts from flat arrays.

    Args:
        ids: Token ids of all texts, int32 [n_tokens].
        offsets: Where each text starts, and the end, int64 [n_texts + 1]; every text has at least one token.
        rows: The texts to pack, in the order in which their results are wanted; all of them where not given.

    Returns:
        The batch; on the CPU.
    """
    starts = offsets[:-1] if rows is None else offsets[rows]
    lengths = (np.diff(offsets) if rows is None else offsets[rows + 1] - starts).astype(np.int64)
    order = np.argsort(-lengths, kind="stable")
    # Texts still running at step t: those longer than t.
    batch_sizes = len(lengths) - np.cumsum(np.bincount(lengths))[:-1]
    step = np.repeat(np.arange(len(batch_sizes)), batch_sizes)  # (tokens,): the step of each packed token
    rank = np.arange(len(step)) - (np.cumsum(batch_sizes) - batch_sizes)[step]  # and its place among the sorted texts
    unsorted = np.empty_like(order)
    unsorted[order] = np.arange(len(order))
    return PackedBatch(
        torch.from_numpy(ids[starts[order][rank] + step].astype(np.int64)),
        torch.from_numpy(batch_sizes),
        torch.from_numpy(order),
        torch.from_numpy(unsorted),
    )
