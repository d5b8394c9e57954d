"""The linear classifier beside the network: a score of each class for every word and every pair of words, in a hashed table.

Wide and deep models (Cheng et al., 2016) add the two: what a rare word or a pair of words says is learnt from few texts, which no
recurrent layer does. It is fitted on its own (see `textcls.training.ngrams`) and learns nothing in the training loop.

The scores are whole numbers, with a scale for each class: their sum is the same in every order and with any padding, in every
runtime, which a sum of floats is not. Models of before have floats.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textcls.text import FIRST_FACTOR, UNK, WORD_FACTOR


class Ngrams(nn.Module):
    """Scores of the words and the pairs of neighbouring words of each text.

    Args:
        slots: Rows of the table. The first one is zero: words that the vocabulary lacks, and pairs with them, count nothing.
        classes: Scores of one text.
        whole: Whether the table holds whole numbers; older models have floats.

    Attributes:
        weight: The table, int16 (slots, classes), or float32 of an older model.
        scale: What one is worth in the table, float32 (classes,); None of an older model.
        bias: float32 (classes,).
    """

    weight: Tensor
    scale: Tensor | None
    bias: Tensor

    def __init__(self, slots: int, classes: int, *, whole: bool = True) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(slots, classes, dtype=torch.int16 if whole else torch.float32))
        self.register_buffer("scale", torch.ones(classes) if whole else None)
        self.register_buffer("bias", torch.zeros(classes))

    @classmethod
    def of(cls, table: NDArray[np.float64], bias: NDArray[np.float64], max_tokens: int) -> Ngrams:
        """Return the scores of a fitted table, rounded to whole numbers.

        Args:
            table: Scores by slot, float64 [slots, classes]; the first row is zero.
            bias: float64 [classes].
            max_tokens: Tokens of the longest text that is read: the sum of all its words and pairs stays below 2^31.
        """
        numbers, scale = whole_numbers(table, max_tokens)
        ngrams = cls(*table.shape)
        for name, array in (("weight", numbers), ("scale", scale), ("bias", bias)):
            getattr(ngrams, name).copy_(torch.from_numpy(array))
        return ngrams

    def forward(self, ids: Tensor) -> Tensor:
        """Return the sum of a text's rows over the square root of their number, and the bias, (texts, classes).

        Args:
            ids: Token ids, int64 (texts, longest), 0 behind each text's end.
        """
        slots = slots_of(ids, len(self.weight))
        rows = nn.functional.embedding(slots, self.weight)  # (texts, 2 * longest, classes)
        found = (slots > 0).sum(dim=1, keepdim=True).clamp(min=1)
        if self.scale is None:
            return rows.sum(dim=1) / found.sqrt() + self.bias
        sums = rows.sum(dim=1, dtype=torch.int32)
        return sums * self.scale / _rounded_root(found) + self.bias  # step by step as the graph does: equal to the bit


def _rounded_root(numbers: Tensor) -> Tensor:
    """Return square roots, float32, rounded as IEEE 754 wants it and ONNX Runtime does; torch's are off by a bit on the CPU."""
    return numbers.sqrt() if numbers.device.type == "mps" else numbers.double().sqrt().float()  # MPS has no double


def whole_numbers(table: NDArray[np.float64], max_tokens: int) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return a table as whole numbers, int16 [slots, classes], and what one is worth in each column, float32 [classes].

    Args:
        table: float64 [slots, classes].
        max_tokens: Twice as many rows sum to less than 2^31.
    """
    most = max(1, min(np.iinfo(np.int16).max, np.iinfo(np.int32).max // (2 * max_tokens)))
    scale = (np.abs(table).max(axis=0) / most).astype(np.float32)
    scale[scale == 0] = 1  # a column of zeros
    return np.clip(np.rint(table / scale), -most, most).astype(np.int16), scale


def slots_of(ids: Tensor, slots: int) -> Tensor:
    """Return the row of each word, then of each with the next one, int64 (texts, 2 * longest); 0 where one is not known.

    Args:
        ids: int64 (texts, longest), 0 behind each text's end.
        slots: Rows of the table, at least 2.
    """
    following = nn.functional.pad(ids, (0, 1))[:, 1:]
    words = 1 + ids * WORD_FACTOR % (slots - 1)
    pairs = 1 + (ids * FIRST_FACTOR + following * WORD_FACTOR) % (slots - 1)
    known = ids > UNK
    return torch.cat([torch.where(known, words, 0), torch.where(known & (following > UNK), pairs, 0)], dim=1)
