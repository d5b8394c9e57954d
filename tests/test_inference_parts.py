"""A folder of part files is there as a whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from textcls.data.inputs import Inputs, find_inputs
from textcls.errors import DataError, InputError
from textcls.inference.parts import check_folder, part_folder, write_part

BLOCKS = [({"n": [1, 2]}, 2), ({"n": [3]}, 1)]


def places(tmp_path: Path) -> dict[str, str]:
    return {"path": str(tmp_path / "out"), "uri": (tmp_path / "out").as_uri()}


@pytest.fixture(params=["path", "uri"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return places(tmp_path)[request.param]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parts_are_there_when_all_are_written(output: str, tmp_path: Path) -> None:
    with part_folder(output) as folder:
        for name in ("part-1.jsonl", "part-1.jsonl", "stray.jsonl"):  # the same again replaces it
            write_part(folder.place, name, BLOCKS, None)
        folder.parts.add("part-1.jsonl")
        assert output.startswith("file:") or names(tmp_path) != ["out"]
    out = tmp_path / "out"
    assert [json.loads(line)["n"] for line in (out / "part-1.jsonl").read_text().splitlines()] == [1, 2, 3]
    if not output.startswith("file:"):
        assert (names(out), names(tmp_path)) == (["part-1.jsonl"], ["out"])
    else:
        assert "_SUCCESS" in names(out)


def test_parquet_has_the_types_it_is_given(output: str, tmp_path: Path) -> None:
    types = {"n": pa.float64(), "error": pa.string()}
    with part_folder(output) as folder:
        write_part(folder.place, "part.parquet", BLOCKS, types)
        folder.parts.add("part.parquet")
    table = parquet.read_table(tmp_path / "out" / "part.parquet")
    assert table.to_pydict() == {"n": [1.0, 2.0, 3.0], "error": [None] * 3}


def test_a_failure_leaves_no_part(output: str, tmp_path: Path) -> None:
    def fail() -> None:
        with part_folder(output) as folder:
            write_part(folder.place, "part.jsonl", BLOCKS, None)
            write_part(folder.place, "part.parquet", BLOCKS, {"n": pa.list_(pa.int64())})

    with pytest.raises(DataError, match="a value cannot be kept"):
        fail()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def paths(found: Inputs) -> list[Path]:
    return [source.path for source in found.sources if isinstance(source.path, Path)]


def test_an_output_that_exists_is_kept_or_replaced_whole(output: str, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x")
    found = find_inputs([tmp_path / "in.txt"])
    check_folder(output, paths(found), found, force=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-old.jsonl").write_text("old")
    with pytest.raises(InputError, match=r"out: exists already; .*--force"):
        check_folder(output, paths(found), found, force=False)
    check_folder(output, paths(found), found, force=True)
    with part_folder(output) as folder:
        write_part(folder.place, "new.jsonl", BLOCKS, None)
        folder.parts.add("new.jsonl")
    assert [name for name in names(tmp_path / "out") if name != "_SUCCESS"] == ["new.jsonl"]


def test_a_place_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    path, uri = find_inputs([tmp_path / "in"]), find_inputs([(tmp_path / "in").as_uri()])
    with pytest.raises(InputError, match="holds the input"):
        check_folder(tmp_path / "in", paths(path), path, force=True)
    with pytest.raises(InputError, match="holds the input"):
        check_folder((tmp_path / "in").as_uri(), paths(uri), uri, force=True)
    with pytest.raises(InputError, match="does not exist; make it first"):
        check_folder(tmp_path / "no" / "out", paths(path), path, force=False)
    with pytest.raises(InputError, match="is a file"):
        check_folder(tmp_path / "in" / "a.txt", paths(path), path, force=True)


def test_the_model_and_the_folders_that_are_read_are_spared(tmp_path: Path) -> None:
    for name in ("in", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("x")
    found = find_inputs([tmp_path / "in"])
    read = [tmp_path / "model", tmp_path / "in", *paths(found)]
    for output, said in (
        (".", "holds the input .*; name another folder"),
        ("in/out", "lies inside the input folder"),
        ("model", "itself"),
    ):
        with pytest.raises(InputError, match=said):
            check_folder(tmp_path / output, read, found, force=True)


def test_an_output_that_appeared_stays(tmp_path: Path) -> None:
    def write() -> None:
        with part_folder(tmp_path / "out", force=False) as folder:
            write_part(folder.place, "a.jsonl", BLOCKS, None)
            folder.parts.add("a.jsonl")
            (tmp_path / "out").write_text("mine")

    with pytest.raises(InputError, match=r"out: appeared .* is .*out-2$"):
        write()
    assert (tmp_path / "out").read_text() == "mine"
    assert names(tmp_path / "out-2") == ["a.jsonl"]


def test_parts_on_other_machines_are_found_out(tmp_path: Path) -> None:
    def write() -> None:
        with part_folder(tmp_path / "out") as folder:
            write_part(folder.place, "here.jsonl", BLOCKS, None)
            folder.parts |= {"here.jsonl", "there.jsonl"}

    with pytest.raises(InputError, match="1 of 2 part files were written on other machines"):
        write()
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["thesis.txt", "sub/part-1.jsonl", "part-1.csv"])
def test_force_deletes_nothing_but_part_files(name: str, output: str, tmp_path: Path) -> None:
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    for own in ("part-1.jsonl", "_SUCCESS"):
        (tmp_path / "out" / own).write_text("")
    (tmp_path / "a.txt").write_text("a")
    found = find_inputs([tmp_path / "a.txt"])
    file.write_text("mine")
    with pytest.raises(InputError, match=f"holds other files than part files, .*: {name.split('/')[0]}"):
        check_folder(output, paths(found), found, force=True)
    assert file.read_text() == "mine"
