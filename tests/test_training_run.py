"""A whole run: what stands in its folder, and what leaves none."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from textcls.artifact import read_artifact
from textcls.config import Config, load_config
from textcls.data import read_labelled
from textcls.errors import ConfigError, DataError, InputError, MissingPackageError, TextclsError
from textcls.training import EpochEnd, Event, Note, Progress, train
from textcls.training.checkpoint import Checkpoints

PICTURES = {"learning_curves.png", "confusion_matrix.png", "reliability.png"}
FILES = {"config.yaml", "splits.json", "log.jsonl", "metrics.json", "model", "confusions.csv"} | PICTURES
MODEL_FILES = {
    "config.yaml",
    "vocabulary.txt",
    "labels.json",
    "model.safetensors",
    "calibration.json",
    "metrics.json",
    "README.md",
}


def write_csv(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    lines = [f"{word} film number {n},{label}" for n in range(20) for word, label in (("good", "pos"), ("bad", "neg"))]
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", lines)


def config(data: str, **changes: Any) -> Config:
    sizes = {
        "model.embedding_size": 4,
        "model.hidden_size": 4,
        "model.ngram_slots": 0,
        "training.epoch_steps": 1,
        "training.epochs": 2,
        "training.batch_size": 8,
    }
    return Config().replace({"data.train": data, "data.test_share": 0.2, "training.threads": 1} | sizes | changes)


@pytest.fixture(scope="module")
def folder(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "new" / "run"
    train(config(data), folder)
    return folder


def notes(events: list[Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Note))


def test_a_run_folder_holds_everything(folder: Path, data: str) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    assert {path.name for path in (folder / "model").iterdir()} == MODEL_FILES
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert load_config(folder / "config.yaml") == config(data)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert {name: report["rows"] for name, report in metrics.items()} == {"validation": 4, "test": 8}
    artifact = read_artifact(folder / "model")
    assert artifact.metrics == metrics
    assert artifact.provenance["data"]["train"][0]["file"] == "reviews.csv"
    assert "| validation | test |" in (folder / "model" / "README.md").read_text(encoding="utf-8")


def test_splits_name_the_rows_of_each_split(folder: Path, data: str) -> None:
    record = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    assert record["rows"] == {"train": 28, "validation": 4, "test": 8}
    cut = record["cut_from_train"]
    assert {name: len(rows) for name, rows in cut.items()} == record["rows"]
    assert sorted(row for rows in cut.values() for row in rows) == list(range(40))
    everything = read_labelled(data, config(data).data, "train")
    words = {everything.texts[row].split()[3] for row in cut["train"]}
    tokens = {token for token in read_artifact(folder / "model").vocabulary.tokens if token.isdigit()}
    assert tokens == words  # the vocabulary is that of these very rows


def test_the_log_has_a_line_for_each_event(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0]["event"] == "Note"
    ends = [line for line in lines if line["event"] == "EpochEnd"]
    assert [end["epoch"] for end in ends] == [1, 2]
    assert {"train_loss", "validation_log_loss", "macro_f1", "accuracy", "learning_rate", "best"} <= ends[0].keys()
    steps = [line for line in lines if line["event"] == "Progress"]
    assert [step["epoch"] for step in steps if step["step"] == step["steps"]] == [1, 2]


@pytest.mark.slow
def test_a_model_tells_nothing_of_where_it_was_made(data: str, tmp_path: Path) -> None:
    vectors = tmp_path / "tiny.txt"
    vectors.write_text("good 1 2\nbad 3 4\n", encoding="utf-8")
    settings = config(data, **{"text.vectors": str(vectors), "model.embedding_size": None})
    train(settings.replace({"data.test": (data,), "data.validation": data}), tmp_path / "run")
    for path in (tmp_path / "run" / "model").iterdir():
        content = path.read_bytes()
        assert str(tmp_path).encode() not in content, path
        assert str(Path(data).parent).encode() not in content, path
    stored = read_artifact(tmp_path / "run" / "model").config
    assert (stored.data.train, stored.data.test, stored.text.vectors) == ("reviews.csv", ("reviews.csv",), "tiny.txt")


def test_test_rows_without_a_known_label_are_told_before_training(data: str, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "test.csv", ["good film,1", "bad film,0"])
    events: list[Event] = []
    message = (
        r"no test row has a label that the training rows have: the data have '0', '1', .* 'neg', 'pos'; check data\.test and"
    )
    with pytest.raises(DataError, match=message):
        train(config(data, **{"data.test": test}), tmp_path / "run", report=events.append)
    assert events == []
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_empty_is_refused_without_force(data: str, tmp_path: Path) -> None:
    keep = tmp_path / "keep.txt"
    keep.write_text("mine")
    with pytest.raises(InputError, match="the run folder is not empty; name another one, or --force"):
        train(config(data), tmp_path)
    assert list(tmp_path.iterdir()) == [keep]
    with pytest.raises(InputError, match=r"keep\.txt is a file"):
        train(config(data), keep)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "photo.jpg").write_text("mine too")
    with pytest.raises(InputError, match=r"model: holds other files than a model, which would be lost: photo\.jpg"):
        train(config(data), tmp_path, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"keep.txt", "model"}  # told before anything is trained
    (tmp_path / "model" / "photo.jpg").unlink()
    train(config(data), tmp_path, force=True)
    first = read_artifact(tmp_path / "model")
    train(config(data, **{"training.seed": 1}), tmp_path, force=True)
    assert read_artifact(tmp_path / "model").fingerprint != first.fingerprint
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"keep.txt"}
    assert keep.read_text() == "mine"


def test_without_validation_and_test(data: str, tmp_path: Path) -> None:
    events: list[Event] = []
    run = train(config(data, **{"data.validation_share": 0, "data.test_share": 0}), tmp_path / "run", report=events.append)
    assert run.metrics == {}
    assert not run.interrupted
    kinds = [type(event) for event in events]
    assert kinds[0] is Note
    assert kinds[-1] is EpochEnd
    assert kinds.index(Progress) < kinds.index(EpochEnd)
    assert "there is no test split, so none is evaluated" in notes(events)
    assert "there is no validation split" in notes(events)
    assert {path.name for path in run.folder.iterdir()} == FILES - PICTURES - {"confusions.csv"} | {"learning_curves.png"}
    card = (run.folder / "model" / "README.md").read_text(encoding="utf-8")
    assert "None was measured" in card
    assert "not calibrated" in card
    assert run.artifact.temperature == 1.0


def test_unseen_labels_of_validation_and_test_are_counted(data: str, tmp_path: Path) -> None:
    validation = write_csv(tmp_path / "validation.csv", ["good film,pos", "fine film,fine"])
    test = write_csv(tmp_path / "test.csv", ["bad film,neg", "odd,odd", "odder,odder"])
    settings = config(data, **{"data.validation": validation, "data.test": test})
    run = train(settings, tmp_path / "run")
    assert {name: report["unseen_label_rows"] for name, report in run.metrics.items()} == {"validation": 1, "test": 2}
    assert list(run.metrics["test"]["per_class"]) == ["neg", "pos", "odd", "odder"]


def test_starts_from_a_trained_model(folder: Path, data: str, tmp_path: Path) -> None:
    run = train(config(data), tmp_path / "run", start_from=folder / "model")
    assert run.artifact.vocabulary == read_artifact(folder / "model").vocabulary


def test_a_model_to_start_from_is_not_written_over(data: str, tmp_path: Path) -> None:
    train(config(data), tmp_path / "run")
    with pytest.raises(InputError, match=r"run/model: would be written over by the model of this run; name another --run"):
        train(config(data), tmp_path / "run", force=True, start_from=tmp_path / "run" / "model")
    assert read_artifact(tmp_path / "run" / "model").labels


def test_a_run_that_other_processes_began_says_so(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(event: Event) -> None:
        if isinstance(event, EpochEnd) and event.epoch == 2:
            raise RuntimeError("killed")

    settings, events = config(data, **{"training.epochs": 3}), list[Event]()
    with pytest.raises(RuntimeError, match="killed"):
        train(settings, tmp_path / "run", report=killed)
    real = Checkpoints.settled
    monkeypatch.setattr(Checkpoints, "settled", lambda self, name, value: 4 if name == "processes" else real(self, name, value))
    train(settings, tmp_path / "run", resume=True, report=events.append)
    assert "4 processes began this run and 1 go on with it: other dropouts, so other weights" in notes(events)


def test_a_model_records_what_it_started_from_and_notes_settings_that_give_way(folder: Path, data: str, tmp_path: Path) -> None:
    events: list[Event] = []
    changes = {"model.hidden_size": 7, "text.lowercase": False, "model.output_dropout": 0.1}
    run = train(config(data, **changes), tmp_path / "run", start_from=folder / "model", report=events.append)
    assert run.artifact.provenance["started_from"] == read_artifact(folder / "model").fingerprint
    assert "model.hidden_size 7 is not used: the trained model has 4" in notes(events)
    assert "text.lowercase False is not used: the trained model has True" in notes(events)
    assert notes(events).count("is not used") == 2  # the dropouts may change, and what stands at its default was not asked for


def test_force_removes_what_an_older_run_wrote_and_only_once_a_step_is_done(data: str, tmp_path: Path) -> None:
    train(config(data), tmp_path)
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(InputError, match="nowhere"):
        train(config(data, **{"text.vectors": "nowhere.txt"}), tmp_path, force=True)
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"keep.txt"}

    def report(event: Event) -> None:
        if isinstance(event, Progress):
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        train(config(data), tmp_path, force=True, report=report)
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "splits.json", "log.jsonl", "keep.txt"}


FAULTS: dict[str, dict[str, Any]] = {
    "training.class_weights must name each label": {"training.class_weights": {"pos": 1.0}},
    "training.device cuda:99: there are": {"training.device": "cuda:99"},
    "nowhere.txt": {"text.vectors": "nowhere.txt"},
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_of_the_settings_leaves_no_folder(message: str, data: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train(config(data, **FAULTS[message]), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_an_error_in_the_middle_leaves_no_half_model(data: str, tmp_path: Path) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    def report(event: Event) -> None:
        if isinstance(event, EpochEnd):
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own") as caught:
        train(config(data, **{"training.threads": 3}), tmp_path / "run", report=report)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.yaml", "splits.json", "log.jsonl"}
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert caught.tb  # its frames still hold the run, which is over all the same


def test_a_loss_that_is_no_number_leaves_no_model(data: str, tmp_path: Path) -> None:
    with pytest.raises(TextclsError, match="the loss became") as caught:
        train(config(data, **{"training.learning_rate": 1e38}), tmp_path / "run")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(data: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="the run folder cannot be written: Permission denied"):
        train(config(data), tmp_path / "run")


def test_a_folder_below_a_file_is_one_line(data: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        train(config(data, **{"training.tensorboard": True}), tmp_path / "file" / "run")


def test_tensorboard_when_asked(data: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    changes = {"training.tensorboard": True, "training.class_weights": {"neg": 1, "pos": 2}, "training.threads": 1}
    run = train(config(data, **changes), tmp_path / "run")
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()  # one run, also in TensorBoard's eyes
    board = EventAccumulator(str(events)).Reload()
    epochs = len(board.Scalars("train_loss"))
    assert [event.step for event in board.Scalars("macro_f1")] == list(range(1, epochs + 1))
    for split in ("validation", "test"):
        (final,) = board.Scalars(f"{split}/macro_f1")
        assert final.value == pytest.approx(run.metrics[split]["macro_f1"])
    told = board.PluginTagToContent("hparams")
    (start,) = [
        found.session_start_info
        for found in map(HParamsPluginData.FromString, told.values())
        if found.HasField("session_start_info")
    ]
    found = {name: value.string_value or value.number_value for name, value in start.hparams.items()}
    assert found.keys() <= {f"{section}.{name}" for section, settings in Config() for name in type(settings).model_fields}
    assert found["training.learning_rate"] == run.artifact.config.training.learning_rate
    assert found["model.hidden_size"] == run.artifact.config.model.hidden_size
    assert (found["model.cell"], found["model.bidirectional"], found["training.threads"]) == ("lstm", "true", 1)
    assert found["training.class_weights"] == '{"neg": 1.0, "pos": 2.0}'
    assert "data.weight" not in found  # is not given
    (experiment,) = [
        found.experiment for found in map(HParamsPluginData.FromString, told.values()) if found.HasField("experiment")
    ]
    assert {info.name.tag for info in experiment.metric_infos} >= {
        "validation/log_loss",
        "validation/accuracy",
        "test/accuracy",
    }


def test_tensorboard_that_is_missing_is_said_before_anything_is_written(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(
        MissingPackageError, match=r"^training.tensorboard needs TensorBoard: pip install 'textcls\[tensorboard\]'$"
    ):
        train(config(data, **{"training.tensorboard": True}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_training_data_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.train is not set"):
        train(Config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_held_out_rows_that_the_start_model_may_know_are_told(tmp_path: Path, data: str) -> None:
    told: list[str] = []

    def run_from(model: Path | None, name: str, share: float) -> str:
        told.clear()
        settings = config(data).replace({"data.test": None, "data.test_share": share, "data.validation": None})
        train(
            settings, tmp_path / name, start_from=model, report=lambda e: told.append(e.text) if isinstance(e, Note) else None
        )
        return "\n".join(told)

    assert "held out" not in run_from(None, "first", 0.0)
    assert "held out" not in run_from(tmp_path / "first" / "model", "same cut", 0.0)
    assert "some rows held out now may be known to it" in run_from(tmp_path / "first" / "model", "other cut", 0.3)


def test_a_picture_that_cannot_be_drawn_is_a_note(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to process string with tex\nbecause latex could not be found")

    monkeypatch.setattr("textcls.evaluation.plots.save", fail)
    events: list[Event] = []
    run = train(config(data), tmp_path / "run", report=events.append)
    for name in ("learning_curves.png", "reliability.png"):
        assert f"{name} is missing, for it could not be drawn: Failed to process string with tex" in notes(events)
        assert not (run.folder / name).exists()
    assert (run.folder / "confusion_matrix.png").exists()
    assert (run.folder / "model" / "labels.json").exists()
    assert "learning_curves.png is missing" in (run.folder / "log.jsonl").read_text()


def test_very_many_labels_have_no_matrix(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.training.pictures._MOST_LABELS", 1)
    run = train(config(data), tmp_path / "run")
    assert {path.name for path in run.folder.iterdir()} == FILES - {"confusion_matrix.png", "confusions.csv"}
