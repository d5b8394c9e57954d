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

TOLERANCE = 1e-5
BATCH_SIZES = (1, 7, 64)

Run = Callable[[Sequence[str]], tuple[Sequence[Any], NDArray[np.float32]]]
"""Runs an export on texts: its answers, which are the label of each text, or with many labels a text which of them it has,
bool [texts, classes]; and probabilities, float32 [texts, classes]."""


@dataclass(frozen=True)
class Parity:
    """The outcome of a comparison.

    Attributes:
        texts: How many were compared, in each batch size.
        largest_difference: Of any probability.
    """

    texts: int
    largest_difference: float


@torch.inference_mode()
def expected_probabilities(artifact: Artifact, texts: Sequence[str]) -> NDArray[np.float64]:
    """Score each text alone and unpadded with torch's own layers: the definition. Returns float64 [texts, classes]."""
    network = Network(artifact.config.model, len(artifact.vocabulary), len(artifact.labels)).eval()
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in artifact.weights.items()})
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(texts)
    directions = 2 if artifact.config.model.bidirectional else 1
    logits = np.empty((len(texts), len(artifact.labels)), np.float32)
    for row in range(len(texts)):
        ids = torch.from_numpy(encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]].astype(np.int64))
        _, state = network.encoder.rnn(network.embedding(ids)[None])  # (1, tokens, embedding)
        final = (state[0] if isinstance(state, tuple) else state)[-directions:]  # (directions, 1, hidden)
        logits[row] = network.classifier(final.transpose(0, 1).reshape(1, -1))[0].numpy()
    return probabilities_of(logits, artifact.temperature, many=artifact.many)


def compare(artifact: Artifact, run: Run, texts: Sequence[str], tolerance: float = TOLERANCE) -> Parity:
    """Compare an export with the trained model, in batches of 1, 7 and 64.

    Args:
        artifact: The trained model.
        run: Runs the export.
        texts: What to compare on.
        tolerance: Largest difference of a probability that is let through.

    Raises:
        ExportError: They differ; the message quotes the text.
    """
    expected = expected_probabilities(artifact, texts)
    largest = 0.0
    for size in BATCH_SIZES:
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            answers, probabilities = run(batch)
            wanted = expected[start : start + size]
            if probabilities.shape != wanted.shape:
                raise ExportError(f"the export gave probabilities of shape {probabilities.shape}, not {wanted.shape}")
            differences = np.abs(probabilities - wanted).max(axis=1)
            for text, difference in zip(batch, differences.tolist(), strict=True):
                if not difference <= tolerance:  # so that NaN is caught too
                    raise ExportError(
                        f"the export differs from the model by {difference:.2g} (allowed {tolerance:g}), "
                        f"in batches of {size}, on the text {_quoted(text)}"
                    )
            for text, answer, scores in zip(batch, answers, wanted, strict=True):
                if fault := _fault(artifact, answer, scores, tolerance):
                    raise ExportError(f"the export labels the text {_quoted(text)} as {fault}, the model does not")
            largest = max(largest, float(differences.max()))
    return Parity(len(texts), largest)


def _fault(artifact: Artifact, answer: Any, scores: NDArray[np.float64], tolerance: float) -> str | None:
    """Name the label or labels of a text where the model would give others, unless a rounding can have made the difference."""
    classes = [label_text(label) for label in artifact.labels]
    if artifact.many:
        over = scores - np.array(artifact.thresholds)
        wrong = ((over >= 0) != answer) & (np.abs(over) > tolerance)
        return repr([label for label, chosen in zip(classes, answer, strict=True) if chosen]) if wrong.any() else None
    right = answer in classes and scores.max() - scores[classes.index(answer)] <= 2 * tolerance
    return None if right else repr(answer)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")
