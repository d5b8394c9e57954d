from __future__ import annotations

import csv
import functools
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from conftest import TinyRun
from typer.testing import CliRunner

from textcls.artifact import Artifact
from textcls.cli import app
from textcls.cli.classify import ProgressBar, show
from textcls.inference.answers import Summary
from textcls.inference.options import ClassifyOptions
from textcls.inference.predictor import Predictor

LABELS = {"money", "science", "sport"}
runner = CliRunner()


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_standard_input_gives_json_lines_and_nothing_else_on_standard_output(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["classify", str(tiny_run.model), "-"], input="the bank won\n\nthe team\n")
    assert result.exit_code == 0, result.stderr
    rows = records(result.stdout)
    assert [row["line"] for row in rows] == [1, 2, 3]
    assert {row["label"] for row in rows} <= LABELS
    assert "3 rows" in result.stderr
    assert "1 without a token" in result.stderr


def test_a_file_gives_what_the_library_gives(tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    result = runner.invoke(app, ["classify", str(tiny_run.model), str(tiny_run.test), "-o", str(out)])
    assert (result.exit_code, result.stdout) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    predicted = Predictor.load(tiny_run.model).predict([row["text"] for row in rows]).probabilities
    assert [float(row["confidence"]) for row in rows] == pytest.approx(predicted.max(axis=1).tolist(), abs=1e-6)
    assert "9 rows" in result.stderr
    assert "note: the input's column label is named input_label in the output" in result.stderr


def test_folder_and_export_agree(tiny_run: TinyRun, tiny_onnx: Path) -> None:
    outputs = [
        runner.invoke(app, ["classify", str(model), str(tiny_run.test), "--all-scores", "--threads", "1"]).stdout
        for model in (tiny_run.model, tiny_onnx)
    ]
    assert outputs[0] == outputs[1]
    assert len(records(outputs[0])) == 9


def test_options_reach_the_library(tiny_run: TinyRun, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("the team\nthe bank\n")
    (folder / "b.txt").write_text("a virus\n")
    command = ["classify", str(tiny_run.model), str(folder), "--lines", "--glob", "a*", "--top-k", "2", "--format", "csv"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["file"], row["line"]) for row in rows] == [("a.txt", "1"), ("a.txt", "2")]
    assert all(row["label"] != row["label_2"] for row in rows)


def test_several_text_columns_and_no_header(tiny_run: TinyRun, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("the team,won twice\n")
    command = ["classify", str(tiny_run.model), str(table), "--no-header", "--text", "0", "--text", "1"]
    (row,) = records(runner.invoke(app, command).stdout)
    expected = Predictor.load(tiny_run.model).predict(["the team\nwon twice"]).probabilities.max()
    assert row["confidence"] == pytest.approx(float(expected), abs=1e-6)


def test_the_text_column_is_the_models_own_else_text(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, plain, neither = (tmp_path / name for name in ("own.csv", "plain.csv", "neither.csv"))
    own.write_text("text,body\nx,the team\n")
    plain.write_text("text\nthe team\n")
    neither.write_text("story\nthe team\n")
    load = Predictor.load

    def learned_from_body(path: Path, *, threads: int | None = None) -> Predictor:
        predictor = load(path, threads=threads)
        predictor.record = {**predictor.record, "data": {"text": "body"}}
        return predictor

    expected = float(load(tiny_run.model).predict(["the team"]).probabilities.max())
    monkeypatch.setattr(Predictor, "load", learned_from_body)
    for table, note in ((own, False), (plain, True)):
        result = runner.invoke(app, ["classify", str(tiny_run.model), str(table)])
        assert records(result.stdout)[0]["confidence"] == pytest.approx(expected, abs=1e-6)
        assert ("the column text is classified" in result.stderr) is note
    result = runner.invoke(app, ["classify", str(tiny_run.model), str(neither)])
    assert result.exit_code == 2
    assert "body" in result.stderr


def test_an_output_that_exists_needs_force(tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    command = ["classify", str(tiny_run.model), str(tiny_run.test), "-o", str(out)]
    refused = runner.invoke(app, command)
    assert (refused.exit_code, out.read_text()) == (2, "mine")
    assert re.fullmatch(r"textcls: .*out\.jsonl: exists already.*--force\n", refused.stderr)
    assert runner.invoke(app, [*command, "--force"]).exit_code == 0
    assert len(records(out.read_text())) == 9


@pytest.fixture
def many_lines(tmp_path: Path) -> Path:
    path = tmp_path / "many.txt"
    path.write_text("the team won twice and the bank lost ground\n" * 300_000)
    return path


def test_an_interrupted_run_is_one_line_and_keeps_the_old_output(tiny_onnx: Path, many_lines: Path) -> None:
    out = many_lines.with_name("out.csv")
    out.write_text("old")
    command = [
        sys.executable,
        "-m",
        "textcls",
        "classify",
        str(tiny_onnx),
        str(many_lines),
        "--lines",
        "--force",
        "-o",
        str(out),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not any(many_lines.parent.glob(".out.csv.*")):
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate()
    assert (running.returncode, said) == (130, "textcls: interrupted\n")
    assert out.read_text() == "old"
    assert sorted(path.name for path in many_lines.parent.iterdir()) == ["many.txt", "out.csv"]


def test_an_interrupted_run_that_can_be_resumed_says_how(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    command = ["classify", str(tiny_run.model), str(tiny_run.test), "-o", str(out), "--resume"]

    def interrupted(predictor: Predictor, encoded: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "score", interrupted)
        result = runner.invoke(app, command)
    assert (result.exit_code, out.exists()) == (130, False)
    assert "give the same command again" in result.stderr
    assert runner.invoke(app, command).exit_code == 0
    assert len(out.read_text().splitlines()) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_reader_that_has_enough_ends_it_silently(tiny_onnx: Path, many_lines: Path) -> None:
    command = [sys.executable, "-m", "textcls", "classify", str(tiny_onnx), str(many_lines), "--lines"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert b"label" in running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "DATA"], "nowhere: does not exist"),
        (["DATA", "DATA"], "is no ONNX file"),
        (["RUN", "DATA"], "the model is in "),
        (["MODEL", "missing.csv"], "missing.csv: there is no such file"),
        (["MODEL", "DATA", "--text", "txt"], "text"),
        (["MODEL", "DATA", "--top-k", "0"], "at least 1"),
        (["MODEL", "DATA", "--min-confidence", "2"], "at most 1"),
        (["MODEL", "DATA", "--rejects", "bad.doc"], "bad.doc: the ending names no format"),
        (["MODEL", "DATA", "--follow"], "only one growing file can be followed"),
        (["MODEL", "DATA", "--resume"], "name one as the output"),
        (["MODEL", "DATA", "--device", "cuda:99"], "CUDA"),
        (["MODEL", "DATA", "--format", "xml"], "xml: is no output format"),
        (["MODEL", "DATA", "-o", "out.doc"], "out.doc: the ending names no format"),
        (["MODEL", "DATA", "-o", "no/such/out.csv"], "does not exist"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"DATA": tiny_run.test, "MODEL": tiny_run.model, "RUN": tiny_run.folder}
    result = runner.invoke(app, ["classify", *(str(places.get(argument, argument)) for argument in arguments)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"textcls: .+\n", result.stderr), result.stderr
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_strict_rejects_and_unsure_reach_the_library(tiny_run: TinyRun, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(b"text\nthe team\n\xff\nthe bank\n")
    command = ["classify", str(tiny_run.model), str(table)]
    stopped = runner.invoke(app, [*command, "--strict", "-o", str(tmp_path / "out.csv")])
    assert stopped.exit_code == 2
    assert re.fullmatch(rf"textcls: {re.escape(str(table))}, row 3: byte 0xff is not UTF-8; .*--encoding.*\n", stopped.stderr)
    options = ["--rejects", str(tmp_path / "bad.jsonl"), "--min-confidence", "1", "--unsure-label", "look"]
    result = runner.invoke(app, [*command, *options])
    assert result.exit_code == 1
    assert [row["label"] for row in records(result.stdout)] == ["look", None, "look"]
    assert "2 unsure" in result.stderr
    assert [row["text"] for row in records((tmp_path / "bad.jsonl").read_text())] == ["\ufffd"]


def test_another_device_runs_the_model_folder_alone(
    tiny_run: TinyRun, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = runner.invoke(app, ["classify", str(tiny_onnx), str(tiny_run.test), "--device", "cuda"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "name the model folder" in refused.stderr
    from textcls.model import engine

    here = engine.TorchEngine
    asked: list[str] = []

    def on_the_cpu(artifact: Artifact, device: str) -> engine.TorchEngine:
        asked.append(device)
        return here(artifact, "cpu")

    monkeypatch.setattr(engine, "TorchEngine", on_the_cpu)
    torch = records(runner.invoke(app, ["classify", str(tiny_run.model), str(tiny_run.test), "--device", "cuda"]).stdout)
    onnx = records(runner.invoke(app, ["classify", str(tiny_run.model), str(tiny_run.test)]).stdout)
    assert asked == ["cuda"]
    assert [row["confidence"] for row in torch] == pytest.approx([row["confidence"] for row in onnx], abs=1e-5)


def test_the_summary_counts_what_a_person_should_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    show(Summary(1200, Counter(a=1000, b=198, c=0), errors=2, empty=3, truncated=4, seconds=1.5), Path("out.csv"))
    assert capsys.readouterr().err.splitlines() == [
        "1,200 rows in 1.5 s → out.csv",
        "  a 1,000, b 198",
        "  3 without a token: their label is the model's answer to nothing",
        "  4 cut at the model's text.max_tokens",
        "  2 could not be read: they have no label, and the column error says why",
    ]


def test_what_takes_long_has_a_bar_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    for terminal, seconds, drawn in ((Terminal(), 0.0, True), (Terminal(), 60.0, False), (io.StringIO(), 0.0, False)):
        monkeypatch.setattr("textcls.cli.classify._MOMENT", seconds)
        monkeypatch.setattr("sys.stderr", terminal)
        with ProgressBar(shown=True) as progress:
            progress(8192, 0.5)
        assert ("8,192 rows, " in terminal.getvalue() and "rows/s" in terminal.getvalue()) is drawn


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "cluster"], "cluster: is no engine; there are local and ray"),
        (["--engine", "ray"], "name it with -o"),
        (["--engine", "ray", "--follow", "--resume", "--threads", "2"], "--follow, --resume, --threads: not with --engine ray"),
        (["--engine", "ray", "--rejects", "bad.csv", "-o", "out"], "--rejects: not with --engine ray"),
        (["--address", "auto", "--ordered"], "--address, --ordered: not with --engine local"),
    ],
)
def test_options_of_the_other_engine_are_refused(tiny_onnx: Path, tiny_run: TinyRun, options: list[str], said: str) -> None:
    result = runner.invoke(app, ["classify", str(tiny_onnx), str(tiny_run.test), *options])
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", result.stderr)
    assert re.fullmatch(r"textcls: .+\n", result.stderr), result.stderr
    assert said in result.stderr


# What to write for each option, so that it has another value than by default, and the value.
OPTIONS: dict[str, tuple[list[str], Any]] = {
    "format": (["--format", "csv"], "csv"),
    "text": (["--text", "a", "--text", "b"], ("a", "b")),
    "lines": (["--lines"], True),
    "header": (["--no-header"], False),
    "delimiter": (["--delimiter", ";"], ";"),
    "quoting": (["--quoting", "none"], "none"),
    "encoding": (["--encoding", "cp1252"], "cp1252"),
    "input_format": (["--input-format", "jsonl"], "jsonl"),
    "glob": (["--glob", "*.csv"], "*.csv"),
    "top_k": (["--top-k", "2"], 2),
    "all_scores": (["--all-scores"], True),
    "min_confidence": (["--min-confidence", "0.5"], 0.5),
    "unsure_label": (["--unsure-label", "look"], "look"),
    "fast": (["--fast"], True),
    "by": (["--by"], True),
    "rejects": (["--rejects", "bad.csv"], Path("bad.csv")),
    "strict": (["--strict"], True),
    "follow": (["--follow"], True),
    "force": (["--force"], True),
    "resume": (["--resume"], True),
}


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_every_option_reaches_the_engine(engine: str, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ClassifyOptions] = []

    def library(model: object, inputs: list[str], output: str, options: ClassifyOptions, **_: object) -> Summary:
        asked.append(options)
        return Summary()

    monkeypatch.setattr("textcls.inference.files.classify_files", library)
    monkeypatch.setattr("textcls.inference.ray_engine.classify_with_ray", library)
    assert set(OPTIONS) == {field.name for field in fields(ClassifyOptions)} - {"max_row_bytes"}
    for name, (words, value) in OPTIONS.items():
        result = runner.invoke(app, ["classify", str(tiny_onnx), "DATA", "-o", "OUT", "--engine", engine, *words])
        if engine == "ray" and name in {"input_format", "rejects", "follow", "resume"}:
            assert (result.exit_code, result.stderr) == (2, f"textcls: {words[0]}: not with --engine ray\n")
        else:
            assert result.exit_code == 0, result.stderr
            assert asked.pop() == ClassifyOptions(**{name: value})
    assert asked == []


def test_options_reach_the_ray_engine(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def engine(model: Path, inputs: list[str], output: str, options: ClassifyOptions, **others: object) -> Summary:
        asked.update(others | asdict(options), inputs=inputs, output=output)
        return Summary(rows=3)

    monkeypatch.setattr("textcls.inference.ray_engine.classify_with_ray", engine)
    command = ["classify", str(tiny_onnx), "s3://b/*.csv", "--engine", "ray", "-o", "s3://b/out", "--text", "body", "--ordered"]
    result = runner.invoke(app, [*command, "--address", "auto", "--workers", "3", "--device", "cuda", "--top-k", "2"])
    assert (result.exit_code, result.stderr) == (0, "3 rows in 0.0 s → s3://b/out\n")
    gpu_engine = asked["gpu_engine"]
    assert isinstance(gpu_engine, functools.partial)
    assert (gpu_engine.func.__name__, gpu_engine.keywords) == ("TorchEngine", {"device": "cuda"})
    wanted = {"inputs": ["s3://b/*.csv"], "output": "s3://b/out", "text": ("body",), "address": "auto", "workers": 3}
    assert asked.items() >= (wanted | {"ordered": True, "top_k": 2, "strict": False}).items()
