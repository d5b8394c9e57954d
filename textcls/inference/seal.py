"""Whether a model is still what was written: hashes that models and exports carry of themselves.

A model folder has them in `metrics.json`, an ONNX file and a `.pt2` file in their metadata, a web page and a spaCy pipeline in
`SHA256SUMS`, which `sha256sum --check` reads too. They tell damage and changes; they are no signature, since whoever changes a
model can hash it anew.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import onnx

from textcls.artifact import Artifact, changed_files, read_artifact
from textcls.errors import ModelError
from textcls.files import file_sha256
from textcls.inference.hub import GRAPH_FILE, INT8_FILE

SUMS = "SHA256SUMS"
_SEAL = "textcls.sha256"
# Where the graph lies in the folder of an export, by the files that mark its kind.
_FOLDERS = {("meta.json", "config.cfg"): "textcls/model.onnx", ("model.json", "index.html"): "model.onnx"}


def seal(model: onnx.ModelProto) -> None:
    """Write into a graph the hash of everything else in it, in the place of an older one."""
    digest = _sha256(model)
    kept = [entry for entry in model.metadata_props if entry.key != _SEAL]
    del model.metadata_props[:]
    model.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=_SEAL, value=digest)])


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder into one more, in the form of `sha256sum`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def exported_graph(folder: Path) -> Path | None:
    """Return the ONNX file in the folder of a web or spaCy export; None where the folder is neither."""
    for marks, place in _FOLDERS.items():
        if all((folder / mark).is_file() for mark in marks):
            return folder / place
    return None


def verify(path: Path) -> list[str]:
    """Return what has changed in a model folder or an export since textcls wrote it, one line for each; none where nothing has.

    A model folder's card, `README.md`, is left out: people may write on it.

    Raises:
        ModelError: There is no model, it carries no hashes, or they cannot be read.
    """
    if path.suffix == ".pt2" and path.is_file():
        from textcls.inference.program import verify_program

        return verify_program(path)
    if path.is_file():
        return _verify_file(path)
    if graph := exported_graph(path):
        return _verify_sums(path, graph)
    changed = changed_files(path)
    if changed is None:
        raise ModelError(
            f"{path}: carries no hashes, so it cannot be verified: an older textcls wrote it; "
            f"`textcls export {shlex.quote(str(path))} FOLDER --to hub` writes it anew, with hashes"
        )
    if changed:
        return [f"{path}: {name} is missing or not what textcls wrote" for name in changed]
    graphs = [path / name for name in (GRAPH_FILE, INT8_FILE) if (path / name).is_file()]
    return [line for graph in graphs for line in _verify_kept(graph)]


def _verify_kept(path: Path) -> list[str]:
    """Whether a graph that is kept beside the weights is whole, and theirs."""
    again = "textcls makes it again" if path.name == GRAPH_FILE else "export the model again"
    wrong = f"{path}: is not the graph that textcls made of this model; delete it, and {again}"
    try:
        if _verify_file(path):
            return [wrong]
    except ModelError:  # of any kind: the folder itself is what textcls wrote
        return [wrong]
    return [] if _answers_as(onnx.load(path), read_artifact(path.parent)) else [wrong]


def _answers_as(graph: onnx.ModelProto, artifact: Artifact) -> bool:
    """Whether a graph says that it was made of a model. Its fingerprint does not serve: a new setting of textcls changes that."""
    from textcls.inference.graph import metadata, vocabulary_of

    told = json.loads(next(entry.value for entry in graph.metadata_props if entry.key == "textcls"))
    own = json.loads(metadata(artifact)["textcls"])
    same_settings = all(own[part].get(name, value) == value for part in ("text", "model") for name, value in told[part].items())
    same_facts = all(told.get(name) == own[name] for name in ("weights_sha256", "labels", "many", "temperature", "thresholds"))
    return same_settings and same_facts and vocabulary_of(graph) == artifact.vocabulary.tokens


def _verify_sums(folder: Path, graph: Path) -> list[str]:
    """Whether the files of an exported folder, its graph among them, are those of its list.

    Raises:
        ModelError: It has no list, or a damaged one.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {folder / name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        sums[graph]  # a list that lost its lines is none
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{folder}: has no {SUMS} that can be read, so it cannot be verified: export the model again"
        ) from error
    return [
        f"{folder}: {file.relative_to(folder).as_posix()} is missing or not what textcls wrote"
        for file, digest in sums.items()
        if not file.is_file() or file_sha256(file) != digest
    ]


def _verify_file(path: Path) -> list[str]:
    from textcls.inference.predictor import read_graph

    model = read_graph(path)
    digest = next((entry.value for entry in model.metadata_props if entry.key == _SEAL), None)
    if digest is None:
        raise ModelError(
            f"{path}: carries no hash, so it cannot be verified: an older textcls wrote it; export the model again"
        )
    return [] if digest == _sha256(model) else [f"{path}: its graph, weights or metadata are not what textcls wrote"]


def _sha256(model: onnx.ModelProto) -> str:
    """Return the SHA-256 of a model without its seal."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.metadata_props[:]
    other.metadata_props.extend(entry for entry in model.metadata_props if entry.key != _SEAL)
    return hashlib.sha256(other.SerializeToString(deterministic=True)).hexdigest()
