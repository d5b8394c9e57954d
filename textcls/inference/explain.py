"""Which words made the difference: each one left out in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textcls.data.frames import plain_value
from textcls.data.labels import Label, LabelSet
from textcls.errors import InputError
from textcls.inference.predictor import Predictor
from textcls.text import UNK


@dataclass(frozen=True)
class Word:
    """One token of an explained text.

    Attributes:
        text: The token.
        effect: What it adds to the label's probability: that of the whole text less that of the text without this token.
        known: Whether the vocabulary holds it.
    """

    text: str
    effect: float
    known: bool


@dataclass(frozen=True)
class Explanation:
    """Why a text got its label.

    Attributes:
        label: The label explained, with its type.
        confidence: Its probability.
        words: The tokens of the text, in order.
    """

    label: Label
    confidence: float
    words: tuple[Word, ...]


def explain(predictor: Predictor, text: str, label: Label | None = None) -> Explanation:
    """Measure the effect of each token on a label's probability by leaving it out (occlusion: Zeiler and Fergus, 2014).

    Args:
        predictor: The model.
        text: The text.
        label: The label to explain, as it is or as text; the most probable one where not named.

    Raises:
        InputError: The model has no such label.
    """
    whole = predictor.predict([text]).probabilities[0]
    chosen = int(whole.argmax()) if label is None else index_of(predictor, label)
    return _explained(predictor, text, whole, [chosen])[0]


def explain_given(predictor: Predictor, text: str) -> list[Explanation]:
    """Explain every label that a text gets, the most probable first; of many labels a text may get none, and so no explanation.

    Args:
        predictor: The model.
        text: The text.
    """
    whole = predictor.predict([text]).probabilities[0]
    order = np.argsort(-whole, kind="stable")
    given = order[:1] if predictor.thresholds is None else order[(whole >= predictor.thresholds)[order]]
    return _explained(predictor, text, whole, given.tolist()) if len(given) else []


def index_of(predictor: Predictor, label: Label) -> int:
    """Return the place of a label among the model's.

    Raises:
        InputError: It has no such label.
    """
    known, label = LabelSet(predictor.labels), plain_value(label)
    if (index := known.number(label)) is None:
        raise InputError(f"the model has no label {label!r}; it has {', '.join(known.texts)}")
    return index


def _explained(predictor: Predictor, text: str, whole: NDArray[np.float32], chosen: list[int]) -> list[Explanation]:
    """Explain some labels of a text, given its probabilities, float32 [classes]: each shortened text is scored once for all."""
    tokens = predictor.encoder.tokens(text)
    ids = np.array([predictor.vocabulary.index.get(token, UNK) for token in tokens], np.int32)
    if len(tokens) > 1:
        kept = ~np.eye(len(ids), dtype=bool)
        shortened = np.broadcast_to(ids, kept.shape)[kept]  # every text without one of its tokens, one after the other
        without, _ = predictor.answers(shortened, np.arange(len(ids) + 1) * (len(ids) - 1))
    else:
        without = np.repeat(predictor.predict([""]).probabilities, len(tokens), axis=0)
    found = []
    for label in chosen:
        effects = (whole[label] - without[:, label]).tolist()
        words = (
            Word(token, effect, number != UNK) for token, effect, number in zip(tokens, effects, ids.tolist(), strict=True)
        )
        found.append(Explanation(predictor.labels[label], float(whole[label]), tuple(words)))
    return found
