"""Models for the Hugging Face Hub: the folder, the card, and the way there and back, through a client that stays on this machine."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from conftest import TinyRun
from helpers import tiny_artifact
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from textcls import TextClassifier
from textcls.artifact import Artifact, read_artifact
from textcls.cli import app
from textcls.errors import InputError, ModelError
from textcls.exports import export, onnx_file
from textcls.exports.hub import hub_card
from textcls.exports.onnx_file import ExportReport
from textcls.exports.parity import rounded_down, rounded_up
from textcls.exports.texts import drawn_texts
from textcls.inference import Predictor
from textcls.inference.seal import verify

TEXTS = ["the team won twice", "a virus is back", ""]
REPORT = ExportReport(True, 10, "texts", 2e-7, 1, "ab")


class LocalHub:
    """The few calls of the client that textcls makes; the Hub is a folder."""

    root: Path
    calls: list[tuple[str, Any]]

    def create_repo(self, repo_id: str, *, exist_ok: bool) -> None:
        self.calls.append(("create_repo", exist_ok))
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        self.calls.append(("upload_folder", commit_message))
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    @classmethod
    def snapshot_download(cls, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        cls.calls.append(("snapshot_download", revision))
        if not (cls.root / repo_id).is_dir():
            raise ConnectionError("no such repository\nmore of it")
        there = {path.name for path in (cls.root / repo_id).iterdir()}
        assert there - {"SHA256SUMS"} == set(allow_patterns) - {"bpe.model"}  # which models of subwords have
        return str(cls.root / repo_id)


@pytest.fixture(autouse=True)
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[LocalHub]:
    monkeypatch.setattr("textcls.exports.texts.MOST_TEXTS", 20)
    monkeypatch.setattr(drawn_texts, "__defaults__", (20,))
    monkeypatch.setattr(onnx_file, "LONG_TEXT_TOKENS", 1200)
    monkeypatch.setattr(huggingface_hub, "HfApi", LocalHub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", LocalHub.snapshot_download)
    LocalHub.root, LocalHub.calls = tmp_path / "hub", []
    return LocalHub


def test_a_model_goes_to_the_hub_and_comes_back(tiny_run: TinyRun, tmp_path: Path, local_hub: type[LocalHub]) -> None:
    out = tmp_path / "folder"
    result = CliRunner().invoke(app, ["export", str(tiny_run.model), str(out), "--to", "hub", "--push", "me/films"])
    assert result.exit_code == 0, result.stderr
    assert "sent to the Hub: me/films\n" in result.stdout
    assert 'TextClassifier.load("hub:me/films")' in result.stderr
    assert local_hub.calls == [("create_repo", True), ("upload_folder", "Upload a textcls model")]
    assert verify(out) == []
    loaded = TextClassifier.load("hub:me/films@v1")
    assert local_hub.calls[-1] == ("snapshot_download", "v1")
    expected = TextClassifier.load(tiny_run.model).predict_proba(TEXTS)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), expected)
    np.testing.assert_allclose(TextClassifier.load(out / "model.onnx").predict_proba(TEXTS), expected, atol=1e-6)
    assert 'TextClassifier.load("hub:me/films")' in (out / "README.md").read_text(encoding="utf-8")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    export(tiny_run.model, out, to="hub", force=True, push="me/films")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_folder_of_a_model_without_hashes_has_them(tiny_run: TinyRun, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_run.model, tmp_path / "model")
    record = json.loads((model / "metrics.json").read_text())
    del record["sha256"]
    (model / "metrics.json").write_text(json.dumps(record))
    (tmp_path / "texts.txt").write_text("the team won\nthe cat sat\n")  # or the copy would be compared on others
    for name, source in {"one": model, "two": tiny_run.model}.items():
        export(source, tmp_path / name, to="hub", texts=tmp_path / "texts.txt")
        assert verify(tmp_path / name) == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()
    }


def test_an_int8_file_goes_with_it(tiny_run: TinyRun, tmp_path: Path) -> None:
    command = ["export", str(tiny_run.model), str(tmp_path / "out"), "--to", "hub", "--quantize", "int8"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].startswith("equal to the model on")
    assert lines[2].startswith("int8: ")
    small = tmp_path / "out" / "model_int8.onnx"
    moved = Predictor.load(small).record["quantized"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"moved by up to {moved['largest_difference']:.2g}, by up to {moved['across_batchings']:.2g} with the batch" in card
    assert TextClassifier.load(tmp_path / "out").predict(TEXTS).shape == (3,)
    assert verify(tmp_path / "out") == []
    export(tiny_run.model, tmp_path / "other.onnx", quantize="int8")
    assert small.read_bytes() == (tmp_path / "other.onnx").read_bytes()
    small.write_bytes(small.read_bytes()[:-9])
    assert [line.partition(";")[2] for line in verify(tmp_path / "out")] == [" delete it, and export the model again"]


def test_the_card_is_what_the_hub_reads(tiny_run: TinyRun) -> None:
    artifact = read_artifact(tiny_run.model)
    card = ModelCard(hub_card(artifact, REPORT, "me/films"))
    data: Any = card.data
    assert "&id" not in str(card)  # YAML's references, which people do not read
    assert (data.library_name, data.pipeline_tag) == ("textcls", "text-classification")
    assert data["labels"] == ["money", "science", "sport"]
    assert data.eval_results is not None
    found = {(e.dataset_split, e.dataset_name, e.metric_type): e.metric_value for e in data.eval_results}
    assert found["test", "test.csv", "accuracy"] == pytest.approx(artifact.metrics["test"]["accuracy"], abs=1e-6)
    assert found["validation", "train.csv", "macro_f1"] == pytest.approx(artifact.metrics["validation"]["macro_f1"], abs=1e-6)
    assert data.datasets is None
    for said in ("do not publish the model", "calibrated for texts like those", "## Limits", "raw text in, label and", "2e-07"):
        assert said in card.text


def test_the_card_names_data_sets_of_the_hub_and_does_without_metrics() -> None:
    def card(artifact: Artifact) -> Any:
        return ModelCard(hub_card(artifact, REPORT, "OWNER/NAME"))

    stored = {
        "data": {"train": [{"dataset": "SetFit/TREC-QC", "fingerprint": "f"}, {"dataset": "dataset", "fingerprint": "g"}]}
    }
    artifact = replace(tiny_artifact(tokenizer="spacy"), provenance=stored, labels=("no: way", "1", '"yes"'))
    assert card(artifact).data.datasets == ["SetFit/TREC-QC"]
    assert card(artifact).data["labels"] == ["no: way", "1", '"yes"']
    assert card(artifact).data.eval_results is None
    assert "token ids and lengths in" in card(artifact).text
    many = replace(tiny_artifact(), many=True, thresholds=(0.5, 0.25, 0.125))
    assert "which labels are selected" in card(many).text


def test_labels_that_are_markdown_are_shown_as_they_are() -> None:
    card = hub_card(replace(tiny_artifact(), labels=("a\n# b", "`c``d", "é|")), REPORT, "me/films")
    assert "- Labels (3): `a\\n# b`, ``` `c``d ```, `é|`\n" in card


def test_figures_are_rounded_away_from_praise() -> None:
    assert [rounded_up(figure) for figure in (0.0, 0.18, 0.1801, 2.31e-7, 1.0)] == [0.0, 0.18, 0.19, 2.4e-7, 1.0]
    assert rounded_up(2.01e-7, 1) == 3e-7
    assert [rounded_down(share) for share in (1.0, 0.99999, 0.995)] == [1.0, 0.9999, 0.995]


def test_what_the_hub_refuses_is_one_line(tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("403 Forbidden\nwith details")

    monkeypatch.setattr(LocalHub, "create_repo", refuse)
    result = CliRunner().invoke(app, ["export", str(tiny_run.model), str(tmp_path / "out"), "--to", "hub", "--push", "me/x"])
    assert (result.exit_code, result.stdout) == (1, "")
    out = tmp_path / "out"
    sending = f"the folder {out} is written, and `hf upload me/x {out}` sends it"
    assert result.stderr == f"textcls: --push me/x: not sent: 403 Forbidden; {sending}\n"
    assert (tmp_path / "out" / "model.onnx").is_file()
    with pytest.raises(ModelError, match=r"^hub:me/none: cannot be fetched: no such repository$"):
        TextClassifier.load("hub:me/none")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "hub", "push": "films"}, "is no repository; write it as owner/name"),
        ({"push": "me/films"}, "--push goes with --to hub alone"),
    ],
)
def test_bad_input_leaves_nothing(options: dict[str, Any], said: str, tiny_run: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        export(tiny_run.model, tmp_path / "out.onnx", **options)
    with pytest.raises(InputError, match="is no repository"):
        TextClassifier.load("hub:films")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        export(tiny_run.model, tmp_path, to="hub", force=True)


def test_force_does_not_write_over_a_trained_model(tiny_run: TinyRun, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_run.model, tmp_path / "model")
    (model / "README.md").write_text("---\nlicense: mit\n---\n# as the Hub wants it\n")
    before = (model / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="is a trained model, not an earlier export"):
        export(tiny_run.model, model, to="hub", force=True)
    assert (model / "model.safetensors").read_bytes() == before


def test_force_deletes_nothing_that_no_export_wrote(tiny_run: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(tiny_run.model, out, to="hub")
    (out / "README.md").write_text("# a better card\n")
    Predictor.load(out)
    for name in (".git/objects/ab", "mine.txt", "notes/a.md", "notes/b.md"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(name)
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "zz").mkdir()
    with pytest.raises(
        InputError, match=r"force=True \(--force\) would delete: \.git, mine\.txt, notes and 1 more; name a new folder"
    ):
        export(tiny_run.model, out, to="hub", force=True)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
