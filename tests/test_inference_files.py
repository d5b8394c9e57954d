import csv
import datetime
import decimal
import gzip
import io
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import parquet

from textcls import storage
from textcls.data.labels import Label
from textcls.errors import DataError, InputError
from textcls.inference.answers import Summary
from textcls.inference.files import classify_files

NOT_UTF8 = (
    "byte 0xff is not UTF-8; name the file's encoding in data.encoding (--encoding), such as cp1252, "
    "or, but for classify, set data.encoding_errors to replace"
)


@dataclass
class Answer:
    probabilities: NDArray[np.float32]
    empty: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class ByLength:
    """Gives the class `length modulo classes` 0.75 and the next 0.25; texts over nine characters count as truncated."""

    thresholds: NDArray[np.float32] | None = None

    def __init__(self, *labels: Label) -> None:
        self.labels = labels or ("even", "odd")
        self.seen: list[list[str]] = []

    def encode(self, texts: Sequence[str], /) -> list[str]:
        self.seen.append(list(texts))
        return list(texts)

    def score(self, texts: list[str], /) -> Answer:
        lengths = np.array(list(map(len, texts)), int)
        probabilities = np.zeros((len(texts), len(self.labels)), np.float32)
        rows = np.arange(len(texts))
        probabilities[rows, (lengths + 1) % len(self.labels)] = 0.25
        probabilities[rows, lengths % len(self.labels)] = 0.75
        return Answer(probabilities, lengths == 0, lengths > 9)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def classify(*inputs: Path, predictor: ByLength | None = None, **options: Any) -> tuple[list[dict[str, Any]], Summary]:
    """Classify to JSON lines on a stream."""
    stream = io.StringIO()
    summary = classify_files(predictor or ByLength(), inputs, stream=stream, **options)
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]], summary


def message(inputs: Sequence[str | Path], *arguments: Any, **options: Any) -> str:
    predictor = ByLength()
    with pytest.raises(InputError) as caught:
        classify_files(predictor, inputs, *arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_back(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True))


def test_the_input_comes_back_with_labels_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n007,one\n8,"t\nwo!"\n')
    rows, summary = classify(path)
    assert rows == [
        {"id": "007", "text": "one", "label": "odd", "confidence": 0.75},
        {"id": "8", "text": "t\nwo!", "label": "odd", "confidence": 0.75},
    ]
    assert (summary.rows, summary.counts, summary.errors, summary.notes) == (2, {"even": 0, "odd": 2}, 0, ())


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_models_with_many_labels_get_smaller_blocks_and_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    path = write(tmp_path / "a.csv", "text\n" + "".join(f"{'x' * (row % 13)}\n" for row in range(100)))
    contents = []
    for values in (1 << 23, 230, 1):
        monkeypatch.setattr(storage, "_MOST_WORKED_ON", values)
        predictor, output = ByLength(*range(10)), tmp_path / f"{values}.{ending}"
        classify_files(predictor, [path], output, top_k=3, all_scores=True)
        assert max(map(len, predictor.seen)) == min(100, max(1, values // 10))
        contents.append(output.read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_files_and_lines_are_named(tmp_path: Path) -> None:
    write(tmp_path / "x/a.txt", "a\nbb\n")
    assert classify(tmp_path / "x")[0] == [{"file": "a.txt", "label": "odd", "confidence": 0.75}]
    assert classify(tmp_path / "x", lines=True)[0] == [
        {"file": "a.txt", "line": 1, "label": "odd", "confidence": 0.75},
        {"file": "a.txt", "line": 2, "label": "even", "confidence": 0.75},
    ]


def test_more_labels_and_all_scores(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}')
    [row], _ = classify(path, predictor=ByLength("x", "y", "z"), top_k=2, all_scores=True)
    assert list(row.items()) == [
        ("text", "a"),
        *[("label", "y"), ("confidence", 0.75), ("label_2", "z"), ("confidence_2", 0.25)],
        *[("score:x", 0.0), ("score:y", 0.75), ("score:z", 0.25)],
    ]
    [row], _ = classify(path, top_k=9)
    assert [name for name in row if name.startswith("label")] == ["label", "label_2"]
    assert "at least 1" in message([path], top_k=0)


def test_empty_and_truncated_texts_are_noted_and_counted(tmp_path: Path) -> None:
    rows, summary = classify(write(tmp_path / "a.jsonl", '{"text": ""}\n{"text": "0123456789"}\n{"text": "a"}'))
    assert [row.get("note") for row in rows] == ["empty", "truncated", None]
    assert [row["label"] for row in rows] == ["even", "even", "odd"]
    assert (summary.empty, summary.truncated, summary.errors) == (1, 1, 0)


def test_a_row_that_cannot_be_read_keeps_its_place_without_an_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"id,text\n1,a\n2,\xff\n3,b\n")
    rows, summary = classify(path, all_scores=True)
    assert rows[1] == {
        **{"id": "2", "text": "\ufffd", "label": None, "confidence": None, "score:even": None, "score:odd": None},
        "error": f"{path}, row 3: {NOT_UTF8}",
    }
    assert [row["label"] for row in rows] == ["odd", None, "odd"]
    assert (summary.rows, summary.errors, summary.empty, summary.counts) == (3, 1, 0, {"even": 0, "odd": 2})


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_tables_always_have_a_note_and_an_error(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"other": 1}\n')
    classify_files(ByLength(), [path], tmp_path / f"o.{ending}")
    rows = read_back(tmp_path / f"o.{ending}")
    assert [list(row) for row in rows] == [["text", "other", "label", "confidence", "note", "error"]] * 2
    assert rows[1]["error"] == f"{path}, row 2: there is no 'text'"
    assert rows[1]["label"] in ("", None)


def test_an_input_column_with_a_name_of_ours_is_renamed_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "label,input_label,text\nx,y,a\n")
    rows, summary = classify(path)
    assert rows == [{"input_input_label": "x", "input_label": "y", "text": "a", "label": "odd", "confidence": 0.75}]
    assert summary.notes == ("the input's column label is named input_input_label in the output",)


def test_a_name_given_away_in_an_earlier_block_is_not_taken_twice(tmp_path: Path) -> None:
    one = write(tmp_path / "1.jsonl", '{"text": "a", "label": 1}')
    two = write(tmp_path / "2.jsonl", '{"text": "a", "label": 2, "input_label": 3}')
    assert classify(one, two)[0][1]["input_label"] == 2
    assert classify(one, two)[0][1]["input_input_label"] == 3


def test_labels_keep_their_type_where_all_have_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}')
    assert classify(path, predictor=ByLength(0, 1))[0][0]["label"] == 1
    assert classify(path, predictor=ByLength(False, True))[0][0]["label"] is True
    assert classify(path, predictor=ByLength("0", 1))[0][0]["label"] == "1"
    classify_files(ByLength(0, 1), [path], tmp_path / "o.parquet")
    assert parquet.read_schema(tmp_path / "o.parquet").field("label").type == pa.int64()
    classify_files(ByLength(False, True), [path], tmp_path / "o.csv")
    assert read_back(tmp_path / "o.csv")[0]["label"] == "true"


def test_unsure_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"text\na\n\xff\n")
    rows, summary = classify(path, predictor=ByLength(0, 1), min_confidence=0.8, unsure_label="?", top_k=2)
    assert [(row["label"], row["confidence"], row["label_2"]) for row in rows] == [("?", 0.75, "0"), (None, None, None)]
    assert (summary.unsure, summary.errors, summary.counts) == (1, 1, {"0": 0, "1": 0})
    rows, summary = classify(path, predictor=ByLength("x", "y"), min_confidence=0.75)
    assert (rows[0]["label"], summary.unsure) == ("y", 0)
    classify_files(ByLength(0, 1), [path], tmp_path / "o.parquet", min_confidence=0.8)
    assert parquet.read_table(tmp_path / "o.parquet").column("label").to_pylist() == ["unsure", None]
    assert "above 0 and at most 1" in message([path], min_confidence=1.5)
    assert "is a label of the model" in message([path], min_confidence=0.5, unsure_label="even")
    many = ByLength()
    many.thresholds = np.array([0.5, 0.5], np.float32)
    with pytest.raises(InputError, match="a threshold for each label"):
        classify_files(many, [path], min_confidence=0.5)


def test_strict_stops_at_the_first_row_and_keeps_the_old_output(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": [1]}\n{}\n')
    there = write(tmp_path / "o.jsonl", "old")
    assert message([path], there, strict=True, force=True) == f"{path}, row 2: 'text' is not text but a list"
    assert there.read_text() == "old"
    assert names_in(tmp_path) == ["a.jsonl", "o.jsonl"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "jsonl.gz"])
def test_rejected_rows_are_also_written_apart(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / "a.csv", b"id,label,text\n1,x,a\n2,y,\xff\n3,z,b\n")
    classify(path, rejects=tmp_path / f"r.{ending}")
    if ending.endswith("gz"):
        (tmp_path / "r.jsonl").write_bytes(gzip.decompress((tmp_path / f"r.{ending}").read_bytes()))
    [row] = read_back(tmp_path / f"r.{ending.removesuffix('.gz')}")
    assert row.pop("raw", "") == ""  # the row could be taken apart
    assert row == {"id": "2", "input_label": "y", "text": "\ufffd", "error": f"{path}, row 3: {NOT_UTF8}"}


def test_rejected_rows_of_parquet(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["a", None], "n": [1, 2]}), tmp_path / "a.parquet")
    classify(tmp_path / "a.parquet", rejects=tmp_path / "r.jsonl")
    assert [(row["text"], row["n"]) for row in read_back(tmp_path / "r.jsonl")] == [(None, 2)]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_rejected_lines_that_cannot_be_parsed_are_kept(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": [], "raw": "own"}\n{"text": "a", \n[7]\n{"text": "b"}\n')
    rows, _ = classify(path, rejects=tmp_path / f"r.{ending}")
    assert [row.get("raw") for row in rows] == ["own", None, None, None]
    assert [row["raw"] for row in read_back(tmp_path / f"r.{ending}")] == ["own", '{"text": "a", ', "[7]"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_rejected_rows_of_csv_that_cannot_be_parsed_keep_their_lines(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / "a.csv", b'text,n\r\n"a\r\nb",1,2\r\nc,3\r\n"d"e,4\r\nf\xff\r\n')
    _, summary = classify(path, rejects=tmp_path / f"r.{ending}")
    assert summary.errors == 3
    found = read_back(tmp_path / f"r.{ending}")
    assert [row["raw"] for row in found] == ['"a\r\nb",1,2', '"d"e,4', "f\ufffd"]
    assert [row["text"] for row in found] == ["a\r\nb", "", "f\ufffd"]  # as far as they could be read


def test_places_for_rejected_rows_that_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\na\n")
    there = write(tmp_path / "there.csv", "kept")
    assert "exists already" in message([path], rejects=there)
    assert "use .jsonl, .csv or .tsv" in message([path], rejects=tmp_path / "r.parquet")
    assert "is the output itself" in message([path], tmp_path / "o.csv", rejects=tmp_path / "o.csv")
    assert names_in(tmp_path) == ["a.csv", "there.csv"]


def test_zstandard(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a\n" * 20_000)
    classify_files(ByLength(), [path], tmp_path / "o.jsonl", lines=True)
    classify_files(ByLength(), [path], tmp_path / "o.jsonl.zst", lines=True)
    with pa.input_stream(str(tmp_path / "o.jsonl.zst"), compression="zstd") as stream:
        assert stream.read() == (tmp_path / "o.jsonl").read_bytes()
    summary = classify_files(ByLength(), [tmp_path / "o.jsonl.zst"], tmp_path / "p.csv", text="label")
    assert summary.rows == 20_000


def test_what_is_read_meanwhile_changes_nothing(tmp_path: Path) -> None:
    texts = [f"{'x' * (number % 9)}{number}" for number in range(30_000)]
    path = write(tmp_path / "a.txt", "\n".join(texts))
    rows, _ = classify(path, lines=True)
    assert [(row["line"], row["label"]) for row in rows] == [
        (line, "odd" if len(text) % 2 else "even") for line, text in enumerate(texts, start=1)
    ]


def test_an_error_while_scoring_is_raised(tmp_path: Path) -> None:
    class Broken(ByLength):
        def score(self, texts: list[str], /) -> Answer:
            raise ZeroDivisionError

    path = write(tmp_path / "a.txt", "a\n" * 30_000)
    with pytest.raises(ZeroDivisionError):
        classify_files(Broken(), [path], tmp_path / "o.csv", lines=True)
    assert names_in(tmp_path) == ["a.txt"]


def test_the_predictor_is_called_once_a_block_and_progress_follows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a\n" * 10_000)
    predictor = ByLength()
    steps: list[tuple[int, float | None]] = []
    classify(path, predictor=predictor, lines=True, progress=lambda rows, share: steps.append((rows, share)))
    assert [len(texts) for texts in predictor.seen] == [8192, 10_000 - 8192]
    assert [rows for rows, _ in steps] == [8192, 10_000]
    assert steps[-1][1] == 1.0


def test_columns_of_several_files_stand_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", "text,n\na,1\n")
    write(tmp_path / "in/b.jsonl", '{"text": "b", "deep": {"x": [null]}}\n')
    write(tmp_path / "in/c.txt", "c")
    classify_files(ByLength(), [tmp_path / "in"], tmp_path / "o.csv")
    assert [list(row.values())[:5] for row in read_back(tmp_path / "o.csv")] == [
        ["a", "1", "", "", "odd"],
        ["b", "", '{"x": [null]}', "", "odd"],
        ["", "", "", "c.txt", "odd"],
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "text": pa.array(["a", "bb", None], pa.large_string()),
            "small": pa.array([1, None, 3], pa.int8()),
            "list": pa.array([[1], [], None], pa.list_(pa.int32())),
            "struct": pa.array([{"x": 1.5}, None, {"x": None}]),
            "time": pa.array([moment, None, moment], pa.timestamp("ns", "UTC")),
            "kind": pa.array(["u", "v", "u"]).dictionary_encode(),
            "amount": pa.array([decimal.Decimal("1.50"), None, None], pa.decimal128(9, 2)),
            "raw": pa.array([b"\xff", b"", None]),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    classify_files(ByLength(), [tmp_path / "a.parquet"], tmp_path / "o.parquet")
    written = parquet.read_table(tmp_path / "o.parquet")
    assert written.select(table.column_names) == table
    assert written.column("label").to_pylist() == ["odd", "even", None]
    rows, _ = classify(tmp_path / "a.parquet")
    assert rows[0]["time"] == "2024-01-02T00:00:00.000000000Z"
    assert (rows[0]["raw"], rows[0]["list"], rows[0]["struct"]) == ("/w==", [1], {"x": 1.5})


def test_dictionary_columns_of_many_blocks_stay_dictionaries(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"] * 20_000, "kind": pa.array([f"k{i % 7}" for i in range(20_000)]).dictionary_encode()})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=3000)
    classify_files(ByLength(), [tmp_path / "a.parquet"], tmp_path / "o.parquet")
    written = parquet.read_table(tmp_path / "o.parquet")
    assert pa.types.is_dictionary(written.column("kind").type)
    assert written.column("kind").to_pylist() == table.column("kind").to_pylist()


def test_json_values_in_parquet(tmp_path: Path) -> None:
    lines = [
        {"text": "a", "int": 1, "mixed": 1, "number": 1, "list": [], "object": {"a": 1}, "big": 2**70, "null": None},
        {"text": "\ud800", "int": None, "mixed": "x", "number": 0.5, "list": [1, 2], "object": None, "big": 1, "null": None},
    ]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    classify_files(ByLength(), [path], tmp_path / "o.parquet")
    assert [list(row.values())[:8] for row in read_back(tmp_path / "o.parquet")] == [
        ["a", 1, "1", 1.0, [], '{"a": 1}', str(2**70), None],
        ["\ufffd", None, "x", 0.5, [1, 2], None, "1", None],
    ]


@pytest.mark.parametrize("number", [2**60 + 1, 2**70, -(2**70)])
def test_an_integer_that_a_column_of_fractions_cannot_hold_makes_it_text(tmp_path: Path, number: int) -> None:
    path = write(tmp_path / "a.jsonl", "".join(json.dumps({"text": "a", "n": n}) + "\n" for n in (0.5, number, None)))
    classify_files(ByLength(), [path], tmp_path / "o.parquet")
    assert [row["n"] for row in read_back(tmp_path / "o.parquet")] == ["0.5", str(number), None]


def test_so_it_does_in_another_file(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", json.dumps({"text": "a", "n": n})) for n in (0.5, 2**60 + 1)]
    classify_files(ByLength(), paths, tmp_path / "o.parquet")
    assert [row["n"] for row in read_back(tmp_path / "o.parquet")] == ["0.5", str(2**60 + 1)]


def test_a_value_that_a_column_cannot_hold_says_so(tmp_path: Path) -> None:
    for unit, value in (("us", 2**62), ("ns", 1)):
        table = pa.table({"text": ["a"], "at": pa.array([value], pa.timestamp(unit))})
        parquet.write_table(table, tmp_path / f"{unit}.parquet")
    paths = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"cannot be kept in a Parquet column of type timestamp.*write \.jsonl"):
        classify_files(ByLength(), paths, tmp_path / "o.parquet")
    assert sorted(tmp_path.iterdir()) == paths


def test_lone_surrogates_come_back_in_json(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", r'{"text": "ü\ud800"}')
    predictor = ByLength()
    classify_files(predictor, [path], tmp_path / "o.jsonl")
    assert r'"ü\ud800"' in (tmp_path / "o.jsonl").read_text(encoding="utf-8")
    assert predictor.seen == [["ü\ufffd"]]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_rows_in_which_a_format_cannot_write_lone_surrogates_are_counted(tmp_path: Path, ending: str) -> None:
    values = ["\ud800", "fine", "\U0001f600", "\udfff and \ud800"]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps({"text": value}) + "\n" for value in values))
    summary = classify_files(ByLength(), [path], tmp_path / f"o.{ending}")
    found = [row["text"] for row in read_back(tmp_path / f"o.{ending}")]
    if ending == "jsonl":
        assert (summary.replaced, found) == (0, values)
    else:
        assert (summary.replaced, found) == (2, ["\ufffd", "fine", "\U0001f600", "\ufffd and \ufffd"])


def test_compressed_output_does_not_depend_on_time_and_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a")
    classify_files(ByLength(), [path], tmp_path / "o.csv.gz")
    classify_files(ByLength(), [path], tmp_path / "p.csv.gz")
    assert (tmp_path / "o.csv.gz").read_bytes() == (tmp_path / "p.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "o.csv.gz").read_bytes()).decode().startswith("file,label,confidence,note,error\n")


def test_a_stream_gets_a_table_where_it_is_a_terminal_and_else_json(tmp_path: Path, capfdbinary: Any) -> None:
    path = write(tmp_path / "a.csv", "text\na\n")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    classify_files(ByLength(), [path], stream=terminal)
    assert terminal.getvalue() == "label  confidence  text\nodd    0.750       a\n"
    steering = write(tmp_path / "b.csv", "text\n\x1b[1m\n")
    for format, shown in (("csv", r"\x1b[1m,even"), ("jsonl", r'"text": "\u001b[1m"')):
        terminal = Terminal()
        classify_files(ByLength(), [steering], stream=terminal, format=format)
        assert shown in terminal.getvalue()
    with os.fdopen(os.dup(1), "w") as stream:
        stream.write("before\n")
        classify_files(ByLength(), [path], stream=stream)
    assert capfdbinary.readouterr().out == b'before\n{"text": "a", "label": "odd", "confidence": 0.75}\n'


def test_standard_input_is_answered_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    questions, ask = os.pipe()
    hear, answers = os.pipe()
    with os.fdopen(questions, "rb") as binary, os.fdopen(hear, "rb", buffering=0) as reader:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(binary))

        def after_a_block(rows: int, share: float | None) -> None:
            assert share is None
            heard.append(reader.read(999))  # would wait for ever if the block was not flushed
            if rows == 1:
                os.write(ask, b"bb\n")
                os.close(ask)

        heard: list[bytes] = []
        os.write(ask, b"a\n")
        with os.fdopen(answers, "w") as stream:
            classify_files(ByLength(), ["-"], stream=stream, progress=after_a_block)
    assert [json.loads(line) for line in heard] == [
        {"line": 1, "label": "odd", "confidence": 0.75},
        {"line": 2, "label": "even", "confidence": 0.75},
    ]


@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_a_growing_file_is_answered_line_by_line(tmp_path: Path, kind: str) -> None:
    lines = [b"a\n", b"bb\n"] if kind == "txt" else [b'{"text": "a"}\n', b'{"text": "bb"}\n']
    path = write(tmp_path / f"a.{kind}", lines[0])
    hear, answers = os.pipe()
    waits = []
    with (
        os.fdopen(hear, "rb", buffering=0) as reader,
        path.open("ab", buffering=0) as file,
        ThreadPoolExecutor(1) as pool,
        os.fdopen(answers, "w") as stream,
    ):
        running = pool.submit(classify_files, ByLength(), [path], stream=stream, follow=True)
        assert json.loads(reader.read(999))["label"] == "odd"
        for _ in range(5):
            file.write(lines[1][:-1])  # no answer before the line is whole
            time.sleep(0.03)
            started = time.perf_counter()
            file.write(lines[1][-1:])
            assert json.loads(reader.read(999))["label"] == "even"
            waits.append(time.perf_counter() - started)
        reader.close()
        file.write(lines[0])
        with pytest.raises(BrokenPipeError):
            running.result(10)
        with suppress(BrokenPipeError):
            stream.close()
    assert min(waits) < 0.05


def test_a_growing_file_that_is_replaced_is_answered_from_its_start(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n')
    hear, answers = os.pipe()
    with os.fdopen(hear, "rb", buffering=0) as reader, ThreadPoolExecutor(1) as pool, os.fdopen(answers, "w") as stream:
        running = pool.submit(classify_files, ByLength(), [path], stream=stream, follow=True)
        assert json.loads(reader.read(999))["text"] == "a"
        write(tmp_path / "b.jsonl", '{"text": "bb"}\n').rename(path)
        assert json.loads(reader.read(999))["text"] == "bb"
        os.truncate(path, 0)
        time.sleep(0.05)
        path.write_text('{"text": "ccc"}\n')
        assert json.loads(reader.read(999))["text"] == "ccc"
        reader.close()
        path.write_text('{"text": "d"}\n{"text": "d"}\n')
        with pytest.raises(BrokenPipeError):
            running.result(10)
        with suppress(BrokenPipeError):
            stream.close()


def test_what_cannot_be_followed(tmp_path: Path) -> None:
    table, lines = write(tmp_path / "a.csv", "text\n"), write(tmp_path / "a.txt", "a")
    for inputs in ([table], [lines, lines], [write(tmp_path / "a.txt.gz", gzip.compress(b"a", mtime=0))]):
        assert "only one growing file" in message(inputs, follow=True)
    assert "line by line" in message([lines], tmp_path / "o.jsonl", follow=True)
    assert "line by line" in message([lines], format="csv", follow=True)


def test_a_reader_that_went_away_is_a_broken_pipe(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a\n" * 10)
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    with pytest.raises(BrokenPipeError):
        classify_files(ByLength(), [path], stream=stream, lines=True)
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_outputs_that_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "in/a.csv", "text\na\n")
    there = write(tmp_path / "there.csv", "kept")
    assert message([path], there) == f"{there}: exists already; name another file, or replace it with --force"
    assert message([path], path, force=True) == f"{path}: is the input itself; name another file"
    os.link(path, tmp_path / "link.csv")
    assert "is the input itself" in message([path], tmp_path / "link.csv", force=True)
    assert "lies inside the input folder" in message([tmp_path / "in"], tmp_path / "in/o.csv")
    assert "does not exist; make it first" in message([path], tmp_path / "no/o.csv")
    assert "is a folder" in message([path], tmp_path / "in", format="csv")
    assert "the ending names no format" in message([path], tmp_path / "o.txt")
    assert "only .gz and .zst can be written" in message([path], tmp_path / "o.csv.bz2")
    assert "only .gz and .zst can be written" in message([path], tmp_path / "o.parquet.gz")
    assert "is no output format" in message([path], tmp_path / "o.csv", format="xml")
    assert "Parquet is written to a file alone" in message([path], format="parquet")
    assert there.read_text() == "kept"
    assert names_in(tmp_path) == ["in", "link.csv", "there.csv"]


def test_force_replaces_and_the_new_file_can_be_read_by_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a")
    there = write(tmp_path / "o.txt", "old")
    classify_files(ByLength(), [path], there, format="csv", force=True)
    assert there.read_text().startswith("file,label")
    assert stat.S_IMODE(there.stat().st_mode) == stat.S_IMODE(path.stat().st_mode)


def test_a_run_that_fails_leaves_nothing_and_the_old_output(tmp_path: Path) -> None:
    write(tmp_path / "in/a.txt", "a\n")
    write(tmp_path / "in/b.txt.gz", gzip.compress(os.urandom(999))[:500])
    there = write(tmp_path / "o.jsonl", "old")
    assert "cut short" in message([tmp_path / "in"], there, lines=True, force=True)
    assert there.read_text() == "old"
    assert names_in(tmp_path) == ["in", "o.jsonl"]


def test_an_input_that_vanishes_or_is_cut_meanwhile_is_told_as_itself(tmp_path: Path) -> None:
    first = write(tmp_path / "in/a.txt", ("a" * 999 + "\n") * 6000)
    second = write(tmp_path / "in/b.csv", "text\na\n")
    there = write(tmp_path / "o.jsonl", "old")
    options: dict[str, Any] = {"lines": True, "force": True}
    fault = message([first, second], there, progress=lambda *_: second.unlink(missing_ok=True), **options)
    assert fault == f"{second}: cannot be read: No such file or directory"
    fault = message([first], there, progress=lambda *_: os.truncate(first, 2_100_000), **options)
    assert fault.startswith(f"{first}: was cut short while it was read: 6,000,000 bytes were there at the start")
    assert there.read_text() == "old"
    assert names_in(tmp_path) == ["in", "o.jsonl"]


def test_inputs_without_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\n")
    for ending in ("jsonl", "csv", "parquet"):
        assert classify_files(ByLength(), [path], tmp_path / f"o.{ending}").rows == 0
        assert read_back(tmp_path / f"o.{ending}") == []
    assert (tmp_path / "o.csv").read_text() == "text,label,confidence,note,error\n"


any_text = st.text(st.characters(codec="utf-8"), max_size=12)


def store(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write rows of columns `id` and `text`, not by way of the code under test."""
    if path.suffix == ".parquet":
        schema = pa.schema([("id", pa.string()), ("text", pa.string())])
        parquet.write_table(pa.Table.from_pylist([{"id": i, "text": t} for i, t in rows], schema), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            separator = "\t" if path.suffix == ".tsv" else ","
            csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("id", "text"), *rows])


@pytest.mark.parametrize("target", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("source", ["csv", "tsv", "jsonl", "parquet"])
@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(any_text, any_text)))
def test_rows_out_are_rows_in(source: str, target: str, rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder, f"a.{source}"), Path(folder, f"o.{target}")
        store(there, rows)
        summary = classify_files(ByLength(), [there], back)
        found = read_back(back)
    assert summary.rows == len(rows)
    assert [(row["id"], row["text"], row["label"]) for row in found] == [
        (id_, text, "odd" if len(text) % 2 else "even") for id_, text in rows
    ]
