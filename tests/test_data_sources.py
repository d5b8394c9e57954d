"""What a setting names: files, globs, packages, saved data sets and those of the hub."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from reading import put
from training_rows import read, refused

from textcls.config import DataSettings
from textcls.data import load_splits
from textcls.data.sources import resolve
from textcls.errors import InputError, MissingPackageError

TABLE = "text,label\nhello,a\nbye,b\n"


class TestNames:
    def test_missing_file(self, tmp_path: Path) -> None:
        put(tmp_path / "train.csv", TABLE)
        assert f"did you mean {tmp_path / 'train.csv'}?" in refused(str(tmp_path / "trian.csv"))

    def test_missing_folder(self, tmp_path: Path) -> None:
        assert f"the folder {tmp_path / 'no'} does not exist" in refused(str(tmp_path / "no" / "such" / "train.csv"))

    def test_links_to_nothing_are_called_so(self, tmp_path: Path) -> None:
        gone, loop = tmp_path / "a" / "gone.txt", tmp_path / "a" / "loop.txt"
        gone.parent.mkdir()
        for link, target in ((gone, "nowhere.txt"), (loop, "loop.txt")):
            link.symlink_to(target)
            for named in (str(link), f"{tmp_path}/a/*.txt", str(tmp_path)):
                assert refused(named) == f"{link}: is a link to nothing, or to itself"
            link.unlink()

    def test_name_that_is_too_long_for_a_file(self) -> None:
        assert "cannot be read" in refused("x" * 5000)

    def test_globs_are_sorted_named_from_their_folder_and_read_once(self, tmp_path: Path) -> None:
        for name in ["b/x.csv", "a/x.csv", "a/.x.csv"]:
            put(tmp_path / name, f"text,label\n{name},l\n")
        rows = read((f"{tmp_path}/**/*.csv", str(tmp_path / "a" / "x.csv")))
        assert rows.sources == ("a/x.csv", "b/x.csv")
        assert "no file matches" in refused(f"{tmp_path}/*.tsv")

    def test_equal_names_stay_apart(self, tmp_path: Path) -> None:
        rows = read(tuple(str(put(tmp_path / folder / "x.csv", TABLE)) for folder in "ab"))
        assert (rows.sources, rows.source.tolist()) == (("x.csv", "x.csv"), [0, 0, 1, 1])

    def test_name_with_brackets_is_no_glob(self, tmp_path: Path) -> None:
        assert len(read(put(tmp_path / "a[1].csv", TABLE))) == 2

    def test_empty_list(self) -> None:
        assert "empty" in refused(())

    def test_a_uri_names_one_file(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.csv", TABLE)
        assert read(path.as_uri()).texts == ["hello", "bye"]
        assert refused(tmp_path.as_uri()).endswith("is a folder; name its files")


class TestPackages:
    @pytest.fixture(autouse=True)
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "site/some_texts/__init__.py", "raise RuntimeError('imported')")
        put(tmp_path / "site/some_texts/data/train.csv", TABLE)
        put(tmp_path / "site/secret.csv", TABLE)
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
        assert "holds no data/test.csv" in refused("package:some_texts/data/test.csv")

    @pytest.mark.parametrize("path", ["some_texts/../secret.csv", "some_texts//etc", "../x", "a.b/c", ""])
    def test_path_outside(self, path: str) -> None:
        assert "inside the package" in refused(f"package:{path}")


class TestDatasets:
    FEATURES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})

    def dataset(self, labels: list[int]) -> datasets.Dataset:
        texts = [f"t{i}" for i in range(len(labels))]
        return datasets.Dataset.from_dict({"text": texts, "label": labels}, features=self.FEATURES)

    def test_saved_dictionary_gives_the_split_of_the_role(self, tmp_path: Path) -> None:
        saved = datasets.DatasetDict({"train": self.dataset([0, 1]), "dev": self.dataset([1])})
        saved.save_to_disk(str(tmp_path / "saved"))
        assert len(read(str(tmp_path / "saved"))) == 2
        assert read(str(tmp_path / "saved"), "validation").where(0) == "saved dev, row 1"
        assert "has no test split; its splits are: train, dev" in refused(str(tmp_path / "saved"), "test")

    def test_splits_that_no_setting_names_are_told(self, tmp_path: Path) -> None:
        saved = datasets.DatasetDict({"train": self.dataset([0, 1] * 20), "dev": self.dataset([1]), "test": self.dataset([0])})
        saved.save_to_disk(str(tmp_path / "saved"))
        place = str(tmp_path / "saved")
        told = "saved train: its data set has {0} rows, too, which are not read; name it as data.{0} to use them"
        alone = load_splits(DataSettings(train=place)).notes
        assert [note for note in alone if "too, which" in note] == [told.format("validation"), told.format("test")]
        assert not any(
            "too, which" in note for note in load_splits(DataSettings(train=place, validation=place, test=place)).notes
        )
        assert not any("too, which" in note for note in load_splits(DataSettings(train=f"{place}/train")).notes)

    def test_saved_single(self, tmp_path: Path) -> None:
        self.dataset([0, 1]).save_to_disk(str(tmp_path / "saved"))
        assert read(str(tmp_path / "saved"), "test").labels == ["neg", "pos"]

    def test_damaged_folder(self, tmp_path: Path) -> None:
        self.dataset([0, 1]).save_to_disk(str(tmp_path / "saved"))
        (tmp_path / "saved" / "state.json").write_text("{")
        assert "cannot be read as a saved data set" in refused(str(tmp_path / "saved"))

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
        told = refused("hub:o/n")
        assert told == "hub:o/n: cannot be loaded: no network; check the name and the network, or name local files instead"
        assert "write it as hub:" in refused("hub:")


def test_a_named_pipe_among_the_texts_of_a_class_is_refused(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "1.txt").write_text("a text")
    os.mkfifo(tmp_path / "set" / "a" / "2.txt")
    with pytest.raises(InputError, match=r"2\.txt: is no regular file"):
        resolve(str(tmp_path / "set"), "train")
