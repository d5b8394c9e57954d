"""One ONNX file: raw text in for `unicode` models, ids and lengths for the others; label (or labels) and probabilities out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.artifact import Artifact, read_artifact
from textcls.errors import ExportError, InputError
from textcls.exports.parity import Parity, Run, compare
from textcls.exports.texts import LONG_TEXT_TOKENS, hard_texts, real_texts
from textcls.files import replacing
from textcls.inference.engine import pad
from textcls.inference.graph import build_graph, takes_text
from textcls.text import Encoder
from textcls.text.encoding import replace_surrogates


@dataclass(frozen=True)
class ExportReport:
    """What was exported, and how it was proven.

    Attributes:
        takes_text: Whether the file takes raw text; else ids and lengths.
        texts: Texts on which the file was compared with the model.
        source: Where they came from.
        largest_difference: Of any probability, between file and model.
        bytes: Size of the file.
        sha256: Of its bytes.
        many: Whether it gives which of many labels each text has; else the label of each text.
    """

    takes_text: bool
    texts: int
    source: str
    largest_difference: float
    bytes: int
    sha256: str
    many: bool = False


def export(
    model: str | Path,
    out: str | Path,
    *,
    locale: str = "C.UTF-8",
    texts: str | Path | None = None,
    force: bool = False,
) -> ExportReport:
    """Write a trained model as one ONNX file, once the file has shown that it gives what the model gives.

    Args:
        model: The model folder.
        out: The file to write, ending in `.onnx`.
        locale: Locale of the machine that will run it, in which text is lower-cased.
        texts: A file of texts, one a line, to compare on; the run's validation split, or texts drawn from the vocabulary, if not given.
        force: Write over an existing file.

    Raises:
        InputError: There is no model, or the file cannot be written.
        ExportError: The file differs from the model; nothing was written.
    """
    model, out = Path(model), Path(out)
    if out.suffix != ".onnx":
        raise InputError(f"{out}: exports are .onnx files; name one, such as {out.with_suffix('.onnx').name or 'model.onnx'}")
    if out.exists() and not force:
        raise InputError(f"{out}: exists already; name another file, or --force to write over it")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist")
    artifact = read_artifact(model)
    real, source = real_texts(artifact, model, None if texts is None else Path(texts))
    content = build_graph(artifact, locale=locale).SerializeToString(deterministic=True)
    try:
        with replacing(out) as neighbour:
            neighbour.write_bytes(content)
            parity = prove(artifact, neighbour, real)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    largest = parity.largest_difference
    return ExportReport(takes_text(artifact), parity.texts, source, largest, len(content), digest, artifact.many)


def prove(artifact: Artifact, path: Path, real: Sequence[str]) -> Parity:
    """Compare an exported file with the model on real and hard texts, and on a very long one, alone and beside a short one.

    Raises:
        ExportError: They differ.
    """
    run = file_runner(artifact, path)
    parity = compare(artifact, run, [*real, *hard_texts()])
    long_text = " ".join(["word", "."] * (LONG_TEXT_TOKENS // 2))
    for batch in ([long_text], ["short", long_text], ["", " ", "\u3000"]):  # the last: a batch of only empty texts
        largest = compare(artifact, run, batch).largest_difference
        parity = Parity(parity.texts + len(batch), max(parity.largest_difference, largest))
    return parity


def file_runner(artifact: Artifact, path: Path) -> Run:
    """Return a function that runs an exported file as a stranger would: stock ONNX Runtime, nothing of textcls behind the input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's error classes share no base but this
        if "construct locale" in str(error):
            raise InputError("--locale: this machine has no such locale, so the export cannot be proven here") from error
        raise ExportError(f"ONNX Runtime refuses the export: {str(error).strip().splitlines()[0]}") from error
    encoder = Encoder.from_settings(artifact.config.text, artifact.vocabulary)

    def run(texts: Sequence[str]) -> tuple[Sequence[Any], NDArray[np.float32]]:
        if takes_text(artifact):
            feed = {"text": np.array(replace_surrogates(texts), dtype=object)}  # UTF-8 has no lone surrogates
        else:
            encoded = encoder.encode(texts)
            feed = pad(encoded.ids, encoded.offsets, np.arange(len(texts)))
        answers, probabilities = session.run(["selected" if artifact.many else "label", "probabilities"], feed)
        return answers, probabilities

    return run
