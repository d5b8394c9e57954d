"""Many labels a text, or none: from the loss to every command."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import onnxruntime
import pytest
import torch
from helpers import tiny_artifact
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pyarrow import parquet
from sklearn.model_selection import KFold, cross_val_score
from typer.testing import CliRunner, Result

from textcls import TextClassifier, evaluate
from textcls.artifact import Artifact, read_artifact, write_artifact
from textcls.cli import app
from textcls.config import Config, DataSettings, ModelSettings, TrainingSettings
from textcls.data import LabelSet, Rows, label_text, read_labelled
from textcls.data.memory import rows_from_memory
from textcls.errors import DataError, ExportError, ModelError
from textcls.evaluation import choose_thresholds, in_single_precision, sigmoid
from textcls.exports import export
from textcls.exports.texts import HARD_TEXTS
from textcls.inference import Predictor, explain
from textcls.inference.graph import build_graph
from textcls.model import Network
from textcls.model.engine import TorchEngine
from textcls.text import Encoded
from textcls.training import Fitted, Note, fit, losses, scoring
from textcls.training.batches import LabelledSplit, make_batch
from textcls.training.distributed import ALONE
from textcls.training.fit import evaluate_rows
from textcls.training.step import Step

LABELS = ("red", "round", "sweet")
FRUITS = ("apple", "berry", "cherry", "melon", "plum", "fig", "lime", "pear")
runner = CliRunner()


def fruits(names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Every fruit with every set of words; the words are the labels."""
    sets = [[label for label, has in zip(LABELS, some, strict=True) if has] for some in product((0, 1), repeat=3)]
    rows = [(f"the {name} is {' and '.join(labels) or 'nothing'}", labels) for name in names for labels in sets]
    return [text for text, _ in rows], [labels for _, labels in rows]


TEXTS, LISTS = fruits(FRUITS)
SMALL = {  # and sure of what it learns, so that no answer below hangs on a rounding
    "data.validation_share": 0.25,
    "model.ngram_slots": 0,
    "model.embedding_size": 8,
    "model.hidden_size": 8,
    "model.embedding_dropout": 0.0,
    "model.output_dropout": 0.0,
    "training.word_dropout": 0.0,
    "training.label_smoothing": 0.0,
    "training.metric": "log_loss",
    "training.epochs": 16,
    "training.epoch_steps": 1,
    "training.batch_size": 8,
    "training.learning_rate": 0.03,
    "training.average": 0.9,
    "training.threads": 1,
}


def write_jsonl(path: Path, texts: Sequence[str], labels: Sequence[Any]) -> Path:
    rows = [json.dumps({"text": text, "tags": some}) + "\n" for text, some in zip(texts, labels, strict=True)]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def many_artifact(**changes: Any) -> Artifact:
    """A random model over the hard texts whose thresholds part them."""
    artifact = replace(tiny_artifact(**changes), many=True, thresholds=(0.5, 0.5, 0.5))
    cuts = np.quantile(Predictor.from_artifact(artifact).predict(HARD_TEXTS).probabilities, (0.2, 0.5, 0.8), axis=0).diagonal()
    return replace(artifact, thresholds=tuple(cuts.astype(np.float32).tolist()))


# --- the loss and the thresholds


FOUR = LabelledSplit(
    Encoded(np.array([2, 3, 4, 5, 2, 4], np.int32), np.array([0, 2, 3, 4, 6]), np.zeros(4, bool), np.zeros(4, bool)),
    np.array([[1, 0], [1, 1], [1, 0], [0, 0]], bool),
    ("a", "b"),
)


@pytest.mark.parametrize(("smoothing", "weights"), [(0.0, (1.0, 1.0)), (0.2, (1.0, 1.0)), (0.2, (3.0, 0.5))])
def test_the_loss_of_a_step_is_the_binary_cross_entropy(smoothing: float, weights: tuple[float, float]) -> None:
    torch.manual_seed(0)
    network = Network(
        ModelSettings(embedding_size=4, hidden_size=3, ngram_slots=0, embedding_dropout=0, layer_dropout=0, output_dropout=0),
        6,
        2,
    )
    given = dict(zip("ab", weights, strict=True))
    settings = TrainingSettings(word_dropout=0, label_smoothing=smoothing, learning_rate=0.1, class_weights=given)
    p = sigmoid(scoring.score(network, FOUR.encoded)[[2, 0, 1]])
    t = FOUR.targets[[2, 0, 1]] * (1 - smoothing) + smoothing / 2
    expected = -(np.where(FOUR.targets[[2, 0, 1]], weights, 1) * (t * np.log(p) + (1 - t) * np.log(1 - p))).mean()
    step, batch = Step(network, FOUR, settings), make_batch(FOUR, np.array([2, 0, 1]), settings, ALONE, 1, 0)
    losses = [step(batch, settings.learning_rate) for _ in range(2)]
    assert losses[0].item() == pytest.approx(expected, rel=1e-5)
    assert losses[1] < losses[0]


def test_weights_of_having_a_label() -> None:
    def weights(class_weights: Any, train: LabelledSplit = FOUR) -> list[float]:
        return losses.class_weights(TrainingSettings(class_weights=class_weights), train).tolist()

    assert weights("none") == [1, 1]
    assert weights("balanced") == pytest.approx([1 / 3, 3])
    assert weights({"b": 2, "a": 3}) == [3, 2]
    rare = np.zeros((1000, 2), bool)
    rare[0, 0] = rare[:, 1] = True  # one row has the first label, every row the second
    assert weights("balanced", replace(FOUR, targets=rare)) == pytest.approx([20, 1 / 20])


@given(arrays(np.float32, (9, 2), elements=st.floats(0, 1, width=32)), arrays(np.bool_, (9, 2)))
def test_no_rounding_moves_a_cut(probabilities: NDArray[np.float32], targets: NDArray[np.bool_]) -> None:
    chosen = choose_thresholds(probabilities, targets)
    rounded = in_single_precision(chosen)
    assert rounded.dtype == np.float32
    assert ((probabilities >= rounded) == (probabilities >= chosen)).all()
    neighbours = np.nextafter(np.array([0.1, 0.3], np.float32), np.float32(1))
    assert (in_single_precision(np.array([0.1, 0.3])) <= neighbours).all()


# --- the graph and the parity gate


@pytest.mark.parametrize("tokenizer", ["unicode", "basic_english"])
@pytest.mark.slow
def test_the_exported_file_gives_what_torch_gives(tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.exports.onnx_file.LONG_TEXT_TOKENS", 1200)
    artifact = many_artifact(tokenizer=tokenizer)
    write_artifact(artifact, tmp_path / "model", "")
    report = export(tmp_path / "model", tmp_path / "out.onnx")
    assert report.many
    assert report.largest_difference < 1e-5
    one, other = Predictor.load(tmp_path / "model"), Predictor.load(tmp_path / "out.onnx")
    encoded = one.encoder.encode(HARD_TEXTS)
    expected = TorchEngine(artifact, "cpu")(encoded.ids, encoded.offsets)
    for predictor in (one, other):
        assert predictor.many
        assert predictor.thresholds is not None
        assert tuple(predictor.thresholds.tolist()) == artifact.thresholds
        np.testing.assert_allclose(predictor.predict(HARD_TEXTS).probabilities, expected, atol=1e-6)
    assert np.abs(expected.sum(axis=1) - 1).max() > 0.1  # not a softmax
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["selected", "probabilities"]
    if tokenizer == "unicode":
        selected, probabilities = session.run(None, {"text": np.array(["naïve", "", "x y"], dtype=object)})
        assert (selected == (probabilities >= other.thresholds)).all()


@pytest.mark.parametrize("change", [-2e-5, 2e-5])
def test_an_export_with_another_cut_is_refused(change: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = many_artifact()
    probabilities = Predictor.from_artifact(artifact).predict(["x y"]).probabilities[0]
    cuts = probabilities - np.float32(np.sign(change) * 1.5e-5)  # on one side of the text, and after the change on the other
    artifact = replace(artifact, thresholds=tuple(cuts.tolist()))
    write_artifact(artifact, tmp_path / "model", "")
    (tmp_path / "texts.txt").write_text("x y\n")
    moved = replace(artifact, thresholds=tuple(cut + change for cut in artifact.thresholds or ()))
    monkeypatch.setattr("textcls.exports.onnx_file.build_graph", lambda _artifact, **options: build_graph(moved, **options))
    named = r"\[\]" if change > 0 else r"\['no', 'yes', 'maybe'\]"
    with pytest.raises(ExportError, match=f"differs from the model in the label of the text 'x y' \\({named}"):
        export(tmp_path / "model", tmp_path / "out.onnx", texts=tmp_path / "texts.txt")
    assert not (tmp_path / "out.onnx").exists()


def test_a_difference_within_the_tolerance_is_no_other_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.exports.onnx_file.LONG_TEXT_TOKENS", 1200)
    artifact = many_artifact()
    cuts = Predictor.from_artifact(artifact).predict(["x y"]).probabilities[0] + np.float32(1e-7)  # a hair above that text
    write_artifact(replace(artifact, thresholds=tuple(cuts.tolist())), tmp_path / "model", "")
    (tmp_path / "texts.txt").write_text("x y\n")
    moved = replace(artifact, thresholds=tuple((cuts - np.float32(1e-6)).tolist()))
    monkeypatch.setattr("textcls.exports.onnx_file.build_graph", lambda _artifact, **options: build_graph(moved, **options))
    assert export(tmp_path / "model", tmp_path / "out.onnx", texts=tmp_path / "texts.txt").many


# --- the model folder


def test_a_folder_keeps_kind_and_thresholds(tmp_path: Path) -> None:
    artifact = many_artifact()
    write_artifact(artifact, tmp_path / "many", "")
    again = read_artifact(tmp_path / "many")
    assert (again.many, again.thresholds, again.fingerprint) == (True, artifact.thresholds, artifact.fingerprint)
    others = (replace(artifact, many=False, thresholds=None), replace(artifact, thresholds=(0.5, 0.5, 0.25)))
    assert len({artifact.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_a_folder_that_says_nothing_of_many_labels_gives_one(tmp_path: Path) -> None:
    write_artifact(tiny_artifact(), tmp_path / "one", "")
    for name in ("labels.json", "calibration.json"):
        record = json.loads((tmp_path / "one" / name).read_text())
        (tmp_path / "one" / name).write_text(json.dumps({k: v for k, v in record.items() if k not in {"many", "thresholds"}}))
    again = read_artifact(tmp_path / "one")
    assert (again.many, again.thresholds) == (False, None)
    assert Predictor.load(tmp_path / "one").thresholds is None


@pytest.mark.parametrize(("many", "thresholds", "found"), [(True, None, 0), (True, (0.5, 0.5), 2), (False, (0.5, 0.5, 0.5), 3)])
def test_thresholds_that_do_not_fit_are_refused(many: bool, thresholds: Any, found: int, tmp_path: Path) -> None:
    write_artifact(replace(tiny_artifact(), many=many, thresholds=thresholds), tmp_path / "model", "")
    with pytest.raises(ModelError, match=f"calibration.json has {found} thresholds, labels.json wants {3 * many}"):
        read_artifact(tmp_path / "model")


# --- reading


READ = [["a", "b"], [], ["b"]]
FILES = {
    "list.jsonl": '{"text": "x", "tags": ["a", "b"]}\n{"text": "y", "tags": []}\n{"text": "z", "tags": ["b"]}\n',
    "null.jsonl": '{"text": "x", "tags": ["a", "b"]}\n{"text": "y", "tags": null}\n{"text": "z", "tags": "b"}\n',
    "json.csv": 'text,tags\nx,"[""a"", ""b""]"\ny,[]\nz,"[""b""]"\n',
    "separated.csv": 'text,tags\nx,"a, b"\ny,\nz,b\n',
    "semicolon.tsv": "text\ttags\nx\ta; b\ny\t\nz\tb\n",
    "bar.csv": "text,tags\nx,a|b\ny,\nz,b\n",
    "fast.txt": "__label__a __label__b x\ny\n__label__b z\n",
}


@pytest.mark.parametrize("name", FILES)
def test_lists_of_labels_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    rows = read_labelled(tmp_path / name, DataSettings(labels="tags"))
    assert (list(rows.texts), list(rows.labels)) == (["x", "y", "z"], READ)
    assert rows.many
    assert set(rows.labels.distinct) == {"a", "b"}
    assert rows.targets(LabelSet(("b",))).tolist() == [[True], [False], [True]]


def test_a_dataset_gives_the_names_of_its_class_labels() -> None:
    names = datasets.ClassLabel(names=["joy", "anger", "grief"])
    for feature in (datasets.Sequence(names), datasets.List(names)):
        features = datasets.Features({"text": datasets.Value("string"), "labels": feature})
        dataset = datasets.Dataset.from_dict({"text": ["x", "y", "z"], "labels": [[2, 0], [], [1]]}, features=features)
        assert read_labelled(dataset, DataSettings(labels="labels")).labels == [["grief", "joy"], [], ["anger"]]


# --- training


def fitted(train: Rows, validation: Rows | None, **changes: Any) -> tuple[Fitted, list[str]]:
    training = fit(Config().replace(SMALL | {"training.epochs": 1} | changes), train, validation)
    said: list[str] = []
    while True:
        try:
            event = next(training)
            said += [event.text] if isinstance(event, Note) else []
        except StopIteration as end:
            return end.value, said


def rows_of(texts: Sequence[str], labels: Sequence[Any]) -> Rows:
    return rows_from_memory(texts, labels, DataSettings())


def test_without_validation_the_thresholds_are_one_half() -> None:
    result, _ = fitted(rows_of(TEXTS, LISTS), None)
    assert (result.artifact.thresholds, result.artifact.temperature) == ((0.5, 0.5, 0.5), 1.0)
    assert result.artifact.config.data.labels == "labels"  # where files are evaluated later


def test_labels_that_training_never_saw_count_as_missed() -> None:
    result, _ = fitted(rows_of(TEXTS, LISTS), rows_of(TEXTS[:16], [[*some, "new"] for some in LISTS[:16]]))
    report, probabilities, targets = evaluate_rows(result, rows_of(["the red fig", "a"], [["red"], ["new", "newer"]]))
    assert list(report["per_class"]) == [*LABELS, "new", "newer"]
    assert (report["unseen_label_rows"], report["per_class"]["new"]["threshold"]) == (1, None)
    assert (probabilities.shape, targets.tolist()) == ((2, 3), [[True, *[False] * 4], [False, False, False, True, True]])
    assert result.artifact.metrics["validation"]["accuracy"] == 0  # no row can be all right


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        ([["a"], ["a"]], None, "the training rows have one label alone, 'a'"),
        ([[], []], None, "the training rows have no label"),
        ([["a"], ["b"]], [["c"], []], "no validation row has a label that the training rows have: .* data.labels"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(train: Any, validation: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fitted(rows_of(["x", "y"], train), validation and rows_of(["x", "y"], validation))


def test_one_of_many_and_many_of_them_are_other_models() -> None:
    single, _ = fitted(rows_of(["red x", "round x", "sweet y"] * 2, list(LABELS) * 2), None)
    training = fit(Config().replace(SMALL | {"training.epochs": 1}), rows_of(TEXTS, LISTS), None, start_from=single.artifact)
    notes = [event.text for event in training if isinstance(event, Note)]
    assert "the labels differ from those of the trained model: the classifier layer starts anew" in notes


# --- the whole flow, from the command line


@dataclass(frozen=True)
class ManyRun:
    folder: Path
    model: Path
    validation: Path
    onnx: Path
    output: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ManyRun:
    """A model that learnt fruits well, and its export; no test may change them."""
    folder = tmp_path_factory.mktemp("many")
    train = write_jsonl(folder / "train.jsonl", TEXTS, LISTS)
    validation = write_jsonl(folder / "validation.jsonl", *fruits(["date", "grape"]))
    changes = SMALL | {"data.labels": "tags", "data.validation": str(validation)}
    options = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    result = runner.invoke(app, ["train", str(train), "--run", str(folder / "run"), *options])
    assert result.exit_code == 0, result.stderr
    exported = runner.invoke(app, ["export", str(folder / "run" / "model"), str(folder / "out.onnx")])
    assert exported.exit_code == 0, exported.stderr
    assert exported.stdout.startswith("takes raw text, gives which labels are selected and probabilities\n")
    return ManyRun(folder / "run", folder / "run" / "model", validation, folder / "out.onnx", result.stdout)


def done(*arguments: object, **options: Any) -> Result:
    result = runner.invoke(app, list(map(str, arguments)), **options)
    assert result.exit_code == 0, result.stderr
    return result


def test_a_run_learns_and_records_it(run: ManyRun) -> None:
    metrics = json.loads((run.folder / "metrics.json").read_text())["validation"]
    assert metrics["macro_f1"] > 0.95
    assert {"exact match", "macro-F1", "micro-F1"} <= {line.split("  ")[0] for line in run.output.splitlines()}
    assert (run.folder / "reliability.png").is_file()
    assert not (run.folder / "confusion_matrix.png").exists()
    assert (run.folder / "labels.png").read_bytes().startswith(b"\x89PNG")
    artifact = read_artifact(run.model)
    assert [scores["threshold"] for scores in metrics["per_class"].values()] == list(artifact.thresholds or ())
    card = (run.model / "README.md").read_text()
    assert "- Labels (3, many a text): `red` from probability 0." in card
    assert "gives any number of them, or none, to a text" in card


@pytest.mark.parametrize("kind", ["model", "onnx"])
def test_evaluate_gives_the_metrics_of_the_run(run: ManyRun, kind: str) -> None:
    measured = json.loads((run.folder / "metrics.json").read_text())["validation"]
    result = done("evaluate", getattr(run, kind), run.validation, "--json", "-")
    report = json.loads(result.stdout)
    per_class = report.pop("per_class")
    assert per_class == measured.pop("per_class")
    del measured["majority"]  # which only training knows
    assert report == pytest.approx(measured, abs=1e-6)
    assert "threshold" in done("evaluate", getattr(run, kind), run.validation).stdout


def test_errors_are_lists_of_labels_the_surest_first(run: ManyRun, tmp_path: Path) -> None:
    texts = ["the date is red", "the date is round and sweet", "the date is nothing", "the date is red and round and sweet"]
    data = write_jsonl(tmp_path / "odd.jsonl", texts, [["red"], ["sweet"], ["odd"], LABELS])
    found = evaluate(run.model, str(data)).errors
    assert [(row["row"], row["label"], row["predicted"]) for row in found] == [
        (3, ["odd"], []),  # that a label it does not know is not there, a model is sure of
        (2, ["sweet"], ["round", "sweet"]),
    ]
    round_ = Predictor.load(run.model).predict([texts[1]]).probabilities[0, 1]
    assert [row["confidence"] for row in found] == pytest.approx([1, round_], abs=1e-6)
    done("evaluate", run.model, data, "--errors", tmp_path / "wrong.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "wrong.csv").read_text())))
    assert [json.loads(row["predicted"]) for row in rows] == [[], ["round", "sweet"]]
    (tmp_path / "column.csv").write_text("text,kinds\nthe date is red,red\nthe date is red and sweet,sweet;red\n")
    other = json.loads(done("evaluate", run.model, tmp_path / "column.csv", "--label", "kinds", "--json", "-").stdout)
    assert (other["rows"], other["accuracy"]) == (2, 1)


CLASSIFIED = ["the lime is red and sweet", "the lime is nothing", "the lime is round"]
EXPECTED = [["red", "sweet"], [], ["round"]]


@pytest.mark.parametrize("kind", ["model", "onnx"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "parquet"])
def test_classified_files_hold_lists(run: ManyRun, kind: str, ending: str, tmp_path: Path) -> None:
    source, out = write_jsonl(tmp_path / "in.jsonl", CLASSIFIED, [1, 2, 3]), tmp_path / f"out.{ending}"
    result = done("classify", getattr(run, kind), source, "-o", out, "--all-scores", "--top-k", 2)
    rows: list[dict[str, Any]]
    if ending == "parquet":
        rows = parquet.read_table(out).to_pylist()
    elif ending == "jsonl":
        rows = list(map(json.loads, out.read_text().splitlines()))
    else:
        text = csv.DictReader(io.StringIO(out.read_text()), delimiter="\t" if ending == "tsv" else ",")
        rows = [row | {name: json.loads(row[name]) for name in ("labels", "confidences")} for row in text]
    predicted = Predictor.load(run.model).predict(CLASSIFIED).probabilities
    for row, expected, scores in zip(rows, EXPECTED, predicted, strict=True):
        given = {label: score for label, score in zip(LABELS, scores.tolist(), strict=True) if label in expected}
        assert row["labels"] == sorted(given, key=lambda label: -given[label])
        assert row["confidences"] == pytest.approx(sorted(given.values(), reverse=True), abs=2e-6)
        assert [float(row[f"score:{label}"]) for label in LABELS] == pytest.approx(scores.tolist(), abs=2e-6)
        order = np.argsort(-scores)
        assert [row["label"], row["label_2"]] == [LABELS[order[0]], LABELS[order[1]]]
        assert float(row["confidence_2"]) == pytest.approx(scores[order[1]], abs=2e-6)
    assert "  red 1, round 1, sweet 1" in result.stderr
    assert "  1 with none of the labels" in result.stderr


def test_lists_alone_unless_more_is_asked_for(run: ManyRun, tmp_path: Path) -> None:
    rows = list(map(json.loads, done("classify", run.model, "-", input="\n".join(CLASSIFIED)).stdout.splitlines()))
    assert [sorted(row) for row in rows] == [["confidences", "labels", "line"]] * 3
    (tmp_path / "bad.jsonl").write_text('{"text": "the lime is red"}\n{"text": 1.5, "labels": "own"}\n{\n')
    result = runner.invoke(app, ["classify", str(run.model), str(tmp_path / "bad.jsonl")])
    rows = list(map(json.loads, result.stdout.splitlines()))
    assert rows[0]["labels"] == ["red"]
    assert all(row["labels"] is None and row["confidences"] is None for row in rows if row.get("error"))
    assert rows[1]["input_labels"] == "own"


def test_the_table_joins_labels_with_commas(run: ManyRun) -> None:
    lines = done("classify", run.model, "-", "--format", "table", input="\n".join(CLASSIFIED)).stdout.splitlines()
    assert lines[0].split() == ["labels", "confidences", "text"]
    assert sorted(lines[1].split("  ")[0].split(", ")) == ["red", "sweet"]
    assert lines[2].split("  ")[0] == "–"
    assert {line.index("the lime") for line in lines[1:]} == {lines[0].index("text")}


def test_explain_info_and_check(run: ManyRun) -> None:
    text = "the lime is red and sweet"
    predictor = Predictor.load(run.model)
    scores = predictor.predict([text]).probabilities[0]
    found = explain(predictor, text)
    assert found.label == LABELS[scores.argmax()]
    assert found.confidence == pytest.approx(scores.max())
    red = explain(predictor, text, "red")
    assert max(red.words, key=lambda word: word.effect).text == "red"
    classifier = TextClassifier.load(run.onnx)
    ((first, second), none) = classifier.explain([text, "the lime is nothing"])
    assert {first.label, second.label} == {"red", "sweet"}
    assert first == found
    assert none == []
    assert classifier.explain([text, text], "red") == [red, red]
    shown = done("info", run.onnx).stdout
    assert "3, many a text: red, round, sweet" in shown
    assert "thresholds" in shown
    record = json.loads(done("info", run.onnx, "--json").stdout)
    assert record["thresholds"] == list(read_artifact(run.model).thresholds or ())
    checked = done("check", run.validation, "--set", "data.labels=tags", "--set", "data.validation_share=0").stdout
    assert ["with", "no", "label,", "as", "they", "may", "2"] in [line.split() for line in checked.splitlines()]


# --- from Python


def test_text_classifier_learns_lists(tmp_path: Path) -> None:
    given = [some if index % 3 else set(some) if index % 2 else tuple(some) for index, some in enumerate(LISTS)]
    classifier = TextClassifier(Config().replace(SMALL | {"training.seed": 3})).fit(TEXTS, given)
    assert classifier.classes_.tolist() == list(LABELS)
    assert classifier.predict_proba(CLASSIFIED).shape == (3, 3)
    predicted = classifier.predict(CLASSIFIED)
    assert predicted.dtype == object
    assert predicted.tolist() == [("red", "sweet"), (), ("round",)]
    assert classifier.score(CLASSIFIED, EXPECTED) == 1
    assert classifier.score(CLASSIFIED, [["red"], [], ["round"]]) == pytest.approx(2 / 3)  # exact match
    assert classifier.evaluate(CLASSIFIED, predicted)["macro_f1"] == 1
    dataset = datasets.Dataset.from_dict({"text": CLASSIFIED, "labels": EXPECTED})
    assert classifier.evaluate(dataset)["accuracy"] == 1
    classifier.save(tmp_path / "model")
    assert TextClassifier.load(tmp_path / "model").predict(CLASSIFIED).tolist() == predicted.tolist()
    write_jsonl(tmp_path / "more.jsonl", CLASSIFIED, EXPECTED)
    assert evaluate(tmp_path / "model", str(tmp_path / "more.jsonl"), label="tags").report["accuracy"] == 1
    assert classifier.evaluate(["x", CLASSIFIED[1]], [[], []])["rows"] == 2  # rows without labels are no fault
    with pytest.raises(DataError, match=r"no row has a label that the model knows: the data have 'blue', the model knows"):
        classifier.score(["x", "y"], [["blue"], []])
    with pytest.raises(DataError, match="the labels at index 0 are 'red': give a list of labels for each text"):
        classifier.score(["x"], ["red"])


def test_labels_of_one_kind_are_wanted() -> None:
    def message(labels: Sequence[Any], **changes: Any) -> str:
        with pytest.raises(DataError) as caught:
            TextClassifier(Config().replace(SMALL | changes)).fit(["x"] * len(labels), labels)
        return str(caught.value)

    assert message(["b", ["a"]]) == "the label at index 1 is ['a']: give text, a number or a bool"
    assert message([["a"], [""]]) == "a label at index 1 is missing: ['']"
    for changes in ({}, {"data.labels": "tags"}):
        assert message([["a"], "b"], **changes) == "the labels at index 1 are 'b': give a list of labels for each text"


def test_labels_keep_their_types() -> None:
    given: list[Any] = [[np.int64(3), 1, "1"], (2,)]
    assert rows_from_memory(["x", "y"], given, DataSettings()).labels == [[3, "1"], [2]]  # equal by text: once
    classifier = TextClassifier(Config().replace(SMALL | {"training.epochs": 1})).fit(
        TEXTS, [[LABELS.index(label) for label in some] for some in LISTS]
    )
    found = {label for some in classifier.predict(TEXTS) for label in some}
    assert found
    assert all(type(label) is int for label in found)


def test_cross_validation_takes_lists() -> None:
    classifier = TextClassifier(Config().replace(SMALL | {"training.epochs": 1, "data.validation_share": 0.0}))
    scores = cross_val_score(classifier, TEXTS, LISTS, cv=KFold(2))
    assert ((scores >= 0) & (scores <= 1)).all()


# --- real data


@pytest.mark.slow
def test_go_emotions_beats_giving_every_label(tmp_path: Path) -> None:
    folder = os.environ.get("TEXTCLS_DATA")
    if not folder:
        pytest.skip("TEXTCLS_DATA does not name a folder with the evaluation data")
    settings = DataSettings(labels="labels")
    train = read_labelled(Path(folder) / "goemotions-train.parquet", settings).select(range(3000))
    validation = read_labelled(Path(folder) / "goemotions-validation.parquet", settings).select(range(1000))
    result, _ = fitted(
        train, validation, **{"training.epochs": 2, "model.hidden_size": 32, "training.class_weights": "balanced"}
    )
    report = result.artifact.metrics["validation"]
    truth = validation.targets(result.labels)
    every = truth.mean(axis=0)  # giving a label to every text has the F1 2p / (1 + p)
    assert report["macro_f1"] > (2 * every / (1 + every)).mean() + 0.05
    assert label_text(result.artifact.labels[0]) == "admiration"
    write_artifact(result.artifact, tmp_path / "model", "")
    found = Predictor.load(tmp_path / "model").predict(validation.texts).probabilities
    assert result.probabilities is not None
    np.testing.assert_allclose(found, result.probabilities, atol=1e-5)
