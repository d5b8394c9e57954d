"""Tables of the kinds in `cases/README.md` that are easily read wrongly: right is as they were meant, or a refusal, or a note."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import checked, classified, command, refusal, set_to, trained, write_jsonl
from made_cases import BAD_GOOD, TEXTS, place

MANY = "data.labels=labels"
TWO = ["a joy to watch", "a pain to watch"]


def labels_or_refusal(path: Path, *settings: str) -> dict[str, int] | str:
    """What `check` counts for each label, or the line by which it refuses the data."""
    result = command("check", path, "--json", *set_to(["data.validation_share=0", *settings]))
    if result.exit_code:
        return refusal(result)
    counts: dict[str, int] = json.loads(result.stdout)["splits"]["train"]["labels"]
    return counts


# --- text files (places.py, text_rows.py, csv_rows.py, inputs.py)


@pytest.mark.parametrize("options", [["--lines"], []])
def test_utf16_without_its_mark(options: list[str], tiny_onnx: Path, tmp_path: Path) -> None:
    path = place("10_utf16_no_mark.txt", tmp_path)
    (tmp_path / "plain").mkdir()
    plain = tmp_path / "plain" / path.name
    plain.write_text(path.read_bytes().decode("utf-16-le"), encoding="utf-8")
    found, right = (command("classify", tiny_onnx, file, *options) for file in (path, plain))
    answers = [re.sub('"file": "[^"]+"', "", result.stdout) for result in (found, right)]
    assert answers[0] == answers[1]


def test_an_old_macintosh_s_lines_with_a_quote_between_tabs(tiny_onnx: Path) -> None:
    result = command("classify", tiny_onnx, place("04_mac_lines.tsv", Path()))
    assert result.exit_code != 0 or len(result.stdout.splitlines()) == 2


def test_semicolons_without_a_header(tiny_onnx: Path) -> None:
    result = command("classify", tiny_onnx, place("10_no_header.csv", Path()), "--no-header", "--text", "0")
    assert "--delimiter" in result.stderr


def test_a_bar_as_the_separator(tmp_path: Path) -> None:
    assert checked(place("10_bar.csv", tmp_path), "data.delimiter=|")[0]["labels"] == {"bad": 1, "good": 2}


# --- JSON (json_rows.py)


def test_columns_of_json_in_another_order_of_rows(tiny_onnx: Path) -> None:
    result = command("classify", tiny_onnx, place("12_other_order.json", Path()))
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 2 or [row["input_label"] for row in rows] == ["good", "bad"]


def test_a_long_first_row_that_starts_with_a_list(tmp_path: Path) -> None:
    assert labels_or_refusal(place("12_list_first_and_long.jsonl", tmp_path)) == {"bad": 1, "good": 1}


def test_columns_of_json_on_standard_input(tiny_onnx: Path) -> None:
    text = json.dumps({"text": {"0": TWO[0], "1": TWO[1]}, "label": {"0": "good", "1": "bad"}}) + "\n"
    result = command("classify", tiny_onnx, "-", "--input-format", "jsonl", input=text)
    assert len(result.stdout.splitlines()) == 2 or 'orient="records"' in result.output


# --- labels (label_cells.py, labelled.py, rows.py)


@pytest.mark.parametrize(
    "lists", [[[True, False], [False, True]], ["[True, False]"] * 2, ["true;false"] * 2, ["True,False,True"] * 2]
)
def test_one_hot_lists_of_true_and_false(lists: list[object], tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", zip(TWO, lists, strict=True), "labels")
    assert re.search("0 or 1 for each label", str(labels_or_refusal(path, MANY)))


@pytest.mark.parametrize(
    "cell",
    [
        "('a', 'b')",
        "frozenset({'a', 'b'})",
        "array(['a', 'b'], dtype=object)",
        "Index(['a', 'b'], dtype='object')",
        "dict_keys(['a', 'b'])",
        "tensor([0, 1])",
        'c(""a"", ""b"")',
        '""a"", ""b""',
    ],
)
def test_lists_as_python_and_r_print_them(cell: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'text,labels\n{TWO[0]},"{cell}"\n{TWO[1]},c\n')
    found = labels_or_refusal(tmp_path / "a.csv", MANY)
    assert isinstance(found, str) or found == {"a": 1, "b": 1, "c": 1}


def test_blanks_around_the_names_of_an_object(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [(TWO[0], {" a": 1, "b ": 0}), (TWO[1], {"a": 1, "b": 1})], "labels")
    assert labels_or_refusal(tmp_path / "a.jsonl", MANY) == {"a": 2, "b": 1}


@pytest.mark.parametrize("cells", [("['a', 'b']", "['a']"), ('[""a""]', '[""b""]'), ('{""a"": 1}', '{""a"": 0}')])
def test_lists_under_data_label(cells: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f'{text},"{cell}"\n' for text, cell in zip(TWO, cells, strict=True))
    )
    result = command("check", tmp_path / "a.csv", "--set", "data.validation_share=0")
    assert "data.labels" in result.stderr


def test_a_number_beyond_the_names_of_classes(tmp_path: Path) -> None:
    assert isinstance(labels_or_refusal(place("06_beyond.parquet", tmp_path)), str)


def test_names_of_classes_whose_numbers_are_floats(tmp_path: Path) -> None:
    assert labels_or_refusal(place("06_floats.parquet", tmp_path), "data.missing_labels=skip") == {"bad": 2, "good": 4}


def test_a_label_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert isinstance(labels_or_refusal(place("16_latin1_label.parquet", tmp_path), "data.text=label", "data.label=text"), str)


@pytest.mark.parametrize("between", [";", "|", ""])
def test_fasttext_labels_without_a_blank(between: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"__label__a{between}__label__b {TWO[0]}\n__label__c {TWO[1]}\n")
    found = labels_or_refusal(tmp_path / "a.txt", MANY)
    assert isinstance(found, str) or found == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("kind", ["missing", "decimal comma", "per cent"])
def test_numbers_to_predict_in_other_spellings(kind: str, tmp_path: Path) -> None:
    numbers = [f"{number / 7:.3f}" for number in range(1, 31)]
    if kind == "missing":
        numbers[3:5] = ["NA", "?"]
    elif kind == "decimal comma":
        numbers = [number.replace(".", ",") for number in numbers]
    else:
        numbers = [f"{number}%" for number in numbers]
    rows = "".join(f"text {place};{number}\n" for place, number in enumerate(numbers))
    (tmp_path / "a.csv").write_text(f"text;label\n{rows}")
    assert any("is this a number to predict?" in note for note in checked(tmp_path / "a.csv")[1])


@pytest.mark.parametrize("labels", [("caf\u00e9", "cafe\u0301"), ("spam", "spam\u200b"), ("spam", "\ufeffspam")])
def test_labels_that_look_the_same(labels: tuple[str, str], tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [*zip(TWO, labels, strict=True), ("great acting", "other")])
    result = command("check", path, "--json", "--set", "data.validation_share=0")
    report = json.loads(result.stdout)
    assert len(report["splits"]["train"]["labels"]) == 2 or report["alike"] == [sorted(labels)]


# --- what comes out (inference/writers.py), evaluate


@pytest.mark.parametrize("name", ["16_binary_text.parquet", "16_binary_categories.parquet"])
def test_bytes_that_are_read_as_text_come_out_as_text(name: str, tiny_onnx: Path, tmp_path: Path) -> None:
    rows, _ = classified(tiny_onnx, place(name, tmp_path))
    assert [row["text"] for row in rows] == list(TEXTS)


def test_evaluate_leaves_out_rows_without_a_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, path, **__: Path(path).touch())
    model = trained(write_jsonl(tmp_path / "a.jsonl", zip(TEXTS, BAD_GOOD, strict=True)), tmp_path / "run")
    data = place("06_minus1.parquet", tmp_path)
    assert "--missing-labels" in refusal(command("evaluate", model, data))
    result = command("evaluate", model, data, "--missing-labels", "skip")
    assert result.exit_code == 0
    assert "left out" in result.stderr
