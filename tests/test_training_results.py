"""The results of a run spare what appeared in its folder, and replace what is the run's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from textcls.files import AppearedError, write_text
from textcls.training.results import Results


def put(results: Results, text: str) -> None:
    with results.taking("a.json") as (path, force):
        write_text(path, text, force=force)


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_own_results_give_way(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("of the run that goes on")
    results = Results(tmp_path, ["a.json"], force=False)
    for text in ("first", "second"):
        put(results, text)
        assert texts(tmp_path) == {"a.json": text}
    results.check()


@pytest.mark.parametrize("before", [False, True])
def test_what_appears_stays_and_results_go_on_beside_it(tmp_path: Path, before: bool) -> None:
    if before:
        (tmp_path / "a.json").write_text("of the run that goes on")
    results = Results(tmp_path, ["a.json"], force=False)
    (tmp_path / "a.json").write_text("another's")
    for text in ("first", "second"):
        put(results, text)
        assert texts(tmp_path) == {"a.json": "another's", "a-2.json": text}
    with pytest.raises(AppearedError, match=r"a\.json: appeared .* is .*a-2\.json$") as told:
        results.check()
    assert len(str(told.value).splitlines()) == 1


def test_what_appears_between_two_results_stays(tmp_path: Path) -> None:
    results = Results(tmp_path, ["a.json"], force=False)
    put(results, "first")
    (tmp_path / "a.json").write_text("another's")
    put(results, "second")
    assert texts(tmp_path) == {"a.json": "another's", "a-2.json": "second"}


def test_with_force_what_appears_gives_way(tmp_path: Path) -> None:
    results = Results(tmp_path, ["a.json"], force=True)
    (tmp_path / "a.json").write_text("another's")
    put(results, "first")
    assert texts(tmp_path) == {"a.json": "first"}
    results.check()


def test_a_folder_is_its_own_also_where_a_file_was_added(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "labels.json").write_text("[]")
    results = Results(tmp_path, ["model"], force=False)
    (tmp_path / "model" / "model.onnx").write_text("kept beside the weights")
    with results.taking("model") as (_, force):
        assert force
    (tmp_path / "model" / "labels.json").write_text("[1]")
    with results.taking("model") as (_, force):
        assert not force
