"""The model folder: whole, plain, read back as it was, and refused with one line where it is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_artifact, with_float_ngrams
from safetensors.numpy import load_file, save_file

from textcls.artifact import FORMAT_VERSION, Artifact, read_artifact, write_artifact
from textcls.data.labels import Label
from textcls.errors import ModelError, TextclsError

FILES = ["README.md", "calibration.json", "config.yaml", "labels.json", "metrics.json", "model.safetensors", "vocabulary.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    artifact = replace(tiny_artifact(), metrics={"test": {"rows": 3}}, provenance={"train_rows": 9})
    write_artifact(artifact, tmp_path / "model", "# card\n")
    return tmp_path / "model"


def same(one: Artifact, other: Artifact) -> bool:
    plain = [replace(artifact, weights={}) for artifact in (one, other)]
    return plain[0] == plain[1] and all(
        np.array_equal(one.weights[name], other.weights[name]) for name in [*one.weights, *other.weights]
    )


@pytest.mark.parametrize("labels", [("b", "a"), (1, 2, 10), (False, True), (0.5, 1.5), ("7", "007", "é\n")])
def test_round_trip(tmp_path: Path, labels: tuple[Label, ...]) -> None:
    artifact = replace(tiny_artifact(labels=labels), metrics={"validation": {"accuracy": 0.5}}, provenance={"x": ["é"]})
    write_artifact(artifact, tmp_path / "a" / "model", "# card\n")
    again = read_artifact(tmp_path / "a" / "model")
    assert same(again, artifact)
    assert list(map(type, again.labels)) == list(map(type, labels))
    assert again.fingerprint == artifact.fingerprint
    assert sorted(path.name for path in (tmp_path / "a" / "model").iterdir()) == FILES


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "gru", "layers": 2},
        {"bias": False, "bidirectional": False},
        {"tokenizer": "basic_english"},
        {"cell": "rnn", "layers": 3},
    ],
)
def test_round_trip_of_every_kind_of_network(tmp_path: Path, changes: dict[str, Any]) -> None:
    artifact = tiny_artifact(**changes)
    write_artifact(artifact, tmp_path / "model", "")
    assert same(read_artifact(tmp_path / "model"), artifact)


def test_nothing_but_plain_data(folder: Path) -> None:
    for path in folder.iterdir():
        content = path.read_bytes()
        assert b"\r" not in content or path.name == "model.safetensors"
        assert str(folder.parent).encode() not in content
        if path.name != "model.safetensors":
            content.decode("utf-8")
    header = (folder / "model.safetensors").read_bytes()
    assert header[8:9] == b"{"  # safetensors' own header, no pickle


def test_writing_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_artifact(read_artifact(folder), tmp_path / "again", "# card\n")
    for name in FILES:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_an_error_while_writing_leaves_the_old_model(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    broken = replace(tiny_artifact(seed=1), metrics={"x": object()})
    with pytest.raises(TypeError):
        write_artifact(broken, folder, "# new\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_model_gives_way_to_a_model(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"the old model's graph")
    write_artifact(tiny_artifact(seed=1), folder, "# new\n")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert same(read_artifact(folder), tiny_artifact(seed=1))


def test_a_folder_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(TextclsError, match="photos: holds other files than a model"):
        write_artifact(tiny_artifact(), tmp_path / "photos", "")
    assert (tmp_path / "photos" / "holiday.jpg").read_bytes() == b"precious"
    write_artifact(tiny_artifact(), tmp_path / "model", "")
    for name in ("a.txt", "b.txt", "c.txt", ".git"):
        (tmp_path / "model" / name).write_bytes(b"precious")
    (tmp_path / "model" / ".model.onnx.12345678.part.onnx").write_bytes(b"torn")  # nobody's any more
    with pytest.raises(
        TextclsError, match=r"model: holds other files than a model, which would be lost: \.git, a.txt, b.txt and 1"
    ):
        write_artifact(tiny_artifact(seed=1), tmp_path / "model", "")
    assert (tmp_path / "model" / "c.txt").read_bytes() == b"precious"
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(TextclsError, match="file: is a file"):
        write_artifact(tiny_artifact(), tmp_path / "file", "")
    assert (tmp_path / "file").read_bytes() == b"precious"
    (tmp_path / "link").symlink_to(tmp_path / "model")
    with pytest.raises(TextclsError, match="link: is a symbolic link"):
        write_artifact(tiny_artifact(), tmp_path / "link", "")
    (tmp_path / "empty").mkdir()
    write_artifact(tiny_artifact(), tmp_path / "empty", "")
    assert same(read_artifact(tmp_path / "empty"), tiny_artifact())


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as raised:
        read_artifact(folder)
    message = str(raised.value)
    assert message.startswith(f"{folder}: ")
    assert "\n" not in message
    return message


def test_no_model(folder: Path) -> None:
    assert refusal(folder / "none").endswith("does not exist")
    assert refusal(folder.parent).endswith(f"is no model folder: it has no labels.json; the model is in {folder}")


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 99])
def test_a_newer_format_is_refused_by_name(folder: Path, version: int) -> None:
    (folder / "labels.json").write_text(json.dumps({"format_version": version, "something": "new"}))
    assert f"format version {version}, written by a newer textcls; this one reads up to {FORMAT_VERSION}" in refusal(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name not in {"README.md", "labels.json"}])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"[]", b"null", b'{"a": 1}', b"\x00" * 100, b"a: b: c"])
@pytest.mark.parametrize("name", [name for name in FILES if name != "README.md"])
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert name in refusal(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_half_copied_file_is_named(folder: Path, share: float) -> None:
    for name in ("model.safetensors", "labels.json", "vocabulary.txt"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: min(int(len(content) * share), len(content) - 3)])
        assert name in refusal(folder)
        (folder / name).write_bytes(content)


def edit_json(name: str, **changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | changes))

    return edit


def edit_weights(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return edit


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (edit_json("labels.json", labels=["a", "b"]), "labels.json has 2 labels, model.safetensors 3 classes"),
        (edit_json("labels.json", labels=["a", "b", "a"]), "labels.json"),
        (edit_json("labels.json", labels="abc"), "labels.json"),
        (edit_json("labels.json", labels=[["a"], None, {}]), "labels.json"),
        (edit_json("labels.json", format_version="x"), "labels.json"),
        (edit_json("calibration.json", temperature=0), "calibration.json"),
        (edit_json("calibration.json", temperature="warm"), "calibration.json"),
        (edit_json("calibration.json", temperature=float("nan")), "calibration.json"),
        (edit_weights(lambda weights: weights.pop("encoder.rnn.weight_hh_l0")), "encoder.rnn.weight_hh_l0"),
        (edit_weights(lambda weights: weights.pop("embedding.weight")), "embedding.weight"),
        (edit_weights(lambda weights: weights.update({"classifier.bias": np.zeros(2, np.float32)})), "classifier.bias"),
        (
            edit_weights(lambda weights: weights.update({"encoder.rnn.weight_ih_l0": np.zeros((12, 5), np.float32)})),
            "weight_ih_l0",
        ),
        (edit_weights(lambda weights: weights.update({"classifier.bias": np.zeros(3, np.float64)})), "classifier.bias"),
        (lambda folder: (folder / "config.yaml").write_text("model: {hidden_size: 7, embedding_size: 4}"), "config.yaml"),
        (lambda folder: (folder / "config.yaml").write_text("model: {hidden_size: 3}"), "config.yaml"),
        (lambda folder: (folder / "config.yaml").write_text("x: 1\ny: 2"), "config.yaml"),
        (lambda folder: (folder / "vocabulary.txt").write_text("<pad>\n<unk>\na\n"), "vocabulary.txt has 3 tokens"),
    ],
)
def test_files_that_do_not_belong_together(folder: Path, damage: Callable[[Path], None], expected: str) -> None:
    damage(folder)
    assert expected in refusal(folder)


@pytest.mark.parametrize("floats", [False, True], ids=["whole", "floats"])
def test_round_trip_of_ngrams(floats: bool, tmp_path: Path) -> None:
    artifact = tiny_artifact(ngram_slots=9)
    artifact = with_float_ngrams(artifact) if floats else artifact
    write_artifact(artifact, tmp_path / "model", "")
    again = read_artifact(tmp_path / "model")
    assert same(again, artifact)
    assert again.weights["ngrams.weight"].dtype == (np.float32 if floats else np.int16)
    assert again.fingerprint == artifact.fingerprint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights.pop("ngrams.scale"), "ngrams.weight as int16 (9, 3), config.yaml makes it float32 (9, 3)"),
        (lambda weights: weights.pop("ngrams.bias"), "lacks ngrams.bias"),
        (lambda weights: weights.update({"ngrams.scale": np.ones(2, np.float32)}), "ngrams.scale as float32 (2,)"),
        (lambda weights: weights.update({"ngrams.scale": np.ones(3, np.float64)}), "ngrams.scale as float64 (3,)"),
        (
            lambda weights: weights.update({"ngrams.weight": np.ones((9, 3), np.float32)}),
            "float32 (9, 3), config.yaml makes it int16",
        ),
        (
            lambda weights: weights.update({"ngrams.weight": np.ones((9, 3), np.int32)}),
            "int32 (9, 3), config.yaml makes it int16",
        ),
        (
            lambda weights: weights.update({"ngrams.weight": np.ones((8, 3), np.int16)}),
            "int16 (8, 3), config.yaml makes it int16 (9, 3)",
        ),
        (lambda weights: weights.update({"classifier.bias": np.ones(3, np.int16)}), "classifier.bias as int16 (3,)"),
    ],
)
def test_ngrams_of_another_kind_are_refused(change: Callable[[dict[str, Any]], None], said: str, tmp_path: Path) -> None:
    write_artifact(tiny_artifact(ngram_slots=9), tmp_path / "model", "")
    edit_weights(change)(tmp_path / "model")
    assert said in refusal(tmp_path / "model")


def test_a_scale_without_ngrams_is_refused(folder: Path) -> None:
    edit_weights(lambda weights: weights.update({"ngrams.scale": np.ones(3, np.float32)}))(folder)
    assert "holds an unknown ngrams.scale" in refusal(folder)


def test_a_vocabulary_with_a_token_twice_is_refused(folder: Path) -> None:
    lines = (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    lines[3] = lines[2]
    (folder / "vocabulary.txt").write_text("\n".join(lines), encoding="utf-8")
    assert "vocabulary.txt" in refusal(folder)


def test_the_fingerprint_covers_all_that_settles_a_score() -> None:
    artifact = tiny_artifact()
    weights = {name: array.copy() for name, array in artifact.weights.items()}
    weights["classifier.bias"][0] += 1e-3
    others = [
        replace(artifact, weights=weights),
        replace(artifact, temperature=1.31),
        replace(artifact, labels=("yes", "no", "maybe")),
        replace(artifact, config=artifact.config.replace({"text.lowercase": False})),
        replace(artifact, config=artifact.config.replace({"text.max_tokens": 7})),
        replace(artifact, vocabulary=type(artifact.vocabulary)((*artifact.vocabulary.tokens[:-1], "other"))),
    ]
    assert len({artifact.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1
    assert replace(artifact, metrics={"a": 1}, provenance={"b": 2}).fingerprint == artifact.fingerprint
