"""One ONNX file: raw text in for `unicode` models, ids and lengths for the others; label (or labels) and probabilities out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from textcls.artifact import Artifact, read_unchanged_artifact
from textcls.data import LabelSet, Rows
from textcls.errors import ExportError, ModelError
from textcls.evaluation import evaluate
from textcls.exports.parity import EXACT, INT8, Bound, Parity, Run, compare, rounded_down, rounded_up
from textcls.exports.places import check_file
from textcls.exports.quantized import quantize as quantized_graph
from textcls.exports.stranger import stranger
from textcls.exports.texts import (
    LONG_TEXT_TOKENS,
    MOST_TEXTS,
    hard_texts,
    long_text,
    real_texts,
    texts_of_all_words,
    validation_rows,
)
from textcls.files import replacing, writing
from textcls.inference.engine import pad
from textcls.inference.graph import add_to_record, build_graph, ids_by_word, takes_text, vocabulary_of
from textcls.inference.graph_fast import BY_LINEAR
from textcls.inference.predictor import NO_FAST_WAY, Predictor
from textcls.text import UNK, Encoder
from textcls.text.encoding import replace_surrogates

LOCALE = "C.UTF-8"  # other than en_US.UTF-8, the runtime's own default, it is on every Linux


@dataclass(frozen=True)
class Quantization:
    """What became of a model by int8.

    Attributes:
        agreement: Share of the labels, over all comparisons, that are still the model's.
        largest_difference: Of any probability, between file and model.
        across_batchings: Largest difference of a text's probability between batches of 1, 7 and 64.
        size_share: Size of the file, as a share of the fp32 file's.
        accuracy: Of the model and of the file on rows of the run's validation split, where it is at hand.
        rows: How many rows that were.
        learned: Whether the model's n-grams had learned from these rows in the end.
    """

    agreement: float
    largest_difference: float
    across_batchings: float
    size_share: float
    accuracy: tuple[float, float] | None
    rows: int = 0
    learned: bool = False


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
        int8: What became of the model, where it was quantised.
    """

    takes_text: bool
    texts: int
    source: str
    largest_difference: float
    bytes: int
    sha256: str
    many: bool = False
    int8: Quantization | None = None


def export(
    model: str | Path,
    out: str | Path,
    *,
    quantize: str | None = None,
    locale: str = LOCALE,
    texts: str | Path | None = None,
    fast: bool = False,
    force: bool = False,
) -> ExportReport:
    """Write a trained model as one ONNX file, once the file has shown that it gives what the model gives.

    Args:
        model: The model folder.
        out: The file to write, ending in `.onnx`.
        quantize: `int8` for weights of eight bits: a quarter of the size, quicker, and scores that move a little.
        locale: Locale of the machine that will run it, in which text is lower-cased.
        texts: A file of texts, one a line, to compare on; the run's validation split, or texts drawn from the vocabulary, if not given.
        fast: Write the file so that n-grams answer alone where they are sure, and the network the other texts.
        force: Write over an existing file.

    Raises:
        InputError: There is no model, it has no fast way, or the file cannot be written.
        ExportError: The file differs from the model; nothing was written.
    """
    model, out = Path(model), Path(out)
    check_file(out, ".onnx", (model, texts), force=force)
    artifact = read_unchanged_artifact(model)
    check_fast(artifact, model, fast)
    real, source = real_texts(artifact, model, texts)
    with writing(out), replacing(out, force=force) as neighbour:
        if quantize:
            return write_int8(artifact, neighbour, real, source, locale, validation_rows(model), fast=fast)
        return write_proven(artifact, neighbour, real, source, locale, fast=fast)


def check_fast(artifact: Artifact, model: Path, fast: bool) -> None:
    """Refuse to export the fast way of a model that has none.

    Raises:
        ModelError: It has none.
    """
    if fast and artifact.fast is None:
        raise ModelError(f"{model}: {NO_FAST_WAY}")


def write_proven(
    artifact: Artifact, path: Path, real: Sequence[str], source: str, locale: str = LOCALE, *, fast: bool = False
) -> ExportReport:
    """Write the file of a trained model to a place that is nobody's yet, and compare it with the model.

    Args:
        artifact: The trained model.
        path: The file to write.
        real: Texts of the kind that the model is for.
        source: Where they came from.
        locale: Locale in which text is lower-cased.
        fast: Whether it goes the fast way.

    Raises:
        OSError: The file cannot be written.
        InputError: This machine lacks the locale.
        ExportError: The file differs from the model.
    """
    with file_runner(artifact, _written(build_graph(artifact, locale=locale, fast=fast), path)) as run:
        parity = prove(artifact, run, real, fast=fast)
        if takes_text(artifact) and (texts := texts_of_all_words(artifact)):
            parity += compare(artifact, run, texts, fast=fast)
    _check_vocabulary(artifact, path)
    _check_no_texts(artifact, path)
    return _report(artifact, path, parity, source)


def write_int8(
    artifact: Artifact,
    path: Path,
    real: Sequence[str],
    source: str,
    locale: str,
    rows: Rows | None,
    *,
    fast: bool = False,
) -> ExportReport:
    """Write the int8 form in the same way as `write_proven`, and measure what it costs: with `rows`, labelled ones, also accuracy."""
    whole = build_graph(artifact, locale=locale, fast=fast)
    graph = quantized_graph(whole)
    with file_runner(artifact, _written(graph, path)) as run:
        parity = prove(artifact, run, real, INT8, fast=fast)
    _record(graph, parity)
    _check_vocabulary(artifact, path)
    _check_no_texts(artifact, path)
    share = _written(graph, path).stat().st_size / whole.ByteSize()
    rows = None if rows is None else rows.select(np.arange(min(len(rows), MOST_TEXTS)))
    accuracy = None if rows is None else _accuracies(artifact, path, rows)
    moved = parity.largest_difference, parity.across_batchings
    int8 = Quantization(parity.agreement, *moved, share, accuracy, len(rows or ()), "refit" in artifact.provenance)
    return _report(artifact, path, parity, source, int8)


def _check_vocabulary(artifact: Artifact, path: Path) -> None:
    """Refuse a file that has another vocabulary than the model: where it is large, no text of the comparison may have the word.

    Raises:
        ExportError: It has.
    """
    graph, tokens = onnx.load(path), artifact.vocabulary.tokens
    ids = {token: at for at, token in enumerate(tokens) if at != UNK} if takes_text(artifact) else {}
    if vocabulary_of(graph) != tokens or ids_by_word(graph) != ids:
        raise ExportError("the export differs from the model in its vocabulary")


def _check_no_texts(artifact: Artifact, path: Path) -> None:
    """Refuse a file with which no texts are not classified as no texts: by our own engine, since a graph refuses zero rows.

    Raises:
        ExportError: It is one.
    """
    shape = Predictor.load(path).predict([]).probabilities.shape
    if shape != (0, len(artifact.labels)):
        raise ExportError(f"the export gives probabilities of shape {shape} to no texts")


def _report(artifact: Artifact, path: Path, parity: Parity, source: str, int8: Quantization | None = None) -> ExportReport:
    content = path.read_bytes()
    digest, largest = hashlib.sha256(content).hexdigest(), parity.largest_difference
    return ExportReport(takes_text(artifact), parity.texts, source, largest, len(content), digest, artifact.many, int8)


def _written(graph: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return path


def _record(graph: onnx.ModelProto, parity: Parity) -> None:
    """Say in the file that it is int8, and how far its scores moved at most; two digits, which no other core count changes."""
    figures = {
        "largest_difference": rounded_up(parity.largest_difference),
        "across_batchings": rounded_up(parity.across_batchings),
        "agreement": rounded_down(parity.agreement),
    }
    add_to_record(graph, quantized={"kind": "int8", **figures})


def _accuracies(artifact: Artifact, path: Path, rows: Rows) -> tuple[float, float]:
    """Return the accuracy of the model and of a file on labelled rows."""
    together = LabelSet(artifact.labels).extended(rows.labels.distinct)

    def accuracy(predictor: Predictor) -> float:
        probabilities = predictor.predict(rows.texts).probabilities
        report = evaluate(probabilities, rows.targets(together), together.texts, predictor.thresholds)
        return float(report["accuracy"])

    model, file = Predictor.from_artifact(artifact), Predictor.load(path)
    return accuracy(model.fast() if file.is_fast else model), accuracy(file)


def prove(artifact: Artifact, run: Run, real: Sequence[str], bound: Bound = EXACT, *, fast: bool = False) -> Parity:
    """Compare an export with the model on real and hard texts, and on a very long one.

    The long one stands alone and beside a short one: in a large batch it would take gigabytes. It is longer than most models
    read: cutting it at `text.max_tokens` is part of what the model does, so the network itself sees no more than that of it.

    Args:
        artifact: The trained model.
        run: Runs the export.
        real: Texts of the kind that the model is for.
        bound: How far the export may be from the model.
        fast: Whether it goes the fast way.

    Raises:
        ExportError: They differ.
    """
    long = long_text(artifact, LONG_TEXT_TOKENS)
    batches = ([*real, *hard_texts()], [long], ["short", long], ["", " ", "\u3000"])  # the last: only empty texts
    parity = Parity()
    for batch in batches:
        parity += compare(artifact, run, batch, bound, fast=fast)
    if parity.wrong > (allowed := parity.may_be_wrong(bound.agreement)):
        raise ExportError(
            f"the export is refused: {parity.wrong:,} of {parity.decisions:,} labels are not the model's, and at most {allowed:,} "
            f"may be others ({1 - bound.agreement:.1%}); one is of the text {parity.worst.said if parity.worst else ''}: compare "
            "on texts like those that it will get, with --texts FILE, or export without --quantize"
        )
    return parity


@contextmanager
def file_runner(artifact: Artifact, path: Path) -> Iterator[Run]:
    """Give a function that runs an exported file as a stranger would: a fresh process, stock ONNX Runtime, nothing of textcls.

    Raises:
        ExportError: ONNX Runtime refuses the file.
        InputError: This machine lacks the locale.
    """
    encoder = Encoder.from_settings(artifact.config.text, artifact.vocabulary)
    answer_name = "selected" if artifact.many else "label"
    with stranger(path) as ask:

        def run(texts: Sequence[str]) -> tuple[Any, ...]:
            feed: dict[str, Any]
            if takes_text(artifact):
                feed = {"text": replace_surrogates(texts)}  # UTF-8 has no lone surrogates
            else:
                encoded = encoder.encode(texts)
                feed = {name: a.tolist() for name, a in pad(encoded.ids, encoded.offsets, np.arange(len(texts))).items()}
            outputs = ask(feed)
            return answered(outputs, answer_name)

        yield run


def answered(outputs: dict[str, Any], answer_name: str) -> tuple[Any, ...]:
    """Return the outputs of a process that runs an export, by name, as `textcls.exports.parity.Run` has them."""
    found = outputs[answer_name], np.array(outputs["probabilities"], np.float32)
    return (*found, np.array(outputs[BY_LINEAR], np.bool_)) if BY_LINEAR in outputs else found
