"""The parity gate: an export must give what the trained model gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textcls.artifact import Artifact
from textcls.data import label_text
from textcls.errors import ExportError
from textcls.evaluation import probabilities_of
from textcls.model import trained_network
from textcls.text import Encoder

BATCH_SIZES = (1, 7, 64)

Run = Callable[[Sequence[str]], tuple[Any, ...]]
"""Runs an export on texts: its answers, which are the label of each text, or with many labels a text which of them it has,
bool [texts, classes]; probabilities, float32 [texts, classes]; and of one that goes the fast way, whether n-grams answered each
text alone, bool [texts]."""


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
INT8 = Bound(0.25, 0.995)  # up to 0.18 was seen, on lines of news articles; an export gone wrong is far beyond
_TIE = 1e-5  # between probabilities nearer than this a rounding decides


@dataclass(frozen=True, order=True)
class Fault:
    """A text whose label, or labels, are not the model's.

    Attributes:
        readable: Whether people can read the text, which the hard texts are not all: such a fault says more.
        margin: How far apart the model's probabilities of the right and of the wrong answer are; the sign of a bad fault.
        said: The text and both answers, for people.
    """

    readable: bool
    margin: float
    said: str


@dataclass(frozen=True)
class Parity:
    """The outcome of comparisons.

    Attributes:
        texts: How many were compared, in each batch size.
        largest_difference: Of any probability from the model's.
        across_batchings: Largest difference of a text's probability between batch sizes.
        decisions: Labels compared: one a text and batch size, or with many labels a text each of them.
        wrong: Those that were not the model's.
        worst: The text that was labelled worst, a readable one first, where one was labelled otherwise.
    """

    texts: int = 0
    largest_difference: float = 0.0
    across_batchings: float = 0.0
    decisions: int = 0
    wrong: int = 0
    worst: Fault | None = None

    @property
    def agreement(self) -> float:
        """Share of labels that were the model's."""
        return (self.decisions - self.wrong) / self.decisions

    def may_be_wrong(self, agreement: float) -> int:
        """Return how many labels may be others than the model's where a share of them must be the same."""
        return floor(self.decisions * (1 - Fraction(str(agreement))))

    def __add__(self, other: Parity) -> Parity:
        """Return the outcome of both comparisons."""
        return Parity(
            self.texts + other.texts,
            max(self.largest_difference, other.largest_difference),
            max(self.across_batchings, other.across_batchings),
            self.decisions + other.decisions,
            self.wrong + other.wrong,
            max(filter(None, (self.worst, other.worst)), default=None),
        )


def expected_probabilities(artifact: Artifact, texts: Sequence[str]) -> NDArray[np.float64]:
    """Score each text alone and unpadded with torch's own layers: the definition. Returns float64 [texts, classes]."""
    network, ngrams = _expected_logits(artifact, texts)
    return probabilities_of(network + ngrams, artifact.temperature, many=artifact.many)


def expected_fast(artifact: Artifact, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what the fast way gives, defined as `expected_probabilities` is: those, and which texts n-grams answer, bool [texts]."""
    assert artifact.fast is not None
    network, ngrams = _expected_logits(artifact, texts)
    linear = artifact.fast.sure(ngrams, None if artifact.thresholds is None else np.array(artifact.thresholds, np.float32))
    whole = probabilities_of(network + ngrams, artifact.temperature, many=artifact.many)
    alone = probabilities_of(ngrams, artifact.fast.temperature, many=artifact.many)
    return np.where(linear[:, None], alone, whole), linear


@torch.inference_mode()
def _expected_logits(artifact: Artifact, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the logits of the network, and of the n-grams, each float32 [texts, classes]; zeros where there are none."""
    network = trained_network(artifact)
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(texts)
    directions, pooling = 2 if artifact.config.model.bidirectional else 1, artifact.config.model.pooling
    logits, of_ngrams = np.zeros((2, len(texts), len(artifact.labels)), np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for one text two would mostly wait for each other
    try:
        for row in range(len(texts)):
            ids = torch.from_numpy(encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]].astype(np.int64))
            outputs, state = network.encoder.rnn(network.embedding(ids)[None])  # (1, tokens, embedding)
            final = (state[0] if isinstance(state, tuple) else state)[-directions:]  # (directions, 1, hidden)
            pooled = {"final": outputs[0, :0], "final+max": outputs.amax(dim=1), "final+mean": outputs.mean(dim=1)}
            logits[row] = network.classifier(torch.cat([final.flatten(), pooled[pooling].flatten()])).numpy()
            if network.ngrams is not None:
                of_ngrams[row] = network.ngrams(ids[None])[0].numpy()
    finally:
        torch.set_num_threads(threads)
    return logits, of_ngrams


def compare(artifact: Artifact, run: Run, texts: Sequence[str], bound: Bound = EXACT, *, fast: bool = False) -> Parity:
    """Compare an export with the trained model, in batches of 1, 7 and 64.

    Args:
        artifact: The trained model.
        run: Runs the export.
        texts: What to compare on.
        bound: How far the export may be from the model; where fewer than all labels must agree, the caller judges their share.
        fast: Whether it is the fast way that is compared: which texts n-grams answer alone must be the same, and there the export
            may be no further from them than `EXACT`.

    Raises:
        ExportError: They differ; the message quotes the text.
    """
    expected, linear = expected_fast(artifact, texts) if fast else (expected_probabilities(artifact, texts), None)
    allowed = np.full(len(texts), bound.difference)
    if linear is not None:
        allowed[linear] = EXACT.difference
    scores = np.empty((len(BATCH_SIZES), *expected.shape), np.float32)
    wrong, faults = 0, []
    for found, size in zip(scores, BATCH_SIZES, strict=True):
        for start in range(0, len(texts), size):
            batch, wanted = texts[start : start + size], expected[start : start + size]
            answers, probabilities, *others = run(batch)
            if linear is not None:
                _check_linear(batch, others[0], linear[start : start + size])
            _check(batch, probabilities, wanted, allowed[start : start + size])
            for text, answer, row in zip(batch, answers, wanted, strict=True):
                fault, count = _fault(artifact, text, answer, row)
                if fault and bound.agreement == 1:
                    raise ExportError(f"the export differs from the model in the label of the text {fault.said}")
                faults.append(fault)
                wrong += count
            found[start : start + size] = probabilities
    decisions = len(BATCH_SIZES) * len(texts) * (len(artifact.labels) if artifact.many else 1)
    largest, across = float(np.abs(scores - expected).max()), float(np.ptp(scores, axis=0).max())
    return Parity(len(texts), largest, across, decisions, wrong, max(filter(None, faults), default=None))


def _check_linear(batch: Sequence[str], found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> None:
    """Refuse an export where n-grams alone answer other texts than those of which they are sure."""
    if len(differ := np.flatnonzero(found != wanted)):
        who = "the network" if wanted[differ[0]] else "n-grams alone"
        raise ExportError(f"the export differs from the model: {who} answered the text {_quoted(batch[differ[0]])}")


def _check(batch: Sequence[str], found: NDArray[np.float32], wanted: NDArray[np.float64], allowed: NDArray[np.float64]) -> None:
    """Refuse probabilities of another shape, or too far from the model's."""
    if found.shape != wanted.shape:
        raise ExportError(f"the export gave probabilities of shape {found.shape}, not {wanted.shape}")
    for text, difference, most in zip(batch, np.abs(found - wanted).max(axis=1).tolist(), allowed.tolist(), strict=True):
        if not difference <= most:  # so that NaN is caught too
            raise ExportError(
                f"the export differs from the model by {rounded_up(difference):.2g} (allowed {most:g}), "
                f"in batches of {len(batch)}, on the text {_quoted(text)}"
            )


def _fault(artifact: Artifact, text: str, answer: Any, scores: NDArray[np.float64]) -> tuple[Fault | None, int]:
    """Return what is wrong with the label or labels given to a text, and how many of them are; nothing in a tie."""
    classes = [label_text(label) for label in artifact.labels]
    if artifact.many:
        over = scores - np.array(artifact.thresholds)
        wrong = ((over >= 0) != answer) & (np.abs(over) > _TIE)
        margin, count = float(np.abs(over[wrong]).max(initial=0)), int(wrong.sum())
        given, wanted = (str([name for name, has in zip(classes, row, strict=True) if has]) for row in (answer, over >= 0))
    else:
        given, wanted = repr(answer), repr(classes[int(scores.argmax())])
        margin = float(scores.max() - scores[classes.index(answer)]) if answer in classes else 1.0
        count = int(margin > 2 * _TIE)
    readable = text.isprintable() and not text.isspace()
    return (Fault(readable, margin, f"{_quoted(text)} ({given}, the model {wanted})") if count else None), count


def rounded_up(figure: float, digits: int = 2) -> float:
    """Return a figure with so many digits that is no smaller: for what is said to be moved by at most so much."""
    return float(Context(prec=digits, rounding=ROUND_CEILING).create_decimal(repr(float(figure))))


def rounded_down(share: float) -> float:
    """Return a share in hundredths of a per cent that is no larger: all is said of all alone."""
    return float(Decimal(repr(float(share))).quantize(Decimal("0.0001"), ROUND_FLOOR))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")
