"""JSON in every layout: what is read, what is a fault of its row, and what of the file."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import errors, found, looked, message, put, records, refusal, rows, texts

from textcls.data.blocks import MISSING
from textcls.data.json_values import parse_json, repeated_key

ROWS = [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}, {"text": "z", "label": "a"}]
NUMBERED = list(enumerate(ROWS, start=1))
RECORDS = 'write one object a row, in pandas to_json(orient="records", lines=True)'
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
COLUMNS = {name: [row[name] for row in ROWS] for name in ("text", "label")}
BY_INDEX = {name: dict(zip("012", values, strict=True)) for name, values in COLUMNS.items()}


def layout(path: Path, content: str) -> str:
    return looked(put(path, content))[0].dialect.layout


class TestLines:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
    def test_values_keep_their_types_and_blank_lines_are_no_rows(self, tmp_path: Path, name: str) -> None:
        content = b'\xef\xbb\xbf{"text": "x", "label": 1}\r\n\r\n{"text": "y", "label": true, "more": [1]}\n'
        expected = [
            (1, {"text": "x", "label": 1, "more": MISSING}),
            (3, {"text": "y", "label": True, "more": [1]}),
        ]
        assert records(tmp_path / name, content) == expected

    def test_only_the_columns_asked_for_are_read(self, tmp_path: Path) -> None:
        found = records(tmp_path / "a.jsonl", LINES.encode(), only=("label", "text"))
        assert [list(record) for _, record in found] == [["label", "text"]] * 3

    def test_rows_that_cannot_be_read_keep_their_place_and_their_line(self, tmp_path: Path) -> None:
        lines = [
            '{"text":"a","n":[1]}',
            "",
            "{",
            "[1]",
            '{"text":[7]}',
            '{"text":null}',
            '{"text":NaN}',
            '{"n":1}',
            '{"text":"b"}',
            "[" * 99999,
            '{"text":' + "1" * 5000 + "}",
        ]
        path = put(tmp_path / "a.jsonl", "\n".join([*lines, ""]))
        [block] = found(path).blocks()
        assert block.texts == ["a", "", "", "", "", "", "", "b", "", ""]
        assert [error and error.removeprefix(f"{path}, ") for error in errors(path)][:8] == [
            None,
            "row 3: not valid JSON: Expecting property name enclosed in double quotes (column 2)",
            "row 4: not a JSON object but a list",
            "row 5: 'text' is not text but a list",
            "row 6: 'text' is null",
            "row 7: 'text' is null",
            "row 8: there is no 'text'",
            None,
        ]
        assert [str(error).partition(": JSON that cannot be read: ")[0] for error in errors(path)[8:]] == [
            f"{path}, row {row}" for row in (10, 11)
        ]
        assert block.raw == {1: "{", 2: "[1]", 8: lines[9], 9: lines[10]}
        assert rows(path)[7][1] == {"text": "b", "n": MISSING}
        assert "row 3: not valid JSON" in refusal(path)

    def test_numbers_are_read_as_the_text_they_are(self, tmp_path: Path) -> None:
        assert texts(put(tmp_path / "a.jsonl", '{"text": 5}\n{"text": 0.5}\n{"text": true}')) == ["5", "0.5", "true"]

    def test_several_text_columns_are_joined(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", '{"title":"a","body":"b"}\n{"title":"c","body":null}\n{"title":"d"}\n')
        assert texts(path, text=("title", "body")) == ["a\nb", "", ""]
        assert errors(path, text=("title", "body")) == [
            None,
            f"{path}, row 2: 'body' is null",
            f"{path}, row 3: there is no 'body'",
        ]

    def test_lone_surrogates_stay_in_the_column_but_not_in_the_text(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", rb'{"text": "a\ud800b \ud83d\ude00", "more": {"k\udfff": ["\ud800"]}, "c": "\\ud800"}')
        columns = {"text": "a\ud800b 😀", "more": {"k\udfff": ["\ud800"]}, "c": "\\ud800"}
        assert rows(path) == [("a\ufffdb 😀", columns, None)]

    def test_bytes_that_cannot_be_decoded(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", LINES.encode() + b'{"text": "\xa3"}\n')
        assert "row 4: byte 0xa3 is not UTF-8" in refusal(path)
        [block] = found(path, encoding_errors="replace").blocks()
        assert (block.texts[3], block.replaced, block.faults) == ("\ufffd", 1, {})
        assert records(path, encoding="cp1252")[3] == (4, {"text": "£", "label": MISSING})

    def test_utf16(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.jsonl", LINES.encode("utf-16")) == NUMBERED

    def test_a_missing_column_names_the_nearest(self, tmp_path: Path) -> None:
        fault = refusal(tmp_path / "a.jsonl", b'{"txt": "y"}\n')
        assert fault.endswith("there is no column 'text' (did you mean 'txt'?); the columns are: 'txt'")

    def test_a_column_that_later_rows_have_is_there(self, tmp_path: Path) -> None:
        assert errors(put(tmp_path / "a.jsonl", '{"label": "c"}\n{"text": "x"}\n'))[1] is None

    def test_a_row_of_ten_megabytes(self, tmp_path: Path) -> None:
        long = "x" * 10_000_000
        assert texts(put(tmp_path / "a.jsonl", json.dumps({"text": long}) + "\n" + LINES)) == [long, "x", "y", "z"]

    def test_a_row_that_is_too_long_is_a_fault_of_its_own(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", json.dumps({"text": "x" * 200}) + "\n" + LINES)
        assert errors(path, longest=100) == [f"{path}, row 1: longer than data.max_row_bytes, 100", None, None, None]

    def test_blocks_are_bounded(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", '{"text": "a"}\n' * 25)
        blocks = list(found(path, block_rows=10).blocks())
        assert [(len(block), block.numbers[0]) for block in blocks] == [(10, 1), (10, 11), (5, 21)]
        assert blocks[-1].bytes_read == path.stat().st_size


class TestArrays:
    @pytest.mark.parametrize("indent", [None, 0, 2])
    @pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
    def test_items_are_numbered(self, tmp_path: Path, name: str, indent: int | None) -> None:
        assert records(tmp_path / name, json.dumps(ROWS, indent=indent).encode()) == NUMBERED

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_other_encodings(self, tmp_path: Path, encoding: str) -> None:
        content = json.dumps([{"text": "é"}, {"text": "😀"}], ensure_ascii=False)
        assert texts(put(tmp_path / "a.json", content.encode(encoding))) == ["é", "😀"]

    @pytest.mark.parametrize("chunk", [2, 7, 1000])
    def test_it_makes_no_difference_where_pieces_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
        monkeypatch.setattr("textcls.data.places.CHUNK", chunk)
        items = [{"text": 'a \\ " ] } é'}, {"text": "b", "n": [1, {"k": -1.5e3}]}, None, 12, True, "s", [], {"text": "c"}]
        path = put(tmp_path / "a.json", f" \n{json.dumps(items, indent=1, ensure_ascii=False)}\n ")
        assert texts(path) == ['a \\ " ] } é', "b", "", "", "", "", "", "c"]
        assert [str(error).partition("but ")[2] for error in errors(path)[2:7]] == [
            "null",
            "a number",
            "true or false",
            "a text",
            "a list",
        ]

    def test_more_than_is_read_at_once(self, tmp_path: Path) -> None:
        expected = [f"text {number} " * 9 for number in range(30_000)]
        path = put(tmp_path / "a.json", json.dumps([{"text": text} for text in expected]))
        assert path.stat().st_size > 2 << 20
        assert texts(path) == expected

    def test_an_item_of_ten_megabytes(self, tmp_path: Path) -> None:
        long = "x" * 10_000_000
        assert texts(put(tmp_path / "a.json", json.dumps([{"text": long}, *ROWS]))) == [long, "x", "y", "z"]

    def test_an_item_that_is_too_long(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = put(tmp_path / "a.json", json.dumps([ROWS[0], {"text": "x" * 200}, ROWS[1]]))
        assert errors(path, longest=100) == [None, f"{path}, row 2: longer than data.max_row_bytes, 100", None]
        monkeypatch.setattr("textcls.data.places.CHUNK", 50)  # its end is not looked for
        assert message(path, longest=100) == f"{path}, row 2: longer than data.max_row_bytes, 100"

    def test_bytes_that_cannot_be_decoded(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.json", b'[{"text": "x"}, {"text": "\xa3"}]')
        assert errors(path)[0] is None
        assert "row 2: byte 0xa3 is not UTF-8" in str(errors(path)[1])
        [block] = found(path, encoding_errors="replace").blocks()
        assert (block.texts, block.replaced) == (["x", "\ufffd"], 1)

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            ("[", "row 1: the array is cut short"),
            (json.dumps(ROWS)[:-1], "row 3: the array is cut short"),
            (json.dumps(ROWS)[:-1] + ",", "row 4: the array is cut short"),
            (json.dumps(ROWS)[:-10], "row 3: not valid JSON: Unterminated string starting at"),
            (json.dumps(ROWS)[:-1] + ",]", "row 4: not valid JSON: Expecting value"),
            (json.dumps(ROWS) + "x", "row 3: not valid JSON: the array has ended, but the file goes on"),
            (json.dumps(ROWS) + "\n" + json.dumps(ROWS), "row 3: not valid JSON: the array has ended, but the file goes on"),
            (json.dumps(ROWS)[:-1] + "\0]", "row 3: not valid JSON: a comma is missing behind it"),
            ("\n[\v" + json.dumps(ROWS)[1:], "row 1: not valid JSON: Expecting value"),
            ("[" + LINES + "]", "row 1: not valid JSON: a comma is missing behind it"),
            ('[{"text": "x"},\n{"text": "y"},\noops]', "row 3: not valid JSON: Expecting value"),
        ],
    )
    def test_a_damaged_one_is_a_fault_of_the_file(self, tmp_path: Path, content: str, fault: str) -> None:
        path = put(tmp_path / "a.json", content)
        assert message(path) == f"{path}, {fault}"

    def test_what_stands_before_the_damage_is_read(self, tmp_path: Path) -> None:
        blocks = found(put(tmp_path / "a.json", json.dumps(ROWS)[:-1]), block_rows=2).blocks()
        assert next(blocks).texts == ["x", "y"]

    @pytest.mark.parametrize(
        "content", ["[" * 99999, '[{"text": ' + "[" * 99999 + "]" * 99999 + "}]", f'[{{"text": {"1" * 5000}}}]']
    )
    def test_what_cannot_be_parsed_is_one_line(self, tmp_path: Path, content: str) -> None:
        assert "row 1: JSON that cannot be read" in message(put(tmp_path / "a.json", content))

    def test_lines_that_start_with_a_list_are_lines(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", '["text"]\n' + LINES)
        assert texts(path) == ["", "x", "y", "z"]
        assert layout(tmp_path / "b.json", '["x", "y"]') == "array"

    def test_empty(self, tmp_path: Path) -> None:
        assert records(tmp_path / "a.json", b"[ ]\n") == []


class TestColumns:
    @pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize("table", [COLUMNS, BY_INDEX])
    def test_one_object_of_columns(self, tmp_path: Path, table: Any, indent: int | None, name: str) -> None:
        path = put(tmp_path / name, json.dumps(table, indent=indent))
        assert records(path) == NUMBERED
        assert looked(path)[0].columns == ("text", "label")
        assert records(path, only=("text",))[0] == (1, {"text": "x"})

    def test_values_of_a_row_have_one_key(self, tmp_path: Path) -> None:
        table = {"text": {"1": "x", "0": "y"}, "label": {"0": "b", "1": "a"}}
        expected = [(1, {"text": "x", "label": "a"}), (2, {"text": "y", "label": "b"})]
        assert records(tmp_path / "a.json", json.dumps(table).encode()) == expected

    def test_a_text_that_is_too_long(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.json", json.dumps({"text": ["x", "y" * 200]}))
        assert errors(path, longest=100) == [None, f"{path}, row 2: longer than data.max_row_bytes, 100"]

    def test_encodings(self, tmp_path: Path) -> None:
        content = json.dumps({"text": ["é"]}, ensure_ascii=False)
        assert texts(put(tmp_path / "a.json", content.encode("utf-16"))) == ["é"]
        path = put(tmp_path / "b.json", content.encode("cp1252"))
        assert "byte 0xe9 is not UTF-8" in message(path)
        assert texts(path, encoding_errors="replace") == ["\ufffd"]

    @pytest.mark.parametrize("row", [{"label": ["a"], "text": "x"}, {"meta": {"id": 1}, "text": "x"}])
    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_single_row_is_a_row(self, tmp_path: Path, row: Any, indent: int | None) -> None:
        assert records(tmp_path / "a.json", json.dumps(row, indent=indent).encode()) == [(1, row)]

    @pytest.mark.parametrize("size", [100, 2 << 20])
    def test_lines_whose_first_value_is_a_list_are_lines(self, tmp_path: Path, size: int) -> None:
        path = put(tmp_path / "a.jsonl", "".join(json.dumps({"tags": ["a"], "text": char * size}) + "\n" for char in "xyz"))
        assert [text[:1] for text in texts(path)] == ["x", "y", "z"]
        assert looked(path)[0].dialect.layout == "lines"

    def test_one_object_longer_than_a_sample(self, tmp_path: Path) -> None:
        columns = {"text": ["x" * 1000] * 3000, "label": ["a"] * 3000}
        assert len(texts(put(tmp_path / "a.jsonl", json.dumps(columns)))) == 3000
        del columns["text"]
        assert "there is no column 'text'" in message(
            put(tmp_path / "b.jsonl", json.dumps(columns | {"z": ["z" * 1000] * 3000}))
        )

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            (
                {"columns": ["text"], "index": [0], "data": [["x"]]},
                "there is no column 'text'; the columns are: 'columns', 'index', 'data'",
            ),
            ({"0": {"text": "x"}, "1": {"text": "y"}}, "there is no column 'text'; the columns are: '0', '1'"),
            (
                {"schema": {"fields": []}, "data": [{"text": "x"}]},
                "there is no column 'text'; the columns are: 'schema', 'data'",
            ),
            ({"data": [{"text": "x"}]}, "there is no column 'text'; the columns are: 'data'"),
            ({"version": "1", "data": [{"text": "x"}]}, "there is no column 'text'; the columns are: 'version', 'data'"),
            ({"text": ["x", "y"], "label": ["a"]}, "is one JSON object whose columns are of different lengths"),
            ({"text": ["x", "y"], "label": "a"}, "is one JSON object whose columns are of different lengths"),
        ],
    )
    @pytest.mark.parametrize("indent", [None, 1])
    def test_another_object_is_told_how_to_be_written(self, tmp_path: Path, value: Any, fault: str, indent: int | None) -> None:
        path = put(tmp_path / "a.json", json.dumps(value, indent=indent))
        assert message(path) == f"{path}: {fault}; {RECORDS}"

    def test_objects_over_several_lines_are_told_how_to_be_written(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.json", "\n".join(json.dumps(row, indent=2) for row in ROWS))
        assert message(path) == f"{path}, row 5: not valid JSON: Extra data; {RECORDS}"

    @pytest.mark.parametrize("content", ['{"text": {"0": ' + "[" * 99999, '{"text": [' + "1" * 5000 + "]}"])
    def test_what_cannot_be_parsed_is_one_line(self, tmp_path: Path, content: str) -> None:
        assert "JSON that cannot be read" in message(put(tmp_path / "a.json", content))


@pytest.mark.parametrize("orient", ["records", "columns", "split", "index", "table", "values"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_what_pandas_writes_is_read_or_told_apart(tmp_path: Path, name: str, indent: int | None, orient: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    path = put(tmp_path / name, pandas.DataFrame(ROWS).to_json(orient=orient, indent=indent))
    if orient in {"records", "columns"}:
        assert records(path) == NUMBERED
    elif orient == "values":
        assert "row 1: not a JSON object but a list" in refusal(path)
    else:
        assert refusal(path).endswith(RECORDS)


class TestRepeatedKeys:
    def test_no_value_is_lost(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", '{"text":"x","n":1,"n":2,"n.2":3,"m":{"k":1,"k":2}}\n{"text":"y","n":4}\n')
        assert [columns for _, columns, _ in rows(path)] == [
            {"text": "x", "n": 1, "n.2": 2, "n.2.2": 3, "m": {"k": 1, "k.2": 2}},
            {"text": "y", "n": 4, "n.2": MISSING, "n.2.2": MISSING, "m": MISSING},
        ]
        array = put(tmp_path / "a.json", '[{"text":"x","n":1,"n":2}]')
        assert rows(array)[0][1] == {"text": "x", "n": 1, "n.2": 2}

    def test_a_column_that_is_wanted_stands_once(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.jsonl", '{"text":"x","text":"y"}\n{"text":"z"}\n')
        assert errors(path) == [f"{path}, row 1: the key 'text' stands twice in it", None]

    def test_columns_stand_once(self, tmp_path: Path) -> None:
        path = put(tmp_path / "a.json", '{"text":["x"],"text":["y"]}')
        assert message(path) == f"{path}: the key 'text' stands twice in it; {RECORDS}"

    def test_they_are_known(self) -> None:
        assert repeated_key(parse_json('{"a": 1, "b": 2, "a": 3}')) == "a"
        assert repeated_key(parse_json('{"a": 1}')) is None


def test_standard_input_is_lines_or_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (LINES, json.dumps(ROWS), json.dumps({"tags": ["a"], "text": "x"}) + "\n" + LINES.partition("\n")[2]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        assert texts("-", input_format="jsonl") == ["x", "y", "z"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({"text": st.text()}, optional={"n": VALUES}), min_size=1, max_size=5), st.booleans())
def test_every_layout_gives_the_same_rows(tmp_path: Path, written: list[dict[str, Any]], ascii_: bool) -> None:
    ascii_ = ascii_ or any("\ud800" <= char <= "\udfff" for char in json.dumps(written, ensure_ascii=False))
    lines = "\n".join(json.dumps(row, ensure_ascii=ascii_) for row in written)
    array = json.dumps(written, ensure_ascii=ascii_, indent=1)
    columns = {name: [row.get(name) for row in written] for name in ("text", "n")}
    expected = [{"text": row["text"], "n": row.get("n", MISSING)} for row in written]
    for name, content in (("a.jsonl", lines), ("a.json", array)):
        assert [{"n": MISSING} | row for _, row in records(tmp_path / name, content.encode())] == expected
    whole = [row for _, row in records(tmp_path / "c.json", json.dumps(columns, ensure_ascii=ascii_).encode())]
    assert whole == [{"text": row["text"], "n": row.get("n")} for row in written]


def test_one_object_of_all_rows_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.data.json_rows._MOST_TOGETHER", 2_000_000)
    fits, bomb = (json.dumps({"text": ["x"] * rows}) for rows in (300_000, 600_000))
    assert len(texts(put(tmp_path / "a.json", fits))) == 300_000
    found = message(put(tmp_path / "b.json.gz", gzip.compress(bomb.encode())))
    assert "b.json.gz: is one JSON object of more than 2,000,000 bytes; write one object a row" in found


def test_a_byte_order_mark_where_files_were_joined(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "x"}\n\xef\xbb\xbf{"text": "y"}\n\xef\xbb\xbf?\n')
    assert [(text, error is None) for text, _, error in rows(path)] == [("x", True), ("y", True), ("", False)]
