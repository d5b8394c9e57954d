"""Models that the first version wrote: every later version reads them, and gives the scores they gave then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textcls import TextClassifier
from textcls.exports import export

FIXTURES = Path(__file__).parent / "fixtures" / "v1"


@pytest.fixture(params=["single", "many"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def then(name: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return recorded


def check(classifier: TextClassifier, name: str) -> None:
    recorded = then(name)
    np.testing.assert_allclose(classifier.predict_proba(recorded["texts"]), recorded["probabilities"], atol=1e-5)
    predicted = [
        list(labels) if isinstance(labels, tuple) else labels for labels in classifier.predict(recorded["texts"]).tolist()
    ]
    assert predicted == recorded["predicted"]


def test_a_model_folder_of_the_first_version(name: str, tmp_path: Path) -> None:
    model = shutil.copytree(FIXTURES / name, tmp_path / name)  # a copy, as loading keeps the graph beside the weights
    check(TextClassifier.load(model), name)
    export(model, tmp_path / "new.onnx")
    check(TextClassifier.load(tmp_path / "new.onnx"), name)


def test_an_exported_file_of_the_first_version(name: str) -> None:
    check(TextClassifier.load(FIXTURES / f"{name}.onnx"), name)
