"""Files behind URIs; `file://` stands for the stores, which Arrow reads through the same calls."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from textcls.data.blocks import Reading
from textcls.data.inputs import Inputs, find_inputs
from textcls.data.remote import RemoteFile, list_remote
from textcls.errors import DataError, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of every format, one deeper and one of another kind."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.csv").write_text('id,text\n1,"two\nlines"\n2,\u00fc\n', encoding="utf-8")
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x", "n": 1}\nno JSON\n'))
    (tmp_path / "in" / "c.txt").write_text("one\ntext")
    parquet.write_table(pa.table({"text": ["p", None], "n": [1, 2]}), tmp_path / "in" / "deep" / "d.parquet")
    (tmp_path / "in" / "e.doc").write_text("?")
    return tmp_path / "in"


def rows(found: Inputs) -> list[tuple[str, str | None]]:
    return [(text, block.error(row)) for block in found.blocks() for row, text in enumerate(block.texts)]


def test_a_folder_behind_a_uri_has_the_rows_of_the_folder(folder: Path) -> None:
    local, remote = find_inputs([folder]), find_inputs([folder.as_uri()])
    assert rows(remote) == rows(local)
    assert [source.name for source in remote.sources] == ["a.csv", "b.jsonl.gz", "c.txt", "deep/d.parquet"]
    assert remote.total_bytes == local.total_bytes
    assert remote.notes == (f"{folder.as_uri()}: left out files of other kinds: .doc (1)",)


def test_hidden_folders_behind_a_uri_are_left_out_as_on_a_disk(folder: Path) -> None:
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.csv").write_text("text\nx\n")
    local, remote = find_inputs([folder]), find_inputs([folder.as_uri()])
    assert [source.name for source in remote.sources] == [source.name for source in local.sources]
    assert f"{folder.as_uri()}: left out hidden files: .csv (1)" in remote.notes


def test_patterns_match_name_by_name(folder: Path) -> None:
    def found(pattern: str) -> list[str]:
        return [source.name for source in find_inputs([f"{folder.parent.as_uri()}/{pattern}"]).sources]

    assert found("in/*.csv") == ["a.csv"]
    assert found("i*/[a-b].*") == ["in/a.csv", "in/b.jsonl.gz"]
    assert found("*/*/*.parquet") == ["in/deep/d.parquet"]
    assert found("**/*.parquet") == ["in/deep/d.parquet"]
    assert found("in/**/*.[cp]*") == ["a.csv", "deep/d.parquet"]
    assert found("i*/**") == ["in/a.csv", "in/b.jsonl.gz", "in/c.txt", "in/deep/d.parquet"]


NAMES = [
    "x.csv",
    "x.csv#old.csv",
    "x.csv?v=1.csv",
    "a b.csv",
    "a%20b.csv",
    "\u00e9.csv",
    "100%.csv",
    "q?m #1/s p.csv",
    "+&=;.csv",
]


def test_every_name_behind_a_uri_is_its_own_file(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(f"text\n{name}\n", encoding="utf-8")
    found = find_inputs([(tmp_path / "in").as_uri()])
    assert [(source.name, text) for source, (text, _) in zip(found.sources, rows(found), strict=True)] == [
        (name, name) for name in sorted(NAMES, key=lambda name: name.split("/"))
    ]
    assert rows(find_inputs([str(source.path) for source in found.sources])) == rows(found)
    assert rows(find_inputs([f"{tmp_path.as_uri()}/in/q%3Fm%20%231/s%20*.csv"])) == [("q?m #1/s p.csv", None)]


def test_what_stands_behind_a_hash_is_not_dropped(folder: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv#old: in a URI write # as %23"):
        find_inputs([f"{folder.as_uri()}/a.csv#old"])


def test_one_file_is_called_by_its_uri(folder: Path) -> None:
    uri = f"{folder.as_uri()}/b.jsonl.gz"
    found = find_inputs([uri])
    assert [source.name for source in found.sources] == [uri]
    assert rows(found) == [("x", None), ("", f"{uri}, row 2: not valid JSON: Expecting value (column 1)")]


def test_what_follows_a_question_mark_stays_with_every_file() -> None:
    file = RemoteFile("s3://bucket/a.csv?endpoint_override=localhost:9000", 3)
    assert (file.name, file.suffix, file.stat().st_size) == ("a.csv", ".csv", 3)


@pytest.mark.parametrize("name", ["none.csv", "none/*.csv", "in/e.doc", "in/*.nothing"])
def test_what_is_not_there_is_one_line(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"there is no such file|only files that end in") as raised:
        find_inputs([f"{folder.parent.as_uri()}/{name}"])
    assert "\n" not in str(raised.value)


def test_a_store_that_arrow_does_not_know_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^nowhere://x/y\.csv: cannot be reached: ") as raised:
        find_inputs(["nowhere://x/y.csv"])
    assert "\n" not in str(raised.value)


def test_a_missing_column_and_a_damaged_file_name_the_uri(folder: Path) -> None:
    with pytest.raises(DataError, match=r"file://.*/a\.csv: there is no column 'body'"):
        find_inputs([f"{folder.as_uri()}/a.csv"], Reading(text=("body",)))
    (folder / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"file://.*/bad\.parquet: is not a Parquet file"):
        find_inputs([f"{folder.as_uri()}/bad.parquet"])
    (folder / "bad.csv.gz").write_bytes(gzip.compress(json.dumps({"a": 1}).encode() * 99)[:20])
    with pytest.raises(DataError, match=r"file://.*/bad\.csv\.gz: .*(cut short|damaged)"):
        find_inputs([f"{folder.as_uri()}/bad.csv.gz"])


def test_list_remote_gives_names_below_the_uri(folder: Path) -> None:
    found = {name: file.stat().st_size for file, name in list_remote(f"{folder.as_uri()}/")}
    assert set(found) == {"a.csv", "b.jsonl.gz", "c.txt", "deep/d.parquet", "e.doc"}
    assert found["c.txt"] == 8
    assert [name for _, name in list_remote(f"{folder.as_uri()}/a.csv")] == [""]
    assert list_remote(f"{folder.as_uri()}/nothing") == []
