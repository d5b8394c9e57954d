"""The texts that exports are compared on: of the run's validation split only where they are the very rows that it recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TinyRun, write_csv
from helpers import tiny_artifact

from textcls.artifact import read_artifact, write_artifact
from textcls.config import Config, load_config
from textcls.data import Rows, load_splits, read_labelled
from textcls.exports import export, onnx_file
from textcls.exports.texts import drawn_texts, real_texts, validation_rows
from textcls.training.run_log import write_split_record

ARTIFACT = tiny_artifact(labels=("no", "yes"))
ROWS = [(f"text {number}", "yes" if number % 2 else "no") for number in range(40)]


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_texts, "__defaults__", (20,))
    monkeypatch.setattr(onnx_file, "LONG_TEXT_TOKENS", 1200)


def write_run(folder: Path, **data: Any) -> Path:
    """Write what a run leaves of its data, and a model; return the model folder."""
    config = Config().replace({f"data.{name}": value for name, value in data.items()})
    write_artifact(ARTIFACT, folder / "model", "")
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    write_split_record(folder / "splits.json", load_splits(config.data))
    return folder / "model"


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """The model folder of a run that cut 10 of 40 rows for validation."""
    write_csv(tmp_path / "train.csv", ROWS)
    return write_run(tmp_path / "run", train=str(tmp_path / "train.csv"), validation_share=0.25)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """The model folder of a run with a validation file, and test rows that it cut from train."""
    write_csv(tmp_path / "train.csv", ROWS)
    write_csv(tmp_path / "held.csv", [("one", "no"), ("two", "yes"), ("one", "no")])
    paths = {name: str(tmp_path / f"{name}.csv") for name in ("train", "held")}
    return write_run(tmp_path / "run", train=paths["train"], validation=paths["held"], test_share=0.25)


def change_record(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = model.parent / "splits.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def check_drawn(model: Path, reason: str) -> None:
    texts, source = real_texts(ARTIFACT, model, None)
    assert source == f"texts drawn from the vocabulary ({reason})"
    assert texts == drawn_texts(ARTIFACT)
    assert validation_rows(model) is None


def test_the_rows_that_a_run_recorded_are_taken(tiny_run: TinyRun, tmp_path: Path) -> None:
    record = json.loads((tiny_run.folder / "splits.json").read_text(encoding="utf-8"))
    everything = read_labelled(tiny_run.train, load_config(tiny_run.folder / "config.yaml").data)
    expected = [everything.texts[index] for index in record["cut_from_train"]["validation"]]
    artifact, source = read_artifact(tiny_run.model), f"{len(expected)} texts of the run's validation split"
    assert len(expected) == record["rows"]["validation"] > 10
    assert real_texts(artifact, tiny_run.model, None) == (expected, source)
    report = export(tiny_run.model, tmp_path / "out.onnx", quantize="int8")
    assert report.source == source
    assert report.int8 is not None
    assert report.int8.rows == len(expected)


def test_rows_are_not_cut_anew(cut: Path) -> None:
    def another_cut(record: dict[str, Any]) -> None:
        record["cut_from_train"] = {"train": [*range(30)], "validation": [*range(39, 29, -1)]}

    change_record(cut, another_cut)
    texts, source = real_texts(ARTIFACT, cut, None)
    assert (texts, source) == ([f"text {row}" for row in range(39, 29, -1)], "10 texts of the run's validation split")
    rows = validation_rows(cut)
    assert isinstance(rows, Rows)
    assert list(rows.texts) == texts
    assert rows.single_labels == ["yes", "no"] * 5


def test_no_more_texts_than_are_compared(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.exports.texts.MOST_TEXTS", 3)
    texts, source = real_texts(ARTIFACT, cut, None)
    assert (len(texts), source) == (3, "3 texts of the run's validation split")


def test_a_validation_file_is_taken_whole(given: Path) -> None:
    assert real_texts(ARTIFACT, given, None) == (["one", "two", "one"], "3 texts of the run's validation split")
    write_csv(given.parents[1] / "train.csv", ROWS[1:])  # none of its rows are validation rows
    assert validation_rows(given) is not None


def test_data_that_changed_is_not_the_runs(cut: Path, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    before = path.read_bytes()
    for after in (before.replace(b"text 7,", b"text 8,"), before + b"text 40,no\n", b"label,text\n", b"\x00\x01 no table"):
        path.write_bytes(after)
        check_drawn(cut, "train.csv has changed since the run")
    report = export(cut, tmp_path / "out.onnx")
    assert report.source == "texts drawn from the vocabulary (train.csv has changed since the run)"
    path.write_bytes(before)
    assert validation_rows(cut) is not None


def test_a_validation_file_that_changed_is_not_the_runs(given: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "held.csv", [("one", "no"), ("two", "yes"), ("three", "no")])
    check_drawn(given, "held.csv has changed since the run")


def test_the_file_that_changed_is_named(tmp_path: Path) -> None:
    for name, rows in {"a": ROWS[:20], "b": ROWS[20:], "d": ROWS[:2]}.items():
        write_csv(tmp_path / f"{name}.csv", rows)
    model = write_run(tmp_path / "run", train=str(tmp_path / "*.csv"), validation_share=0.25)
    assert validation_rows(model) is not None
    write_csv(tmp_path / "c.csv", ROWS[:1])
    check_drawn(model, "c.csv has changed since the run")
    (tmp_path / "c.csv").unlink()
    (tmp_path / "b.csv").unlink()
    check_drawn(model, "b.csv has changed since the run")
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    write_csv(tmp_path / "a.csv", ROWS[20:])
    check_drawn(model, "the data has changed since the run")


def test_a_folder_per_class_and_a_saved_data_set(tmp_path: Path) -> None:
    from datasets import Dataset

    for text, label in ROWS:
        (tmp_path / "texts" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / label / f"{text}.txt").write_text(text)
    stored: dict[str, list[str]] = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}
    Dataset.from_dict(stored).save_to_disk(tmp_path / "stored")
    models = {name: write_run(tmp_path / f"run {name}", train=str(tmp_path / name)) for name in ("texts", "stored")}
    for model in models.values():
        expected = load_splits(load_config(model.parent / "config.yaml").data).validation
        assert expected is not None
        assert real_texts(ARTIFACT, model, None)[0] == list(expected.texts)
    (tmp_path / "texts" / "no" / "text 0.txt").write_text("another text")
    check_drawn(models["texts"], "texts/ has changed since the run")
    shutil.rmtree(tmp_path / "stored")
    Dataset.from_dict(stored | {"text": ["another text"] * 40}).save_to_disk(tmp_path / "stored")
    check_drawn(models["stored"], "stored has changed since the run")


def test_data_that_moved(cut: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").rename(tmp_path / "moved.csv")
    check_drawn(cut, "the run's data is not at hand")


def test_data_that_is_named_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    write_csv(tmp_path / "work" / "train.csv", ROWS)
    monkeypatch.chdir(tmp_path / "work")
    model = write_run(tmp_path / "run", train="train.csv")
    assert validation_rows(model) is not None
    monkeypatch.chdir(tmp_path)
    check_drawn(model, "the run's data is not at hand")


def test_data_that_may_not_be_read(cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("textcls.data.blocks.fingerprint", refuse)  # root may read everything
    check_drawn(cut, "the run's data is not at hand")


def test_a_model_outside_a_run_folder(cut: Path, tmp_path: Path) -> None:
    check_drawn(shutil.copytree(cut, tmp_path / "elsewhere" / "model"), "the run's data is not at hand")
    (cut.parent / "config.yaml").write_text("not: ours", encoding="utf-8")
    check_drawn(cut, "the run's data is not at hand")


def test_a_run_without_validation(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", ROWS)
    model = write_run(tmp_path / "run", train=str(tmp_path / "train.csv"), validation_share=0, test_share=0.25)
    check_drawn(model, "the run had no validation split")


def test_a_run_without_a_record_of_its_splits(cut: Path) -> None:
    (cut.parent / "splits.json").unlink()
    check_drawn(cut, "the run's splits.json is missing")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"rows": {}}', b'{"rows": 1, "files": {}, "cut_from_train": {}}']
)
def test_a_damaged_record(cut: Path, content: bytes) -> None:
    (cut.parent / "splits.json").write_bytes(content)
    check_drawn(cut, "the run's splits.json is damaged")


@pytest.mark.parametrize("row", [-1, 0, 40, 1.5, "1", None])
def test_a_record_whose_rows_are_no_cut(cut: Path, row: Any) -> None:
    def change(record: dict[str, Any]) -> None:
        record["cut_from_train"]["validation"][0] = row
        record["cut_from_train"]["train"][0] = 0

    change_record(cut, change)
    check_drawn(cut, "the run's splits.json is damaged")


@pytest.mark.parametrize("fixture", ["cut", "given"])
def test_rows_that_are_read_otherwise_today(
    fixture: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Path = request.getfixturevalue(fixture)
    monkeypatch.setattr("textcls.exports.validation.read_sources", lambda *_: Rows.of(["one"], ["no"]))
    check_drawn(model, f"the run's data gives 1 rows, and gave {40 if fixture == 'cut' else 3} in the run")


def test_data_that_can_no_longer_be_read(cut: Path) -> None:
    config = cut.parent / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("text: text", "text: body"), encoding="utf-8")
    check_drawn(cut, "the run's data can no longer be read")


def test_hashes_are_compared_before_rows_are_read(cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("rows were read")

    monkeypatch.setattr("textcls.exports.validation.read_sources", refuse)
    write_csv(tmp_path / "train.csv", ROWS[1:])
    check_drawn(cut, "train.csv has changed since the run")
