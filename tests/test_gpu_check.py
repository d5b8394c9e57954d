"""The check that runs on a card: what it does there without one thing or another."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPTS = Path(__file__).parent.parent / "scripts"
LACKING = ("platformdirs", "optuna", "spacy", "datasets", "torchtext")  # what it promises to do without
WITHOUT = f"""
import sys
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = staticmethod(lambda name, *rest: None if name.split(".")[0] in {LACKING} else found(name, *rest))
"""


@pytest.fixture
def gpu_check(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("gpu_check")


def test_a_contestant_runs_with_the_packages_that_are_named_alone(
    gpu_check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{('a good' if row % 2 else 'a bad')} film {row},{row % 2}\n" for row in range(40))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows, encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT, encoding="utf-8")
    monkeypatch.setenv("TEXTCLS_DATA", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("TEXTCLS_CACHE", "")
    sizes = ["--train", "rows.csv", "--validation", "rows.csv", "--epochs", "1", "--embedding", "4", "--hidden", "4"]
    command = [sys.executable, str(SCRIPTS / "_training_race.py"), *sizes, "--one", "ours:1"]
    gpu_check.set_environment()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens_per_second"] > 0


def test_a_precision_that_does_not_run_is_told_and_the_rest_is_kept(
    gpu_check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"tokens_per_second": 1e6, "busy": 0.9, "accuracy": 0.8}
    names = ("hand-written", "ours", "ours, captured")

    def race(options: list[str], _device: str) -> dict[str, dict[str, float]]:
        only = [given for before, given in pairwise(options) if before == "--only"]
        return {} if "bf16" in options else {name: dict(figures) for name in only or names}

    for name, value in {
        "race": race,
        "BARS": {"hand-written": 1.0, "before": 1.0},
        "tests": list,
        "set_environment": dict,
        "scored_per_second": lambda _device: 2e6,
    }.items():
        monkeypatch.setattr(gpu_check, name, value)
    for name, value in {"is_available": lambda: True, "get_device_name": lambda _device: "a card"}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setenv("TEXTCLS_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--json", str(tmp_path / "card.json")])
    with pytest.raises(SystemExit, match="True"):
        gpu_check.main()
    assert "sst2, bf16: did not run" in capsys.readouterr().out
    written = json.loads((tmp_path / "card.json").read_text())
    assert set(written["speeds"]["sst2"]) == {*names, "ours, captured, tf32", "ours, captured, fp16"}
    assert written["failed"] == ["sst2, bf16: did not run"]


def test_texts_are_scored_on_the_device(gpu_check: Any) -> None:
    assert gpu_check.scored_per_second("cpu", texts=50) > 0
