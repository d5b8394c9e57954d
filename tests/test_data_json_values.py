"""JSON values: no key is lost, however an object is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls.data.json_values import JsonArray, parse_json, repeated_key
from textcls.errors import DataError

TEXTS = st.text(st.sampled_from('a:" \\\n{'), max_size=6)
VALUES = st.recursive(
    TEXTS | st.integers(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner), max_leaves=4
)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "a:", '"', "a.2"]), VALUES), max_size=5),
    st.sampled_from(['":', '" :', '"\n:']),
)
def test_every_value_is_kept(pairs: list[tuple[str, Any]], colon: str) -> None:
    written = ", ".join(f"{json.dumps(key)[:-1]}{colon} {json.dumps(value)}" for key, value in pairs)
    found = parse_json(f"{{{written}}}")
    keys = [key for key, _ in pairs]
    assert list(found.values()) == [value for _, value in pairs]
    assert {*keys} <= {*found}
    assert (repeated_key(found) is not None) == (len({*keys}) < len(keys))


def test_names_of_the_others() -> None:
    found = parse_json('{"n": 1, "n": 2, "n.2": 3, "n": 4, "m": [{"k": 1, "k": 2}]}')
    assert found == {"n": 1, "n.2": 2, "n.2.2": 3, "n.3": 4, "m": [{"k": 1, "k.2": 2}]}
    assert repeated_key(found) == "n"
    assert repeated_key(found, ("n.2", "m")) == "n.2"
    assert repeated_key(found, ("m",)) is None


def test_a_key_a_hundred_thousand_times() -> None:
    assert len(parse_json("{" + ", ".join(['"a": 1'] * 100_000) + "}")) == 100_000


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", "[" * 99999, "1" * 5000])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the caller has words for it
        parse_json(text)


def _items(text: str, size: int, longest: int = 1000) -> list[Any]:
    """Return the items of an array that comes in pieces, having looked at how each is written where that is said."""
    found: list[Any] = []
    for values, written in JsonArray(
        (text[start : start + size] for start in range(0, len(text), size)), "a.json", longest
    ).items():
        assert len(values) == len(written)
        assert all(not one or json.loads(one) == value for value, one in zip(values, written, strict=True))
        assert all(one or isinstance(value, dict) for value, one in zip(values, written, strict=True))
        found += values
    return found


@given(st.lists(VALUES, max_size=5), st.integers(1, 200), st.sampled_from([None, 1]))
def test_an_array_gives_its_items_wherever_pieces_end(items: list[Any], size: int, indent: int | None) -> None:
    assert _items(f" {json.dumps(items, indent=indent)}\n", size) == items


@given(
    st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=20),
    st.integers(1, 200),
    st.sampled_from([None, 1]),
)
def test_objects_that_are_parsed_together_are_the_same(items: list[Any], size: int, indent: int | None) -> None:
    text = json.dumps(items, indent=indent, ensure_ascii=False)
    assert _items(text, size) == items
    assert _items(text, 10**6) == items


def test_objects_that_are_parsed_together_lose_no_key() -> None:
    items = _items('[{"a": 1}, {"a": "x: y"}, {"n": 1, "n": 2}, {"a": {"b": 1}}, {"a": 2}]', 10**6)
    assert [repeated_key(item) for item in items] == [None, None, "n", None, None]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[{"a": [1, {"b": 2}, 3}]', "row 1: not valid JSON: Expecting ',' delimiter"),
        ('[{"a": 1}, {"a": 2}, 3', "row 3: the array is cut short"),
        ('[{"a": 1}, {"a" 2}, {"a": 3}]', "row 2: not valid JSON: Expecting ':' delimiter"),
        ('[{"a": 1} {"a": 2}, {"a": 3}]', "row 1: not valid JSON: a comma is missing behind it"),
        ('[{"a": 1},]', "row 2: not valid JSON: Expecting value"),
    ],
)
def test_a_damaged_array_is_an_error_at_its_row(text: str, fault: str) -> None:
    with pytest.raises(DataError) as error:
        _items(text, 10**6)
    assert str(error.value) == f"a.json, {fault}"


@given(st.text(st.sampled_from('[]{},:"a1\\ \n'), max_size=12), st.integers(1, 4))
def test_any_text_is_an_array_or_one_line(rest: str, size: int) -> None:
    text = "[" + rest
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(DataError, match=r"^a\.json, row \d+: [^\n]+$"):
            _items(text, size)
    else:
        assert _items(text, size) == expected
