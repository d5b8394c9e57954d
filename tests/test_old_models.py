"""Models that earlier versions wrote: every later version loads them, and gives the answers that they gave then.

`v1` is the first version of the format. The next is named by the day of its code, `2026-11-22`, since neither the format version (1)
nor the package's (0.1.0) had changed. tests/fixtures/README.md tells what each model is, and how it was made.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from textcls import TextClassifier
from textcls.artifact import GRAPH_FILE, read_artifact
from textcls.cli import app
from textcls.exports import export
from textcls.inference import Predictor

FIXTURES = Path(__file__).parent / "fixtures"
FIRST = ("v1/single", "v1/many")  # models carried no hashes yet
HASHED = tuple(f"2026-11-22/{name}" for name in ("single", "many", "ngrams", "spacy", "pooled"))
INT8 = "2026-11-22/ngrams_int8"

runner = CliRunner()


@pytest.fixture(params=FIRST + HASHED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=HASHED)
def hashed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def file(name: str) -> Path:
    return FIXTURES / f"{name}.onnx"


def folder(name: str, place: Path) -> Path:
    """Return a copy of a model folder, as loading keeps the graph beside the weights."""
    return Path(shutil.copytree(FIXTURES / name, place / "model"))


def then(name: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return recorded


def check(model: Path, name: str) -> None:
    recorded, classifier = then(name), TextClassifier.load(model)
    np.testing.assert_allclose(classifier.predict_proba(recorded["texts"]), recorded["probabilities"], atol=1e-5)
    # As JSON: 1, 1.0 and True are equal in Python, and labels keep their types.
    assert json.dumps(classifier.predict(recorded["texts"]).tolist()) == json.dumps(recorded["predicted"])


def run(*arguments: object) -> str:
    result = runner.invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_folder_answers_as_it_did(name: str, tmp_path: Path) -> None:
    model = folder(name, tmp_path)
    assert not (model / GRAPH_FILE).exists()  # training left none: loading makes it
    check(model, name)
    assert (model / GRAPH_FILE).is_file()
    check(model, name)


def test_a_folder_with_the_graph_of_its_day_answers_as_it_did(name: str, tmp_path: Path) -> None:
    model = folder(name, tmp_path)
    shutil.copy(file(name), model / GRAPH_FILE)
    if name in HASHED:
        run("info", model, "--verify")
    check(model, name)
    (model / GRAPH_FILE).unlink()
    check(model, name)


def test_a_file_answers_as_it_did(name: str) -> None:
    check(file(name), name)


def test_ngrams_in_floats_stay_floats_and_give_the_same_bits() -> None:
    """The file has the graph of its day; that of the folder is built anew. Newer models have whole numbers."""
    name = "2026-11-22/ngrams"
    artifact = read_artifact(FIXTURES / name)
    assert artifact.weights["ngrams.weight"].dtype == np.float32
    texts = then(name)["texts"]
    before, anew = Predictor.load(file(name), threads=1), Predictor.from_artifact(artifact, threads=1)
    np.testing.assert_array_equal(anew.predict(texts).probabilities, before.predict(texts).probabilities)


def test_an_int8_file_answers_as_it_did() -> None:
    """Its answers were recorded for each text alone: activations become whole numbers by the range of their batch.

    Processors without instructions for products of eight bits add these up with saturation, others do not: that moves these
    probabilities by up to 0.001, half of the tolerance. Those of the model itself are up to 0.007 away.
    """
    recorded, classifier = then(INT8), TextClassifier.load(file(INT8))
    alone = [[text] for text in recorded["texts"]]
    probabilities = np.concatenate([classifier.predict_proba(text) for text in alone])
    np.testing.assert_allclose(probabilities, recorded["probabilities"], atol=2e-3)
    assert [classifier.predict(text).tolist() for text in alone] == [[label] for label in recorded["predicted"]]


@pytest.mark.slow
def test_a_folder_is_exported_anew(name: str, tmp_path: Path) -> None:
    export(folder(name, tmp_path), tmp_path / "new.onnx")
    check(tmp_path / "new.onnx", name)


def test_a_folder_is_saved_anew(name: str, tmp_path: Path) -> None:
    TextClassifier.load(folder(name, tmp_path)).save(tmp_path / "new")
    run("info", tmp_path / "new", "--verify")
    check(tmp_path / "new", name)


def test_a_folder_and_a_file_are_still_what_was_written(hashed: str, tmp_path: Path) -> None:
    model = folder(hashed, tmp_path)
    run("info", model, "--verify")
    check(model, hashed)
    run("info", model, "--verify")  # now with the graph that loading keeps
    run("info", file(hashed), "--verify")


def test_an_int8_file_is_still_what_was_written() -> None:
    run("info", file(INT8), "--verify")


@pytest.mark.parametrize("ending", ["", ".onnx"])
@pytest.mark.parametrize("first", FIRST)
def test_the_first_models_carry_no_hashes_and_verify_says_so(first: str, ending: str) -> None:
    result = runner.invoke(app, ["info", str(FIXTURES / f"{first}{ending}"), "--verify"])
    assert result.exit_code == 2
    assert "so it cannot be verified: an older textcls wrote it" in result.stderr


def test_thresholds_are_those_that_were_recorded(hashed: str) -> None:
    for model in (FIXTURES / hashed, file(hashed)):
        assert json.loads(run("info", model, "--json"))["thresholds"] == then(hashed).get("thresholds")


def test_classify_answers_as_it_did(name: str, tmp_path: Path) -> None:
    recorded, rows = then(name), tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in recorded["texts"]), encoding="utf-8")
    run("classify", folder(name, tmp_path), rows, "-o", tmp_path / "out.jsonl", "--all-scores")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = [[value for column, value in answer.items() if column.startswith("score:")] for answer in answers]
    np.testing.assert_allclose(scores, recorded["probabilities"], atol=1e-5)
    if "many" in name:  # the most probable comes first
        assert [sorted(answer["labels"]) for answer in answers] == [sorted(labels) for labels in recorded["predicted"]]
    else:
        assert json.dumps([answer["label"] for answer in answers]) == json.dumps(recorded["predicted"])
