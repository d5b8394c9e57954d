"""Labels in every spelling, and those that are refused because they would mean something else than they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from reading import put
from training_rows import jsonl, read, refused, table

NAMES = ["bad", "good"]
HINT = "or name columns of 0 and 1, as data.labels: [a, b]"


class TestOneLabel:
    def test_types_are_kept(self, tmp_path: Path) -> None:
        labels = read(jsonl(tmp_path / "a.jsonl", "1", 1, True, 0.5, "x")).labels
        assert list(map(repr, labels)) == ["'1'", "1", "True", "0.5", "'x'"]

    def test_whole_floats_are_integers(self, tmp_path: Path) -> None:
        labels = read(jsonl(tmp_path / "a.jsonl", 1, 1.0, -0.0, 1e300, 2.5)).labels
        assert list(map(repr, labels)) == ["1", "1", "0", "1e+300", "2.5"]
        parquet.write_table(pa.table({"text": ["x", "y"], "label": pa.array([1, 2], pa.float32())}), tmp_path / "a.parquet")
        assert list(map(repr, read(tmp_path / "a.parquet").labels)) == ["1", "2"]

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            ({"a": 1}, "is an object; for several labels a text set data.labels"),
            (["a"], "is a list; for several labels a text set data.labels"),
        ],
    )
    def test_what_is_no_label(self, tmp_path: Path, value: Any, fault: str) -> None:
        path = jsonl(tmp_path / "a.jsonl", "a", value)
        assert refused(path) == f"{path}, row 2: the label in column 'label' {fault}"

    def test_a_date_is_no_label(self, tmp_path: Path) -> None:
        parquet.write_table(pa.table({"text": ["x"], "label": pa.array([1], pa.date32())}), tmp_path / "a.parquet")
        assert refused(tmp_path / "a.parquet").endswith("row 1: the label in column 'label' is a date")

    def test_lone_surrogates_become_replacement_characters(self, tmp_path: Path) -> None:
        assert read(jsonl(tmp_path / "a.jsonl", "\ud800a", "b")).labels == ["\ufffda", "b"]


class TestBlanks:
    VALUES = (" a", "a", "b\u00a0", "b b")

    def test_they_are_stripped_and_noted(self, tmp_path: Path) -> None:
        rows = read(table(tmp_path / "a.csv", *self.VALUES))
        assert rows.labels == ["a", "a", "b", "b b"]
        assert rows.notes == ("labels with blanks around them, stripped: ' a' (1), 'b\\xa0' (1)",)
        assert rows.report is not None
        assert rows.report.stripped == {" a": 1, "b\u00a0": 1}

    def test_or_kept(self, tmp_path: Path) -> None:
        rows = read(table(tmp_path / "a.csv", *self.VALUES), strip_labels=False)
        assert (list(rows.labels), rows.notes) == (list(self.VALUES), ())

    def test_in_lists(self, tmp_path: Path) -> None:
        path = jsonl(tmp_path / "a.jsonl", [" a", "b "], {" a": 1})
        assert read(path, labels="label").labels == [["a", "b"], ["a"]]
        assert read(path, labels="label", strip_labels=False).labels == [[" a", "b "], [" a"]]


class TestMissing:
    VALUES = (None, "a", "", float("nan"), "  ")

    def test_the_error_gives_count_and_first_rows(self, tmp_path: Path) -> None:
        assert refused(jsonl(tmp_path / "a.jsonl", *self.VALUES)) == (
            "4 rows without a label in column 'label' (a.jsonl, row 1; a.jsonl, row 3; a.jsonl, row 4; …); "
            "fill them in, or set data.missing_labels to skip (--missing-labels skip) to leave such rows out"
        )
        assert refused(table(tmp_path / "a.csv", "a", "")).startswith(
            "1 row without a label in column 'label' (a.csv, row 3); fill"
        )

    def test_they_are_left_out_and_noted(self, tmp_path: Path) -> None:
        rows = read(jsonl(tmp_path / "a.jsonl", *self.VALUES), missing_labels="skip")
        assert (list(rows.texts), list(rows.labels), rows.where(0)) == (["t1"], ["a"], "a.jsonl, row 2")
        noted = "4 rows without a label in column 'label', left out (a.jsonl, row 1; a.jsonl, row 3; a.jsonl, row 4; …)"
        assert rows.notes == (noted,)
        assert rows.report is not None
        assert rows.report.missing == 4

    def test_they_are_counted_over_all_files(self, tmp_path: Path) -> None:
        paths = [str(table(tmp_path / name, "", "a")) for name in ("a.csv", "b.csv")]
        assert refused(paths).startswith("2 rows without a label in column 'label' (a.csv, row 2; b.csv, row 2); ")

    def test_some_row_has_a_label(self, tmp_path: Path) -> None:
        path = jsonl(tmp_path / "a.jsonl", None, None)
        assert refused(path, missing_labels="skip").endswith("(a.jsonl, row 1; a.jsonl, row 2), and none with one")

    def test_a_key_that_a_row_lacks(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", '{"text": "x", "label": "a"}\n{"text": "y"}\n')
        assert read(path, missing_labels="skip").texts == ["x"]
        path = put(tmp_path / "b.jsonl", '{"text": "x", "label": ["a"]}\n{"text": "y"}\n')
        assert read(path, labels="label", missing_labels="skip").texts == ["x"]

    def test_a_text_without_labels_has_none_missing(self, tmp_path: Path) -> None:
        assert read(jsonl(tmp_path / "a.jsonl", None, [], ["a"]), labels="label").labels == [[], [], ["a"]]
        assert read(table(tmp_path / "a.csv", "", "[]", "{}", "a"), labels="label").labels == [[], [], [], ["a"]]


class TestClassNumbers:
    @pytest.mark.parametrize("names", [["yes", "no"], ["1", "0"], ["True", "False"], ["no", "yes"], ["0", "1"]])
    def test_in_columns_of_0_and_1(self, tmp_path: Path, names: list[str]) -> None:
        has = names.index(next(name for name in names if name in {"yes", "1", "True"}))
        columns = {"text": ["x", "y", "z"], "plain": [1, 0, 1], "class": [has, 1 - has, -1]}
        features = {"class": {"names": names, "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "a.parquet")
        rows = read(tmp_path / "a.parquet", labels=("plain", "class"), missing_labels="skip")
        assert rows.labels == [["plain", "class"], []]

    def test_other_names_in_columns_of_0_and_1_are_refused(self, tmp_path: Path) -> None:
        metadata = {"huggingface": json.dumps({"info": {"features": {"a": {"names": NAMES, "_type": "ClassLabel"}}}})}
        parquet.write_table(pa.table({"text": ["x"], "a": [1]}).replace_schema_metadata(metadata), tmp_path / "a.parquet")
        assert "row 1: the value of the label 'a' is 'good'; it must be 0 or 1" in refused(
            tmp_path / "a.parquet", labels=("a",)
        )

    def write(self, path: Path, labels: pa.Array) -> Path:
        features = {"label": {"names": NAMES, "_type": "ClassLabel"}}
        if pa.types.is_list(labels.type):
            features = {"label": {"feature": features["label"], "_type": "List"}}  # type: ignore[dict-item]
        texts = [f"t{row}" for row in range(len(labels))]
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        parquet.write_table(pa.table({"text": texts, "label": labels}).replace_schema_metadata(metadata), path)
        return path

    @pytest.mark.parametrize("type_", [pa.int64(), pa.int8(), pa.float64()])
    def test_they_become_names(self, tmp_path: Path, type_: pa.DataType) -> None:
        assert read(self.write(tmp_path / "a.parquet", pa.array([1, 0], type_))).labels == ["good", "bad"]

    def test_in_lists(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.parquet", pa.array([[1, 0], [0, 1], [], None]))
        assert read(path, labels="label").labels == [["good", "bad"], ["bad", "good"], [], []]

    def test_one_where_many_may_be(self, tmp_path: Path) -> None:
        assert read(self.write(tmp_path / "a.parquet", pa.array([1, 0])), labels="label").labels == [["good"], ["bad"]]

    @pytest.mark.parametrize(("labels", "column"), [([1, -1], "label"), ([[1], [-1]], "labels"), ([[1], [0, -1]], "labels")])
    def test_minus_one_is_missing(self, tmp_path: Path, labels: Any, column: str) -> None:
        path = self.write(tmp_path / "a.parquet", pa.array(labels))
        assert refused(path, **{column: "label"}).startswith("1 row without a label in column 'label' (a.parquet, row 2)")
        assert len(read(path, missing_labels="skip", **{column: "label"})) == 1

    @pytest.mark.parametrize("number", [2, -2])
    @pytest.mark.parametrize("many", [False, True])
    def test_a_number_without_a_name_is_refused(self, tmp_path: Path, many: bool, number: int) -> None:
        path = self.write(tmp_path / "a.parquet", pa.array([[0], [number]] if many else [0, number]))
        fault = f"row 2: the label in column 'label' is {number}, but its 2 classes have the numbers from 0 to 1"
        assert refused(path, **{"labels" if many else "label": "label"}).endswith(fault)

    def test_a_text_in_their_place_stays(self, tmp_path: Path) -> None:
        assert read(self.write(tmp_path / "a.parquet", pa.array(["0", "good"]))).labels == ["0", "good"]

    def test_a_name_with_a_comma_is_one_label(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(f"{__name__}.NAMES", ["bad", "good, or so"])
        assert read(self.write(tmp_path / "a.parquet", pa.array([1, 0])), labels="label").labels == [["good, or so"], ["bad"]]


class TestLists:
    @pytest.mark.parametrize(
        ("value", "labels"),
        [
            ("", []),
            ("a", ["a"]),
            ("a;b", ["a", "b"]),
            ("a | b", ["a", "b"]),
            ('["a, b", 2]', ["a, b", 2]),
            ("['a', 'b']", ["a", "b"]),
            ("['a' 'b']", ["a", "b"]),
            ('{"a": 1, "b": 0}', ["a"]),
            ("{'a': 0.0, 'b': 1.0, 'c': True}", ["b", "c"]),
        ],
    )
    def test_as_text(self, tmp_path: Path, value: str, labels: list[object]) -> None:
        assert read(table(tmp_path / "a.csv", value, column="tags"), labels="tags").labels == [labels]

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            ("['a'", 'are no JSON list, such as ["a", "b"]'),
            ("[a, b]", 'are no JSON list, such as ["a", "b"]'),
            ("a;;b", "a label in column 'tags' is missing"),
            ("a,", "a label in column 'tags' is missing"),
            ("[null]", "a label in column 'tags' is missing"),
            ("[nan]", "a label in column 'tags' is missing"),
            ('[{"a": 1}]', "the label in column 'tags' is an object"),
            ("[[1]]", "the label in column 'tags' is a list"),
        ],
    )
    def test_bad_text(self, tmp_path: Path, value: str, fault: str) -> None:
        path = table(tmp_path / "a.csv", value, column="tags")
        found = refused(path, labels="tags")
        assert found.startswith(f"{path}, row 2: ")
        assert found.endswith(fault)

    def test_a_label_may_hold_a_separator_in_a_list(self, tmp_path: Path) -> None:
        assert read(jsonl(tmp_path / "a.jsonl", ["a, b"], ["c;d", "e|f"]), labels="label").labels == [["a, b"], ["c;d", "e|f"]]

    @pytest.mark.parametrize("value", [["a", "b", "a"], [" a", "a"], ["1", 1], {"a": 1, " a": 1}])
    def test_each_label_once(self, tmp_path: Path, value: Any) -> None:
        assert "twice; " in refused(jsonl(tmp_path / "a.jsonl", value), labels="label")

    def test_of_what_is_long_the_start_is_told(self, tmp_path: Path) -> None:
        long = int("9" * 400)
        path = jsonl(tmp_path / "a.jsonl", [long, long])
        assert refused(path, labels="label").endswith(
            f"row 1: the labels in column 'label' name '{'9' * 59}…' twice; name each once"
        )
        path = jsonl(tmp_path / "a.jsonl", str(long))
        assert refused(path, labels=("label",)).endswith(f"the label 'label' is '{'9' * 59}…'; it must be 0 or 1")

    def test_an_object_that_names_a_label_twice(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", '{"text": "x", "label": {"a": 1, "b": 0, "a": 0}}\n')
        assert refused(path, labels="label").endswith("row 1: the labels in column 'label' name 'a' twice; name each once")
        path = table(tmp_path / "a.csv", '{"a": 1, "a": 0}')
        assert refused(path, labels="label").endswith("row 2: the labels in column 'label' name 'a' twice; name each once")

    @pytest.mark.parametrize(("value", "words"), [(3, "a number"), (True, "true or false")])
    def test_a_number_alone_is_no_list(self, tmp_path: Path, value: Any, words: str) -> None:
        fault = f"the labels in column 'label' are {words}, not a list"
        assert refused(jsonl(tmp_path / "a.jsonl", value), labels="label").endswith(fault)

    def test_arrow_types(self, tmp_path: Path) -> None:
        strings = pa.array(["a", "b", "a"])
        for number, values in enumerate((strings, strings.dictionary_encode(), strings.cast(pa.binary()))):
            path = tmp_path / f"{number}.parquet"
            lists = pa.ListArray.from_arrays([0, 2, 2, 3], values)
            parquet.write_table(pa.table({"text": ["x", "y", "z"], "tags": lists}), path)
            assert read(path, labels="tags").labels == [["a", "b"], [], ["a"]]
        bad = pa.ListArray.from_arrays([0, 1], pa.array([b"\xff"]))
        parquet.write_table(pa.table({"text": ["x"], "tags": bad}), tmp_path / "bad.parquet")
        fault = "row 1: the label in column 'tags' is bytes that are not UTF-8 text"
        assert refused(tmp_path / "bad.parquet", labels="tags").endswith(fault)


class TestObjects:
    def test_labels_with_one_or_true(self, tmp_path: Path) -> None:
        values = [{"a": 1.0, "b": 0.0}, {"a": False, "b": True}, {"a": "1", "b": "0"}, {}, {"a": 1}]
        assert read(jsonl(tmp_path / "a.jsonl", *values), labels="label").labels == [["a"], ["b"], ["a"], [], ["a"]]

    def test_null_is_what_an_object_does_not_name(self, tmp_path: Path) -> None:
        """Where rows have one type, as in Parquet, the labels that only others name are null."""
        values = [{"a": 1, "b": None}, {"b": 1}, None]
        parquet.write_table(pa.table({"text": ["x", "y", "z"], "label": values}), tmp_path / "a.parquet")
        for path in (tmp_path / "a.parquet", jsonl(tmp_path / "a.jsonl", *values)):
            assert read(path, labels="label").labels == [["a"], ["b"], []]

    @pytest.mark.parametrize("value", [0.7, 2, -1, "yes", float("nan"), [1], {"a": 1}])
    def test_other_values_are_refused(self, tmp_path: Path, value: Any) -> None:
        found = refused(jsonl(tmp_path / "a.jsonl", {"a": value}), labels="label")
        assert found.endswith(f"row 1: the value of the label 'a' is {value!r}; it must be 0 or 1")

    def test_names_that_are_0_and_1(self, tmp_path: Path) -> None:
        values = [{"0": 1, "1": 1}, {"0": 1, "1": 1}]
        assert read(jsonl(tmp_path / "a.jsonl", *values), labels="label").labels == [["0", "1"], ["0", "1"]]


ONE_HOT = [
    ("[1, 0]", "[0, 1]"),
    ("[1, 0]", "[0, 1]", "[]"),
    ("[1, 0]", "[0, 0]"),
    ("[1, 0, 1]", "[0, 1, 0]"),
    ("[0. 1. 1.]", "[1. 0. 0.]"),
    ("[0 1]", "[1 0]"),
    ("[1.0, 0.0]", "[0.0, 1.0]"),
    ("1,0,1", "0,1,0"),
    ("1;0", "0;1"),
    ("1 0", "0 1"),
    ("(1, 0)", "(0, 1)"),
    ("[True, False]", "[False, True]"),
    ("[true, false]", "[false, true]"),
    ("[ True False]", "[False  True]"),
    ("True,False", "False,True"),
    ('["1", "0"]', '["0", "1"]'),
]


class TestOneHot:
    @pytest.mark.parametrize("values", ONE_HOT, ids=str)
    def test_lists_of_0_and_1_are_refused(self, tmp_path: Path, values: tuple[str, ...]) -> None:
        found = refused(table(tmp_path / "a.csv", *values), labels="label")
        assert "0 or 1 for each label" in found
        assert found.endswith(HINT)

    @pytest.mark.parametrize("type_", [pa.int8(), pa.float32(), pa.bool_()])
    @pytest.mark.parametrize("width", [2, 3])
    def test_in_parquet(self, tmp_path: Path, width: int, type_: pa.DataType) -> None:
        values = pa.array([[1, 0, 1], [0, 1, 1]]).flatten().cast(type_)
        lists = pa.FixedSizeListArray.from_arrays(values, width)
        parquet.write_table(pa.table({"text": ["x"] * len(lists), "tags": lists}), tmp_path / "a.parquet")
        assert refused(tmp_path / "a.parquet", labels="tags").endswith(HINT)

    @pytest.mark.parametrize("values", [([0, 1], [0], [1]), ([1, 0], [2]), ([1, 0], ["1", "2"]), ([1], [0]), ([0, 1],)])
    def test_labels_that_are_0_and_1_are_read(self, tmp_path: Path, values: tuple[list[Any], ...]) -> None:
        assert read(jsonl(tmp_path / "a.jsonl", *values), labels="label").labels == list(values)


class TestColumns:
    LABELS = ("a", "b")

    @pytest.mark.parametrize("values", ["1,0\ny,0,1", "1.0,0.0\ny,0.0,1.0", "True,FALSE\ny,false,true", " 1 ,0\ny,0, 1"])
    def test_they_are_the_labels(self, tmp_path: Path, values: str) -> None:
        assert read(put(tmp_path / "a.csv", f"text,a,b\nx,{values}\n"), labels=self.LABELS).labels == [["a"], ["b"]]

    @pytest.mark.parametrize("value", ["0.7", "3", "yes"])
    def test_other_values_are_refused(self, tmp_path: Path, value: str) -> None:
        found = refused(put(tmp_path / "a.csv", f"text,a,b\nx,{value},0\n"), labels=self.LABELS)
        assert found.endswith(f"row 2: the value of the label 'a' is {value!r}; it must be 0 or 1")

    @pytest.mark.parametrize("values", [",1", "-1,-1", "-1.0,0"])
    def test_a_row_with_one_missing(self, tmp_path: Path, values: str) -> None:
        path = put(tmp_path / "a.csv", f"text,a,b\nx,{values}\ny,0,1\n")
        assert refused(path, labels=self.LABELS).startswith("1 row without a label in column 'a' or 'b' (a.csv, row 2); ")
        assert read(path, labels=self.LABELS, missing_labels="skip").labels == [["b"]]

    def test_types(self, tmp_path: Path) -> None:
        columns = {
            "text": ["x", "y"],
            "a": [True, False],
            "b": pa.array([0, 1], pa.float32()),
            "c": pa.array([0, 1], pa.int8()),
        }
        parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet", labels=("a", "b", "c")).labels == [["a"], ["b", "c"]]
