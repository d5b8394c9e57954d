"""Whether a model is still what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from helpers import tiny_artifact
from typer.testing import CliRunner

from textcls.artifact import write_artifact
from textcls.cli import app
from textcls.errors import ModelError
from textcls.exports.quantized import quantize
from textcls.inference import Predictor
from textcls.inference.graph import add_to_record, build_graph
from textcls.inference.seal import verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tiny_artifact(), tmp_path / "model", "# card\n")
    Predictor.load(tmp_path / "model")  # which keeps the graph there
    return tmp_path / "model"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_an_untouched_folder_is_unchanged(folder: Path) -> None:
    (folder / "README.md").write_text("# a better card\n")
    assert verify(folder) == []
    result = CliRunner().invoke(app, ["info", "--verify", str(folder)])
    assert (result.exit_code, result.stdout) == (0, f"{folder}: unchanged since textcls wrote it\n")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", flip),
        ("config.yaml", lambda path: path.write_text(path.read_text().replace("max_tokens: 1000", "max_tokens: 999"))),
        ("calibration.json", lambda path: path.write_text(path.read_text().replace("1.3", "1.2"))),
        ("vocabulary.txt", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x\n")),
        ("labels.json", lambda path: path.write_text(path.read_text().replace("maybe", "perhaps"))),
    ],
)
def test_a_changed_file_of_a_folder_is_named(folder: Path, name: str, change: Callable[[Path], Any]) -> None:
    before = (folder / name).read_bytes()
    change(folder / name)
    assert (folder / name).read_bytes() != before
    result = CliRunner().invoke(app, ["info", str(folder), "--verify"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"textcls: {folder}: {name} is not what training wrote\n"


def test_a_changed_kept_graph_is_named(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    onnx.save(model, folder / "model.onnx")
    assert verify(folder) == [f"{folder / 'model.onnx'}: its graph, weights or metadata are not what textcls wrote"]


def rename_label(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "LabelEncoder" and node.output[0] == "label")
    next(a for a in node.attribute if a.name == "values_strings").strings[0] = b"NO"


def forge_record(model: onnx.ModelProto) -> None:
    next(entry for entry in model.metadata_props if entry.key == "textcls").value += " "


@pytest.mark.parametrize("form", [lambda model: model, quantize])
@pytest.mark.parametrize("change", [rename_label, forge_record, None])
def test_an_exported_file_knows_itself(tmp_path: Path, form: Any, change: Any) -> None:
    model = form(build_graph(tiny_artifact()))
    if change:
        change(model)
    onnx.save(model, tmp_path / "out.onnx")
    assert bool(verify(tmp_path / "out.onnx")) == bool(change)
    add_to_record(model, note="sealed again")
    onnx.save(model, tmp_path / "out.onnx")
    assert verify(tmp_path / "out.onnx") == []


def test_what_carries_no_hashes_cannot_be_verified(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    del model.metadata_props[-1]
    onnx.save(model, folder / "model.onnx")
    record = json.loads((folder / "metrics.json").read_text())
    del record["sha256"]
    (folder / "metrics.json").write_text(json.dumps(record))
    for path in (folder, folder / "model.onnx"):
        with pytest.raises(ModelError, match="carries no hashes"):
            verify(path)
    with pytest.raises(ModelError, match="does not exist"):
        verify(folder / "nothing")
