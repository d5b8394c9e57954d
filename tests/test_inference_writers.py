import csv
import datetime
import decimal
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls.data.blocks import MISSING
from textcls.inference.writers import CsvWriter, JsonlWriter, TableWriter, cell

any_text = st.text(st.characters(codec="utf-8"))  # everything but lone surrogates
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def jsonl(**columns: list[Any]) -> str:
    sink = io.BytesIO()
    JsonlWriter(sink).write(columns, ())
    return sink.getvalue().decode()


def as_csv(separator: str = ",", **columns: list[Any]) -> str:
    sink = io.BytesIO()
    CsvWriter(sink, list(columns), separator).write(columns, ())
    return sink.getvalue().decode()


def table(columns: dict[str, list[Any]], texts: list[str], labels: list[str]) -> list[str]:
    sink = io.BytesIO()
    TableWriter(sink, ["label", "confidence"], labels).write(columns, texts)
    return sink.getvalue().decode().splitlines()


def test_json_lines_are_readable_and_leave_out_what_is_missing() -> None:
    assert jsonl(id=[1, MISSING], text=["über", "中文"], label=["a", None]) == (
        '{"id": 1, "text": "über", "label": "a"}\n{"text": "中文", "label": null}\n'
    )


def test_json_lines_escape_lone_surrogates_alone() -> None:
    assert jsonl(text=["ü\ud800", "ü\\ud800"]) == '{"text": "ü\\ud800"}\n{"text": "ü\\\\ud800"}\n'


def test_json_lines_write_numbers_as_numbers() -> None:
    assert jsonl(a=[0.25, 1e-07], b=[1, 2], c=[True, False]) == (
        '{"a": 0.25, "b": 1, "c": true}\n{"a": 1e-07, "b": 2, "c": false}\n'
    )
    assert math.isnan(json.loads(jsonl(a=[math.nan]))["a"])


def test_infinity_is_written_as_json_can() -> None:
    infinity = json.loads("1e400")
    assert jsonl(a=[infinity], b=[-infinity]) == '{"a": 1e999, "b": -1e999}\n'
    nested = {"x": [infinity], "Infinity": 'a \\" Infinity'}
    assert jsonl(a=[nested]).count("1e999") == 1
    assert json.loads(jsonl(a=[nested])) == {"a": nested}


@given(st.lists(st.tuples(json_values, json_values)), st.text())
def test_json_lines_keep_every_value(rows: list[tuple[Any, Any]], name: str) -> None:
    one, two = [row[0] for row in rows], [row[1] for row in rows]
    written = jsonl(**{name: one, name + "2": two})
    assert [json.loads(line) for line in written.split("\n")[:-1]] == [{name: a, name + "2": b} for a, b in rows]


@given(st.lists(st.tuples(any_text, any_text), min_size=1), st.sampled_from(",\t"))
def test_csv_keeps_every_text(rows: list[tuple[str, str]], separator: str) -> None:
    written = as_csv(separator, a=[row[0] for row in rows], b=[row[1] for row in rows])
    read = list(csv.reader(io.StringIO(written, newline=""), delimiter=separator, strict=True))
    assert read == [["a", "b"], *map(list, rows)]


def test_csv_lines_end_in_a_new_line_and_a_carriage_return_is_quoted() -> None:
    assert as_csv(a=["x\ry", "z"], b=[1, 2]) == 'a,b\n"x\ry","1"\nz,2\n'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (MISSING, ""),
        (True, "true"),
        (1, "1"),
        (0.1, "0.1"),
        ([1, "ü"], '[1, "ü"]'),
        ({"a": None}, '{"a": null}'),
        (b"ab", "YWI="),
        (datetime.datetime(2024, 1, 2, 3, 4), "2024-01-02T03:04:00"),
        (decimal.Decimal("1.10"), "1.10"),
    ],
)
def test_what_stands_in_a_csv_cell(value: object, expected: str) -> None:
    assert cell(value) == expected


def test_csv_has_one_shape_and_no_lone_surrogates() -> None:
    sink = io.BytesIO()
    writer = CsvWriter(sink, ["a", "b"])
    writer.write({"b": ["x\udcff"]}, [""])
    writer.write({"a": ["y"]}, [""])
    assert sink.getvalue().decode() == "a,b\n,x\ufffd\ny,\n"


def test_table_is_aligned_by_the_labels_that_can_occur() -> None:
    columns: dict[str, list[Any]] = {"label": ["中", None], "confidence": [0.98765, None], "error": [MISSING, "broken"]}
    assert table(columns, [" two\nlines\x1b[31m", ""], ["中", "positive"]) == [
        "label     confidence  text",
        "中        0.988       two lines\ufffd[31m",
        "                      broken",
    ]


def test_table_shows_the_file_and_the_start_of_the_text() -> None:
    columns: dict[str, list[Any]] = {
        "file": ["a.txt", "long.txt"],
        "line": [1, 12],
        "label": ["x", "x"],
        "confidence": [1.0, 0.5],
    }
    lines = table(columns, ["word " * 99, "字" * 99], ["x"])
    assert lines[0].split() == ["label", "confidence", "file", "text"]
    assert lines[1] == "x      1.000       a.txt:1      " + ("word " * 99)[:71].rstrip() + "…"
    assert lines[2] == "x      0.500       long.txt:12  " + "字" * 35 + "…"
