from __future__ import annotations

import json
import re
from pathlib import Path

from conftest import TinyRun
from typer.testing import CliRunner

from textcls.cli import app

runner = CliRunner()


def test_check_counts_rows_by_split_and_label(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["check", str(tiny_run.train), "--set", f"data.test={tiny_run.test}"])
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["rows", "train", "validation", "test"]
    assert lines[1][0] == "all"
    assert sum(int(count) for count in lines[1][1:3]) == 72
    assert ["sport", lines[4][1], lines[4][2], "3"] == lines[4]


def test_check_names_what_is_odd(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\nsame,a\nsame,b\n,a\nlonger text,b\n")
    (tmp_path / "test.csv").write_text("text,label\nsame,a\nnew,c\n")
    (tmp_path / "c.yaml").write_text(f"data: {{train: {tmp_path}/train.csv, test: {tmp_path}/test.csv, validation_share: 0}}\n")
    result = runner.invoke(app, ["check", str(tmp_path / "c.yaml")])
    assert result.exit_code == 0, result.stderr
    assert re.search(r"^without a text +1 +0$", result.stdout, re.M)
    assert re.search(r"^repeat an earlier text +1 +0$", result.stdout, re.M)
    assert re.search(r"^share a text, not the label +2 +0$", result.stdout, re.M)
    assert "rows of test whose text also stands in train: 1" in result.stdout
    assert "labels of test that train does not have: c" in result.stdout
    assert "longest text of train: 11 characters, train.csv, row 5" in result.stdout


def test_check_as_json(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["check", str(tiny_run.train), "--json"])
    report = json.loads(result.stdout)
    assert sum(split["rows"] for split in report["splits"].values()) == 72
    assert "note: there is no test split" in result.stderr


def test_bad_data_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\nx,a\ny,\n")
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"textcls: .*d\.csv, row 3: .+\n", result.stderr)
