"""What is noted of labels by their spelling."""

from __future__ import annotations

from typing import Any

import pytest

from textcls.data import Rows
from textcls.data.rows import label_notes


def notes(labels: list[Any]) -> list[str]:
    return label_notes(Rows.of(map(str, range(len(labels))), labels))


def test_labels_that_differ_in_case() -> None:
    found = notes(["Spam", "spam", "spam", "HAM", "ham", "other"])
    assert found == ["labels that differ in upper and lower case alone: 'Spam' (1) and 'spam' (2), 'HAM' (1) and 'ham' (1)"]


def test_labels_in_lists_that_differ_in_case() -> None:
    assert notes([["a", "b"], ["A"], []]) == ["labels that differ in upper and lower case alone: 'a' (1) and 'A' (1)"]


@pytest.mark.parametrize("label", ["nan", "None", "<NA>", float("inf")])
def test_labels_that_may_be_missing(label: Any) -> None:
    found = notes(["a", label, label])
    assert found == ([f"labels that may stand for a missing one: {label!r} (2)"] if isinstance(label, str) else [])


def test_labels_that_look_like_lists() -> None:
    assert notes(["['a', 'b']", "[]"]) == [
        "each label looks like a list, such as \"['a', 'b']\": for several labels a text set data.labels"
    ]
    assert notes(["[a]", "b"]) == []


@pytest.mark.parametrize(
    ("labels", "noted"),
    [
        ([number / 7 for number in range(60)], True),
        ([str(number / 7) for number in range(60)], True),
        ([str(number) for number in range(60)], True),
        ([number % 30 / 7 for number in range(600)], True),  # as a price or a share, in a large data set
        ([number % 10 / 2 + 0.5 for number in range(600)], False),  # stars, in halves
        ([number % 30 for number in range(600)], False),
        ([1.5, 2.5, 3.5], False),
        ([*(number / 7 for number in range(60)), "NA", "?"], True),  # which stand for a missing one
        ([f"{number / 7:.3f}".replace(".", ",") for number in range(60)], True),
        ([f"{number} %" for number in range(60)], True),
        ([*(number / 7 for number in range(60)), *"abcdefgh"], False),
        ([f"{number}a" for number in range(60)], False),
    ],
)
def test_labels_that_are_numbers(labels: list[Any], noted: bool) -> None:
    found = notes(labels)
    count = len(set(labels) - {"NA", "?"})
    expected = f"{count} different numbers as labels of {len(labels)} rows: is this a number to predict?"
    assert found == ([expected] if noted else [])


def test_of_long_labels_the_start_is_noted() -> None:
    [note] = label_notes(Rows.of(["", ""], ["a" * 400, "A" * 400]))
    assert note.endswith(f": '{'a' * 59}…' (1) and '{'A' * 59}…' (1)")
