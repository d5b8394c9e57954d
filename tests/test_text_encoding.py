"""Encoding: the flat arrays against a loop over texts."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls.config import TextSettings
from textcls.exports.texts import HARD_TEXTS
from textcls.text import PAD, UNK, Encoded, Encoder, Vocabulary, encode_training, encoding
from textcls.text.encoding import replace_surrogates

WORDS = ["a", "b", "c", "'", "!", "\ufffd", "word", "<", "pad", ">"]
texts_of_words = st.lists(
    st.lists(st.sampled_from([*WORDS, "a.b", "WORD", "<pad>", "\ud800", "\x00"]), max_size=8).map(" ".join), max_size=8
)


def by_text(encoder: Encoder, vocabulary: Vocabulary, texts: list[str], most: int) -> list[list[int]]:
    """The definition: each text alone, each token looked up, cut, and one `<pad>` where nothing is left."""
    rows = []
    for text in texts:
        clean = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
        tokens = [token for chunk in encoder.tokenizer.chunks(clean) for token in encoder.tokenizer.tokens(chunk)]
        rows.append([vocabulary.index.get(token, UNK) for token in tokens][:most] or [PAD])
    return rows


def rows_of(encoded: Encoded) -> list[list[int]]:
    pairs = zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    return [encoded.ids[start:end].tolist() for start, end in pairs]


def encoder_of(words: list[str], **settings: Any) -> tuple[Encoder, Vocabulary]:
    vocabulary = Vocabulary(("<pad>", "<unk>", *words))
    return Encoder.from_settings(TextSettings(**settings), vocabulary), vocabulary


@given(
    texts_of_words | st.lists(st.text(max_size=30), max_size=4),
    st.sets(st.sampled_from(WORDS)),
    st.integers(1, 5),
    st.booleans(),
)
def test_flat_arrays_equal_a_loop_over_texts(texts: list[str], words: set[str], most: int, lowercase: bool) -> None:
    encoder, vocabulary = encoder_of(sorted(words), max_tokens=most, lowercase=lowercase)
    encoded = encoder.encode(texts)
    expected = by_text(encoder, vocabulary, texts, most)
    assert rows_of(encoded) == expected
    assert encoded.empty.tolist() == [row == [PAD] for row in expected]
    assert encoded.truncated.tolist() == [len(row) > most for row in by_text(encoder, vocabulary, texts, 10**6)]
    assert encoded.lengths.tolist() == [len(row) for row in expected]
    assert rows_of(encoder.encode(texts)) == expected  # from memory


def test_shapes_and_types() -> None:
    encoder, _ = encoder_of(["a"], max_tokens=2)
    encoded = encoder.encode(["a b a", "", "a"])
    assert encoded.ids.tolist() == [2, 1, 0, 2]
    assert encoded.offsets.tolist() == [0, 2, 3, 4]
    assert (encoded.empty.tolist(), encoded.truncated.tolist()) == ([False, True, False], [True, False, False])
    assert [str(array.dtype) for array in (encoded.ids, encoded.offsets)] == ["int32", "int64"]
    assert [str(array.dtype) for array in (encoded.empty, encoded.truncated)] == ["bool", "bool"]
    nothing = encoder.encode([])
    assert (len(nothing), nothing.ids.tolist(), nothing.offsets.tolist()) == (0, [], [0])
    assert [str(array.dtype) for array in (nothing.ids, nothing.offsets)] == ["int32", "int64"]


def test_lone_surrogates_count_as_the_replacement_character() -> None:
    encoder, _ = encoder_of(["\ufffd", "a"])
    assert rows_of(encoder.encode(["a\ud800 \udfff", "a"])) == [[3, 2, 2], [3]]
    assert encoder.tokens("a\ud800") == ["a", "\ufffd"]
    texts = ["a", "b"]
    assert replace_surrogates(texts) is texts
    assert replace_surrogates(["\ud83d\ude00"]) == ["\ufffd\ufffd"]  # two lone ones, not the emoji


def test_tokens_are_what_is_encoded() -> None:
    encoder, vocabulary = encoder_of(WORDS, max_tokens=3)
    for text in HARD_TEXTS:
        ids = [vocabulary.index.get(token, UNK) for token in encoder.tokens(text)]
        assert rows_of(encoder.encode([text])) == [ids or [PAD]]


def test_training_vocabulary_and_counts() -> None:
    texts = ["b a c.", "", "a B <pad> d", "c c c c c"]
    encoded, vocabulary, counts = encode_training(texts, TextSettings(max_tokens=4))
    seen = Counter(["b", "a", "c", ".", "a", "b", "<", "pad", *"cccc"])  # what the cut leaves
    expected = sorted(seen, key=lambda token: (-seen[token], token))
    assert vocabulary.tokens == ("<pad>", "<unk>", *expected)
    assert counts.tolist() == [1, 0, *(seen[token] for token in expected)]
    assert rows_of(encoded) == rows_of(Encoder.from_settings(TextSettings(max_tokens=4), vocabulary).encode(texts))
    assert encoded.truncated.tolist() == [False, False, True, True]


@pytest.mark.parametrize("limits", [{"min_count": 2}, {"max_vocabulary": 1}, {"max_vocabulary": 2, "min_count": 2}])
@given(texts=texts_of_words)
def test_training_ids_are_those_of_the_final_vocabulary(limits: dict[str, int], texts: list[str]) -> None:
    settings = TextSettings(**limits, max_tokens=5)
    encoded, vocabulary, counts = encode_training(texts, settings)
    again = Encoder.from_settings(settings, vocabulary).encode(texts)
    assert rows_of(encoded) == rows_of(again)
    assert counts.tolist() == np.bincount(encoded.ids, minlength=len(vocabulary)).tolist()


def test_a_literal_special_token_is_unknown() -> None:
    settings = TextSettings(tokenizer="basic_english")
    encoded, vocabulary, counts = encode_training(["<pad> <unk> word"], settings)
    assert vocabulary.tokens == ("<pad>", "<unk>", "word")
    assert rows_of(encoded) == [[UNK, UNK, 2]]
    assert counts.tolist() == [0, 2, 1]


@given(st.lists(texts_of_words, max_size=5))
def test_forgetting_changes_nothing(blocks: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_MOST_CHUNKS", 2)
        forgetful, vocabulary = encoder_of(WORDS[:5])
        for block in blocks:
            assert rows_of(forgetful.encode(block)) == by_text(forgetful, vocabulary, block, 1000)


def test_memory_is_bounded_over_many_distinct_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_MOST_CHUNKS", 5_000)
    encoder, _ = encoder_of(["a"])
    encoder.encode([f"w{i}" for i in range(6_000)])
    tracemalloc.start()
    try:
        for block in range(5):
            encoder.encode([f"{block}w{i}" for i in range(6_000)])
            assert tracemalloc.get_traced_memory()[0] < 200_000  # what is left after each block
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_over_long_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_MOST_IDS", 50_000)
    encoder, _ = encoder_of(["x"])
    for _ in range(10):
        assert rows_of(encoder.encode(["x." * 10_000])) == [[2, 1] * 500]
        assert len(encoder._chunks.ids) <= 50_000


def test_half_a_million_distinct_chunks_take_seconds() -> None:
    encoder, _ = encoder_of(["a"])
    start = time.process_time()
    encoded = encoder.encode([" ".join(f"w{n}" for n in range(i, i + 1000)) for i in range(0, 500_000, 1000)])
    assert time.process_time() - start < 10
    assert len(encoded.ids) == 500_000


@given(texts_of_words, st.integers(1, 5))
def test_blocks_change_nothing(texts: list[str], most: int) -> None:
    settings = TextSettings(max_tokens=most, min_count=2)
    whole, words, counts = encode_training(texts, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_BLOCK", 2)
        patch.setattr(encoding, "_IDS", 3)
        patch.setattr("textcls.storage._MOST_HELD", 8)
        blocks, same_words, same_counts = encode_training(texts, settings)
        again = Encoder.from_settings(settings, words).encode(texts)
    assert same_words == words
    assert same_counts.tolist() == counts.tolist()
    for found in (blocks, again):
        assert rows_of(found) == rows_of(whole)
        assert found.lengths.tolist() == whole.lengths.tolist()
        assert (found.empty.tolist(), found.truncated.tolist()) == (whole.empty.tolist(), whole.truncated.tolist())
        assert [str(array.dtype) for array in (found.ids, found.offsets, found.empty)] == ["int32", "int64", "bool"]
