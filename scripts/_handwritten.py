"""The network as people write it by hand, for the scripts that measure ours beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_sequence


class HandWritten(nn.Module):
    """A BiLSTM over padded texts, packed for the LSTM, whose final states feed a linear classifier.

    Args:
        vocabulary: Rows of the embedding table; row 0 is padding.
        embedding: Its dimensions.
        hidden: Units of one direction.
        classes: Logits of one text.
    """

    def __init__(self, vocabulary: int, embedding: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.dropout = nn.Dropout(0.5)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return logits, (texts, classes), of padded ids, (texts, longest), and their lengths, (texts,)."""
        packed = pack_padded_sequence(self.dropout(self.embedding(ids)), lengths, batch_first=True, enforce_sorted=False)
        logits: Tensor = self.linear(self.dropout(self.final_states(packed)))
        return logits

    def final_states(self, packed: PackedSequence) -> Tensor:
        """Return the final forward state and the final backward state, concatenated, (texts, 2 * hidden)."""
        _, (final, _) = self.lstm(packed)
        return torch.cat([final[-2], final[-1]], dim=1)


def padded(texts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the ids of some texts, padded with 0, (texts, longest), and their lengths, (texts,)."""
    return pad_sequence(list(texts), batch_first=True), torch.tensor([len(text) for text in texts])
