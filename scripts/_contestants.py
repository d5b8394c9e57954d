"""The classifiers that `benchmark.py classify` compares: each reads a csv file with a column `text` and writes it with a `label`."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from _handwritten import HandWritten, padded

from textcls.artifact import Artifact
from textcls.exports.quantized import quantize
from textcls.inference import Predictor, classify_files
from textcls.inference.graph import build_graph
from textcls.model import Ngrams

Classify = Callable[[Path, Path], None]
Labelled = tuple[list[str], list[str]]


def contestants(artifact: Artifact, train: Labelled, folder: Path, only: Sequence[str] | None) -> dict[str, Classify]:
    """Return the classifiers by name, loaded or trained.

    Args:
        artifact: The model that ours and the hand-written script run.
        train: Texts and labels for those with a training of their own.
        folder: For their files.
        only: The names of those that are wanted; all where not given.
    """
    makers: dict[str, Callable[[], Classify]] = {
        "ours fp32": lambda: ours(build_graph(artifact), folder / "model.onnx"),
        "ours, n-grams": lambda: ours(build_graph(with_ngrams(artifact)), folder / "ngrams.onnx"),
        "ours int8": lambda: ours(quantize(build_graph(artifact)), folder / "int8.onnx"),
        "hand-written": lambda: hand_written(artifact),
        "spaCy textcat": lambda: spacy_textcat(train),
        "TF-IDF + LR": lambda: tfidf(train),
    }
    if importlib.util.find_spec("fasttext"):
        makers["fastText"] = lambda: fasttext_predict(train, folder)
    return {name: make() for name, make in makers.items() if not only or name in only}


def ours(graph: onnx.ModelProto, path: Path) -> Classify:
    """Classify with an exported file, as `textcls classify model.onnx texts.csv -o out.csv` does."""
    path.write_bytes(graph.SerializeToString())
    predictor = Predictor.load(path)
    return lambda source, out: void(classify_files(predictor, [source], out, force=True))


def with_ngrams(artifact: Artifact, slots: int = 65_536) -> Artifact:
    """Return a model with n-grams of random scores beside its network."""
    model = artifact.config.model.model_copy(update={"ngram_slots": slots})
    table = np.random.default_rng(0).normal(scale=0.1, size=(slots, len(artifact.labels)))
    table[0] = 0  # what the vocabulary lacks counts nothing
    scores = Ngrams.of(table, np.zeros(len(artifact.labels)), artifact.config.text.max_tokens)
    beside = {f"ngrams.{name}": tensor.numpy() for name, tensor in scores.state_dict().items()}
    return replace(artifact, config=artifact.config.model_copy(update={"model": model}), weights={**artifact.weights, **beside})


def network_of(artifact: Artifact) -> HandWritten:
    """Return the hand-written network with a model's weights."""
    weights = {name: torch.from_numpy(array.copy()) for name, array in artifact.weights.items()}
    (words, size), hidden = weights["embedding.weight"].shape, weights["encoder.rnn.weight_hh_l0"].shape[1]
    model = HandWritten(words, size, hidden, len(artifact.labels))
    model.embedding.load_state_dict({"weight": weights["embedding.weight"]})
    model.lstm.load_state_dict({n.removeprefix("encoder.rnn."): w for n, w in weights.items() if n.startswith("encoder.rnn.")})
    model.linear.load_state_dict({"weight": weights["classifier.weight"], "bias": weights["classifier.bias"]})
    return model.eval()


def hand_written(artifact: Artifact) -> Classify:
    """The script: spaCy's tokenizer, a dictionary of words, batches of 64 in the order of the file."""
    import spacy

    tokenizer = spacy.blank("en").tokenizer
    index, labels = artifact.vocabulary.index, artifact.labels
    model = network_of(artifact)

    @torch.no_grad()
    def predict(texts: Sequence[str]) -> list[Any]:
        ids = [torch.tensor([index.get(token.text.lower(), 1) for token in tokenizer(text)] or [0]) for text in texts]
        probabilities = model(*padded(ids)).softmax(dim=1)
        return [labels[best] for best in probabilities.argmax(dim=1).tolist()]

    def run(source: Path, out: Path) -> None:
        texts = read_texts(source)
        write_labels(out, texts, (label for some in slices(texts, 64) for label in predict(some)))

    return run


def spacy_textcat(train: Labelled) -> Classify:
    """The text categorizer of spaCy in its default architecture, trained for some steps; `nlp.pipe` classifies."""
    import spacy
    from spacy.training import Example

    nlp = spacy.blank("en")
    categorizer: Any = nlp.add_pipe("textcat")
    labels = sorted(set(train[1]))
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {label: float(label == own) for label in labels}})
        for text, own in islice(zip(*train, strict=True), 512)
    ]
    for label in labels:
        categorizer.add_label(label)
    optimizer = nlp.initialize(lambda: examples[:64])
    random.Random(0).shuffle(examples)
    for some in slices(examples, 64):
        nlp.update(some, sgd=optimizer)

    def run(source: Path, out: Path) -> None:
        texts = read_texts(source)
        write_labels(out, texts, (max(doc.cats, key=doc.cats.__getitem__) for doc in nlp.pipe(texts)))

    return run


def tfidf(train: Labelled) -> Classify:
    """scikit-learn's TF-IDF of words and pairs of words, with logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=300))
    pipeline.fit(*train)

    def run(source: Path, out: Path) -> None:
        texts = read_texts(source)
        write_labels(out, texts, pipeline.predict(texts))

    return run


def fasttext_predict(train: Labelled, folder: Path, **settings: Any) -> Classify:
    """Classify with fastText and pairs of words, its defaults where settings do not say otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fasttext = importlib.import_module("fasttext")

    path = folder / "fasttext.txt"
    lines = (f"__label__{label} {' '.join(text.split())}\n" for text, label in zip(*train, strict=True))
    path.write_text("".join(lines), encoding="utf-8")
    model = fasttext.train_supervised(str(path), wordNgrams=2, verbose=0, **settings)

    def run(source: Path, out: Path) -> None:
        texts = read_texts(source)
        found, _ = model.predict([" ".join(text.split()) for text in texts])
        write_labels(out, texts, (str(best).removeprefix("__label__") for (best, *_) in found))

    return run


def read_texts(source: Path) -> list[str]:
    """Return the column `text`."""
    with source.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def write_texts(path: Path, texts: Sequence[str]) -> Path:
    """Write texts as a table with the column `text`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    return path


def write_labels(out: Path, texts: Sequence[str], labels: Any) -> None:
    """Write texts with their labels."""
    with out.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=True)])


def slices(items: Sequence[Any], size: int) -> Iterator[Any]:
    """Yield slices of `size` items, the last one shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def void(_: object) -> None:
    """Return nothing."""
