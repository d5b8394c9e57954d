import numpy as np
import pytest

from textcls.data import Label, LabelSet, label_text
from textcls.data.rows import RowsBuilder


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


def test_rows_select_and_where() -> None:
    builder = RowsBuilder()
    for source, row, text, label in ((0, 2, "x", "a"), (0, 3, "y", "b"), (1, 2, "z", "a")):
        builder.append(source, row, text, label)
    rows = builder.finish(("one.csv", "two.csv"))
    chosen = rows.select([2, 0])
    assert (list(chosen.texts), list(chosen.labels), len(chosen)) == (["z", "x"], ["a", "a"], 2)
    assert (chosen.where(0), chosen.where(1)) == ("two.csv, row 2", "one.csv, row 2")
