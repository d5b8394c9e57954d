"""The fast way: a text of which the linear classifier is sure is answered by it alone, and never reaches the network.

A cascade of two classifiers, the cheap one first (Viola and Jones, 2001). The linear classifier's scores are sums of whole numbers, so
that every runtime, in any batch, sends the same texts the short way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textcls.text import FIRST_FACTOR, UNK, WORD_FACTOR

LINEAR, NETWORK = "linear", "network"  # who answered
_LARGEST = 1e9  # margin and temperature: far beyond what is ever settled
_FEW = 8  # texts, which are summed one by one


@dataclass(frozen=True)
class FastWay:
    """When the linear classifier of a model answers a text alone.

    Attributes:
        margin: The lead, as `leads` gives it, from which it does; a value of single precision.
        temperature: What its logits are then divided by, so that its probabilities are calibrated.
    """

    margin: float
    temperature: float

    @classmethod
    def of(cls, record: Any) -> FastWay | None:
        """Return what a saved model says; None where it says nothing.

        Raises:
            ValueError: It is damaged.
        """
        if record is None:
            return None
        found = [record.get(name) if isinstance(record, Mapping) else None for name in ("margin", "temperature")]
        numbers = [one if isinstance(one, int | float) and not isinstance(one, bool) else -1 for one in found]
        if not (0 <= numbers[0] <= _LARGEST and 1 / _LARGEST <= numbers[1] <= _LARGEST):  # NaN is neither
            raise ValueError("the fast way is not a margin and a temperature")
        return cls(float(numbers[0]), float(numbers[1]))

    def record(self) -> dict[str, float]:
        """Return it as plain numbers, of which `of` makes it again."""
        return {"margin": self.margin, "temperature": self.temperature}

    def sure(self, logits: NDArray[np.float32], thresholds: NDArray[np.float32] | None) -> NDArray[np.bool_]:
        """Return whether the linear classifier answers each text alone, bool [n]; the arguments are those of `leads`."""
        return leads(logits, thresholds, self.temperature) >= np.float32(self.margin)

    def probabilities(self, logits: NDArray[np.float32], *, many: bool) -> NDArray[np.float32]:
        """Return the probabilities of the linear classifier alone.

        Args:
            logits: Its own, float32 [n, classes].
            many: Whether a text may have many labels.

        Returns:
            float32 [n, classes].
        """
        scaled = logits / np.float32(self.temperature)
        if many:
            with np.errstate(over="ignore"):  # exp of a surely absent label is infinite, and its probability 0
                return np.asarray(1 / (1 + np.exp(-scaled)), np.float32)
        grown = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True), np.float32)


class SomeEngine(Protocol):
    """What scores encoded texts by the whole model."""

    def __call__(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Return calibrated probabilities, float32 [n_texts, classes]."""


@dataclass(frozen=True)
class Cascade:
    """Both halves of a model, the fast way.

    Attributes:
        half: The linear classifier.
        way: When it answers alone.
        thresholds: With many labels a text, of each label, float32 [classes]; else None.
    """

    half: LinearHalf
    way: FastWay
    thresholds: NDArray[np.float32] | None

    def score(
        self, engine: SomeEngine, ids: NDArray[np.int32], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Score texts, by the engine those alone of which the linear classifier is not sure.

        Args:
            engine: Scores by the whole model.
            ids: Token ids of all texts, int32 [n_tokens].
            offsets: Where each text starts, and the end, int64 [n_texts + 1]; every text has at least one token.

        Returns:
            Probabilities, float32 [n_texts, classes], and whether the linear classifier gave them, bool [n_texts].
        """
        logits = self.half(ids, offsets)
        alone = self.way.sure(logits, self.thresholds)
        probabilities = self.way.probabilities(logits, many=self.thresholds is not None)
        if len(others := np.flatnonzero(~alone)):
            probabilities[others] = engine(*select(ids, offsets, others))
        return probabilities, alone


def leads(logits: NDArray[np.float32], thresholds: NDArray[np.float32] | None, temperature: float) -> NDArray[np.float32]:
    """Return how sure a linear classifier is of each text.

    With one label a text that is the difference of its two largest logits; with many the smallest distance of any label's logit,
    over the temperature, from where the label is given. Each step is one of single precision, as in an exported graph.

    Args:
        logits: float32 [n, classes], at least two of them where a text has one label.
        thresholds: With many labels a text, the probability from which each label is given, float32 [classes]; else None.
        temperature: What the logits are divided by, which counts with many labels alone.

    Returns:
        float32 [n].
    """
    if thresholds is None:
        largest = np.partition(logits, logits.shape[1] - 2, axis=1)
        return np.asarray(largest[:, -1] - largest[:, -2])
    return np.asarray(np.abs(logits / np.float32(temperature) - logits_of(thresholds)).min(axis=1))


def logits_of(thresholds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logit of each probability, float32 of the same shape; infinite for 0 and 1, which no logit comes near."""
    wide = np.clip(thresholds.astype(np.float64), 0, 1)
    with np.errstate(divide="ignore"):
        return (np.log(wide) - np.log1p(-wide)).astype(np.float32)


def changed_labels(
    answers: NDArray[np.float32], whole: NDArray[np.float32], thresholds: NDArray[np.float32] | None
) -> NDArray[np.bool_]:
    """Return which texts get other labels from some probabilities than from those of the whole model, bool [n].

    Args:
        answers: float32 [n, classes].
        whole: float32 [n, classes].
        thresholds: With many labels a text, of each label, float32 [classes]; else None.
    """
    if thresholds is None:
        return np.asarray(answers.argmax(axis=1) != whole.argmax(axis=1))
    return np.asarray(((answers >= thresholds) != (whole >= thresholds)).any(axis=1))


class LinearHalf:
    """The scores of a trained model's linear classifier, without torch or a graph: equal to the bit to those of both.

    Args:
        table: Scores by slot, int16 [slots, classes].
        scale: What one is worth in the table, float32 [classes].
        bias: float32 [classes].
    """

    def __init__(self, table: NDArray[np.int16], scale: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self._table, self._scale, self._bias = table, scale, bias

    @classmethod
    def of(cls, weights: Mapping[str, NDArray[Any]]) -> LinearHalf | None:
        """Return that of a model's weights by name; None where there is none, or an older one, of floats."""
        if "ngrams.scale" not in weights:
            return None
        return cls(weights["ngrams.weight"], weights["ngrams.scale"], weights["ngrams.bias"])

    def __call__(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score texts.

        Args:
            ids: Token ids of all texts, int32 [n_tokens].
            offsets: Where each text starts, and the end, int64 [n_texts + 1]; every text has at least one token.

        Returns:
            Logits, float32 [n_texts, classes].
        """
        slots, bounds = self._slots(ids, offsets)
        sums = _sums(self._table, slots, bounds)
        found = np.maximum(np.diff(bounds), 1).astype(np.float32)
        return np.asarray(sums.astype(np.float32) * self._scale / np.sqrt(found)[:, None] + self._bias, np.float32)

    def _slots(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows of the known words and pairs of all texts, [n], and where those of each text start, and the end."""
        rows, wide = len(self._table) - 1, ids.astype(np.int64)
        hashed, known = wide * WORD_FACTOR, ids > UNK
        slots = np.zeros((len(ids), 2), np.int64)  # of each word, and of it with the next one
        slots[:, 0] = np.where(known, 1 + hashed % rows, 0)
        pairs = 1 + (wide[:-1] * FIRST_FACTOR + hashed[1:]) % rows
        slots[:-1, 1] = np.where(known[:-1] & known[1:], pairs, 0)
        slots[offsets[1:] - 1, 1] = 0  # the last word of a text has no next
        counted = np.concatenate([[0], np.cumsum((slots > 0).sum(axis=1))])
        return slots[slots > 0], counted[offsets]


def _sums(table: NDArray[np.int16], slots: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the sum of each text's rows, int32 [n_texts, columns].

    The first row of all texts is added, then the second of all that have one, and so on: three to eight times as fast as numpy's own
    sums of segments (`reduceat`), and without a copy of all rows.
    """
    if len(bounds) <= _FEW + 1:
        texts = [table.take(slots[start:end], axis=0).sum(axis=0, dtype=np.int32) for start, end in pairwise(bounds)]
        return np.array(texts, np.int32).reshape(-1, table.shape[1])
    lengths = np.diff(bounds)
    order = np.argsort(-lengths, kind="stable")
    starts, falling = bounds[:-1][order], -lengths[order]
    sums = np.zeros((len(lengths), table.shape[1]), np.int32)
    for place, number in enumerate(np.searchsorted(falling, -np.arange(-falling[0]))):
        sums[:number] += table.take(slots[starts[:number] + place], axis=0)
    found = np.empty_like(sums)
    found[order] = sums
    return found


def select(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the token ids of some texts, int32 [their tokens], and where each starts, and the end, int64 [rows + 1].

    Args:
        ids: Of all texts, int32 [n_tokens].
        offsets: int64 [n_texts + 1].
        rows: Which texts, int64 [rows].
    """
    starts, lengths = offsets[:-1][rows], np.diff(offsets)[rows]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], lengths)
    return ids[places], bounds
