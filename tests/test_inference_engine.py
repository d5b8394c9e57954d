"""The engine: order kept, batches and threads without effect."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_artifact
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from textcls.exports.quantized import quantize
from textcls.inference import Predictor, engine
from textcls.inference.engine import OnnxEngine, batches_of_like_length, pad
from textcls.inference.folding import FEWEST_DIMENSIONS
from textcls.inference.graph import build_graph

ARTIFACT = tiny_artifact(["a b c d e f g h"])
GRAPH = build_graph(ARTIFACT)


def random_texts(texts: int, seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(draw.integers(1, 30, texts))])
    return draw.integers(0, len(ARTIFACT.vocabulary), offsets[-1]).astype(np.int32), offsets


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("texts", [1, 31, 32, 33, 200])
def test_as_one_by_one(threads: int | None, texts: int) -> None:
    ids, offsets = random_texts(texts)
    found = OnnxEngine(GRAPH, threads)(ids, offsets)
    alone = OnnxEngine(GRAPH, 1)
    one_by_one = [alone(ids[start:end], np.array([0, end - start]))[0] for start, end in itertools.pairwise(offsets)]
    assert (found.shape, str(found.dtype)) == ((texts, 3), "float32")
    np.testing.assert_allclose(found, one_by_one, atol=1e-5)
    assert texts == 1 or np.ptp(found, axis=0).min() > 1e-3


@pytest.mark.parametrize("threads", [1, 2])
def test_no_texts(threads: int) -> None:
    found = OnnxEngine(GRAPH, threads)(np.array([], np.int32), np.array([0]))
    assert (found.shape, str(found.dtype)) == ((0, 3), "float32")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [{}, {"pooling": "final+max", "layers": 2}, {"cell": "gru", "bidirectional": False}, {"ngram_slots": 50}],
    ids=str,
)
def test_features_are_what_the_classifier_layer_gets(threads: int, changes: dict[str, Any]) -> None:
    model = tiny_artifact(["a b c d e f g h"], temperature=1.0, **changes)
    found = OnnxEngine(build_graph(model), threads)
    ids, offsets = random_texts(40)
    features = found.features(ids, offsets)
    assert (features.shape, str(features.dtype)) == ((40, found.width), "float32")
    assert found.width == model.weights["classifier.weight"].shape[1]
    if "ngram_slots" not in changes:
        logits = features @ model.weights["classifier.weight"].T + model.weights["classifier.bias"]
        np.testing.assert_allclose(found(ids, offsets), softmax(logits, axis=1), atol=1e-5)
    assert found.features(np.array([], np.int32), np.array([0])).shape == (0, found.width)


def test_features_of_a_folded_and_of_an_int8_model() -> None:
    model = tiny_artifact(["a b c d e f g h"], embedding_size=FEWEST_DIMENSIONS)
    ids, offsets = random_texts(40)
    folded = OnnxEngine(build_graph(model), 1)
    before = folded.features(ids[: offsets[2]], offsets[:3])  # too few tokens to fold for
    np.testing.assert_allclose(folded.features(ids, offsets)[:2], before, atol=1e-5)
    assert folded._folded is not None
    small = OnnxEngine(quantize(build_graph(model)), 1).features(ids, offsets)
    assert 0 < np.abs(small - folded.features(ids, offsets)).mean() < 0.05  # a few values of these large weights jump


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent / "fixtures").rglob("*.onnx")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_features_of_old_files(file: Path) -> None:
    loaded = Predictor.load(file, threads=1)
    found = loaded.transform(["a text", ""])
    assert (found.shape, str(found.dtype)) == ((2, loaded.engine.width), "float32")
    assert np.ptp(found, axis=0).any()


def test_an_error_in_a_thread_is_raised() -> None:
    ids, offsets = random_texts(100)
    with pytest.raises(Exception, match="indices element out of data bounds"):
        OnnxEngine(GRAPH, 2)(ids + len(ARTIFACT.vocabulary), offsets)


def test_pad_by_example() -> None:
    feed = pad(np.array([5, 6, 7, 8, 9], np.int32), np.array([0, 2, 3, 5]), np.array([2, 1]))
    assert feed["ids"].tolist() == [[8, 9], [7, 0]]
    assert feed["lengths"].tolist() == [2, 1]
    assert (str(feed["ids"].dtype), str(feed["lengths"].dtype)) == ("int64", "int32")


@given(st.lists(st.integers(1, 40_000), max_size=200))
def test_batches_hold_every_row_once_and_bounded(lengths: list[int]) -> None:
    batches = list(batches_of_like_length(np.array(lengths, np.int64)))
    assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert 1 <= len(rows) <= engine._BATCH_TEXTS
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= engine._BATCH_TOKENS
    assert len(batches) >= min(8, len(lengths) // 4)  # so that few texts keep several threads busy
    longest = [lengths[rows[0]] for rows in batches]
    assert longest == sorted(longest, reverse=True)
