"""A search: what it tries, what it leaves, how it ends, and how it goes on."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from textcls.config import Config, load_config
from textcls.data import load_splits
from textcls.errors import ConfigError, InputError, MissingPackageError, TrainingError
from textcls.files import AppearedError
from textcls.training import EpochEnd, Event, Note, Progress, Search, SearchEvent, TrialEnd, TrialStart, fit, train, tune
from textcls.training import search as search_module
from textcls.training import trial as trial_module
from textcls.training.fit import Fitted, TrainingStoppedError
from textcls.training.loop import Context
from textcls.training.ngrams import Linear, fit_linear
from textcls.training.prepare import Prepared, prepare
from textcls.training.search import table
from textcls.training.space import (
    ASKED_FOR,
    KNOWN_GOOD,
    SPACE,
    Choice,
    Range,
    changes,
    searched,
    setting,
    starts,
    with_vectors,
)
from textcls.training.trial import rank

optuna = pytest.importorskip("optuna", reason="needs the extra tune")

FILES = {"best.yaml", "trials.csv", "search.png", "trials.db"}
OPTIONS: tuple[dict[str, Any], ...] = ({}, {"force": True}, {"resume": True})
SOON = 0.06  # minutes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    rows = [f"{word} film number {n},{label}" for n in range(30) for word, label in (("good", "pos"), ("bad", "neg"))]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


def config(data: Path, **given: Any) -> Config:
    sizes = {
        "model.embedding_size": 4,
        "model.hidden_size": 4,
        "model.ngram_slots": 0,
        "training.epoch_steps": 1,
        "training.metric": "macro_f1",
        "training.epochs": 2,
        "training.batch_size": 16,
    }
    source = {"data.train": str(data), "data.validation_share": 0.2, "data.test": "test-rows-are-not-there.csv"}
    return Config().replace(source | {"training.threads": 1} | sizes | given)


QUICK = ("training.learning_rate", "training.label_smoothing")  # which leave the trials small


class Counted:
    """A budget that ends the search after so many trials, or epochs of the trial after them."""

    left = 1e9
    taken = 1.0
    finishing = 0.0

    def __init__(self, trials: int, epochs: int = 0) -> None:
        self.trials, self.epochs, self.before, self.pressed = trials, epochs, 0.0, bool

    def __call__(self, _minutes: float) -> Counted:
        return self

    def see(self, event: SearchEvent) -> None:
        if isinstance(event, TrialEnd):
            self.trials -= 1
        elif isinstance(event, EpochEnd) and not self.trials:
            self.epochs -= 1

    def over(self) -> bool:
        return self.trials < 0 or (self.trials == 0 and self.epochs <= 0)


def events_of(given: Config, folder: Path, minutes: float = SOON, **options: Any) -> tuple[Search, list[SearchEvent]]:
    events: list[SearchEvent] = []
    return tune(given, folder, minutes, report=events.append, **{"search": QUICK} | options), events


@pytest.fixture(scope="module")
def found(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, list[SearchEvent]]:
    """A search of five trials."""
    given, folder = config(data, **{"training.learning_rate": 1e-5}), tmp_path_factory.mktemp("search") / "new" / "run"
    events: list[SearchEvent] = []
    budget = Counted(4, 1)

    def report(event: SearchEvent) -> None:
        budget.see(event)
        events.append(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "Budget", budget)
        return tune(given, folder, 1, search=QUICK, report=report), events


def test_every_default_lies_in_the_space() -> None:
    for name, values in SPACE.items():
        assert setting(Config(), name) in values


def test_every_value_of_the_space_is_a_setting() -> None:
    for name, values in SPACE.items():
        for value in values.values if isinstance(values, Choice) else (values.low, values.high):
            assert setting(Config().replace({name: value}), name) == value


def test_what_is_searched() -> None:
    assert list(searched(None)) == [name for name in SPACE if name not in ASKED_FOR]
    assert list(searched(ASKED_FOR)) == [name for name in SPACE if name in ASKED_FOR]
    assert list(searched(QUICK, fixed=QUICK)) == list(QUICK)
    assert set(searched(None)) - set(searched(None, fixed=["training.epochs", "data.train"])) == {"training.epochs"}
    with pytest.raises(ConfigError, match=r"--search text.extend: cannot be searched; there are training.learning_rate, "):
        searched(["text.extend"])
    with pytest.raises(ConfigError, match="every setting that can be searched is fixed"):
        searched(None, fixed=list(SPACE))


def test_a_search_tries_the_given_settings_then_the_defaults_then_what_is_known_then_others(
    found: tuple[Search, list[SearchEvent]],
) -> None:
    search, events = found
    ends = [event for event in events if isinstance(event, TrialEnd)]
    assert [end.number for end in ends] == list(range(1, len(ends) + 1))
    assert [end.origin for end in ends] == ["given", "default", "known", "search", "search"]
    assert [end.changes for end in ends[:3]] == [{}, {"training.learning_rate": 4e-3}, {"training.learning_rate": 2e-3}]
    assert all(set(end.changes) <= set(QUICK) for end in ends)
    assert len({json.dumps(end.changes) for end in ends}) == len(ends)
    assert search.trials == tuple(ends)
    assert search.best == max(
        ends, key=lambda end: (end.metrics["macro_f1"], -end.metrics["log_loss"]) if end.metrics else (-1, 0)
    )
    assert [end.number for end in ends if end.best][-1] == search.best.number
    assert not search.interrupted


def test_optuna_builds_on_what_lies_in_the_space_and_is_whole(found: tuple[Search, list[SearchEvent]]) -> None:
    search, _ = found  # whose given learning rate lies outside, and whose last trial was stopped
    trials = optuna.load_study(study_name=None, storage=f"sqlite:///{search.folder}/trials.db").trials
    used = [trial.state.name in {"COMPLETE", "PRUNED"} for trial in trials]
    assert used == [False, True, True, True, False]
    assert [sorted(trial.params) for trial in trials] == [[], *[sorted(QUICK)] * 4]


def test_a_trial_is_what_training_with_its_settings_gives(found: tuple[Search, list[SearchEvent]], data: Path) -> None:
    search, _ = found
    end = next(end for end in search.trials if end.origin == "search" and end.ending == "finished")
    given = config(data, **{"training.learning_rate": 1e-5}).replace(end.changes)
    splits = load_splits(given.data, test=False)
    fitted = finished(fit(given, splits.train, splits.validation))
    assert end.metrics == {
        name: value for name, value in fitted.artifact.metrics["validation"].items() if isinstance(value, float)
    }


def test_what_a_search_leaves(found: tuple[Search, list[SearchEvent]], data: Path) -> None:
    search, _ = found
    assert {path.name for path in search.folder.iterdir()} == FILES
    assert (search.folder / "search.png").read_bytes().startswith(b"\x89PNG")
    best = search.folder / "best.yaml"
    expected = config(data, **{"training.learning_rate": 1e-5, "text.vectors": None}).replace(search.best.changes)
    assert load_config(best) == search.config == expected  # without vectors, whatever comes to this machine
    lines = best.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# Found by textcls tune: macro_f1 {search.best.metrics['macro_f1']:.4f} on 12 validation rows")
    assert not any("patience" in line for line in lines)  # which has its default
    with (search.folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows][:1] == [search.best.number]
    assert len(rows) == len(search.trials)
    scores = [float(row["macro_f1"]) for row in rows if row["macro_f1"]]
    assert scores == sorted(scores, reverse=True)
    assert {row["training.learning_rate"] for row in rows if row["origin"] == "given"} == {"1e-05"}


def test_the_best_settings_train_a_model(found: tuple[Search, list[SearchEvent]], tmp_path: Path, data: Path) -> None:
    search, _ = found
    run = train(load_config(search.folder / "best.yaml").replace({"data.test": str(data)}), tmp_path / "run")
    assert {name: run.metrics["validation"][name] for name in search.best.metrics} == search.best.metrics


@pytest.mark.parametrize("minutes", [0.001, 0.05, 0.1])
@pytest.mark.usefixtures("found")  # after which everything is imported
def test_the_time_is_kept_and_there_is_always_an_answer(minutes: float, data: Path, tmp_path: Path) -> None:
    given = config(data, **{"training.epochs": 100_000, "training.patience": 100_000})
    began = time.monotonic()
    search, events = events_of(given, tmp_path / "run", minutes)
    assert time.monotonic() - began < 60 * minutes + 8  # reading, the picture, and a busy machine
    assert [(end.origin, end.ending) for end in search.trials] == [("given", "stopped")]
    assert 0 <= search.best.metrics["macro_f1"] <= 1
    assert load_config(tmp_path / "run" / "best.yaml") == given.replace({"text.vectors": None})
    assert not any(isinstance(event, Note) and "more trials" in event.text for event in events)


def proposals(search: Search) -> list[dict[str, Any]]:
    return [dict(end.changes) for end in search.trials]


def counted(
    monkeypatch: pytest.MonkeyPatch, given: Config, folder: Path, trials: int, epochs: int = 0, **options: Any
) -> Search:
    budget = Counted(trials, epochs)
    monkeypatch.setattr(search_module, "Budget", budget)
    monkeypatch.setattr(search_module, "plot_search", lambda *_: None)  # which takes most of the time
    return tune(given, folder, 1, report=budget.see, **options)


def finished(training: Generator[Any, None, Fitted]) -> Fitted:
    """Train to the end."""
    try:
        while True:
            next(training)
    except StopIteration as end:
        fitted: Fitted = end.value
        return fitted


def test_trials_are_whole_models_and_n_grams_are_fitted_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[object] = []

    def counting(*given: Any) -> Linear:
        fits.append(given)
        return fit_linear(*given)

    monkeypatch.setattr("textcls.training.finish.fit_linear", counting)
    given = config(data, **{"model.ngram_slots": 64, "training.metric": "log_loss", "training.learning_rate": 1e-4})
    names = ["training.class_weights", "training.word_dropout"]
    search = counted(monkeypatch, given, tmp_path / "run", 4, search=names)
    weights = {end.changes.get("training.class_weights", "none") for end in search.trials}
    assert len(search.trials) == 4
    assert len(fits) == len(weights)
    for end in search.trials:
        splits = load_splits(given.data, test=False)
        fitted = finished(fit(given.replace(end.changes), splits.train, splits.validation))
        assert fitted.artifact.metrics["validation"]["log_loss"] == end.metrics["log_loss"]
        assert "ngrams.weight" in fitted.artifact.weights
    best = load_config(tmp_path / "run" / "best.yaml")
    run = train(best.replace({"data.test": str(data)}), tmp_path / "trained")
    assert run.metrics["validation"]["log_loss"] == search.best.metrics["log_loss"]
    assert "refit" in run.artifact.provenance


def test_what_a_stopped_trial_reached_is_a_whole_model(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(data, **{"training.epochs": 30, "model.ngram_slots": 64, "training.learning_rate": 1e-6})
    search = counted(monkeypatch, given, tmp_path / "run", 0, 1, search=QUICK)
    (end,) = search.trials
    assert (end.ending, end.epochs) == ("stopped", 1)
    splits = load_splits(given.data, test=False)
    stops = iter([False] * 3 + [True] * 9)
    fitted = finished(fit(given, splits.train, splits.validation, context=Context(should_stop=lambda: next(stops))))
    assert end.metrics["log_loss"] < 0.3  # which the network alone cannot have learnt at this rate
    assert fitted.artifact.metrics["validation"]["log_loss"] == pytest.approx(end.metrics["log_loss"], rel=0.05)


def test_a_trial_fits_its_n_grams_before_its_network(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the budget, which ends the network, holds for them too."""
    order: list[str] = []

    def linear(*given: Any) -> Linear:
        order.append("n-grams")
        return fit_linear(*given)

    def network(*given: Any, **more: Any) -> Generator[Event, None, Fitted]:
        order.append("network")
        return (yield from fit(*given, **more))

    monkeypatch.setattr("textcls.training.finish.fit_linear", linear)
    monkeypatch.setattr(trial_module, "fit", network)
    counted(monkeypatch, config(data, **{"model.ngram_slots": 64}), tmp_path / "run", 2, search=QUICK)
    assert order == ["n-grams", "network", "network"]


def test_time_is_kept_for_what_follows_the_network() -> None:
    budget = trial_module.Budget(10)
    before = budget.left
    budget.finishing = 30.0
    assert budget.left == pytest.approx(before - 30, abs=5)


def test_trials_with_vectors_and_without(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = tmp_path / "mine.txt"
    vectors.write_text("good 1 2 3 4\nbad 4 3 2 1\nfine 1 2 3 3\n", encoding="utf-8")
    prepared: list[str | None] = []

    def counting(settings: Config, *rows: Any) -> Generator[Event, None, Prepared]:
        prepared.append(settings.text.vectors)
        return (yield from prepare(settings, *rows))

    monkeypatch.setattr(trial_module, "prepare", counting)
    given = config(data, **{"text.vectors": str(vectors), "text.extend": 9, "model.embedding_size": None})
    search = counted(monkeypatch, given, tmp_path / "run", 6, search=["text.vectors", "training.word_dropout"])
    assert prepared == [str(vectors), None]  # each once
    without = {"text.vectors": None}
    assert any(without.items() <= end.changes.items() for end in search.trials)
    rows = table(search.trials, given, search.searched)
    assert {row["text.vectors"] for row in rows} == {str(vectors), "none"}
    best = load_config(tmp_path / "run" / "best.yaml")
    run = train(best.replace({"data.test": str(data)}), tmp_path / "trained")
    assert {name: run.metrics["validation"][name] for name in search.best.metrics} == search.best.metrics


def test_where_there_are_no_vectors_they_are_not_searched(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = counted(monkeypatch, config(data), tmp_path / "run", 1, search=["text.vectors", "training.word_dropout"])
    assert search.searched == ("training.word_dropout",)
    with pytest.raises(ConfigError, match=r"text.vectors: there are none to try"):
        counted(monkeypatch, config(data), tmp_path / "other", 1, search=["text.vectors"])
    assert not (tmp_path / "other").exists()


def test_vectors_that_auto_found_are_named_in_the_best_settings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    (cache / "vectors").mkdir(parents=True)
    words = " ".join(data.read_text().replace(",", " ").split()).split()
    lines = [f"{word} " + " ".join(["0.5"] * 50) for word in dict.fromkeys(words)]
    (cache / "vectors" / "glove.6B.50d.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setenv("TEXTCLS_CACHE", str(cache))
    monkeypatch.setattr("textcls.training.prepare.on_this_machine", lambda: "glove.6B.50d")
    given = config(data, **{"model.embedding_size": None})
    counted(monkeypatch, given, tmp_path / "run", 1, search=QUICK)
    assert load_config(tmp_path / "run" / "best.yaml").text.vectors == "glove.6B.50d"
    monkeypatch.setattr("textcls.training.prepare.on_this_machine", lambda: None)
    with pytest.raises(InputError, match=r'cannot be resumed, for text.vectors was {"name": "glove.6B.50d".*, is null'):
        counted(monkeypatch, given, tmp_path / "run", 1, search=QUICK, resume=True)


@pytest.mark.skipif(os.name != "posix", reason="such locks are POSIX's")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_second_search_in_a_folder_is_refused(options: dict[str, Any], data: Path, tmp_path: Path) -> None:
    refusals: list[InputError] = []

    def report(_event: SearchEvent) -> None:
        if not refusals:
            with pytest.raises(InputError, match=r"run: .*process.* is at work in it; wait for its end") as caught:
                tune(config(data), tmp_path / "run", SOON, search=QUICK, **options)
            refusals.append(caught.value)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(config(data), tmp_path / "run", SOON, search=QUICK, report=report)
    assert len(refusals) == 1
    assert list(tmp_path.iterdir()) == []  # and what was made for it is gone


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_link_in_the_folder_of_a_search_is_refused(name: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "mine")
    for options in OPTIONS:
        with pytest.raises(InputError, match=rf"run/{name}: is a symbolic link: .*; remove it, or name another --run"):
            tune(config(data), tmp_path / "run", SOON, search=QUICK, **options)
    assert (tmp_path / "mine").read_text() == "mine"


def stub(draw: random.Random) -> Callable[..., Generator[Event, None, Any]]:
    """A trainer whose figures are drawn, and which fails now and then."""

    def training(settings: Config, *_rows: Any, context: Context, **_: Any) -> Generator[Event, None, Any]:
        for epoch in range(1, settings.training.epochs + 1):
            yield Progress(epoch, settings.training.epochs, 1, 1, 0.5, 1.0, 1.0)
            yield EpochEnd(epoch, 0.5, {"macro_f1": draw.random(), "log_loss": 0.5}, 0.1, 1.0, 1.0, epoch == 1)
            if context.should_stop():
                break
        whole = {"validation": {"macro_f1": round(draw.random(), 1), "log_loss": draw.random(), "per_class": {}}}
        fitted = SimpleNamespace(artifact=SimpleNamespace(metrics=whole))
        if draw.random() < 0.1:
            raise TrainingStoppedError("the loss became nan", fitted)  # type: ignore[arg-type]
        return fitted

    return training


@pytest.mark.parametrize("seed", range(12))
def test_the_best_settings_are_never_worse_than_the_defaults(
    seed: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever trials give, and wherever the search is stopped: best.yaml has the defaults' figure or a better one."""
    draw = random.Random(seed)
    given = config(data, **{"training.learning_rate": 1e-5, "training.epochs": 6})
    monkeypatch.setattr(trial_module, "fit", stub(draw))
    monkeypatch.setattr(search_module, "plot_search", lambda *_: None)
    budget = Counted(seed % 7, draw.randint(1, 5))
    monkeypatch.setattr(search_module, "Budget", budget)
    ends: list[TrialEnd] = []
    notes: list[str] = []

    def see(event: SearchEvent) -> None:
        budget.see(event)
        ends.extend([event] if isinstance(event, TrialEnd) else [])
        notes.extend([event.text] if isinstance(event, Note) else [])

    search = tune(given, tmp_path / "run", 1, search=QUICK, report=see)
    default = next((end for end in ends if end.origin == "default"), None)
    assert default is None or default.ending != "pruned"
    written = (tmp_path / "run" / "best.yaml").read_text(encoding="utf-8")
    figure = float(re.search(r"macro_f1 (\d\.\d+)", written)[1])  # type: ignore[index]
    assert load_config(tmp_path / "run" / "best.yaml") == search.config
    if default is not None and default.ending != "failed":
        assert figure >= default.metrics["macro_f1"]
    unsure = (default is None or default.ending == "stopped") and search.best.origin != "default"
    assert any("defaults were not tried to their end" in note for note in notes) == unsure
    assert ("defaults were not tried to their end" in written) == unsure


def test_what_failed_is_not_the_best_where_something_did_not() -> None:
    end = TrialEnd(1, {}, "given", {"macro_f1": 0.1, "log_loss": 0.7}, 1, 1, 1.0, "pruned", "", 1.0, True)
    failed = replace(end, ending="failed", metrics={"macro_f1": 0.9, "log_loss": 0.2})
    assert rank(end, "macro_f1") > rank(failed, "macro_f1")


def test_the_defaults_are_never_pruned(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.training.study._FULL_TRIALS", 1)
    given = config(data, **{"training.epochs": 12, "training.patience": 12, "training.learning_rate": 0.02})
    search = counted(monkeypatch, given, tmp_path / "run", 3, search=["training.learning_rate"])
    assert [(end.origin, end.ending) for end in search.trials] == [
        ("given", "finished"),
        ("default", "finished"),
        ("known", "pruned"),
    ]


def test_where_a_search_starts() -> None:
    space = searched(None)
    first = starts(space, Config())
    assert [origin for origin, _ in first] == ["given"] + ["known"] * len(KNOWN_GOOD)  # given are the defaults
    assert [changed for _, changed in first[1:]] == list(map(dict, KNOWN_GOOD))
    for _, changed in first:
        assert all(value in space[name] for name, value in changed.items())
    other = Config().replace({"model.hidden_size": 256, "training.batch_size": 32, "text.vectors": "my.txt"})
    assert starts(space, other)[:2] == [("given", {}), ("default", {"model.hidden_size": 128})]
    assert starts(searched(["training.word_dropout"]), other) == [("given", {})]


def test_the_space_of_vectors() -> None:
    given = Config().replace({"text.vectors": "my.txt", "text.extend": 5})
    space = searched(None)
    assert with_vectors(space, given, found=True)["text.vectors"] == Choice(("my.txt", None))
    assert "text.vectors" not in with_vectors(space, given, found=False)
    assert changes(given, {"text.vectors": None}) == {"text.vectors": None}


def test_a_study_that_compared_something_else_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_WAY", None)
    counted(monkeypatch, config(data), tmp_path / "run", 1, search=QUICK)
    monkeypatch.setattr(search_module, "_WAY", 3)
    with pytest.raises(
        InputError, match=r"^.*run: cannot be resumed, for the way of searching was null, is 3; put it back, or"
    ):
        counted(monkeypatch, config(data), tmp_path / "run", 1, search=QUICK, resume=True)


def test_a_search_that_goes_on_tries_what_it_would_have(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended within the sixth trial, and gone on with; everything is searched, and trials are pruned."""
    given, fixed = config(data), ("training.epochs", "model.hidden_size")
    whole = counted(monkeypatch, given, tmp_path / "whole", 7, fixed=fixed)
    part = counted(monkeypatch, given, tmp_path / "part", 5, 1, fixed=fixed)
    assert [end.ending for end in part.trials][5:] == ["stopped"]
    rest = counted(monkeypatch, given, tmp_path / "part", 2, fixed=fixed, resume=True)
    assert proposals(rest) == proposals(whole)
    assert [end.metrics for end in rest.trials] == [end.metrics for end in whole.trials]
    assert [end.number for end in rest.trials] == list(range(1, 8))


def test_one_that_is_stopped_twice_keeps_the_better_result(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(data, **{"training.epochs": 30, "training.learning_rate": 0.02})
    first = counted(monkeypatch, given, tmp_path / "run", 0, 25, search=QUICK)
    again = counted(monkeypatch, given, tmp_path / "run", 0, 1, search=QUICK, resume=True)
    assert (first.best.epochs, first.best.metrics["macro_f1"]) == (25, 1.0)
    assert again.trials == first.trials


def test_what_does_worse_than_most_is_pruned(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.training.study._FULL_TRIALS", 1)
    monkeypatch.setattr("textcls.training.study.starts", lambda *_: [("given", {})])
    given = config(data, **{"training.epochs": 12, "training.patience": 12, "training.learning_rate": 0.02})
    search = counted(monkeypatch, given, tmp_path / "run", 2, search=["training.learning_rate"])
    assert [(end.origin, end.ending, end.epochs) for end in search.trials] == [
        ("given", "finished", 12),
        ("search", "pruned", 4),
    ]


def test_a_trial_that_fails_is_told_and_the_search_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(data, **{"training.learning_rate": 1e25})
    search = counted(monkeypatch, given, tmp_path / "run", 3, search=QUICK)
    assert (search.trials[0].ending, search.trials[0].metrics) == ("failed", {})
    assert re.fullmatch("the loss became nan in epoch 1, step .: lower training.learning_rate", search.trials[0].reason)
    assert search.best.number != 1
    rows = table(search.trials, given, QUICK)
    assert (rows[-1]["trial"], rows[-1]["macro_f1"]) == (1, None)


def test_lower_is_better_where_the_metric_is_the_log_loss(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(data, **{"training.metric": "log_loss"})
    search = counted(monkeypatch, given, tmp_path / "run", 4, search=QUICK)
    losses = [end.metrics["log_loss"] for end in search.trials]
    assert len(losses) == 4
    assert search.best.metrics["log_loss"] == min(losses)
    assert [row["log_loss"] for row in table(search.trials, given, QUICK)] == sorted(losses)


def test_where_every_trial_fails_there_is_nothing_to_find(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(data, **{"training.learning_rate": 1e25})
    with pytest.raises(TrainingError, match="the loss became nan"):
        counted(monkeypatch, given, tmp_path / "run", 1, search=["model.output_dropout"])
    assert not (tmp_path / "run" / "best.yaml").exists()


def test_a_search_ends_where_nothing_is_left_to_try(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.training.study._MOST_REPEATS", 8)
    search, events = events_of(config(data), tmp_path / "run", 1, search=["training.class_weights"])
    assert Note("the search ends here: of the searched settings there is nothing left to try") in events
    assert proposals(search) == [{}, {"training.class_weights": "balanced"}]


def test_changed_settings_data_or_ranges_are_refused_and_named(data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_bytes(data.read_bytes())
    given = config(mine)
    events_of(given, tmp_path / "run", 0.001)
    with pytest.raises(
        InputError, match=r"run: cannot be resumed, for training.patience was 6, is 7; put it back, or start another"
    ):
        events_of(given.replace({"training.patience": 7}), tmp_path / "run", resume=True)
    with pytest.raises(InputError, match=r"for --search was \[.*\], is \[\"model.hidden_size\"\]"):
        events_of(given, tmp_path / "run", resume=True, search=["model.hidden_size"])
    mine.write_bytes(data.read_bytes() + b"another good film,pos\n")
    with pytest.raises(InputError, match=r"for data.train.mine.csv \(SHA-256\) was"):
        events_of(given, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({}, {"search": ["model.cell"]}, "--search model.cell: cannot be searched"),
        ({}, {"resume": True}, "trials.db: holds no search to go on with"),
        ({"data.train": "missing.csv"}, {}, "missing.csv"),
        ({"data.validation_share": 0.0}, {}, "compares settings by validation rows: set data.validation"),
        ({"training.device": "cuda:9"}, {}, "training.device"),
        ({"training.class_weights": {"pos": 1.0}}, {}, "training.class_weights must name each label"),
    ],
)
def test_bad_input_leaves_nothing(
    given: dict[str, Any], options: dict[str, Any], said: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        events_of(config(data, **given), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_empty_needs_force(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = tmp_path / "keep.txt"
    keep.write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        events_of(config(data), tmp_path)
    counted(monkeypatch, config(data), tmp_path, 1, search=QUICK, force=True)
    (tmp_path / "search.png").write_bytes(b"of the first search")
    monkeypatch.undo()
    again, _ = events_of(config(data), tmp_path, 0.001, force=True)
    assert len(again.trials) == 1
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "keep.txt"}


def database(path: Path, table: str) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE {table} (study_id INTEGER)")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"nothing of the kind" * 100),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:30_000]),
        lambda path: database(path, "studies"),
        lambda path: database(path, "of_another_program"),
    ],
    ids=["other bytes", "no bytes", "half", "other columns", "other tables"],
)
def test_damaged_storage_is_refused_and_stays(
    damage: Callable[[Path], object], found: tuple[Search, list[SearchEvent]], data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "trials.db"
    path.write_bytes((found[0].folder / "trials.db").read_bytes())
    damage(path)
    damaged = path.read_bytes()
    with pytest.raises(InputError, match=r"trials.db: holds no search to go on with; start anew, with --force"):
        events_of(config(data), tmp_path, resume=True)
    assert path.read_bytes() == damaged
    assert list(tmp_path.iterdir()) == [path]


def test_without_optuna_one_line_says_what_to_install(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        MissingPackageError, match=r"^a search needs Optuna, which is not installed: pip install 'textcls\[tune\]'$"
    ):
        events_of(config(data), tmp_path / "run")


def test_a_result_that_cannot_be_written_is_one_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(search_module, "write_text", full)
    with pytest.raises(
        TrainingError, match="run: cannot be written: No space left on device; make room, then go on with --resume"
    ):
        events_of(config(data), tmp_path / "run")


@pytest.mark.skipif(sys.platform == "win32", reason="such limits are POSIX's")
@pytest.mark.parametrize("number", [1, 2])
def test_a_storage_that_cannot_be_written_is_one_line(number: int, data: Path, tmp_path: Path) -> None:
    """As with a full disk: in its first trial, in which the file is made, and in its second."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ended: list[TrialEnd] = []

    def report(event: SearchEvent) -> None:
        if isinstance(event, TrialEnd):
            ended.append(event)
        elif isinstance(event, TrialStart) and event.number == number:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))

    try:
        with pytest.raises(TrainingError, match=r"run: cannot be written: (database|disk).*; make room, then go on"):
            tune(config(data), tmp_path / "run", 1, search=QUICK, report=report)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [end.ending for end in ended] == ["finished"] * (0 if number == 1 else 2)  # a full disk is no failure of a trial
    if number == 1:
        assert not (tmp_path / "run").exists()
    else:
        search, _ = events_of(config(data), tmp_path / "run", resume=True)
        assert [end.number for end in search.trials][:2] == [1, 2]


@pytest.mark.parametrize(("number", "before"), [(signal.SIGINT, 0), (signal.SIGTERM, 2)])
def test_a_signal_ends_a_search_as_its_time_does(number: signal.Signals, before: int, data: Path, tmp_path: Path) -> None:
    """In the first epoch of the search, and in that of its third trial."""
    handler = signal.getsignal(number)
    ended: list[TrialEnd] = []

    def report(event: SearchEvent) -> None:
        if isinstance(event, TrialEnd):
            ended.append(event)
        elif isinstance(event, EpochEnd) and len(ended) == before:
            signal.raise_signal(number)

    search = tune(config(data), tmp_path / "run", 10, search=QUICK, report=report)
    assert search.interrupted
    assert [end.ending for end in ended] == ["finished"] * before + ["stopped"]
    assert {path.name for path in search.folder.iterdir()} == FILES
    assert signal.getsignal(number) is handler


def test_what_is_there_gives_way_with_the_first_epoch(data: Path, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("of another search")
    there: list[set[str]] = []

    def report(event: SearchEvent) -> None:
        there.append({path.name for path in tmp_path.iterdir() if path.read_bytes() == b"of another search"})
        if isinstance(event, EpochEnd):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(config(data), tmp_path, 1, search=QUICK, force=True, report=report)
    assert len(there) > 2
    assert all(names == FILES for names in there[:-1])
    assert there[-1] == FILES - {"trials.db"}


def test_a_storage_that_appeared_meanwhile_stays(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, budget = tmp_path / "run" / "trials.db", Counted(3)
    monkeypatch.setattr(search_module, "Budget", budget)

    def report(event: SearchEvent) -> None:
        budget.see(event)
        if isinstance(event, TrialStart) and event.number == 2:
            path.unlink()
            path.write_text("mine")

    with pytest.raises(
        AppearedError, match=r"run/trials\.db: appeared while this was at work, and stays as it is; .*trials-2\.db$"
    ):
        tune(config(data), tmp_path / "run", 1, search=QUICK, report=report)
    assert path.read_text() == "mine"
    kept = optuna.load_study(study_name=None, storage=f"sqlite:///{path.with_name('trials-2.db')}")
    assert len(kept.trials) == 3


def test_what_ended_within_its_first_trial_starts_over(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was written by the end of the first epoch, as after SIGKILL."""

    def report(event: SearchEvent) -> None:
        if isinstance(event, EpochEnd):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(config(data), tmp_path / "run", 1, search=QUICK, report=report)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"trials.db"}
    rest = counted(monkeypatch, config(data), tmp_path / "run", 2, search=QUICK, resume=True)
    whole = counted(monkeypatch, config(data), tmp_path / "whole", 2, search=QUICK)
    assert [(end.number, end.origin, end.metrics) for end in rest.trials] == [
        (end.number, end.origin, end.metrics) for end in whole.trials
    ]
    states = [
        trial.state.name for trial in optuna.load_study(study_name=None, storage=f"sqlite:///{rest.folder}/trials.db").trials
    ]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_signal_before_the_first_result_leaves_nothing(data: Path, tmp_path: Path) -> None:
    def report(event: SearchEvent) -> None:
        if isinstance(event, TrialStart):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        tune(config(data), tmp_path / "run", 10, search=QUICK, report=report)
    assert not (tmp_path / "run").exists()


SCRIPT = """
import sys
from textcls.config import load_config
from textcls.training import EpochEnd, TrialEnd, tune

ended = []

def report(event):
    ended.extend([1] if isinstance(event, TrialEnd) else [])
    if isinstance(event, EpochEnd) and len(ended) == 3:
        print("now", flush=True)

if __name__ == "__main__":
    tune(load_config(sys.argv[1]), sys.argv[2], 10, search=sys.argv[3:], report=report)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.slow
def test_what_was_killed_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "config.yaml"
    given = config(data, **{"training.patience": 40})
    settings.write_text(given.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-c", SCRIPT, str(settings), str(tmp_path / "run"), *QUICK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        os.kill(process.pid, signal.SIGKILL)
    killed = load_config(tmp_path / "run" / "best.yaml")
    assert killed.training.patience == 40
    rest = counted(monkeypatch, given, tmp_path / "run", 1, search=QUICK, resume=True)
    whole = counted(monkeypatch, given, tmp_path / "whole", 4, search=QUICK)
    assert proposals(rest) == proposals(whole)


def test_ranges() -> None:
    assert (Range(8, 40).whole, Range(0.0, 1.0).whole) == (True, False)
    assert 40 in Range(8, 40)
    assert 41 not in Range(8, 40)
    assert "none" not in Range(8, 40)
    assert changes(Config(), {"training.epochs": 20, "training.batch_size": 32}) == {"training.batch_size": 32}


def test_ties_are_broken_by_the_log_loss() -> None:
    metrics = {"macro_f1": 0.5, "log_loss": 0.7}
    end = TrialEnd(1, {}, "given", metrics, 1, 1, 1.0, "finished", "", 1.0, True)
    better, none = replace(end, metrics=metrics | {"log_loss": 0.6}), replace(end, metrics={})
    assert rank(better, "macro_f1") > rank(end, "macro_f1") > rank(none, "macro_f1")


@pytest.mark.slow
def test_a_poor_config_for_trec_recovers(tmp_path: Path) -> None:
    folder = os.environ.get("TEXTCLS_DATA")
    if not folder:
        pytest.skip("TEXTCLS_DATA does not name a folder with the evaluation data")
    shipped = load_config(Path(__file__).parent.parent / "configs" / "trec.yaml").replace(
        {
            "data.train": f"{folder}/trec-train.parquet",
            "data.test": "not-read.parquet",
            "data.label": "label",
            "text.vectors": f"{folder}/glove.6B.50d.subset.txt.gz",
        }
    )
    poor: dict[str, Any] = {"training.learning_rate": 1e-5, "model.hidden_size": 8, "model.ngram_slots": 0}
    poor |= {"model.embedding_dropout": 0.8, "model.output_dropout": 0.8}
    search = tune(shipped.replace(poor | {"training.metric": "macro_f1"}), tmp_path / "run", 6)
    splits = load_splits(shipped.data, test=False)
    assert splits.validation is not None
    wanted = finished(fit(shipped, splits.train, splits.validation)).artifact.metrics["validation"]["macro_f1"]
    standard_error = (wanted * (1 - wanted) / len(splits.validation)) ** 0.5  # as if it were a share of the rows
    assert search.trials[0].metrics["macro_f1"] < 0.5
    assert search.best.metrics["macro_f1"] > wanted - standard_error
