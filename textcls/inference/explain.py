"""Which words made the difference: each one left out in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textcls.data.labels import label_text
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
        label: The label explained.
        confidence: Its probability.
        words: The tokens of the text, in order.
    """

    label: str
    confidence: float
    words: tuple[Word, ...]


def explain(predictor: Predictor, text: str, label: str | None = None) -> Explanation:
    """Measure the effect of each token on a label's probability by leaving it out (occlusion: Zeiler and Fergus, 2014).

    Args:
        predictor: The model.
        text: The text.
        label: The label to explain; the most probable one where not named.

    Raises:
        InputError: The model has no such label.
    """
    labels = [label_text(one) for one in predictor.labels]
    if label is not None and label not in labels:
        raise InputError(f"the model has no label {label!r}; it has {', '.join(labels)}")
    tokens = predictor.encoder.tokens(text)
    ids = np.array([predictor.vocabulary.index.get(token, UNK) for token in tokens], np.int32)
    whole = predictor.predict([text]).probabilities[0]
    chosen = int(whole.argmax()) if label is None else labels.index(label)
    if len(tokens) > 1:
        kept = ~np.eye(len(ids), dtype=bool)
        shortened = np.broadcast_to(ids, kept.shape)[kept]  # every text without one of its tokens, one after the other
        without = predictor.engine(shortened, np.arange(len(ids) + 1) * (len(ids) - 1))[:, chosen]
    else:
        without = np.full(len(tokens), predictor.predict([""]).probabilities[0, chosen])
    effects = (whole[chosen] - without).tolist()
    words = (Word(token, effect, number != UNK) for token, effect, number in zip(tokens, effects, ids.tolist(), strict=True))
    return Explanation(labels[chosen], float(whole[chosen]), tuple(words))
