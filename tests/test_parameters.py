"""Settings as scikit-learn's parameters: told when they are wrong, shown as far as they differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import clone

from textcls import TextClassifier
from textcls.config import Config
from textcls.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": {"hidden": 3}}, "config: model.hidden: unknown setting; did you mean hidden_size?"),
        ({"model": {"hidden_size": 0}}, "config: model.hidden_size: input should be greater than or equal to 1, not 0"),
        ({"trainig": {}}, "config: trainig: unknown setting; did you mean training?"),
        ({"training": {"device": "gpu"}}, "config: training.device: must be auto, cpu, cuda, cuda:N or mps, not 'gpu'"),
        ("no/such.yaml", "no/such.yaml: cannot be read: No such file or directory"),
        (3, "config is a int: give settings as a dictionary, a Config or the path of a YAML file"),
        ([("model", {})], "config is a list: give settings as a dictionary, a Config or the path of a YAML file"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_told_when_the_classifier_is_made(config: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TextClassifier(config)
    assert str(caught.value) == message
    model = TextClassifier({"model": {"hidden_size": 5}})
    with pytest.raises(ConfigError) as caught:
        model.set_params(config=config)
    assert str(caught.value) == message
    assert model.get_params()["model__hidden_size"] == 5


def test_a_keyword_that_is_none() -> None:
    with pytest.raises(TypeError, match="hidden"):
        TextClassifier(hidden=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["hidden", "epochs"])
def test_a_parameter_without_a_section(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TextClassifier().set_params(**{name: 3})
    assert str(caught.value) == f"{name}: no such parameter; a setting is named with its section, such as training__epochs"


def test_a_wrong_parameter_changes_none() -> None:
    model = TextClassifier()
    with pytest.raises(ConfigError, match="hidden"):
        model.set_params(training__epochs=3, model__hidden=3)
    assert model.config is None


def test_clone_keeps_the_settings_as_they_were_given(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training: {epochs: 7}\n")
    for config in (None, {"training": {"epochs": 7}}, Config(), path, str(path)):
        copied = clone(TextClassifier(config))
        assert copied.get_params() == TextClassifier(config).get_params()
        assert copied.config == config


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        (None, ""),
        ({}, ""),
        (Config(), ""),
        ({"training": {"epochs": 20}, "model": {}}, ""),
        ({"model": {"hidden_size": 16}}, "{'model': {'hidden_size': 16}}"),
        (
            {"training": {"epochs": 3, "learning_rate": 0.01}, "data": {"text": ["a", "b"]}},
            "{'data': {'text': ['a', 'b']}, 'training': {'epochs': 3, 'learning_rate': 0.01}}",
        ),
        (Config().replace({"model.cell": "gru"}), "{'model': {'cell': 'gru'}}"),
    ],
    ids=str,
)
def test_repr_shows_what_differs_from_the_defaults(config: Any, shown: str) -> None:
    model = TextClassifier(config)
    assert repr(model) == f"TextClassifier({shown})"
    assert eval(repr(model)).get_params(deep=True)["model__cell"] == model.get_params()["model__cell"]


def test_repr_of_a_file_and_of_long_settings(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training: {epochs: 7, class_weights: {" + ", ".join(f"label {n}: {n}" for n in range(154)) + "}}\n")
    model = TextClassifier(path)
    assert repr(model).startswith("TextClassifier({'training': {'class_weights': {'label 0': 0.0,")
    assert len(repr(model)) < 400
    path.unlink()
    assert repr(model).startswith("TextClassifier(")
    assert len(repr(model)) < 400


def test_repr_is_that_of_the_settings_also_once_it_is_trained() -> None:
    model = TextClassifier({"training": {"epochs": 1}})
    assert repr(model.fit(["a b", "c d"] * 5, ["x", "y"] * 5)) == "TextClassifier({'training': {'epochs': 1}})"


# What is not on this machine


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"text": {"vectors": "no/such.txt"}}, "text.vectors: no such file: no/such.txt"),
        ({"text": {"vectors": "glove.6B.51d"}}, "text.vectors: no such file or name: glove.6B.51d: did you mean glove.6B.50d?"),
        (
            {"text": {"tokenizer": "spacy", "language": "tlh"}},
            "text.language: spaCy knows no language 'tlh'; use a code such as en",
        ),
        ({"training": {"device": "cuda:99"}}, "training.device cuda:99: there are "),
        ({"data": {"text": "a", "label": "a"}}, "config: data.text and data.label both name the column 'a'"),
        ({"data": {"text": ["a", "b"], "labels": ["c", "b"]}}, "config: data.text and data.labels both name the column 'b'"),
        ({"training": {"epochs": True}}, "config: training.epochs: must be a number, not True"),
        ({"training": {"threads": False}}, "config: training.threads: must be a number, not False"),
        ({"training": {"clip": True}}, "config: training.clip: must be a number, not True"),
    ],
    ids=str,
)
def test_what_cannot_work_is_told_when_it_is_set(config: dict[str, Any], message: str) -> None:
    ((section, settings),) = config.items()
    model = TextClassifier({"training": {"seed": 3}})
    attempts: list[Callable[[], object]] = [
        lambda: TextClassifier(config),
        lambda: model.set_params(config=config),
        lambda: model.set_params(**{f"{section}__{name}": value for name, value in settings.items()}),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert str(caught.value).replace("the settings: ", "config: ").startswith(message)
    assert model.get_params(deep=False) == {"config": {"training": {"seed": 3}}}


def test_a_name_of_vectors_is_not_downloaded_to_look_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.text.vector_names._download", None)
    assert TextClassifier({"text": {"vectors": "glove.6B.300d"}}).get_params()["text__vectors"] == "glove.6B.300d"


def test_a_model_that_was_trained_with_what_is_gone_loads_clones_and_changes(tmp_path: Path) -> None:
    vectors = tmp_path / "mine.txt"
    vectors.write_text("good 1 0\nbad 0 1\n")
    model = TextClassifier({"text": {"vectors": str(vectors)}, "data": {"validation_share": 0}, "training": {"epochs": 1}})
    model.fit(["good", "bad"] * 4, ["a", "b"] * 4)
    model.save(tmp_path / "model")
    model.export(tmp_path / "model.onnx")
    vectors.unlink()
    for known in (model, TextClassifier.load(tmp_path / "model"), TextClassifier.load(tmp_path / "model.onnx")):
        copied = clone(known)
        assert copied.get_params()["text__vectors"].endswith("mine.txt")
        assert copied.set_params(training__epochs=2).get_params()["training__epochs"] == 2
        with pytest.raises(ConfigError, match="no such file"):
            copied.fit(["good", "bad"] * 4, ["a", "b"] * 4)
        assert copied.set_params(text__vectors=None).fit(["good", "bad"] * 4, ["a", "b"] * 4).classes_.tolist() == ["a", "b"]
