"""`textcls tune`: the whole flow on tiny data, and what it says where it cannot."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TinyRun
from typer.testing import CliRunner

from textcls.cli import app
from textcls.cli.progress import SearchStatus, trial_header, trial_line
from textcls.config import load_config
from textcls.training import TrialEnd
from textcls.training.space import ASKED_FOR, SPACE

pytest.importorskip("optuna", reason="needs the extra tune")

QUICK = [  # the network alone, and an epoch is one pass
    *("--set", "model.hidden_size=4"),
    *("--set", "model.ngram_slots=0"),
    *("--set", "training.epoch_steps=1"),
    *("--set", "training.epochs=2"),
    *("--set", "training.threads=1"),
]
runner = CliRunner()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_tune_then_resume_then_train(tiny_run: TinyRun) -> None:
    source = ["tune", str(tiny_run.train), *QUICK, "--set", "data.test=missing.csv"]
    result = runner.invoke(app, [*source, "--minutes", "0.1"])
    assert result.exit_code == 0, result.stderr
    folder = Path("runs/train-tune")
    trials = len(rows_of(folder))
    shown = {line.split("  ")[0].strip(): line for line in result.stdout.splitlines()}
    assert "given" in shown["trial"]
    fixed, no_vectors = {"model.hidden_size", "model.ngram_slots", "training.epochs"}, {"text.vectors"}
    assert {name for name in shown if "." in name} == set(SPACE) - {*ASKED_FOR, *fixed, *no_vectors}
    best = load_config(folder / "best.yaml")
    assert (best.model.hidden_size, best.training.epochs, best.data.train) == (4, 2, str(tiny_run.train))
    lines = [line for line in result.stderr.splitlines() if re.match(r" +\d+  +[\d–]", line)]
    assert len(lines) >= trials
    assert "*  the given settings" in lines[0]
    assert "  textcls train runs/train-tune/best.yaml" in result.stderr.splitlines()

    more = runner.invoke(app, [*source, "--minutes", "0.05", "--resume"])
    assert more.exit_code == 0, more.stderr
    assert len(rows_of(folder)) >= trials
    assert not Path("runs/train-tune-2").exists()

    trained = runner.invoke(app, ["train", str(folder / "best.yaml"), "--set", f"data.test={tiny_run.test}"])
    assert trained.exit_code == 0, trained.stderr


def test_search_names_what_set_fixes(tiny_run: TinyRun) -> None:
    options = ["--set", "training.learning_rate=1e-4", "--search", "training.learning_rate", "--run", "mine"]
    result = runner.invoke(app, ["tune", str(tiny_run.train), *QUICK, *options, "--minutes", "0.02"])
    assert result.exit_code == 0, result.stderr
    row = next(row for row in rows_of(Path("mine")) if row["origin"] == "given")
    assert row["training.learning_rate"] == "0.0001"
    assert [name for name in row if "." in name] == ["training.learning_rate"]


def test_help_names_every_setting_that_is_searched() -> None:
    words = " ".join(runner.invoke(app, ["tune", "--help"]).stdout.split())
    assert all(name in words for name in SPACE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.yaml"], "missing.yaml: cannot be read: No such file or directory"),
        (["DATA", "--minutes", "0"], "--minutes 0: give the search some time, such as 10"),
        (["DATA", "--minutes", "nan"], "--minutes nan: give the search some time, such as 10"),
        (
            ["DATA", "--search", "training.seed"],
            "--search training.seed: cannot be searched; there are training.learning_rate,",
        ),
        (["DATA", "--force", "--resume"], "--force and --resume exclude each other"),
        (["DATA", "--resume"], "runs/train-tune/trials.db: holds no search to go on with"),
        (["DATA", "--set", "data.validation_share=0"], "set data.validation or data.validation_share"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments: list[str], said: str, tiny_run: TinyRun) -> None:
    given = [str(tiny_run.train) if argument == "DATA" else argument for argument in arguments]
    result = runner.invoke(app, ["tune", *given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert re.fullmatch(r"textcls: .+", result.stderr.splitlines()[-1])
    assert "Traceback" not in result.stderr
    assert list(Path().iterdir()) == []


def test_without_optuna_one_line(tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = runner.invoke(app, ["tune", str(tiny_run.train)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "textcls: a search needs Optuna, which is not installed: pip install 'textcls[tune]'\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_ends_it_in_good_order(number: signal.Signals, tiny_run: TinyRun) -> None:
    command = [sys.executable, "-m", "textcls", "tune", str(tiny_run.train), *QUICK, "--run", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.endswith("the given settings\n"):
                process.send_signal(number)
                break
        out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err  # 130 and 143
    assert "interrupted: the best so far is kept; --resume goes on in run" in err.splitlines()
    assert out.startswith("trial")
    assert {path.name for path in Path("run").iterdir()} == {"best.yaml", "trials.csv", "search.png", "trials.db"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_there_is_anything_to_keep(number: signal.Signals, tiny_run: TinyRun) -> None:
    script = f"""
import signal, sys
from textcls.cli.app import main
from textcls.cli.progress import SearchDisplay
SearchDisplay.__call__ = lambda _display, _event: signal.raise_signal({int(number)})
main(sys.argv[1:])
"""
    command = [sys.executable, "-c", script, "tune", str(tiny_run.train), *QUICK, "--run", "run"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (128 + number, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    assert not Path("run").exists()


def end(**changed: object) -> TrialEnd:
    given: dict[str, object] = {
        **{"number": 7, "changes": {}, "origin": "search", "metrics": {"macro_f1": 0.8125}, "best_epoch": 3, "epochs": 9},
        **{"seconds": 12.34, "ending": "finished", "reason": "", "searched": 60.0, "best": False},
    }
    return TrialEnd(**given | changed)  # type: ignore[arg-type]


def test_a_trials_line_stands_under_its_header() -> None:
    header, line = trial_header("macro_f1"), trial_line(end(), "macro_f1")
    assert len(header) == len(line)
    assert line.split() == ["7", "0.8125", "3", "9", "12.3"]
    assert trial_line(end(best=True, ending="stopped", origin="default"), "macro_f1") == f"{line}  *  the defaults, stopped"
    failed = trial_line(end(metrics={}, best_epoch=None, ending="failed", reason="the loss became nan"), "macro_f1")
    assert failed.split()[1:3] == ["–", "–"]
    assert failed.endswith("failed: the loss became nan")


@pytest.mark.parametrize("width", [40, 80])
def test_the_status_fits_the_terminal(width: int) -> None:
    import io

    from rich.console import Console

    status = SearchStatus("macro_f1", 10)
    status.trial, status.epoch = 12, 3
    status.trial_ended(end(best=True))
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False)
    console.print(status)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert re.search(r"(10:00|9:59) left$", lines[0])
    assert lines[1].startswith("trial 12 · epoch 3 · best macro-F1 0.8125"[: width - 1].rsplit(" · ", 1)[0])
