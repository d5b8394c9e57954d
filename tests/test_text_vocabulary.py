"""The vocabulary: which token has which id."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls.text import Vocabulary


def build(counts: dict[str, int], **limits: int) -> tuple[str, ...]:
    return Vocabulary.build(list(counts), np.array(list(counts.values()), np.int64), **limits).tokens


def test_order_is_falling_count_then_token() -> None:
    assert build({"b": 2, "z": 5, "a": 2, "é": 2, "B": 2}) == ("<pad>", "<unk>", "z", "B", "a", "b", "é")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"min_count": 2}, ["c", "a", "b"]),
        ({"max_size": 2}, ["c", "a"]),
        ({"min_count": 3, "max_size": 9}, ["c"]),
        ({"min_count": 9}, []),
    ],
)
def test_limits(limits: dict[str, int], expected: list[str]) -> None:
    assert list(build({"a": 2, "b": 2, "c": 3, "d": 1}, **limits)[2:]) == expected


def test_literal_special_tokens_are_no_words() -> None:
    assert build({"<pad>": 9, "<unk>": 8, "a": 1}) == ("<pad>", "<unk>", "a")
    vocabulary = Vocabulary(("<pad>", "<unk>", "a"))
    assert vocabulary.index == {"a": 2}
    assert vocabulary.extended(["<unk>", "a", "b", "<pad>"]).tokens == ("<pad>", "<unk>", "a", "b")


def test_extended_keeps_the_order_of_the_words_and_takes_each_once() -> None:
    extended = Vocabulary(("<pad>", "<unk>", "a")).extended(["z", "b", "z", "a"])
    assert extended.tokens == ("<pad>", "<unk>", "a", "z", "b")


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 5)))
def test_each_token_has_one_id(counts: dict[str, int]) -> None:
    vocabulary = Vocabulary(build(counts))
    assert len(vocabulary) == len(set(vocabulary.tokens))
    assert sorted(vocabulary.index.values()) == list(range(2, len(vocabulary)))
