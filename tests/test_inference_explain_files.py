"""`textcls explain` of files: the same rows out, each with its explanations."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import command, refusal
from conftest import TinyRun
from helpers import tiny_artifact

from textcls.artifact import write_artifact
from textcls.inference import Predictor, explain
from textcls.inference.explain import explain_given
from textcls.inference.explain_files import plain


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A model that gives a text many labels, or none."""
    artifact = tiny_artifact(["good bad film . 1"])
    write_artifact(replace(artifact, many=True, thresholds=(0.01, 0.9999, 0.01)), tmp_path / "many", "")
    return tmp_path / "many"


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_rows_of_a_file_come_back_with_their_explanations(tiny_run: TinyRun) -> None:
    result = command("explain", tiny_run.model, tiny_run.test, "-o", "out.jsonl")
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    assert "9 rows explained → out.jsonl" in result.stderr
    with tiny_run.test.open(newline="") as file:
        given = list(csv.DictReader(file))
    rows = rows_of(Path("out.jsonl").read_text())
    assert [{name: row[name] for name in ("text", "label")} for row in rows] == given
    predictor = Predictor.load(tiny_run.model)
    for row in rows:
        assert row["explanations"] == [plain(explain(predictor, row["text"]))]
    again = command("explain", tiny_run.model, tiny_run.test, "-o", "out.jsonl")
    assert "exists already" in refusal(again)
    assert command("explain", tiny_run.model, tiny_run.test, "-o", "out.jsonl", "--force").exit_code == 0


def test_files_are_found_as_classifying_finds_them(tiny_run: TinyRun) -> None:
    Path("in/deep").mkdir(parents=True)
    Path("in/a.txt").write_text("the team won")
    Path("in/deep/b.jsonl").write_text('{"text": "a virus", "explanations": "mine"}\n')
    for arguments in (["in"], ["in/a.txt", "in/deep/b.jsonl"]):
        result = command("explain", tiny_run.model, *arguments, "-o", "out.jsonl.gz", "--force")
        assert result.exit_code == 0, result.stderr
        rows = rows_of(gzip.decompress(Path("out.jsonl.gz").read_bytes()).decode())
        assert [len(row["explanations"][0]["words"]) for row in rows] == [3, 2]
        assert rows[1]["input_explanations"] == "mine"
        assert "the input's column explanations is named input_explanations in the output" in result.stderr
    streamed = command("explain", tiny_run.model, "in/deep/b.jsonl")
    assert rows_of(streamed.stdout) == rows[1:]
    piped = command("explain", tiny_run.model, "-", "-o", "piped.jsonl", input="the team won\na virus\n")
    assert piped.exit_code == 0, piped.stderr
    found = [row["explanations"] for row in rows_of(Path("piped.jsonl").read_text())]
    assert found == [row["explanations"] for row in rows]


def test_columns_and_labels_can_be_named(tiny_run: TinyRun) -> None:
    Path("d.csv").write_text("head;body\nthe team;won\n")
    options = ["--text", "head", "--text", "body", "--delimiter", ";", "--label", "money"]
    (row,) = rows_of(command("explain", tiny_run.model, "d.csv", *options).stdout)
    assert row["explanations"] == [plain(explain(Predictor.load(tiny_run.model), "the team\nwon", "money"))]


def test_rows_that_cannot_be_read_or_have_no_words_are_there(tiny_run: TinyRun) -> None:
    Path("d.jsonl").write_text('{"text": "the team"}\nbad\n{"text": " "}\n')
    result = command("explain", tiny_run.model, "d.jsonl")
    first, second, third = rows_of(result.stdout)
    assert result.exit_code == 1
    assert "1 could not be read" in result.stderr
    assert "explanations" in first
    assert "d.jsonl, row 2: " in second["error"]
    assert "explanations" not in second
    assert (third["note"], third["explanations"][0]["words"]) == ("empty", [])


def test_every_label_that_a_text_gets_is_explained(many: Path) -> None:
    Path("d.txt").write_text("good\nbad\nfilm 1\n\n.\n")
    rows = rows_of(command("explain", many, "d.txt", "--lines").stdout)
    predictor = Predictor.load(many)
    texts = ["good", "bad", "film 1", "", "."]
    assert [row["explanations"] for row in rows] == [list(map(plain, explain_given(predictor, text))) for text in texts]
    several = next(text for text in texts if len(explain_given(predictor, text)) > 1)
    shown = command("explain", many, several).stdout
    for explained in explain_given(predictor, several):
        assert f"{explained.label}  {explained.confidence:.4f}" in shown.splitlines()
    told = json.loads(command("explain", many, several, "--json").stdout)["explanations"]
    assert [one["label"] for one in told] == [one.label for one in explain_given(predictor, several)]
    one = json.loads(command("explain", many, several, "--json", "--label", "yes").stdout)
    assert one["label"] == "yes"


def test_a_text_without_a_label_shows_the_most_probable_and_says_so(tmp_path: Path) -> None:
    write_artifact(replace(tiny_artifact(["good"]), many=True, thresholds=(0.9999,) * 3), tmp_path / "none", "")
    result = command("explain", "none", "good")
    assert result.stderr == "the text gets none of the labels; this is the most probable one\n"
    assert result.stdout
    assert json.loads(command("explain", "none", "good", "--json").stdout) == {"explanations": []}


def test_a_text_that_looks_like_a_file_is_a_text(tiny_run: TinyRun) -> None:
    Path("team").write_text("the market")
    Path("folder").mkdir()
    Path("one.csv").write_text("text\nthe market\n")
    said = {
        "team": "'team' is a file, but ends in none of .txt, .csv, .tsv, .jsonl, .json, .parquet",
        "folder": "'folder' is a folder, which is read with -o alone",
        "no such.csv": "'no such.csv' is no file that is there",
        "the team " * 400: None,
        "nul \0.csv": r"'nul \x00.csv' is no file that is there",
        "the team\nhas no such.csv": None,
        "the team": None,
    }
    for text, doubt in said.items():
        result = command("explain", tiny_run.model, text)
        assert result.exit_code == 0, result.stderr
        assert not result.stdout.startswith("{")
        notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
        assert notes == ([f"note: {doubt}, and is explained as a text"] if doubt else [])
    assert refusal(command("explain", tiny_run.model, "one.csv", "no.csv")).endswith("; 'no.csv' is no file that is there")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["the", "team"], "one text is explained at a time: put it in quotes"),
        (["DATA", "-o", "out.csv"], "out.csv: explanations are JSON lines; name a file that ends in .jsonl"),
        (["DATA", "-o", "out.jsonl", "--label", "weather"], "the model has no label 'weather'"),
        (["no.csv", "-o", "out.jsonl"], "no.csv: there is no such file or folder"),
        (["DATA", "--text", "body"], "there is no column 'body'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments: list[str], said: str, tiny_run: TinyRun) -> None:
    given = [str(tiny_run.test) if argument == "DATA" else argument for argument in arguments]
    assert said in refusal(command("explain", tiny_run.model, *given))
    assert list(Path().iterdir()) == []
