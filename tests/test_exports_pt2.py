"""Programs of `torch.export`: batches and lengths they were not traced with, what travels in them, and the releases they refuse."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_artifact
from typer.testing import CliRunner

from textcls.artifact import Artifact, write_artifact
from textcls.cli import app
from textcls.errors import ExportError, InputError, ModelError
from textcls.exports import export, format_of, onnx_file, pt2
from textcls.exports.parity import expected_probabilities
from textcls.exports.texts import drawn_texts
from textcls.inference.engine import pad
from textcls.inference.graph import metadata
from textcls.inference.program import RELEASE
from textcls.inference.seal import verify
from textcls.text import Encoder

# torch's own modules warn where torch.export first imports them
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")

WORDS = ["the naïve İstanbul", "strasse 中文 ."]
TEXTS = ["", "the", "the naïve strasse . the the 中文", "unknown"]
ARTIFACT = tiny_artifact(WORDS, max_tokens=1000)
MANY = replace(tiny_artifact(WORDS, cell="rnn"), many=True, thresholds=(0.3, 0.5, 0.7))


@pytest.fixture(scope="module")
def content() -> bytes:
    return pt2.program_bytes(ARTIFACT)


@pytest.fixture(scope="module")
def many() -> bytes:
    return pt2.program_bytes(MANY)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_artifact(ARTIFACT, tmp_path / "model", "")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove on fewer drawn texts and a shorter long one: what is tested here is the proof, not the model."""
    monkeypatch.setattr(drawn_texts, "__defaults__", (8,))
    monkeypatch.setattr(onnx_file, "LONG_TEXT_TOKENS", 400)


def answers(content: bytes, artifact: Artifact, texts: list[str]) -> Any:
    encoded = Encoder.from_settings(artifact.config.text, artifact.vocabulary).encode(texts)
    feed = pad(encoded.ids, encoded.offsets, np.arange(len(texts)))
    inputs = [torch.from_numpy(feed[name].astype(np.int64)) for name in ("ids", "lengths")]
    return torch.export.load(io.BytesIO(content)).module()(*inputs)


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "gru", "bidirectional": False},
        {"cell": "rnn", "layers": 2, "bias": False, "pooling": "final+max"},
        {"layers": 2, "pooling": "final+mean"},
        {"ngram_slots": 50},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_network_gives_what_the_model_gives(settings: dict[str, Any]) -> None:
    artifact = tiny_artifact(WORDS, **settings)
    content = pt2.program_bytes(artifact)
    for texts in (TEXTS, TEXTS[2:3], TEXTS[:1] * 9):
        found = answers(content, artifact, texts).numpy()
        np.testing.assert_allclose(found, expected_probabilities(artifact, texts), atol=1e-6)


def test_many_labels_are_selected_by_their_thresholds(many: bytes) -> None:
    probabilities, selected = answers(many, MANY, TEXTS)
    np.testing.assert_allclose(probabilities.numpy(), expected_probabilities(MANY, TEXTS), atol=1e-6)
    assert selected.tolist() == (probabilities.numpy() >= np.array(MANY.thresholds, np.float32)).tolist()
    assert 0 < selected.sum() < selected.numel()


def test_a_proven_file_takes_its_place_and_says_what_it_is(model: Path, tmp_path: Path, content: bytes) -> None:
    result = CliRunner().invoke(app, ["export", str(model), str(tmp_path / "out.pt2")])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("takes token ids and lengths, not raw text: it is for PyTorch programs")
    assert "load_pt2" in result.stderr
    assert (tmp_path / "out.pt2").read_bytes() == content  # the same model, the same bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out.pt2"]
    assert verify(tmp_path / "out.pt2") == []
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "out.pt2")]).stdout
    assert ARTIFACT.fingerprint in shown
    loaded = pt2.load_pt2(tmp_path / "out.pt2")
    assert loaded.vocabulary == ARTIFACT.vocabulary.tokens
    assert loaded.record["labels"] == ["no", "yes", "maybe"]
    assert torch.equal(
        loaded.module(torch.tensor([[2, 3]]), torch.tensor([2])), loaded.module(torch.tensor([[2, 3, 0]]), torch.tensor([2]))
    )


def test_what_the_onnx_file_says_of_itself_travels_and_no_path_of_this_machine(content: bytes) -> None:
    extra: dict[str, str] = dict.fromkeys((*metadata(ARTIFACT), RELEASE), "")
    torch.export.load(io.BytesIO(content), extra_files=extra)
    found = {name: text.decode() if isinstance(text, bytes) else text for name, text in extra.items()}
    assert len(found.pop("textcls.sha256")) == 64
    assert found == {**metadata(ARTIFACT), RELEASE: torch.__version__.partition("+")[0]}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not any(b".py" in archive.read(name) for name in archive.namelist())


def test_another_release_of_torch_is_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, own = tmp_path / "model.pt2", torch.__version__.partition("+")[0]
    path.write_bytes(content)
    monkeypatch.setattr(torch, "__version__", f"{own}+another.build")
    assert pt2.load_pt2(path).vocabulary
    monkeypatch.setattr(torch, "__version__", "2.99.1+cpu")
    with pytest.raises(ModelError, match=rf"needs torch {own}, this is 2\.99\.1; install torch=={own} or export") as raised:
        pt2.load_pt2(path)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be read: No such file"):
        pt2.load_pt2(tmp_path / "none.pt2")
    (tmp_path / "text.pt2").write_text("text")
    torch.save({}, tmp_path / "other.pt2")
    for name in ("text.pt2", "other.pt2"):
        with pytest.raises(ModelError, match=f"{name}: is no .pt2 file that `textcls export` wrote"):
            pt2.load_pt2(tmp_path / name)


def test_a_broken_export_is_refused_and_leaves_nothing(many: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last threshold is another's: every probability is right, and the labels of some texts are not."""
    write_artifact(replace(MANY, thresholds=(0.3, 0.5, 0.99)), tmp_path / "model", "")
    monkeypatch.setattr(pt2, "program_bytes", lambda _: many)
    out = tmp_path / "out.pt2"
    out.write_bytes(b"old export")
    with pytest.raises(ExportError, match=r"in the label of the text .* \(\[.*'maybe'\], the model \[") as raised:
        export(tmp_path / "model", out, force=True)
    assert "\n" not in str(raised.value)
    assert out.read_bytes() == b"old export"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out.pt2"]


def test_a_torch_that_cannot_export_is_one_line(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(torch.export, "export", refuse)
    with pytest.raises(ExportError, match=r"^torch [\d.]+ cannot export this network: no such operator$"):
        export(model, tmp_path / "out.pt2")
    assert not (tmp_path / "out.pt2").exists()


def test_a_place_that_does_not_serve(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out.pt2").write_bytes(b"old")
    with pytest.raises(InputError, match="exists already; name another file, or give force=True"):
        export(model, tmp_path / "out.pt2")
    with pytest.raises(InputError, match=r"exports of this kind are \.pt2 files; name one, such as out\.pt2"):
        export(model, tmp_path / "out.onnx", to="pt2")
    with pytest.raises(InputError, match="--quantize goes with --to onnx or hub; a pt2 export"):
        export(model, tmp_path / "new.pt2", quantize="int8")


def test_the_ending_names_the_format() -> None:
    assert [format_of(name, None) for name in ("a.pt2", "a.onnx", "a")] == ["pt2", "onnx", "onnx"]
    assert format_of("a.pt2", "web") == "web"
