"""What `fit` shows: in a terminal, in a notebook that a real kernel runs, and elsewhere nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from textcls.training.display import FitDisplay
from textcls.training.events import EpochEnd, Note, Progress

needs_notebook = pytest.mark.skipif(
    find_spec("nbclient") is None or find_spec("ipykernel") is None, reason="nbclient and ipykernel are not installed"
)
FIT = """
from textcls import TextClassifier
training = {"epochs": 2, "epoch_steps": 1, "threads": 1}
model = TextClassifier({"training": training, "model": {"hidden_size": 4, "embedding_size": 4, "ngram_slots": 0}})
texts = [f"{word} film {n}" for n in range(20) for word in ("good", "bad")]
labels = ["pos", "neg"] * 20
"""


def end(epoch: int, best: bool, **metrics: float) -> EpochEnd:
    return EpochEnd(epoch, 0.5, metrics, 0.001, 1000.0, 1.0, best)


def shown(events: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int = 200) -> str:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with FitDisplay("accuracy") as display:
        for event in events:
            display(event)
    return capsys.readouterr().err


def test_lines_stay_and_the_status_moves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    half = Progress(1, 2, 5, 5, 0.25, 12345.0, 61)
    events = [Note("a note"), half, end(1, True, accuracy=0.5), end(2, False, accuracy=0.25), end(3, True)]
    found = shown(events, monkeypatch, capsys)
    status = "epoch 1/2 ████████████░░░░░░░░░░░░ 1:01 left at most, loss 0.2500, 12,345 tokens/s"
    assert found.split("\r\x1b[K") == [
        "",
        "a note\n",
        status,
        "epoch 1: training loss 0.5000, accuracy 0.5000 (best so far)\n" + status,
        "epoch 2: training loss 0.5000, accuracy 0.2500\n" + status,
        "epoch 3: training loss 0.5000\n" + status,
        "",
    ]
    narrow = shown([half], monkeypatch, capsys, columns=30)
    assert max(map(len, narrow.split("\r\x1b[K"))) < 30


def test_nothing_steers_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b[31m" not in shown([Note("\x1b[31mlabel")], monkeypatch, capsys)


@pytest.mark.parametrize("how", ["no terminal", "dumb", "closed"])
def test_elsewhere_nothing_is_shown(how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: how != "no terminal", raising=False)
    monkeypatch.setenv("TERM", "dumb" if how == "dumb" else "xterm")
    with monkeypatch.context() as patch:
        if how == "closed":
            patch.setattr("sys.stderr", None)
        with FitDisplay("accuracy") as display:
            display(Note("a note"))
    assert tuple(capsys.readouterr()) == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.slow
def test_fit_in_a_terminal() -> None:
    import pty

    ours, theirs = pty.openpty()
    code = f"import sys\n{FIT}model.fit(texts, labels, verbose=False)\nprint('|', file=sys.stderr)\nmodel.fit(texts, labels)"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, env=environment)
    os.close(theirs)
    found = b""
    with suppress(OSError):  # Linux's word for the end of a pseudo-terminal
        while chunk := os.read(ours, 1 << 16):
            found += chunk
    output, _ = process.communicate()
    os.close(ours)
    assert (process.returncode, output) == (0, b"")
    silent, text = found.decode().split("|")
    assert silent == ""
    assert re.search(r"epoch 2: training loss \d\.\d{4}, log_loss \d\.\d{4}", text)
    assert "epoch 1/2 " in text
    assert text.endswith("\r\x1b[K")  # nothing is left of the bar


def run_notebook(cells: list[str], folder: Path) -> list[list[dict[str, Any]]]:
    """Run a notebook in a kernel of its own; return the outputs of each cell."""
    source: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"cell{n}", "metadata": {}, "outputs": [], "execution_count": None, "source": cell}
        for n, cell in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = {"cells": source, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "in.ipynb").write_text(json.dumps(notebook))
    program = """
import nbformat, sys
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
notebook = nbformat.read("in.ipynb", 4)
manager = KernelManager()
manager._kernel_spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
NotebookClient(notebook, km=manager, timeout=300).execute()
nbformat.write(notebook, "out.ipynb")
"""
    homes = {name: str(folder / name.lower()) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    paths = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **homes, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return [cell["outputs"] for cell in json.loads((folder / "out.ipynb").read_text())["cells"]]


def text_of(outputs: list[dict[str, Any]]) -> list[str]:
    return ["".join(output["data"]["text/plain"]) for output in outputs if "data" in output]


@needs_notebook
@pytest.mark.slow
def test_fit_in_a_notebook(tmp_path: Path) -> None:
    cells = [FIT, "model.fit(texts, labels);", "model.fit(texts, labels, verbose=False);", "model"]
    _, verbose, silent, last = run_notebook(cells, tmp_path)
    (shown,) = text_of(verbose)  # one output, replaced as training goes on
    assert [kind["output_type"] for kind in verbose] == ["display_data"]
    assert re.search(r"^epoch 1: training loss .*\nepoch 2: training loss \d\.\d{4}, log_loss \d\.\d{4}", shown, re.MULTILINE)
    assert "left at most" not in shown
    assert silent == []
    assert text_of(last) == [
        "TextClassifier({'model': {'embedding_size': 4, 'hidden_size': 4, 'ngram_slots': 0}, "
        "'training': {'epoch_steps': 1, 'epochs': 2, 'threads': 1}})"
    ]


@needs_notebook
@pytest.mark.slow
def test_the_readmes_python_part_is_a_notebook(tmp_path: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    part = re.search(r"^## From Python\n.*?(?=^## )", readme, re.DOTALL | re.MULTILINE)
    assert part
    cells = re.findall(r"```python\n(.*?)```", part[0], re.DOTALL)
    assert len(cells) >= 3
    outputs = run_notebook(cells, tmp_path)
    assert any("epoch 3: training loss" in text for cell in outputs for text in text_of(cell))
