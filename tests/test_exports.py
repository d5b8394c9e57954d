"""Exports: one file, proven against the model before it takes its place; nothing is left where it is not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from helpers import tiny_artifact

from textcls.artifact import Artifact, write_artifact
from textcls.errors import ExportError, InputError, ModelError
from textcls.exports import FORMATS, export, onnx_file
from textcls.exports import texts as proof
from textcls.exports.onnx_file import file_runner
from textcls.exports.parity import Parity, compare, expected_probabilities
from textcls.exports.texts import (
    HARD_TEXTS,
    LONG_TEXT_TOKENS,
    MOST_TEXTS,
    drawn_texts,
    hard_texts,
    long_text,
    real_texts,
    texts_of_all_words,
)
from textcls.inference import Predictor
from textcls.inference.engine import OnnxEngine
from textcls.inference.graph import build_graph
from textcls.inference.seal import verify
from textcls.text import Encoder

ARTIFACT = tiny_artifact()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_artifact(ARTIFACT, tmp_path / "run" / "model", "# card\n")
    return tmp_path / "run" / "model"


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove on fewer drawn texts and a shorter long one: what is tested here is the proof, not the model."""
    monkeypatch.setattr("textcls.exports.texts.MOST_TEXTS", 20)
    monkeypatch.setattr(drawn_texts, "__defaults__", (20,))
    monkeypatch.setattr(onnx_file, "LONG_TEXT_TOKENS", 1200)


@pytest.mark.parametrize("tokenizer", ["unicode", "basic_english", "spacy"])
def test_a_proven_file_classifies_as_the_model(tmp_path: Path, tokenizer: str) -> None:
    artifact = tiny_artifact([text for text in HARD_TEXTS if len(text) < 200], tokenizer=tokenizer, layers=2)
    write_artifact(artifact, tmp_path / "model", "")
    report = export(tmp_path / "model", tmp_path / "out.onnx")
    content = (tmp_path / "out.onnx").read_bytes()
    assert report.takes_text == (tokenizer == "unicode")
    assert (report.bytes, report.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    words = texts_of_all_words(artifact) if report.takes_text else []
    assert report.texts == 20 + len(HARD_TEXTS) + 6 + len(words)
    assert 0 < report.largest_difference < 1e-5
    assert report.source == "texts drawn from the vocabulary (the run's data is not at hand)"
    found = Predictor.load(tmp_path / "out.onnx").predict(HARD_TEXTS).probabilities
    np.testing.assert_allclose(found, Predictor.load(tmp_path / "model").predict(HARD_TEXTS).probabilities, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out.onnx"]
    assert str(tmp_path).encode() not in content


def test_exporting_twice_gives_the_same_bytes(model: Path, tmp_path: Path) -> None:
    one, two = (export(model, tmp_path / name).sha256 for name in ("one.onnx", "two.onnx"))
    assert one == two
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def swap_rows(array: np.ndarray[Any, Any], vocabulary: Any) -> None:
    one, other = vocabulary.index["istanbul"], vocabulary.index["strasse"]
    array[[one, other]] = array[[other, one]]


def broken_graph(initializer: str, change: Any) -> Any:
    def build(artifact: Artifact, **options: Any) -> onnx.ModelProto:
        graph = build_graph(artifact, **options)
        for constant in graph.graph.initializer:
            if constant.name == initializer:
                array = onnx.numpy_helper.to_array(constant).copy()
                change(array, artifact.vocabulary)
                constant.CopyFrom(onnx.numpy_helper.from_array(array, initializer))
        return graph

    return build


def nudge(array: np.ndarray[Any, Any], _vocabulary: Any) -> None:
    array.flat[0] += 1e-3


def undone(array: np.ndarray[Any, Any], _vocabulary: Any) -> None:
    array.flat[0] = np.nan


def without_lower_case(artifact: Artifact, **options: Any) -> onnx.ModelProto:
    graph = build_graph(artifact, **options)
    next(node for node in graph.graph.node if node.op_type == "StringNormalizer").attribute[0].s = b"NONE"
    return graph


def with_labels_exchanged(artifact: Artifact, **options: Any) -> onnx.ModelProto:
    return build_graph(replace(artifact, labels=("yes", "no", "maybe")), **options)


def with_a_word_lost(artifact: Artifact, **options: Any) -> onnx.ModelProto:
    graph = build_graph(artifact, **options)
    node = next(node for node in graph.graph.node if node.name == "text/uncut_ids")
    next(attribute for attribute in node.attribute if attribute.name == "keys_strings").strings[-1] = b"lost"
    return graph


BROKEN = {
    "a word lost": with_a_word_lost,
    "two embedding rows exchanged": broken_graph("embedding", swap_rows),
    "recurrent weights": broken_graph("R_0", lambda array, _: array.__imul__(1.01)),
    "a bias": broken_graph("classifier_bias", nudge),
    "temperature": broken_graph("temperature", nudge),
    "not a number": broken_graph("classifier_bias", undone),
    "a longer cut": broken_graph("text_end", lambda array, _: array.__iadd__(1)),
    "upper case": without_lower_case,
    "labels exchanged": with_labels_exchanged,
    "one token's id": lambda artifact, **options: build_graph(
        replace(artifact, vocabulary=type(artifact.vocabulary)((*artifact.vocabulary.tokens[:-1], "another"))), **options
    ),
}


@pytest.mark.parametrize("build", list(BROKEN.values()), ids=list(BROKEN))
def test_a_broken_export_is_refused_and_leaves_nothing(
    model: Path, tmp_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "model.onnx"
    monkeypatch.setattr(onnx_file, "build_graph", build)
    with pytest.raises(ExportError, match="the export differs") as raised:
        export(model, out)
    assert "\n" not in str(raised.value)
    assert list(out.parent.iterdir()) == []
    out.write_bytes(b"old export")
    with pytest.raises(ExportError):
        export(model, out, force=True)
    assert [path.read_bytes() for path in out.parent.iterdir()] == [b"old export"]


@pytest.mark.parametrize("words", [0, proof.MOST_WORDS])
def test_a_word_that_no_other_text_has_is_missed(
    words: int, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts.txt").write_text("one\n")
    monkeypatch.setattr(onnx_file, "hard_texts", list)
    monkeypatch.setattr(onnx_file, "long_text", lambda *_: "long")
    monkeypatch.setattr(proof, "MOST_WORDS", words)
    monkeypatch.setattr(onnx_file, "build_graph", with_a_word_lost)
    assert bool(texts_of_all_words(ARTIFACT)) == bool(words)
    said = (
        "differs from the model in its vocabulary"
        if not words
        else "differs from the model by .*, in batches of 1, on the text"
    )
    for form in (None, "int8"):
        with pytest.raises(ExportError, match=said if form is None else "in its vocabulary"):
            export(model, tmp_path / "out.onnx", quantize=form, texts=tmp_path / "texts.txt")


def test_a_file_that_gives_something_to_no_texts_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxEngine, "__call__", lambda *_: np.zeros((1, 3), np.float32))
    with pytest.raises(ExportError, match=r"gives probabilities of shape \(1, 3\) to no texts"):
        export(model, tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_that_does_not_load_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(artifact: Artifact, **options: Any) -> onnx.ModelProto:
        graph = build_graph(artifact, **options)
        graph.graph.node[-1].op_type = "NoSuchOperator"
        return graph

    monkeypatch.setattr(onnx_file, "build_graph", build)
    with pytest.raises(ExportError, match="its runtime refuses the export"):
        export(model, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_locale_that_is_not_here_is_one_line(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--locale xx_XX: this machine has no such locale, .* `locale -a` lists") as raised:
        export(model, tmp_path / "out.onnx", locale="xx_XX")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"locale": ""}, "--locale names none; give one, such as C.UTF-8"),
        ({"locale": "C", "to": "spacy"}, "--locale goes with"),
    ],
)
def test_a_locale_that_means_nothing(options: dict[str, Any], said: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        export(model, tmp_path / "out.onnx", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("to", FORMATS)
def test_a_model_that_was_changed_is_not_exported(to: str, model: Path, tmp_path: Path) -> None:
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelError, match=r"model\.safetensors is not what textcls wrote \(another SHA-256\)") as raised:
        export(model, tmp_path / f"out{'.' * (to in {'onnx', 'pt2'})}{to * (to in {'onnx', 'pt2'})}", to=to)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_model_without_hashes_is_exported(model: Path, tmp_path: Path) -> None:
    record = json.loads((model / "metrics.json").read_text())
    del record["sha256"]
    (model / "metrics.json").write_text(json.dumps(record))
    export(model, tmp_path / "out.onnx")
    assert verify(tmp_path / "out.onnx") == []


def test_an_existing_file_is_kept_without_force(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    with pytest.raises(InputError, match="exists already; name another file, or give force=True"):
        export(model, out)
    assert out.read_bytes() == b"old"
    report = export(model, out, force=True)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == report.sha256


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("out.pt", "name one, such as out.onnx"),
        ("out", r"says no format; name one, such as out.onnx, or give the format \(--to\), one of onnx, pt2, web, spacy, hub"),
        ("none/out.onnx", "the folder .*none does not exist"),
    ],
)
def test_a_place_that_does_not_serve(model: Path, tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        export(model, tmp_path / name)


def test_a_folder_in_the_place_of_the_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out.onnx").mkdir()
    for force in (False, True):
        with pytest.raises(InputError, match=r"is a folder; name a file, such as .*out.onnx/model.onnx"):
            export(model, tmp_path / "out.onnx", force=force)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", "run"]


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        export(tmp_path / "none", tmp_path / "out.onnx")


def test_texts_of_a_file(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("one\n\n two \nthree\n", encoding="utf-8")
    assert real_texts(ARTIFACT, model, texts) == (["one", " two ", "three"], "texts of texts.txt")
    report = export(model, tmp_path / "out.onnx", texts=texts)
    assert (report.source, report.texts) == ("texts of texts.txt", 3 + len(HARD_TEXTS) + 6 + len(texts_of_all_words(ARTIFACT)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "has no text"),
        (b" \n\n", "has no text"),
        (b"a\xff", r"texts\.txt: is not UTF-8 text \(at byte 1\); write one text a line"),
        (None, r"^--texts .*texts\.txt: cannot be read: No such file or directory; name a file of texts, one a line$"),
    ],
)
def test_a_texts_file_that_does_not_serve(model: Path, tmp_path: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "texts.txt").write_bytes(content)
    with pytest.raises(InputError, match=expected):
        export(model, tmp_path / "out.onnx", texts=tmp_path / "texts.txt")
    assert not (tmp_path / "out.onnx").exists()


def test_drawn_texts_are_of_the_vocabulary_and_always_the_same() -> None:
    texts = drawn_texts(ARTIFACT, 200)
    assert texts == drawn_texts(ARTIFACT, 200)
    assert len(set(texts)) > 150
    encoded = Encoder.from_settings(ARTIFACT.config.text, ARTIFACT.vocabulary).encode(texts)
    known = np.unique(encoded.ids)
    assert len(known) > 0.95 * len(ARTIFACT.vocabulary)
    assert (encoded.ids == 1).mean() < 0.5
    assert drawn_texts(tiny_artifact([]), 3)  # even without a word


@pytest.mark.parametrize("tokenizer", ["unicode", "spacy"])
@pytest.mark.slow
def test_a_model_that_reads_20000_tokens_is_proven_on_them(
    tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "LONG_TEXT_TOKENS", LONG_TEXT_TOKENS)
    words = [text for text in HARD_TEXTS if len(text) < 200]
    artifact = tiny_artifact(words, tokenizer=tokenizer, max_tokens=LONG_TEXT_TOKENS + 1)
    long = long_text(artifact, LONG_TEXT_TOKENS)
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode([long])
    assert len(encoded.ids) == LONG_TEXT_TOKENS + 1
    assert len(set(encoded.ids[-100:].tolist())) > 30
    seen: list[Any] = []

    def noted(*given: Any, **options: Any) -> Parity:
        seen.append(given[2])
        return compare(*given, **options)

    monkeypatch.setattr(onnx_file, "compare", noted)
    write_artifact(artifact, tmp_path / "model", "")
    export(tmp_path / "model", tmp_path / "out.onnx")
    assert seen[1:3] == [[long], ["short", long]]


def test_the_hard_texts_hold_what_the_design_names() -> None:
    together = "".join(HARD_TEXTS)
    for piece in ("İ", "Σ ", "\x00", "👍🏽", "\u0308", "\u200b", "\u3000", "\ud800", "<pad>"):
        assert piece in together
    assert "" in HARD_TEXTS
    assert max(map(len, HARD_TEXTS)) >= 10_000
    assert hard_texts() == list(HARD_TEXTS)
    assert MOST_TEXTS == 1000


def test_the_expected_probabilities_are_those_of_torchs_own_network() -> None:
    from textcls.evaluation import softmax
    from textcls.model import Network, pack

    artifact = tiny_artifact(layers=2, cell="gru")
    network = Network(artifact.config.model, len(artifact.vocabulary), 3).eval()
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in artifact.weights.items()})
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(HARD_TEXTS)
    with torch.inference_mode():
        together = softmax(network(pack(encoded.ids, encoded.offsets)).numpy(), artifact.temperature)
    np.testing.assert_allclose(expected_probabilities(artifact, HARD_TEXTS), together, atol=1e-6)


def test_compare_names_the_text_that_differs(model: Path, tmp_path: Path) -> None:
    onnx.save(build_graph(ARTIFACT), tmp_path / "file.onnx")
    with file_runner(ARTIFACT, tmp_path / "file.onnx") as run:
        _compare_spoilt_runs(run)


def _compare_spoilt_runs(run: Any) -> None:
    assert compare(ARTIFACT, run, ["a", "strasse", "b"]).texts == 3

    def spoilt(by: float) -> Any:
        def spoilt_run(texts: Any) -> Any:
            labels, probabilities = run(texts)
            probabilities[[text == "strasse" for text in texts]] += by
            return labels, probabilities

        return spoilt_run

    message = r"differs from the model by 2(?:\.1)?e-05 \(allowed 1e-05\), in batches of 1, on the text 'strasse'"
    with pytest.raises(ExportError, match=message):
        compare(ARTIFACT, spoilt(2e-5), ["a", "strasse", "b"])
    with pytest.raises(ExportError, match="differs from the model by nan"):
        compare(ARTIFACT, spoilt(float("nan")), ["a", "strasse", "b"])
    with pytest.raises(ExportError, match="shape"):
        compare(ARTIFACT, lambda texts: (run(texts)[0], run(texts)[1][:, :2]), ["a"])
