"""What rows weigh in training: a column of numbers from 0 on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from reading import put
from training_rows import read, refused

from textcls.config import DataSettings
from textcls.data import load_splits

CSV = "text,label,w\none,a,2\ntwo,b,0.5\nthree,a,0\n"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "dataset"])
def test_weights_stand_beside_their_rows(tmp_path: Path, kind: str) -> None:
    columns: dict[str, Any] = {"text": ["one", "two", "three"], "label": ["a", "b", "a"], "w": [2, 0.5, 0]}
    source: Any = tmp_path / f"a.{kind}"
    if kind == "csv":
        put(source, CSV)
    elif kind == "jsonl":
        put(
            source, "".join(f'{{"text": "{t}", "label": "{y}", "w": {w}}}\n' for t, y, w in zip(*columns.values(), strict=True))
        )
    elif kind == "parquet":
        parquet.write_table(pa.table(columns), source)
    else:
        source = datasets.Dataset.from_dict(columns)
    rows = read(source, weight="w")
    assert rows.weights is not None
    assert rows.weights.dtype == np.float64
    assert rows.weights.tolist() == [2, 0.5, 0]
    assert rows.select([2, 0]).weights.tolist() == [0, 2]  # type: ignore[union-attr]
    assert rows.notes == ("weights in column 'w': from 0 to 2; 1 row weighs nothing",)
    assert read(source).weights is None


def test_rows_without_a_label_are_left_out_with_their_weights(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label,w\none,a,1\ntwo,,2\nthree,b,3\n")
    assert read(path, weight="w", missing_labels="skip").weights.tolist() == [1, 3]  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["-1", "-0.5", "nan", "inf", "-inf", "heavy", "", "true", "1e999", "1_0"])
def test_what_is_no_weight_is_told_with_file_and_row(tmp_path: Path, value: str) -> None:
    path = put(tmp_path / "a.csv", f"text,label,w\none,a,1\ntwo,b,{value}\n")
    assert refused(path, weight="w") == (
        f"{path}, row 3: the weight in column 'w' is {value!r}; it must be a number, 0 or more"
    )


@pytest.mark.parametrize("value", ["null", "true", "[1]", '{"a": 1}', "NaN", "-2"])
def test_what_is_no_weight_in_json(tmp_path: Path, value: str) -> None:
    path = put(tmp_path / "a.jsonl", f'{{"text": "one", "label": "a", "w": {value}}}\n')
    assert refused(path, weight="w").startswith(f"{path}, row 1: the weight in column 'w' is ")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", CSV)
    assert "there is no column 'weight' (did you mean" in refused(put(path, CSV.replace("w\n", "weigth\n")), weight="weight")


def test_sources_without_columns_have_no_weights(tmp_path: Path) -> None:
    lines = put(tmp_path / "a.txt", "__label__a one\n")
    for label in "ab":
        put(tmp_path / "classes" / label / "one.txt", "one")
    for path in (lines, tmp_path / "classes"):
        assert refused(path, weight="w") == f"{path}: has no columns, so none of weights; leave out data.weight"


def test_only_the_training_rows_need_weights(tmp_path: Path) -> None:
    put(tmp_path / "train.csv", CSV)
    for name in ("validation", "test"):
        put(tmp_path / f"{name}.csv", "text,label\nfour,a\n")
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("train", "validation", "test")}
    splits = load_splits(DataSettings(weight="w", **paths))
    assert splits.train.weights is not None
    assert splits.validation is not None
    assert splits.validation.weights is None
    assert read(paths["test"], "test", weight="w").weights is None


def test_weights_follow_their_rows_through_a_cut(tmp_path: Path) -> None:
    lines = "".join(f"text {n},{'ab'[n % 2]},{n}\n" for n in range(40))
    path = put(tmp_path / "a.csv", f"text,label,w\n{lines}")
    train = load_splits(DataSettings(train=str(path), weight="w", validation_share=0.25)).train
    assert train.weights is not None
    assert [f"text {int(weight)}" for weight in train.weights] == list(train.texts)
