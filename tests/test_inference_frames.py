"""Tables in memory come back as they were, with the columns that classifying a file adds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from helpers import tiny_artifact
from pyarrow import parquet
from test_data_frames import FRAMES

from textcls.artifact import Artifact
from textcls.data.labels import Label
from textcls.errors import DataError, InputError
from textcls.inference import Predictor, classify_files

TEXTS = ["a b", "", "b c a", "c c c"]
COLUMNS: dict[str, list[Any]] = {"n": [1, 2, 3, 4], "text": TEXTS, "label": ["x", "y", "z", "x"]}


def predictor(*labels: Label, **changes: Any) -> Predictor:
    return Predictor.from_artifact(tiny_artifact(TEXTS, labels=labels or ("no", "yes", "maybe"), **changes))


def many() -> Predictor:
    plain = tiny_artifact(TEXTS, temperature=1.0)
    return Predictor.from_artifact(
        Artifact(plain.config, plain.vocabulary, plain.labels, plain.weights, 1.0, many=True, thresholds=(0.5, 0.4, 0.9))
    )


def plain(table: Any) -> dict[str, list[Any]]:
    """A table as a dictionary of lists."""
    if hasattr(table, "iloc"):
        return {
            str(name): [None if value is None or value != value else value for value in table[name]] for name in table.columns
        }
    if isinstance(table, dict):
        return {name: list(values) for name, values in table.items()}
    if isinstance(table, Dataset):
        return dict(table.to_dict())
    return dict(pa.table(table).to_pydict())


OPTIONS: list[dict[str, Any]] = [{}, {"top_k": 2}, {"all_scores": True}, {"min_confidence": 0.5, "unsure_label": "?"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", FRAMES)
def test_it_gives_what_classifying_a_file_gives(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    given = FRAMES[kind](COLUMNS)
    before = plain(given) if hasattr(given, "iloc") or isinstance(given, dict) else None
    model = predictor()
    found = model.classify(given, **options)
    parquet.write_table(pa.table(COLUMNS), tmp_path / "in.parquet")
    classify_files(model, [tmp_path / "in.parquet"], tmp_path / "out.parquet", **options)
    expected = parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert list(plain(found)) == list(expected)
    assert plain(found) == expected
    assert list(expected)[:5] == ["n", "text", "input_label", "label", "confidence"]
    assert before is None or plain(given) == before


@pytest.mark.parametrize("kind", FRAMES)
def test_it_comes_back_as_it_was(kind: str) -> None:
    given = FRAMES[kind](COLUMNS)
    found = predictor().classify(given)
    same = type(given) if kind.startswith(("pandas", "arrow", "dataset", "dictionary", "polars")) else pa.Table
    assert type(found) is (pa.Table if kind == "arrow batch" else same)


def test_the_index_of_pandas_is_kept() -> None:
    index = pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2), ("c", 3)], names=["k", "m"])
    frame = pd.DataFrame(COLUMNS, index=index)
    found = predictor().classify(frame)
    pd.testing.assert_index_equal(found.index, index)
    pd.testing.assert_series_equal(found["n"], frame["n"])
    assert list(frame.columns) == list(COLUMNS)


def test_other_names_of_columns_are_kept() -> None:
    frame = pd.DataFrame([[1, 2, "a"], [3, 4, "b"]], columns=["twice", "twice", 7])
    found = predictor().classify(frame, text="7")
    assert list(found.columns) == ["twice", "twice", 7, "label", "confidence", "note", "error"]


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pa.table, Dataset.from_dict, dict], ids=["pandas", "arrow", "dataset", "dictionary"]
)
@pytest.mark.parametrize("labels", [("no", "yes"), (1, 2), (True, False)], ids=str)
def test_a_row_without_a_text_has_an_error_and_no_label(make: Callable[..., Any], labels: tuple[Label, ...]) -> None:
    found = plain(predictor(*labels).classify(make({"text": ["a", None, ""], "n": [1, 2, 3]})))
    assert found["error"] == [None, "'text' is null", None]
    assert found["note"] == [None, None, "empty"]
    assert found["label"][1] is None
    assert found["confidence"][1] is None
    assert {type(label) for label in (found["label"][0], found["label"][2])} == {type(labels[0])}


@pytest.mark.parametrize("kind", FRAMES)
def test_many_labels_are_lists(kind: str) -> None:
    found = plain(many().classify(FRAMES[kind](COLUMNS)))
    labels = [list(value) for value in found["labels"]]
    probabilities = many().predict(TEXTS).probabilities
    assert [sorted(some) for some in labels] == [
        sorted(np.array(("no", "yes", "maybe"))[row >= (0.5, 0.4, 0.9)].tolist()) for row in probabilities
    ]
    assert [len(some) for some in found["confidences"]] == list(map(len, labels))


@pytest.mark.parametrize("kind", FRAMES)
def test_blocks_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = plain(predictor().classify(FRAMES[kind](COLUMNS)))
    monkeypatch.setattr("textcls.inference.answers._MOST_ROWS", 3)
    assert plain(predictor().classify(FRAMES[kind](COLUMNS))) == expected


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table, dict], ids=["pandas", "arrow", "dictionary"])
def test_no_rows(make: Callable[..., Any]) -> None:
    columns: Any = {"text": pa.array([], pa.string())} if make is pa.table else {"text": []}
    found = plain(predictor().classify(make(columns)))
    assert found == {name: [] for name in ("text", "label", "confidence", "note", "error")}


@pytest.mark.parametrize("given", [["a", "b"], "a", pd.Series(["a"]), np.array(["a"]), None], ids=str)
def test_what_is_no_table_is_refused(given: Any) -> None:
    with pytest.raises(DataError, match=r"classify gives a table back, and a \w+ is none: give one, or call predict"):
        predictor().classify(given)


def test_arguments_are_checked() -> None:
    with pytest.raises(InputError, match="must be a whole number, at least 1, not 0"):
        predictor().classify(COLUMNS, top_k=0)
    for given in (COLUMNS, {"text": TEXTS}):
        with pytest.raises(DataError, match="there is no column 'body'"):
            predictor().classify(given, text="body")


def test_no_column_is_written_over() -> None:
    frame = pd.DataFrame([["a", "b", "c", "d"]], columns=["text", "note", "note", "input_note"])
    found = predictor().classify(frame)
    assert list(found.columns) == ["text", "input_input_note", "note.2", "input_note", "label", "confidence", "note", "error"]
    assert found.iloc[0, :4].tolist() == ["a", "b", "c", "d"]
    table = predictor().classify(pa.Table.from_arrays([pa.array([c]) for c in "abcd"], names=list(frame.columns)))
    assert table.column_names == list(found.columns)


def test_the_columns_that_the_model_learned_from() -> None:
    model = predictor()
    model.record = {**model.record, "data": {"text": ["title", "body"]}}
    both = model.classify({"title": ["a"], "body": ["b"], "text": ["c"]})
    assert both["confidence"][0] == pytest.approx(model.predict(["a\nb"]).probabilities.max(), abs=1e-6)
    other = model.classify({"title": ["a"], "text": ["c"]})
    assert other["confidence"][0] == pytest.approx(model.predict(["c"]).probabilities.max(), abs=1e-6)


def test_a_reader_is_read_once() -> None:
    table = pa.table({"text": ["good film", "bad"], "n": [1, 2]})
    found = predictor("neg", "pos").classify(table.to_reader())
    assert found.column_names[:3] == ["text", "n", "label"]
    assert found.equals(predictor("neg", "pos").classify(table))


def test_the_confidences_of_pandas_are_numbers_where_a_row_has_none() -> None:
    found = predictor("neg", "pos").classify(pd.DataFrame({"text": ["good film", None]}))
    assert found["confidence"].dtype == np.float64
    assert found["confidence"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    "options",
    [{"top_k": "2"}, {"top_k": 1.5}, {"top_k": True}, {"min_confidence": "a"}, {"min_confidence": True}, {"all_scores": "no"}],
)
def test_arguments_of_other_types_are_one_line(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"must be a whole number|is a probability|^all_scores is 'no': give True or False"):
        predictor("neg", "pos").classify(pd.DataFrame({"text": ["x"]}), **options)
