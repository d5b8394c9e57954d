"""Exported files in the tools of onnx and ONNX Runtime, which end the process where the type of a tensor is not known to them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import tiny_artifact, with_float_ngrams

from textcls.artifact import Artifact, write_artifact
from textcls.exports.quantized import quantize
from textcls.inference import Predictor
from textcls.inference.graph import build_graph, takes_text

TEXTS = ["strasse naïve", "e-mail: a_b@c.de 😀", ""]
IDS = {"ids": [[2, 1, 2], [2, 0, 0]], "lengths": [3, 1]}
OPSETS = (19, 21)  # around ours: the oldest and newest that the oldest onnx converts to and the oldest ONNX Runtime runs

PROGRAM = """
import json
import sys

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import quantize_dynamic


def run(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = {"text": object, "ids": np.int64, "lengths": np.int32}
    feed = {given.name: np.array(FEED[given.name], kinds[given.name]) for given in session.get_inputs()}
    return session.run(["probabilities"], feed)[0].tolist()


FEED = json.loads(sys.argv[1])
for name in sys.argv[2:]:
    model, found = onnx.load(name), {"file": run(name)}
    print(name, "shape_inference", flush=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    print(name, "check_model", flush=True)
    onnx.checker.check_model(model, full_check=True)
    print(name, "quantize_dynamic", flush=True)
    quantize_dynamic(name, "quantized.onnx")
    found["quantized"] = run("quantized.onnx")
    for opset in OPSETS:
        print(name, "version_converter", opset, flush=True)
        converted = onnx.version_converter.convert_version(model, opset)
        onnx.checker.check_model(converted, full_check=True)
        onnx.save(converted, "converted.onnx")
        found[opset] = run("converted.onnx")
    print(json.dumps(found))
"""

KINDS = {
    "LSTM": tiny_artifact(),
    "GRU": tiny_artifact(cell="gru"),
    "RNN": tiny_artifact(cell="rnn"),
    "one direction, two layers": tiny_artifact(bidirectional=False, layers=2, bias=False),
    "maximum": tiny_artifact(pooling="final+max"),
    "mean": tiny_artifact(pooling="final+mean", layers=2),
    "n-grams": tiny_artifact(ngram_slots=64),
    "n-grams of before": with_float_ngrams(tiny_artifact(ngram_slots=64)),
    "many labels": replace(tiny_artifact(), many=True, thresholds=(0.5, 0.25, 0.125)),
    "no words": tiny_artifact([]),
    "ids": tiny_artifact(["strasse"], tokenizer="basic_english", pooling="final+max"),
}


@pytest.mark.parametrize("artifact", list(KINDS.values()), ids=list(KINDS))
def test_the_tools_take_an_exported_file(artifact: Artifact, tmp_path: Path) -> None:
    weights = {
        n: a if a.dtype == np.int16 else a * np.float32(0.3) for n, a in artifact.weights.items()
    }  # larger ones make rounding grow
    artifact = replace(artifact, weights=weights)
    write_artifact(artifact, tmp_path / "model", "")
    Predictor.load(tmp_path / "model")  # which keeps the graph there
    onnx.save(quantize(build_graph(artifact)), tmp_path / "small.onnx")
    feed = {"text": TEXTS} if takes_text(artifact) else IDS
    program = PROGRAM.replace("OPSETS", repr(OPSETS))
    command = [sys.executable, "-c", program, json.dumps(feed), "model/model.onnx", "small.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr)
    whole, small = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for found in (whole, small):
        for opset in OPSETS:
            np.testing.assert_allclose(found[str(opset)], found["file"], atol=1e-6)
        np.testing.assert_allclose(np.sum(found["quantized"], axis=1), np.sum(found["file"], axis=1), atol=0.1)
    assert 0 < np.abs(np.array(whole["quantized"]) - whole["file"]).max() < 0.05
