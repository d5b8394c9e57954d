"""The cases in `cases/`, and those that no text editor shows: Parquet, and text in other encodings, made when they are asked for."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

CASES = Path(__file__).with_name("cases")
TEXTS = (
    "boring plot poor and silly dull film number 0",
    "wonderful music a joy to watch superb plot number 1",
    "boring plot awful music poor and silly number 2",
    "wonderful music a joy to watch great acting number 3",
    "a pain to watch bad acting awful music number 4",
    "great acting lovely film wonderful music number 5",
    "a pain to watch poor and silly bad acting number 6",
    "wonderful music lovely film a joy to watch number 7",
)
BAD_GOOD = ("bad", "good") * 4
_ROWS = tuple(zip(TEXTS, BAD_GOOD, strict=True))
_LISTS = [[0], [0, 1], [], [1]] * 2
_BYTES = [text.encode() for text in TEXTS]
_CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in _ROWS)
_TSV = 'text\tlabel\n"he said ""bye"""\tham\nüble Musik\tspam\n'


def place(name: str, folder: Path) -> Path:
    """Return where a case lies; one that is made lies in `folder`."""
    if name not in _MADE:
        return CASES / name
    _MADE[name](folder / name)
    return folder / name


def rows_of(name: str) -> tuple[list[str], list[str]]:
    """Return texts and labels of a case that is plain csv."""
    with (CASES / name).open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return [text for text, _ in rows], [label for _, label in rows]


def _names(column: str, *names: str) -> dict[str, Any]:
    """What `datasets` leaves in a file's metadata of a column whose numbers have names."""
    return {column: {"names": list(names), "_type": "ClassLabel"}}


def _lists(column: str, *names: str) -> dict[str, Any]:
    return {column: {"feature": _names(column, *names)[column], "_type": "List"}}


def _old_lists(column: str, *names: str) -> dict[str, Any]:
    return {column: [_names(column, *names)[column]]}


def _table(labels: Any, texts: Any = TEXTS, features: dict[str, Any] | None = None) -> Callable[[Path], object]:
    """Write a table whose column of labels is `labels` where the features say so, else `label`."""
    made = pa.table({"text": texts, "labels" if "labels" in (features or {}) else "label": labels})
    if features is not None:
        made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    return lambda path: parquet.write_table(made, path)


def _columns(names: list[str], *columns: Any) -> Callable[[Path], object]:
    return lambda path: parquet.write_table(pa.Table.from_arrays(list(map(pa.array, columns)), names=names), path)


def _text(text: str, encoding: str, mark: bytes = b"") -> Callable[[Path], object]:
    data = mark + text.encode(encoding)
    return lambda path: path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


_MADE: dict[str, Callable[[Path], object]] = {
    "03_onehot.parquet": _columns(["text", "labels"], TEXTS, [[1, 0, 0], [0, 1, 1]] * 4),
    "03_cats.parquet": _columns(["text", "labels"], TEXTS, [{"a": 1, "b": 0}, {"a": 1, "b": 1}] * 4),
    "04_quote_behind_a_megabyte.tsv": _text(
        "text\tlabel\n" + ("a joy to watch " * 150 + "\tgood\n") * 520 + '"Good\tbad\nWIN\tgood\nsee"\tbad\n', "utf-8"
    ),
    "06_classlabel_bad_good.parquet": _table([0, 1] * 4, features=_names("label", "bad", "good")),
    "06_minus1.parquet": _table([-1, 1, 0, 1] * 2, features=_names("label", "bad", "good")),
    "06_lists.parquet": _table(_LISTS, features=_lists("labels", "bad", "good")),
    "06_old_lists.parquet": _table(_LISTS, features=_old_lists("labels", "bad", "good")),
    "06_list_minus1.parquet": _table([[0], [1, -1]] * 4, features=_lists("labels", "bad", "good")),
    "06_stars.parquet": _table([0, 1, 2, 0] * 2, features=_names("label", "1", "2", "3")),
    "06_null.parquet": _table(pa.array([None, 1, 0, 1] * 2, pa.int8()), features=_names("label", "bad", "good")),
    "06_no_names.parquet": _table([-1, 0, 1, 1] * 2),
    "06_beyond.parquet": _table([0, 1, 2, 1] * 2, features=_names("label", "bad", "good")),
    "06_floats.parquet": _table([0.0, 1.0, None, 1.0] * 2, features=_names("label", "bad", "good")),
    "06_categorical.parquet": _table(pa.array(BAD_GOOD).dictionary_encode()),
    "09_two_notes.parquet": _columns(["text", "note", "label", "note"], TEXTS, range(8), BAD_GOOD, range(8, 16)),
    "10_utf16.csv": _text(_CSV, "utf-16"),
    "10_utf16_be.tsv": _text(_TSV, "utf-16-be", b"\xfe\xff"),
    "10_utf16.jsonl": _text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in _ROWS), "utf-16"),
    "10_utf16_fasttext.txt": _text("".join(f"__label__{label} {text}\n" for text, label in _ROWS), "utf-16"),
    "10_utf16_no_mark.txt": _text("the team won\nthe bank lost\n", "utf-16-le"),
    "10_semicolon_utf16.csv.gz": _text(_CSV.replace(",", ";"), "utf-16"),
    "10_gbk.csv": _text("text,label\n体育 好,a\n很 差,b\n", "gbk"),
    "12_list_first_and_long.jsonl": _text(
        json.dumps({"tags": ["x"], "text": "a joy to watch " * 80_000, "label": "good"})
        + '\n{"tags": ["y"], "text": "a pain to watch", "label": "bad"}\n',
        "utf-8",
    ),
    "13_columns.parquet": _columns(["text", "toxic", "insult"], TEXTS, [True, False] * 4, [1, 0, 0, 0] * 2),
    "16_binary_text.parquet": _table(BAD_GOOD, _BYTES),
    "16_large_binary.parquet": _table(BAD_GOOD, pa.array(_BYTES, pa.large_binary())),
    "16_binary_categories.parquet": _table([label.encode() for label in BAD_GOOD], pa.array(_BYTES).dictionary_encode()),
    "16_latin1.parquet": _table(["a", "b"], [b"caf\xe9", b"a joy to watch"]),
    "16_latin1_label.parquet": _table([b"caf\xe9", b"the"], ["dark", "green"]),
    "16_pictures.parquet": _table(["a", "b"], [{"bytes": b"\x89PNG", "path": "a.png"}] * 2),
    "16_numbers.parquet": _table(["a", "b"], [1, 2]),
    "17_floats.parquet": _table([number / 7 for number in range(30)], [f"text {number}" for number in range(30)]),
}
