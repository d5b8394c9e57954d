"""The training loop on toys of a few tokens."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from textcls.config import ModelSettings, TrainingSettings
from textcls.errors import ConfigError, TrainingError
from textcls.model import Network, pack
from textcls.text import Encoded
from textcls.training import loop, losses, scoring
from textcls.training.batches import LabelledSplit, make_batch
from textcls.training.distributed import ALONE
from textcls.training.events import EpochEnd, Event, Note, Progress
from textcls.training.loop import Context
from textcls.training.step import Step

VOCABULARY, CLASSES = 12, 3


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def network(**changes: Any) -> Network:
    plain = {
        "ngram_slots": 0,
        "pooling": "final",
        "embedding_size": 4,
        "hidden_size": 4,
        "embedding_dropout": 0,
        "layer_dropout": 0,
        "output_dropout": 0,
    }
    return Network(ModelSettings(**(plain | changes)), VOCABULARY, CLASSES)


def plain_settings(**changes: Any) -> TrainingSettings:
    plain = {
        "batch_size": 8,
        "epoch_steps": 1,
        "keep": "best",
        "metric": "macro_f1",
        "word_dropout": 0,
        "average": 0,
        "label_smoothing": 0,
        "warmup": 0,
        "schedule": "constant",
    }
    return TrainingSettings(**(plain | {"epochs": 1, "learning_rate": 0.02} | changes))


def split(rows: int = 24, seed: int = 0) -> LabelledSplit:
    """Texts of 1 to 5 words, of which one, 2, 3 or 4, tells the class."""
    draw = np.random.default_rng(seed)
    targets = np.arange(rows) % CLASSES
    texts = []
    for target in targets:
        words = draw.integers(5, VOCABULARY, draw.integers(1, 6))
        words[draw.integers(len(words))] = 2 + target
        texts.append(words)
    return labelled(texts, targets)


def labelled(texts: list[Any], targets: Any) -> LabelledSplit:
    offsets = np.cumsum([0, *map(len, texts)])
    no = np.zeros(len(texts), bool)
    return LabelledSplit(
        Encoded(np.concatenate(texts).astype(np.int32), offsets, no, no), np.asarray(targets, np.int64), ("a", "b", "c")
    )


def run(model: Network, settings: TrainingSettings, validation: LabelledSplit | None = None, stop: Any = bool) -> list[Event]:
    return list(loop.training_loop(model, split(), validation, settings, Context(should_stop=stop)))


def epochs(events: list[Event]) -> list[EpochEnd]:
    return [event for event in events if isinstance(event, EpochEnd)]


def test_learns_what_can_be_learnt() -> None:
    model = network()
    settings = plain_settings(epochs=12, learning_rate=0.03, schedule="cosine", average=0.5, patience=99)
    ends = epochs(list(loop.training_loop(model, split(120), split(30, seed=1), settings)))
    assert ends[-1].metrics["accuracy"] == 1.0
    assert ends[-1].train_loss < ends[0].train_loss / 5
    unseen = split(60, seed=2)
    assert (scoring.score(model, unseen.encoded).argmax(1) == unseen.targets).all()


def test_says_where_training_stands() -> None:
    events = run(network(), plain_settings(epochs=2), split(9))
    progress = [event for event in events if isinstance(event, Progress)]
    assert [(p.epoch, p.epochs, p.step, p.steps) for p in progress if p.step == p.steps] == [(1, 2, 3, 3), (2, 2, 3, 3)]
    assert progress[-1].seconds_left == 0
    assert all(p.tokens_per_second > 0 and p.loss > 0 for p in progress)
    assert [end.epoch for end in epochs(events)] == [1, 2]
    assert "per_class" not in epochs(events)[0].metrics


SCORES = {"rising is better": [0.1, 0.5, 0.4, 0.5, 0.9], "falling is better": [0.9, 0.5, 0.6, 0.5, 0.1]}


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "micro_f1", "weighted_f1", "log_loss"])
def test_stops_after_patience_and_keeps_the_best_weights(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = SCORES["falling is better" if metric == "log_loss" else "rising is better"]
    seen: list[dict[str, Tensor]] = []

    def scripted(model: Network, _validation: LabelledSplit) -> dict[str, Any]:
        seen.append(copy.deepcopy(model.state_dict()))
        return {metric: scores[len(seen) - 1]}

    monkeypatch.setattr(loop, "validation_metrics", scripted)
    model = network()
    ends = epochs(run(model, plain_settings(epochs=5, patience=2, metric=metric, average=0.5), split(9)))
    assert [end.best for end in ends] == [True, True, False, False]  # the second is best; an equal score is not better
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in model.state_dict().items())
    assert not torch.equal(model.classifier.weight, seen[3]["classifier.weight"])


@pytest.mark.parametrize(
    ("keep", "rows", "kept"), [("auto", 99, "last"), ("auto", 100, "best"), ("last", 100, "last"), ("best", 2, "best")]
)
def test_few_validation_rows_do_not_choose_an_epoch(keep: str, rows: int, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rising = iter(range(1, 9))
    monkeypatch.setattr(loop, "validation_metrics", lambda *_: {"log_loss": next(rising)})
    events = run(network(), plain_settings(epochs=4, patience=2, metric="log_loss", keep=keep), split(rows))
    last = kept == "last"
    assert [end.best for end in epochs(events)] == ([True] * 4 if last else [True, False, False])
    notes = [event.text for event in events if isinstance(event, Note)]
    told = "99 validation rows are too few to choose the best epoch by: the last one is kept (training.keep)"
    assert (told in notes) == (keep == "auto" and last)
    assert any(note.startswith("stopped after epoch 3") for note in notes) != last


def test_among_equal_scores_the_lower_log_loss_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = iter([(0.5, 0.9), (0.5, 0.7), (0.5, 0.8), (0.6, 2.0), (0.5, 0.1)])
    monkeypatch.setattr(loop, "validation_metrics", lambda *_: dict(zip(("macro_f1", "log_loss"), next(scripted), strict=True)))
    ends = epochs(run(network(), plain_settings(epochs=5), split(9)))
    assert [end.best for end in ends] == [True, True, False, True, False]


def test_without_validation_the_last_epoch_is_kept() -> None:
    model = network()
    ends = epochs(run(model, plain_settings(epochs=3, patience=1)))
    assert [end.best for end in ends] == [True] * 3
    assert [dict(end.metrics) for end in ends] == [{}] * 3


def test_keeps_the_average_where_there_is_one() -> None:
    models = [network()]
    models += [copy.deepcopy(models[0]) for _ in range(2)]
    for model, decay in zip(models, (0, 0.999, 0.999), strict=True):
        run(model, plain_settings(average=decay))
    assert torch.equal(models[1].classifier.weight, models[2].classifier.weight)
    assert not torch.equal(models[0].classifier.weight, models[1].classifier.weight)


def test_stops_when_told_to() -> None:
    asked = iter([False, False, True, True])
    events = run(network(), plain_settings(epochs=5, batch_size=4), split(9), lambda: next(asked))
    assert isinstance(events[-2], Progress)
    assert (events[-2].epoch, events[-2].step) == (1, 3)  # of six
    assert [end.epoch for end in epochs(events)] == [1]


@pytest.mark.parametrize("stop", [False, True])
def test_a_loss_that_is_no_number_is_one_clear_line(stop: bool) -> None:
    asked = iter([False] + [stop] * 9)
    with pytest.raises(TrainingError, match=r"^the loss became (nan|inf) in epoch 1, step \d: lower training.learning_rate$"):
        run(network(), plain_settings(learning_rate=1e38), split(9), lambda: next(asked))


def by_hand(model: Network, texts: list[list[int]], targets: list[int], weights: Tensor, settings: TrainingSettings) -> None:
    """One step in plain torch, everything padded, packed by torch, and the loss written out."""
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in model.named_parameters() if "weight" in n and "embedding" not in n], "weight_decay": 0.3},
        {"params": [p for n, p in model.named_parameters() if "bias" in n or "embedding" in n], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    padded = pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    embedded = nn.functional.embedding(padded, model.embedding.weight, padding_idx=0)
    packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    _, (h_n, _) = model.encoder.rnn(packed)
    log_p = model.classifier(torch.cat([h_n[-2], h_n[-1]], dim=1)).log_softmax(1)
    own, spread = log_p[range(len(targets)), targets], log_p.mean(1)
    smoothing = settings.label_smoothing
    loss = -(weights[targets] * ((1 - smoothing) * own + smoothing * spread)).sum() / weights[targets].sum()
    loss.backward()
    norm = torch.stack([(p.grad**2).sum() for p in model.parameters() if p.grad is not None]).sum().sqrt()
    assert norm > settings.clip  # or the test would not show the clipping
    for p in model.parameters():
        assert p.grad is not None
        p.grad *= settings.clip / norm
    optimizer.step()


def test_one_step_equals_one_by_hand() -> None:
    model = network(layers=2).double()
    reference = copy.deepcopy(model)
    texts, targets = [[2, 5, 6], [3], [4, 7, 7, 8], [0]], [0, 1, 2, 1]
    settings = plain_settings(label_smoothing=0.2, weight_decay=0.3, clip=0.01, class_weights={"a": 1, "b": 5, "c": 0.5})
    train = labelled(texts, targets)
    weights = losses.class_weights(settings, train).double()
    batch = make_batch(train, np.arange(4), settings, ALONE, 1, 0)
    Step(model, train, settings)(batch, settings.learning_rate)
    by_hand(reference, texts, targets, weights, settings)
    for (name, ours), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name, rtol=1e-6, atol=1e-9)
    assert not model.embedding.weight[0].any()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_text_weighs_what_its_class_weighs_and_the_smoothing_is_not_weighted(smoothing: float) -> None:
    logits, targets, weights = torch.randn(5, CLASSES), [2, 0, 1, 0, 2], [0.5, 0.0, 40.0]
    total = 0.0
    for scores, target in zip(logits.double(), targets, strict=True):
        log_p = scores - scores.exp().sum().log()
        shares = [smoothing / 3 + (1 - smoothing) * (number == target) for number in range(3)]
        total -= weights[target] * sum(share * log_p[number].item() for number, share in enumerate(shares))
    given = logits, torch.tensor(targets), torch.tensor(weights), smoothing
    assert losses.loss_of(*given, "sum").item() == pytest.approx(total, rel=1e-6)
    assert losses.loss_of(*given).item() == pytest.approx(total / (0.5 + 0.5 + 40 + 40), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_an_entry_weighs_what_having_its_label_weighs_where_the_text_has_it(smoothing: float) -> None:
    logits, has, weights = torch.randn(4, CLASSES), torch.eye(4, CLASSES) > 0, [0.5, 0.0, 20.0]
    total = 0.0
    for row in range(4):
        for label in range(3):
            share = (1 - smoothing / 2) if has[row, label] else smoothing / 2
            p = 1 / (1 + (-logits[row, label].double()).exp().item())
            entry = -share * np.log(p) - (1 - share) * np.log(1 - p)
            total += entry * (weights[label] if has[row, label] else 1)
    given = logits, has, torch.tensor(weights), smoothing
    assert losses.loss_of(*given, "sum").item() == pytest.approx(total, rel=1e-5)
    assert losses.loss_of(*given).item() == pytest.approx(total / 12, rel=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.05])
def test_without_class_weights_the_loss_and_its_gradient_are_torchs_to_the_bit(smoothing: float, reduction: Any) -> None:
    logits, targets = torch.randn(37, CLASSES, requires_grad=True), torch.arange(37) % CLASSES
    ours = losses.loss_of(logits, targets, torch.ones(CLASSES), smoothing, reduction)
    theirs = nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction=reduction)
    assert torch.equal(ours, theirs)
    assert torch.equal(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))


def test_a_batch_that_weighs_nothing_teaches_nothing() -> None:
    logits = torch.randn(2, CLASSES, requires_grad=True)
    loss = losses.loss_of(logits, torch.tensor([1, 1]), torch.tensor([1.0, 0.0, 1.0]), 0.1)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, logits)[0].any()
    model = network()
    weights = {"a": 1.0, "b": 0.0, "c": 1.0}
    ends = epochs(run(model, plain_settings(batch_size=1, epochs=4, class_weights=weights, label_smoothing=0.1)))
    assert ends[-1].train_loss < ends[0].train_loss
    unseen = split(60, seed=2)
    assert not (scoring.score(model, unseen.encoded).argmax(1) == 1).any()


def test_a_scaled_loss_learns_the_same() -> None:
    """On the CPU `fp16` scales the loss without rounding anything: what is left is powers of two."""
    after = []
    for precision in ("fp32", "fp16"):
        model, settings = network(), plain_settings(precision=precision, clip=0.01)
        batch = make_batch(split(), np.arange(4), settings, ALONE, 1, 0)
        torch.manual_seed(0)
        Step(model, split(), settings)(batch, settings.learning_rate)
        after.append([p.detach().clone() for p in model.parameters()])
    for one, other in zip(*after, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_embeddings_stay() -> None:
    model = network()
    table, classifier = model.embedding.weight.clone(), model.classifier.weight.clone()
    run(model, plain_settings(average=0.5, freeze_embeddings=True))
    assert torch.equal(model.embedding.weight, table)
    assert not torch.equal(model.classifier.weight, classifier)


def test_the_embedding_table_may_learn_more_slowly() -> None:
    moved = {}
    for rate in (1.0, 0.25):
        torch.manual_seed(0)
        model = network()
        before = copy.deepcopy(model)
        list(loop.training_loop(model, split(8), None, plain_settings(embedding_rate=rate, weight_decay=0)))  # one step
        moved[rate] = {name: p - q for (name, p), q in zip(model.named_parameters(), before.parameters(), strict=True)}
    for name, whole in moved[1.0].items():
        share = 0.25 if name.startswith("embedding") else 1.0
        torch.testing.assert_close(moved[0.25][name], share * whole, msg=name)
        assert whole.any()


def test_a_single_step_learns_with_every_schedule() -> None:
    for schedule in ("cosine", "linear", "constant"):
        model = network()
        before = model.classifier.bias.detach().clone()
        (end,) = epochs(run(model, plain_settings(batch_size=64, schedule=schedule, warmup=0.05)))
        assert end.learning_rate > 0
        assert not torch.equal(model.classifier.bias, before)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rate_rises_then_falls(schedule: str) -> None:
    settings = plain_settings(schedule=schedule, warmup=0.2)
    shares = np.linspace(0, 1, 101)
    factors = np.array([loop.learning_rate_factor(share, settings) for share in shares])
    np.testing.assert_allclose(factors[:20], shares[:20] / 0.2)
    after = (shares[20:] - 0.2) / 0.8
    expected = {"cosine": (1 + np.cos(np.pi * after)) / 2, "linear": 1 - after, "constant": np.ones_like(after)}[schedule]
    np.testing.assert_allclose(factors[20:], expected, atol=1e-12)
    assert loop.learning_rate_factor(0, plain_settings(schedule=schedule, warmup=0)) == 1


@pytest.mark.parametrize("many", [False, True])
def test_disagreement_is_half_the_divergences_both_ways(many: bool) -> None:
    one, other = torch.randn(2, 5, CLASSES)
    if many:
        p, q = (torch.stack([logits.sigmoid(), 1 - logits.sigmoid()]) for logits in (one, other))
        expected = (p * (p / q).log() + q * (q / p).log()).sum(0).mean(1) / 2
    else:
        p, q = one.softmax(1), other.softmax(1)
        expected = (p * (p / q).log() + q * (q / p).log()).sum(1) / 2
    torch.testing.assert_close(losses.disagreement(torch.cat([one, other]), many), expected)


def test_passes_that_agree_learn_as_one() -> None:
    models = []
    for consistency in (0.0, 5.0):
        torch.manual_seed(0)
        models.append(network())
        run(models[-1], plain_settings(consistency=consistency))
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other)


def test_consistency_weighs_how_far_passes_with_dropout_disagree() -> None:
    found = []
    for consistency in (1e-9, 1.0, 2.0):
        torch.manual_seed(0)
        model, settings, train = network(embedding_dropout=0.5), plain_settings(consistency=consistency), split()
        batch = make_batch(train, np.arange(4), settings, ALONE, 1, 0)
        assert (len(batch.texts), batch.tokens) == (8, train.encoded.lengths[:4].sum())
        found.append(Step(model, train, settings)(batch, settings.learning_rate).item())
    assert found[0] < found[1]
    assert found[2] - found[1] == pytest.approx(found[1] - found[0], rel=1e-3)


def test_class_weights() -> None:
    train = labelled([[2]] * 6, [0, 0, 0, 1, 1, 2])
    assert losses.class_weights(plain_settings(), train).tolist() == [1, 1, 1]
    balanced = losses.class_weights(plain_settings(class_weights="balanced"), train)
    np.testing.assert_allclose(balanced, compute_class_weight("balanced", classes=np.arange(3), y=train.targets), rtol=1e-6)
    given = losses.class_weights(plain_settings(class_weights={"c": 3, "a": 1, "b": 2}), train)
    assert given.tolist() == [1, 2, 3]
    assert given.dtype == balanced.dtype == torch.float32


@pytest.mark.parametrize(("given", "odd"), [({"a": 1, "b": 1}, "c"), ({"a": 1, "b": 1, "c": 1, "d": 1}, "d")])
def test_class_weights_of_other_labels_are_refused_before_the_first_step(given: dict[str, float], odd: str) -> None:
    events = loop.training_loop(network(), split(), None, plain_settings(class_weights=given))
    with pytest.raises(ConfigError, match=f"training.class_weights must name each label.*check {odd}$"):
        next(events)


@pytest.mark.parametrize("many", [False, True])
def test_class_weights_that_are_all_0_are_refused(many: bool) -> None:
    train = split()
    train = replace(train, targets=np.eye(CLASSES, dtype=bool)[train.targets]) if many else train
    settings = plain_settings(class_weights={"a": 0, "b": 0, "c": 0})
    with pytest.raises(
        ConfigError, match=r"^training.class_weights are all 0, so no label would be learnt: give some of them more$"
    ):
        next(loop.training_loop(network(), train, None, settings))


def test_scores_without_dropout_in_any_batching(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(layers=2, embedding_dropout=0.9, layer_dropout=0.9, output_dropout=0.9).train()
    texts = split(20).encoded
    scores = scoring.score(model, texts)
    assert np.array_equal(scoring.score(model, texts), scores)
    with torch.no_grad():
        np.testing.assert_allclose(scores, model.eval()(pack(texts.ids, texts.offsets)).numpy(), atol=1e-6)
    monkeypatch.setattr(scoring, "_SCORE_TOKENS", 7)
    np.testing.assert_allclose(scoring.score(model, texts), scores, atol=1e-6)
