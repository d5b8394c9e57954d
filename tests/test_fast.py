"""The fast way: the linear half alone where it is sure, the same rows in every runtime, batch and order."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import tiny_artifact, with_fast_way
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from textcls.artifact import Artifact, write_artifact
from textcls.cli import app
from textcls.errors import ModelError
from textcls.exports.quantized import quantize
from textcls.exports.texts import HARD_TEXTS
from textcls.fast import Cascade, FastWay, LinearHalf, leads, logits_of, select
from textcls.inference.graph import add_to_record, build_graph
from textcls.inference.graph_fast import is_fast
from textcls.inference.predictor import Predictor
from textcls.inference.seal import verify
from textcls.model.network import trained_network
from textcls.scoring import evaluate
from textcls.text.encoding import replace_surrogates

TEXTS = [*replace_surrogates(HARD_TEXTS), "", "a b c", "unheard of words", "yes yes yes no", "a"]
ALL, SOME, NONE = 0.0, -1.0, 1e9  # margins at which n-grams answer so many texts alone


def model(margin: float, *, many: bool = False, classes: int = 3, **changes: Any) -> Artifact:
    labels = tuple(f"label {index}" for index in range(classes))
    cuts = tuple(np.linspace(0.2, 0.7, classes).astype(np.float32).tolist()) if many else None
    artifact = replace(tiny_artifact(TEXTS, labels=labels, **changes), many=many, thresholds=cuts)
    artifact = with_fast_way(artifact, TEXTS)
    return artifact if margin == SOME else replace(artifact, fast=FastWay(margin, 0.7))


def half_of(artifact: Artifact) -> LinearHalf:
    half = LinearHalf.of(artifact.weights)
    assert half is not None
    return half


def ask(graph: onnx.ModelProto, texts: list[str]) -> dict[str, NDArray[Any]]:
    """Run a graph as anyone would."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"text": np.array(texts, object)}), strict=True))


@pytest.mark.parametrize("classes", [2, 3, 40])
def test_scores_are_those_of_torch_and_of_the_graph_to_the_bit(classes: int) -> None:
    artifact = model(SOME, classes=classes)
    encoded = Predictor.from_artifact(artifact).encode(TEXTS)
    found = half_of(artifact)(encoded.ids, encoded.offsets)
    ngrams = trained_network(artifact).ngrams
    assert ngrams is not None
    for row, logits in enumerate(found):
        ids = torch.from_numpy(encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]].astype(np.int64))
        np.testing.assert_array_equal(logits, ngrams(ids[None])[0].numpy())
    graph = build_graph(artifact)
    graph.graph.output.append(type(graph.graph.output[0])(name="ngram_logits"))
    np.testing.assert_array_equal(found, ask(graph, TEXTS)["ngram_logits"])


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=9), st.randoms())
def test_a_text_has_the_same_score_in_any_company(texts: list[list[int]], random: Random) -> None:
    half = half_of(model(SOME))

    def scored(some: list[list[int]]) -> NDArray[np.float32]:
        offsets = np.cumsum([0, *map(len, some)])
        return half(np.array(list(chain.from_iterable(some)), np.int32), offsets)

    order = list(range(len(texts)))
    random.shuffle(order)
    together = scored([texts[place] for place in order])
    for logits, place in zip(together, order, strict=True):
        np.testing.assert_array_equal(logits, scored([texts[place]])[0])


def test_the_lead_of_one_label_is_that_over_the_second_best() -> None:
    logits = np.array([[1.0, 4.0, 2.5], [0.0, 0.0, -1.0]], np.float32)
    assert leads(logits, None, 0.1).tolist() == [1.5, 0.0]


def test_the_lead_of_many_labels_is_the_nearest_to_its_threshold() -> None:
    cuts = np.array([0.5, 1 / (1 + np.exp(-1.0)), 1.0], np.float32)  # logits 0, 1, and one that is never reached
    logits = np.array([[4.0, 4.0, 4.0], [-0.5, 9.0, 9.0]], np.float32)
    np.testing.assert_allclose(leads(logits, cuts, 2.0), [1.0, 0.25], atol=1e-6)
    assert logits_of(np.array([0, 1], np.float32)).tolist() == [-np.inf, np.inf]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("margin", [ALL, SOME, NONE])
@pytest.mark.parametrize("int8", [False, True])
def test_a_fast_graph_answers_as_the_predictor_does(margin: float, many: bool, int8: bool) -> None:
    artifact = model(margin, many=many, pooling="final+max")
    fast = Predictor.from_artifact(artifact).fast().predict(TEXTS)
    assert fast.linear is not None
    assert {ALL: fast.linear.all(), SOME: 0 < fast.linear.sum() < len(TEXTS), NONE: not fast.linear.any()}[margin]
    graph = build_graph(artifact, fast=True)
    graph = quantize(graph) if int8 else graph
    linear = fast.linear
    for texts, rows in ((TEXTS, slice(None)), ([TEXTS[0]], slice(0, 1)), (["", "", " "], None), ([""], None)):
        found = ask(graph, texts)
        if rows is None:
            assert found["probabilities"].shape == (len(texts), 3)
            continue
        np.testing.assert_array_equal(found["by_linear"], linear[rows])
        close = 0.1 if int8 else 1e-6
        np.testing.assert_allclose(found["probabilities"], fast.probabilities[rows], atol=close)
        alone = linear[rows]
        np.testing.assert_allclose(found["probabilities"][alone], fast.probabilities[rows][alone], atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"cell": "gru", "layers": 2}, {"cell": "rnn", "pooling": "final+mean", "bidirectional": False}]
)
def test_other_networks_have_a_fast_graph_too(changes: dict[str, Any]) -> None:
    artifact = model(SOME, **changes)
    fast = Predictor.from_artifact(artifact).fast().predict(TEXTS)
    found = ask(build_graph(artifact, fast=True), TEXTS)
    np.testing.assert_allclose(found["probabilities"], fast.probabilities, atol=1e-6)


@pytest.mark.parametrize("many", [False, True])
def test_a_fast_file_holds_the_whole_model_and_goes_the_fast_way(many: bool) -> None:
    artifact = model(SOME, many=many)
    whole, fast = Predictor.from_artifact(artifact), Predictor.from_graph(build_graph(artifact, fast=True))
    assert not whole.is_fast
    assert fast.is_fast
    encoded = whole.encode(TEXTS)
    np.testing.assert_array_equal(fast.engine(encoded.ids, encoded.offsets), whole.score(encoded).probabilities)
    np.testing.assert_array_equal(fast.score(encoded).probabilities, whole.fast().score(encoded).probabilities)


def test_texts_of_the_network_have_its_answers_and_the_others_never_reach_it() -> None:
    artifact = model(SOME)
    predictor = Predictor.from_artifact(artifact)
    encoded, asked = predictor.encode(TEXTS), []

    def engine(ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        asked.append(len(offsets) - 1)
        return predictor.engine(ids, offsets)

    assert predictor.cascade is not None
    probabilities, alone = predictor.cascade.score(engine, encoded.ids, encoded.offsets)
    assert asked == [(~alone).sum()]
    np.testing.assert_allclose(probabilities[~alone], predictor.score(encoded).probabilities[~alone], atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    sure = Cascade(half_of(artifact), FastWay(0.0, 1.0), None)
    assert sure.score(engine, encoded.ids, encoded.offsets)[1].all()
    assert len(asked) == 1  # not once more, for no text


def test_select_keeps_the_tokens_of_some_texts() -> None:
    ids, bounds = select(np.array([5, 6, 7, 8], np.int32), np.array([0, 1, 3, 4]), np.array([2, 1]))
    assert (ids.tolist(), bounds.tolist()) == ([8, 6, 7], [0, 1, 3])
    assert select(np.array([5], np.int32), np.array([0, 1]), np.array([], np.int64))[1].tolist() == [0]


@pytest.mark.parametrize(
    "record",
    [
        {"margin": -1, "temperature": 1},
        {"margin": 1, "temperature": 0},
        {"margin": float("nan"), "temperature": 1},
        {"margin": 10**400, "temperature": 1},
        {"margin": 0, "temperature": 1e-300},
        {"margin": 1e308, "temperature": 1},
        {"margin": "1.5", "temperature": 1},
        {"margin": True, "temperature": 1},
        {"margin": 1},
        [1, 2],
        "fast",
        5,
    ],
)
def test_a_damaged_record_is_refused(record: Any) -> None:
    with pytest.raises(ValueError, match="the fast way is not a margin and a temperature"):
        FastWay.of(record)


@pytest.mark.parametrize("number", [1, 3, 9, 30])
def test_few_texts_are_summed_like_many(number: int) -> None:
    predictor = Predictor.from_artifact(model(SOME))
    assert predictor.cascade is not None
    encoded = predictor.encode(TEXTS * 2)
    whole = predictor.cascade.half(encoded.ids, encoded.offsets)
    some = predictor.encode((TEXTS * 2)[:number])
    np.testing.assert_array_equal(predictor.cascade.half(some.ids, some.offsets), whole[:number])
    assert predictor.cascade.half(np.array([], np.int32), np.array([0])).shape == (0, 3)


def test_a_fast_file_that_forgot_its_margin_is_damaged(tmp_path: Path) -> None:
    graph = build_graph(model(SOME), fast=True)
    add_to_record(graph, fast=None)
    onnx.save(graph, tmp_path / "fast.onnx")
    with pytest.raises(ModelError, match="is damaged: it goes the fast way, and does not say when"):
        Predictor.load(tmp_path / "fast.onnx")


def test_a_graph_of_another_kind_is_no_folders_own(tmp_path: Path) -> None:
    artifact = model(SOME)
    write_artifact(artifact, tmp_path / "model", "")
    for other in (build_graph(artifact, fast=True), quantize(build_graph(artifact))):
        if not is_fast(other):  # as `write_int8` marks it
            add_to_record(other, quantized={"kind": "int8"})
        onnx.save(other, tmp_path / "model" / "model.onnx")
        assert verify(tmp_path / "model") != []
        found = Predictor.load(tmp_path / "model")
        assert not found.is_fast
        np.testing.assert_array_equal(
            found.predict(TEXTS).probabilities, Predictor.from_artifact(artifact).predict(TEXTS).probabilities
        )


def test_a_fast_file_says_what_it_is(tmp_path: Path) -> None:
    artifact = model(SOME)
    for name, fast in (("whole", False), ("fast", True)):
        onnx.save(build_graph(artifact, fast=fast), tmp_path / f"{name}.onnx")
    told = {name: CliRunner().invoke(app, ["info", str(tmp_path / f"{name}.onnx")]).stdout for name in ("whole", "fast")}
    assert "where it is asked for (--fast): n-grams alone from a lead of" in told["whole"]
    assert "always: n-grams alone from a lead of" in told["fast"]
    (tmp_path / "rows.csv").write_text("text,label\na b c,label 1\nyes,label 0\n")
    notes = evaluate(tmp_path / "fast.onnx", str(tmp_path / "rows.csv")).notes
    assert any(note.startswith("this file goes the fast way") for note in notes)
    records = [Predictor.load(tmp_path / f"{name}.onnx").record for name in ("whole", "fast")]
    assert records[0] != records[1]  # which is how --resume tells them apart
