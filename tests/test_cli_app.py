from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime.capi.onnxruntime_pybind11_state as onnxruntime_state
import pyarrow as pa
import pytest
from conftest import TinyRun
from typer.testing import CliRunner

import textcls
from textcls.cli import app, main
from textcls.errors import DataError, TrainingError

COMMANDS = ("train", "tune", "evaluate", "classify", "export", "explain", "info", "check", "config")
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
    assert (result.exit_code, result.stderr) == (141, "")


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ZeroDivisionError("ours"))
    assert isinstance(runner.invoke(app, ["check", "data.csv"]).exception, ZeroDivisionError)


@pytest.mark.parametrize(("words", "place", "found"), [("textcls tr", 1, "train"), ("textcls train --vec", 2, "--vectors")])
def test_shells_complete_commands_and_options(words: str, place: int, found: str) -> None:
    asked = {"_TEXTCLS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run(
        [sys.executable, "-m", "textcls"], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )
    assert done.stdout.split() == [found]


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
    assert done.stderr.splitlines()[-1] == "textcls: standard output cannot be written: No space left on device"


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


def numpys_own() -> BaseException:
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.int8)
    return caught.value


NO_MEMORY = {
    "Python": MemoryError(),
    "numpy": numpys_own(),
    "pyarrow": pa.lib.ArrowMemoryError("malloc of size 1000000000000 failed"),
    "torch": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
    ),
    "CUDA": RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "oneDNN": RuntimeError("could not create a primitive"),
    "ONNX Runtime": onnxruntime_state.RuntimeException(
        "[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer"
    ),
    "the loader": ImportError("libarrow.so: failed to map segment from shared object"),
    "mmap": OSError(errno.ENOMEM, "Cannot allocate memory"),
}


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_no_memory_is_one_line_that_says_what_helps(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    fail_with(monkeypatch, error)
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "textcls: out of memory while reading the data: check a part of them, "
        "or close other programs, or use a machine with more of it\n"
    )


def test_each_command_says_what_helps_where_there_is_no_memory() -> None:
    assert set(sys.modules["textcls.cli.app"]._DOING) == set(COMMANDS)


def test_endless_nesting_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RecursionError("maximum recursion depth exceeded"))
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("textcls: brackets inside brackets, too many to be read, while reading the data: look into")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("could not create a primitive descriptor"), ValueError("out of memory")])
def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fail_with(monkeypatch, error)
    assert runner.invoke(app, ["check", "data.csv"]).exception is error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "deep.yaml"], "deep.yaml, line 1: not valid YAML: more than 16 levels, one inside the other"),
        (["check", "data.csv", "--set", f"data.text={'[' * 2000}"], "line 1: not valid YAML: more than 16 levels"),
        (["info", "model"], "damaged model folder: labels.json: "),
    ],
)
def test_settings_and_models_that_are_nested_too_deeply_are_named(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.yaml").write_text(f"data: {'[' * 2000}")
    (tmp_path / "data.csv").write_text("text,label\nx,a\ny,b\n")
    shutil.copytree(tiny_run.model, tmp_path / "model")
    (tmp_path / "model" / "labels.json").write_text("[" * 100_000)
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_memory_leaves_nothing_half_written(
    tiny_run: TinyRun, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    model, train, test = str(tiny_run.model), str(tiny_run.train), str(tiny_run.test)
    (tmp_path / "old.jsonl").write_text("old\n")
    monkeypatch.chdir(tmp_path)
    # What fails is the last step before something is written, or one in the middle of it.
    for place, arguments in (
        (
            "textcls.inference.files._failed_rows",
            ["classify", model, "bad.jsonl", "-o", "old.jsonl", "--force", "--rejects", "r.csv"],
        ),
        ("textcls.inference.engine.pad", ["classify", str(tiny_onnx), test, "-o", "new.csv"]),
        ("textcls.inference.engine.pad", ["evaluate", model, test, "--json", "report.json", "--errors", "wrong.csv"]),
        ("textcls.exports.onnx_file.prove", ["export", model, "new.onnx"]),
        ("textcls.training.prepare.LabelledSplit", ["train", train, "--run", "run"]),
        ("onnx.load", ["info", str(tiny_onnx)]),
        ("onnx.load", ["explain", str(tiny_onnx), "a text"]),
    ):
        (tmp_path / "bad.jsonl").write_text('{"text": "a text"}\nbad\n')
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            result = runner.invoke(app, arguments)
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert result.stderr.splitlines()[-1].startswith("textcls: out of memory while "), arguments
        assert {path.name for path in tmp_path.iterdir()} == {"old.jsonl", "bad.jsonl"}, arguments
        assert (tmp_path / "old.jsonl").read_text() == "old\n"


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow"))
    result = runner.invoke(app, ["check", "data.csv"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "textcls: this needs the package pyarrow, which is not installed: pip install pyarrow\n"
