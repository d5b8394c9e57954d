"""Lists of labels in a text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls.data.label_lists import labels_in

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a, b;c|d", ("a", "b", "c", "d")),
        ("new york", ("new york",)),
        ("1 0 1", ("1", "0", "1")),
        ("[]", ()),
        ('["a", 1]', ("a", 1)),
        ("['a', 'b']", ("a", "b")),
        ("['a' 'b']", ("a", "b")),
        ("['a'\n 'b']", ("a", "b")),
        ("[\"it's\" 'b']", ("it's", "b")),
        ("[1 2 10]", (1, 2, 10)),
        ("[0. 1.]", (0.0, 1.0)),
        ("[ True False]", (True, False)),
        ("['a' None nan]", ("a", None, None)),
        ("('a', 'b')", ("a", "b")),
        ("('a',)", ("a",)),
        ("()", ()),
        ("{'b', 'a'}", ("a", "b")),
        ("set()", ()),
        ("frozenset({'a'})", ("a",)),
        ("frozenset()", ()),
        ("array(['a', 'b'], dtype=object)", ("a", "b")),
        ("'a', 'b'", ("a", "b")),
        ('"a"', ("a",)),
        ("'tis, no list", ("'tis", "no list")),
        ("(other)", ("(other)",)),
        ("sports(uk)", ("sports(uk)",)),
        (r"['C:\d']", (r"C:\d",)),
    ],
)
def test_spellings(text: str, labels: tuple[Any, ...]) -> None:
    assert labels_in(text) == labels


@pytest.mark.parametrize("text", ["{'a': 1, 'b': 0}", '{"a": 1, "b": 0}'])
def test_objects(text: str) -> None:
    assert labels_in(text) == {"a": 1, "b": 0}


@pytest.mark.parametrize(
    "text", ["[", "[a, b]", "[a b]", "['a'", "{a}", "['a', nan]", "[" * 99999, "[" + "1" * 5000 + "]", "[print(1)]", "['\0]"]
)
def test_what_starts_like_a_list_is_one(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the caller has words for it
        labels_in(text)


@given(st.lists(PRINTABLE | st.integers(), max_size=4))
def test_what_json_and_python_write_is_read(labels: list[Any]) -> None:
    assert labels_in(json.dumps(labels)) == tuple(labels)
    assert labels_in(str(labels)) == tuple(labels)


@given(st.lists(PRINTABLE, min_size=1, max_size=4))
def test_what_numpy_writes_is_read(labels: list[str]) -> None:
    assert labels_in(str(np.array(labels, object))) == tuple(labels)
