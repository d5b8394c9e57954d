"""Which rows make up each step."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from textcls.config import TrainingSettings
from textcls.text import Encoded
from textcls.training.batches import LabelledSplit, TrainingBatch, drop_words, made_ahead, make_batch, shuffled_batches
from textcls.training.distributed import ALONE, World


def of(batch_size: int, batch_tokens: int | None = None) -> TrainingSettings:
    return TrainingSettings(batch_size=batch_size, batch_tokens=batch_tokens, epoch_steps=1, word_dropout=0.25)


def split(*texts: list[int]) -> LabelledSplit:
    lengths = [len(text) for text in texts]
    ids, offsets, no = np.concatenate(texts).astype(np.int32), np.cumsum([0, *lengths]), np.zeros(len(texts), bool)
    return LabelledSplit(Encoded(ids, offsets, no, no), np.arange(len(texts)), tuple(map(str, range(len(texts)))))


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=700), st.integers(1, 9), st.integers(0, 3))
def test_every_row_once_in_batches_of_the_size(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = shuffled_batches(np.array(lengths), of(batch_size), np.random.default_rng(seed))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert len(batches) == math.ceil(len(lengths) / batch_size)  # what the learning rate's schedule counts on
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_like_lengths_stand_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 50 * 8)
    batches = shuffled_batches(lengths, of(8), np.random.default_rng(1))
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 1000 / 50 * 2  # of random batches it would be about 780
    first = [lengths[batch].mean() for batch in batches]
    assert first != sorted(first)  # but the batches themselves come in no order of length
    assert first != sorted(first, reverse=True)


def test_the_seed_settles_the_order_and_each_epoch_has_another() -> None:
    lengths = np.arange(100) % 7 + 1
    generator = np.random.default_rng(3)
    first, second = (shuffled_batches(lengths, of(8), generator) for _ in range(2))
    again = shuffled_batches(lengths, of(8), np.random.default_rng(3))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(set(a) != set(b) for a, b in zip(first, second, strict=True))
    contents = {frozenset(batch) for batch in first}
    assert contents != {frozenset(batch) for batch in second}  # other neighbours, not only another order


def test_few_rows_make_small_batches_and_many_passes() -> None:
    for rows, size, steps in ((54, 8, 35), (200, 12, 34), (640, 40, 32), (5000, 64, 79)):
        batches = shuffled_batches(np.ones(rows, np.int64), TrainingSettings(), np.random.default_rng(0))
        assert (len(batches), max(map(len, batches))) == (steps, size)
        assert len(set(np.bincount(np.concatenate(batches)))) == 1  # each as often as every other
    asked = shuffled_batches(np.ones(54, np.int64), TrainingSettings(batch_size=54), np.random.default_rng(0))
    assert list(map(len, asked)) == [54] * 30


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=300), st.integers(1, 9), st.integers(1, 120))
def test_a_batch_has_no_more_tokens_than_allowed(lengths: list[int], batch_size: int, tokens: int) -> None:
    of_row = np.array(lengths)
    batches = shuffled_batches(of_row, of(batch_size, tokens), np.random.default_rng(0))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= batch_size
        assert of_row[batch].sum() <= tokens or len(batch) == 1


def types_of(batch: TrainingBatch) -> Tensor:
    assert batch.types is not None
    return batch.types


def test_a_batch_is_its_texts_in_other_words() -> None:
    train = split([5, 7, 5], [9], [7, 3, 2, 8], [0])
    batch = make_batch(train, np.array([2, 0, 3]), TrainingSettings(word_dropout=0), ALONE, 1, 0)
    assert types_of(batch).tolist() == [0, 1, 2, 3, 5, 7, 8]
    assert types_of(batch)[batch.texts.ids].T.tolist() == [[7, 3, 2, 8], [5, 7, 5, 0], [0, 0, 0, 0]]
    assert batch.texts.lengths.tolist() == [4, 3, 1]
    assert batch.targets.tolist() == [2, 0, 3]
    assert batch.tokens == 8


def test_every_process_has_the_rows_of_the_whole_batch_in_use() -> None:
    train = split([5, 7, 5], [9], [7, 3, 2, 8])
    rows = np.array([2, 0, 1])
    shares = [make_batch(train, rows, TrainingSettings(word_dropout=0), World(rank, 4), 1, 0) for rank in range(4)]
    assert all(types_of(batch).tolist() == [0, 1, 2, 3, 5, 7, 8, 9] and batch.tokens == 8 for batch in shares)
    assert [batch.targets.tolist() for batch in shares] == [[2], [0], [1], [2]]
    assert [batch.own for batch in shares] == [True, True, True, False]


def test_words_are_dropped_anew_in_each_step_and_alike_in_a_resumed_one() -> None:
    train = split(list(range(2, 402)))

    def kept(epoch: int, step: int, world: World = ALONE) -> list[int]:
        batch = make_batch(train, np.array([0]), of(8), world, epoch, step)
        ids: list[int] = types_of(batch)[batch.texts.ids[: int(batch.texts.lengths[0]), 0]].tolist()
        return ids

    assert kept(1, 1) == kept(1, 1)
    assert len({tuple(kept(*where)) for where in [(1, 1), (1, 2), (2, 1)]} | {tuple(kept(1, 1, World(0, 2)))}) == 3
    assert 60 < kept(1, 1).count(1) < 140


def test_word_dropout_takes_its_share_and_no_padding() -> None:
    ids = np.concatenate([np.zeros(5000, np.int64), np.full(20000, 7)])
    dropped = drop_words(ids, 0.25, np.random.default_rng(0))
    assert (dropped[:5000] == 0).all()
    assert set(dropped[5000:].tolist()) == {1, 7}
    assert abs((dropped[5000:] == 1).mean() - 0.25) < 0.02
    assert (ids[5000:] == 7).all()  # what was handed in stays


def test_batches_made_ahead_come_in_order() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number * 2

    batches = made_ahead(make, range(4))
    assert next(batches) == 0
    assert list(batches) == [2, 4, 6]
    assert made == [0, 1, 2, 3]
    assert list(made_ahead(make, [])) == []
