"""`TextClassifier` as a scikit-learn user meets it, and `evaluate`."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from datasets import ClassLabel, Dataset, Features, Value
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from textcls import TextClassifier
from textcls.config import Config
from textcls.errors import ConfigError, DataError, InputError, ModelError
from textcls.exports import export
from textcls.scoring import evaluate
from textcls.training import Event, Note, train

SETTINGS: dict[str, Any] = {
    "data": {"text": "body", "label": "mark", "validation_share": 0},
    "model": {"embedding_size": 4, "hidden_size": 4, "embedding_dropout": 0, "output_dropout": 0, "ngram_slots": 0},
    "training": {
        **{"epochs": 12, "epoch_steps": 1, "batch_size": 4, "learning_rate": 0.05, "word_dropout": 0},
        **{"threads": 1, "average": 0.5},
    },
}
TEXTS = [f"{word} film {n % 4}" for n in range(15) for word in ("good", "bad")]
LABELS = ["pos", "neg"] * 15


@pytest.fixture(scope="module")
def trained() -> TextClassifier:
    return TextClassifier(SETTINGS).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def exported(trained: TextClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    report = trained.export(path)
    assert report.takes_text
    with pytest.raises(InputError, match=r"model\.onnx: exists already; name another file, or give force=True"):
        trained.export(path)
    assert report.largest_difference < 1e-5
    return path


def test_learns_and_answers(trained: TextClassifier) -> None:
    assert trained.predict(["good film 9", "bad film 9"]).tolist() == ["pos", "neg"]
    probabilities = trained.predict_proba(TEXTS)
    assert probabilities.shape == (30, 2)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert trained.classes_.tolist() == ["neg", "pos"]
    assert trained.score(TEXTS, LABELS) == 1.0
    report = trained.evaluate([*TEXTS, "so so"], [*LABELS, "neutral"])
    assert report["rows"] == 31
    assert report["unseen_label_rows"] == 1
    assert report["accuracy"] == pytest.approx(30 / 31)
    assert list(report["per_class"]) == ["neg", "pos", "neutral"]


def test_predicts_by_blocks_what_it_predicts_at_once(trained: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = trained.predict(TEXTS)
    monkeypatch.setattr("textcls.storage._MOST_WORKED_ON", 14)
    monkeypatch.setattr(trained, "predict_proba", None)  # the probabilities of all texts are never there at once
    assert trained.predict(TEXTS).tolist() == expected.tolist()
    assert trained.predict(TEXTS).dtype == expected.dtype


def test_no_texts_give_no_answers(trained: TextClassifier) -> None:
    assert trained.predict([]).shape == (0,)
    assert trained.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["pos", "neg"], ["neg", "pos"]),
        ([10, 9], [9, 10]),
        ([True, False], [False, True]),
        ([1.5, 0.5], [0.5, 1.5]),
        (["10", 9], [9, "10"]),
    ],
    ids=str,
)
def test_labels_keep_their_types(labels: list[Any], expected: list[Any]) -> None:
    model = TextClassifier(SETTINGS).fit(TEXTS, labels * 15)
    classes = model.classes_.tolist()
    assert classes == expected
    assert [type(label) for label in classes] == [type(label) for label in expected]
    predicted = model.predict(["good film", "bad film"])
    assert predicted.tolist() == labels
    assert predicted.dtype == np.array(expected, dtype=object if len(set(map(type, expected))) > 1 else None).dtype
    arrays: Any = np.array(TEXTS), np.array(labels * 15, dtype=predicted.dtype)
    assert model.score(*arrays) == 1.0


def test_whole_numbers_among_others_are_numbers_of_one_array() -> None:
    model = TextClassifier(SETTINGS).fit(TEXTS, [0.0, 1.5] * 15)
    assert model.classes_.dtype == np.float64
    assert model.classes_.tolist() == [0, 1.5]
    assert model.predict(TEXTS).tolist() == [0.0, 1.5] * 15


def test_fit_reports_what_happens_and_keeps_metrics() -> None:
    events: list[Event] = []
    settings = Config.model_validate(SETTINGS).replace({"data.validation_share": 0.2})
    model = TextClassifier(settings).fit([*TEXTS, "odd"], [*LABELS, "rare"], report=events.append)
    assert "too few rows to cut validation rows from, so they stay in train: 'rare'" in [
        e.text for e in events if isinstance(e, Note)
    ]
    assert model.metrics_["validation"]["rows"] == 6
    assert model.classes_.tolist() == ["neg", "pos", "rare"]


def test_takes_any_iterable() -> None:
    model = TextClassifier(SETTINGS).fit(iter(TEXTS), (label for label in LABELS))
    array: Any = np.array(["good film"])
    assert model.predict(array).tolist() == ["pos"]


def test_fit_reads_the_data_that_the_settings_name(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True)))
    model = TextClassifier({**SETTINGS, "data": {"train": str(path), "validation_share": 0}}).fit()
    assert model.score(TEXTS, LABELS) == 1.0
    model.save(tmp_path / "model")
    for file in (tmp_path / "model").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file


def test_a_dataset_brings_its_class_names() -> None:
    features = Features({"body": Value("string"), "mark": ClassLabel(names=["neg", "pos"])})
    numbers = [int(label == "pos") for label in LABELS]
    dataset = Dataset.from_dict({"body": TEXTS, "mark": numbers}, features=features)
    model = TextClassifier(SETTINGS).fit(dataset)
    assert model.classes_.tolist() == ["neg", "pos"]
    report = model.evaluate(dataset)
    assert (report["rows"], report["accuracy"]) == (30, 1.0)


# scikit-learn's own tools


def test_is_a_classifier_that_clones(trained: TextClassifier) -> None:
    assert is_classifier(trained)
    copied = clone(trained)
    assert copied.get_params(deep=False) == {"config": SETTINGS}
    with pytest.raises(NotFittedError):
        check_is_fitted(copied)
    check_is_fitted(trained)


@pytest.mark.parametrize("labels", [LABELS, [1, 0] * 15, [True, False] * 15], ids=["text", "int", "bool"])
@pytest.mark.parametrize("wrap", [list, np.array])
def test_cross_val_score(wrap: Any, labels: list[Any]) -> None:
    scores = cross_val_score(TextClassifier(SETTINGS), wrap(TEXTS), wrap(labels), cv=2)
    assert scores.tolist() == [1.0, 1.0]


def test_cross_val_predict_gives_probabilities() -> None:
    probabilities = cross_val_predict(TextClassifier(SETTINGS), TEXTS, LABELS, cv=2, method="predict_proba")
    assert probabilities.shape == (30, 2)
    assert (probabilities.argmax(axis=1) == (np.array(LABELS) == "pos")).all()


def test_grid_search_over_settings() -> None:
    grid = {"training__epochs": [1, 12], "model__hidden_size": [4]}
    search = GridSearchCV(TextClassifier(SETTINGS), grid, cv=2, scoring="neg_log_loss", n_jobs=1).fit(TEXTS, LABELS)
    assert search.best_params_ == {"training__epochs": 12, "model__hidden_size": 4}  # the loss of one epoch is higher
    assert search.predict(["good film"]).tolist() == ["pos"]


def test_metadata_is_routed_where_it_is_asked_for() -> None:
    weights = np.array([1.0, 0.0] * 15)
    with sklearn.config_context(enable_metadata_routing=True):
        model = TextClassifier(SETTINGS)
        pipeline = make_pipeline(model).fit(TEXTS, LABELS)
        assert pipeline.score(TEXTS, LABELS) == 1.0
        with pytest.raises(ValueError, match=r"sample_weight.* but are not explicitly set as requested or not requested"):
            make_pipeline(TextClassifier(SETTINGS)).fit(TEXTS, LABELS, sample_weight=weights)
        assert model.set_score_request(sample_weight=True) is model
        half = ["pos"] * 30  # right where a row weighs something
        assert (pipeline.score(TEXTS, half), pipeline.score(TEXTS, half, sample_weight=weights)) == (0.5, 1.0)
        asking = clone(TextClassifier(SETTINGS).set_fit_request(sample_weight="weight", verbose=False))
        assert asking.get_metadata_routing().fit.requests == {
            "sample_weight": "weight",
            "validation_data": None,
            "verbose": False,
            "report": None,
        }
        assert asking.get_metadata_routing().score.requests == {"sample_weight": None}
        with pytest.raises(DataError, match="there are 30 texts, but 2 weights"):
            make_pipeline(asking).fit(TEXTS, LABELS, weight=[1, 2])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"weights": True}, "score takes no weights: it takes sample_weight"),
        ({"sample_weight": 3}, "sample_weight is 3: give True, False, None or another name"),
        ({"sample_weight": "my weight"}, "sample_weight is 'my weight': give True"),
    ],
)
def test_metadata_that_cannot_be_asked_for(asked: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TextClassifier().set_score_request(**asked)


def test_parameters() -> None:
    model = TextClassifier(SETTINGS)
    assert model.get_params()["training__epochs"] == 12
    assert model.get_params()["text__tokenizer"] == "unicode"
    assert model.set_params(training__epochs=5, model__cell="gru") is model
    assert (model.get_params()["training__epochs"], model.get_params()["model__cell"]) == (5, "gru")
    assert model.get_params()["training__batch_size"] == 4  # the others stay
    assert SETTINGS["training"]["epochs"] == 12  # and what was given is left alone
    with pytest.raises(ConfigError, match=r"training.epoch: unknown setting; did you mean epochs\?"):
        model.set_params(training__epoch=5)
    assert TextClassifier().set_params(config=None, training__epochs=2).get_params()["training__epochs"] == 2


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training: {epochs: 7}\n")
    assert TextClassifier(path).get_params()["training__epochs"] == 7
    with pytest.raises(ConfigError, match="trainig"):
        TextClassifier({"trainig": {}}).fit(TEXTS, LABELS)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles(duplicate: Any, trained: TextClassifier) -> None:
    assert duplicate(TextClassifier(SETTINGS)).get_params() == TextClassifier(SETTINGS).get_params()
    twin = duplicate(trained)
    check_is_fitted(twin)
    np.testing.assert_array_equal(twin.predict_proba(TEXTS), trained.predict_proba(TEXTS))
    assert trained.score(TEXTS, LABELS) == 1.0  # the first one still answers


# Saving, loading, exporting


def test_saves_and_loads(trained: TextClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), trained.predict_proba(TEXTS))
    assert loaded.classes_.tolist() == trained.classes_.tolist()
    assert loaded.get_params()["model__hidden_size"] == 4
    with pytest.raises(
        InputError, match=r"model: holds a model already; name another folder, or give force=True to write over it$"
    ):
        loaded.save(tmp_path / "model")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").touch()
    for force in (False, True):
        with pytest.raises(InputError, match=r"photos: holds other files than a model, which would be lost: me\.png"):
            loaded.save(tmp_path / "photos", force=force)
    (tmp_path / "model" / "inner").mkdir()
    for name in ("m.onnx", "inner/m.pt2"):
        with pytest.raises(InputError, match=r"m\.(onnx|pt2): lies inside the model folder model; write it elsewhere$"):
            copy.deepcopy(loaded).export(tmp_path / "model" / name, force=True)
    (tmp_path / "model" / "inner").rmdir()
    loaded.save(tmp_path / "model", force=True)
    (tmp_path / "again").mkdir()
    loaded.save(tmp_path / "again")
    with pytest.raises(InputError, match=r"page: lies inside the model folder model; write it elsewhere"):
        export(tmp_path / "again", tmp_path / "model" / "page", to="web")
    assert (tmp_path / "again" / "labels.json").read_bytes() == (tmp_path / "model" / "labels.json").read_bytes()


def test_an_exported_file_loads(trained: TextClassifier, exported: Path, tmp_path: Path) -> None:
    loaded = TextClassifier.load(str(exported))
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), trained.predict_proba(TEXTS), atol=1e-6)
    assert loaded.get_params()["model__hidden_size"] == 4
    assert loaded.metrics_ == trained.metrics_
    for refused in (
        lambda: loaded.save(tmp_path / "m"),
        lambda: loaded.export(tmp_path / "m.onnx"),
        lambda: copy.deepcopy(loaded),
    ):
        with pytest.raises(ModelError, match="was loaded from an exported file"):
            refused()
    with pytest.raises(ModelError, match="exported files run on the CPU"):
        TextClassifier.load(exported, device="cuda")


def test_an_exported_file_knows_its_columns(exported: Path) -> None:
    dataset = Dataset.from_dict({"body": TEXTS, "mark": LABELS})
    assert TextClassifier.load(exported).evaluate(dataset)["accuracy"] == 1.0


def test_the_torch_engine_by_name(trained: TextClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    with pytest.raises(ConfigError, match="banana"):
        TextClassifier.load(tmp_path / "model", device="banana")
    auto = TextClassifier.load(tmp_path / "model", device="auto")
    np.testing.assert_allclose(auto.predict_proba(TEXTS), trained.predict_proba(TEXTS), atol=1e-5)


# What cannot be used


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("good film", ["pos"], "texts is one string: give a list of texts"),
        (["a", "b"], ["x"], "there are 2 texts, but 1 labels"),
        (["a", "b"], ["x", None], "the label at index 1 is None: give text, a number or a bool"),
        (["a", "b"], ["x", ""], "the label at index 1 is ''"),
        (["a", "b"], [1.0, float("nan")], "the label at index 1 is nan"),
        (["a", None], ["x", "y"], "the text at index 1 is None: give strings"),
        (["a", b"b"], ["x", "y"], "the text at index 1 is b'b': give strings"),
        ([], [], "there are no rows"),
        (["a", "b"], None, "labels are missing: give a label for each text"),
        (["a", "b"], ["x", "x"], "have one label alone, 'x'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_rows_are_one_clear_line(texts: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        TextClassifier(SETTINGS).fit(texts, labels)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_predict_refuses_what_is_no_list_of_texts(trained: TextClassifier) -> None:
    with pytest.raises(DataError, match="texts is one string"):
        trained.predict("good film")
    with pytest.raises(DataError, match="the text at index 0 is 3: give strings"):
        trained.predict_proba([3])


def test_an_untrained_one_says_so(tmp_path: Path) -> None:
    model = TextClassifier(SETTINGS)
    with pytest.raises(ModelError, match=r"this TextClassifier is not trained yet: call fit, or TextClassifier.load"):
        model.predict(["x"])
    with pytest.raises(NotFittedError) as caught:
        model.transform(["x"])
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), ModelError)  # as one that comes out of another process
    assert not hasattr(model, "classes_")  # which is how scikit-learn's tools ask
    for attempt in (lambda: model.classes_, lambda: model.save(tmp_path / "m"), lambda: model.evaluate(TEXTS, LABELS)):
        with pytest.raises(ModelError, match="not trained yet"):
            attempt()
    assert not (tmp_path / "m").exists()


# Evaluating files


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on files with other columns than the usual ones, and some test rows that are wrong or strange."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "train.csv").write_text("body,mark\n" + "".join(f"{t},{y}\n" for t, y in zip(TEXTS, LABELS, strict=True)))
    strange = ["good film,neg", "bad film,pos", "bad bad,neg", "good good good,neg", "meh,odd", "good,pos", ",neg"]
    (folder / "test.csv").write_text("body,mark\n" + "\n".join(strange) + "\n")
    data = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv"), "text": "body", "label": "mark"}
    train(Config.model_validate({**SETTINGS, "data": data}), folder / "run")
    return folder


def test_evaluate_gives_what_training_wrote(run: Path) -> None:
    written = json.loads((run / "run" / "metrics.json").read_text())["test"]
    found = evaluate(run / "run" / "model", str(run / "test.csv")).report
    del written["majority"]  # which only training knows
    assert found.keys() == written.keys()
    assert found["per_class"] == written["per_class"]
    for name in found.keys() - {"per_class"}:
        assert found[name] == pytest.approx(written[name], abs=1e-5), name
    assert found["unseen_label_rows"] == 1


def test_errors_stand_by_falling_confidence(run: Path) -> None:
    errors = evaluate(run / "run" / "model", [str(run / "test.csv")]).errors
    confidence = [error["confidence"] for error in errors]
    assert confidence == sorted(confidence, reverse=True)
    assert {(error["row"], error["label"]) for error in errors} >= {(2, "neg"), (3, "pos"), (5, "neg"), (6, "odd")}
    first = errors[0]
    assert first["file"] == "test.csv"
    assert first["predicted"] != first["label"]
    assert 0.5 <= first["confidence"] <= 1


def test_evaluate_takes_other_columns(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("review,stars\ngood film,pos\n")
    assert evaluate(run / "run" / "model", str(path), text="review", label="stars").report["rows"] == 1
    with pytest.raises(InputError, match="body"):
        evaluate(run / "run" / "model", str(path))


def test_evaluate_notes_labels_otherwise_spelt_and_settings_that_no_file_is_for(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"body": "good film", "mark": "Pos"}\n{"body": "bad film", "mark": "neg"}\n')
    assert evaluate(run / "run" / "model", str(path), quoting="none").notes == (
        "data.quoting (--quoting) is for csv and tsv files, and none is read",
        "labels that the model knows otherwise spelt: 'Pos' for 'pos'",
    )


def test_rows_whose_labels_the_model_does_not_know_are_refused(trained: TextClassifier, run: Path, tmp_path: Path) -> None:
    message = (
        "no row has a label that the model knows: the data have '0', '1', the model knows 'neg', 'pos'; check which column"
    )
    path = tmp_path / "other.csv"
    path.write_text("body,mark\ngood film,1\nbad film,0\n")
    for attempt in (lambda: evaluate(run / "run" / "model", str(path)), lambda: trained.score(TEXTS, [0, 1] * 15)):
        with pytest.raises(DataError, match=message):
            attempt()


def test_trainings_in_threads_do_not_disturb_each_other(trained: TextClassifier) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(
            pool.map(lambda _: TextClassifier(SETTINGS).fit(TEXTS, LABELS, verbose=False).predict_proba(TEXTS), range(3))
        )
    for one in found:
        np.testing.assert_array_equal(one, trained.predict_proba(TEXTS))


def test_no_column_of_text_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"data\.text must name a column"):
        TextClassifier({"data": {"text": []}})
