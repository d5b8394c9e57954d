"""Settings that each train well train well together, on texts whose labels a word apiece tells."""

from __future__ import annotations

from collections.abc import Generator
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import pytest

from textcls.config import Config
from textcls.data import Rows
from textcls.training import Event, fit
from textcls.training.fit import evaluate_rows
from textcls.training.prepare import prepare

_Result = TypeVar("_Result")
Setting = tuple[str, Any]

WORDS = {"a": "great", "b": "refund", "c": "login"}
BASE = Config().replace(  # which learns these few texts; all else is as a user finds it
    {
        "model.embedding_size": 24,
        "model.hidden_size": 24,
        "model.embedding_dropout": 0,
        "model.output_dropout": 0,
        "training.epochs": 14,
        "training.epoch_steps": 1,  # a pass an epoch: it is enough, and a third of the time
        "training.batch_size": 16,
        "training.learning_rate": 0.05,
        "training.threads": 1,
        "training.device": "cpu",
    }
)
OF_THE_LOSS: list[Setting] = [
    ("training.class_weights", "balanced"),
    ("training.label_smoothing", 0.0),
    ("training.label_smoothing", 0.3),
    ("training.consistency", 1.0),
    ("training.word_dropout", 0.2),
    ("training.average", 0.0),
    ("training.clip", 0.1),
    ("training.weight_decay", 0.3),
    ("training.metric", "log_loss"),
    ("model.ngram_slots", 512),
]
OTHERS: list[Setting] = [
    ("training.schedule", "constant"),
    ("training.warmup", 0.5),
    ("training.batch_tokens", 60),
    ("training.precision", "fp16"),  # which scales the loss on the CPU as well
    ("training.embedding_rate", 0.1),
    ("training.freeze_embeddings", True),
    ("model.cell", "gru"),
    ("model.pooling", "final+max"),
    ("model.type_dropout", 0.1),
    ("model.recurrent_dropout", 0.3),
    ("model.output_dropout", 0.5),
]


def sentence(labels: list[str], draw: np.random.Generator) -> str:
    """Two words that say nothing, and somewhere among them the word of each label."""
    words = draw.choice(["the", "and", "item", "it"], 2).tolist()
    for label in labels:
        words.insert(int(draw.integers(len(words) + 1)), WORDS[label])
    return " ".join(words)


def one_label(counts: tuple[int, int, int], seed: int) -> Rows:
    """So many texts of each class."""
    labels = np.repeat(list(WORDS), counts).tolist()
    draw = np.random.default_rng(seed)
    return Rows.of([sentence([label], draw) for label in labels], labels)


def many_labels(counts: tuple[int, int, int], seed: int) -> Rows:
    """120 texts, so many of them with each label, independently."""
    draw = np.random.default_rng(seed)
    has = {label: draw.permutation(120) < count for label, count in zip(WORDS, counts, strict=True)}
    labels: list[Any] = [[label for label in WORDS if has[label][row]] for row in range(120)]
    return Rows.of([sentence(some, draw) for some in labels], labels)


# Rows to learn from, in which one class is rare, to validate and to test.
ONE = one_label((60, 60, 6), 0), one_label((8, 8, 3), 1), one_label((8, 8, 8), 2)
MANY = many_labels((60, 50, 6), 0), many_labels((60, 50, 12), 1), many_labels((60, 50, 40), 2)


def result_of(training: Generator[Event, None, _Result]) -> _Result:
    while True:
        try:
            next(training)
        except StopIteration as end:
            result: _Result = end.value
            return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "settings"), [(ONE, OF_THE_LOSS + OTHERS), (MANY, OF_THE_LOSS)], ids=["one label", "many labels"]
)
def test_no_pair_of_settings_is_much_worse_than_either_alone(rows: tuple[Rows, Rows, Rows], settings: list[Setting]) -> None:
    train, validation, test = rows
    prepared = result_of(prepare(BASE, train, validation))

    def score(*changes: Setting) -> float:
        fitted = result_of(fit(BASE.replace(dict(changes)), train, validation, prepared=prepared))
        macro_f1: float = evaluate_rows(fitted, test)[0]["macro_f1"]
        return macro_f1

    alone = {setting: score(setting) for setting in settings}
    assert min(alone.values()) > 0.9, alone  # or a pair would have nothing to lose
    pairs = [(one, other) for one, other in combinations(settings, 2) if one[0] != other[0]]
    together = {pair: score(*pair) for pair in pairs}
    worse = {pair: found for pair, found in together.items() if found < 0.9 * min(alone[pair[0]], alone[pair[1]])}
    assert not worse
