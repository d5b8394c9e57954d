from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from textcls.cli.progress import Status, TrainingDisplay, epoch_header, epoch_line
from textcls.training import EpochEnd, Note, Progress

METRICS = {"log_loss": 0.5, "accuracy": 0.75, "macro_f1": 0.7, "weighted_f1": 0.71}


def ended(epoch: int, macro_f1: float, best: bool) -> EpochEnd:
    return EpochEnd(epoch, 1.25, {**METRICS, "macro_f1": macro_f1}, 1e-3, 21_300.0, 2.0, best)


def drawn(status: Status, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False)
    console.print(status)
    file: Any = console.file
    return [line.rstrip() for line in file.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_status_fits_the_terminal(width: int) -> None:
    status = Status("macro_f1")
    status.epoch_ended(ended(1, 0.8, True))
    status.epoch_ended(ended(2, 0.7, False))
    status.progress = Progress(3, 20, 41, 86, 0.512, 21_300.0, 80.4)
    lines = drawn(status, width)
    assert len(lines) == 2
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("epoch 3/20 ")
    assert lines[0].endswith(" 1:20 left at most")
    everything = "step 41/86 · loss 0.5120 · macro-F1 0.7000, best 0.8000 · 21,300 tokens/s"
    assert lines[1] == everything if width >= 80 else everything.startswith(lines[1])


def test_the_status_tells_what_happens_around_the_epochs() -> None:
    status = Status("macro_f1")
    assert "reading data" in drawn(status, 60)[0]
    status.progress = Progress(2, 2, 5, 5, 0.5, 100.0, 0.0)
    status.epoch_ended(ended(2, 0.8, True))
    assert "evaluating" in drawn(status, 60)[0]


@pytest.mark.parametrize("metric", ["macro_f1", "weighted_f1", "log_loss"])
def test_an_epochs_line_stands_under_its_header_and_fits_60_columns(metric: str) -> None:
    header, line = epoch_header(metric, True), epoch_line(ended(1, 0.8, False), metric)
    assert len(header) == len(line) <= 60
    chosen = {"macro_f1": "0.8000", "weighted_f1": "0.7100", "log_loss": "0.8000"}[metric]
    assert line.split() == ["1", "1.2500", "0.5000", "0.7500", chosen, "21,300"]
    assert epoch_line(ended(1, 0.8, True), metric) == line + "  *"


def test_without_validation_there_is_the_training_loss_alone() -> None:
    event = EpochEnd(2, 0.5, {}, 1e-3, 900.0, 1.0, True)
    assert epoch_header("macro_f1", False).split() == ["epoch", "train", "loss", "tokens/s"]
    assert epoch_line(event, "macro_f1").split() == ["2", "0.5000", "900"]


def test_a_validation_without_a_known_label_has_no_log_loss() -> None:
    event = EpochEnd(1, 0.5, {**METRICS, "log_loss": None}, 1e-3, 900.0, 1.0, False)
    assert epoch_line(event, "macro_f1").split()[2] == "–"


def test_into_a_pipe_go_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingDisplay("macro_f1") as display:
        for event in (Note("[one]"), Progress(1, 2, 3, 4, 0.5, 10.0, 1.0), ended(1, 0.8, True), ended(2, 0.9, True)):
            display(event)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[one]"
    assert [line.split()[0] for line in lines[2:]] == ["epoch", "1", "2"]
    assert len(lines) == 5


def test_on_a_terminal_the_lines_stay_and_the_bar_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with TrainingDisplay("macro_f1") as display:
        for event in (Note("[one]"), ended(1, 0.8, True)):
            display(event)
    shown = terminal.getvalue()
    assert "[one]" in shown
    assert "    1      1.2500" in shown
    assert shown.rstrip().endswith("\x1b[2K")  # the last thing drawn is the bar's removal


def test_the_accuracy_of_many_labels_is_exact_match() -> None:
    from textcls.cli.output import METRICS_OF_MANY, metrics_table

    event = ended(1, 0.8, True)
    header, line = epoch_header("macro_f1", True, METRICS_OF_MANY), epoch_line(event, "macro_f1", METRICS_OF_MANY)
    assert "exact match" in header
    assert "accuracy" not in header
    assert header.index("macro-F1") + len("macro-F1") == line.index("0.8000") + len("0.8000")
    report = {"accuracy": 0.5, "per_class": {"a": {"f1": 1.0, "threshold": 0.5}}}
    assert metrics_table({"": report}).splitlines()[-1].split() == ["exact", "match", "0.5000"]
    single = {"accuracy": 0.5, "per_class": {"a": {"f1": 1.0}}}
    assert metrics_table({"": single}).splitlines()[-1].split() == ["accuracy", "0.5000"]
