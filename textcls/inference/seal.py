"""Whether a model is still what was written: hashes that files carry of themselves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx

from textcls.artifact import read_artifact
from textcls.errors import ModelError
from textcls.files import file_sha256

_SEAL = "textcls.sha256"


def seal(model: onnx.ModelProto) -> None:
    """Write into a graph the hash of everything else in it, in the place of an older one."""
    digest = _sha256(model)
    kept = [entry for entry in model.metadata_props if entry.key != _SEAL]
    del model.metadata_props[:]
    model.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=_SEAL, value=digest)])


def verify(path: Path) -> list[str]:
    """Return what has changed in a model folder or an exported file since textcls wrote it, one line for each; none where nothing has.

    A folder's model card and metrics are left out: people may add to them.

    Raises:
        ModelError: There is no model, it is damaged, or it carries no hashes.
    """
    if path.is_file():
        return _verify_file(path)
    read_artifact(path)  # raises where there is no model, in words that say so
    try:
        hashes: dict[str, str] = json.loads((path / "metrics.json").read_text(encoding="utf-8"))["sha256"]
    except KeyError as error:
        raise _unsealed(path) from error
    changed = [
        f"{path}: {name} is not what training wrote" for name, digest in hashes.items() if file_sha256(path / name) != digest
    ]
    kept_graph = path / "model.onnx"
    return changed + (_verify_file(kept_graph) if kept_graph.is_file() else [])


def _verify_file(path: Path) -> list[str]:
    from textcls.inference.predictor import read_graph

    model = read_graph(path)
    digest = next((entry.value for entry in model.metadata_props if entry.key == _SEAL), None)
    if digest is None:
        raise _unsealed(path)
    return [] if digest == _sha256(model) else [f"{path}: its graph, weights or metadata are not what textcls wrote"]


def _unsealed(path: Path) -> ModelError:
    return ModelError(f"{path}: carries no hashes, so it cannot be verified: it is of an older textcls; write it again")


def _sha256(model: onnx.ModelProto) -> str:
    """Return the SHA-256 of a model without its seal."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.metadata_props[:]
    other.metadata_props.extend(entry for entry in model.metadata_props if entry.key != _SEAL)
    return hashlib.sha256(other.SerializeToString(deterministic=True)).hexdigest()
