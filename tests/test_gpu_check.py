"""The check that runs on a card: what it does there without one thing or another."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    monkeypatch.delenv("TEXTCLS_CACHE")
    sizes = ["--train", "rows.csv", "--validation", "rows.csv", "--epochs", "1", "--embedding", "4", "--hidden", "4"]
    command = [sys.executable, str(SCRIPTS / "_training_race.py"), *sizes, "--one", "ours:1"]
    done = subprocess.run(command, env=gpu_check.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens_per_second"] > 0
