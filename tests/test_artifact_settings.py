"""The settings of saved models: what a missing one means, and that those of training never keep a model from loading."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from helpers import tiny_artifact
from typer.testing import CliRunner

from textcls import TextClassifier
from textcls import saved_settings as saved
from textcls.artifact import read_artifact, write_artifact
from textcls.cli import app
from textcls.config import Config, DataSettings, ModelSettings, TextSettings
from textcls.errors import ModelError
from textcls.inference import Predictor
from textcls.inference.graph import build_graph
from textcls.saved_settings import load_saved_config, saved_settings
from textcls.scoring import evaluate
from textcls.settings import Settings
from textcls.spacy_component import TextclsComponent

# What every setting of rows, text and network means in a model that does not have it, whatever the default of today is: the
# default of the first version, or of the one before the setting came. Never changed; a new setting comes in with what a model
# without it does.
MEANT: dict[str, dict[str, Any]] = {
    "data": {
        "train": None,
        "validation": None,
        "test": None,
        "text": "text",
        "label": None,
        "labels": None,
        "weight": None,
        "strip_labels": False,
        "missing_labels": "error",
        "header": True,
        "delimiter": None,
        "quoting": "auto",
        "encoding": "utf-8",
        "encoding_errors": "strict",
        "max_row_bytes": 64_000_000,
        "validation_share": 0.1,
        "test_share": 0.0,
        "split_seed": 0,
    },
    "text": {
        "tokenizer": "unicode",
        "language": "en",
        "lowercase": True,
        "min_count": 1,
        "max_vocabulary": None,
        "max_tokens": 1000,
        "vectors": None,
        "extend": 0,
        "split_unspaced": False,
        "bpe_size": 8000,
        "bpe_model": None,
        "zero_digits": False,
    },
    "model": {
        "cell": "lstm",
        "embedding_size": None,
        "hidden_size": 128,
        "layers": 1,
        "bidirectional": True,
        "bias": True,
        "pooling": "final",
        "ngram_slots": 0,
        "fast_agreement": 0.999,
        "embedding_dropout": 0.4,
        "type_dropout": 0.0,
        "recurrent_dropout": 0.0,
        "layer_dropout": 0.3,
        "output_dropout": 0.5,
    },
}
EVERY = [(section, name) for section, settings in MEANT.items() for name in settings]
OF_TODAY: dict[str, type[Settings]] = {"data": DataSettings, "text": TextSettings, "model": ModelSettings}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tiny_artifact(), tmp_path / "model", "# card\n")
    return tmp_path / "model"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the settings of a model folder."""
    tree = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    change(tree)
    (folder / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


def old_onnx(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write an exported file whose record of itself is changed."""
    graph = build_graph(tiny_artifact())
    for entry in graph.metadata_props:
        if entry.key == "textcls":
            record = json.loads(entry.value)
            change(record)
            entry.value = json.dumps(record)
    onnx.save(graph, path)
    return path


def test_the_meaning_of_every_setting_is_known() -> None:
    assert {section: set(settings) for section, settings in MEANT.items()} == {
        section: set(settings.model_fields) for section, settings in OF_TODAY.items()
    }


@pytest.mark.parametrize(("section", "name"), EVERY)
def test_a_setting_that_a_folder_lacks_means_what_it_meant(section: str, name: str, folder: Path) -> None:
    edit(folder, lambda tree: tree[section].pop(name))
    assert getattr(getattr(load_saved_config(folder / "config.yaml"), section), name) == MEANT[section][name]


@pytest.mark.parametrize("section", MEANT)
def test_a_section_that_is_missing_means_what_it_meant(section: str, folder: Path) -> None:
    edit(folder, lambda tree: tree.pop(section))
    assert getattr(load_saved_config(folder / "config.yaml"), section).model_dump() == MEANT[section]
    edit(folder, lambda tree: tree.update({section: None}))
    assert getattr(load_saved_config(folder / "config.yaml"), section).model_dump() == MEANT[section]


@pytest.mark.parametrize(("section", "name"), EVERY)
def test_a_setting_that_a_record_lacks_means_what_it_meant(section: str, name: str) -> None:
    record = json.loads(Config().model_dump_json())
    del record[section][name]
    whole = Config.model_validate(saved_settings(record))
    assert getattr(getattr(whole, section), name) == MEANT[section][name]


def test_every_reader_asks_what_was_meant(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With meanings that are not the defaults of today, of one setting in each section."""

    def forget(tree: dict[str, Any]) -> None:
        del tree["data"]["strip_labels"], tree["text"]["lowercase"], tree["model"]["output_dropout"]

    before = {"data": {"strip_labels": False}, "text": {"lowercase": False}, "model": {"output_dropout": 0.75}}
    monkeypatch.setattr(saved, "_BEFORE", before)
    edit(folder, forget)
    file = old_onnx(tmp_path / "old.onnx", forget)
    given = TextClassifier.load(file).config
    assert isinstance(given, Config)
    for whole in (read_artifact(folder).config, given):
        assert not whole.data.strip_labels
        assert not whole.text.lowercase
        assert whole.model.output_dropout == 0.75
    component = TextclsComponent(model=file)
    for predictor in (Predictor.load(folder), Predictor.load(file), component._loaded()):
        assert not predictor.settings.lowercase
        assert not predictor.record["data"]["strip_labels"]
    for model in (folder, file):
        told = json.loads(CliRunner().invoke(app, ["info", str(model), "--json"]).stdout)
        assert told["model"]["output_dropout"] == 0.75
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\nfine,no\nfine, no\n", encoding="utf-8")
    assert evaluate(file, str(rows)).report["unseen_label_rows"] == 1  # ` no` was another label


@pytest.mark.parametrize(
    ("training", "kept"),
    [
        ({"epochs": 3, "a_setting_of_later": 1}, {"epochs": 3}),
        ({"epochs": -1, "patience": 2}, {"patience": 2}),
        ({"epochs": "many", "seed": 5}, {"seed": 5}),
        ({"metric": "auc", "device": "tpu", "class_weights": {"a": -1}, "clip": float("nan")}, {}),
        ({"epochs": {"a": [1]}, 7: 8, None: None, "threads": None}, {"threads": None}),
        (
            {"threads": 10**6, "seed": 10**26, "epochs": 10**400, "clip": 1e308, "class_weights": {"a": 1e300}, "patience": 2},
            {"patience": 2},
        ),
        ("fast", {}),
        ([1, 2], {}),
        (0, {}),
        (None, {}),
    ],
)
def test_settings_of_training_never_keep_a_model_from_loading(training: Any, kept: dict[str, Any], folder: Path) -> None:
    edit(folder, lambda tree: tree.update(training=training))
    loaded = read_artifact(folder)
    assert loaded.config.training == Config().replace({f"training.{name}": value for name, value in kept.items()}).training
    assert loaded.config.model == tiny_artifact().config.model
    assert TextClassifier.load(folder).predict(["fine"]).size == 1


def test_limits_beyond_64_bits_still_are_none(folder: Path) -> None:
    """As earlier versions took them."""
    largest = 2**63 - 1
    edit(folder, lambda tree: (tree["text"].update(max_vocabulary=10**20), tree["data"].update(split_seed=10**26)))
    config = read_artifact(folder).config
    assert (config.text.max_vocabulary, config.data.split_seed) == (largest, largest)
    assert TextClassifier.load(folder).predict(["fine"]).size == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tree: tree["model"].update(width=3), "model.width: unknown setting"),
        (lambda tree: tree["model"].update(layers=0), "model.layers: "),
        (lambda tree: tree["text"].update(max_tokens="x"), "text.max_tokens: "),
        (lambda tree: tree["data"].update(header="x"), "data.header: "),
        (lambda tree: tree.update(model="x"), "model: must be a section of settings, not 'x'"),
        (lambda tree: tree.update(text=0), "text: must be a section of settings, not 0"),
        (lambda tree: tree.update(train={}), "train: unknown setting"),
    ],
)
def test_other_settings_do(change: Callable[[dict[str, Any]], object], said: str, folder: Path) -> None:
    edit(folder, lambda tree: (change(tree), tree.update(training={"epochs": 0})))
    with pytest.raises(ModelError) as raised:
        read_artifact(folder)
    assert str(raised.value).startswith(f"{folder}: damaged model folder: config.yaml: {said}")
    assert "\n" not in str(raised.value)


def test_the_first_models_lack_what_came_later(tmp_path: Path) -> None:
    first = Path(__file__).parent / "fixtures" / "v1" / "single"
    model = Path(shutil.copytree(first, tmp_path / "model"))
    assert read_artifact(model).config.data.strip_labels is False
    assert read_artifact(model).config.model.model_dump() | {"hidden_size": 128, "embedding_size": None} == MEANT["model"]
