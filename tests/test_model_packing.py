"""Batches cut from flat arrays against torch's own padding of rows."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from textcls.model import pack
from textcls.model.packing import batches_of_tokens, grid_steps

some_texts = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=40), min_size=1, max_size=12)


@settings(deadline=None, max_examples=100)
@given(some_texts, st.data())
def test_equals_pad_sequence(texts: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.none() | st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=20))
    chosen = texts if rows is None else [texts[row] for row in rows]
    ids, offsets = np.concatenate(texts).astype(np.int32), np.cumsum([0, *map(len, texts)])
    batch = pack(ids, offsets, None if rows is None else np.array(rows))
    padded = pad_sequence([torch.tensor(text) for text in chosen])
    assert batch.ids.dtype == batch.lengths.dtype == torch.int64
    assert torch.equal(batch.ids[: len(padded)], padded)
    assert not batch.ids[len(padded) :].any()
    assert len(batch.ids) == grid_steps(len(padded))
    assert batch.lengths.tolist() == [len(text) for text in chosen]
    assert len(batch) == len(chosen)


def test_a_grid_has_few_sizes_and_few_steps_too_many() -> None:
    sizes = [grid_steps(longest) for longest in range(1, 3000)]
    assert all(longest <= steps < longest * 1.0667 for longest, steps in enumerate(sizes, start=1))
    assert sizes[:16] == list(range(1, 17))
    assert len(set(sizes)) < 140


@given(st.lists(st.integers(1, 3000), max_size=60), st.integers(1, 5000))
def test_batches_of_tokens_hold_each_row_once_and_few_places(lengths: list[int], tokens: int) -> None:
    batches = batches_of_tokens(np.array(lengths, np.int64), tokens)
    assert sorted(np.concatenate([np.empty(0, np.int64), *batches]).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * grid_steps(max(lengths[row] for row in rows)) <= tokens


def test_moves_everything() -> None:
    moved = pack(np.array([1, 2], np.int32), np.array([0, 2])).to(torch.device("meta"))
    assert moved.ids.is_meta
    assert moved.lengths.is_meta
