"""The spaCy component: probabilities in `doc.cats`, alone, in pipes, on disk, in bytes and in other processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
import spacy
from conftest import TinyRun
from helpers import tiny_artifact
from spacy.language import Language
from typer.testing import CliRunner

from textcls.artifact import read_artifact, write_artifact
from textcls.cli import app
from textcls.errors import InputError, ModelError
from textcls.exports import export
from textcls.exports.spacy_folder import write_pipeline
from textcls.inference import Predictor
from textcls.inference.graph import build_graph
from textcls.spacy_component import TextclsComponent

TEXTS = ["the team won twice", "a virus, our galaxy!", "", "the bank  is back\n"]
ROOT = Path(__file__).parent.parent


@pytest.fixture
def nlp(tiny_run: TinyRun) -> Language:
    language = spacy.blank("en")
    language.add_pipe("textcls", config={"model": str(tiny_run.model)})
    return language


def scores(language: Language, texts: list[str] = TEXTS) -> list[dict[str, float]]:
    return [doc.cats for doc in language.pipe(texts)]


def test_cats_are_the_models_probabilities(nlp: Language, tiny_run: TinyRun, tiny_onnx: Path) -> None:
    expected = Predictor.load(tiny_run.model).predict(TEXTS).probabilities
    found = scores(nlp)
    assert list(found[0]) == ["money", "science", "sport"] == list(nlp.pipe_labels["textcls"])
    np.testing.assert_allclose([list(cats.values()) for cats in found], expected, atol=1e-6)
    np.testing.assert_allclose(list(nlp(TEXTS[0]).cats.values()), expected[0], atol=1e-6)
    other = spacy.blank("xx")
    other.add_pipe("textcls", config={"model": str(tiny_onnx)})
    assert scores(other) == found
    for cats, of_many in zip(found, scores(nlp, ["the team"] * 1000 + TEXTS)[-4:], strict=True):
        assert of_many == pytest.approx(cats)


def test_the_labels_of_other_components_stay(nlp: Language) -> None:
    doc = nlp.make_doc("the team")
    doc.cats = {"other": 0.5}
    assert set(nlp.get_pipe("textcls")(doc).cats) == {"other", "money", "science", "sport"}


def test_pipelines_are_written_and_loaded(nlp: Language, tiny_run: TinyRun, tmp_path: Path) -> None:
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    assert [path.name for path in (tmp_path / "pipeline" / "textcls").iterdir()] == ["model.onnx"]
    config = tmp_path / "pipeline" / "config.cfg"
    config.write_text(config.read_text().replace(str(tiny_run.model), "gone/to/another/place"))
    assert scores(spacy.load(tmp_path / "pipeline")) == expected
    empty = spacy.blank("en")
    empty.add_pipe("textcls")
    assert scores(empty.from_bytes(nlp.to_bytes())) == expected
    component = pickle.loads(pickle.dumps(nlp.get_pipe("textcls")))
    assert component(empty.make_doc(TEXTS[0])).cats == expected[0]


def test_without_a_model_it_says_so() -> None:
    with pytest.raises(ModelError, match=r"textcls: has no model; nlp\.add_pipe"):
        TextclsComponent()(spacy.blank("en").make_doc("x"))
    assert TextclsComponent().labels == ()
    with pytest.raises(ModelError, match="nowhere: does not exist"):
        TextclsComponent(model="nowhere")(spacy.blank("en").make_doc("x"))


@pytest.mark.parametrize("tokenizer", ["unicode", "spacy"])
def test_an_exported_pipeline_holds_its_model(tokenizer: str, tmp_path: Path) -> None:
    artifact = replace(tiny_artifact(TEXTS, tokenizer=tokenizer), metrics={"test": {"accuracy": 0.75, "rows": 9}})
    content = build_graph(artifact).SerializeToString(deterministic=True)
    for name in ("one", "two"):
        write_pipeline(artifact, content, tmp_path / name)
    nlp = spacy.load(tmp_path / "one")
    assert (nlp.lang, nlp.meta["performance"]) == ("en" if tokenizer == "spacy" else "xx", {"accuracy": 0.75})
    expected = Predictor.from_artifact(artifact).predict(TEXTS).probabilities
    np.testing.assert_allclose([list(cats.values()) for cats in scores(nlp)], expected, atol=1e-6)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)


@pytest.mark.parametrize("tokenizer", ["unicode", "basic_english"])
def test_a_run_of_punctuation_takes_no_time(tokenizer: str, tmp_path: Path) -> None:
    artifact = tiny_artifact(tokenizer=tokenizer)
    write_pipeline(artifact, build_graph(artifact).SerializeToString(), tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    text = " (a\n b), " + "(" * 20_000
    start = time.process_time()
    doc = nlp(text)
    assert time.process_time() - start < 5  # half a minute with the rules of `xx`
    assert doc.text == text
    assert [token.text for token in doc if not token.is_space] == text.split()
    expected = Predictor.from_artifact(artifact).predict([text]).probabilities[0]
    np.testing.assert_allclose(list(doc.cats.values()), expected, atol=1e-6)


def test_a_taken_place_is_kept(tiny_run: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files than an export"):
        export(tiny_run.model, tmp_path, to="spacy", force=True)
    with pytest.raises(InputError, match="is a file; the format spacy is a folder"):
        export(tiny_run.model, tmp_path / "other.txt", to="spacy", force=True)


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True])
def test_the_command_exports_a_proven_pipeline(many: bool, tiny_run: TinyRun, tmp_path: Path) -> None:
    model = tiny_run.model
    if many:
        model = tmp_path / "model"
        write_artifact(replace(read_artifact(tiny_run.model), many=True, thresholds=(0.5, 0.25, 0.5)), model, "")
    for _ in range(2):
        result = CliRunner().invoke(app, ["export", str(model), str(tmp_path / "pipeline"), "--to", "spacy", "--force"])
        assert result.exit_code == 0, result.stderr
    assert "equal to the model on" in result.stdout
    nlp = spacy.load(tmp_path / "pipeline")
    assert len(scores(nlp)) == 4
    expected = {"money": 0.5, "science": 0.25, "sport": 0.5} if many else None
    component = nlp.get_pipe("textcls")
    assert isinstance(component, TextclsComponent)
    assert component.thresholds == expected
    assert ("thresholds says from which on" in result.stdout) == many


@pytest.mark.slow
def test_a_component_that_spacy_does_not_find_is_said(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        "read = m.Distribution.entry_points.fget\n"
        "kept = lambda d: m.EntryPoints(e for e in read(d) if (e.group, e.name) != ('spacy_factories', 'textcls'))\n"
        "m.Distribution.entry_points = property(kept)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"does not find the component textcls: .* install textcls again with pip"):
        export(tiny_run.model, tmp_path / "pipeline", to="spacy")
    assert not (tmp_path / "pipeline").exists()


@pytest.mark.slow
def test_spacy_makes_a_wheel_of_it_and_finds_the_component_by_itself(tmp_path: Path) -> None:
    artifact = tiny_artifact(TEXTS)
    write_pipeline(artifact, build_graph(artifact).SerializeToString(), tmp_path / "pipeline")
    copytree(ROOT / "textcls", tmp_path / "source" / "textcls", ignore=ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / "source" / name).write_bytes((ROOT / name).read_bytes())

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "pip", "install", "--no-build-isolation", "--no-deps", "--target", "site", tmp_path / "source")
    run("-m", "pip", "install", "--target", "site", "build")
    (tmp_path / "wheels").mkdir()
    run("-m", "spacy", "package", "pipeline", "wheels", "--build", "wheel", "--name", "films", "--version", "1.2.3")
    wheel = next((tmp_path / "wheels").rglob("*.whl"))
    metadata = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA"))
    assert "Requires-Dist: textcls" in zipfile.ZipFile(wheel).read(metadata).decode()
    run("-m", "pip", "install", "--no-deps", "--target", "site", wheel)
    code = f"import spacy; print(list(spacy.load('xx_films')({TEXTS[0]!r}).cats.values()))"
    expected = Predictor.from_artifact(artifact).predict(TEXTS[:1]).probabilities[0]
    assert [float(value) for value in run("-c", code).strip("[]\n").split(",")] == pytest.approx(expected.tolist(), abs=1e-6)
