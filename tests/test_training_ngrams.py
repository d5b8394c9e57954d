"""Fitting the linear classifier beside the network: on rows of a few words, and through `fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from textcls.artifact import read_artifact, write_artifact
from textcls.config import Config, TrainingSettings
from textcls.data import Rows
from textcls.errors import ConfigError
from textcls.inference import Predictor
from textcls.model import Ngrams
from textcls.text import Encoded
from textcls.training import Event, Fitted, Note, fit, ngrams
from textcls.training.batches import LabelledSplit
from textcls.training.distributed import World
from textcls.training.fit import TrainingStoppedError, evaluate_rows
from textcls.training.loop import Context
from textcls.training.ngrams import FEWEST_SLOTS, counts_of, distinct, examples, fit_linear, settled_slots
from textcls.training.run import lasting

SLOTS = 512
PLAIN = TrainingSettings()
# Which label a text has depends on the order of its words alone: only pairs tell.
ORDERED = [[2, 3], [3, 2], [2, 3, 4], [4, 3, 2], [5, 2, 3], [5, 3, 2], [2, 3, 5], [3, 2, 5]]


def split(texts: list[list[int]], targets: Any, labels: tuple[str, ...]) -> LabelledSplit:
    offsets, none = np.cumsum([0, *map(len, texts)]), np.zeros(len(texts), np.bool_)
    return LabelledSplit(Encoded(np.concatenate(texts).astype(np.int32), offsets, none, none), np.array(targets), labels)


def learn(
    split: LabelledSplit, settings: TrainingSettings = PLAIN, rows: list[int] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    some = np.arange(len(split.encoded)) if rows is None else np.array(rows)
    found = fit_linear(examples(split, some, SLOTS), split.labels, settings)
    return found.table, found.bias


def scores(texts: list[list[int]], table: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    beside = Ngrams(*table.shape, whole=False)
    beside.weight.copy_(torch.from_numpy(table))
    return np.concatenate([beside(torch.tensor([text])).numpy() for text in texts]) + bias


def test_counts_by_hand() -> None:
    counts = counts_of(split([[2, 2, 2], [9], [1, 0], [3]], [0, 1, 1, 0], ("a", "b")).encoded, np.array([0, 2, 3]), SLOTS)
    assert counts.shape == (3, SLOTS)
    assert counts.sum(axis=1).tolist() == [5, 0, 1]
    assert sorted(counts[[0]].data.tolist()) == [2, 3]  # the pair twice, the word thrice


@pytest.mark.parametrize("classes", [2, 3])
def test_pairs_of_words_are_learnt(classes: int) -> None:
    targets = [0, 1] * 4 if classes == 2 else [0, 1] * 3 + [2, 2]
    texts = ORDERED if classes == 2 else [*ORDERED[:6], [6, 7], [7, 6]]
    table, bias = learn(split(texts, targets, tuple("abc"[:classes])))
    assert scores(texts, table, bias).argmax(axis=1).tolist() == targets
    assert not table[0].any()


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [0, 2, 4], [6]])
def test_a_class_that_no_row_has_is_never_likely(rows: list[int]) -> None:
    given = split([*ORDERED[:6], [6, 7], [7, 6]], [0, 1] * 3 + [2, 3], ("a", "b", "c", "d"))
    table, bias = learn(given, rows=rows)
    found = scores(ORDERED[:4], table, bias)
    seen = {int(given.targets[row]) for row in rows}
    if len(seen) > 1:
        assert found.argmax(axis=1).tolist() == [0, 1, 0, 1]
    assert (found[:, sorted({0, 1, 2, 3} - seen)] == -1).all()


@pytest.mark.filterwarnings("error")
def test_a_text_for_each_label_warns_of_nothing() -> None:
    texts = [[2 + n, 40] for n in range(30)]
    table, bias = learn(split(texts, list(range(30)), tuple(map(str, range(30)))))
    assert scores(texts, table, bias).argmax(axis=1).tolist() == list(range(30))


@pytest.mark.parametrize("many", [False, True])
def test_rows_without_a_word_teach_how_often_a_label_is(many: bool) -> None:
    targets: Any = [[True, False], [True, True], [False, False]] if many else [0, 0, 1]
    table, bias = learn(split([[0], [0], [0]], targets, ("a", "b")))
    assert not table.any()
    assert bias[0] > bias[1]


def test_many_labels_have_a_machine_each_and_one_that_none_or_all_have_scores_nothing() -> None:
    targets = np.array([[n % 2 == 0, n < 4, False, True] for n in range(8)])
    table, bias = learn(split(ORDERED, targets, ("a", "b", "c", "d")), TrainingSettings(class_weights="balanced"))
    found = scores(ORDERED, table, bias)
    assert ((found[:, 0] > 0) == targets[:, 0]).all()
    assert not table[:, 2:].any()
    assert not bias[2:].any()


@pytest.mark.parametrize("many", [False, True])
def test_class_weights_weigh(many: bool) -> None:
    texts, targets = [[2], [2], [2], [3]], np.array([0, 0, 1, 0])
    given: Any = np.stack([targets == 0, targets == 1], axis=1) if many else targets

    def lead(weights: Any) -> float:
        table, bias = learn(split(texts, given, ("a", "b")), TrainingSettings(class_weights=weights))
        found = scores([[2]], table, bias)[0]
        return float(found[1] - found[0])

    assert lead({"a": 1.0, "b": 9.0}) > lead("balanced") > lead("none")


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def config(**changes: Any) -> Config:
    small = {"model.embedding_size": 4, "model.hidden_size": 4, "training.epochs": 2, "training.threads": 1}
    return Config().replace(small | {"model.ngram_slots": SLOTS} | changes)


def fitted(settings: Config, train: Rows, validation: Rows | None, events: list[Event] | None = None, **more: Any) -> Fitted:
    training = fit(settings, train, validation, **more)
    while True:
        try:
            event = next(training)
        except StopIteration as end:
            result: Fitted = end.value
            return result
        if events is not None:
            events.append(event)


def ordered(rows: int, many: bool = False) -> Rows:
    texts = [f"{'good not bad' if n % 2 else 'bad not good'} {n % 7}" for n in range(rows)]
    return Rows.of(
        texts, [["up"] if n % 2 else [] if n % 3 else ["down"] for n in range(rows)] if many else ["up", "down"] * (rows // 2)
    )


@pytest.mark.parametrize("many", [False, True])
def test_a_trained_model_has_them_wherever_it_goes(many: bool, tmp_path: Path) -> None:
    events: list[Event] = []
    train, validation = ordered(60, many), ordered(20, many)
    model = fitted(config(), train, validation, events)
    artifact = model.artifact
    assert artifact.weights["ngrams.weight"].shape == (SLOTS, 2)
    assert artifact.weights["ngrams.weight"].dtype == np.int16
    assert np.abs(artifact.weights["ngrams.weight"]).max(axis=0).tolist() == [32767, 32767]
    assert artifact.metrics["validation"]["micro_f1"] > 0.9  # two epochs of the network alone learn next to nothing
    assert any("they join the network and make" in e.text for e in events if isinstance(e, Note))
    report, probabilities, _ = evaluate_rows(model, validation)
    assert report == artifact.metrics["validation"]
    write_artifact(artifact, tmp_path / "model", "")
    again = read_artifact(tmp_path / "model")
    predictor = Predictor.load(tmp_path / "model")
    found = predictor.predict(list(validation.texts)).probabilities
    np.testing.assert_allclose(found, probabilities, atol=1e-6)
    assert again.weights["ngrams.weight"].dtype == np.int16
    assert again.fingerprint == artifact.fingerprint
    other = fitted(config(), train, validation)
    assert all(np.array_equal(other.artifact.weights[name], array) for name, array in artifact.weights.items())


def test_training_from_a_model_fits_them_anew() -> None:
    first = fitted(config(), ordered(60), ordered(20))
    turned = Rows.of(ordered(60).texts, ["down", "up"] * 30)
    second = fitted(config(), turned, Rows.of(ordered(20).texts, ["down", "up"] * 10), start_from=first.artifact)
    assert second.artifact.metrics["validation"]["accuracy"] == 1.0
    thirds = Rows.of(ordered(60).texts, ["x", "y", "z"] * 20)
    assert fitted(config(), thirds, thirds, start_from=first.artifact).artifact.weights["ngrams.weight"].shape == (SLOTS, 3)


def test_without_validation_rows_nothing_settles_their_weight() -> None:
    with pytest.raises(ConfigError, match=r"model\.ngram_slots needs validation rows"):
        fitted(config(), ordered(60), None)


def test_training_from_a_model_keeps_adds_or_leaves_them_out() -> None:
    auto, none, events = config(**{"model.ngram_slots": "auto"}), config(**{"model.ngram_slots": 0}), list[Event]()
    first = fitted(config(), ordered(60), ordered(20)).artifact
    assert fitted(auto, ordered(60), ordered(20), start_from=first).artifact.config.model.ngram_slots == FEWEST_SLOTS
    plain = fitted(none, ordered(60), ordered(20), start_from=first).artifact
    assert plain.config.model.ngram_slots == 0
    assert fitted(auto, ordered(60), ordered(20), start_from=plain).artifact.config.model.ngram_slots == 0
    without = fitted(auto, ordered(60), None, events, start_from=first).artifact
    assert without.config.model.ngram_slots == 0
    assert "ngrams.weight" not in without.weights
    assert any("are left out: there are no validation rows" in event.text for event in events if isinstance(event, Note))
    assert fitted(config(), ordered(60), ordered(20), start_from=without).artifact.weights["ngrams.weight"].any()


def test_probabilities_need_no_temperature_even_beside_a_network_that_knows_nothing() -> None:
    train, validation = ordered(60, many=True), ordered(40, many=True)
    artifact = fitted(config(**{"training.epochs": 1}), train, validation).artifact
    assert artifact.temperature == 1
    assert artifact.metrics["validation"]["log_loss"] < 0.25


def test_their_number_settles_the_size_of_the_table() -> None:
    texts = [[2, 3, 2, 3], [3, 1, 2], [0], [5]]  # words 2, 3, 5; pairs 2 3, 3 2
    few = split(texts, [0, 1, 1, 0], ("a", "b"))
    assert distinct(few.encoded) == 5
    assert settled_slots(few) == FEWEST_SLOTS
    many = split([list(range(2, 30_000))], [0], ("a", "b"))
    assert distinct(many.encoded) == 29_998 + 29_997
    assert settled_slots(many) == 131_072
    wide = split([list(range(2, 30_000))], [0], tuple(map(str, range(150))))
    assert settled_slots(wide) == 32_768
    assert 2 * settled_slots(wide) * 150 <= 16_000_000
    assert settled_slots(split([list(range(2, 30_000))], [0], tuple(map(str, range(3000))))) == 0  # 30 on a row


def test_texts_without_a_word_train_to_the_end() -> None:
    empty = Rows.of([""] * 20, ["x", "y"] * 10)
    model = fitted(config(**{"model.ngram_slots": "auto"}), empty, empty.select(np.arange(4)), validation_cut=True)
    assert model.artifact.provenance["refit"]["rows"] == 24


def test_they_are_left_out_where_too_many_labels_share_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "TABLE_BYTES", 8)
    events: list[Event] = []
    artifact = fitted(config(**{"model.ngram_slots": "auto"}), ordered(60), ordered(20), events, validation_cut=True).artifact
    assert artifact.config.model.ngram_slots == 0
    assert any(
        "left out: their table would be too large with 2 labels" in event.text for event in events if isinstance(event, Note)
    )


@pytest.mark.parametrize("many", [False, True])
def test_the_rows_of_validation_are_learnt_in_the_end_and_nothing_else_changes(many: bool) -> None:
    train, validation = ordered(40, many), ordered(20, many)
    events: list[Event] = []
    before = fitted(config(), train, validation).artifact
    asked_not = fitted(config(**{"training.refit": False}), train, validation, validation_cut=True).artifact
    assert all(np.array_equal(asked_not.weights[name], array) for name, array in before.weights.items())
    model = fitted(config(), train, validation, events, validation_cut=True)
    after = model.artifact
    assert not np.array_equal(after.weights["ngrams.weight"], before.weights["ngrams.weight"])
    for name in before.weights.keys() - {"ngrams.weight", "ngrams.scale", "ngrams.bias"}:
        assert np.array_equal(after.weights[name], before.weights[name])
    assert (after.temperature, after.thresholds, after.metrics) == (before.temperature, before.thresholds, before.metrics)
    assert after.provenance["refit"] == {"rows": 60, "splits": ["train", "validation"]}
    assert "refit" not in before.provenance
    assert any("fitted once more, to 60 rows" in event.text for event in events if isinstance(event, Note))


def test_rows_of_unknown_labels_are_left_out_of_the_last_fit() -> None:
    validation = Rows.of([*ordered(20).texts, "never seen"], [*ordered(20).single_labels, "sideways"])
    model = fitted(config(), ordered(40), validation, validation_cut=True).artifact
    assert model.provenance["refit"]["rows"] == 60
    assert model.metrics["validation"]["unseen_label_rows"] == 1


@pytest.mark.parametrize("many", [False, True])
def test_what_a_linear_model_and_the_most_frequent_label_reach_is_told(many: bool) -> None:
    """Test rows are compared as validation rows are, with the linear model as it was before the last fit."""
    train = ordered(60, many).select(np.r_[np.arange(60), np.arange(1, 60, 2)])  # `up` is the most frequent
    model = fitted(config(), train, ordered(20, many), validation_cut=True)
    report = model.artifact.metrics["validation"]
    assert report["linear"]["accuracy"] >= 0.9
    assert report["majority"]["accuracy"] == 0.5
    again, _, _ = evaluate_rows(model, ordered(20, many))
    assert (again["linear"], again["majority"]) == (report["linear"], report["majority"])
    plain = fitted(config(**{"model.ngram_slots": 0}), train, ordered(20, many)).artifact.metrics["validation"]
    assert "linear" not in plain
    assert plain["majority"] == report["majority"]


def test_no_memory_for_them_keeps_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("textcls.training.finish.fit_linear", full)
    with pytest.raises(TrainingStoppedError, match=r"lower model\.ngram_slots") as stopped:
        fitted(config(), ordered(60), ordered(20))
    kept = stopped.value.fitted.artifact
    plain = fitted(config(**{"model.ngram_slots": 0}), ordered(60), ordered(20)).artifact
    assert kept.config.model.ngram_slots == 0
    assert kept.weights.keys() == plain.weights.keys()
    assert all(np.array_equal(kept.weights[name], array) for name, array in plain.weights.items())


def test_no_memory_for_the_last_fit_keeps_those_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted(config(), ordered(60), ordered(20)).artifact

    def full_later(given: Any, *others: Any) -> Any:
        if len(given.targets) > 60:
            raise MemoryError
        return fit_linear(given, *others)

    monkeypatch.setattr("textcls.training.finish.fit_linear", full_later)
    events: list[Event] = []
    kept = fitted(config(), ordered(60), ordered(20), events, validation_cut=True).artifact
    assert any("no memory to fit them once more" in event.text for event in events if isinstance(event, Note))
    assert "refit" not in kept.provenance
    assert kept.fingerprint == first.fingerprint


def test_many_texts_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MOST_TOKENS", 90)
    lengths = np.full(60, 4)
    rows = ngrams.sample(lengths, draw(0))
    assert len(rows) == len(set(rows.tolist())) == 22
    assert (np.diff(rows) > 0).all()
    assert not np.array_equal(rows, ngrams.sample(lengths, draw(1)))
    assert ngrams.sample(lengths[:22], draw(0)).tolist() == list(range(22))
    assert len(ngrams.sample(np.array([1000]), draw(0))) == 1
    events: list[Event] = []
    model = fitted(config(), ordered(60), ordered(20), events)
    assert any("of 22 of the 60 texts" in event.text for event in events if isinstance(event, Note))
    assert model.artifact.metrics["validation"]["accuracy"] == 1.0


def test_of_processes_that_train_together_the_first_alone_fits_them() -> None:
    assert (
        fitted(config(), ordered(60), ordered(20), context=Context(world=World(rank=1))).artifact.config.model.ngram_slots == 0
    )


def test_a_run_goes_on_with_another_number_of_slots_but_with_no_other_network() -> None:
    """N-grams are fitted behind the loop, so the run that lacked the memory for them need not start anew."""
    assert lasting(config()) == lasting(config(**{"model.ngram_slots": 64}))
    assert lasting(config()) != lasting(config(**{"model.hidden_size": 5}))
