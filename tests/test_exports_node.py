"""Strangers run the exported file: Node.js, and Python with ONNX Runtime alone, by the README's own lines."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clients import model_for, node, npm_install, some_texts, well_formed
from helpers import with_fast_way

from textcls.artifact import write_artifact
from textcls.exports import export
from textcls.exports.parity import expected_fast, expected_probabilities
from textcls.exports.texts import HARD_TEXTS

ROOT = Path(__file__).resolve().parent.parent
ONNXRUNTIME_NODE = "onnxruntime-node@1.30.0"
CLIENT = """
const ort = require("onnxruntime-node");
const task = JSON.parse(require("fs").readFileSync(0, "utf-8"));
(async () => {
  const session = await ort.InferenceSession.create("model.onnx");
  const answers = { labels: [], probabilities: [] };
  for (let at = 0; at < task.texts.length; at += 50) {
    const batch = task.texts.slice(at, at + 50);
    const result = await session.run({ text: new ort.Tensor("string", batch, [batch.length]) });
    answers.labels.push(...result.label.data);
    answers.probabilities.push(...result.probabilities.data);
  }
  console.log(JSON.stringify(answers));
})();
"""


def texts_of_all_kinds() -> list[str]:
    """A thousand texts, the hard ones among them."""
    hard = well_formed(HARD_TEXTS)
    return [*hard, *some_texts(1000 - len(hard))]


@pytest.mark.node
@pytest.mark.parametrize("fast", [False, True])
def test_node_gives_the_same_labels_and_probabilities(fast: bool, tmp_path: Path) -> None:
    npm_install(tmp_path, ONNXRUNTIME_NODE)
    texts = texts_of_all_kinds()
    artifact = model_for(texts, tmp_path / "model")
    if fast:
        artifact = with_fast_way(artifact, texts)
        write_artifact(artifact, tmp_path / "model", "")
    export(tmp_path / "model", tmp_path / "model.onnx", fast=fast)
    (tmp_path / "client.cjs").write_text(CLIENT, encoding="utf-8")
    answers = node(tmp_path / "client.cjs", {"texts": texts})
    expected = expected_fast(artifact, texts)[0] if fast else expected_probabilities(artifact, texts)
    assert answers["labels"] == [artifact.labels[best] for best in expected.argmax(axis=1)]
    assert len(set(answers["labels"])) > 1
    np.testing.assert_allclose(np.reshape(answers["probabilities"], expected.shape), expected, atol=1e-5)


@pytest.mark.slow
def test_the_readmes_lines_do_without_textcls(tmp_path: Path) -> None:
    lines = readme_lines()
    given = re.search(r"np\.array\((\[.*?\]), dtype=object\)", lines)
    assert given, "the README's lines name their texts"
    texts = [*ast.literal_eval(given[1]), *texts_of_all_kinds()]
    artifact = model_for(texts, tmp_path / "model")
    export(tmp_path / "model", tmp_path / "reviews.onnx")
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    (tmp_path / "as_shown.py").write_text(lines, encoding="utf-8")
    (tmp_path / "on_all.py").write_text(lines.replace(given[1], 'json.load(open("texts.json"))'), encoding="utf-8")

    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "numpy", "onnxruntime", cwd=tmp_path)
    assert run(python, "-c", "import importlib.util as u; print(u.find_spec('textcls'))", cwd=tmp_path) == "None\n"
    shown = run(python, "as_shown.py", cwd=tmp_path).splitlines()
    answers = run(python, "on_all.py", cwd=tmp_path).splitlines()
    assert answers[: len(shown)] == shown

    expected = expected_probabilities(artifact, texts)
    assert [answer.split(" ")[0] for answer in answers] == [artifact.labels[best] for best in expected.argmax(axis=1)]
    found = [[float(number) for number in re.findall(r"(\d+\.\d+(?:e-\d+)?)", answer)] for answer in answers]
    np.testing.assert_allclose(found, expected, atol=0.00051)


def readme_lines() -> str:
    """Return the program that the README shows for those without textcls."""
    block = re.search(r"Without textcls.*?```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block
    return block[1]


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
