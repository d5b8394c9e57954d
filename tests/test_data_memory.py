"""Labelled rows from Python values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textcls.config import DataSettings
from textcls.data import Rows
from textcls.data.memory import rows_from_memory
from textcls.errors import DataError


def rows(labels: Any, **options: Any) -> Rows:
    return rows_from_memory([f"t{row}" for row in range(len(labels))], labels, DataSettings(), **options)


def test_one_label_a_text() -> None:
    assert list(map(repr, rows(["1", np.int64(1), True, np.float32(0.5)]).labels)) == ["'1'", "1", "True", "0.5"]


@pytest.mark.parametrize("labels", [[["a", "b"], []], [("a", "b"), ()]])
def test_many_labels_a_text(labels: Any) -> None:
    assert rows(labels).labels == [["a", "b"], []]


def test_equal_labels_count_once() -> None:
    assert rows([[np.int64(3), 1, "1"], (2,)]).labels == [[3, "1"], [2]]


@pytest.mark.parametrize(
    "labels", [[[1, 0], [0, 1]], [[1, 0, 1], [0, 1, 0]], [(1.0, 0.0), (0.0, 1.0)], [[True, False], [False, True], []]]
)
def test_lists_of_0_and_1_are_refused(labels: Any) -> None:
    with pytest.raises(DataError, match=r"each list of labels has \d values, all 0 or 1: it seems to be 0 or 1 for each label"):
        rows(labels)


@pytest.mark.parametrize("labels", [[[0, 1]], [[0, 1], [0]], [[1], [0]], [[0, 1], [0, 2]]])
def test_labels_that_are_0_and_1_are_read(labels: Any) -> None:
    assert rows(labels).labels == labels


@pytest.mark.parametrize("label", [None, "", float("nan"), np.array([1, 0]), {"a": 1}])
def test_what_is_no_label(label: Any) -> None:
    with pytest.raises(DataError, match=r"^the label at index 1 is .*: give text, a number or a bool$"):
        rows(["a", label])


def test_counts_differ() -> None:
    with pytest.raises(DataError, match="there are 1 texts, but 2 labels"):
        rows_from_memory(["x"], ["a", "b"], DataSettings())
