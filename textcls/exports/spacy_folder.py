"""The `spacy` export: a pipeline folder that `spacy.load` opens, and that `spacy package` makes a wheel of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.artifact import Artifact, read_unchanged_artifact
from textcls.data import label_text
from textcls.exports.onnx_file import ExportReport, prove
from textcls.exports.parity import Run
from textcls.exports.places import check_folder, folder_size
from textcls.exports.stranger import stranger
from textcls.exports.texts import real_texts
from textcls.files import replacing_folder, writing
from textcls.inference.graph import build_graph
from textcls.inference.seal import write_sums
from textcls.text.encoding import replace_surrogates

_PROGRAM = Path(__file__).with_name("_spacy_stranger.py")
_METRICS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "log_loss", "expected_calibration_error")


def export_spacy(model: str | Path, out: str | Path, *, texts: str | Path | None = None, force: bool = False) -> ExportReport:
    """Write a spaCy pipeline with the component `textcls`, once it has shown in a fresh process that it gives what the model gives.

    Args:
        model: The model folder.
        out: The folder to write.
        texts: A file of texts, one a line, to compare on; chosen as in `onnx_file.export` if not given.
        force: Write over an earlier export.

    Returns:
        The report; its hash is that of the ONNX file in the folder.

    Raises:
        InputError: There is no model, or the folder cannot be written.
        ExportError: The pipeline differs from the model; nothing was written.
    """
    model, out = Path(model), Path(out)
    check_folder(out, "spacy", ("meta.json", "config.cfg"), (model, texts), force=force)
    artifact = read_unchanged_artifact(model)
    real, source = real_texts(artifact, model, texts)
    content = build_graph(artifact).SerializeToString(deterministic=True)
    with writing(out), replacing_folder(out, force=force) as new:
        write_pipeline(artifact, content, new)
        with pipeline_runner(artifact, new) as run:
            parity = prove(artifact, run, real)
        write_sums(new)
        size = folder_size(new)
    digest = hashlib.sha256(content).hexdigest()
    return ExportReport(True, parity.texts, source, parity.largest_difference, size, digest, artifact.many)


def write_pipeline(artifact: Artifact, content: bytes, folder: Path) -> None:
    """Write the pipeline: a tokenizer, which makes the documents, and the component, which has tokens of its own.

    The tokenizer is that of the language where the model has it; else white space alone divides: the rules of spaCy's `xx` take
    quadratic time on a run of punctuation, for tokens that nothing uses.
    """
    import spacy
    from spacy.tokenizer import Tokenizer

    from textcls.spacy_component import TextclsComponent

    text = artifact.config.text
    nlp = spacy.blank(text.language if text.tokenizer == "spacy" else "xx")
    if text.tokenizer != "spacy":
        nlp.tokenizer = Tokenizer(nlp.vocab)
    component = nlp.add_pipe("textcls")
    assert isinstance(component, TextclsComponent)
    component.from_bytes(content)
    scores = artifact.metrics.get("test") or artifact.metrics.get("validation") or {}
    nlp.meta |= {
        "name": "textcls",
        "description": "Text classification: sets doc.cats to the probability of each label",
        "license": "",
        "performance": {name: scores[name] for name in _METRICS if scores.get(name) is not None},
    }
    nlp.to_disk(folder)


@contextmanager
def pipeline_runner(artifact: Artifact, folder: Path) -> Iterator[Run]:
    """Give a function that runs a pipeline folder in a fresh process, through `spacy.load` and `nlp.pipe`.

    Raises:
        InputError: spaCy does not find the component.
        ExportError: spaCy refuses the folder.
    """
    labels = [label_text(label) for label in artifact.labels]
    with stranger(folder, _PROGRAM) as ask:

        def run(texts: Sequence[str]) -> tuple[Sequence[Any], NDArray[np.float32]]:
            cats = ask({"text": replace_surrogates(texts)})["cats"]  # spaCy takes no lone surrogates
            probabilities = np.array([[row[label] for label in labels] for row in cats], np.float32)
            if artifact.many:
                return list(probabilities >= np.array(artifact.thresholds, np.float32)), probabilities
            return [max(row, key=row.__getitem__) for row in cats], probabilities

        yield run
