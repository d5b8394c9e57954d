from typing import Any

import numpy as np
import pytest

from textcls import storage
from textcls.data import Label, LabelSet, Rows, label_text
from textcls.data.labels import require_known, spelt_otherwise
from textcls.data.rows import RowsBuilder
from textcls.errors import DataError


@pytest.mark.parametrize(
    ("label", "text"), [("a", "a"), (1, "1"), ("1", "1"), (True, "true"), (False, "false"), (1.5, "1.5"), ("", "")]
)
def test_label_text(label: Label, text: str) -> None:
    assert label_text(label) == text


def test_integer_texts_sort_as_numbers() -> None:
    assert LabelSet.from_rows([10, "9", 2, -1]).labels == (-1, 2, "9", 10)


def test_other_texts_sort_as_texts() -> None:
    assert LabelSet.from_rows(["b", "10", "9", True]).labels == ("10", "9", "b", True)


def test_first_type_is_kept_for_equal_texts() -> None:
    labels = LabelSet.from_rows(["1", 1, 2, "2"]).labels
    assert [type(label) for label in labels] == [str, int]


def test_encode_compares_by_text() -> None:
    classes = LabelSet((1, 2, True))
    encoded = classes.encode(["2", 1, "true", "unknown"])
    assert encoded.dtype == np.int64
    assert encoded.tolist() == [1, 0, 2, -1]
    assert classes.texts == ("1", "2", "true")
    assert len(classes) == 3


@pytest.mark.parametrize(
    ("known", "met", "number"),
    [
        ((0, 1), "1.0", 1),
        ((0, 1), 1.0, 1),
        ((0, 1), True, 1),
        ((0, 1), "False", 0),
        (("0.0", "1.0"), 1, 1),
        ((False, True), 1, 1),
        ((1, 2), "2.5", None),
        ((1, "1.0"), "1.0", 1),  # its own text comes first
        ((1, "1.00"), "1.0", None),  # either could be meant
        (("a", "b"), "A", None),
        (("nan", "inf"), "Infinity", None),
    ],
)
def test_a_number_is_known_in_another_spelling(known: tuple[Label, ...], met: Label, number: int | None) -> None:
    classes = LabelSet(known)
    assert classes.number(met) == number
    assert classes.encode([met]).tolist() == [-1 if number is None else number]
    assert classes.encode_many([[met]]).sum() == (number is not None)
    assert len(classes.extended([met])) == len(known) + (number is None)


def test_rows_select_and_where() -> None:
    builder = RowsBuilder()
    builder.extend([0, 0], [2, 3], ["x", "y"], ["a", "b"])
    builder.extend([1], [2], ["z"], ["a"])
    rows = builder.finish(("one.csv", "two.csv"))
    chosen = rows.select([2, 0])
    assert (list(chosen.texts), list(chosen.labels), len(chosen)) == (["z", "x"], ["a", "a"], 2)
    assert (chosen.where(0), chosen.where(1)) == ("two.csv, row 2", "one.csv, row 2")


def test_no_known_label_names_those_of_both_sides() -> None:
    known = LabelSet.from_rows(range(9))
    require_known(["x", 3], known, "row", "the model knows", "look")
    with pytest.raises(DataError) as caught:
        require_known([1.5, "b", 1.5], known, "row", "the model knows", "look there")
    assert str(caught.value) == (
        "no row has a label that the model knows: the data have '1.5', 'b', "
        "the model knows '0', '1', '2', '3', '4' and 4 more; look there"
    )
    with pytest.raises(
        DataError, match=r"'Money_Fx', the model knows 'corn', 'money-fx'; correct .+: 'Money_Fx' for 'money-fx'$"
    ):
        require_known(["Money_Fx"], LabelSet(("corn", "money-fx")), "row", "the model knows", "look")
    with pytest.raises(DataError, match="the data have none, "):
        require_known([], known, "row", "the model knows", "look")


def test_labels_that_are_known_otherwise_spelt() -> None:
    known = LabelSet(("money", "corn", 1))
    assert spelt_otherwise(["Money", " money", "corn", "rye", 1.0], known) == "' money' for 'money', 'Money' for 'money'"
    assert spelt_otherwise(["corn", "rye"], known) == ""


@pytest.mark.parametrize("labels", [["b", 1, "a", "1", "other"], [["b", "a"], [], ["a"], ["a", "b"], ["other", 1]]])
def test_targets_by_blocks_are_those_of_each_row(labels: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    known, rows = LabelSet(("a", "b", 1)), Rows.of("vwxyz", labels)
    expected = known.encode_many(labels) if rows.many else known.encode(labels)
    for values in (1 << 23, 7, 1):
        monkeypatch.setattr(storage, "_MOST_WORKED_ON", values)
        found = rows.targets(known)
        assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist())
        assert rows.select([]).targets(known).shape == (0, *expected.shape[1:])
