"""Predictor: a folder or a file, classified alike, and refused with one line where it is no model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers import tiny_artifact

from textcls.artifact import FORMAT_VERSION, write_artifact
from textcls.data.labels import Label
from textcls.errors import ModelError
from textcls.exports.parity import expected_probabilities
from textcls.exports.texts import HARD_TEXTS
from textcls.inference import Predictor, predictor
from textcls.inference.graph import build_graph

TEXTS = ["a word", *HARD_TEXTS, "b " * 2000]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tiny_artifact(TEXTS), tmp_path / "model", "# card\n")
    return tmp_path / "model"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    onnx.save(build_graph(tiny_artifact(TEXTS)), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("threads", [1, 2])
def test_it_gives_what_torch_gives_in_order(kind: str, threads: int, request: pytest.FixtureRequest) -> None:
    loaded = Predictor.load(request.getfixturevalue(kind), threads=threads)
    found = loaded.predict(TEXTS)
    np.testing.assert_allclose(found.probabilities, expected_probabilities(tiny_artifact(TEXTS), TEXTS), atol=1e-5)
    assert str(found.probabilities.dtype) == "float32"
    assert [i for i, empty in enumerate(found.empty) if empty] == [1, 2]
    assert [i for i, cut in enumerate(found.truncated) if cut] == [len(TEXTS) - 2, len(TEXTS) - 1]
    assert loaded.labels == ("no", "yes", "maybe")


def test_one_by_one_is_all_together(folder: Path) -> None:
    loaded = Predictor.load(folder)
    alone = [loaded.predict([text]).probabilities[0] for text in TEXTS]
    np.testing.assert_allclose(loaded.predict(TEXTS).probabilities, alone, atol=1e-5)


def test_no_texts(folder: Path) -> None:
    found = Predictor.load(folder).predict([])
    assert (found.probabilities.shape, len(found.empty), len(found.truncated)) == ((0, 3), 0, 0)


@pytest.mark.parametrize("labels", [(1, 2), (False, True), (0.5, 1.5)])
@pytest.mark.parametrize("tokenizer", ["unicode", "basic_english"])
def test_labels_keep_their_types_in_a_file(tmp_path: Path, labels: tuple[Label, ...], tokenizer: str) -> None:
    onnx.save(build_graph(tiny_artifact(["a b"], labels=labels, tokenizer=tokenizer)), tmp_path / "model.onnx")
    loaded = Predictor.load(tmp_path / "model.onnx")
    assert list(map(repr, loaded.labels)) == list(map(repr, labels))
    assert loaded.settings.tokenizer == tokenizer
    assert loaded.predict(["a"]).probabilities.shape == (1, 2)


def test_the_graph_is_built_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def counted(artifact: Any) -> Any:
        built.append(artifact)
        return build_graph(artifact)

    monkeypatch.setattr(predictor, "build_graph", counted)
    Predictor.load(folder)
    before = (folder / "model.onnx").read_bytes()
    Predictor.load(folder)
    assert len(built) == 1
    assert (folder / "model.onnx").read_bytes() == before
    assert not [path.name for path in folder.iterdir() if ".part" in path.name]


@pytest.mark.parametrize("stale", [build_graph(tiny_artifact(TEXTS, seed=1)).SerializeToString(), b"", b"no onnx", None])
def test_a_stale_graph_is_built_anew(folder: Path, stale: bytes | None) -> None:
    if stale is None:  # metadata without a fingerprint
        model = build_graph(tiny_artifact(TEXTS, seed=1))
        onnx.helper.set_model_props(model, {"textcls": json.dumps({"format_version": 1}), "textcls.vocabulary": ""})
        stale = model.SerializeToString()
    (folder / "model.onnx").write_bytes(stale)
    found = Predictor.load(folder).predict(TEXTS).probabilities
    np.testing.assert_allclose(found, expected_probabilities(tiny_artifact(TEXTS), TEXTS), atol=1e-5)
    assert (folder / "model.onnx").read_bytes() != stale


def test_a_folder_that_cannot_be_written_is_fine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    found = Predictor.load(folder).predict(TEXTS).probabilities
    np.testing.assert_allclose(found, expected_probabilities(tiny_artifact(TEXTS), TEXTS), atol=1e-5)
    assert not (folder / "model.onnx").exists()


def with_record(**changes: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        properties = {entry.key: entry.value for entry in model.metadata_props}
        record = {k: v for k, v in (json.loads(properties["textcls"]) | changes).items() if v is not None}
        onnx.helper.set_model_props(model, properties | {"textcls": json.dumps(record)})

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda model: onnx.helper.set_model_props(model, {}), "not one that `textcls export` wrote"),
        (with_record(format_version=FORMAT_VERSION + 1), f"format version {FORMAT_VERSION + 1}, written by a newer textcls"),
        (with_record(format_version="x"), "metadata is damaged"),
        (with_record(labels=None), "is damaged"),
        (with_record(text={"tokenizer": "x"}), "is damaged"),
        (lambda model: model.graph.ClearField("node"), "is damaged"),
    ],
)
def test_a_file_that_is_no_model_of_ours(file: Path, change: Callable[[onnx.ModelProto], None], expected: str) -> None:
    model = onnx.load(file)
    change(model)
    onnx.save(model, file)
    assert expected in refusal(file)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 50])
def test_a_file_that_is_no_onnx(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    refusal(file)


def test_half_a_file(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2000])
    refusal(file)


def test_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.onnx").endswith("does not exist")


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as raised:
        Predictor.load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_classifying_imports_no_torch(kind: str, request: pytest.FixtureRequest) -> None:
    script = (
        "import sys\nfrom textcls.inference import Predictor\n"
        "print(Predictor.load(sys.argv[1]).predict(['a word']).probabilities.shape)\n"
        "heavy = {'torch', 'spacy', 'sklearn', 'datasets', 'matplotlib', 'pandas', 'torchtext'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", script, str(request.getfixturevalue(kind))]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "(1, 3)\n"


def test_the_record_tells_where_the_model_came_from(tmp_path: Path) -> None:
    artifact = replace(tiny_artifact(), metrics={"test": {"rows": 3}}, provenance={"train_rows": 9})
    record = Predictor.from_artifact(artifact).record
    assert (record["metrics"], record["provenance"]) == ({"test": {"rows": 3}}, {"train_rows": 9})
