"""The linear classifier beside the network: a score of each class for every word and every pair of words, in a hashed table.

Wide and deep models (Cheng et al., 2016) add the two: what a rare word or a pair of words says is learnt from few texts, which no
recurrent layer does. It is fitted on its own (see `textcls.training.ngrams`) and learns nothing in the training loop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textcls.text import FIRST_FACTOR, UNK, WORD_FACTOR


class Ngrams(nn.Module):
    """Scores of the words and the pairs of neighbouring words of each text.

    Args:
        slots: Rows of the table. The first one is zero: words that the vocabulary lacks, and pairs with them, count nothing.
        classes: Scores of one text.
    """

    def __init__(self, slots: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(slots, classes), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(classes), requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the sum of a text's rows over the square root of their number, and the bias, (texts, classes).

        Args:
            ids: Token ids, int64 (texts, longest), 0 behind each text's end.
        """
        slots = slots_of(ids, len(self.weight))
        found = (slots > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return nn.functional.embedding(slots, self.weight).sum(dim=1) / found.sqrt() + self.bias


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
