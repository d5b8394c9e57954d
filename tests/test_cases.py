"""Small tables as other tools write them, which are read right: `cases/README.md` says what each one stands for.

All go through the command line, and what it gives is held against the same rows in a plain table.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pytest
from commands import answers, checked, classified, command, evaluated, trained, write_jsonl
from made_cases import BAD_GOOD, TEXTS, place, rows_of

MANY = "data.labels=labels"
SKIP = "data.missing_labels=skip"
JIGSAW = "data.labels=[toxic,insult]"
CP1252 = ("--encoding", "cp1252")
NO_QUOTES = "double quotes are characters like others"
UTF16 = "is UTF-16 text, by the mark at its start"
LEFT_OUT = "without a label in column"
NUMBERS = "different numbers as labels of"
TWO = ["a joy to watch", "a pain to watch"]
THREE = ["a joy to watch", "great acting, awful music", "a pain to watch"]
FOUR = [*TWO, "great acting", "dull and silly"]
GOOD_BAD_BAD = ["good", "bad", "bad"]
HAM_SPAM = ["ham", "spam", "ham", "spam"]
MORNING = ['"Good morning', "WIN CASH NOW", 'see you"', "bye"]
SMS = ['"Good morning', 'WIN CASH NOW, txt "YES" to 80082', 'see you"', "it's 5\" wide"]
GERMAN = ["schöne Bilder", "üble Musik, 3 € zu viel", "„groß“ gespielt"]
NUMBERED, FLOATS = rows_of("17_float_targets.csv")
COUNTED, COUNTS = rows_of("17_counts.csv")
STARRED, STARS = rows_of("17_half_stars.csv")


@dataclass(frozen=True)
class Read:
    """A case that is read.

    Attributes:
        name: The file.
        labels: Of each row: a label, or a list of them; None where the row is left out for want of one.
        texts: Of each row.
        sets: Settings of `check` and `train` that it needs.
        options: Options of `classify`; None where there is nothing to classify row by row.
        dialect: Words of each note on how it is written, of `check` and `classify` alike.
        said: Words of each other note of `check`.
        trained: Whether it is trained on, too.
    """

    name: str
    labels: Sequence[Any]
    texts: Sequence[str] = TEXTS
    sets: tuple[str, ...] = ()
    options: tuple[str, ...] | None = ()
    dialect: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    trained: bool = False

    @property
    def many(self) -> bool:
        return any(isinstance(label, list) for label in self.labels)

    @property
    def kept(self) -> list[tuple[str, Any]]:
        """The rows that have labels, or may have none."""
        return [(text, label) for text, label in zip(self.texts, self.labels, strict=True) if label is not None]


READ = [
    # 03: an object of 0 and 1 names the labels of a text
    Read("03_cats_json.csv", [["b"], ["a"]] * 4, sets=(MANY,), trained=True),
    Read("03_spacy_cats.jsonl", [["YES"], ["NO"], ["YES", "NO"], []], FOUR, ("data.labels=cats",)),
    Read("03_cats_python.csv", [["a"], ["b"], ["a", "b"], []], FOUR, (MANY,)),
    Read("03_cats.parquet", [["a"], ["a", "b"]] * 4, sets=(MANY,)),
    # 04: double quotes between tabs
    Read("04_quote_swallows_rows.tsv", HAM_SPAM, MORNING, dialect=(NO_QUOTES,), trained=True),
    Read(
        "04_quote_error_swallows_rows.tsv",
        ["ham", "spam", "ham", "ham"],
        ['"I am late', "Win cash now", 'ok" he said', "bye"],
        dialect=(NO_QUOTES,),
        trained=True,
    ),
    Read("04_inches.tsv", HAM_SPAM, ["5'10\" tall", '"WIN" CASH NOW', 'a 3" and a 4"', '"last chance'], dialect=(NO_QUOTES,)),
    Read(
        "04_sms_without_header.tsv",
        HAM_SPAM,
        SMS,
        ("data.header=false", "data.text=1", "data.label=0"),
        ("--no-header", "--text", "1"),
        (NO_QUOTES,),
        trained=True,
    ),
    Read("04_tabs.csv", HAM_SPAM, MORNING, dialect=("separated by tabs", NO_QUOTES)),
    Read("04_pandas.tsv", HAM_SPAM, ["a tab\tin it", "two\nlines", 'he said "bye"', "no quotes, a comma"]),
    Read(
        "04_pandas_tab_and_line.tsv",
        ["ham", "spam"],
        ["a tab\tin it\nand a line", "bye"],
        ("data.quoting=csv",),
        ("--quoting", "csv"),
    ),
    # 06: numbers with names
    Read("06_classlabel_bad_good.parquet", BAD_GOOD, trained=True),
    Read("06_minus1.parquet", [None, "good", "bad", "good"] * 2, sets=(SKIP,), said=(LEFT_OUT,), trained=True),
    Read("06_lists.parquet", [["bad"], ["bad", "good"], [], ["good"]] * 2, sets=(MANY,), trained=True),
    Read("06_old_lists.parquet", [["bad"], ["bad", "good"], [], ["good"]] * 2, sets=(MANY,)),
    Read("06_stars.parquet", ["1", "2", "3", "1"] * 2),
    Read("06_null.parquet", [None, "good", "bad", "good"] * 2, sets=(SKIP,), said=(LEFT_OUT,)),
    Read("06_no_names.parquet", [-1, 0, 1, 1] * 2),
    Read("06_categorical.parquet", BAD_GOOD),
    # 09: columns without a name, and columns of one name
    Read(
        "09_kaggle_spam.csv",
        BAD_GOOD,
        [f"{text} £100" for text in TEXTS],
        ("data.text=v2", "data.label=v1", "data.encoding=cp1252"),
        ("--text", "v2", *CP1252),
        trained=True,
    ),
    Read("09_trailing_comma.csv", BAD_GOOD, trained=True),
    Read("09_two_notes.csv", ["good", "bad"], TWO),
    Read("09_two_notes.parquet", BAD_GOOD),
    Read("09_pandas_index.csv", ["good", "bad"], TWO),
    Read("09_header_ends_in_comma.csv", GOOD_BAD_BAD, THREE),
    Read("09_excel_blank_rows.csv", ["good", "bad", None, None], [*TWO, "", ""], (SKIP,), said=(LEFT_OUT,)),
    # 10: other separators, other encodings
    Read("10_semicolon.csv", BAD_GOOD, dialect=("separated by ';'",), trained=True),
    Read("10_utf16.csv", BAD_GOOD, dialect=(UTF16,), trained=True),
    Read("10_bar.csv", ["good", "bad", "good"], [*THREE[:2], "a | in it"], dialect=("separated by '|'",)),
    Read("10_excel_sep.csv", ["good", "bad", "good"], [*THREE[:2], "a ; in it"]),
    Read("10_commas.tsv", ["good", "bad"], THREE[:2], dialect=("separated by ','",)),
    Read(
        "10_excel_german.csv",
        ["gut", "schlecht", "gut"],
        GERMAN,
        ("data.text=Text", "data.label=Urteil", "data.encoding=cp1252"),
        ("--text", "Text", *CP1252),
        ("separated by ';'",),
        trained=True,
    ),
    Read(
        "10_no_header.csv",
        ["good", "bad"],
        TWO,
        ("data.header=false", "data.text=0", "data.label=1", "data.delimiter=;"),
        ("--no-header", "--text", "0", "--delimiter", ";"),
    ),
    Read("10_utf16_be.tsv", ["ham", "spam"], ['he said "bye"', "üble Musik"], dialect=(UTF16,)),
    Read("10_utf16.jsonl", BAD_GOOD, dialect=(UTF16,)),
    Read("10_utf16_fasttext.txt", BAD_GOOD, options=None, dialect=(UTF16,)),
    Read("10_semicolon_utf16.csv.gz", BAD_GOOD, dialect=(UTF16, "separated by ';'")),
    Read("10_gbk.csv", ["a", "b"], ["体育 好", "很 差"], ("data.encoding=gbk",), ("--encoding", "gbk")),
    # 12: JSON that is not an object a line
    Read("12_pandas_to_json.json", BAD_GOOD, trained=True),
    Read("12_columns_list.json", BAD_GOOD, trained=True),
    Read("12_array.jsonl", GOOD_BAD_BAD, THREE),
    Read("12_pretty.jsonl", GOOD_BAD_BAD, THREE),
    # 13: many labels a text, in columns and in lists
    Read(
        "13_jigsaw_columns.csv",
        [["toxic", "severe_toxic", "insult"], [], ["toxic"], [], ["toxic"], ["insult"], ["toxic", "severe_toxic"], []],
        sets=("data.labels=[toxic,severe_toxic,insult]",),
        trained=True,
    ),
    Read("13_python_list.csv", [["a"], ["a", "b"]] * 4, sets=(MANY,), trained=True),
    Read("13_true_false.csv", [[], ["toxic"], ["toxic", "insult"]], THREE, (JIGSAW,)),
    Read("13_not_rated.csv", [[], None, ["toxic", "insult"], None], FOUR, (JIGSAW, SKIP), said=(LEFT_OUT,)),
    Read("13_columns.parquet", [["toxic", "insult"], [], ["toxic"], []] * 2, sets=(JIGSAW,)),
    Read("13_json_and_sets.csv", [["a", "b"], ["a", "c"], ["a", "b", "c"], []], FOUR, (MANY,)),
    # 14: labels that are nearly equal
    Read(
        "14_labels_differ_in_case.csv",
        ["bad", "good", "BAD", "GOOD", "bad", "good", "bad", "good"],
        said=("'bad ' (1), 'good ' (1), ' bad' (1), ' good' (1)", "'bad' (3) and 'BAD' (1), 'good' (3) and 'GOOD' (1)"),
        trained=True,
    ),
    Read("14_other_blanks.csv", ["good", "bad"] * 2, FOUR, said=(r"'good\xa0' (1), '\tbad' (1), 'bad\n' (1)",)),
    Read(
        "14_true_false.csv",
        ["True", "FALSE", "true", "false"],
        FOUR,
        said=("'True' (1) and 'true' (1), 'FALSE' (1) and 'false' (1)",),
    ),
    # 16: bytes that are text
    Read("16_binary_text.parquet", BAD_GOOD, trained=True),
    Read("16_large_binary.parquet", BAD_GOOD),
    Read("16_binary_categories.parquet", BAD_GOOD),
    # 17: numbers to predict, and commas between fastText's labels
    Read("17_float_targets.csv", FLOATS, NUMBERED, said=(NUMBERS,), trained=True),
    Read("17_counts.csv", COUNTS, COUNTED, said=(NUMBERS,)),
    Read(
        "17_floats.parquet", [n / 7 if n % 7 else n // 7 for n in range(30)], [f"text {n}" for n in range(30)], said=(NUMBERS,)
    ),
    Read("17_half_stars.csv", STARS, STARRED),
    Read("17_fasttext_comma.txt", [["bad", "x"], ["good", "x"]] * 4, sets=(MANY,), options=None, trained=True),
    Read(
        "17_fasttext_no_blank.txt",
        [["a", "b"], ["c"], ["a", "c"]],
        ["a joy to watch, they say", "a pain to watch", "dull and silly"],
        (MANY,),
        None,
    ),
    Read("17_fasttext_mark_and_tabs.txt", [["a", "b"], ["c"]], TWO, (MANY,), None),
]


def by_name(cases: Sequence[Read]) -> list[Any]:
    return [pytest.param(case, id=case.name) for case in cases]


def label_texts(label: Any) -> list[str]:
    return list(map(str, label if isinstance(label, list) else [] if label is None else [label]))


@pytest.fixture(scope="module")
def plain(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(tiny_onnx, tmp_path_factory.mktemp("plain"))


class Plain:
    """What comes of the same rows where they stand in a table as plain as can be; each such table is read once."""

    def __init__(self, model: Path, folder: Path) -> None:
        self._model, self._folder = model, folder
        self._answers: dict[tuple[str, ...], list[tuple[Any, Any]]] = {}
        self._trained: dict[bytes, tuple[Path, Path]] = {}

    def answers(self, texts: Sequence[str]) -> list[tuple[Any, Any]]:
        """Label and confidence of each text, by the tiny model."""
        if tuple(texts) not in self._answers:
            path = write_jsonl(self._folder / "texts.jsonl", [(text, "") for text in texts])
            self._answers[tuple(texts)] = answers(classified(self._model, path)[0])
        return self._answers[tuple(texts)]

    def trained(self, rows: Sequence[tuple[str, Any]], many: bool) -> tuple[Path, Path]:
        """A table with these rows, and the model that learned from it."""
        number = len(self._trained)
        path = write_jsonl(self._folder / f"{number}.jsonl", rows, "labels" if many else "label")
        found = self._trained.get(path.read_bytes())
        if found is None:
            found = path, trained(path, self._folder / str(number), *([MANY] if many else []))
        return self._trained.setdefault(path.read_bytes(), found)


@pytest.mark.parametrize("case", by_name(READ))
def test_check_counts_the_rows_of_each_label(case: Read, tmp_path: Path) -> None:
    report, notes = checked(place(case.name, tmp_path), *case.sets)
    assert report["labels"] == Counter(text for label in case.labels for text in label_texts(label))
    assert report["rows"] == len(case.kept)
    assert report["unlabelled"] == list(case.labels).count([])
    assert report["longest"] == max(len(text) for text, _ in case.kept)
    assert len(notes) == len(case.dialect + case.said), notes
    for words, note in zip(case.dialect + case.said, notes, strict=True):
        assert words in note


@pytest.mark.parametrize("case", by_name([case for case in READ if case.options is not None]))
def test_classify_answers_each_row_by_its_own_text(case: Read, tiny_onnx: Path, plain: Plain, tmp_path: Path) -> None:
    path, options = place(case.name, tmp_path), case.options or ()
    rows, notes = classified(tiny_onnx, path, *options)
    assert answers(rows) == plain.answers(case.texts)
    if "binary" not in case.name:  # how bytes are written is another question
        column = options[options.index("--text") + 1] if "--text" in options else "text"
        assert [row[column] for row in rows] == list(case.texts)
    assert len(notes) == len(case.dialect), notes
    for words, note in zip(case.dialect, notes, strict=True):
        assert note.startswith(f"{path}: ")
        assert words in note


@pytest.mark.parametrize("case", by_name([case for case in READ if case.trained]))
def test_training_and_evaluating_read_the_rows_of_a_plain_table(
    case: Read, plain: Plain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, path, **__: Path(path).touch())  # pictures take a second
    path = place(case.name, tmp_path)
    model = trained(path, tmp_path / "run", *case.sets)
    table, same = plain.trained(case.kept, case.many)
    for name in ("vocabulary.txt", "model.safetensors"):
        assert (model / name).read_bytes() == (same / name).read_bytes(), name
    if len(case.kept) == len(case.texts):  # `evaluate` cannot leave out rows without a label
        report = evaluated(model, path)
        assert report == evaluated(same, table)
        assert sum(one["support"] for one in report["per_class"].values()) == sum(len(label_texts(own)) for own in case.labels)


# --- and what comes out


def test_outputs_keep_every_column_under_a_name_of_its_own(tiny_onnx: Path, tmp_path: Path) -> None:
    for name, columns in {
        "09_kaggle_spam.csv": ["v1", "v2", "column_3", "column_4", "column_5"],
        "09_two_notes.csv": ["text", "input_note", "input_label", "note.2"],
        "09_two_notes.parquet": ["text", "input_note", "input_label", "note.2"],
        "09_pandas_index.csv": ["column_1", "text", "input_label"],
        "09_header_ends_in_comma.csv": ["text", "input_label", "column_3"],
    }.items():
        out, options = tmp_path / f"{name}.csv", ("--text", "v2", *CP1252) if "v1" in columns else ()
        assert command("classify", tiny_onnx, place(name, tmp_path), "-o", out, *options).exit_code == 0
        with out.open(encoding="utf-8", newline="") as file:
            assert next(csv.reader(file)) == [*columns, "label", "confidence", "note", "error"]
    notes = [row["input_note"] + row["note.2"] for row in classified(tiny_onnx, place("09_two_notes.csv", tmp_path))[0]]
    assert notes == ["12", "34"]


HARD = ["a\tb", "a\nb", "a\tb\nc", '"open', 'say "hi"', '"all"', "a\rb", "", " x ", "a\r\nb", '\t"', '"\n', "c;d", "sep=;"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_what_classify_writes_reads_back_equal(ending: str, tiny_onnx: Path, tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "first.jsonl", [(text, "") for text in HARD], "other")
    out = tmp_path / f"out.{ending}"
    assert command("classify", tiny_onnx, first, "-o", out).exit_code == 0
    rows, notes = classified(tiny_onnx, out)
    assert [row["text"] for row in rows] == HARD
    assert notes == []


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("text;label\na joy to watch;good\ngreat acting, awful music;bad\n", ["csv"]),
        ('[{"text": "a joy to watch"},\n{"text": "great acting, awful music"}]', ["jsonl"]),
        ("label\ttext\nham\ta joy to watch\nham\tgreat acting, awful music", ["tsv"]),
        ("text|n\na joy to watch|1\ngreat acting, awful music|2\n", ["csv", "--delimiter", "|"]),
    ],
)
def test_standard_input_is_read_as_a_file_is(text: str, options: list[str], tiny_onnx: Path, plain: Plain) -> None:
    rows, _ = classified(tiny_onnx, "-", "--input-format", *options, input=text)
    assert answers(rows) == plain.answers(THREE[:2])


def test_utf16_on_standard_input_is_read_by_its_mark(tiny_onnx: Path, plain: Plain) -> None:
    rows, notes = classified(tiny_onnx, "-", input="".join(f"{text}\n" for text in TEXTS).encode("utf-16"))
    assert answers(rows) == plain.answers(TEXTS)
    assert [UTF16 in note for note in notes] == [True]


def test_json_on_standard_input_without_its_format_is_noted(tiny_onnx: Path) -> None:
    _, notes = classified(tiny_onnx, "-", input='{"text": "a joy to watch"}\n')
    assert any("--input-format" in note for note in notes)


def test_each_of_several_files_is_read_as_it_is_written(tiny_onnx: Path, plain: Plain, tmp_path: Path) -> None:
    names = ("10_semicolon.csv", "09_trailing_comma.csv", "10_utf16.csv", "12_pandas_to_json.json", "16_binary_text.parquet")
    files = [place(name, tmp_path) for name in names]
    assert answers(classified(tiny_onnx, *files)[0]) == plain.answers(TEXTS) * len(files)
    folder = tmp_path / "all"
    folder.mkdir()
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())
    report, notes = checked(folder / "1*")
    assert (report["labels"], len(notes)) == ({"bad": 16, "good": 16}, 2)


def test_rows_from_the_hub_s_library_have_the_same_labels_from_disk_and_from_parquet(tmp_path: Path) -> None:
    kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    rows = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, -1, 1] * 2}, features=kinds)
    rows.save_to_disk(tmp_path / "disk")
    rows.to_parquet(tmp_path / "rows.parquet")
    for path in (tmp_path / "disk", tmp_path / "rows.parquet"):
        report, notes = checked(path, SKIP)
        assert report["labels"] == {"bad": 2, "good": 4}
        assert ["2 rows without a label" in note for note in notes] == [True]
