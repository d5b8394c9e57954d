"""Labelled rows from Python values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from scipy.sparse import csr_array

from textcls.config import DataSettings
from textcls.data import Rows
from textcls.data.memory import rows_from_memory, rows_to_fit
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


@pytest.mark.parametrize("label", [np.array([1, 0]), {"a": 1}, ["a"], ("a", "b")])
def test_what_is_no_label(label: Any) -> None:
    with pytest.raises(DataError, match=r"^the label at index 1 is .*: give text, a number or a bool$"):
        rows(["a", label, "b"])


@pytest.mark.parametrize("label", ["a", 3, np.array([1, 0])])
def test_the_first_of_many_labels_that_is_no_list_is_named(label: Any) -> None:
    with pytest.raises(DataError, match=r"^the labels at index 2 are .*: give a list of labels for each text$"):
        rows([["a"], ("b",), label, ["c"], "d"])
    with pytest.raises(DataError, match=r"^a label at index 1 is missing: \['a', None\]$"):
        rows([["a"], ["a", None]])


@pytest.mark.parametrize("label", [None, "", " ", float("nan"), pd.NA, pd.NaT, np.float64("nan")])
def test_missing_labels_are_what_they_are_in_a_column(label: Any) -> None:
    labels = [label, "a", "b", label]
    with pytest.raises(
        DataError, match=r"^the label at index 0 is .* or set data\.missing_labels to skip to leave rows without"
    ):
        rows(labels)
    skip = DataSettings(missing_labels="skip")
    found = rows_from_memory(["w", "x", "y", "z"], labels, skip, sample_weight=[1, 2, 3, 4])
    assert (list(found.texts), list(found.labels), found.row.tolist()) == (["x", "y"], ["a", "b"], [2, 3])
    assert found.weights is not None
    assert found.weights.tolist() == [2, 3]
    assert found.notes == ("2 rows without a label, left out (index 0, 3)",)
    assert "left out" in rows_to_fit(skip.model_copy(update={"validation_share": 0}), ["w", "x", "y", "z"], labels)[2][0]
    with pytest.raises(DataError, match="no row has a label"):
        rows_from_memory(["x"], [label], skip)


def test_a_text_without_a_list_has_no_labels_as_in_a_column() -> None:
    given = [["a", "b"], None, []]
    column = rows_from_memory({"text": ["x", "y", "z"], "tags": given}, None, DataSettings(labels="tags"))
    assert rows(given).labels == column.labels == [["a", "b"], [], []]


@pytest.mark.parametrize("labels", [[1.0, 2.0], [1.0, 2.5], [" a", "a "], [True, False], ["1", "1.0"]], ids=str)
def test_labels_are_read_as_a_column_is(labels: list[Any]) -> None:
    texts, settings = ["x", "y"], DataSettings()
    expected = list(map(repr, rows_from_memory({"text": texts, "label": labels}, None, settings).labels))
    for given in (labels, np.array(labels), pd.Series(labels), pd.DataFrame({"y": labels})):
        assert list(map(repr, rows_from_memory(texts, given, settings).labels)) == expected
    assert list(map(repr, rows_from_memory(texts, [[label] for label in labels], settings).labels)) == [
        f"[{label}]" for label in expected
    ]


def test_blanks_around_labels() -> None:
    assert rows([" a", "a"]).labels == ["a", "a"]
    assert rows([" a", "a"]).notes == ("labels with blanks around them, stripped: ' a' (1)",)
    assert rows_from_memory(["x", "y"], [" a", "a"], DataSettings(strip_labels=False)).labels == [" a", "a"]


def test_counts_differ() -> None:
    with pytest.raises(DataError, match="there are 1 texts, but 2 labels"):
        rows_from_memory(["x"], ["a", "b"], DataSettings())


# Tables


FRAME = pd.DataFrame({"text": ["one", "two", "three"], "label": ["a", "b", "a"], "w": [1.0, 0.0, 2.5]})


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame,
        pa.Table.from_pandas,
        Dataset.from_pandas,
        lambda frame: frame.to_dict("list"),
        lambda frame: pytest.importorskip("polars", reason="polars is not installed").from_arrow(pa.Table.from_pandas(frame)),
    ],
    ids=["pandas", "arrow", "dataset", "dictionary", "polars"],
)
class TestLabelledTables:
    def test_texts_labels_and_weights(self, make: Any) -> None:
        found = rows_from_memory(make(FRAME), None, DataSettings(weight="w"))
        assert (list(found.texts), list(found.labels)) == (["one", "two", "three"], ["a", "b", "a"])
        assert found.weights is not None
        assert found.weights.tolist() == [1, 0, 2.5]
        assert "weights in column 'w': from 0 to 2.5; 1 row weighs nothing" in found.notes
        assert rows_from_memory(make(FRAME), None, DataSettings()).weights is None

    def test_labels_beside_the_table(self, make: Any) -> None:
        found = rows_from_memory(make(FRAME), [1, 2, 1], DataSettings(weight="w"))
        assert (list(found.texts), list(found.labels)) == (["one", "two", "three"], [1, 2, 1])
        assert found.weights is not None
        assert found.weights.tolist() == [1, 0, 2.5]

    def test_weights_beside_the_table_come_first(self, make: Any) -> None:
        for labels in (None, [1, 2, 1]):
            found = rows_from_memory(make(FRAME), labels, DataSettings(weight="w"), sample_weight=np.array([3, 4, 5]))
            assert found.weights is not None
            assert found.weights.tolist() == [3, 4, 5]

    def test_missing_labels_are_what_they_are_in_files(self, make: Any) -> None:
        frame = make(FRAME.assign(label=["a", None, "b"]))
        with pytest.raises(DataError, match="1 row without a label in column 'label'"):
            rows_from_memory(frame, None, DataSettings())
        found = rows_from_memory(frame, None, DataSettings(missing_labels="skip"), sample_weight=[1, 2, 3])
        assert (list(found.texts), found.weights.tolist()) == (["one", "three"], [1, 3])  # type: ignore[union-attr]

    def test_what_is_no_weight(self, make: Any) -> None:
        frame = make(FRAME.assign(w=[1.0, -2.0, 1.0]))
        for labels in (None, [1, 2, 1]):
            with pytest.raises(DataError, match=r", row 2: the weight in column 'w' is -2.0; it must be a number, 0 or more"):
                rows_from_memory(frame, labels, DataSettings(weight="w"))

    def test_columns_of_0_and_1(self, make: Any) -> None:
        frame = make(pd.DataFrame({"text": ["x", "y"], "a": [1, 0], "b": [True, False]}))
        assert rows_from_memory(frame, None, DataSettings(labels=("a", "b"))).labels == [["a", "b"], []]

    def test_a_column_of_lists(self, make: Any) -> None:
        frame = make(pd.DataFrame({"text": ["x", "y"], "tags": [["a", "b"], []]}))
        assert rows_from_memory(frame, None, DataSettings(labels="tags")).labels == [["a", "b"], []]


# Labels beside the texts


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(["a", "b"], index=[9, 9]),
        pd.DataFrame({"mark": ["a", "b"]}),
        pd.Categorical(["a", "b"]),
        np.array([["a"], ["b"]]),
        pa.array(["a", "b"]),
        pa.table({"mark": ["a", "b"]}),
        {"mark": ["a", "b"]},
        iter("ab"),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_columns_of_labels(labels: Any) -> None:
    assert rows_from_memory(["x", "y"], labels, DataSettings()).labels == ["a", "b"]


MATRIX = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    "matrix", [MATRIX, MATRIX.astype(bool), MATRIX.astype(float), csr_array(MATRIX)], ids=["int", "bool", "float", "sparse"]
)
def test_an_indicator_matrix_names_its_labels_by_number(matrix: Any) -> None:
    for many in (None, True):
        assert rows_from_memory(["x", "y", "z"], matrix, DataSettings(), many=many).labels == [[0, 2], [], [0, 1, 2]]


@pytest.mark.parametrize("make", [pd.DataFrame, pa.Table.from_pandas])
def test_an_indicator_table_names_its_labels_by_its_columns(make: Any) -> None:
    frame = make(pd.DataFrame(MATRIX, columns=["a", "b", "c"]))
    assert rows_from_memory(["x", "y", "z"], frame, DataSettings()).labels == [["a", "c"], [], ["a", "b", "c"]]


def test_an_indicator_matrix_of_two_labels_that_all_rows_have_is_no_list_of_0_and_1() -> None:
    assert rows_from_memory(["x", "y"], np.ones((2, 2)), DataSettings()).labels == [[0, 1], [0, 1]]


@pytest.mark.parametrize("value", [2, -1, 0.5, float("nan"), None, "1"])
def test_an_indicator_matrix_has_0_and_1_alone(value: Any) -> None:
    matrix = np.array([[1, 0], [0, value]], object)
    for labels in (matrix, pd.DataFrame(matrix, columns=[0, 1])):
        with pytest.raises(DataError, match=r"^the value of the label '?1'? at index 1 is .*; it must be 0 or 1$"):
            rows_from_memory(["x", "y"], labels, DataSettings())


def test_an_indicator_matrix_where_a_text_has_one_label() -> None:
    with pytest.raises(DataError, match="the labels are an indicator matrix, but a text has one label here"):
        rows_from_memory(["x", "y"], np.eye(2), DataSettings(), many=False)


def test_a_matrix_of_known_labels_has_them_as_columns_in_their_order() -> None:
    found = rows_from_memory(["x", "y", "z"], MATRIX, DataSettings(), many=True, classes=("c", 7, "a"))
    assert found.labels == [["c", "a"], [], ["c", 7, "a"]]


def test_a_table_of_known_labels_has_them_as_columns_in_any_order() -> None:
    table = pd.DataFrame(MATRIX, columns=["a", "7", "c"])
    found = rows_from_memory(["x", "y", "z"], table, DataSettings(), many=True, classes=("c", 7, "a"))
    assert found.labels == [["a", "c"], [], ["a", 7, "c"]]
    assert [type(label) for label in found.labels[2]] == [str, int, str]


@pytest.mark.parametrize("width", [2, 4])
def test_a_matrix_of_another_width_than_the_labels_is_refused(width: int) -> None:
    matrix = np.ones((2, width), int)
    message = f"the indicator matrix has {width} columns, but there are 3 labels, 'a', 'b', 'c': give a column for each"
    with pytest.raises(DataError, match=message):
        rows_from_memory(["x", "y"], matrix, DataSettings(), many=True, classes=("a", "b", "c"))
    train = pd.DataFrame({"a": [1, 0], "b": [0, 1], "c": [1, 1]})
    with pytest.raises(DataError, match=message):
        rows_to_fit(DataSettings(), ["x", "y"], train, validation_data=(["x", "y"], matrix))


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (["a", "b", "d"], "of no label: 'd'; missing: 'c'"),
        (["a", "b", "c", "d"], "of no label: 'd'"),
        (["a", "b"], "missing: 'c'"),
        (["0", "1", "2"], "of no label: '0', '1', '2'; missing: 'a', 'b', 'c'"),
    ],
)
def test_a_table_of_other_columns_than_the_labels_is_refused(columns: list[str], fault: str) -> None:
    table = pd.DataFrame(np.ones((2, len(columns)), int), columns=columns)
    message = f"the columns of the table of labels are not the 3 labels that there are: {fault}$"
    with pytest.raises(DataError, match=message):
        rows_from_memory(["x", "y"], table, DataSettings(), many=True, classes=("a", "b", "c"))
    train = pd.DataFrame({"a": [1, 0], "b": [0, 1], "c": [1, 1]})
    with pytest.raises(DataError, match=message):
        rows_to_fit(DataSettings(), ["x", "y"], train, validation_data=(["x", "y"], table))


def test_two_columns_of_one_label_are_refused() -> None:
    table = pd.DataFrame(np.ones((2, 3), int), columns=["a", "1", "true"])
    with pytest.raises(DataError, match=r"of no label: 'true'$"):
        rows_from_memory(["x", "y"], table, DataSettings(), many=True, classes=("a", 1))


# Weights


@pytest.mark.parametrize(
    "weights", [[1, 2], (1.0, 2.0), np.array([1, 2]), pd.Series([1, 2]), pa.array([1, 2]), iter([1, 2]), [True, 2]]
)
def test_weights_of_every_kind(weights: Any) -> None:
    found = rows_from_memory(["x", "y"], ["a", "b"], DataSettings(), sample_weight=weights)
    assert found.weights is not None
    assert found.weights.dtype == np.float64
    assert found.weights.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "there are 2 texts, but 1 weights in sample_weight"),
        ([1, -1], "the weight at index 1 is -1: give a number, 0 or more"),
        ([1, float("nan")], "the weight at index 1 is nan: give a number, 0 or more"),
        ([1, float("inf")], "the weight at index 1 is inf: give a number, 0 or more"),
        ([1, None], "the weight at index 1 is None: give a number, 0 or more"),
        ([1, "2"], "the weight at index 1 is '2': give a number, 0 or more"),
        ([1e308, 1.7e308], "the weights add up to inf: give some whose sum is from 1e-30 to 1e+30"),
        (3, "sample_weight is a int: give a list"),
        (np.eye(2), "sample_weight is an array of 2 dimensions: give one of 1"),
    ],
    ids=str,
)
def test_unusable_weights(weights: Any, message: str) -> None:
    for texts, labels in ((["x", "y"], ["a", "b"]), ({"text": ["x", "y"], "label": ["a", "b"]}, None)):
        with pytest.raises(DataError) as caught:
            rows_from_memory(texts, labels, DataSettings(), sample_weight=weights)
        assert str(caught.value) == message


def test_a_column_of_weights_needs_a_table() -> None:
    with pytest.raises(DataError, match=r"data\.weight names a column, but the texts come without columns: give sample_weight"):
        rows_from_memory(["x", "y"], ["a", "b"], DataSettings(weight="w"))


def test_columns_of_an_indicator_are_kept() -> None:
    y = pd.DataFrame({"b": [1, 0], "a": [0, 1], "none": [0, 0]})
    settings = DataSettings(validation_share=0)
    told = rows_to_fit(settings, ["x", "y"], y)[2]
    assert told == ("labels that no row has, of which nothing can be learnt: 'none'",)
    assert not rows_to_fit(settings, ["x", "y"], y[["a", "b"]])[2]
    assert rows_from_memory(["x", "y"], y, settings).select([1]).classes.labels == ("b", "a", "none")
    assert not rows_to_fit(settings, ["x"] * 11, np.eye(11, dtype=int))[2]
