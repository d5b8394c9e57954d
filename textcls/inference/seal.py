"""Whether a model is still what was written: hashes that models and exports carry of themselves.

A model folder has them in `metrics.json`, an ONNX file and a `.pt2` file in their metadata, the folder of an export in
`SHA256SUMS`, which `sha256sum --check` reads too and which tells an export's own files from others. They tell damage and changes;
they are no signature, since whoever changes a model can hash it anew.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import onnx

from textcls.artifact import GRAPH_FILE, INT8_FILE, MODEL_FILES, SUMS, Artifact, changed_files, read_artifact
from textcls.errors import ModelError
from textcls.files import file_sha256
from textcls.saved_settings import saved_settings

_SEAL = "textcls.sha256"
_MODEL_FOLDER = (*MODEL_FILES, GRAPH_FILE, INT8_FILE, SUMS)  # all that textcls keeps in one


class Kind(NamedTuple):
    """The folder of an export: files that tell its kind, those that it needs besides, and its graph."""

    marks: tuple[str, ...]
    others: tuple[str, ...]
    graph: str


SPACY = Kind(("meta.json", "config.cfg"), (), "textcls/model.onnx")
WEB = Kind(
    ("model.json", "index.html"),
    (
        "app.js", "classifier.js", "icon.svg", "style.css", "table.js",
        "runtime/LICENSE", "runtime/ort-wasm-simd-threaded.wasm", "runtime/ort.wasm.bundle.min.js",
    ),
    "model.onnx",
)  # fmt: skip


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


def read_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that an export wrote into a folder, by its path within the folder.

    Raises:
        ModelError: There is no list of them, it is damaged, or it names a file outside the folder.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise _no_sums(folder) from error
    for name in sums:
        if (
            ".." in PurePosixPath(name).parts
            or PurePosixPath(name).is_absolute()
            or PureWindowsPath(name).anchor
            or "\0" in name
        ):
            raise ModelError(f"{folder}: {SUMS} names {name!r}, which is not in the folder: export the model again")
    return sums


def _no_sums(folder: Path) -> ModelError:
    return ModelError(f"{folder}: has no {SUMS} that can be read, so it cannot be verified: export the model again")


def foreign_files(folder: Path, own: Collection[str]) -> list[str]:
    """Return the paths within a folder of what is none of some files; of a folder with none of them its own path alone.

    Args:
        folder: The folder.
        own: Paths within it, with `/`.
    """
    found = []
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()
        inside = [name.removeprefix(f"{path.name}/") for name in own if name.startswith(f"{path.name}/")]
        if is_folder and inside:
            found += [f"{path.name}/{name}" for name in foreign_files(path, inside)]
        elif is_folder or path.name not in own:
            found.append(path.name)
    return found


def exported_graph(folder: Path) -> Path | None:
    """Return the ONNX file in the folder of a web or spaCy export; None where the folder is neither."""
    kind = _kind(folder)
    return None if kind is None else folder / kind.graph


def _kind(folder: Path) -> Kind | None:
    """Tell the kind of an export by its files, or by its list of them where one is missing."""
    listed: Collection[str] = ()
    with suppress(ModelError):
        listed = read_sums(folder)
    for kind in (SPACY, WEB):
        if all(mark in listed or (folder / mark).is_file() for mark in kind.marks):
            return kind
    return None


def verify(path: Path) -> list[str]:
    """Return what has changed in a model folder or an export since textcls wrote it, one line for each; none where nothing has.

    A model folder's card, `README.md`, is left out: people may write on it. So are hidden files: git, the Hub's client and
    desktops keep theirs in any folder.

    Raises:
        ModelError: There is no model, it carries no hashes, or they cannot be read.
    """
    if path.suffix == ".pt2" and path.is_file():
        from textcls.inference.program import verify_program

        return verify_program(path)
    if path.is_file():
        return _verify_file(path)
    if kind := _kind(path):
        return _verify_sums(path, kind)
    changed = changed_files(path)
    if changed is None:
        raise ModelError(
            f"{path}: carries no hashes, so it cannot be verified: an older textcls wrote it; "
            f"`textcls export {shlex.quote(str(path))} FOLDER --to hub` writes it anew, with hashes"
        )
    wrong = [f"{path}: {name} is missing or not what textcls wrote" for name in changed]
    wrong += [f"{path}: {name} is no file that textcls wrote" for name in _seen(foreign_files(path, _MODEL_FOLDER))]
    graphs = [path / name for name in (GRAPH_FILE, INT8_FILE) if (path / name).is_file() and not changed]
    return wrong + [line for graph in graphs for line in _verify_kept(graph)]


def _seen(names: list[str]) -> list[str]:
    """Leave out what is hidden."""
    return [name for name in names if not any(part.startswith(".") for part in name.split("/"))]


def _verify_kept(path: Path) -> list[str]:
    """Whether a graph that is kept beside the weights is whole, and theirs."""
    again = "textcls makes it again" if path.name == GRAPH_FILE else "export the model again"
    wrong = f"{path}: is not the graph that textcls made of this model; delete it, and {again}"
    try:
        if _verify_file(path):
            return [wrong]
    except ModelError:  # of any kind: the folder itself is what textcls wrote
        return [wrong]
    return [] if _answers_as(onnx.load(path), read_artifact(path.parent), path.name) else [wrong]


def _answers_as(graph: onnx.ModelProto, artifact: Artifact, name: str) -> bool:
    """Whether a graph says that it was made of a model, to be kept under a name.

    Its fingerprint does not serve: a new setting of textcls changes that.
    """
    from textcls.inference.graph import ALWAYS_FAST, metadata, vocabulary_of

    told = saved_settings(json.loads(next(entry.value for entry in graph.metadata_props if entry.key == "textcls")))
    own = json.loads(metadata(artifact)["textcls"])
    same_settings = all(own[part].get(name, value) == value for part in ("text", "model") for name, value in told[part].items())
    same_facts = all(
        told.get(name) == own[name] for name in ("weights_sha256", "labels", "many", "temperature", "thresholds", "fast")
    )
    same_facts &= not told.get(ALWAYS_FAST) and ("quantized" in told) == (name == INT8_FILE)
    return same_settings and same_facts and vocabulary_of(graph) == artifact.vocabulary.tokens


def _verify_sums(folder: Path, kind: Kind) -> list[str]:
    """Whether the files of an exported folder are those of its list, and the list has what its kind needs.

    Raises:
        ModelError: It has no list, or a damaged one.
    """
    sums = read_sums(folder)
    if kind.graph not in sums:  # a list that lost its lines is none
        raise _no_sums(folder)
    changed = [name for name, digest in sums.items() if not (folder / name).is_file() or file_sha256(folder / name) != digest]
    unlisted = dict.fromkeys([*kind.marks, *kind.others, *_seen(foreign_files(folder, [*sums, SUMS]))])
    return [
        *(f"{folder}: {name} is missing or not what textcls wrote" for name in changed),
        *(f"{folder}: {name} is not one of the files in its {SUMS}" for name in unlisted if name not in sums),
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
