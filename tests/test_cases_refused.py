"""Small tables that cannot be read as they stand: refused in one line, the same in every command, or rows with an error.

What is still read wrongly without a word is here too, marked as what is expected to fail.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import TINY, checked, classified, command, refusal, set_to
from conftest import TinyRun
from made_cases import place

MANY = "data.labels=labels"
CATS = "data.labels=cats"
JIGSAW = "data.labels=[toxic,insult]"
NO_HEADER = ("data.header=false", "data.text=0", "data.label=1")
ONE_HOT = r'0 or 1 for each label; write .+ or an object such as \{"a": 1, "b": 0\}, or name columns of 0 and 1'
RECORDS = r'write one object a row, in pandas to_json\(orient="records", lines=True\)'


@pytest.mark.parametrize(
    ("name", "said", "sets"),
    [
        # 03: a list of 0 and 1 says nothing of the names
        ("03_onehot_lists.csv", ONE_HOT, [MANY]),
        ("03_onehot_floats.jsonl", ONE_HOT, [MANY]),
        ("03_onehot_commas.csv", ONE_HOT, [MANY]),
        ("03_onehot.parquet", ONE_HOT, [MANY]),
        ("03_cats_shares.jsonl", r"row 1: the value of the label 'YES' is 0\.7; it must be 0 or 1", [CATS]),
        ("03_spacy_cats.jsonl", r"row 1: the label in column 'cats' is an object; .+ set data\.labels", ["data.label=cats"]),
        # 04: rows with a column more than the header, quotes written as \"
        ("04_r_write_table.tsv", r"there is no column 'text' \(did you mean", []),
        ("04_backslashes.csv", r"row 2: .+; inside a quoted field write each double quote twice", []),
        ("04_quote_behind_a_megabyte.tsv", r"row 522: .+; set data\.quoting \(--quoting\) to none .+, else to csv", []),
        # 09: which of two columns is meant?
        ("09_text_twice.csv", r"two columns are named 'text'; rename one of them", []),
        # 10: another separator that does not split all rows evenly, or where there is no header; another encoding
        ("10_uneven.csv", r"no column 'text' .+ separated by ';': set data\.delimiter \(--delimiter\)", []),
        ("10_no_header.csv", r"no column '1'; .+ separated by ';': set data\.delimiter \(--delimiter\)", [*NO_HEADER]),
        ("10_excel_german.csv", r"byte 0xf6 is not UTF-8; name the file's encoding", ["data.text=Text", "data.label=Urteil"]),
        ("10_gbk.csv", r"row 2: byte 0x.. is not UTF-8; name the file's encoding in data\.encoding \(--encoding\)", []),
        # 12: tables that pandas or others put into one object
        ("12_split.json", rf"the columns are: 'columns', 'index', 'data'; {RECORDS}", []),
        ("12_index.json", rf"the columns are: '0', '1', '2'; {RECORDS}", []),
        ("12_wrapped.json", rf"the columns are: 'data'; {RECORDS}", []),
        ("12_short_column.json", rf"columns are of different lengths; {RECORDS}", []),
        ("12_values.json", r"row 1: not a JSON object but a list", []),
        ("12_batches.jsonl", r"row 1: 'text' is not text but a list", []),
        ("12_list_first.jsonl", r"all 1 rows have the label 'good'", []),
        # 13: what is neither 0 nor 1, or no list
        ("13_shares.csv", r"row 3: the value of the label 'toxic' is '0\.5'; it must be 0 or 1", [JIGSAW]),
        # 16: bytes that are no text, numbers
        ("16_latin1.parquet", r"row 1: 'text' .*not UTF-8", []),
        ("16_pictures.parquet", r"the column 'text' holds struct<.+>, not text", []),
        ("16_numbers.parquet", r"the column 'text' holds int64, not text", []),
        # 17: several labels a text where one is wanted
        ("17_fasttext_comma.txt", r"row 1: 2 labels; set data\.labels", []),
        ("17_fasttext_no_blank.txt", r"row 1: 2 labels; set data\.labels", []),
    ],
)
def test_training_refuses_in_one_line_and_writes_nothing(name: str, said: str, sets: list[str], tmp_path: Path) -> None:
    path, run = place(name, tmp_path), tmp_path / "run"
    line = refusal(command("check", path, *set_to(sets)))
    assert re.search(said, line), line
    assert refusal(command("train", path, "--run", run, *set_to([*TINY, *sets]))) == line
    assert not run.exists()


def test_lists_as_numpy_prints_them_are_read_or_refused(tmp_path: Path) -> None:
    result = command("check", place("13_numpy_lists.csv", tmp_path), "--json", *set_to([MANY, "data.validation_share=0"]))
    if result.exit_code:
        assert "no JSON list" in refusal(result)
    else:
        assert json.loads(result.stdout)["splits"]["train"]["labels"] == {"a": 2, "b": 1}
    assert re.search(
        f"{ONE_HOT}|no JSON list", refusal(command("check", place("03_onehot_numpy.csv", tmp_path), "--set", MANY))
    )


def test_a_label_that_is_missing_in_a_list_stops_a_training(tmp_path: Path) -> None:
    path, run = place("06_list_minus1.parquet", tmp_path), tmp_path / "run"
    line = refusal(command("train", path, "--run", run, *set_to([*TINY, MANY])))
    assert re.search(r"row 2\b.*(is missing|without a label)|without a label.+, row 2\b", line), line
    assert not run.exists()


@pytest.mark.parametrize(
    ("name", "where", "sets"),
    [
        ("06_minus1.parquet", (1, 5), []),
        ("06_null.parquet", (1, 5), []),
        ("09_excel_blank_rows.csv", (4, 5), []),
        ("13_not_rated.csv", (3, 5), [JIGSAW]),
    ],
)
def test_rows_without_a_label_are_counted_and_stop_a_training(
    name: str, where: tuple[int, int], sets: list[str], tmp_path: Path
) -> None:
    path, run = place(name, tmp_path), tmp_path / "run"
    line = refusal(command("train", path, "--run", run, *set_to([*TINY, *sets])))
    places = "[,;] ".join(rf"{re.escape(name)}, row {row}" for row in where)
    assert re.match(rf"2 rows without a label in column .+ \({places}\); .+ data\.missing_labels to skip", line), line
    assert not run.exists()
    result = command("check", path, *set_to(sets))
    assert result.exit_code == 0, result.stderr
    assert "rows of train without a label: 2; training stops there" in result.stdout
    assert "--set data.missing_labels=skip" in result.stderr


@pytest.mark.parametrize(
    ("name", "said", "options"),
    [
        ("04_r_write_table.tsv", r"no column 'text' \(did you mean", []),
        ("04_quote_behind_a_megabyte.tsv", r"row 522: .+; set data\.quoting \(--quoting\) to none", []),
        ("09_text_twice.csv", "two columns are named 'text'", []),
        ("10_uneven.csv", r"separated by ';': set data\.delimiter \(--delimiter\)", []),
        ("10_no_header.csv", r"no column '1'; .+ separated by ';': set data\.delimiter", ["--no-header", "--text", "1"]),
        ("12_split.json", RECORDS, []),
        ("12_index.json", RECORDS, []),
        ("12_wrapped.json", RECORDS, []),
        ("12_short_column.json", RECORDS, []),
        ("16_pictures.parquet", r"holds struct<.+>, not text", []),
        ("16_numbers.parquet", "holds int64, not text", []),
    ],
)
def test_classify_and_evaluate_refuse_what_training_refuses(
    name: str, said: str, options: list[str], tiny_run: TinyRun, tmp_path: Path
) -> None:
    path, out = place(name, tmp_path), tmp_path / "out.csv"
    line = refusal(command("classify", tiny_run.model, path, "-o", out, *options))
    assert re.search(said, line), line
    assert not out.exists()
    assert refusal(command("evaluate", tiny_run.model, path, *options)) == line


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("04_backslashes.csv", {0: r"row 2: .+ write each double quote twice"}),
        ("10_gbk.csv", {0: r"row 2: byte 0x.. is not UTF-8; name the file's encoding", 1: r"row 3: byte 0x.."}),
        ("12_values.json", {row: rf"row {row + 1}: not a JSON object but a list" for row in range(3)}),
        ("12_batches.jsonl", {row: rf"row {row + 1}: 'text' is not text but a list" for row in range(2)}),
        ("16_latin1.parquet", {0: r"row 1: 'text' .*not UTF-8"}),
    ],
)
def test_classify_passes_on_a_row_that_cannot_be_read(
    name: str, faults: dict[int, str], tiny_onnx: Path, tmp_path: Path
) -> None:
    rows, _ = classified(tiny_onnx, place(name, tmp_path), code=1)
    assert {number for number, row in enumerate(rows) if "error" in row} == faults.keys()
    for number, row in enumerate(rows):
        assert (row["label"] is None) == (number in faults)
        assert re.search(faults.get(number, "^$"), row.get("error", "")), row


def test_a_row_whose_first_value_is_a_list_is_no_table(tiny_onnx: Path) -> None:
    ((row,), _) = classified(tiny_onnx, place("12_list_first.jsonl", Path()))
    assert (row["tags"], row["text"], row["label"] is None) == (["x", "y"], "a joy to watch", False)


def test_what_quotes_decide_can_be_said(tiny_onnx: Path, tmp_path: Path) -> None:
    path = place("04_pandas_tab_and_line.tsv", tmp_path)
    rows, notes = classified(tiny_onnx, path, code=0)
    assert ([row["text"] for row in rows], len(notes)) == (['"a tab', 'and a line"', "bye"], 1)
    assert "data.quoting" in notes[0]
    long = place("04_quote_behind_a_megabyte.tsv", tmp_path)
    for quoting, count in (("none", 523), ("csv", 521)):
        assert checked(long, f"data.quoting={quoting}")[0]["rows"] == count


def test_check_tells_of_fields_that_may_be_rows_which_a_quote_holds_together(tmp_path: Path) -> None:
    assert checked(place("04_stray_quotes.csv", tmp_path))[0]["broken"] == 1
    assert re.search(
        r"^hold separator and new line +1\b", command("check", place("04_stray_quotes.csv", tmp_path)).stdout, re.M
    )


def test_strip_labels_false_keeps_blanks(tmp_path: Path) -> None:
    report, notes = checked(place("14_other_blanks.csv", tmp_path), "data.strip_labels=false")
    assert (report["labels"], notes) == ({"good": 1, "good\xa0": 1, "\tbad": 1, "bad\n": 1}, [])
