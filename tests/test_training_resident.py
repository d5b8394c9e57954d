"""Batches cut on the device against those cut on the CPU; a card is not needed, as the same operations run anywhere."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from textcls.config import ModelSettings, TrainingSettings
from textcls.model import Network
from textcls.text import UNK, Encoded
from textcls.training import EpochEnd, loop
from textcls.training.batches import LabelledSplit, make_batch
from textcls.training.distributed import ALONE
from textcls.training.loop import training_loop
from textcls.training.resident import Chosen, ResidentSplit, fits
from textcls.training.step import ResidentStep, Step

HERE = torch.device("cpu")
NO_DROPOUT: dict[str, Any] = {"embedding_dropout": 0, "layer_dropout": 0, "output_dropout": 0}


def split_of(lengths: list[int], *, many: bool = False, weights: bool = False, words: int = 50) -> LabelledSplit:
    draw = np.random.default_rng(len(lengths))
    nothing = np.zeros(len(lengths), np.bool_)
    ids = draw.integers(2, words, sum(lengths)).astype(np.int32)
    targets = draw.random((len(lengths), 3)) < 0.4 if many else draw.integers(0, 3, len(lengths))
    encoded = Encoded(ids, np.cumsum([0, *lengths]), nothing, nothing)
    return LabelledSplit(encoded, targets, ("a", "b", "c"), draw.random(len(lengths)) if weights else None)


def network(**changes: Any) -> Network:
    torch.manual_seed(0)
    return Network(ModelSettings(**({"embedding_size": 6, "hidden_size": 4, "ngram_slots": 0} | NO_DROPOUT | changes)), 50, 3)


def cut(split: LabelledSplit, chosen: Chosen, passes: int = 1, word_dropout: float = 0.0) -> Any:
    resident, count = ResidentSplit(split, HERE), torch.tensor(float(chosen.count))
    return resident.cut(chosen.rows, count, chosen.steps, passes, word_dropout)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=30), st.data())
def test_a_batch_is_the_one_that_the_cpu_cuts(lengths: list[int], data: st.DataObject) -> None:
    split = split_of(lengths, weights=True)
    rows = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=12, unique=True)))
    filled, most = data.draw(st.booleans()), data.draw(st.integers(len(rows), 20))
    (chosen,) = ResidentSplit(split, HERE).chosen([rows], most, filled=filled)
    assert chosen.count == len(rows) <= len(chosen.rows) <= most
    assert not filled or len(chosen.rows) == most
    found = cut(split, chosen)
    expected = make_batch(split, rows, TrainingSettings(word_dropout=0), ALONE, 1, 0)
    longest = int(expected.texts.lengths.max())
    assert found.texts.ids.shape == (chosen.steps, len(chosen.rows))
    assert chosen.steps >= longest
    assert expected.types is not None
    assert expected.weights is not None
    ids = expected.types[expected.texts.ids]  # 0 behind the ends, as <pad> is the first type
    assert torch.equal(found.texts.ids[:longest, : len(rows)], ids[:longest])
    assert not found.texts.ids[longest:, : len(rows)].any()
    assert torch.equal(found.texts.lengths[: len(rows)], expected.texts.lengths)
    assert torch.equal(found.targets[: len(rows)], expected.targets)
    assert torch.equal(found.weights[: len(rows)], expected.weights)
    assert found.real.tolist() == [1.0] * len(rows) + [0.0] * (len(chosen.rows) - len(rows))
    assert chosen.tokens == expected.tokens


def test_rows_that_cannot_be_written_are_taken_without_a_warning() -> None:
    """As those that `textcls.storage` gives cannot; torch warns of them once a process, unless it is told to do so always."""
    split = split_of([3, 5, 2], weights=True)
    assert split.weights is not None
    for array in (split.encoded.ids, split.encoded.offsets, split.targets, split.weights):
        array.flags.writeable = False
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        (chosen,) = ResidentSplit(split, HERE).chosen([np.array([2, 0])], 2, filled=True)
    finally:
        torch.set_warn_always(before)
    assert chosen.tokens == 5


def test_shapes_are_few() -> None:
    split = split_of([*range(1, 401)])
    each = [np.array([row]) for row in range(400)]
    steps = {chosen.steps for chosen in ResidentSplit(split, HERE).chosen(each, 64, filled=True)}
    assert len(steps) < 60
    assert all(chosen.steps <= chosen.tokens * 1.13 + 1 for chosen in ResidentSplit(split, HERE).chosen(each, 64, filled=True))


def test_a_share_of_the_words_is_dropped_and_no_padding() -> None:
    split = split_of([40] * 300)
    (chosen,) = ResidentSplit(split, HERE).chosen([np.arange(300)], 300, filled=True)
    torch.manual_seed(0)
    ids = cut(split, chosen, word_dropout=0.3).texts.ids
    real = cut(split, chosen).texts.ids > 0
    assert not ids[~real].any()
    assert float((ids[real] == UNK).float().mean()) == pytest.approx(0.3, abs=0.02)


def test_two_passes_stand_one_behind_the_other() -> None:
    split = split_of([3, 5, 2])
    (chosen,) = ResidentSplit(split, HERE).chosen([np.array([2, 0])], 3, filled=True)
    once, twice = cut(split, chosen), cut(split, chosen, passes=2)
    assert torch.equal(twice.texts.ids, once.texts.ids.repeat(1, 2))
    assert twice.real.tolist() == [1.0, 1.0, 0.0] * 2


CASES: list[dict[str, Any]] = [
    {},
    {"batch_tokens": 60},
    {"consistency": 1.0},
    {"class_weights": {"a": 1.0, "b": 3.0, "c": 0.5}},
    {"label_smoothing": 0.2, "average": 0.0},
    {"freeze_embeddings": True},
    {"embedding_rate": 0.3},
]


@pytest.mark.parametrize("changes", CASES, ids=str)
@pytest.mark.parametrize("kind", ["", "many", "weights", "many weights"])
def test_steps_end_in_the_weights_of_steps_cut_on_the_cpu(changes: dict[str, Any], kind: str) -> None:
    """With a last batch that is filled up: what fills it teaches nothing, and counts nowhere."""
    draw = np.random.default_rng(3)
    train = split_of(draw.integers(1, 30, 45).tolist(), many="many" in kind, weights="weights" in kind)
    chosen = TrainingSettings(**({"word_dropout": 0, "batch_size": 16, "learning_rate": 1e-2} | changes))
    rows = [np.arange(16), np.arange(16, 32), np.arange(32, 45)]
    results = []
    for make in (Step, ResidentStep):
        model = network()
        step = make(model, train, chosen)
        losses = [step(batch, 1e-2).item() for _ in range(3) for batch in step.batches(rows, 1)]
        with step.optimizer.averaged():
            averaged = [p.detach().clone() for p in model.parameters()]
        results.append((losses, averaged, [p.detach().clone() for p in model.parameters()]))
    (losses, *others), (same_losses, *same) = results
    assert same_losses == pytest.approx(losses, rel=1e-5)
    for one, other in zip(others, same, strict=True):
        for (name, _), a, b in zip(network().named_parameters(), one, other, strict=True):
            torch.testing.assert_close(b, a, atol=2e-5, rtol=1e-3, msg=name)


def test_a_step_of_texts_that_fill_it_has_no_gradient_from_them() -> None:
    train = split_of([4, 9, 2])
    step = ResidentStep(network(), train, TrainingSettings(word_dropout=0, batch_size=3))
    (one,) = step.batches([np.array([1])], 1)
    loss = step(one, 0.0)
    logits = network()(make_batch(train, np.array([1]), TrainingSettings(word_dropout=0), ALONE, 1, 0).texts)
    assert one.count == 1
    assert len(one.rows) == 3
    assert logits.shape == (1, 3)
    other = ResidentStep(network(), train, TrainingSettings(word_dropout=0, batch_size=3))
    (alone,) = other._split.chosen([np.array([1])], 1, filled=True)
    assert loss.item() == pytest.approx(other(alone, 0.0).item(), rel=1e-6)


def test_the_loop_trains_with_resident_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does on a card: with every kind of dropout, and to a falling loss."""
    monkeypatch.setattr(loop, "make_step", lambda network, train, settings, _world: ResidentStep(network, train, settings))
    draw = np.random.default_rng(0)
    train, validation = (split_of(draw.integers(1, 30, rows).tolist()) for rows in (200, 120))
    train = replace(train, targets=(train.encoded.ids[train.encoded.offsets[:-1]] % 3).astype(np.int64))  # the first word's
    dropped = {"recurrent_dropout": 0.2, "type_dropout": 0.1, "embedding_dropout": 0.2, "output_dropout": 0.2}
    model = network(layers=2, layer_dropout=0.2, **dropped)
    chosen = TrainingSettings(epochs=6, batch_size=16, epoch_steps=1, batch_tokens=400, learning_rate=2e-2, schedule="constant")
    events = list(training_loop(model, train, validation, chosen))
    losses = [event.train_loss for event in events if isinstance(event, EpochEnd)]
    assert losses[-1] < losses[0] - 0.05
    assert all(isinstance(weight, nn.Parameter) and bool(weight.isfinite().all()) for weight in model.parameters())


def test_a_step_leaves_the_memory_of_the_device_as_soon_as_nobody_holds_it() -> None:
    """Rows, moments and graphs: the next training may begin before Python looks for cycles."""
    step = ResidentStep(network(), split_of([4, 9, 2]), TrainingSettings(batch_size=3))
    for batch in step.batches([np.arange(3)], 1):
        step(batch, 1e-3)
    held = weakref.ref(step)
    gc.disable()
    try:
        del step
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("free", "fits_there"), [(1000, False), (10_000_000, True)])
def test_rows_lie_on_the_device_where_they_leave_most_of_its_memory_free(
    free: int, fits_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, 10 * free))
    assert fits(split_of([5, 9, 30] * 20), torch.device("cuda")) == fits_there
