"""What the commands do with a trained model: evaluate, export, explain, info."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import TinyRun
from helpers import tiny_artifact
from typer.testing import CliRunner

from textcls.artifact import write_artifact
from textcls.cli import app
from textcls.cli.export import _what_int8_did, following
from textcls.errors import ExportError
from textcls.exports import ExportReport
from textcls.exports.onnx_file import Quantization
from textcls.inference.predictor import Predictor
from textcls.training.card import model_card

runner = CliRunner()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_evaluate_prints_the_figures_that_training_recorded(tiny_run: TinyRun) -> None:
    recorded = json.loads((tiny_run.folder / "metrics.json").read_text())["test"]
    result = runner.invoke(app, ["evaluate", str(tiny_run.model), str(tiny_run.test), "--json", "-"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["rows"] == 9
    for name in ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "log_loss", "expected_calibration_error"):
        assert report[name] == pytest.approx(recorded[name], abs=1e-5)
    table = runner.invoke(app, ["evaluate", str(tiny_run.model), str(tiny_run.test)]).stdout
    assert re.search(rf"^accuracy +{report['accuracy']:.4f}$", table, re.M)
    for label, scores in report["per_class"].items():
        assert re.search(rf"^{label} .* {scores['f1']:.4f} +{scores['support']}$", table, re.M)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_evaluate_writes_the_wrong_rows_most_confident_first(ending: str, tiny_run: TinyRun) -> None:
    Path("odd.csv").write_text("text,label\nthe team won,sport\nthe bank,weather\na virus,weather\n")
    command = ["evaluate", str(tiny_run.model), "odd.csv", "--json", "report.json", "--errors", f"wrong.{ending}"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    with Path(f"wrong.{ending}").open(newline="") as file:
        rows: list[dict[str, Any]]
        if ending == "jsonl":
            rows = [json.loads(line) for line in file]
        else:
            rows = list(csv.DictReader(file, delimiter="\t" if ending == "tsv" else ","))
    assert list(rows[0]) == ["file", "row", "text", "label", "predicted", "confidence"]
    confidences = [float(row["confidence"]) for row in rows]
    assert confidences == sorted(confidences, reverse=True)
    assert {("odd.csv", "3", "weather"), ("odd.csv", "4", "weather")} <= {
        (row["file"], str(row["row"]), row["label"]) for row in rows
    }
    report = json.loads(Path("report.json").read_text())
    assert report["unseen_label_rows"] == 2
    assert len(rows) == round(3 * (1 - report["accuracy"]))


def test_evaluate_reads_the_columns_it_is_told(tiny_run: TinyRun) -> None:
    Path("other.csv").write_text("kind,head,body\nsport,the team,won\n")
    command = ["evaluate", str(tiny_run.model), "other.csv", "--text", "head", "--text", "body", "--label", "kind"]
    result = runner.invoke(app, [*command, "--json", "-"])
    assert json.loads(result.stdout)["rows"] == 1, result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["MODEL", "missing.csv"], "missing.csv"),
        (["MODEL", "DATA", "--text", "txt"], "txt"),
        (["MODEL", "DATA", "--label", "lable"], "lable"),
        (["MODEL", "DATA", "--errors", "wrong.doc"], "wrong.doc: the ending names no format; use .jsonl, .csv or .tsv"),
        (["nowhere", "DATA"], "nowhere: does not exist"),
    ],
)
def test_bad_input_to_evaluate_is_one_line(arguments: list[str], said: str, tiny_run: TinyRun) -> None:
    places = {"DATA": tiny_run.test, "MODEL": tiny_run.model}
    result = runner.invoke(app, ["evaluate", *(str(places.get(argument, argument)) for argument in arguments)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"textcls: .+\n", result.stderr), result.stderr
    assert said in result.stderr
    assert list(Path().iterdir()) == []


def test_export_says_what_it_made_and_proved(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["export", str(tiny_run.model), "tiny.onnx"])
    assert result.exit_code == 0, result.stderr
    first, second, third = result.stdout.splitlines()
    assert first == "takes raw text, gives label and probabilities"
    assert re.fullmatch(r"equal to the model on \d+ texts: largest difference of a probability \de-\d+", second)
    assert third.endswith(hashlib.sha256(Path("tiny.onnx").read_bytes()).hexdigest())
    again = runner.invoke(app, ["export", str(tiny_run.model), "tiny.onnx"])
    assert again.exit_code == 2
    assert "--force" in again.stderr


def test_export_of_other_tokenizers_says_so_on_its_first_line(tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def export(*arguments: object, **options: object) -> ExportReport:
        asked.append((arguments, options))
        return ExportReport(False, 600, "texts of lines.txt", 2e-7, 4_300_000, "ab" * 32)

    monkeypatch.setattr("textcls.exports.export", export)
    result = runner.invoke(app, ["export", "model", "a.onnx", "--texts", "lines.txt", "--locale", "C", "--force"])
    assert result.stdout.splitlines()[0].startswith("takes token ids and lengths, not raw text")
    assert asked == [
        (
            (Path("model"), Path("a.onnx")),
            {
                "to": None,
                "quantize": None,
                "locale": "C",
                "texts": Path("lines.txt"),
                "fast": False,
                "force": True,
                "runtime": None,
                "push": None,
            },
        )
    ]


@pytest.mark.parametrize(
    ("kind", "out", "expected"),
    [
        ("onnx", "a b.onnx", ["textcls classify 'a b.onnx' FILES"]),
        ("web", "my page", ["python3 -m http.server --directory 'my page'"]),
        ("hub", "it's", ["""textcls classify 'it'"'"'s' FILES"""]),
        (
            "spacy",
            "My films 2",
            [
                """python3 -c 'import spacy; print(spacy.load("My films 2")("some text").cats)'""",
                "mkdir -p spacy_wheels && python3 -m pip install build",
                "python3 -m spacy package 'My films 2' spacy_wheels --build wheel --name my_films_2",
            ],
        ),
    ],
)
def test_the_commands_that_follow_an_export_can_be_pasted(kind: str, out: str, expected: list[str]) -> None:
    assert following(kind, Path(out)) == expected
    program = shlex.split(following("pt2", Path(out))[0])[2]
    assert program == f'from textcls.exports.pt2 import load_pt2; print(load_pt2("{out}").module)'


@pytest.mark.parametrize(
    ("out", "name"), [("class", "textcls_class"), ("2024", "textcls_2024"), ("…", "textcls"), ("films", "films")]
)
def test_the_package_that_an_export_suggests_can_be_imported(out: str, name: str) -> None:
    assert following("spacy", Path(out))[-1].endswith(f" --name {name}")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.slow
def test_an_export_that_a_signal_ends_leaves_nothing(name: str, code: int, tiny_run: TinyRun, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "textcls", "export", str(tiny_run.model), str(tmp_path / "out.onnx")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(tmp_path.iterdir()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_differs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*_: object, **__: object) -> ExportReport:
        raise ExportError("the export differs from the model by 0.1")

    monkeypatch.setattr("textcls.exports.export", export)
    result = runner.invoke(app, ["export", "model", "a.onnx"])
    assert (result.exit_code, result.stderr) == (1, "textcls: the export differs from the model by 0.1\n")


def test_explain_shows_the_effect_of_each_word(tiny_run: TinyRun, tiny_onnx: Path) -> None:
    text = "the team won xyzzy"
    predictor = Predictor.load(tiny_run.model)
    for model in (tiny_run.model, tiny_onnx):
        explained = json.loads(runner.invoke(app, ["explain", str(model), text, "--json", "--label", "sport"]).stdout)
        assert [word["text"] for word in explained["words"]] == text.split()
        whole, without = predictor.predict([text, "team won xyzzy"]).probabilities[:, predictor.labels.index("sport")]
        assert explained["words"][0]["effect"] == pytest.approx(float(whole - without), abs=1e-5)
    lines = runner.invoke(app, ["explain", str(tiny_run.model), "-"], input=text).stdout.splitlines()
    effects = [abs(float(line.split()[1])) for line in lines[2:]]
    assert effects == sorted(effects, reverse=True)
    assert any(line.startswith("(xyzzy)") for line in lines)


def test_explain_refuses_an_unknown_label_and_takes_no_words(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["explain", str(tiny_run.model), "x", "--label", "weather"])
    assert result.exit_code == 2
    assert "money, science, sport" in result.stderr
    nothing = runner.invoke(app, ["explain", str(tiny_run.model), "  "])
    assert nothing.exit_code == 0
    assert "no word" in nothing.stderr


def test_info_says_the_same_of_a_folder_and_its_export(tiny_run: TinyRun, tiny_onnx: Path) -> None:
    folder, file = (
        json.loads(runner.invoke(app, ["info", str(model), "--json"]).stdout) for model in (tiny_run.model, tiny_onnx)
    )
    assert folder.pop("bytes") > file.pop("bytes") == tiny_onnx.stat().st_size
    assert folder == file
    assert folder["labels"] == ["money", "science", "sport"]
    assert folder["vocabulary_size"] == len((tiny_run.model / "vocabulary.txt").read_text().splitlines())
    shown = runner.invoke(app, ["info", str(tiny_onnx)]).stdout
    assert folder["fingerprint"] in shown
    assert "3: money, science, sport" in shown
    assert re.search(r"^ +validation +test$", shown, re.M)


def test_the_last_fit_is_told_wherever_rows_are(tmp_path: Path) -> None:
    rows = {"train_rows": 90, "validation_rows": 10}
    refit = {"refit": {"rows": 100, "splits": ["train", "validation"]}}
    for provenance, said in ((rows, False), (rows | refit, True)):
        artifact = replace(tiny_artifact(), provenance=provenance)
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        write_artifact(artifact, tmp_path / "model", card := model_card(artifact))
        shown = runner.invoke(app, ["info", str(tmp_path / "model")]).stdout
        assert "90 to train, 10 to validate" in shown
        assert ("to validate; n-grams in the end fitted to 100 of both" in shown) == said
        assert ("N-grams were fitted once more in the end, to 100 of both" in card) == said
    moved = Quantization(1.0, 0.1, 0.1, 0.2, (0.9, 0.8), 10)
    assert "n-grams" not in _what_int8_did(moved, 10, many=False)
    assert "; its n-grams learned from these rows" in _what_int8_did(replace(moved, learned=True), 10, many=False)


def test_info_on_what_is_no_model(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["info", str(tiny_run.folder)])
    assert result.exit_code == 2
    assert re.fullmatch(r"textcls: .*the model is in .*model\n", result.stderr)
