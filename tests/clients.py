"""Clients that nobody here wrote, for tests: packages of npm and a browser, and texts to try them on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_artifact

from textcls.artifact import Artifact, write_artifact
from textcls.exports.texts import HARD_TEXTS

SECONDS = 300
DATA_SETS = ("trec-test", "sst2-test", "banking77-test")


def program(*names: str) -> str:
    """Return the path of a program that goes by one of these names, or skip the test."""
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"{names[0]} is not installed")
    return path


def npm_install(folder: Path, *packages: str) -> None:
    """Install packages of npm into a folder, without running what is in them."""
    command = [program("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *packages]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        pytest.skip(f"npm cannot install {', '.join(packages)} here: {done.stderr.strip().splitlines()[-1:]}")


def node(script: Path, task: Any) -> Any:
    """Run a script with a task in JSON at its standard input, and return the JSON that it prints."""
    done = subprocess.run(
        [program("node"), script.name],
        cwd=script.parent,
        input=json.dumps(task),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def well_formed(texts: Iterable[str]) -> list[str]:
    """Return the texts that reach a runtime under JavaScript whole: UTF-8 has no lone surrogates, and its strings end at a NUL."""
    return [text for text in texts if "\0" not in text and text == text.encode("utf-8", "replace").decode("utf-8")]


def some_texts(count: int) -> list[str]:
    """Return real texts where `TEXTCLS_DATA` names a folder that has some, else random ones of a few words in many forms."""
    folder = os.environ.get("TEXTCLS_DATA")
    files = [Path(folder, f"{name}.parquet") for name in DATA_SETS] if folder else []
    texts: list[str] = []
    for file in filter(Path.is_file, files):
        import pyarrow.parquet

        share = pyarrow.parquet.read_table(file, columns=["text"])["text"].to_pylist()
        texts += share[: count // len(files) + 1]
    if len(texts) < count:
        import random

        draw = random.Random(0)
        words = [word for text in well_formed(HARD_TEXTS) if len(text) < 200 for word in text.split()] + [
            "don't",
            "stop",
            "Why",
            "so",
            "sure?",
        ]
        texts += [" ".join(draw.choices(words, k=draw.randint(1, 40))) for _ in range(count - len(texts))]
    return texts[:count]


def model_for(texts: list[str], folder: Path, **changes: Any) -> Artifact:
    """Write a model folder whose random weights know every token of the texts, so that any difference shows; return the model."""
    from dataclasses import replace

    measured = {"rows": 500, "accuracy": 0.9125, "macro_f1": 0.9, "expected_calibration_error": 0.02}
    artifact = replace(tiny_artifact(texts, **changes), metrics={"test": measured}, provenance={"train_rows": 1234})
    write_artifact(artifact, folder, "")
    return artifact
