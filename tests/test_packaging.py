"""The wheel, installed outside the checkout into a bare environment, classifies with an exported file where torch is missing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest

from textcls.config import parse_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
# What the README says to install for classifying without torch: keep both alike.
WITHOUT_TORCH = ("numpy", "onnx", "onnxruntime", "pydantic", "pyyaml", "regex", "typer")
TEXTS = ("a wonderful and warm film", "dull , long and awful", "", "wonderful " * 50)


def run(*command: str | Path, cwd: Path, stdin: str = "") -> str:
    """Run a command that has to succeed, away from this interpreter's packages, and return its standard output."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that nothing of earlier builds gets into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    copytree(ROOT / "textcls", source / "textcls", ignore=ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", folder, source, cwd=folder)
    return next(folder.glob("textcls-*.whl"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and the few packages that classifying needs."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "-c", ROOT / "constraints.txt", *WITHOUT_TORCH, cwd=folder)
    run(programs / "python", "-m", "pip", "install", "--no-deps", wheel, cwd=folder)
    return programs


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model as one ONNX file."""
    from textcls.training import train

    folder = tmp_path_factory.mktemp("exported")
    with (folder / "films.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(40):
            rows.writerow([f"{'wonderful warm' if number % 2 else 'awful dull'} film {number}", number % 2])
    settings = {
        "data": {"train": str(folder / "films.csv")},
        "text": {"max_tokens": 20},
        "model": {"embedding_size": 8, "hidden_size": 8, "ngram_slots": 0},
        "training": {"epochs": 30, "epoch_steps": 1, "batch_size": 8, "learning_rate": 0.02, "threads": 1},
    }
    train(parse_config(settings, "the test"), folder / "run")
    textcls = Path(sysconfig.get_path("scripts"), "textcls")
    run(textcls, "export", folder / "run" / "model", folder / "films.onnx", cwd=folder)
    return folder / "films.onnx"


def test_wheel_holds_the_package_its_type_marker_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "textcls").rglob("*.py")}
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "textcls/exports/web_page").rglob("*") if path.is_file()}
    assert sources | page | {"textcls/py.typed", "textcls/exports/_stranger.mjs"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"textcls", "textcls-0.1.0.dist-info"}


def test_classifies_without_torch(bare: Path, exported: Path, tmp_path: Path) -> None:
    from textcls.inference import Predictor

    facts = "import json, importlib.util as u, textcls; print(json.dumps([textcls.__file__, u.find_spec('torch') is None]))"
    file, no_torch = json.loads(run(bare / "python", "-c", facts, cwd=tmp_path))
    assert no_torch
    assert not Path(file).is_relative_to(ROOT)

    for number, text in enumerate(TEXTS):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    files = [f"{number}.txt" for number in range(len(TEXTS))]
    answers = [json.loads(line) for line in run(bare / "textcls", "classify", exported, *files, cwd=tmp_path).splitlines()]
    expected = Predictor.load(exported).predict(TEXTS).probabilities
    assert [answer["file"] for answer in answers] == files
    assert [answer["label"] for answer in answers] == ["01"[best] for best in expected.argmax(1)]
    np.testing.assert_allclose([answer["confidence"] for answer in answers], expected.max(1), atol=2e-6)
    assert [answer["label"] for answer in answers[:2]] == ["1", "0"]
    assert [answer.get("note") for answer in answers] == [None, None, "empty", "truncated"]


def test_tables_streams_and_explanations_without_torch(bare: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("id,text\n007,a wonderful film\n", encoding="utf-8")
    run(bare / "textcls", "classify", exported, "new.csv", "-o", "out.csv", cwd=tmp_path)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [(row["id"], row["label"]) for row in csv.DictReader(file)] == [("007", "1")]
    streamed = run(
        bare / "textcls", "classify", exported, "-", cwd=tmp_path, stdin="an awful dull film\na wonderful warm film\n"
    )
    assert [json.loads(line)["label"] for line in streamed.splitlines()] == ["0", "1"]
    assert "wonderful" in run(bare / "textcls", "explain", exported, "a wonderful film", cwd=tmp_path)
    assert "label" in run(bare / "textcls", "info", exported, cwd=tmp_path)


def test_every_setting_is_explained_without_the_sources(bare: Path, tmp_path: Path) -> None:
    assert run(bare / "textcls", "config", cwd=tmp_path) == (ROOT / "configs" / "default.yaml").read_text(encoding="utf-8")
