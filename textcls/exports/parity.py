"""The parity gate: an export must give what the trained model gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textcls.artifact import Artifact
from textcls.data import label_text
from textcls.errors import ExportError
from textcls.evaluation import probabilities_of
from textcls.model import Network
from textcls.text import Encoder

BATCH_SIZES = (1, 7, 64)

Run = Callable[[Sequence[str]], tuple[Sequence[Any], NDArray[np.float32]]]
"""Runs an export on texts: its answers, which are the label of each text, or with many labels a text which of them it has,
bool [texts, classes]; and probabilities, float32 [texts, classes]."""


@dataclass(frozen=True)
class Bound:
    """How far an export may be from the model.

    Attributes:
        difference: Of any probability.
        agreement: Share of the labels that must be the model's.
    """

    difference: float
    agreement: float = 1.0


EXACT = Bound(1e-5)
INT8 = Bound(0.25, 0.995)  # up to 0.07 was seen, on long news articles; an export gone wrong is far beyond
_TIE = 1e-5  # between probabilities nearer than this a rounding decides


@dataclass(frozen=True)
class Parity:
    """The outcome of comparisons.

    Attributes:
        texts: How many were compared, in each batch size.
        largest_difference: Of any probability from the model's.
        across_batchings: Largest difference of a text's probability between batch sizes.
        decisions: Labels compared: one a text and batch size, or with many labels a text each of them.
        wrong: Those that were not the model's.
    """

    texts: int = 0
    largest_difference: float = 0.0
    across_batchings: float = 0.0
    decisions: int = 0
    wrong: int = 0

    @property
    def agreement(self) -> float:
        """Share of labels that were the model's."""
        return 1 - self.wrong / self.decisions

    def __add__(self, other: Parity) -> Parity:
        """Return the outcome of both comparisons."""
        return Parity(
            self.texts + other.texts,
            max(self.largest_difference, other.largest_difference),
            max(self.across_batchings, other.across_batchings),
            self.decisions + other.decisions,
            self.wrong + other.wrong,
        )


@torch.inference_mode()
def expected_probabilities(artifact: Artifact, texts: Sequence[str]) -> NDArray[np.float64]:
    """Score each text alone and unpadded with torch's own layers: the definition. Returns float64 [texts, classes]."""
    network = Network(artifact.config.model, len(artifact.vocabulary), len(artifact.labels)).eval()
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in artifact.weights.items()})
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(texts)
    directions, pooling = 2 if artifact.config.model.bidirectional else 1, artifact.config.model.pooling
    logits = np.empty((len(texts), len(artifact.labels)), np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for one text two would mostly wait for each other
    try:
        for row in range(len(texts)):
            ids = torch.from_numpy(encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]].astype(np.int64))
            outputs, state = network.encoder.rnn(network.embedding(ids)[None])  # (1, tokens, embedding)
            final = (state[0] if isinstance(state, tuple) else state)[-directions:]  # (directions, 1, hidden)
            pooled = {"final": outputs[0, :0], "final+max": outputs.amax(dim=1), "final+mean": outputs.mean(dim=1)}
            logits[row] = network.classifier(torch.cat([final.flatten(), pooled[pooling].flatten()])).numpy()
    finally:
        torch.set_num_threads(threads)
    return probabilities_of(logits, artifact.temperature, many=artifact.many)


def compare(artifact: Artifact, run: Run, texts: Sequence[str], bound: Bound = EXACT) -> Parity:
    """Compare an export with the trained model, in batches of 1, 7 and 64.

    Args:
        artifact: The trained model.
        run: Runs the export.
        texts: What to compare on.
        bound: How far the export may be from the model; where fewer than all labels must agree, the caller judges their share.

    Raises:
        ExportError: They differ; the message quotes the text.
    """
    expected = expected_probabilities(artifact, texts)
    scores = np.empty((len(BATCH_SIZES), *expected.shape), np.float32)
    wrong = 0
    for found, size in zip(scores, BATCH_SIZES, strict=True):
        for start in range(0, len(texts), size):
            batch, wanted = texts[start : start + size], expected[start : start + size]
            answers, probabilities = run(batch)
            _check(batch, probabilities, wanted, bound.difference)
            for text, answer, row in zip(batch, answers, wanted, strict=True):
                fault, count = _fault(artifact, answer, row)
                if count and bound.agreement == 1:
                    raise ExportError(f"the export labels the text {_quoted(text)} as {fault}, the model does not")
                wrong += count
            found[start : start + size] = probabilities
    decisions = len(BATCH_SIZES) * len(texts) * (len(artifact.labels) if artifact.many else 1)
    largest, across = float(np.abs(scores - expected).max()), float(np.ptp(scores, axis=0).max())
    return Parity(len(texts), largest, across, decisions, wrong)


def _check(batch: Sequence[str], found: NDArray[np.float32], wanted: NDArray[np.float64], allowed: float) -> None:
    """Refuse probabilities of another shape, or too far from the model's."""
    if found.shape != wanted.shape:
        raise ExportError(f"the export gave probabilities of shape {found.shape}, not {wanted.shape}")
    for text, difference in zip(batch, np.abs(found - wanted).max(axis=1).tolist(), strict=True):
        if not difference <= allowed:  # so that NaN is caught too
            raise ExportError(
                f"the export differs from the model by {difference:.2g} (allowed {allowed:g}), "
                f"in batches of {len(batch)}, on the text {_quoted(text)}"
            )


def _fault(artifact: Artifact, answer: Any, scores: NDArray[np.float64]) -> tuple[str, int]:
    """Return the label or labels given to a text, and how many of them the model gives otherwise, ties left out."""
    classes = [label_text(label) for label in artifact.labels]
    if artifact.many:
        over = scores - np.array(artifact.thresholds)
        wrong = ((over >= 0) != answer) & (np.abs(over) > _TIE)
        return repr([label for label, chosen in zip(classes, answer, strict=True) if chosen]), int(wrong.sum())
    right = answer in classes and scores.max() - scores[classes.index(answer)] <= 2 * _TIE
    return repr(answer), int(not right)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")
