"""The linear classifier beside the network: which rows a text has, and what it makes of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textcls.config import Config, ModelSettings
from textcls.errors import ConfigError
from textcls.model import Network, Ngrams
from textcls.model.ngrams import slots_of, whole_numbers
from textcls.text import FIRST_FACTOR, WORD_FACTOR


def word(token: int, slots: int) -> int:
    return 1 + token * WORD_FACTOR % (slots - 1)


def pair(first: int, second: int, slots: int) -> int:
    return 1 + (first * FIRST_FACTOR + second * WORD_FACTOR) % (slots - 1)


def test_words_come_first_then_pairs_and_what_is_unknown_counts_nothing() -> None:
    ids = torch.tensor([[5, 6, 1, 7], [9, 0, 0, 0], [0, 0, 0, 0]])
    assert slots_of(ids, 1000).tolist() == [
        [word(5, 1000), word(6, 1000), 0, word(7, 1000), pair(5, 6, 1000), 0, 0, 0],
        [word(9, 1000), 0, 0, 0, 0, 0, 0, 0],
        [0] * 8,
    ]
    assert slots_of(torch.tensor([[4]]), 1000).tolist() == [[word(4, 1000), 0]]


@given(st.lists(st.integers(0, 2**30), min_size=1, max_size=6), st.sampled_from([2, 3, 65_536, 2**31]))
def test_every_slot_is_in_the_table_whatever_the_ids(ids: list[int], slots: int) -> None:
    found = slots_of(torch.tensor([ids]), slots)[0].tolist()
    words = [word(token, slots) if token > 1 else 0 for token in ids]
    pairs = [pair(*two, slots) if min(two) > 1 else 0 for two in pairwise(ids)]
    assert found == [*words, *pairs, 0]
    assert 0 <= min(found) <= max(found) < slots


@pytest.mark.parametrize("slots", [65_536, 262_144, 100_000])
def test_pairs_know_their_order_and_share_slots_no_more_often_than_at_random(slots: int) -> None:
    draw = np.random.default_rng(0)
    both = np.unique(
        np.minimum(draw.pareto(0.8, (200_000, 2)) + 2, 20_000).astype(np.int64), axis=0
    )  # few words often, as in texts
    found = slots_of(torch.from_numpy(both), slots)[:, 2].numpy()
    at_random = slots * (1 - np.exp(-len(both) / slots))
    assert len(np.unique(found)) > 0.98 * at_random
    turned = slots_of(torch.from_numpy(both[:, ::-1].copy()), slots)[:, 2].numpy()
    assert (found != turned)[both[:, 0] != both[:, 1]].mean() > 0.99


def filled(whole: bool) -> Ngrams:
    table = np.random.default_rng(0).normal(size=(100, 2))
    table[0] = 0
    ngrams = Ngrams.of(table, np.array([3.0, 4.0]), 1000)
    if whole:
        return ngrams
    floats = Ngrams(100, 2, whole=False)
    floats.weight.copy_(torch.from_numpy(table))
    floats.bias.copy_(ngrams.bias)
    return floats


@pytest.mark.parametrize("whole", [True, False])
def test_a_text_scores_the_sum_of_its_rows_over_the_root_of_their_number(whole: bool) -> None:
    ngrams = filled(whole)
    found = ngrams(torch.tensor([[5, 6, 0], [5, 0, 0], [1, 0, 0]]))
    table = ngrams.weight if ngrams.scale is None else ngrams.weight * ngrams.scale
    expected = (table[word(5, 100)] + table[word(6, 100)] + table[pair(5, 6, 100)]) / 3**0.5
    torch.testing.assert_close(found, torch.stack([expected, table[word(5, 100)], torch.zeros(2)]) + ngrams.bias)
    assert list(ngrams.parameters()) == []  # training does not move them


texts_of_ids = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12), min_size=1, max_size=9)


def padded(texts: list[list[int]], behind: int = 0) -> torch.Tensor:
    longest = behind + max(map(len, texts))
    return torch.tensor([text + [0] * (longest - len(text)) for text in texts])


@given(texts_of_ids, st.permutations(range(9)), st.integers(0, 5))
def test_the_scores_of_a_text_are_the_same_bits_in_any_batch(texts: list[list[int]], order: list[int], behind: int) -> None:
    ngrams, rows = filled(True), [place for place in order if place < len(texts)]
    together = ngrams(padded([texts[row] for row in rows], behind))
    assert together.dtype == torch.float32
    for found, row in zip(together, rows, strict=True):
        assert torch.equal(found, ngrams(torch.tensor([texts[row]]))[0])


@pytest.mark.parametrize(
    ("max_tokens", "most"),
    [(1, 32767), (1000, 32767), (32_769, 32_767), (32_770, 32_766), (100_000, 10_737), (1 << 30, 1), (1 << 40, 1)],
)
def test_a_table_in_whole_numbers(max_tokens: int, most: int) -> None:
    table = np.random.default_rng(0).normal(size=(50, 4)) * [1e-9, 1.0, 1e9, 0.0]
    numbers, scale = whole_numbers(table, max_tokens)
    assert [str(numbers.dtype), str(scale.dtype)] == ["int16", "float32"]
    assert np.abs(numbers).max(axis=0).tolist() == [most, most, most, 0]
    assert most == 1 or 2 * max_tokens * most < 2**31
    assert (np.abs(numbers * scale.astype(np.float64) - table) <= scale * 0.5001 + np.abs(table) * 1e-6).all()
    assert whole_numbers(table * 1e-60, max_tokens)[0].max() == 0  # nothing that a float could hold


@pytest.mark.parametrize("sign", [1, -1])
def test_the_longest_text_does_not_overflow(sign: int) -> None:
    """Every row is as large as one can be, and so is every sum."""
    tokens = 100_000
    table = np.full((3, 2), sign * 0.5)
    table[0] = 0
    found = Ngrams.of(table, np.zeros(2), tokens)(torch.full((1, tokens), 7))
    count = 2 * tokens - 1
    np.testing.assert_allclose(found.numpy(), sign * 0.5 * count**0.5, rtol=1e-4)


@given(st.lists(st.integers(2, 60), min_size=1, max_size=60), st.integers(0, 9))
def test_rounding_moves_a_score_by_half_a_scale_for_each_ngram_at_most(text: list[int], seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=(200, 3)) ** 3
    table[0] = 0
    ngrams = Ngrams.of(table, np.zeros(3), 100_000)
    slots = slots_of(torch.tensor([text]), 200)[0].numpy()
    count = int((slots > 0).sum())
    exact = table[slots].sum(axis=0) / count**0.5
    assert ngrams.scale is not None
    bound = ngrams.scale.numpy() / 2 * count**0.5
    assert (np.abs(ngrams(torch.tensor([text]))[0].numpy() - exact) <= bound * 1.001 + np.abs(exact) * 1e-6).all()


def test_it_stands_beside_any_network() -> None:

    assert Network(ModelSettings(embedding_size=2, hidden_size=2, ngram_slots=0), 5, 3).ngrams is None
    network = Network(ModelSettings(embedding_size=2, hidden_size=2, ngram_slots=9), 5, 3)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name.startswith("ngrams.")}
    assert shapes == {"ngrams.weight": (9, 3), "ngrams.scale": (3,), "ngrams.bias": (3,)}
    assert set(Ngrams(9, 3, whole=False).state_dict()) == {"weight", "bias"}
    with pytest.raises(ConfigError, match="leaves no row for a word"):
        Config().replace({"model.ngram_slots": 1})
