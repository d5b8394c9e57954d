"""Exported files in the oldest ONNX Runtime that textcls names, in an environment without textcls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import tiny_artifact

from textcls.exports.quantized import quantize
from textcls.inference import Predictor
from textcls.inference.graph import build_graph

OLDEST = "onnxruntime==1.20.1"
TEXTS = ["strasse naïve", "e-mail: a_b@c.de 😀", ""]
PROGRAM = """
import json
import sys

import numpy as np
import onnxruntime

for path in sys.argv[1:]:
    session = onnxruntime.InferenceSession(path)
    label, probabilities = session.run(["label", "probabilities"], {"text": np.array(TEXTS, dtype=object)})
    print(json.dumps([label.tolist(), probabilities.tolist()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="that release has no wheel for this Python")
def test_the_oldest_onnx_runtime_gives_the_same(tmp_path: Path) -> None:
    graphs: dict[str, onnx.ModelProto] = {}
    for cell in ("lstm", "gru", "rnn"):
        graph = build_graph(tiny_artifact(cell=cell, layers=2))
        graphs |= {f"{cell}.onnx": graph, f"{cell}_int8.onnx": quantize(graph)}
    graphs["ngrams.onnx"] = build_graph(tiny_artifact(ngram_slots=64))
    for name, graph in graphs.items():
        onnx.save(graph, tmp_path / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", OLDEST, "numpy"], check=True)
    program = PROGRAM.replace("TEXTS", repr(TEXTS))
    done = subprocess.run([python, "-c", program, *graphs], cwd=tmp_path, check=True, capture_output=True, text=True)
    for name, line in zip(graphs, done.stdout.splitlines(), strict=True):
        labels, probabilities = json.loads(line)
        here = Predictor.load(tmp_path / name)
        expected = here.predict(TEXTS).probabilities
        np.testing.assert_allclose(probabilities, expected, atol=0.05 if "lstm_int8" in name else 1e-6)
        assert labels == [here.labels[best] for best in np.argmax(probabilities, axis=1)]
