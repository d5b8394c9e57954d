"""What `accuracy.py` compares: each learns a task from the same rows, and scores the splits that were asked for.

The baselines see our tokens. With many labels a text every one gives scores between 0 and 1, and its thresholds are chosen on
validation as ours are. Their settings are what the makers or earlier work on these data advise, or chosen on validation.
"""

from __future__ import annotations

import copy
import gzip
import importlib
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _handwritten import HandWritten, padded
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from textcls.config import Config, ModelSettings
from textcls.data import Rows
from textcls.evaluation import Targets, choose_thresholds, evaluate, evaluate_predictions, in_single_precision, sigmoid
from textcls.evaluation.baselines import (
    majority,
    tfidf_linear_svm,
    tfidf_linear_svm_multi,
    tfidf_logistic_regression,
    tfidf_logistic_regression_multi,
)
from textcls.model import Encoder
from textcls.text import UNK
from textcls.training import EpochEnd, Fitted, fit
from textcls.training.fit import evaluate_rows
from textcls.training.prepare import Prepared, prepare
from textcls.training.scoring import score

Scores = dict[str, float]
"""The row's metric by split."""
Answers = NDArray[np.int64] | NDArray[np.floating[Any]]
"""The class of each text, int64 [n]; or with many labels a text a score of each, float [n, classes]."""

MOST_EPOCHS, PATIENCE, RATE, BATCH = 40, 6, 1e-3, 64  # of the hand-written loop
FASTTEXT = {"wordNgrams": 2, "thread": 1, "verbose": 0}
FASTTEXT_CHOICES = tuple({"lr": rate, "epoch": passes} for rate in (0.1, 0.5) for passes in (5, 25))


@dataclass(frozen=True)
class Task:
    """Rows to learn from and to score.

    Attributes:
        config: Settings of the text, the vectors, our network and our training.
        metric: What scores.
        train: Rows to learn from.
        scored: The rows of each split to score; `validation` is always among them.
        cut: Whether validation was cut from the training rows, and is free to learn from once everything is settled.
        fitted: What textcls has trained, by seed.
    """

    config: Config
    metric: str
    train: Rows
    scored: dict[str, Rows]
    cut: bool = True
    fitted: dict[int, Fitted] = field(default_factory=dict)

    @cached_property
    def prepared(self) -> Prepared:
        """The rows as numbers, with the vectors of their words."""
        prepared: Prepared = finish(prepare(self.config, self.train, self.scored["validation"]))
        return prepared

    @cached_property
    def train_tokens(self) -> list[list[str]]:
        """Tokens of the training texts."""
        return [self.prepared.encoder.tokens(text) for text in self.train.texts]

    @cached_property
    def tokens(self) -> list[list[str]]:
        """Tokens of all texts to score, split after split."""
        return [self.prepared.encoder.tokens(text) for rows in self.scored.values() for text in rows.texts]

    @property
    def targets(self) -> Any:
        """Classes of the training texts, or which labels each has."""
        return self.prepared.train.targets

    def score(self, answers: Answers) -> Scores:
        """Score the answers to all texts, split after split."""
        ends = np.cumsum([len(rows) for rows in self.scored.values()])[:-1]
        parts: list[Answers] = np.split(answers, ends)  # type: ignore[assignment]
        return self.score_splits(dict(zip(self.scored, parts, strict=True)))

    def score_splits(self, answers: dict[str, Answers]) -> Scores:
        """Score the answers to each split."""
        thresholds = None
        if self.train.many:
            truth = self._truth("validation")[0][:, : len(self.prepared.labels)]
            thresholds = in_single_precision(
                choose_thresholds(answers["validation"].astype(np.float32), truth.astype(np.bool_))
            )
        scores = {}
        for split, given in answers.items():
            truth, labels = self._truth(split)
            if thresholds is None:
                scores[split] = evaluate_predictions(given.astype(np.int64), truth.astype(np.int64), labels)[self.metric]
            else:
                scores[split] = evaluate(given.astype(np.float32), truth, labels, thresholds)[self.metric]
        return scores

    def _truth(self, split: str) -> tuple[Targets, tuple[str, ...]]:
        together = self.prepared.labels.extended(self.scored[split].labels.distinct)
        return self.scored[split].targets(together), together.texts


def finish(events: Any) -> Any:
    """Run a generator of events to its end, a dot for each epoch, and return what it returns."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if isinstance(event, EpochEnd):
            print(".", end="", file=sys.stderr, flush=True)


def ours(task: Task, seed: int) -> Scores:
    """Train textcls."""
    return scores_of(fitted(task, seed), task)


def nothing_set(task: Task, seed: int) -> Scores:
    """Train textcls with its defaults: the data alone are named. GloVe is at hand, as it is for the others (see `accuracy.py`)."""
    config = Config(data=task.config.data).replace({"training.seed": seed, "training.threads": task.config.training.threads})
    return scores_of(finish(fit(config, task.train, task.scored["validation"], validation_cut=task.cut)), task)


def scores_of(model: Fitted, task: Task) -> Scores:
    """Score a trained model; on validation as it was before it learned from these rows too."""
    others = {split: evaluate_rows(model, rows)[0] for split, rows in task.scored.items() if split != "validation"}
    return {
        split: report[task.metric] for split, report in ({"validation": model.artifact.metrics["validation"]} | others).items()
    }


def ours_without_ngrams(task: Task, seed: int) -> Scores:
    """Take the linear classifier away from what `ours` trained: what the network alone reaches."""
    network = fitted(task, seed).network
    ngrams, network.ngrams = network.ngrams, None
    answers: dict[str, Answers] = {}
    for split, rows in task.scored.items():
        logits = score(network, task.prepared.encoder.encode(rows.texts))
        answers[split] = sigmoid(logits) if task.train.many else logits.argmax(axis=1)
    network.ngrams = ngrams
    return task.score_splits(answers)


def fitted(task: Task, seed: int) -> Fitted:
    """Return what textcls trains, from memory where it has done so before."""
    if seed not in task.fitted:
        config = task.config.replace({"training.seed": seed})
        task.fitted[seed] = finish(
            fit(config, task.train, task.scored["validation"], validation_cut=task.cut, prepared=task.prepared)
        )
    return task.fitted[seed]


def most_frequent(task: Task, _seed: int) -> Scores:
    """Give every text the most frequent label of training; of many a text every label, which thresholds of validation prefer."""
    if not task.train.many:
        return task.score(majority(task.targets, len(task.tokens)))
    share = task.targets.mean(axis=0)
    return task.score(np.tile((share == share.max()).astype(np.float32), (len(task.tokens), 1)))


def logistic_regression(task: Task, _seed: int) -> Scores:
    """Fit logistic regression on TF-IDF features."""
    learn: Callable[..., Answers] = tfidf_logistic_regression_multi if task.train.many else tfidf_logistic_regression
    return best_of(task, learn, (1, 3, 10) if task.train.many else (1, 3, 10, 30, 100))


def linear_svm(task: Task, _seed: int) -> Scores:
    """Fit linear support vector machines on TF-IDF features."""
    learn: Callable[..., Answers] = tfidf_linear_svm_multi if task.train.many else tfidf_linear_svm
    return best_of(task, learn, (0.03, 0.1, 0.3) if task.train.many else (1, 0.3, 3, 0.1, 10))


def best_of(task: Task, learn: Callable[..., Answers], choices: Sequence[float]) -> Scores:
    """Learn with the C that validation prefers, the first of equals; where validation was cut from train, from both in the end."""
    found = [(task.score(learn(task.train_tokens, task.targets, task.tokens, c)), c) for c in choices]
    scores, c = max(found, key=lambda one: one[0]["validation"])
    if not task.cut or task.train.many:
        return scores
    validation = len(task.scored["validation"])
    known = task.scored["validation"].targets(task.prepared.labels.extended(task.scored["validation"].labels.distinct))
    kept = np.flatnonzero(known < len(task.prepared.labels))
    both = [*task.train_tokens, *(task.tokens[:validation][row] for row in kept)]
    again = task.score(learn(both, np.concatenate([task.targets, known[kept]]), task.tokens, c))
    return again | {"validation": scores["validation"]}


def fasttext_bigrams(task: Task, seed: int) -> Scores:
    """Train fastText with bigrams, and with the row's vectors where it has some; of four settings validation chooses."""
    fasttext: Any = importlib.import_module("fasttext")  # of the extra `bench`

    targets = task.targets if task.train.many else np.eye(len(task.prepared.labels), dtype=bool)[task.targets]
    settings: dict[str, Any] = FASTTEXT | {"seed": seed, "loss": "ova" if task.train.many else "softmax"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        with file.open("w", encoding="utf-8") as lines:
            for row in np.random.default_rng(seed).permutation(len(targets)):  # fastText learns in the order of the file
                labels = (f"__label__{label}" for label in np.flatnonzero(targets[row]))
                lines.write(" ".join([*labels, *task.train_tokens[row]]) + "\n")
        if task.config.text.vectors is not None:
            settings |= {"pretrainedVectors": str(plain_vectors(task, Path(folder))), "dim": dimension(task)}
        models = (fasttext.train_supervised(str(file), **settings, **choice) for choice in FASTTEXT_CHOICES)
        return max((fasttext_scores(task, model) for model in models), key=lambda found: found["validation"])


def fasttext_scores(task: Task, model: Any) -> Scores:
    """Classify with a model of fastText."""
    scores = np.zeros((len(task.tokens), len(task.prepared.labels)), np.float32)
    for row, tokens in enumerate(task.tokens):
        labels, probabilities = model.predict(" ".join(tokens) or " ", k=-1)
        for label, probability in zip(labels, probabilities, strict=True):
            scores[row, int(label.removeprefix("__label__"))] = min(1.0, probability)
    return task.score(scores if task.train.many else scores.argmax(axis=1))


def dimension(task: Task) -> int:
    """Return the dimension of the row's vectors."""
    assert task.prepared.vectors is not None
    return task.prepared.vectors.dimension


def plain_vectors(task: Task, folder: Path) -> Path:
    """Write the vectors as fastText wants them: plain text, its first line the number of words and of dimensions."""
    source, out = Path(str(task.config.text.vectors)), folder / "vectors.vec"
    with gzip.open(source, "rb") if source.suffix == ".gz" else source.open("rb") as words:
        count = sum(1 for _ in words)
    with gzip.open(source, "rb") if source.suffix == ".gz" else source.open("rb") as words, out.open("wb") as file:
        file.write(f"{count} {dimension(task)}\n".encode())
        shutil.copyfileobj(words, file)
    return out


class SameNetwork(HandWritten):
    """The hand-written network with its LSTM computed by our layer: the same values and gradients, sooner.

    Where only its accuracy is asked, and it is left to converge on long texts, that is hours less. `benchmark.py` times the other.
    """

    def __init__(self, vocabulary: int, embedding: int, hidden: int, classes: int) -> None:
        super().__init__(vocabulary, embedding, hidden, classes)
        self.encoder = Encoder(embedding, ModelSettings(hidden_size=hidden))
        self.encoder.rnn = self.lstm

    def final_states(self, packed: PackedSequence) -> Tensor:
        """Return the final forward state and the final backward state, concatenated, (texts, 2 * hidden)."""
        return self.encoder.final_states(packed)


def hand_written(task: Task, seed: int) -> Scores:
    """Train a BiLSTM as people write it, padded batches in random order and Adam, until validation no longer improves."""
    torch.manual_seed(seed)
    shuffled, train = random.Random(seed), task.prepared.train
    vectors, words = task.prepared.vectors, len(task.prepared.vocabulary)
    model = SameNetwork(words, dimension(task) if vectors else 100, task.config.model.hidden_size, len(task.prepared.labels))
    with torch.no_grad():
        model.embedding.weight *= 0.4 if vectors else 0.1  # about the spread of the vectors
        if vectors:
            model.embedding.weight[torch.from_numpy(vectors.found)] = torch.from_numpy(vectors.matrix)
            model.embedding.weight[UNK] = torch.from_numpy(vectors.matrix.mean(axis=0))
            model.embedding.weight[words - len(vectors.extra_words) :] = torch.from_numpy(vectors.extra_matrix)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)  # the same steps, at less time
    texts = texts_of(train.encoded.ids, train.encoded.offsets)
    targets = torch.from_numpy(np.array(train.targets))  # a copy, for torch wants one it may write to
    cost = nn.BCEWithLogitsLoss() if task.train.many else nn.CrossEntropyLoss()
    order, best, waited, weights = list(range(len(texts))), -1.0, 0, model.state_dict()
    for _ in range(MOST_EPOCHS):
        shuffled.shuffle(order)
        model.train()
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            logits = model(*padded([texts[row] for row in rows]))
            loss = cost(logits, targets[rows].float() if task.train.many else targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found = task.score_splits({"validation": padded_answers(model, task, "validation")})["validation"]
        print(",", end="", file=sys.stderr, flush=True)
        waited += 1
        if found > best:
            best, waited, weights = found, 0, copy.deepcopy(model.state_dict())
        if waited == PATIENCE:
            break
    model.load_state_dict(weights)
    return task.score_splits({split: padded_answers(model, task, split) for split in task.scored})


def texts_of(ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> list[Tensor]:
    """Return each text's ids."""
    flat = torch.from_numpy(ids.astype(np.int64))
    return [flat[start:end] for start, end in pairwise(offsets.tolist())]


@torch.inference_mode()
def padded_answers(model: HandWritten, task: Task, split: str) -> Answers:
    """Classify a split, texts of like length together."""
    model.eval()
    encoded = task.prepared.encoder.encode(task.scored[split].texts)
    texts, logits = texts_of(encoded.ids, encoded.offsets), np.empty((len(encoded), model.linear.out_features), np.float32)
    order = np.argsort(encoded.lengths)
    for rows in np.array_split(order, max(1, len(order) // BATCH)):
        logits[rows] = model(*padded([texts[row] for row in rows])).numpy()
    return 1 / (1 + np.exp(-logits)) if task.train.many else logits.argmax(axis=1)


CONTESTANTS: dict[str, tuple[Callable[[Task, int], Scores], bool]] = {
    "nothing set": (nothing_set, True),
    "majority": (most_frequent, False),
    "TF-IDF + LR": (logistic_regression, False),
    "TF-IDF + SVM": (linear_svm, False),
    "fastText": (fasttext_bigrams, True),
    "hand-written": (hand_written, True),
    "ours, no n-grams": (ours_without_ngrams, True),
    "ours": (ours, True),
}
"""How each is trained and scored, and whether the seed matters to it."""
