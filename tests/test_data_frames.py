"""Tables in memory, of every kind, give the texts that files with the same columns give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict

from textcls.data.blocks import Reading, column_values
from textcls.data.frames import frame_of, values_of
from textcls.errors import DataError

COLUMNS: dict[str, list[Any]] = {
    "title": ["One", "Two", "Three"],
    "n": [1, 2, 3],
    "text": ["a good film", "", "bad ☂"],
    "label": ["pos", "neg", "neg"],
}


class OfArrow:
    """A table, or a column, of another library, which offers Arrow's interface alone."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._content.__arrow_c_stream__(requested_schema)


class OneBatch:
    def __init__(self, content: Any) -> None:
        self._content = content

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self._content.__arrow_c_array__(requested_schema)


def polars(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("polars", reason="polars is not installed").DataFrame(columns)


FRAMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "pandas with an index": lambda columns: pd.DataFrame(columns, index=[7] * len(next(iter(columns.values())))),
    "pandas of objects": lambda columns: pd.DataFrame(columns, dtype=object),
    "arrow": pa.table,
    "arrow in chunks": lambda columns: pa.concat_tables([pa.table(columns).slice(0, 1), pa.table(columns).slice(1)]),
    "arrow batch": lambda columns: pa.record_batch(columns),
    "another library": lambda columns: OfArrow(pa.table(columns)),
    "another library's batch": lambda columns: OneBatch(pa.record_batch(columns)),
    "dataset": Dataset.from_dict,
    "dictionary": dict,
    "dictionary of arrays": lambda columns: {name: np.array(values, object) for name, values in columns.items()},
    "polars": polars,
}


def texts(given: Any, *columns: str, **options: Any) -> list[str]:
    frame = frame_of(given)
    assert frame is not None
    return frame.texts(columns or ("text",), **options)


def refused(given: Any, *columns: str) -> str:
    with pytest.raises(DataError) as caught:
        texts(given, *columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", FRAMES)
class TestEveryKind:
    def test_the_text_column(self, kind: str) -> None:
        assert texts(FRAMES[kind](COLUMNS)) == COLUMNS["text"]

    def test_columns_are_joined_as_in_files(self, kind: str) -> None:
        assert texts(FRAMES[kind](COLUMNS), "text", "title") == ["a good film\nOne", "\nTwo", "bad ☂\nThree"]

    def test_the_only_column_is_the_text(self, kind: str) -> None:
        assert texts(FRAMES[kind]({"body": ["x", "y"]})) == ["x", "y"]

    def test_a_column_that_is_missing(self, kind: str) -> None:
        message = refused(FRAMES[kind](COLUMNS), "txet")
        assert "there is no column 'txet' (did you mean 'text'?); the columns are: 'title', 'n', 'text', 'label'" in message

    def test_text_stands_in_where_that_is_allowed(self, kind: str) -> None:
        assert texts(FRAMES[kind](COLUMNS), "body", or_text=True) == COLUMNS["text"]

    def test_a_missing_text_is_told_with_its_row(self, kind: str) -> None:
        assert refused(FRAMES[kind]({"text": ["x", None], "n": [1, 2]})).endswith(", row 2: 'text' is null")

    def test_all_columns_where_none_are_named(self, kind: str) -> None:
        frame = frame_of(FRAMES[kind](COLUMNS))
        assert frame is not None
        (block,) = frame.blocks(Reading())
        assert {name: column_values(column) for name, column in block.columns.items()} == COLUMNS
        assert block.texts == COLUMNS["text"]

    def test_no_rows(self, kind: str) -> None:
        given = FRAMES[kind]({"text": ["x"], "n": [1]})
        empty: Any = {name: [] for name in given} if isinstance(given, dict) else None
        if hasattr(given, "select") and isinstance(given, Dataset):
            empty = given.select([])
        elif empty is None and hasattr(given, "iloc"):
            empty = given.iloc[:0]
        elif empty is None and isinstance(given, OfArrow | OneBatch):
            empty = type(given)(given._content.slice(0, 0))
        elif empty is None:
            empty = given.slice(0, 0)
        assert texts(empty) == []


@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars"])
def test_a_column_of_numbers_is_no_text(kind: str) -> None:
    assert ": the column 'n' holds " in (message := refused(FRAMES[kind](COLUMNS), "n"))
    assert message.endswith(", not text; name the column of the text")


@pytest.mark.parametrize("kind", ["pandas of objects", "dictionary"])
def test_single_values_are_read_as_in_json(kind: str) -> None:
    assert texts(FRAMES[kind]({"text": ["x", 5, True, b"y"], "n": [1] * 4})) == ["x", "5", "true", "y"]
    assert refused(FRAMES[kind]({"text": ["x", ["y"]], "n": [1] * 2})).endswith("row 2: 'text' is not text but a list")


@pytest.mark.parametrize("missing", [float("nan"), pd.NA, pd.NaT, None], ids=str)
def test_every_word_for_a_missing_text(missing: Any) -> None:
    for given in (pd.DataFrame({"text": ["x", missing], "n": [1, 2]}, dtype=object), {"text": ["x", missing], "n": [1, 2]}):
        assert refused(given).endswith(", row 2: 'text' is null")
    assert refused(pd.DataFrame({"text": pd.array(["x", None], "string"), "n": [1, 2]})).endswith("row 2: 'text' is null")


def test_categories_are_texts() -> None:
    assert texts(pd.DataFrame({"text": pd.Categorical(["x", "y", "x"]), "n": [1, 2, 3]})) == ["x", "y", "x"]
    column = pa.array(["x", "y", "x"]).dictionary_encode()
    assert texts(pa.table({"text": column, "n": [1, 2, 3]})) == ["x", "y", "x"]


def test_names_that_are_numbers() -> None:
    assert texts(pd.DataFrame([["x", 1], ["y", 2]]), "0") == ["x", "y"]


def test_a_name_that_stands_twice() -> None:
    assert "two columns are named 'text'" in refused(pd.DataFrame([["x", "y"]], columns=["text", "text"]))
    assert texts(pd.DataFrame([["x", "y", "z"]], columns=["n", "n", "text"])) == ["z"]


def test_a_dictionary_with_columns_of_other_lengths() -> None:
    assert refused({"text": ["x"], "n": [1, 2]}) == (
        "the dictionary: the columns must have as many values each, and have: 'text' 1, 'n' 2"
    )
    assert refused({"text": "x y"}) == "column 'text' of the dictionary is one string: give a list"


def test_tables_that_cannot_be_read() -> None:
    class Lazy:
        columns = ("text",)

    with pytest.raises(DataError, match="a Lazy cannot be read: give a DataFrame of pandas or polars"):
        frame_of(Lazy())
    with pytest.raises(DataError, match=r"expected a datasets\.Dataset, not a DatasetDict; pass one of its splits"):
        frame_of(DatasetDict({"train": Dataset.from_dict(COLUMNS)}))
    with pytest.raises(DataError, match=r"expected a datasets\.Dataset, not a IterableDataset"):
        frame_of(Dataset.from_dict(COLUMNS).to_iterable_dataset())


def test_many_rows_come_in_blocks() -> None:
    rows = [str(n) for n in range(20_000)]
    for kind in ("pandas", "arrow", "dictionary", "dataset"):
        frame = frame_of(FRAMES[kind]({"text": rows, "n": rows}))
        assert frame is not None
        blocks = list(frame.blocks(frame.reading(("text",), block_rows=3000)))
        assert max(map(len, blocks)) <= 3000
        assert [text for block in blocks for text in block.texts] == rows
        assert [number for block in blocks for number in block.numbers] == list(range(1, 20_001))


@pytest.mark.parametrize(
    "column",
    [
        ["x", None],
        ("x", None),
        pd.Series(["x", None], index=[5, 5], dtype=object),
        pd.Series(["x", None], dtype="string"),
        pd.Index(["x", None], dtype=object),
        pd.array(["x", None], "string"),
        np.array(["x", None], object),
        pa.array(["x", None]),
        pa.chunked_array([["x"], [None]], pa.string()),
        OfArrow(pa.chunked_array([["x"], [None]], pa.string())),
        OneBatch(pa.array(["x", None])),
        iter(["x", None]),
    ],
    ids=lambda column: f"{type(column).__module__}.{type(column).__name__}",
)
def test_columns_that_stand_alone(column: Any) -> None:
    assert values_of(column, "texts") == ["x", None]


def test_a_series_of_polars() -> None:
    assert values_of(polars(COLUMNS)["text"], "texts") == COLUMNS["text"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("x", "texts is one string: give a list"),
        (b"x", "texts is one bytes: give a list"),
        ({"x"}, "texts is a set, which has no order: give a list"),
        (np.array([["x"]]), "texts is an array of 2 dimensions: give one of 1"),
        (np.array("x"), "texts is an array of 0 dimensions: give one of 1"),
        (3, "texts is a int: give a list"),
        (None, "texts is a NoneType: give a list"),
    ],
    ids=str,
)
def test_what_is_no_column(column: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        values_of(column, "texts")
    assert str(caught.value) == message


def test_numpys_values_become_pythons() -> None:
    assert [type(value) for value in values_of(np.array([np.str_("x"), np.int64(3)], object), "texts")] == [str, int]


def test_a_table_of_one_column_stands_for_it() -> None:
    assert values_of(pd.DataFrame({"w": [1, 2]}), "sample_weight") == [1, 2]
    with pytest.raises(DataError, match=r"^sample_weight is a DataFrame of 2 columns: give one of them$"):
        values_of(pd.DataFrame({"a": [1], "b": [2]}), "sample_weight")


def test_an_iterator_in_a_dictionary_is_refused() -> None:
    assert refused({"text": iter(["a"])}) == "column 'text' of the dictionary can be read once alone: give a list"


@pytest.mark.parametrize("type_", [pa.string_view(), pa.large_string(), pa.binary()])
def test_dictionaries_of_every_kind_of_text(type_: Any) -> None:
    values = pa.array([b"a", b"b"])
    words = values if type_ == pa.binary() else values.cast(pa.string()).cast(type_)
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), words)
    assert texts(pa.table({"text": words, "z": [1, 2, 3]}), "text") == ["a", "b", "a"]


def test_a_query_of_polars_is_no_table_yet() -> None:
    with pytest.raises(DataError, match=r"^a LazyFrame is a query and no table yet: give what its \.collect\(\) returns$"):
        frame_of(polars({"text": ["x"]}).lazy())
