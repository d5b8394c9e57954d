"""What rows weigh: a row of weight 2 is a row that stands there twice, and one of weight 0 is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from textcls.config import Config, ModelSettings, TrainingSettings
from textcls.data import Rows
from textcls.errors import ConfigError, DataError
from textcls.model import Network
from textcls.text import Encoded
from textcls.training import Fitted, fit, loop, losses
from textcls.training.batches import LabelledSplit, make_batch
from textcls.training.distributed import ALONE
from textcls.training.ngrams import examples, fit_linear
from textcls.training.step import Step

VOCABULARY, LABELS = 12, ("a", "b", "c")
ROWS = 9
WEIGHTS = np.array([2, 0, 1, 3, 1, 0, 1, 1, 4])
REPEATED = np.repeat(np.arange(ROWS), WEIGHTS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def split(rows: NDArray[np.int64], many: bool, weights: Any = None) -> LabelledSplit:
    """Some of nine texts of 1 to 5 words, with classes, or with labels of which a text may have several or none."""
    draw = np.random.default_rng(0)
    texts = [draw.integers(2, VOCABULARY, draw.integers(1, 6)) for _ in range(ROWS)]
    targets: Any = draw.random((ROWS, 3)) < 0.4 if many else np.arange(ROWS) % 3
    offsets, no = np.cumsum([0, *(len(texts[row]) for row in rows)]), np.zeros(len(rows), bool)
    encoded = Encoded(np.concatenate([texts[row] for row in rows]).astype(np.int32), offsets, no, no)
    return LabelledSplit(encoded, targets[rows], LABELS, None if weights is None else np.asarray(weights, np.float64))


def both(many: bool) -> tuple[LabelledSplit, LabelledSplit]:
    return split(np.arange(ROWS), many, WEIGHTS), split(REPEATED, many)


def settings(**changes: Any) -> TrainingSettings:
    plain = {
        "batch_size": 64,
        "word_dropout": 0,
        "average": 0,
        "warmup": 0,
        "schedule": "constant",
        "epochs": 3,
        "epoch_steps": 1,
    }
    return TrainingSettings(**(plain | {"label_smoothing": 0.1, "learning_rate": 0.02} | changes))


def network() -> Network:
    torch.manual_seed(0)
    plain = {
        "ngram_slots": 0,
        "embedding_size": 4,
        "hidden_size": 4,
        "embedding_dropout": 0,
        "layer_dropout": 0,
        "output_dropout": 0,
    }
    return Network(ModelSettings(**plain), VOCABULARY, len(LABELS))


KINDS = [
    pytest.param(many, {"class_weights": given}, id=f"{'many' if many else 'one'}, {given}")
    for many in (False, True)
    for given in ("none", "balanced", {"a": 1.0, "b": 5.0, "c": 0.5})
]


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize(("many", "changes"), [*KINDS, pytest.param(False, {"consistency": 1.0}, id="two passes")])
def test_training_on_weights_is_training_on_repeated_rows(many: bool, changes: dict[str, Any], scale: float) -> None:
    models = []
    for train in (split(np.arange(ROWS), many, WEIGHTS * scale), split(REPEATED, many)):
        models.append(network())
        list(loop.training_loop(models[-1], train, None, settings(**changes)))
    for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)
    assert any(not torch.equal(one, other) for one, other in zip(network().parameters(), models[0].parameters(), strict=True))


@pytest.mark.parametrize("many", [False, True])
def test_the_loss_of_a_batch_is_that_of_repeated_rows(many: bool) -> None:
    found, balanced = [], settings(class_weights="balanced")
    for train in both(many):
        step = Step(network(), train, balanced)
        (batch,) = step.batches([np.arange(len(train.targets))], epoch=1)
        found.append(step(batch, balanced.learning_rate).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_batch_of_light_rows_teaches_less_than_one_of_heavy_rows() -> None:
    train, weights = losses.to_mean_one(split(np.arange(ROWS), False, [1] * 8 + [9]), torch.ones(3))
    found = []
    for row in (0, 8):  # each alone in its batch
        batch = make_batch(train, np.array([row]), settings(), ALONE, 1, 0)
        logits = torch.tensor([[0.1, 0.2, 0.3]])
        found.append(losses.loss_of(logits, batch.targets * 0, weights, 0.0, of_row=batch.weights).item())
    assert found[1] == pytest.approx(9 * found[0], rel=1e-5)


@pytest.mark.parametrize("many", [False, True])
def test_balanced_class_weights_count_rows_by_what_they_weigh(many: bool) -> None:
    balanced = settings(class_weights="balanced")
    weighted, repeated = (losses.class_weights(balanced, train) for train in both(many))
    torch.testing.assert_close(weighted, repeated)
    assert not torch.equal(weighted, losses.class_weights(balanced, split(np.arange(ROWS), many)))


def test_a_class_whose_rows_weigh_nothing_is_not_counted() -> None:
    rows = np.arange(ROWS)
    found = losses.class_weights(settings(class_weights="balanced"), split(rows, False, rows % 3 != 2))
    assert found.tolist() == [1, 1, 0]


def test_class_weights_that_leave_nothing_to_learn_are_told() -> None:
    rows = np.arange(ROWS)
    train = split(rows, False, rows % 3 == 0)
    with pytest.raises(ConfigError, match=r"training\.class_weights are 0 for every label whose rows weigh something"):
        list(loop.training_loop(network(), train, None, settings(class_weights={"a": 0, "b": 1, "c": 1})))


@pytest.mark.parametrize(("many", "changes"), KINDS)
def test_ngrams_on_weights_are_those_on_repeated_rows(many: bool, changes: dict[str, Any]) -> None:
    found = []
    for train in both(many):
        rows = np.arange(len(train.encoded)) if train.weights is None else np.flatnonzero(train.weights)
        found.append(fit_linear(examples(train, rows, 256), LABELS, settings(**changes)))
    np.testing.assert_allclose(found[0].table, found[1].table, atol=2e-3)
    np.testing.assert_allclose(found[0].bias, found[1].bias, atol=2e-3)
    alone = fit_linear(examples(split(np.arange(ROWS), many), np.arange(ROWS), 256), LABELS, settings(**changes))
    assert not np.allclose(found[0].table, alone.table, atol=2e-2)


# Through `fit`

TEXTS = [f"{word} film {n % 3}" for n in range(12) for word in ("good", "bad")]
TARGETS = ["pos", "neg"] * 12


def fitted(rows: Rows, **changes: Any) -> Fitted:
    plain: dict[str, Any] = {"model.embedding_size": 4, "model.hidden_size": 4, "model.ngram_slots": 0}
    plain |= {"model.embedding_dropout": 0, "model.output_dropout": 0}
    plain |= {"training.batch_size": 64, "training.epoch_steps": 1}
    plain |= {"training.epochs": 6, "training.word_dropout": 0, "training.threads": 1, "training.learning_rate": 0.05}
    training = fit(Config().replace(plain | changes), rows, Rows.of(TEXTS[:6], TARGETS[:6]))
    while True:
        try:
            next(training)
        except StopIteration as end:
            result: Fitted = end.value
            return result


@pytest.mark.parametrize("changes", [{}, {"model.ngram_slots": 256}], ids=["network", "n-grams"])
def test_a_model_of_weighted_rows_is_one_of_repeated_rows(changes: dict[str, Any]) -> None:
    rows = Rows.of(TEXTS, TARGETS)
    one = fitted(replace(rows, weights=np.full(24, 2.0)), **changes)
    other = fitted(rows.select(np.repeat(np.arange(24), 2)), **changes)
    assert one.probabilities is not None
    assert other.probabilities is not None
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"model.ngram_slots": 256}], ids=["network", "n-grams"])
def test_rows_of_weight_0_teach_nothing(changes: dict[str, Any]) -> None:
    """Half of the rows say the contrary, and weigh nothing."""
    rows = Rows.of(TEXTS * 2, [*TARGETS, *reversed(TARGETS)])
    model = fitted(replace(rows, weights=np.repeat([1.0, 0.0], 24)), **changes)
    assert model.artifact.metrics["validation"]["accuracy"] == 1.0


def test_weights_of_1_change_no_bit() -> None:
    rows = Rows.of(TEXTS, TARGETS)
    one, other = fitted(rows), fitted(replace(rows, weights=np.ones(24)))
    assert all(np.array_equal(array, other.artifact.weights[name]) for name, array in one.artifact.weights.items())


def test_rows_that_all_weigh_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="the training rows all weigh 0, so nothing would be learnt"):
        fitted(replace(Rows.of(TEXTS, TARGETS), weights=np.zeros(24)))
