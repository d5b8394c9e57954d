"""int8 exports: smaller, near the model, refused where they are not; and the fresh process in which every export is run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import TinyRun
from helpers import tiny_artifact, with_float_ngrams
from typer.testing import CliRunner

from textcls.artifact import read_artifact, write_artifact
from textcls.cli import app
from textcls.errors import ExportError, InputError
from textcls.exports import export, onnx_file, parity
from textcls.exports.parity import INT8, Bound, Fault, Parity, rounded_down
from textcls.exports.quantized import _table, quantize
from textcls.exports.stranger import stranger
from textcls.exports.texts import drawn_texts
from textcls.inference import Predictor
from textcls.inference.engine import OnnxEngine
from textcls.inference.graph import build_graph, vocabulary_of
from textcls.text import Encoder


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.exports.texts.MOST_TEXTS", 20)
    monkeypatch.setattr(drawn_texts, "__defaults__", (20,))
    monkeypatch.setattr(onnx_file, "LONG_TEXT_TOKENS", 1200)


@pytest.mark.parametrize("pooling", ["final", "final+max", "final+mean"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_int8_graph_is_near_the_model(cell: str, layers: int, bidirectional: bool, pooling: str) -> None:
    shape: dict[str, Any] = {"cell": cell, "layers": layers, "bidirectional": bidirectional, "pooling": pooling}
    shape["ngram_slots"] = 64 if pooling == "final" else 0
    artifact = tiny_artifact(**shape, embedding_size=16, hidden_size=12)
    for name, array in artifact.weights.items():
        array *= (
            1 if name == "ngrams.weight" else np.float32(0.3)
        )  # larger weights make a chaotic RNN, in which every rounding grows
    model = build_graph(artifact)
    before = model.SerializeToString(deterministic=True)
    small = quantize(model)
    assert model.SerializeToString(deterministic=True) == before
    floats = {c.name: c for c in small.graph.initializer if c.data_type == onnx.TensorProto.FLOAT}
    kept = [name for name, c in floats.items() if np.prod(c.dims) > 3 * 24 and not name.startswith(("B_", "classifier"))]
    assert [name for name in kept if not name.endswith("_scale")] == []
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(drawn_texts(artifact, 40))
    whole, eighth = (OnnxEngine(graph, threads=1)(encoded.ids, encoded.offsets) for graph in (model, small))
    assert 1e-5 < np.abs(whole - eighth).max() < 0.05


@pytest.mark.parametrize(("tokenizer", "told"), [("unicode", False), ("spacy", True)])
def test_an_int8_file_holds_its_vocabulary_once(tokenizer: str, told: bool) -> None:
    artifact = tiny_artifact(tokenizer=tokenizer)
    small = quantize(build_graph(artifact))
    assert ("textcls.vocabulary" in {entry.key for entry in small.metadata_props}) == told
    assert vocabulary_of(small) == artifact.vocabulary.tokens
    assert Predictor.from_graph(small).vocabulary.tokens == artifact.vocabulary.tokens
    assert vocabulary_of(onnx.ModelProto()) == ()


def test_zeros_stay_zeros() -> None:
    artifact = tiny_artifact()
    for array in artifact.weights.values():
        array[:] = 0
    ids, offsets = np.array([2, 3], np.int32), np.array([0, 2])
    np.testing.assert_allclose(OnnxEngine(quantize(build_graph(artifact)), threads=1)(ids, offsets), 1 / 3, atol=1e-6)


def test_an_int8_export_says_how_far_its_scores_moved(tiny_run: TinyRun, tmp_path: Path) -> None:
    report = export(tiny_run.model, tmp_path / "small.onnx", quantize="int8")
    assert report.int8 is not None
    assert report.int8.agreement >= 0.995
    assert report.int8.accuracy is not None
    assert 1e-5 < report.largest_difference < 0.25
    predictor = Predictor.load(tmp_path / "small.onnx")
    said = predictor.record["quantized"]
    assert said["kind"] == "int8"
    assert said["largest_difference"] == pytest.approx(report.largest_difference, rel=0.1)
    assert said["across_batchings"] == pytest.approx(report.int8.across_batchings, rel=0.1)
    assert "quantized" not in Predictor.load(tiny_run.model).record
    texts = ["the team won twice", "a virus is back", ""]
    scores, exact = (p.predict(texts).probabilities for p in (predictor, Predictor.load(tiny_run.model)))
    np.testing.assert_allclose(scores, exact, atol=0.05)
    export(tiny_run.model, tmp_path / "again.onnx", quantize="int8")
    assert (tmp_path / "small.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()


def runner_info(path: Path) -> str:
    return CliRunner().invoke(app, ["info", str(path)]).stdout


def test_the_command_prints_what_int8_did(tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    result = CliRunner().invoke(app, ["export", str(tiny_run.model), str(out), "--quantize", "int8"])
    assert result.exit_code == 0, result.stderr
    _, agreed, moved, share, accuracy, _ = result.stdout.splitlines()
    assert re.fullmatch(r"int8: (99\.\d\d|100\.00)% of the labels are the model's, on \d+ texts .*", agreed)
    assert re.fullmatch(r"probabilities move by at most [\d.e-]+, and by [\d.e-]+ with the batch a text is in", moved)
    assert re.match(r"\d+% of the size without --quantize: vocabulary, labels and the table of n-grams", share)
    assert re.match(
        r"accuracy on \d+ rows of the run's validation split: \d\.\d{4}, the model's \d\.\d{4} \([+-]\d\.\d{4}\)", accuracy
    )
    assert re.search(r"^weights .*, of the fp32 weights that these were made of$", runner_info(out), re.M)
    labelled = CliRunner().invoke(app, ["classify", str(out), "-"], input="the team won\n")
    assert json.loads(labelled.stdout)["label"] in {"money", "science", "sport"}


def test_many_labels_in_int8(tmp_path: Path) -> None:
    from dataclasses import replace

    artifact = replace(tiny_artifact(), many=True, thresholds=(0.5, 0.25, 0.125))
    write_artifact(artifact, tmp_path / "model", "")
    report = export(tmp_path / "model", tmp_path / "small.onnx", quantize="int8")
    assert report.int8 is not None
    assert report.int8.accuracy is None  # no run is at hand
    assert Predictor.load(tmp_path / "small.onnx").many


def test_an_int8_export_whose_labels_differ_is_refused(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flat(model: onnx.ModelProto) -> onnx.ModelProto:
        """Give every text nearly the same scores, so that each differs little and the labels differ much."""
        graph = quantize(model)
        for constant in graph.graph.initializer:
            if constant.name == "temperature":
                constant.CopyFrom(onnx.numpy_helper.from_array(np.array(-1e3, np.float32), "temperature"))
        return graph

    monkeypatch.setattr(onnx_file, "quantized_graph", flat)
    monkeypatch.setattr(onnx_file, "INT8", Bound(1.0, 0.995))
    with pytest.raises(
        ExportError,
        match=r"is refused: [\d,]+ of [\d,]+ labels are not the model's, and at most \d+ may be others \(0\.5%\); one is of the "
        r"text '.*' \('(money|science|sport)', the model '(money|science|sport)'\): compare .* with --texts FILE, or export without",
    ):
        export(tiny_run.model, tmp_path / "small.onnx", quantize="int8")
    monkeypatch.setattr(onnx_file, "INT8", Bound(1e-4, 0))
    with pytest.raises(ExportError, match=r"differs from the model by .* \(allowed 0.0001\)"):
        export(tiny_run.model, tmp_path / "small.onnx", quantize="int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "decisions", "allowed"), [(10, 2000, 10), (11, 2000, 10), (10, 1999, 9), (10, 2001, 10), (0, 100, 0), (1, 199, 0)]
)
def test_the_numbers_of_a_verdict_agree_with_it(
    wrong: int, decisions: int, allowed: int, tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst = max(Fault(False, 0.9, r"'\x01'"), Fault(True, 0.1, "'a plain text'"))
    parities = iter([Parity(texts=1, decisions=decisions, wrong=wrong, worst=worst), *[Parity()] * 3])
    monkeypatch.setattr(onnx_file, "compare", lambda *_, **__: next(parities))
    artifact = read_artifact(tiny_run.model)
    if wrong <= allowed:
        assert rounded_down(onnx_file.prove(artifact, lambda _: ([], np.empty(0, np.float32)), [], INT8).agreement) >= 0.995
        return
    message = (
        f"{wrong} of {decisions:,} labels are not the model's, and at most {allowed} may be others (0.5%); one is of the text"
    )
    with pytest.raises(ExportError, match=re.escape(f"{message} 'a plain text': compare")):
        onnx_file.prove(artifact, lambda _: ([], np.empty(0, np.float32)), [], INT8)


def test_a_difference_that_is_too_large_is_never_told_as_one_that_is_allowed() -> None:
    with pytest.raises(ExportError, match=r"by 0\.26 \(allowed 0\.25\)"):
        parity._check(["x"], np.array([[0.7501, 0.2499]], np.float32), np.array([[0.5, 0.5]]), np.array([0.25]))
    with pytest.raises(ExportError, match=r"by nan \(allowed 0\.25\)"):
        parity._check(["x"], np.array([[np.nan, np.nan]], np.float32), np.array([[0.5, 0.5]]), np.array([0.25]))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"quantize": "int4"}, "no such form; there is int8"), ({"quantize": "int8", "to": "web"}, "a web export has no such")],
)
def test_other_forms_are_refused(options: dict[str, Any], said: str, tiny_run: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        export(tiny_run.model, tmp_path / "x.onnx", **options)


def test_exports_run_in_a_process_without_textcls(tiny_onnx: Path) -> None:
    with stranger(tiny_onnx) as ask:
        outputs = ask({"text": ["the team won", "\x00\U0001f44d"]})
        assert set(outputs) == {"label", "probabilities"}
        with pytest.raises(ExportError, match="its runtime refuses the export"):
            ask({"text": []})


def test_a_process_that_ends_is_told(tiny_onnx: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit('no room left')")
    with pytest.raises(ExportError, match="ended with code 1: no room left"), stranger(tiny_onnx, program):
        pass
    program.write_text("import os\nprint('{}', flush=True)\nos._exit(3)")
    with stranger(tiny_onnx, program) as ask, pytest.raises(ExportError, match="ended with code 3"):
        ask({})


def test_rows_of_ngrams_have_scales_of_their_own() -> None:
    artifact = with_float_ngrams(tiny_artifact(ngram_slots=400))
    table = artifact.weights["ngrams.weight"]
    table *= np.random.default_rng(0).lognormal(0, 3, (400, 1)).astype(np.float32)  # a few are far larger than the others
    table[5] = 0
    node = next(n for n in build_graph(artifact).graph.node if n.op_type == "Gather" and n.input[0] == "ngrams")
    constants: dict[str, Any] = {"ngrams": table}
    nodes = _table(node, constants)
    assert constants["ngrams"].dtype == np.int8
    again = constants["ngrams"] * constants["ngrams_scale"].astype(np.float32)
    largest = np.abs(table).max(axis=1, keepdims=True)
    assert (np.abs(again - table) <= largest * 0.006 + 1e-5).all()
    assert [n.op_type for n in nodes] == ["Gather", "Cast", "Gather", "Cast", "Mul"]
