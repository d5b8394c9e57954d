"""The ONNX graph against torch and against the Python tokenizer, in stock ONNX Runtime."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import tiny_artifact, with_float_ngrams
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from textcls.artifact import Artifact
from textcls.evaluation import softmax
from textcls.exports.parity import expected_probabilities
from textcls.exports.quantized import quantize
from textcls.exports.texts import HARD_TEXTS
from textcls.inference.engine import pad
from textcls.inference.graph import OPSETS, TEXT_PART, build_graph, core_inputs, numeric_core, takes_text
from textcls.model import pack, trained_network
from textcls.text import Encoder
from textcls.text.encoding import replace_surrogates
from textcls.text.tokenizers import UnicodeTokenizer

SHAPES = list(itertools.product(("lstm", "gru", "rnn"), (1, 2), (True, False), (True, False)))
HARD = list(replace_surrogates(HARD_TEXTS))


def session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_text(runtime: Any, texts: list[str]) -> tuple[list[str], NDArray[np.float32]]:
    labels, probabilities = runtime.run(["label", "probabilities"], {"text": np.array(texts, dtype=object)})
    return labels.tolist(), probabilities


def by_torch(artifact: Artifact, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return softmax(trained_network(artifact)(pack(ids, offsets)).numpy(), artifact.temperature)


def by_python(artifact: Artifact, texts: list[str]) -> NDArray[np.float64]:
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(texts)
    return by_torch(artifact, encoded.ids, encoded.offsets)


def random_texts(seed: int, vocabulary: int, texts: int = 9) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum([1, *draw.integers(1, 12, texts - 1)])])
    return draw.integers(1, vocabulary, offsets[-1]).astype(np.int32), offsets


@pytest.mark.parametrize(("cell", "layers", "bidirectional", "bias"), SHAPES)
def test_the_core_is_torchs_network(cell: str, layers: int, bidirectional: bool, bias: bool) -> None:
    artifact = tiny_artifact(cell=cell, layers=layers, bidirectional=bidirectional, bias=bias)
    core = numeric_core(build_graph(artifact))
    onnx.checker.check_model(core, full_check=True)
    ids, offsets = random_texts(layers, len(artifact.vocabulary))
    (found,) = session(core).run(["probabilities"], pad(ids, offsets, np.arange(len(offsets) - 1)))
    expected = by_torch(artifact, ids, offsets)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected, axis=0).min() > 1e-3  # random enough to show a difference


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("pooling", ["final+max", "final+mean"])
def test_the_pooled_core_is_torchs_network(pooling: str, cell: str, layers: int, bidirectional: bool) -> None:
    artifact = tiny_artifact(pooling=pooling, cell=cell, layers=layers, bidirectional=bidirectional)
    core = numeric_core(build_graph(artifact))
    onnx.checker.check_model(core, full_check=True)
    ids, offsets = random_texts(layers, len(artifact.vocabulary))
    ids[0] = 0  # an empty text: its one `<pad>` counts, those behind the others' ends do not
    feed = pad(ids, offsets, np.arange(len(offsets) - 1))
    feed["ids"] = np.pad(feed["ids"], [(0, 0), (0, 3)])
    (found,) = session(core).run(["probabilities"], feed)
    np.testing.assert_allclose(found, by_torch(artifact, ids, offsets), atol=1e-6)


def ngram_session(artifact: Artifact) -> Any:
    """Return a session of what the n-grams alone give."""
    core = numeric_core(build_graph(artifact))
    core.graph.output.append(onnx.helper.make_tensor_value_info("ngram_logits", onnx.TensorProto.FLOAT, ["texts", 3]))
    return session(core)


NGRAMS = tiny_artifact(["a b c d e f g h i j"], ngram_slots=30)
NGRAM_SESSION = ngram_session(NGRAMS)


@given(st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=12), min_size=1, max_size=9), st.integers(0, 5), st.randoms())
def test_the_ngrams_of_a_text_score_torchs_very_bits_in_any_batch(texts: list[list[int]], behind: int, random: Any) -> None:
    beside = trained_network(NGRAMS).ngrams
    assert beside is not None
    random.shuffle(texts)
    longest = behind + max(map(len, texts))
    ids = np.array([text + [0] * (longest - len(text)) for text in texts])
    feed = {"ids": ids, "lengths": np.array([len(text) for text in texts], np.int32)}
    (found,) = NGRAM_SESSION.run(["ngram_logits"], feed)
    assert found.dtype == np.float32
    for row, text in zip(found, texts, strict=True):
        assert row.tobytes() == beside(torch.tensor([text]))[0].numpy().tobytes()


@pytest.mark.parametrize("classes", [2, 77])
def test_a_table_of_ngrams_takes_two_bytes_a_value(classes: int) -> None:
    def size(slots: int) -> tuple[int, int]:
        model = build_graph(tiny_artifact(["a"], labels=tuple(range(classes)), ngram_slots=slots))
        return model.ByteSize(), quantize(model).ByteSize()

    for small, large in zip(size(1000), size(9000), strict=True):
        assert large - small == pytest.approx(8000 * classes * 2, abs=64)


@pytest.mark.parametrize("floats", [False, True], ids=["whole", "floats"])
@pytest.mark.parametrize("slots", [2, 3, 50, 4096])
def test_the_core_with_ngrams_is_torchs_network(slots: int, floats: bool) -> None:
    artifact = tiny_artifact(ngram_slots=slots)
    artifact = with_float_ngrams(artifact) if floats else artifact
    core = numeric_core(build_graph(artifact))
    onnx.checker.check_model(core, full_check=True)
    ids, offsets = random_texts(slots, len(artifact.vocabulary))
    ids[0] = 0
    feed = pad(ids, offsets, np.arange(len(offsets) - 1))
    (found,) = session(core).run(["probabilities"], feed)
    feed["ids"] = np.pad(feed["ids"], [(0, 0), (0, 3)])  # what stands behind a text's end pairs with nothing
    (padded,) = session(core).run(["probabilities"], feed)
    expected = by_torch(artifact, ids, offsets)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(padded, expected, atol=1e-6)
    without = dict(artifact.weights)
    without["ngrams.weight"] = np.zeros_like(without["ngrams.weight"])
    assert np.abs(expected - by_torch(replace(artifact, weights=without), ids, offsets)).max() > 0.01


@pytest.mark.parametrize("changes", [{"pooling": "final+max"}, {"pooling": "final+mean"}, {"ngram_slots": 500}], ids=str)
def test_a_pooled_graph_takes_raw_text(changes: dict[str, Any]) -> None:
    artifact = tiny_artifact(**changes)
    runtime, expected = session(build_graph(artifact)), expected_probabilities(artifact, HARD)
    np.testing.assert_allclose(run_text(runtime, HARD)[1], expected, atol=1e-5)
    np.testing.assert_allclose(run_text(runtime, ["", " "])[1], expected_probabilities(artifact, ["", " "]), atol=1e-6)


@cache
def text_model(lowercase: bool) -> tuple[Artifact, Any]:
    """A model that knows every token of the hard texts in both cases, and its session."""
    everything = [*HARD, *(text.lower() for text in HARD), *(text.upper() for text in HARD)]
    artifact = tiny_artifact(everything, lowercase=lowercase)
    return artifact, session(build_graph(artifact))


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_raw_text_gives_what_python_gives(lowercase: bool, size: int) -> None:
    artifact, runtime = text_model(lowercase)
    expected = by_python(artifact, HARD)
    for start in range(0, len(HARD), size):
        labels, found = run_text(runtime, HARD[start : start + size])
        np.testing.assert_allclose(found, expected[start : start + size], atol=1e-6)
        assert labels == [artifact.labels[best] for best in expected[start : start + size].argmax(axis=1)]


pieces = st.sampled_from([*HARD[1:-2], *"aİΣσςßẞ \x00\x1c\x85\u200b\u3000\u0301_<>'👍🏽𐐀中"]) | st.text(
    st.characters(exclude_categories=["Cs", "Cn"]), max_size=5
)


@given(st.lists(st.lists(pieces, max_size=4).map("".join), min_size=1, max_size=4), st.booleans())
def test_any_text_gives_what_python_gives(texts: list[str], lowercase: bool) -> None:
    artifact, runtime = text_model(lowercase)
    np.testing.assert_allclose(run_text(runtime, texts)[1], by_python(artifact, texts), atol=1e-6)


@pytest.mark.parametrize(
    ("one", "other"), [("a\x00b", "a\x00c"), ("a\x00", "a"), ("a b\x00 c", "a b\x00 d"), ("\x00\x00a", "\x00\x00b")]
)
def test_text_behind_a_nul_is_seen(one: str, other: str) -> None:
    artifact = tiny_artifact(["a b c d \x00"])
    runtime = session(build_graph(artifact))
    _, found = run_text(runtime, [one, other])
    assert abs(found[0] - found[1]).max() > 1e-3
    np.testing.assert_allclose(found, by_python(artifact, [one, other]), atol=1e-6)


@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_is_treated_as_python_does(lowercase: bool) -> None:
    """Every code point between two letters, through the text part alone; unassigned ones may become letters in a newer Unicode."""
    graph = build_graph(tiny_artifact(["a"], lowercase=lowercase)).graph
    value = helper.make_tensor_value_info
    front = helper.make_graph(
        [node for node in graph.node if node.op_type in {"StringNormalizer", "Tokenizer"}],
        "front",
        [value("text", TensorProto.STRING, ["texts"])],
        [value("tokens", TensorProto.STRING, ["texts", "longest"])],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
    runtime = session(helper.make_model(front, opset_imports=opsets, ir_version=10))
    characters = [chr(point) for point in range(0x30000) if unicodedata.category(chr(point)) not in {"Cs", "Cn"}]
    assert len(characters) > 140_000
    tokenizer, differing = UnicodeTokenizer(lowercase), []
    texts = [f"x{character}Y" for character in characters]
    (rows,) = runtime.run(None, {"text": np.array(texts, dtype=object)})
    for character, text, row in zip(characters, texts, rows.tolist(), strict=True):
        expected = [token for chunk in tokenizer.chunks(text) for token in tokenizer.tokens(chunk)]
        if [token for token in row if token != "<pad>"] != expected:
            differing.append(hex(ord(character)))
    assert differing == []


def test_the_cut_is_in_the_graph() -> None:
    artifact = tiny_artifact(["a b c d"], max_tokens=3)
    runtime = session(build_graph(artifact))
    texts = ["a b c", "a b c d", "a b d", "", "a" + " b" * 5000]
    _, found = run_text(runtime, texts)
    np.testing.assert_allclose(found, by_python(artifact, texts), atol=1e-6)
    assert abs(found[0] - found[1]).max() < 1e-6
    assert abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize("texts", [[""], ["", " ", "\u3000"], ["", "a"], ["a", "", " "]])
def test_empty_texts_are_one_pad(texts: list[str]) -> None:
    artifact = tiny_artifact(["a b"])
    _, found = run_text(session(build_graph(artifact)), texts)
    np.testing.assert_allclose(found, by_python(artifact, texts), atol=1e-6)


def test_a_long_text_does_not_move_a_short_one() -> None:
    artifact = tiny_artifact(["a b ."], max_tokens=20_000)
    runtime = session(build_graph(artifact))
    long = "a . " * 5_000
    alone, beside = run_text(runtime, ["a b"])[1], run_text(runtime, ["a b", long, "b"])[1]
    np.testing.assert_allclose(beside[0], alone[0], atol=1e-6)
    np.testing.assert_allclose(beside, by_python(artifact, ["a b", long, "b"]), atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "texts"),
    [((1, 2, 10), ["1", "2", "10"]), ((False, True), ["false", "true"]), (("ä b", "", "c\x00"), ["ä b", "", "c\x00"])],
)
def test_labels_come_out_as_their_text(labels: tuple[Any, ...], texts: list[str]) -> None:
    artifact = tiny_artifact(["a b c d e"], labels=labels)
    inputs = [" ".join(words) for words in itertools.product("abcde", repeat=3)]
    found, probabilities = run_text(session(build_graph(artifact)), inputs)
    assert found == [texts[best] for best in probabilities.argmax(axis=1)]
    assert set(found) == set(texts)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_a_vocabulary_of_no_words() -> None:
    artifact = tiny_artifact([])
    assert len(artifact.vocabulary) == 2
    np.testing.assert_allclose(
        run_text(session(build_graph(artifact)), ["a", ""])[1], by_python(artifact, ["a", ""]), atol=1e-6
    )


@pytest.mark.parametrize("tokenizer", ["spacy", "basic_english"])
def test_other_tokenizers_take_ids_and_lengths(tokenizer: str) -> None:
    artifact = tiny_artifact([text for text in HARD if len(text) < 200], tokenizer=tokenizer)
    assert not takes_text(artifact)
    model = build_graph(artifact)
    assert [value.name for value in model.graph.input] == ["ids", "lengths"]
    assert not [node.name for node in model.graph.node if node.name.startswith(TEXT_PART)]
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(HARD)
    feed = pad(encoded.ids, encoded.offsets, np.arange(len(HARD)))
    labels, found = session(model).run(["label", "probabilities"], feed)
    expected = by_python(artifact, HARD)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert labels.tolist() == [artifact.labels[best] for best in expected.argmax(axis=1)]


def test_metadata_carries_all_that_classifying_needs() -> None:
    artifact = tiny_artifact(labels=(1, 2, 3), temperature=0.7, max_tokens=77)
    model = build_graph(artifact)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    record = json.loads(properties["textcls"])
    assert tuple(properties["textcls.vocabulary"].split("\n")) == artifact.vocabulary.tokens
    assert (record["labels"], record["temperature"], record["format_version"]) == ([1, 2, 3], 0.7, 1)
    assert record["text"] == artifact.config.text.model_dump(mode="json")
    assert record["fingerprint"] == artifact.fingerprint
    assert (model.ir_version, model.producer_name) == (10, "textcls")


def test_the_model_is_left_as_it_was_and_built_alike_each_time() -> None:
    artifact = tiny_artifact()
    model = build_graph(artifact)
    content = model.SerializeToString(deterministic=True)
    core = numeric_core(model)
    assert list(core.graph.input) == core_inputs()
    assert not [node for node in core.graph.node if node.domain]
    assert model.SerializeToString(deterministic=True) == content
    assert build_graph(artifact).SerializeToString(deterministic=True) == content


@pytest.mark.parametrize("locale", [{}, {"LANG": "C", "LC_ALL": "C"}, {"LANG": "de_DE.UTF-8"}, {"LANG": "C.UTF-8"}])
def test_the_hosts_locale_does_not_matter(tmp_path: Path, locale: dict[str, str]) -> None:
    artifact, _ = text_model(True)
    onnx.save(build_graph(artifact), tmp_path / "model.onnx")
    script = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "text = np.array(sys.stdin.buffer.read().decode().split('\\n'), dtype=object)\n"
        "session = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "np.save(sys.argv[2], session.run(['probabilities'], {'text': text})[0])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LANG" and not name.startswith("LC_")}
    texts = "\n".join(HARD[2:]).split("\n")
    command = [sys.executable, "-c", script, str(tmp_path / "model.onnx"), str(tmp_path / "found.npy")]
    subprocess.run(command, input="\n".join(texts).encode(), env=environment | locale, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), by_python(artifact, texts), atol=1e-6)
