"""From rows to a trained model, on rows of a few words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from textcls.artifact import Artifact
from textcls.config import Config
from textcls.data import Label, LabelSet, Rows
from textcls.errors import ConfigError, DataError, InputError
from textcls.evaluation import evaluate_single, fit_temperature, softmax
from textcls.inference.predictor import Predictor
from textcls.training import EpochEnd, Event, Fitted, Note, fit
from textcls.training.fit import evaluate_rows
from textcls.training.scoring import score


def rows(texts: Sequence[str], labels: Sequence[Label]) -> Rows:
    return Rows.of(texts, labels)


TRAIN = rows([f"{word} film {n % 5}" for n in range(12) for word in ("good", "bad")], ["pos", "neg"] * 12)
VALIDATION = rows(["good film", "bad film", "a good one", "bad"], ["pos", "neg", "pos", "neg"])


def config(**changes: Any) -> Config:
    sizes = {
        "model.embedding_size": 4,
        "model.hidden_size": 4,
        "model.pooling": "final",
        "model.ngram_slots": 0,
        "training.epoch_steps": 1,
        "training.epochs": 2,
        "training.batch_size": 8,
    }
    return Config().replace(sizes | {"training.threads": 1} | changes)


def fitted(
    settings: Config | None = None,
    train: Rows = TRAIN,
    validation: Rows | None = VALIDATION,
    *,
    start_from: Artifact | None = None,
    report: Callable[[Event], None] = lambda _event: None,
) -> Fitted:
    training = fit(settings or config(), train, validation, start_from=start_from)
    while True:
        try:
            report(next(training))
        except StopIteration as end:
            result: Fitted = end.value
            return result


def notes(**arguments: Any) -> list[str]:
    events: list[Event] = []
    fitted(report=events.append, **arguments)
    return [event.text for event in events if isinstance(event, Note)]


def learnt() -> Fitted:
    """A model that is sure of itself."""
    return fitted(config(**{"training.epochs": 12, "training.learning_rate": 0.05, "training.metric": "log_loss"}))


@pytest.fixture(scope="module")
def trained() -> Fitted:
    return fitted()


def same_weights(a: Artifact, b: Artifact) -> bool:
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


@pytest.mark.parametrize("changes", [{}, {"model.cell": "gru", "model.layers": 2}, {"training.threads": 2}], ids=str)
def test_two_runs_give_the_same_weights_and_another_seed_others(changes: dict[str, Any]) -> None:
    first, second = (fitted(config(**changes)).artifact for _ in range(2))
    other = fitted(config(**changes | {"training.seed": 1})).artifact
    assert first.weights.keys() == second.weights.keys()
    assert same_weights(first, second)
    assert first.fingerprint == second.fingerprint
    assert not any(np.array_equal(first.weights[name], other.weights[name]) for name in first.weights)


@pytest.mark.parametrize("ending", ["done", "closed", "error"])
def test_torch_is_left_as_it_was(ending: str) -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    settings = config(**{"training.threads": 3, "model.bidirectional": False})
    training = fit(settings, TRAIN, VALIDATION)
    if ending == "done":
        list(training)
    elif ending == "closed":
        assert next(training)
        assert torch.get_num_threads() == 3
        training.close()
    else:
        with pytest.raises(ConfigError):
            fitted(settings.replace({"training.class_weights": {"pos": 1.0}}))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_callers_random_state_does_not_matter() -> None:
    torch.manual_seed(1)
    first = fitted().artifact
    torch.manual_seed(2)
    assert same_weights(first, fitted().artifact)


def test_everything_is_fitted_on_train_alone(trained: Fitted) -> None:
    assert trained.artifact.vocabulary.tokens == ("<pad>", "<unk>", "film", "bad", "good", "0", "1", "2", "3", "4")
    assert "one" not in trained.artifact.vocabulary.index  # it stands in validation
    assert trained.artifact.labels == ("neg", "pos")
    assert trained.artifact.config.model.embedding_size == 4
    assert not trained.artifact.weights["embedding.weight"][0].any()
    assert trained.artifact.provenance["train_rows"] == 24
    assert trained.artifact.provenance["validation_rows"] == 4


def test_the_default_embedding_size_is_written_out() -> None:
    settings = config().replace({"model.embedding_size": None})
    assert fitted(settings).artifact.config.model.embedding_size == 100


def test_temperature_comes_from_validation() -> None:
    muddled = rows(["good film", "bad film", "good", "bad"] * 3, ["pos", "neg", "pos", "pos"] * 3)  # one in four is wrong
    result = fitted(config(**{"training.learning_rate": 0.05, "training.epochs": 6}), validation=muddled)
    assert result.probabilities is not None
    targets = LabelSet(("neg", "pos")).encode(muddled.single_labels)
    np.testing.assert_array_equal(result.targets, targets)
    logits = score(result.network, result.encoder.encode(muddled.texts))
    assert result.artifact.temperature == pytest.approx(fit_temperature(logits, targets))
    assert result.artifact.temperature != 1.0
    np.testing.assert_allclose(result.probabilities, softmax(logits, result.artifact.temperature), rtol=1e-6)
    report = evaluate_single(result.probabilities.astype(np.float32), targets, ["neg", "pos"])
    (measured,) = result.artifact.metrics.values()
    assert {name: value for name, value in measured.items() if name != "majority"} == report


def test_a_rare_class_that_weighs_much_is_not_what_every_text_is_called() -> None:
    """A text of `c` weighs 75 times what another does, and label smoothing gives `c` a share of every text."""
    words, counts = {"a": "good", "b": "bad", "c": "odd"}, {"a": 300, "b": 300, "c": 4}
    pairs = [(f"film {n % 7} {words[label]} {n % 5}", label) for label, count in counts.items() for n in range(count)]
    sizes = {"model.embedding_size": 8, "model.hidden_size": 8, "training.batch_size": 64}
    learning = {"training.epochs": 12, "training.learning_rate": 0.03, "training.class_weights": "balanced"}
    validation = rows([f"a {word} film" for word in words.values()], list(words))
    artifact = fitted(config(**sizes | learning), rows(*zip(*pairs, strict=True)), validation).artifact
    assert artifact.metrics["validation"]["accuracy"] == 1


def test_without_validation() -> None:
    result = fitted(validation=None)
    assert result.artifact.temperature == 1.0
    assert result.artifact.metrics == {}
    assert result.probabilities is None
    assert result.targets is None


def test_the_date_is_that_of_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert fitted().artifact.provenance["created"] == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert fitted().artifact.provenance["created"] > "1970-01-03"


@pytest.mark.parametrize("told", ["abc", "1e5", "-1", " 1", "1_0", "²", "9" * 12, "9" * 9999])
def test_a_date_that_is_none_is_refused_before_anything_else(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", told)
    with pytest.raises(InputError, match=r"^SOURCE_DATE_EPOCH=.{1,21}: is no date: give whole seconds since 1970"):
        next(fit(config(), TRAIN, VALIDATION))


def test_the_artifact_gives_what_the_network_gives() -> None:
    """Also in the log loss of a sure error, which single precision cuts."""
    model = learnt()
    result = replace(model, artifact=replace(model.artifact, temperature=0.05))
    wrong = rows(VALIDATION.texts, ["neg", "pos", "neg", "pos"])
    report, _, _ = evaluate_rows(result, wrong)
    targets = LabelSet(("neg", "pos")).encode(wrong.single_labels)
    probabilities = Predictor.from_artifact(result.artifact, threads=1).predict(wrong.texts).probabilities
    assert report["log_loss"] == pytest.approx(evaluate_single(probabilities, targets, ["neg", "pos"])["log_loss"], abs=1e-4)
    assert probabilities.min() < 1e-6  # or there would be nothing to cut


def test_labels_that_training_did_not_see_are_counted(trained: Fitted) -> None:
    strange = rows(["good film", "so so", "bad", "meh"], ["pos", "neutral", "neg", "awful"])
    report, probabilities, targets = evaluate_rows(trained, strange)
    assert report["unseen_label_rows"] == 2
    assert report["rows"] == 4
    assert list(report["per_class"]) == ["neg", "pos", "awful", "neutral"]
    assert targets.tolist() == [1, 3, 0, 2]
    assert probabilities.shape == (4, 2)
    validated = fitted(validation=strange).artifact
    assert validated.metrics["validation"]["unseen_label_rows"] == 2
    assert validated.labels == ("neg", "pos")


@pytest.mark.parametrize("metric", ["macro_f1", "log_loss"])
def test_validation_without_a_known_label_is_refused(metric: str) -> None:
    with pytest.raises(DataError, match="no validation row has a label that the training rows have"):
        fitted(config(**{"training.metric": metric}), validation=rows(["good"], ["1"]))


def test_one_label_is_refused() -> None:
    with pytest.raises(DataError, match="have one label alone, 'pos'"):
        fitted(train=rows(["a", "b"], ["pos", "pos"]))


def test_an_empty_text_trains_as_one_pad() -> None:
    train = rows([*TRAIN.texts, "", "   ", "x " * 9], [*TRAIN.labels, "pos", "neg", "pos"])
    said = notes(settings=config(**{"text.max_tokens": 5}), train=train)
    assert "2 training texts are empty: each counts as one <pad>" in said
    assert "1 training texts were cut at text.max_tokens 5" in said


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.txt"
    path.write_text(
        "the 9 9 9\ngood 1 2 3\nfilm -1 0 1\nnever seen 0 0\nunseen 4 5 6\nlast 7 8 9\n".replace("never seen", "x,y 0")
    )
    return path


def frozen(glove: Path, **changes: Any) -> Config:
    vectors = {"text.vectors": str(glove), "model.embedding_size": None, "training.freeze_embeddings": True}
    return config(**vectors | changes)


def test_vectors_stand_in_the_rows_of_their_words(glove: Path) -> None:
    artifact = fitted(frozen(glove, **{"text.extend": 0})).artifact
    table, index = artifact.weights["embedding.weight"], artifact.vocabulary.index
    assert artifact.config.model.embedding_size == 3
    assert table[index["good"]].tolist() == [1, 2, 3]
    assert table[index["film"]].tolist() == [-1, 0, 1]
    assert table[0].tolist() == [0, 0, 0]
    assert table[1].tolist() == [0, 1, 2]  # <unk>: the mean of those two
    assert table[index["bad"]].any()  # at random
    assert len(table) == len(artifact.vocabulary) == 10
    assert artifact.config.text.vectors == "tiny.txt"  # no path of this machine
    assert artifact.provenance["vectors"]["name"] == "tiny.txt"


def test_extend_keeps_words_that_the_tokenizer_can_yield(glove: Path) -> None:
    artifact = fitted(frozen(glove, **{"text.extend": 2})).artifact
    assert artifact.vocabulary.tokens[-2:] == ("the", "unseen")  # `x,y` is never one token
    assert artifact.weights["embedding.weight"][-2:].tolist() == [[9, 9, 9], [4, 5, 6]]


def test_coverage_is_told(glove: Path) -> None:
    (said,) = (note for note in notes(settings=frozen(glove)) if note.startswith("vectors:"))
    assert said.startswith("vectors: tiny.txt, 3 dimensions, cover ")
    assert "50.0% of tokens" in said  # 24 times film, 12 times good, of 72


def test_an_embedding_size_against_the_vectors_is_refused(glove: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model.embedding_size is 4, but tiny.txt has 3 dimensions: leave it out$"):
        fitted(frozen(glove, **{"model.embedding_size": 4}))


def first_loss(settings: Config, **arguments: Any) -> float:
    ends: list[float] = []
    fitted(settings, report=lambda event: ends.append(event.train_loss) if isinstance(event, EpochEnd) else None, **arguments)
    return ends[0]


@pytest.fixture(scope="module")
def taught() -> Artifact:
    return learnt().artifact


def test_starting_from_a_model_keeps_vocabulary_and_weights(taught: Artifact) -> None:
    still = config(**{"training.learning_rate": 1e-12, "training.epochs": 1, "model.hidden_size": 7, "text.lowercase": False})
    more = rows([*TRAIN.texts, "brand new words"], [*TRAIN.labels, "pos"])
    result = fitted(still, more, start_from=taught).artifact
    assert result.vocabulary == taught.vocabulary
    assert result.config.text == taught.config.text
    assert result.config.model.hidden_size == 4
    for name, weight in taught.weights.items():
        np.testing.assert_allclose(result.weights[name], weight, atol=1e-6)
    short = config(**{"training.epochs": 1})
    assert first_loss(short, start_from=taught) < first_loss(short) - 0.3


def test_starting_from_a_model_with_other_labels_keeps_all_but_the_classifier(taught: Artifact) -> None:
    other = rows(TRAIN.texts, ["a", "b", "c"] * 8)
    settings = config(**{"training.learning_rate": 1e-12, "training.epochs": 1})
    events: list[Event] = []
    result = fitted(settings, other, None, start_from=taught, report=events.append).artifact
    assert Note("the labels differ from those of the trained model: the classifier layer starts anew") in events
    assert result.labels == ("a", "b", "c")
    np.testing.assert_allclose(result.weights["embedding.weight"], taught.weights["embedding.weight"], atol=1e-6)
    assert result.weights["classifier.weight"].shape == (3, 8)


def test_starting_from_a_model_remembers_its_vectors(glove: Path) -> None:
    first = fitted(frozen(glove)).artifact
    second = fitted(config(**{"model.embedding_size": None}), start_from=first).artifact
    assert second.provenance["vectors"] == first.provenance["vectors"]


def test_what_was_encoded_before_is_told_and_gives_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path))
    monkeypatch.setattr("textcls.text.cache._FEWEST_TOKENS", 1)
    told = "encoded texts: from the cache"
    assert told not in notes()
    assert told in notes()
    again = fitted().artifact
    monkeypatch.setenv("TEXTCLS_CACHE", "off")
    assert same_weights(fitted().artifact, again)
