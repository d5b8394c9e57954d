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
from textcls.model.ngrams import slots_of
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


def test_a_text_scores_the_sum_of_its_rows_over_the_root_of_their_number() -> None:
    ngrams = Ngrams(100, 2)
    with torch.no_grad():
        ngrams.weight.copy_(torch.randn(100, 2))
        ngrams.weight[0] = 0
        ngrams.bias.copy_(torch.tensor([3.0, 4.0]))
    found = ngrams(torch.tensor([[5, 6, 0], [5, 0, 0], [1, 0, 0]]))
    table = ngrams.weight
    expected = (table[word(5, 100)] + table[word(6, 100)] + table[pair(5, 6, 100)]) / 3**0.5
    torch.testing.assert_close(found, torch.stack([expected, table[word(5, 100)], torch.zeros(2)]) + ngrams.bias)
    assert not table.requires_grad


def test_it_stands_beside_any_network() -> None:

    assert Network(ModelSettings(embedding_size=2, hidden_size=2), 5, 3).ngrams is None
    network = Network(ModelSettings(embedding_size=2, hidden_size=2, ngram_slots=9), 5, 3)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name.startswith("ngrams.")}
    assert shapes == {"ngrams.weight": (9, 3), "ngrams.bias": (3,)}
    with pytest.raises(ConfigError, match="leaves no row for a word"):
        Config().replace({"model.ngram_slots": 1})
