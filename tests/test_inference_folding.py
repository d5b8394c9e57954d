"""Folding the input product into the table changes no score, and is done only where it pays."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from helpers import tiny_artifact
from hypothesis import given
from hypothesis import strategies as st

from textcls.inference import folding
from textcls.inference.engine import OnnxEngine
from textcls.inference.folding import fold_input_product, words_to_fold
from textcls.inference.graph import build_graph, numeric_core

WIDE = 200


def graph(**changes: Any) -> onnx.ModelProto:
    return build_graph(tiny_artifact(embedding_size=changes.pop("embedding_size", WIDE), **changes))


def encoded(lengths: list[int], words: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    ids = np.random.default_rng(seed).integers(0, words, sum(lengths), dtype=np.int32)
    return ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


ENGINES = {(bidirectional, bias): OnnxEngine(graph(bidirectional=bidirectional, bias=bias, ngram_slots=50 * bias), threads=1)
           for bidirectional in (True, False) for bias in (True, False)}  # fmt: skip


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=40),
    seed=st.integers(0, 99),
    network=st.sampled_from(sorted(ENGINES)),
)
def test_scores_are_those_of_the_lstm(lengths: list[int], seed: int, network: tuple[bool, bool]) -> None:
    engine = ENGINES[network]
    assert engine._words
    ids, offsets = encoded(lengths, engine._words, seed)
    engine._words, words = 0, engine._words  # as many tokens as pay
    try:
        folded = engine(ids, offsets)
    finally:
        engine._words = words
    plain = np.concatenate([engine(ids[a:b], np.array([0, b - a])) for a, b in pairwise(offsets)])
    np.testing.assert_allclose(folded, plain, atol=1e-6)


def test_the_number_of_tokens_in_a_call_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OnnxEngine(graph(), threads=1)
    assert engine._words
    folds: list[onnx.ModelProto] = []

    def fold(core: onnx.ModelProto) -> None:
        folds.append(core)
        fold_input_product(core)

    monkeypatch.setattr("textcls.inference.engine.fold_input_product", fold)
    for tokens, done in ((engine._words - 1, 0), (engine._words, 1), (5, 1), (engine._words, 1)):
        engine(*encoded([tokens], engine._words, 0))
        assert len(folds) == done


@pytest.mark.parametrize(
    "changes",
    [
        {"embedding_size": WIDE - 1},
        {"cell": "gru"},
        {"cell": "rnn"},
        {"layers": 2},
        {"pooling": "final+max"},
        {"pooling": "final+mean"},
    ],
    ids=str,
)
def test_other_networks_keep_their_layers(changes: dict[str, Any]) -> None:
    assert words_to_fold(numeric_core(graph(**changes))) is None


def test_a_table_that_is_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_to_fold(numeric_core(graph()))
    assert words
    table = 4 * words * 2 * 4 * 3  # floats of both directions, four gates of three units
    for most, found in ((table, words), (table - 1, None)):
        monkeypatch.setattr(folding, "MOST_BYTES", most)
        assert words_to_fold(numeric_core(graph())) == found
