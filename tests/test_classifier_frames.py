"""`TextClassifier` on tables, with weights, in pipelines: what a Python user hands in, and gets back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import Dataset
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer
from test_data_frames import FRAMES

from textcls import TextClassifier
from textcls.errors import DataError, InputError
from textcls.inference import explain

MODEL: dict[str, Any] = {"embedding_size": 4, "hidden_size": 4, "embedding_dropout": 0, "output_dropout": 0}
MODEL |= {"ngram_slots": 0, "pooling": "final"}
TRAINING = {"epochs": 12, "epoch_steps": 1, "batch_size": 8, "learning_rate": 0.05, "word_dropout": 0}
TRAINING |= {"threads": 1, "average": 0.5}
SETTINGS: dict[str, Any] = {"data": {"validation_share": 0}, "model": MODEL, "training": TRAINING}
TEXTS = [f"{word} film {n % 4}" for n in range(15) for word in ("good", "bad")]
LABELS = ["pos", "neg"] * 15
COLUMNS: dict[str, list[Any]] = {"n": list(range(30)), "text": TEXTS, "label": LABELS, "w": [1.0, 2.0] * 15}


def settings(**data: Any) -> dict[str, Any]:
    return {**SETTINGS, "data": {"validation_share": 0, **data}}


@pytest.fixture(scope="module")
def trained() -> TextClassifier:
    return TextClassifier(SETTINGS).fit(TEXTS, LABELS)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dataset", "dictionary"])
class TestEveryTable:
    def test_the_texts_are_classified_and_not_the_names(self, kind: str, trained: TextClassifier) -> None:
        frame = FRAMES[kind](COLUMNS)
        assert trained.predict(frame).tolist() == LABELS
        np.testing.assert_array_equal(trained.predict_proba(frame), trained.predict_proba(TEXTS))
        np.testing.assert_array_equal(trained.transform(frame), trained.transform(TEXTS))
        assert trained.predict(FRAMES[kind]({"whatever": TEXTS})).tolist() == LABELS

    def test_fit_finds_text_and_label(self, kind: str) -> None:
        frame = FRAMES[kind](COLUMNS)
        model = TextClassifier(SETTINGS).fit(frame)
        assert model.predict(frame).tolist() == LABELS
        assert (model.score(frame), model.score(frame, LABELS)) == (1.0, 1.0)
        assert model.evaluate(frame)["rows"] == 30

    def test_labels_beside_it(self, kind: str) -> None:
        frame = FRAMES[kind]({"body": TEXTS})
        assert TextClassifier(SETTINGS).fit(frame, LABELS).score(frame, LABELS) == 1.0

    def test_validation_data(self, kind: str) -> None:
        frame = FRAMES[kind](COLUMNS)
        for given in (frame, (frame, LABELS), (TEXTS, LABELS)):
            model = TextClassifier(SETTINGS).fit(frame, validation_data=given)
            assert model.metrics_["validation"]["rows"] == 30

    def test_classify_gives_it_back(self, kind: str, trained: TextClassifier) -> None:
        found = trained.classify(FRAMES[kind](COLUMNS), top_k=2)
        names = list(found) if kind in {"pandas", "dictionary"} else found.columns if kind == "polars" else found.column_names
        assert names == ["n", "text", "input_label", "w", "label", "confidence", "label_2", "confidence_2", "note", "error"]
        assert (found["label"].to_pylist() if kind == "arrow" else list(found["label"])) == LABELS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("good film", "texts is one string: give a list of texts"),
        (b"good film", "texts is one bytes: give a list"),
        ([["good film"]], "the text at index 0 is ['good film']: give strings"),
        (np.array([["good film"]]), "texts is an array of 2 dimensions: give one of 1"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "the DataFrame: there is no column 'text'; the columns are: 'a', 'b'"),
        ({"a": ["x"], "b": ["y"]}, "the dictionary: there is no column 'text'; the columns are: 'a', 'b'"),
        (pd.DataFrame({"text": ["x", None]}), "the DataFrame, row 2: 'text' is null"),
        (3, "texts is a int: give a list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "explain"])
def test_anything_else_raises_one_line(method: str, given: Any, message: str, trained: TextClassifier) -> None:
    with pytest.raises(DataError) as caught:
        getattr(trained, method)(given)
    assert str(caught.value) == message


def test_several_columns_and_a_model_that_was_loaded(tmp_path: Path) -> None:
    frame = pd.DataFrame({"title": TEXTS, "body": ["x"] * 30, "mark": LABELS})
    model = TextClassifier(settings(text=["title", "body"], label="mark")).fit(frame)
    model.save(tmp_path / "model")
    model.export(tmp_path / "model.onnx")
    expected = model.predict_proba([f"{text}\nx" for text in TEXTS])
    for again in (model, TextClassifier.load(tmp_path / "model"), TextClassifier.load(tmp_path / "model.onnx")):
        np.testing.assert_allclose(again.predict_proba(frame), expected, atol=1e-6)
        assert again.score(frame) == model.score(frame)
        assert list(again.classify(frame)["label"]) == again.predict(frame).tolist()


def test_keywords_are_scikit_learns() -> None:
    model = TextClassifier(SETTINGS).fit(X=TEXTS, y=LABELS, sample_weight=np.ones(30))
    assert model.predict(X=TEXTS).tolist() == LABELS
    assert model.predict_proba(X=TEXTS).shape == (30, 2)
    assert model.score(X=TEXTS, y=LABELS) == 1.0


def test_validation_data_that_is_none() -> None:
    for given in (TEXTS, (TEXTS,), (TEXTS, LABELS, LABELS)):
        with pytest.raises(DataError, match="validation_data must be a table with labels, or a pair of texts and labels"):
            TextClassifier(SETTINGS).fit(TEXTS, LABELS, validation_data=given)
    with pytest.raises(DataError, match="X is missing"):
        TextClassifier(SETTINGS).fit(None, LABELS)


# Many labels

TAGS = [["film", "good"] if "good" in text else ["film"] if "0" in text else [] for text in TEXTS]
BINARIZER = MultiLabelBinarizer().fit(TAGS)
MATRIX = BINARIZER.transform(TAGS)


@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (lambda: MATRIX, [0, 1]),
        (lambda: MultiLabelBinarizer(sparse_output=True).fit_transform(TAGS), [0, 1]),
        (lambda: pd.DataFrame(MATRIX, columns=["film", "good"]), ["film", "good"]),
        (lambda: pa.table({"film": MATRIX[:, 0], "good": MATRIX[:, 1]}), ["film", "good"]),
    ],
    ids=["numpy", "sparse", "pandas", "arrow"],
)
def test_an_indicator_matrix_is_many_labels(make: Callable[[], Any], labels: list[Any]) -> None:
    model = TextClassifier({**SETTINGS, "training": {**TRAINING, "epochs": 30}})
    model.fit(TEXTS, make(), validation_data=(TEXTS, make()))
    assert model.classes_.tolist() == labels
    assert model.score(TEXTS, make()) > 0.9
    predicted = model.predict(TEXTS)
    assert predicted.dtype == np.int64
    assert predicted.tolist() == MATRIX.tolist()
    assert model.predict([]).shape == (0, 2)


def test_an_indicator_keeps_its_columns(tmp_path: Path) -> None:
    table = pd.DataFrame({"good": MATRIX[:, 1], "none": 0, "film": MATRIX[:, 0]})
    model = TextClassifier({**SETTINGS, "training": {**TRAINING, "epochs": 30}}).fit(TEXTS, table)
    assert model.classes_.tolist() == ["good", "none", "film"]
    assert model.predict(TEXTS).tolist() == table.to_numpy().tolist()
    probabilities = model.predict_proba(TEXTS)
    assert probabilities[:, 1].max() < 0.2  # of a label that no row has nothing can be learnt
    assert roc_auc_score(table[["good", "film"]], probabilities[:, [0, 2]], average="macro") == 1.0
    assert pickle.loads(pickle.dumps(model)).predict(TEXTS).tolist() == table.to_numpy().tolist()
    model.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.classes_.tolist() == ["good", "none", "film"]
    assert [set(found) for found in loaded.predict(TEXTS)] == list(map(set, TAGS))
    assert loaded.score(TEXTS, table) == loaded.score(TEXTS, table[["film", "none", "good"]]) == 1.0
    assert loaded.score(TEXTS, table.to_numpy()) == model.score(TEXTS, model.predict(TEXTS)) == 1.0
    assert model.evaluate(TEXTS, model.predict(TEXTS))["accuracy"] == 1.0
    for wrong in (table[["film", "good"]], table.to_numpy()[:, :2], table.rename(columns={"none": "other"})):
        with pytest.raises(DataError, match=r"missing: 'none'|has 2 columns, but there are 3 labels"):
            model.score(TEXTS, wrong)
    assert model.fit(TEXTS, LABELS).predict(["good film"]).tolist() == ["pos"]  # what was given last counts


@pytest.mark.parametrize("kind", ["table", "array"])
def test_scorers_of_many_labels_find_their_columns(kind: str) -> None:
    table = pd.DataFrame({"z": [1, 0] * 15, "a": [0, 1] * 15, "b": [1, 1, 0, 1, 0, 0] * 5})
    y = table if kind == "table" else table.to_numpy()
    model = TextClassifier(SETTINGS)
    scoring = ["f1_macro", "roc_auc", "average_precision", "accuracy"]
    found = cross_validate(model, TEXTS, y, cv=2, scoring=scoring, error_score="raise", return_estimator=True)
    half = slice(0, 15)  # what the first fold leaves out, and so is tested on
    fitted, truth = found["estimator"][0], table.to_numpy()[half]
    assert found["test_f1_macro"][0] == f1_score(truth, fitted.predict(TEXTS[half]), average="macro")
    assert found["test_roc_auc"][0] == roc_auc_score(truth, fitted.predict_proba(TEXTS[half]))
    assert found["test_f1_macro"].min() > 0.6
    assert roc_auc_score(truth[:, :2], fitted.predict_proba(TEXTS[half])[:, :2]) == 1.0


@pytest.mark.parametrize("label", [True, 2, 1.5, "b"])
def test_explain_knows_every_label_of_classes(label: Any) -> None:
    other = {True: False, 2: 1, 1.5: 0.5, "b": "a"}[label]
    model = TextClassifier(SETTINGS).fit(TEXTS, [label, other] * 15)
    explained = model.explain(["good film"])[0].label
    assert (type(explained), explained) == (type(label), label)
    for place, expected in enumerate(model.classes_.tolist()):
        (found,) = model.explain(["good film"], label=model.classes_[place])
        assert (type(found.label), found.label) == (type(expected), expected)


@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
def test_transform_gives_what_set_output_says(container: str, trained: TextClassifier) -> None:
    frame = pd.DataFrame({"text": TEXTS[:4]}, index=range(7, 11))
    model = copy.copy(trained)
    assert model.set_output(transform=container) is model
    found = clone(model).fit_transform(pd.DataFrame(COLUMNS), verbose=False)
    assert type(found).__module__.partition(".")[0] == {"default": "numpy"}.get(container, container)
    found = model.transform(frame)
    np.testing.assert_array_equal(np.asarray(found), trained.transform(frame))
    if container != "default":
        assert list(found.columns) == trained.get_feature_names_out().tolist()
    if container == "pandas":
        assert found.index.tolist() == [7, 8, 9, 10]
    with pytest.raises(InputError, match="transform is 'table': give one of default, pandas, polars"):
        model.set_output(transform="table")


def test_a_table_without_rows_gets_columns_of_the_same_types(trained: TextClassifier) -> None:
    frame = pd.DataFrame(COLUMNS)
    full, empty = (trained.classify(some, top_k=2, all_scores=True) for some in (frame, frame[:0]))
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


# Weights


def test_sample_weight_is_repeating_rows() -> None:
    texts, labels, weights = ["a b", "c d", "a d", "c b"], ["x", "y", "x", "y"], np.array([3, 1, 1, 1])
    rows = np.repeat(np.arange(4), weights)  # which leave the tokens in the same order, so that the weights begin the same
    repeated = TextClassifier(SETTINGS).fit([texts[row] for row in rows], [labels[row] for row in rows])
    expected = repeated.predict_proba(texts)
    column = TextClassifier(settings(weight="w"))
    for model in (
        TextClassifier(SETTINGS).fit(texts, labels, weights),
        column.fit({"text": texts, "label": labels, "w": weights}),
        column.fit({"text": texts, "label": labels, "w": [1] * 4}, sample_weight=weights),
    ):
        np.testing.assert_allclose(model.predict_proba(texts), expected, atol=1e-3)
    alone = TextClassifier(SETTINGS).fit(texts, labels)
    assert np.abs(alone.predict_proba(texts) - expected).max() > 0.01


def test_score_weighs_rows(trained: TextClassifier) -> None:
    wrong = ["neg", *LABELS[1:]]
    weights = np.array([30.0, *[1.0] * 29])
    assert trained.score(TEXTS, wrong) == pytest.approx(29 / 30)
    assert trained.score(TEXTS, wrong, weights) == pytest.approx(29 / 59)
    assert trained.score(pd.DataFrame({"text": TEXTS, "label": wrong}), sample_weight=weights) == pytest.approx(29 / 59)
    assert trained.score(TEXTS, wrong, weights > 1) == 0
    for huge in (1.7e308, 1e-320):
        with pytest.raises(DataError, match="the weights add up to"):
            trained.score(TEXTS, wrong, [huge] * 30)
    with pytest.raises(DataError, match="the texts all weigh 0"):
        trained.score(TEXTS, wrong, np.zeros(30))


def test_a_model_of_weighted_rows_needs_no_weights_afterwards(tmp_path: Path) -> None:
    model = TextClassifier(settings(weight="w")).fit(pd.DataFrame(COLUMNS))
    frame = pd.DataFrame(COLUMNS).drop(columns="w")
    model.save(tmp_path / "model")
    model.export(tmp_path / "model.onnx")
    for again in (model, TextClassifier.load(tmp_path / "model"), TextClassifier.load(tmp_path / "model.onnx")):
        assert again.score(frame) == 1.0
        assert again.evaluate(frame)["accuracy"] == 1.0


def test_weights_that_cannot_be_used() -> None:
    with pytest.raises(DataError, match=r"the weight at index 1 is -2\.0: give a number, 0 or more"):
        TextClassifier(SETTINGS).fit(TEXTS, LABELS, [1.0, -2.0] * 15)
    with pytest.raises(DataError, match=r"^the weights add up to inf: give some whose sum is from 1e-30 to 1e\+30$"):
        TextClassifier(settings(weight="w")).fit({"text": TEXTS, "label": LABELS, "w": [1.7e308] * 30})
    with pytest.raises(DataError, match="there are 30 texts, but 2 weights in sample_weight"):
        TextClassifier(SETTINGS).fit(TEXTS, LABELS, [1, 2])


# scikit-learn's tools


def test_it_stands_in_a_pipeline() -> None:
    pipeline = Pipeline([("textcls", TextClassifier(SETTINGS)), ("classifier", LogisticRegression())])
    assert pipeline.fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1.0
    features = pipeline[:-1].transform(TEXTS)
    assert (features.shape, features.dtype) == ((30, 8), np.float32)
    assert pipeline[:-1].get_feature_names_out().tolist() == [f"textclassifier{n}" for n in range(8)]
    weights = pipeline["textcls"]._folder_model().weights
    logits = features @ weights["classifier.weight"].T + weights["classifier.bias"]
    assert (logits.argmax(axis=1) == pipeline["textcls"].predict_proba(TEXTS).argmax(axis=1)).all()
    pipeline.set_params(textcls__training__epochs=3)
    assert pipeline.get_params()["textcls__training__epochs"] == 3


def test_it_stands_in_a_column_transformer() -> None:
    columns = make_column_transformer((TextClassifier(SETTINGS), "text"), ("passthrough", ["n"]))
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=1000))
    assert pipeline.fit(pd.DataFrame(COLUMNS), LABELS).score(pd.DataFrame(COLUMNS), LABELS) == 1.0
    assert columns.fit_transform(pd.DataFrame(COLUMNS), LABELS).shape == (30, 9)


def test_cross_validation_of_a_table() -> None:
    frame = pd.DataFrame(COLUMNS, index=range(100, 130))
    weighted = cross_val_score(TextClassifier(SETTINGS), frame, frame["label"], cv=2, params={"sample_weight": frame["w"]})
    assert weighted.tolist() == [1.0, 1.0]
    search = GridSearchCV(TextClassifier(SETTINGS), {"training__epochs": [1, 12]}, cv=2, scoring="neg_log_loss")
    assert search.fit(frame, frame["label"], sample_weight=frame["w"], verbose=False).best_params_ == {"training__epochs": 12}


# Words


def test_explain_gives_what_the_command_computes(trained: TextClassifier) -> None:
    found = trained.explain(["good film", ""])
    assert found == [explain(trained._trained(), text) for text in ("good film", "")]
    assert [word.text for word in found[0].words] == ["good", "film"]
    assert found[0].label == "pos"
    (other,) = trained.explain(pd.DataFrame({"text": ["good film"]}), label="neg")
    assert other.label == "neg"
    assert other.words[0].effect < 0
    with pytest.raises(InputError, match="the model has no label 'meh'"):
        trained.explain(["good film"], label="meh")
    numbered = TextClassifier(SETTINGS).fit(TEXTS, [1, 2] * 15)
    assert numbered.explain(["good film"], label=1)[0].label == 1


def test_it_works_within_map(trained: TextClassifier) -> None:
    dataset = Dataset.from_dict({"text": TEXTS, "n": list(range(30))})
    mapped = dataset.map(
        lambda batch: {"label": trained.predict(batch)}, batched=True, batch_size=7, load_from_cache_file=False
    )
    assert list(mapped["label"]) == LABELS
