"""Columns of rows against plain lists, in memory and in files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls import storage
from textcls.data import Rows
from textcls.data.columns import Labels, Texts

TEXTS = st.lists(st.text(max_size=6) | st.sampled_from(["", "\ud800", "\ud83d", "\ude00", "\x00", "é"]), max_size=9)
LABELS = st.lists(st.sampled_from(["1", 1, 1.0, True, False, 0, -0.0, 0.0, "a"]), max_size=9)


@pytest.fixture(params=[0, 1 << 22], ids=["in files", "in memory"], autouse=True)
def held(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_MOST_HELD", request.param)
        patch.setattr("textcls.data.columns._BLOCK", 4)
        yield


def texts_of(texts: list[str]) -> Texts:
    return Rows.of(texts, ["a"] * len(texts)).texts


def labels_of(labels: list[Any]) -> Labels:
    return Rows.of(["x"] * len(labels), labels).labels


@given(TEXTS, st.data())
def test_texts_are_those_of_a_list(texts: list[str], data: st.DataObject) -> None:
    column = texts_of(texts)
    assert column == texts
    assert (len(column), list(reversed(column))) == (len(texts), texts[::-1])
    assert [column[place] for place in range(-len(texts), len(texts))] == texts * 2
    assert column[1:-1] == texts[1:-1]
    assert column[::-2] == texts[::-2]
    chosen = data.draw(st.lists(st.sampled_from(range(len(texts))))) if texts else []
    again = data.draw(st.lists(st.sampled_from(range(len(chosen))))) if chosen else []
    selected = column.select(np.array(chosen, np.int64))
    assert selected == [texts[row] for row in chosen]
    assert selected.select(np.array(again, np.int64)) == [texts[chosen[row]] for row in again]


@given(LABELS)
def test_labels_keep_their_types(labels: list[Any]) -> None:
    column = labels_of(labels)
    assert list(map(repr, column)) == list(map(repr, labels))
    backwards = column.select(np.arange(len(labels))[::-1])
    assert list(map(repr, backwards)) == list(map(repr, labels[::-1]))
    assert list(map(repr, backwards.distinct)) == list(dict.fromkeys(map(repr, labels[::-1])))


def test_lists_of_labels() -> None:
    rows = Rows.of(["x", "y", "z"], [["a", 1], [], ["a", "1"]])
    assert rows.many
    assert rows.labels == [["a", 1], [], ["a", "1"]]
    assert rows.labels.distinct == ["a", 1, "a", "1"]


def test_a_place_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        texts_of(["x"])[1]


def test_columns_differ_from_others() -> None:
    assert texts_of(["x", "y"]) != ["x"]
    assert texts_of(["x", "y"]) != ["x", "z"]
    assert texts_of(["x"]) != "x"
