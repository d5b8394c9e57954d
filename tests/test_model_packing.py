"""Packing flat arrays against torch's own packing of padded rows."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from textcls.model import pack

some_texts = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=15), min_size=1, max_size=12)


@settings(deadline=None, max_examples=100)
@given(some_texts, st.data())
def test_equals_pack_padded_sequence(texts: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.none() | st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=20))
    chosen = texts if rows is None else [texts[row] for row in rows]
    ids, offsets = np.concatenate(texts).astype(np.int32), np.cumsum([0, *map(len, texts)])
    batch = pack(ids, offsets, None if rows is None else np.array(rows))

    padded = pad_sequence([torch.tensor(text) for text in chosen], batch_first=True)
    lengths = torch.tensor([len(text) for text in chosen])
    expected = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
    assert torch.equal(batch.batch_sizes, expected.batch_sizes)
    assert batch.batch_sizes.dtype == torch.int64
    # Texts of one length may be sorted otherwise than by torch, so the tokens are compared in the order of the rows.
    unpacked, unpacked_lengths = pad_packed_sequence(batch.sequence(batch.ids), batch_first=True)
    assert torch.equal(unpacked, padded)
    assert torch.equal(unpacked_lengths, lengths)
    assert torch.equal(batch.sorted_indices[batch.unsorted_indices], torch.arange(len(chosen)))
    assert len(batch) == len(chosen)


def test_holds_the_first_tokens_first() -> None:
    batch = pack(np.array([1, 2, 3, 4, 5, 6], np.int32), np.array([0, 1, 4, 6]))  # texts [1], [2, 3, 4], [5, 6]
    assert batch.ids.tolist() == [2, 5, 1, 3, 6, 4]
    assert batch.batch_sizes.tolist() == [3, 2, 1]
    assert batch.sorted_indices.tolist() == [1, 2, 0]


def test_moves_everything_but_the_batch_sizes() -> None:
    moved = pack(np.array([1, 2], np.int32), np.array([0, 2])).to(torch.device("meta"))
    assert moved.ids.is_meta
    assert moved.sorted_indices.is_meta
    assert moved.unsorted_indices.is_meta
    assert moved.batch_sizes.device.type == "cpu"
