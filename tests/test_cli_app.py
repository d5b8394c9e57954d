from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TinyRun
from typer.testing import CliRunner

import textcls
from textcls.cli import app, main
from textcls.errors import DataError, TrainingError

COMMANDS = ("train", "tune", "evaluate", "classify", "export", "explain", "info", "check")
runner = CliRunner()


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `textcls check` raise an error in the library."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("textcls.data.check", fail)


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"textcls {textcls.__version__}\n")


def test_help_lists_every_command_in_the_order_of_work() -> None:
    listed = runner.invoke(app, ["--help"]).stdout.split("Commands:\n")[1].splitlines()
    assert tuple(line.split()[0] for line in listed[: len(COMMANDS)]) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples_that_name_it(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"textcls {command} " in result.stdout.split("Examples:")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_exits_with_2_and_names_it(command: str) -> None:
    result = runner.invoke(app, [command, "--nonsense"])
    assert result.exit_code == 2
    assert "--nonsense" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("error", "code"), [(DataError("bad row"), 2), (TrainingError("loss is NaN"), 1)])
def test_our_errors_become_a_line_and_their_exit_code(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    fail_with(monkeypatch, error)
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"textcls: {error}\n")


def test_each_line_of_an_error_names_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, DataError("one\ntwo"))
    assert runner.invoke(app, ["check", "data.csv"]).stderr == "textcls: one\ntextcls: two\n"


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "runs/x"))
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stderr) == (1, "textcls: runs/x: No space left on device\n")


def test_ctrl_c_is_one_line_and_130(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stderr) == (130, "textcls: interrupted\n")


def test_a_closed_pipe_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stderr) == (1, "")


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ZeroDivisionError("ours"))
    assert isinstance(runner.invoke(app, ["check", "data.csv"]).exception, ZeroDivisionError)


def test_main_takes_arguments_and_exits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"textcls {textcls.__version__}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, which is always full, is Linux's")
def test_standard_output_on_a_full_disk(tiny_run: TinyRun) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "textcls", "check", str(tiny_run.train)], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "textcls: No space left on device"


def test_a_reader_that_leaves_early_hears_no_complaint(tiny_run: TinyRun) -> None:
    command = [sys.executable, "-m", "textcls", "check", str(tiny_run.train), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate()
    assert "Traceback" not in said
    assert "Broken" not in said


def test_pipes_carry_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\nx,体育\ny,ελλ\n", encoding="utf-8")
    command = [sys.executable, "-m", "textcls", "check", str(tmp_path / "d.csv")]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert "体育" in done.stdout.decode("utf-8")


@pytest.mark.parametrize("script", ["train", "tune", "classify", "export"])
def test_the_scripts_are_doors_to_the_commands(script: str) -> None:
    path = Path(__file__).parent.parent / "scripts" / f"{script}.py"
    done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith(f"Usage: textcls {script} ")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow"))
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "textcls: this needs the package pyarrow, which is not installed: pip install pyarrow\n"
