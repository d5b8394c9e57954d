"""The model folder: a trained model as plain arrays and dictionaries. No pickle, nothing executed on load, no absolute path.

config.yaml        the resolved settings
vocabulary.txt     one token a line, by id
labels.json        format version, labels with their JSON types
model.safetensors  weights under the names of the network's parameters
calibration.json   temperature
metrics.json       what was measured, on what
README.md          the model card
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.config import Config, load_config
from textcls.errors import ModelError, TextclsError
from textcls.files import replacing_folder
from textcls.text import SPECIAL_TOKENS, Vocabulary

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Artifact:
    """A trained model as plain data.

    Attributes:
        config: Resolved settings; files by name alone.
        vocabulary: Tokens by id.
        labels: Classes by index, with their Python types.
        weights: Parameters by name, float32.
        temperature: What logits are divided by before the softmax (Guo et al. 2017).
        metrics: What was measured on which split.
        provenance: Version, date, files and their SHA-256.
    """

    config: Config
    vocabulary: Vocabulary
    labels: tuple[str | int | float | bool, ...]
    weights: Mapping[str, NDArray[np.float32]]
    temperature: float = 1.0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that settles a score: weights, vocabulary, labels, temperature, settings of text and network."""
        digest = hashlib.sha256()
        settings = {"text": self.config.text.model_dump(mode="json"), "model": self.config.model.model_dump(mode="json")}
        for part in (settings, self.vocabulary.tokens, self.labels, self.temperature):
            digest.update(json.dumps(part, sort_keys=True).encode())
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
    """
    from safetensors.numpy import save_file

    labels = {"format_version": FORMAT_VERSION, "labels": list(artifact.labels)}
    with replacing_folder(folder) as new:
        (new / "config.yaml").write_text(artifact.config.to_yaml(), encoding="utf-8")
        (new / "vocabulary.txt").write_text("\n".join(artifact.vocabulary.tokens) + "\n", encoding="utf-8", newline="\n")
        save_file({k: np.ascontiguousarray(v) for k, v in artifact.weights.items()}, new / "model.safetensors")
        _write_json(new / "labels.json", labels)
        _write_json(new / "calibration.json", {"temperature": artifact.temperature})
        _write_json(new / "metrics.json", {"metrics": dict(artifact.metrics), "provenance": dict(artifact.provenance)})
        (new / "README.md").write_text(card, encoding="utf-8")


def read_artifact(folder: str | Path) -> Artifact:
    """Read a model folder.

    Raises:
        ModelError: It is no model folder, a file of it is missing or damaged, or a newer textcls wrote it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not (folder / "labels.json").is_file():
        inner = folder / "model"
        hint = f"; the model is in {inner}" if (inner / "labels.json").is_file() else ""
        what = "is no model folder: it has no labels.json" if folder.is_dir() else "does not exist"
        raise ModelError(f"{folder}: {what}{hint}")
    try:
        labels = _read_json(folder / "labels.json")
        if labels["format_version"] > FORMAT_VERSION:
            raise ModelError(
                f"{folder}: format version {labels['format_version']}, written by a newer textcls; "
                f"this one reads up to {FORMAT_VERSION}: upgrade textcls"
            )
        record = _read_json(folder / "metrics.json")
        tokens = (folder / "vocabulary.txt").read_bytes().decode("utf-8").removesuffix("\n").split("\n")
        artifact = Artifact(
            config=load_config(folder / "config.yaml"),
            vocabulary=Vocabulary(tuple(tokens)),
            labels=tuple(labels["labels"]),
            weights=load_file(folder / "model.safetensors"),
            temperature=float(_read_json(folder / "calibration.json")["temperature"]),
            metrics=record["metrics"],
            provenance=record["provenance"],
        )
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ModelError(f"{folder}: damaged model folder: {_reason(error)}; train or copy it again") from error
    except ModelError:
        raise
    except TextclsError as error:
        raise ModelError(f"{folder}: damaged model folder: {error}") from error
    _check_shapes(artifact, folder)
    return artifact


def _check_shapes(artifact: Artifact, folder: Path) -> None:
    """Refuse a folder whose files do not belong together."""
    try:
        rows, classes = len(artifact.weights["embedding.weight"]), len(artifact.weights["classifier.weight"])
    except KeyError as error:
        raise ModelError(f"{folder}: damaged model folder: model.safetensors has no {error}") from None
    if artifact.vocabulary.tokens[:2] != SPECIAL_TOKENS or len(artifact.vocabulary) != rows:
        raise ModelError(f"{folder}: vocabulary.txt has {len(artifact.vocabulary)} tokens, model.safetensors {rows} embeddings")
    if len(artifact.labels) != classes:
        raise ModelError(f"{folder}: labels.json has {len(artifact.labels)} labels, model.safetensors {classes} classes")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{Path(error.filename).name} is missing"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error).splitlines()[0]
