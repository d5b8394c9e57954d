"""Whether a model is still what was written."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from helpers import tiny_artifact
from typer.testing import CliRunner

from textcls.artifact import SUMS, write_artifact
from textcls.cli import app
from textcls.errors import ModelError
from textcls.exports.quantized import quantize
from textcls.inference import Predictor
from textcls.inference.graph import add_to_record, build_graph, metadata
from textcls.inference.program import sealed_program
from textcls.inference.seal import SPACY, WEB, seal, verify, write_sums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    told: dict[str, Any] = {
        "metrics": {"test": {"accuracy": 0.75}},
        "provenance": {"data": {"train": [{"file": "films.csv", "sha256": "ab"}]}},
    }
    write_artifact(replace(tiny_artifact(), **told), tmp_path / "model", "# card\n")
    Predictor.load(tmp_path / "model")  # which keeps the graph there
    return tmp_path / "model"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_an_untouched_folder_is_unchanged(folder: Path) -> None:
    (folder / "README.md").write_text("# a better card\n")
    record = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(record))  # the same, laid out otherwise
    assert verify(folder) == []
    result = CliRunner().invoke(app, ["info", "--verify", str(folder)])
    assert (result.exit_code, result.stdout) == (0, f"{folder}: unchanged since textcls wrote it\n")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", flip),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("vocabulary.txt", lambda path: path.write_text("<pad>\n")),
        ("metrics.json", lambda path: path.write_text(path.read_text().replace("0.75", "0.95"))),
        ("metrics.json", lambda path: path.write_text(path.read_text().replace("films.csv", "other.csv"))),
        ("config.yaml", lambda path: path.write_text(path.read_text().replace("max_tokens: 1000", "max_tokens: 999"))),
        ("calibration.json", lambda path: path.write_text(path.read_text().replace("1.3", "1.2"))),
        ("vocabulary.txt", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x\n")),
        ("labels.json", lambda path: path.write_text(path.read_text().replace("maybe", "perhaps"))),
    ],
)
def test_a_changed_file_of_a_folder_is_named(folder: Path, name: str, change: Callable[[Path], Any]) -> None:
    before = (folder / name).read_bytes()
    change(folder / name)
    assert (folder / name).read_bytes() != before
    result = CliRunner().invoke(app, ["info", str(folder), "--verify"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"textcls: {folder}: {name} is missing or not what textcls wrote\n"


@pytest.mark.parametrize("name", ["vocabulary.txt", "labels.json"])
def test_a_missing_file_of_a_folder_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert verify(folder) == [f"{folder}: {name} is missing or not what textcls wrote"]


def test_a_file_that_nobody_of_ours_wrote_is_named(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / "more").mkdir()
    (folder / "more" / "weights.bin").write_bytes(b"")
    assert verify(folder) == [f"{folder}: more is no file that textcls wrote"]


def test_a_folder_that_lost_a_hash_of_its_own_is_changed(folder: Path) -> None:
    record = json.loads((folder / "metrics.json").read_text())
    del record["sha256"]["config.yaml"]
    (folder / "metrics.json").write_text(json.dumps(record))
    assert verify(folder) == [f"{folder}: config.yaml is missing or not what textcls wrote"]


def damaged_weights(path: Path) -> None:
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    onnx.save(model, path)


def of_another_model(path: Path) -> None:
    onnx.save(build_graph(tiny_artifact(seed=1)), path)


def without_a_hash(path: Path) -> None:
    model = onnx.load(path)
    del model.metadata_props[-1]
    onnx.save(model, path)


@pytest.mark.parametrize(
    "change", [damaged_weights, of_another_model, without_a_hash, lambda path: path.write_bytes(path.read_bytes()[:999])]
)
def test_a_kept_graph_that_is_not_the_folders_is_named(folder: Path, change: Callable[[Path], Any]) -> None:
    change(folder / "model.onnx")
    result = CliRunner().invoke(app, ["info", str(folder), "--verify"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"textcls: {folder / 'model.onnx'}: is not the graph that textcls made of this model; delete it"
    )
    (folder / "model.onnx").unlink()
    assert verify(folder) == []


def test_a_kept_graph_of_before_a_setting_was_new_is_the_folders(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    entry = next(entry for entry in model.metadata_props if entry.key == "textcls")
    told = json.loads(entry.value) | {"fingerprint": "another"}
    del told["model"]["bias"]
    entry.value = json.dumps(told)
    seal(model)
    onnx.save(model, folder / "model.onnx")
    assert verify(folder) == []


@pytest.mark.parametrize(("name", "content"), [("metrics.json", None), ("metrics.json", "{")])
def test_where_there_is_nothing_to_compare_with_the_exit_code_is_2(folder: Path, name: str, content: str | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    result = CliRunner().invoke(app, ["info", str(folder), "--verify"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert name in result.stderr


def rename_label(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "LabelEncoder" and node.output[0] == "label")
    next(a for a in node.attribute if a.name == "values_strings").strings[0] = b"NO"


def forge_record(model: onnx.ModelProto) -> None:
    next(entry for entry in model.metadata_props if entry.key == "textcls").value += " "


@pytest.mark.parametrize("form", [lambda model: model, quantize])
@pytest.mark.parametrize("change", [rename_label, forge_record, None])
def test_an_exported_file_knows_itself(tmp_path: Path, form: Any, change: Any) -> None:
    model = form(build_graph(tiny_artifact()))
    if change:
        change(model)
    onnx.save(model, tmp_path / "out.onnx")
    assert bool(verify(tmp_path / "out.onnx")) == bool(change)
    add_to_record(model, note="sealed again")
    onnx.save(model, tmp_path / "out.onnx")
    assert verify(tmp_path / "out.onnx") == []


@pytest.fixture(params=["spacy", "web"])
def exported(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, tuple[str, str], str]:
    """The folder of an export, the files that mark its kind, and the place of its graph."""
    kind = {"spacy": SPACY, "web": WEB}[request.param]
    for name in (*kind.marks, *kind.others, kind.graph):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    onnx.save(build_graph(tiny_artifact()), tmp_path / kind.graph)
    write_sums(tmp_path)
    return tmp_path, (kind.marks[0], kind.marks[1]), kind.graph


def test_the_folders_of_exports_are_read_and_verified(exported: tuple[Path, tuple[str, str], str]) -> None:
    path, marks, graph = exported
    right = (path / SUMS).read_text()
    for content in (None, "", "no list\n", f"ab  {marks[0]}\n", b"\xff"):
        (path / SUMS).unlink(missing_ok=True)
        if content is not None:
            (path / SUMS).write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(ModelError, match="has no SHA256SUMS that can be read, so it cannot be verified: export the model"):
            verify(path)
    (path / SUMS).write_text(right)
    assert verify(path) == []
    told = json.loads(CliRunner().invoke(app, ["info", str(path), "--json"]).stdout)
    assert (told["fingerprint"], told["labels"]) == (tiny_artifact().fingerprint, ["no", "yes", "maybe"])
    assert told["bytes"] == sum(path.stat().st_size for path in path.rglob("*") if path.is_file())
    (path / marks[0]).unlink()
    (path / graph).unlink()
    line = f"{path}: {{}} is missing or not what textcls wrote"
    assert verify(path) == [line.format(name) for name in sorted((marks[0], graph))]


def test_added_files_and_lost_lines_of_an_exported_folder_are_named(exported: tuple[Path, tuple[str, str], str]) -> None:
    path, marks, _ = exported
    (path / "more.js").write_text("")
    (path / ".gitattributes").write_text("")  # which the Hub writes
    lines = (path / SUMS).read_text().splitlines(keepends=True)
    (path / SUMS).write_text("".join(line for line in lines if not line.endswith(f"  {marks[1]}\n")))
    assert verify(path) == [f"{path}: {name} is not one of the files in its SHA256SUMS" for name in (marks[1], "more.js")]


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "a/../../secret", "C:\\secret", "nul\0"])
def test_a_list_that_names_a_file_outside_its_folder_is_refused(exported: tuple[Path, tuple[str, str], str], name: str) -> None:
    with (exported[0] / SUMS).open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(ModelError, match="which is not in the folder: export the model again"):
        verify(exported[0])


def test_a_graph_whose_strings_are_damaged_is_one_line(tmp_path: Path) -> None:
    content = build_graph(tiny_artifact()).SerializeToString()
    at = content.index(b"<pad>\n<unk>\n")
    path = tmp_path / "model.onnx"
    path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    for command in (["info", str(path)], ["info", "--verify", str(path)], ["classify", str(path), str(path)]):
        result = CliRunner().invoke(app, command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"textcls: {path}: its textcls metadata is damaged; export the model again\n"


def test_a_program_knows_itself(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"

    def write(weights: bytes, *, sealed: bool = True) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {"weights": weights, "extra/textcls.torch": b"2.9"}.items():
                archive.writestr(f"archive/{name}", content)
            for name, text in metadata(tiny_artifact()).items():
                archive.writestr(f"archive/extra/{name}", text)
        if sealed:
            path.write_bytes(sealed_program(path.read_bytes()))

    write(b"12")
    assert verify(path) == []
    told = CliRunner().invoke(app, ["info", str(path)])
    assert tiny_artifact().fingerprint in told.stdout, told.stderr
    path.write_bytes(path.read_bytes().replace(b"12", b"13", 1))
    changed = [f"{path}: its program, weights or metadata are not what textcls wrote"]
    assert verify(path) == changed
    write(b"13", sealed=False)
    with pytest.raises(ModelError, match="carries no hash"):
        verify(path)
    write(b"12")
    right = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/more", b"")
    assert verify(path) == changed
    path.write_bytes(right)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"more"
    for other in (path.read_bytes(), right + b"more", b"more" + right):
        path.write_bytes(other)
        assert verify(path) == changed


def test_what_carries_no_hashes_cannot_be_verified(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    del model.metadata_props[-1]
    onnx.save(model, folder / "model.onnx")
    record = json.loads((folder / "metrics.json").read_text())
    del record["sha256"]
    (folder / "metrics.json").write_text(json.dumps(record))
    for path in (folder, folder / "model.onnx"):
        with pytest.raises(ModelError, match=r"carries no hash.*, so it cannot be verified: an older textcls wrote it"):
            verify(path)
    with pytest.raises(ModelError, match="does not exist"):
        verify(folder / "nothing")
