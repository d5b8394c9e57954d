"""Builders for tests: a tiny random model whose vocabulary holds the hard texts' own tokens, so that every difference shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.artifact import Artifact
from textcls.config import Config
from textcls.data.labels import Label
from textcls.exports.texts import HARD_TEXTS
from textcls.fast import FastWay, LinearHalf, leads
from textcls.model.ngrams import whole_numbers
from textcls.text import SPECIAL_TOKENS, Encoder, Vocabulary, build_tokenizer

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def tiny_artifact(
    texts: Iterable[str] = HARD_TEXTS,
    *,
    labels: tuple[Label, ...] = ("no", "yes", "maybe"),
    seed: int = 0,
    embedding_size: int = 4,
    hidden_size: int = 3,
    temperature: float = 1.3,
    **changes: Any,
) -> Artifact:
    """Return a random model that knows every token of some texts; `changes` are settings by their last name."""
    sizes = {
        "model.embedding_size": embedding_size,
        "model.hidden_size": hidden_size,
        "model.ngram_slots": 0,
        "model.pooling": "final",
        "text.vectors": None,
    }
    config = Config().replace(sizes | {dotted(name): value for name, value in changes.items()})
    encoder = Encoder(build_tokenizer(config.text), lambda _token: 1, 1_000_000)
    tokens = sorted(set(chain.from_iterable(map(encoder.tokens, texts))) - set(SPECIAL_TOKENS))
    vocabulary = Vocabulary((*SPECIAL_TOKENS, *tokens))
    return Artifact(config, vocabulary, labels, random_weights(config, len(vocabulary), len(labels), seed), temperature)


def dotted(name: str) -> str:
    """Return `section.name` of a setting of the text or the network."""
    return (
        f"model.{name}" if name in Config().model.model_fields_set | set(type(Config().model).model_fields) else f"text.{name}"
    )


def random_weights(config: Config, vocabulary: int, classes: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return weights under torch's names and in its shapes, large enough that one other token moves every probability."""
    draw, model = np.random.default_rng(seed), config.model
    assert model.embedding_size is not None
    directions, gates = 1 + model.bidirectional, GATES[model.cell] * model.hidden_size
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (vocabulary, model.embedding_size)}
    for layer in range(model.layers):
        inputs = directions * model.hidden_size if layer else model.embedding_size
        for suffix in ("", "_reverse")[:directions]:
            name = f"l{layer}{suffix}"
            shapes[f"encoder.rnn.weight_ih_{name}"] = (gates, inputs)
            shapes[f"encoder.rnn.weight_hh_{name}"] = (gates, model.hidden_size)
            if model.bias:
                shapes |= {f"encoder.rnn.bias_{kind}_{name}": (gates,) for kind in ("ih", "hh")}
    summary = (1 if model.pooling == "final" else 2) * directions * model.hidden_size
    shapes |= {"classifier.weight": (classes, summary), "classifier.bias": (classes,)}
    if model.ngram_slots:
        assert model.ngram_slots != "auto"
        shapes |= {"ngrams.weight": (model.ngram_slots, classes), "ngrams.scale": (classes,), "ngrams.bias": (classes,)}
    weights: dict[str, NDArray[Any]] = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["embedding.weight"][0] = 0  # `<pad>`
    if model.ngram_slots:
        weights["ngrams.weight"][0] = 0  # what is not known
        weights["ngrams.weight"], weights["ngrams.scale"] = whole_numbers(weights["ngrams.weight"].astype(np.float64), 1000)
    return weights


def with_float_ngrams(artifact: Artifact) -> Artifact:
    """Return a model with n-grams in floats, as they were before they were whole numbers."""
    weights = dict(artifact.weights)
    weights["ngrams.weight"] = weights["ngrams.weight"] * weights.pop("ngrams.scale")
    return replace(artifact, weights=weights)


def with_fast_way(artifact: Artifact, texts: Sequence[str]) -> Artifact:
    """Return a model with n-grams that answer about half of some texts alone, and the network the others."""
    classes, draw = len(artifact.labels), np.random.default_rng(7)
    model = artifact.config.model.model_copy(update={"ngram_slots": 512})
    table = draw.integers(-9000, 9000, (512, classes)).astype(np.int16)
    table[0] = 0
    scores: dict[str, NDArray[Any]] = {
        "ngrams.weight": table,
        "ngrams.scale": draw.uniform(1e-5, 1e-4, classes).astype(np.float32),
        "ngrams.bias": draw.normal(scale=0.1, size=classes).astype(np.float32),
    }
    config = artifact.config.model_copy(update={"model": model})
    whole = replace(artifact, config=config, weights={**artifact.weights, **scores})
    encoded, half = Encoder.from_settings(config.text, artifact.vocabulary).encode(texts), LinearHalf.of(whole.weights)
    assert half is not None
    cuts = None if artifact.thresholds is None else np.array(artifact.thresholds, np.float32)
    return replace(whole, fast=FastWay(float(np.median(leads(half(encoded.ids, encoded.offsets), cuts, 0.7))), 0.7))
