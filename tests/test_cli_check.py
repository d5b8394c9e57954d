from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

import pytest
from conftest import TinyRun
from typer.testing import CliRunner

from textcls.cli import app

runner = CliRunner()


def test_check_counts_rows_by_split_and_label(tiny_run: TinyRun) -> None:
    result = runner.invoke(app, ["check", str(tiny_run.train), "--set", f"data.test={tiny_run.test}"])
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    start = lines.index(["rows", "train", "validation", "test"])
    assert lines[start + 1][0] == "all"
    assert sum(int(count) for count in lines[start + 1][1:3]) == 72
    assert ["sport", *lines[start + 4][1:3], "3"] == lines[start + 4]


def test_check_says_first_how_files_were_read_and_last_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("note;text;label\n1;one, and more;a\n2;two\x1b[31m;b\n" + "3;x;a\n4;y;b\n" * 4)
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv"), "--set", "data.validation_share=0"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[:4] == [
        "d.csv: csv, ';' between fields, quotes hold a field together, UTF-8",
        "  columns: 'note', 'text', 'label'",
        "  d.csv, row 2: 'a' ← 'one, and more'",
        "  d.csv, row 3: 'b' ← 'two\\x1b[31m'",
    ]
    assert result.stderr.endswith(f"Next:\n  textcls train {tmp_path}/d.csv --set data.validation_share=0\n")
    assert len((result.stdout + result.stderr).splitlines()) < 24


def test_check_takes_the_options_that_say_how_a_table_is_written(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes('text|label\n"caf\xe9|a\nb"|b\nc|a\nd|b\n'.encode("cp1252"))
    options = ["--delimiter", "|", "--quoting", "none", "--encoding", "cp1252", "--set", "data.validation_share=0"]
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv"), *options])
    assert result.exit_code == 0, result.stderr
    assert "'a' ← '\"café'" in result.stdout
    assert re.search(r"^all +4$", result.stdout, re.M)
    next_command = result.stderr.splitlines()[-1].split()
    assert 'data.quoting="none"' in next_command[-3].replace("'", "")
    again = runner.invoke(app, ["check", *shlex.split(result.stderr.splitlines()[-1])[2:]])
    assert again.stdout == result.stdout


def test_check_goes_on_where_labels_are_missing_and_says_how_to_train(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\n" + "x,a\ny,b\nz,\n" * 6)
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv")])
    assert result.exit_code == 0, result.stderr
    assert "rows of train without a label: 6; training stops there, unless data.missing_labels is skip" in result.stdout
    assert result.stderr.splitlines()[-1].endswith("--set data.missing_labels=skip")


def test_check_shows_labels_that_look_alike_rare_ones_and_blanks(tmp_path: Path) -> None:
    rows = [f"text {number},{label}" for number, label in enumerate(["a b", "a_b", "A B", "1", "1.0", " c "] * 5 + ["rare"])]
    (tmp_path / "d.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    options = ["--set", "data.strip_labels=false", "--set", "data.validation_share=0"]
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv"), *options])
    assert "labels that look alike: '1' and '1.0'; 'A B' and 'a b' and 'a_b'" in result.stdout
    assert "labels of which train has a row or two: rare" in result.stdout
    assert re.search(r"^' c ' +5$", result.stdout, re.M)


def test_check_counts_fields_that_hold_separator_and_new_line(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('text,label\n"one, and\na second",a\nthree,b\n"fo\nur",a\nfive,b\n')
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv"), "--set", "data.validation_share=0"])
    assert re.search(r"^hold separator and new line +1$", result.stdout, re.M)


def test_check_tells_that_the_tokenizer_does_not_fit(tmp_path: Path) -> None:
    draw = random.Random(0)
    rows = ["".join(chr(draw.randrange(0x430, 0x450)) for _ in range(12)) + f",{number % 2}" for number in range(60)]
    (tmp_path / "d.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert "tokens that occur only once: 100%" in runner.invoke(app, ["check", str(tmp_path / "d.csv")]).stdout


def test_check_counts_the_labels_that_it_has_no_room_for(tmp_path: Path) -> None:
    rows = [f"text {number},label{number % 50:02d}" for number in range(200)]
    (tmp_path / "d.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv"), "--set", "data.validation_share=0"])
    assert re.search(r"^… and 30 more labels +120$", result.stdout, re.M)


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
    train = report["splits"]["train"]
    assert train["files"] == [
        {
            "file": "train.csv",
            "format": "csv",
            "encoding": "utf-8",
            "delimiter": ",",
            "quotes": True,
            "columns": ["text", "label"],
        }
    ]
    assert [row["label"] for row in train["first"]] == ["sport", "sport"]


def test_bad_data_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\nx,a\ny,b,c\n")
    result = runner.invoke(app, ["check", str(tmp_path / "d.csv")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"textcls: .*d\.csv, row 3: .+\n", result.stderr)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--vectors", "nofile"], "text.vectors: no such file or name: nofile"),
        (["--vectors", "MODEL"], "vectors are read from .txt, .vec or .bin files"),
        (["--set", "training.device=cuda:99"], "training.device cuda:99: there are "),
        (["--set", "text.tokenizer=spacy", "--set", "text.language=xx9"], "text.language"),
    ],
)
def test_check_tells_of_settings_that_training_would_stop_at(
    tiny_run: TinyRun, tiny_onnx: Path, options: list[str], said: str
) -> None:
    given = [str(tiny_onnx) if option == "MODEL" else option for option in options]
    for json_too in ([], ["--json"]):
        result = runner.invoke(app, ["check", str(tiny_run.train), *given, *json_too])
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
