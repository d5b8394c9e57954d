"""The model folder: a trained model as plain arrays and dictionaries. No pickle, nothing executed on load, no absolute path.

config.yaml        the resolved settings
vocabulary.txt     one token a line, by id
labels.json        format version, labels with their JSON types, whether a text may have many of them
model.safetensors  weights under the names of the network's parameters
bpe.model          the parts of words, where these are the tokens (SentencePiece)
calibration.json   temperature, with many labels a text the threshold of each, and when n-grams may answer alone
metrics.json       what was measured, on what; the SHA-256 of the files above, and of what it says itself
README.md          the model card, which people may write on: no hash covers it
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from textcls.config import Config, ModelSettings
from textcls.errors import ConfigError, DataError, InputError, MissingPackageError, ModelError, named
from textcls.fast import FastWay, LinearHalf
from textcls.files import file_sha256, is_torn, replacing_folder
from textcls.saved_settings import load_saved_config
from textcls.text import SPECIAL_TOKENS, Vocabulary
from textcls.text.subwords import Subwords

FORMAT_VERSION = 1
RECORD, CARD = "metrics.json", "README.md"
HASHED_FILES = ("config.yaml", "vocabulary.txt", "labels.json", "model.safetensors", "calibration.json")
SUBWORDS = "bpe.model"  # of SentencePiece, where the tokens are parts of words; hashed like the others
MODEL_FILES = (*HASHED_FILES, SUBWORDS, RECORD, CARD)
GRAPH_FILE = "model.onnx"  # for ONNX Runtime, made from the rest
INT8_FILE = "model_int8.onnx"  # which others may take; textcls loads the folder
SUMS = "SHA256SUMS"  # of an export to the Hub, which is a model folder too
T = TypeVar("T")


@dataclass(frozen=True)
class Artifact:
    """A trained model as plain data.

    Attributes:
        config: Resolved settings; files by name alone.
        vocabulary: Tokens by id.
        labels: Classes by index, with their Python types.
        weights: Parameters by name, float32; the n-grams' table alone is int16, with a scale, or float32 and without one in models
            of before.
        temperature: What logits are divided by before the softmax or sigmoid (Guo et al. 2017).
        many: Whether a text may have many labels, or none: each label then has a probability of its own.
        thresholds: With many labels a text, the probability from which each label is given, by class; values of single precision,
            as the probabilities are, so that no rounding moves a cut. None otherwise.
        fast: When n-grams answer a text alone, where that is asked for; None where nothing settled it.
        metrics: What was measured on which split.
        provenance: Version, date, files and their SHA-256.
    """

    config: Config
    vocabulary: Vocabulary
    labels: tuple[str | int | float | bool, ...]
    weights: Mapping[str, NDArray[Any]]
    temperature: float = 1.0
    many: bool = False
    thresholds: tuple[float, ...] | None = None
    fast: FastWay | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that settles an answer: weights, vocabulary, labels, calibration, settings of text and network."""
        digest = hashlib.sha256()
        settings = {"text": self.config.text.model_dump(mode="json"), "model": self.config.model.model_dump(mode="json")}
        for part in (settings, self.vocabulary.tokens, self.labels, self.temperature, self.many, self.thresholds):
            digest.update(json.dumps(part, sort_keys=True).encode())
        if self.vocabulary.subwords is not None:
            digest.update(self.vocabulary.subwords.sha256.encode())
        if self.fast is not None:
            digest.update(json.dumps(self.fast.record(), sort_keys=True).encode())
        digest.update(weights_sha256(self.weights).encode())
        return digest.hexdigest()


def weights_sha256(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_artifact(artifact: Artifact, folder: Path, card: str) -> None:
    """Write a model folder, whole or not at all; an older one gives way.

    Args:
        artifact: The trained model.
        folder: Where to; its parents are made.
        card: The model card, Markdown.

    Raises:
        InputError: Something stands there that is no model's; it would be lost.
        OSError: The folder cannot be written.
    """
    check_gives_way(folder)
    with replacing_folder(folder) as new:
        write_files(artifact, new, card)


def check_gives_way(folder: Path, *, force: bool = True) -> None:
    """Refuse a place for a model where something would be lost that is no older model, and without `force` that one too.

    Raises:
        InputError: It is a file or a symbolic link, or a folder that holds others than a model's files, or a model's.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        what = "symbolic link" if folder.is_symlink() else "file"
        raise InputError(f"{folder}: is a {what}; name a folder for the model")
    own = {*MODEL_FILES, GRAPH_FILE, INT8_FILE, SUMS} if (folder / "labels.json").is_file() else set()
    found = sorted(path.name for path in folder.iterdir() if not is_torn(path)) if folder.exists() else []
    if foreign := [name for name in found if name not in own]:
        raise InputError(
            f"{folder}: holds other files than a model, which would be lost: {named(foreign)}; name a new or an empty folder"
        )
    if found and not force:
        raise InputError(f"{folder}: holds a model already; name another folder, or give force=True to write over it")


def write_files(artifact: Artifact, folder: Path, card: str) -> None:
    """Write the files of a model folder into a folder that is there.

    Raises:
        OSError: The folder cannot be written.
    """
    from safetensors.numpy import save

    weights = {name: np.ascontiguousarray(array) for name, array in artifact.weights.items()}
    (folder / "config.yaml").write_text(artifact.config.to_yaml(), encoding="utf-8", newline="\n")
    (folder / "vocabulary.txt").write_text("\n".join(artifact.vocabulary.tokens) + "\n", encoding="utf-8", newline="\n")
    (folder / "model.safetensors").write_bytes(save(weights))  # `save_file` would let the owner alone read it
    labels = {"format_version": FORMAT_VERSION, "many": artifact.many, "labels": list(artifact.labels)}
    _write_json(folder / "labels.json", labels)
    fast = None if artifact.fast is None else artifact.fast.record()
    calibration = {"temperature": artifact.temperature, "thresholds": artifact.thresholds, "fast": fast}
    _write_json(folder / "calibration.json", calibration)
    if artifact.vocabulary.subwords is not None:
        (folder / SUBWORDS).write_bytes(artifact.vocabulary.subwords.model)
    hashes = {name: file_sha256(folder / name) for name in sorted(_hashed(folder))}  # by which `changed_files` tells changes
    record = {"metrics": dict(artifact.metrics), "provenance": dict(artifact.provenance)}
    _write_json(folder / RECORD, record | {"sha256": hashes | {RECORD: _record_sha256(record)}})
    (folder / CARD).write_text(card, encoding="utf-8", newline="\n")


def changed_files(folder: Path) -> list[str] | None:
    """Return the names of a model folder's files that are missing or not what was written; None where an older textcls hashed none.

    Whether they can be read as a model is not looked at: a damaged file is a changed one. The model card is left out.

    Raises:
        ModelError: It is no model folder, or `metrics.json`, which holds the hashes, cannot be read.
    """
    try:
        record = _part(folder / RECORD, _read_record)
    except ModelError:
        _check_is_model(folder)  # which says more where it is none
        raise
    hashes = record.get("sha256")
    if not isinstance(hashes, dict):
        _check_is_model(folder)
        return None
    found = {name: file_sha256(folder / name) for name in _hashed(folder) if (folder / name).is_file()}
    found[RECORD] = _record_sha256(record)
    named = dict.fromkeys([*hashes, *_hashed(folder)])  # the record did not hash itself at first
    return [name for name in named if found.get(name, "") != hashes.get(name)]


def _hashed(folder: Path) -> tuple[str, ...]:
    return (*HASHED_FILES, SUBWORDS) if (folder / SUBWORDS).is_file() else HASHED_FILES


def read_unchanged_artifact(folder: str | Path) -> Artifact:
    """Read a model folder for what puts new hashes on it: only where the folder's own say that it is what was written.

    Raises:
        ModelError: It cannot be read, or a file was changed or damaged since it was written.
    """
    _check_is_model(Path(folder))
    if changed := changed_files(Path(folder)):
        raise ModelError(
            f"{folder}: {changed[0]} is not what textcls wrote (another SHA-256): copy or train the model again; "
            "a change on purpose is sealed by TextClassifier.load(…).save(…, force=True)"
        )
    return read_artifact(folder)


def _record_sha256(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the metrics and the provenance, however their JSON is laid out."""
    told = json.loads(json.dumps([record["metrics"], record["provenance"]]))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read_artifact(folder: str | Path) -> Artifact:
    """Read a model folder.

    Raises:
        ModelError: It is no model folder, a file of it is missing or damaged, or a newer textcls wrote it.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    _check_is_model(folder)
    labels, many = _part(folder / "labels.json", _read_labels)  # first: it names the format
    temperature, thresholds, fast = _part(folder / "calibration.json", _read_calibration)
    record = _part(folder / RECORD, _read_record)
    config, vocabulary = _part(folder / "config.yaml", load_saved_config), _part(folder / "vocabulary.txt", _read_vocabulary)
    if config.text.tokenizer == "bpe":
        vocabulary = replace(vocabulary, subwords=_part(folder / SUBWORDS, _read_subwords))
    weights, facts = _part(folder / "model.safetensors", load_file), (record["metrics"], record["provenance"])
    artifact = Artifact(config, vocabulary, labels, weights, temperature, many, thresholds, fast, *facts)
    _check_thresholds(artifact, folder)
    _check_shapes(artifact, folder)
    if artifact.fast is not None and (LinearHalf.of(weights) is None or len(labels) < 2 - many):
        raise ModelError(f"{folder}: damaged model folder: calibration.json has a fast way, the model no n-grams for it")
    return artifact


def _check_is_model(folder: Path) -> None:
    if not (folder / "labels.json").is_file():
        inner = folder / "model"
        hint = f"; the model is in {inner}" if (inner / "labels.json").is_file() else ""
        what = "is no model folder: it has no labels.json" if folder.is_dir() else "is a file; a model folder is needed here"
        what = what if folder.exists() else "does not exist"
        raise ModelError(f"{folder}: {what}{hint}")


def _part(path: Path, read: Callable[[Path], T]) -> T:
    """Read one file of a model folder; whatever is wrong with it becomes one line that names it."""
    from safetensors import SafetensorError

    try:
        return read(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent}: damaged model folder: {path.name} is missing; train or copy it again") from error
    except KeyError as error:
        reason = f"{error} is missing"
    except (OSError, TypeError, ValueError, RecursionError, SafetensorError, ConfigError, DataError) as error:
        reason = str(error).splitlines()[0].removeprefix(f"{path}: ")
    raise ModelError(f"{path.parent}: damaged model folder: {path.name}: {reason}; train or copy it again")


def _read_labels(path: Path) -> tuple[tuple[str | int | float | bool, ...], bool]:
    """Return the labels, and whether a text may have many of them."""
    record = _read_json(path, "format_version")
    if record["format_version"] > FORMAT_VERSION:
        raise ModelError(
            f"{path.parent}: format version {record['format_version']}, written by a newer textcls; "
            f"this one reads up to {FORMAT_VERSION}: upgrade textcls"
        )
    labels = record["labels"]
    if not isinstance(labels, list) or not all(isinstance(label, str | int | float) for label in labels):
        raise ValueError("labels are not a list of texts, numbers and truth values")
    if len(set(map(str, labels))) < len(labels):
        raise ValueError("a label is named twice")
    return tuple(labels), bool(record.get("many", False))


def _read_record(path: Path) -> dict[str, Any]:
    return _read_json(path, "metrics", "provenance")


def _read_vocabulary(path: Path) -> Vocabulary:
    text = path.read_bytes().decode("utf-8")
    if not text.endswith("\n"):
        raise ValueError("ends within a line, so its end is missing")
    tokens = tuple(text[:-1].split("\n"))
    if tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS or len(set(tokens)) < len(tokens):
        raise ValueError(f"is not {' and '.join(SPECIAL_TOKENS)} and then every other token once, one a line")
    return Vocabulary(tokens)


def _read_subwords(path: Path) -> Subwords:
    subwords = Subwords(path.read_bytes())
    with suppress(MissingPackageError):  # which whoever splits a text is told
        subwords.split("")  # now, or a damaged model would be found by who classifies
    return subwords


def _read_calibration(path: Path) -> tuple[float, tuple[float, ...] | None, FastWay | None]:
    """Return the temperature, and the thresholds and the fast way where there are some."""
    record = _read_json(path, "temperature")
    temperature, thresholds = float(record["temperature"]), record.get("thresholds")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    return temperature, None if thresholds is None else tuple(map(float, thresholds)), FastWay.of(record.get("fast"))


def _check_thresholds(artifact: Artifact, folder: Path) -> None:
    """Refuse a folder that has thresholds where a text has one label, or not one for each label where it may have many."""
    found, wanted = len(artifact.thresholds or ()), len(artifact.labels) if artifact.many else 0
    if found != wanted:
        raise ModelError(f"{folder}: damaged model folder: calibration.json has {found} thresholds, labels.json wants {wanted}")


def _check_shapes(artifact: Artifact, folder: Path) -> None:
    """Refuse a folder whose files do not belong together."""
    tokens, classes, weights = len(artifact.vocabulary), len(artifact.labels), artifact.weights
    whole = "ngrams.scale" in weights  # of n-grams that are whole numbers
    expected = _shapes(artifact.config.model, tokens, classes, whole_ngrams=whole)
    for name in sorted(expected.keys() ^ weights.keys()):
        what = "lacks" if name in expected else "holds an unknown"
        raise ModelError(f"{folder}: damaged model folder: model.safetensors {what} {name} for the network of config.yaml")
    if len(weights["embedding.weight"]) != tokens:
        rows = len(weights["embedding.weight"])
        raise ModelError(f"{folder}: vocabulary.txt has {tokens} tokens, model.safetensors {rows} embeddings")
    if len(weights["classifier.weight"]) != classes:
        rows = len(weights["classifier.weight"])
        raise ModelError(f"{folder}: labels.json has {classes} labels, model.safetensors {rows} classes")
    for name, shape in expected.items():
        kind = "int16" if whole and name == "ngrams.weight" else "float32"
        if weights[name].shape != shape or weights[name].dtype != kind:
            found = f"{weights[name].dtype} {weights[name].shape}"
            raise ModelError(f"{folder}: model.safetensors has {name} as {found}, config.yaml makes it {kind} {shape}")


def _shapes(model: ModelSettings, tokens: int, classes: int, *, whole_ngrams: bool) -> dict[str, tuple[int | None, ...]]:
    """Shape of every parameter, under torch's names."""
    directions = 2 if model.bidirectional else 1
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[model.cell] * model.hidden_size
    shapes: dict[str, tuple[int | None, ...]] = {
        "embedding.weight": (tokens, model.embedding_size),
        "classifier.weight": (classes, (1 if model.pooling == "final" else 2) * directions * model.hidden_size),
        "classifier.bias": (classes,),
    }
    if model.ngram_slots and model.ngram_slots != "auto":
        shapes |= {"ngrams.weight": (model.ngram_slots, classes), "ngrams.bias": (classes,)}
        shapes |= {"ngrams.scale": (classes,)} if whole_ngrams else {}
    for layer, suffix in product(range(model.layers), ("", "_reverse")[:directions]):
        place = f"l{layer}{suffix}"
        shapes[f"encoder.rnn.weight_ih_{place}"] = (gates, directions * model.hidden_size if layer else model.embedding_size)
        shapes[f"encoder.rnn.weight_hh_{place}"] = (gates, model.hidden_size)
        if model.bias:
            shapes |= {f"encoder.rnn.bias_ih_{place}": (gates,), f"encoder.rnn.bias_hh_{place}": (gates,)}
    return shapes


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _read_json(path: Path, *names: str) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict) or not value.keys() >= set(names):
        raise ValueError(f"holds no {' and '.join(names)}")
    return value
