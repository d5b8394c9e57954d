"""The rows that a model labels wrongly, with the columns that they have in their files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import command
from conftest import TinyRun


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def wrong(model: Path, *arguments: object) -> list[dict[str, Any]]:
    """Return the wrong rows of some data in the order of their files: those of a label that the model does not know."""
    result = command("evaluate", model, *arguments, "--errors", "wrong.jsonl")
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in Path("wrong.jsonl").read_text(encoding="utf-8").splitlines()]
    Path("wrong.jsonl").unlink()
    rows = [row for row in rows if row["label"] == "weather"]
    return sorted(rows, key=lambda row: (row["file"], row["row"]))


OURS = ["file", "row", "text", "label", "predicted", "confidence"]


def test_every_column_comes_back_whatever_the_format(tiny_run: TinyRun) -> None:
    rows: list[dict[str, Any]] = [{"id": f"{n:03}", "text": f"the team {n}", "label": "weather", "when": n} for n in range(5)]
    rows.append({"id": "5", "text": "the team", "label": "sport", "when": 5})
    with Path("a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("a.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), "a.parquet", row_group_size=2)
    datasets.Dataset.from_list(rows).save_to_disk("stored")
    for name in ("a.csv", "a.jsonl", "a.json", "a.parquet", "stored"):
        found = wrong(tiny_run.model, name)
        assert [list(row) for row in found] == [[*OURS, "id", "when"]] * 5, name
        assert [(row["id"], int(row["when"]), row["text"]) for row in found] == [
            (row["id"], row["when"], row["text"]) for row in rows[:5]
        ], name


def test_columns_with_a_name_of_ours_come_back_under_another(tiny_run: TinyRun) -> None:
    Path("a.csv").write_text("kind,head,text,row,label\nweather,the team,body,7,mine\nsport,the team,,,\n")
    (row,) = wrong(tiny_run.model, "a.csv", "--text", "head", "--label", "kind")
    expected = {"kind": "weather", "head": "the team", "input_text": "body", "input_row": "7", "input_label": "mine"}
    assert {name: value for name, value in row.items() if name not in OURS} == expected
    assert (row["text"], row["label"], row["row"]) == ("the team", "weather", 2)


def test_rows_of_files_of_one_name_are_told_apart(tiny_run: TinyRun) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        lines = "the team,sport,\n" * (folder == "b") + "".join(
            f"the team,{'' if n == 1 else 'weather'},{folder}{n}\n" for n in range(3)
        )
        Path(folder, "x.csv").write_text(f"text,label,id\n{lines}")
    found = wrong(tiny_run.model, "a/x.csv", "b/x.csv", "--missing-labels", "skip")
    assert sorted(row["id"] for row in found) == ["a0", "a2", "b0", "b2"]
    assert all(row["row"] == int(row["id"][1]) + 2 + (row["id"][0] == "b") for row in found)


def test_what_only_some_files_have_is_empty_in_the_others(tiny_run: TinyRun) -> None:
    Path("a.csv").write_text("text,label,one\nthe team,weather,1\nthe team,sport,\n")
    Path("b.jsonl").write_text('{"text": "the team", "label": "weather", "two": [1, {"a": null}]}\n')
    result = command("evaluate", tiny_run.model, "a.csv", "b.jsonl", "--errors", "wrong.csv")
    assert result.exit_code == 0, result.stderr
    with Path("wrong.csv").open(newline="") as file:
        found = {row["file"]: (row["one"], row["two"]) for row in csv.DictReader(file) if row["label"] == "weather"}
    assert found == {"a.csv": ("1", ""), "b.jsonl": ("", '[1, {"a": null}]')}


def test_texts_that_are_files_and_fasttext_lines_have_no_more(tiny_run: TinyRun) -> None:
    for label in ("weather", "sport"):
        Path("texts", label).mkdir(parents=True)
        Path("texts", label, "one.txt").write_text("the team")
    Path("lines.txt").write_text("__label__weather the team\n__label__sport the team\n")
    for name in ("texts", "lines.txt"):
        assert [list(row) for row in wrong(tiny_run.model, name)] == [OURS]
