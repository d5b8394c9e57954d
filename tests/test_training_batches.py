"""Which rows make up each step."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from textcls.training.batches import shuffled_batches


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=700), st.integers(1, 9), st.integers(0, 3))
def test_every_row_once_in_batches_of_the_size(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = shuffled_batches(np.array(lengths), batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert len(batches) == math.ceil(len(lengths) / batch_size)  # what the learning rate's schedule counts on
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_like_lengths_stand_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 50 * 8)
    batches = shuffled_batches(lengths, 8, np.random.default_rng(1))
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 1000 / 50 * 2  # of random batches it would be about 780
    first = [lengths[batch].mean() for batch in batches]
    assert first != sorted(first)  # but the batches themselves come in no order of length
    assert first != sorted(first, reverse=True)


def test_the_seed_settles_the_order_and_each_epoch_has_another() -> None:
    lengths = np.arange(100) % 7 + 1
    generator = np.random.default_rng(3)
    first, second = (shuffled_batches(lengths, 8, generator) for _ in range(2))
    again = shuffled_batches(lengths, 8, np.random.default_rng(3))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(set(a) != set(b) for a, b in zip(first, second, strict=True))
    contents = {frozenset(batch) for batch in first}
    assert contents != {frozenset(batch) for batch in second}  # other neighbours, not only another order
