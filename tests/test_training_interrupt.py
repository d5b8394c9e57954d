"""Ctrl-C: the handler alone, a run in this process, and a real one in another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from textcls.artifact import read_artifact
from textcls.config import Config
from textcls.training import EpochEnd, Event, Note, Progress, train
from textcls.training.interrupt import interruptible


def test_the_first_press_is_noted_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as pressed:
        assert not pressed()
        signal.raise_signal(signal.SIGINT)
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as pressed:
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    assert not pressed()


def test_the_signal_is_named_and_before_there_is_something_to_keep_does_what_it_did() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    try:
        with interruptible(numbers=(signal.SIGINT, signal.SIGTERM)) as pressed:
            assert (pressed(), pressed.number) == (False, 0)
            signal.raise_signal(signal.SIGTERM)
            assert (pressed(), pressed.number, seen) == (True, signal.SIGTERM, [])
        with interruptible(lambda: False, (signal.SIGINT, signal.SIGTERM)) as pressed:
            signal.raise_signal(signal.SIGTERM)
            assert (pressed(), seen) == (False, [signal.SIGTERM])
        with interruptible(lambda: False, (signal.SIGINT, signal.SIGTERM)), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_leaves_the_handler_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []

    def work() -> None:
        with interruptible() as pressed:
            seen.extend([signal.getsignal(signal.SIGINT), pressed()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    rows = [f"{word} film number {n},{label}" for n in range(40) for word, label in (("good", "pos"), ("bad", "neg"))]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


def config(data: Path, **changes: Any) -> Config:
    sizes = {
        "model.embedding_size": 4,
        "model.hidden_size": 4,
        "model.ngram_slots": 0,
        "training.epoch_steps": 1,
        "training.threads": 1,
        "training.batch_size": 8,
    }
    return Config().replace({"data.train": str(data)} | sizes | changes)


@pytest.mark.parametrize("when", [Progress, EpochEnd])
def test_a_run_keeps_the_best_model_so_far(when: type, data: Path, tmp_path: Path) -> None:
    """Pressed during the first epoch, and at its end."""
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if isinstance(event, when) and sum(isinstance(e, when) for e in events) == 1:
            signal.raise_signal(signal.SIGINT)

    run = train(config(data, **{"training.epochs": 50}), tmp_path / "run", report=report)
    assert run.interrupted
    assert sum(isinstance(event, EpochEnd) for event in events) <= 2
    assert Note("interrupted: training ends here, with the best weights so far; --resume goes on") in events
    assert read_artifact(tmp_path / "run" / "model").labels == ("neg", "pos")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]["rows"] == 8


def test_once_the_network_is_trained_there_is_nothing_to_interrupt(data: Path, tmp_path: Path) -> None:
    def report(event: Event) -> None:
        if isinstance(event, Note) and event.text.startswith("n-grams: fitting"):
            signal.raise_signal(signal.SIGINT)

    run = train(config(data, **{"training.epochs": 2, "model.ngram_slots": 64}), tmp_path / "run", report=report)
    assert not run.interrupted
    assert run.artifact.weights["ngrams.weight"].any()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_before_the_first_step_there_is_nothing_to_keep(data: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    def report(event: Event) -> None:
        if isinstance(event, Note) and event.text.startswith("network:"):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config(data), tmp_path / "run", report=report)
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGINT) is before


SCRIPT = """
import sys
from pathlib import Path
from textcls.config import load_config
from textcls.training import Note, Progress, train

def report(event):
    if isinstance(event, Progress):
        print("step", flush=True)
    elif isinstance(event, Note):
        print(event.text, flush=True)

if __name__ == "__main__":
    run = train(load_config(sys.argv[1]), sys.argv[2], report=report)
    sys.exit(130 if run.interrupted else 0)
"""


@pytest.mark.slow
def test_sigint_from_outside_leaves_a_whole_model(data: Path, tmp_path: Path) -> None:
    settings = tmp_path / "config.yaml"
    changes = {"training.epochs": 100_000, "training.patience": 100_000}
    settings.write_text(config(data, **changes).to_yaml(), encoding="utf-8")
    command = [sys.executable, "-c", SCRIPT, str(settings), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "step\n":
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == ""
    assert "interrupted: training ends here, with the best weights so far; --resume goes on" in out.splitlines()
    assert len(read_artifact(tmp_path / "run" / "model").vocabulary) > 40
    last = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    assert json.loads(last)["text"].startswith("interrupted")
    assert not list((tmp_path / "run").glob(".*"))  # no temporary neighbour is left
