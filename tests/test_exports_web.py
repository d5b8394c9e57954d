"""The `web` export: a whole folder or none, with the runtime that was pinned; and the page itself, in a browser."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from clients import model_for, node, npm_install, program, some_texts, well_formed
from helpers import tiny_artifact, with_fast_way
from numpy.typing import NDArray
from typer.testing import CliRunner

from textcls.artifact import SUMS, Artifact, write_artifact
from textcls.cli.app import app
from textcls.errors import ExportError, InputError, TextclsError
from textcls.exports import export, onnx_file, web, web_proof, web_runtime
from textcls.exports.texts import HARD_TEXTS, drawn_texts
from textcls.exports.web import PAGE
from textcls.inference import Predictor
from textcls.inference.explain import explain
from textcls.inference.graph import build_graph
from textcls.inference.seal import WEB, verify

TEXTS = [text for text in HARD_TEXTS if len(text) < 200]
PLAYWRIGHT, AXE = "playwright-core@1.65.1", "axe-core@4.14.1"
CONTENT = {name: f"the content of {name}".encode() for name in web_runtime.FILES}
POSIX = pytest.mark.skipif(os.name == "nt", reason="the false npm is a POSIX script")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prove on few texts and without WebAssembly, and take a small false runtime for the right one."""
    monkeypatch.setattr("textcls.exports.texts.MOST_TEXTS", 20)
    monkeypatch.setattr(drawn_texts, "__defaults__", (20,))
    monkeypatch.setattr(onnx_file, "LONG_TEXT_TOKENS", 1200)
    monkeypatch.setattr(web_proof, "prove", lambda *_, **__: None)
    monkeypatch.setattr(web_runtime, "FILES", {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    model_for(TEXTS, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def runtime(tmp_path: Path, quick: None) -> Path:
    """A folder with the false runtime's files."""
    (tmp_path / "runtime").mkdir()
    for name, content in CONTENT.items():
        (tmp_path / "runtime" / name).write_bytes(content)
    return tmp_path / "runtime"


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# The folder


def test_the_folder_has_all_that_the_page_needs(model: Path, runtime: Path, tmp_path: Path) -> None:
    report = export(model, tmp_path / "page", to="web", runtime=runtime)
    page = tmp_path / "page"
    own = files_of(PAGE)
    assert files_of(page) == sorted(
        [
            *own,
            "SHA256SUMS",
            "model.json",
            "model.onnx",
            "runtime/ort-wasm-simd-threaded.wasm",
            "runtime/ort.wasm.bundle.min.js",
        ]
    )
    assert report.bytes == sum((page / name).stat().st_size for name in files_of(page))
    assert report.source.endswith("(not in WebAssembly, since Node.js is not installed here)")
    assert report.sha256 == hashlib.sha256((page / "model.onnx").read_bytes()).hexdigest()
    facts = json.loads((page / "model.json").read_text(encoding="utf-8"))
    assert facts["labels"] == ["no", "yes", "maybe"]
    assert facts["metrics"]["test"]["accuracy"] == 0.9125
    assert (facts["many"], facts["thresholds"]) == (False, None)
    assert verify(page) == []
    assert files_of(page) == sorted([*WEB.marks, *WEB.others, WEB.graph, SUMS])
    assert facts["versions"]["onnxruntime-web"] == web_runtime.VERSION
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "page", "runtime"]
    export(model, tmp_path / "again", to="web", runtime=runtime)
    assert all((tmp_path / "again" / name).read_bytes() == (page / name).read_bytes() for name in files_of(page))


def test_an_export_is_kept_without_force_and_other_files_with_it(model: Path, runtime: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    export(model, page, to="web", runtime=runtime)
    (page / "index.html").write_text("old", encoding="utf-8")
    with pytest.raises(InputError, match="exists already; name another folder, or give force=True"):
        export(model, page, to="web", runtime=runtime)
    assert (page / "index.html").read_text(encoding="utf-8") == "old"
    export(model, page, to="web", runtime=runtime, force=True)
    assert (page / "index.html").read_bytes() == (PAGE / "index.html").read_bytes()

    (page / "runtime" / "CNAME").write_text("films.example", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"holds what no export wrote, which force=True \(--force\) would delete: runtime/CNAME; name a new"
    ):
        export(model, page, to="web", runtime=runtime, force=True)
    assert (page / "runtime" / "CNAME").is_file()

    with pytest.raises(InputError, match="holds other files than an export"):
        export(model, tmp_path, to="web", runtime=runtime, force=True)
    with pytest.raises(InputError, match="is a file; the format web is a folder"):
        export(model, page / "index.html", to="web", runtime=runtime, force=True)


def test_an_export_that_differs_leaves_the_old_folder(
    model: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(model, tmp_path / "page", to="web", runtime=runtime)
    before = (tmp_path / "page" / "model.onnx").read_bytes()

    def differs(*_: Any, **__: Any) -> None:
        raise ExportError("the export differs from the model by 0.1")

    monkeypatch.setattr(web, "write_proven", differs)
    for out, force in ((tmp_path / "page", True), (tmp_path / "new", False)):
        with pytest.raises(ExportError, match="differs from the model"):
            export(model, out, to="web", runtime=runtime, force=force)
    assert (tmp_path / "page" / "model.onnx").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "page", "runtime"]


def test_models_that_a_page_cannot_show(runtime: Path, tmp_path: Path) -> None:
    model_for(TEXTS, tmp_path / "english", tokenizer="basic_english")
    with pytest.raises(InputError, match="has the tokenizer basic_english, which a browser does not"):
        export(tmp_path / "english", tmp_path / "page", to="web", runtime=runtime)
    assert not (tmp_path / "page").exists()


def test_the_command_says_how_to_look_at_it(model: Path, runtime: Path, tmp_path: Path) -> None:
    command = ["export", str(model), str(tmp_path / "page"), "--to", "web", "--runtime", str(runtime)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert f"python3 -m http.server --directory {tmp_path / 'page'}" in result.stderr
    wrong = CliRunner().invoke(app, ["export", str(model), str(tmp_path / "m.onnx"), "--runtime", str(runtime)])
    assert (wrong.exit_code, wrong.stderr) == (2, "textcls: --runtime goes with --to web alone\n")


# The runtime


def test_a_runtime_folder_may_be_the_unpacked_package(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    runtime.rename(tmp_path / "package" / "dist")
    found = web_runtime.runtime_files(tmp_path / "package")
    assert [path.read_bytes() for path in found] == list(CONTENT.values())


def test_a_runtime_folder_that_does_not_serve(runtime: Path, model: Path, tmp_path: Path) -> None:
    wasm = runtime / "ort-wasm-simd-threaded.wasm"
    wasm.write_bytes(b"of another version")
    with pytest.raises(InputError, match=r"wasm: is not the file of onnxruntime-web@.* \(another SHA-256\)"):
        export(model, tmp_path / "page", to="web", runtime=runtime)
    wasm.unlink()
    with pytest.raises(InputError, match=r"has no ort-wasm-simd-threaded.wasm; unpack what `npm pack"):
        export(model, tmp_path / "page", to="web", runtime=runtime)
    assert not (tmp_path / "page").exists()


@pytest.fixture
def npm(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A false npm, alone on the path, that hands out a tarball, counts its calls, and fails where a file `fail` says how."""
    programs = tmp_path / "programs"
    programs.mkdir()
    with tarfile.open(programs / "package.tgz", "w:gz") as package:
        for name, content in CONTENT.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    script = f"""#!{sys.executable}
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if (here / "fail").exists():
    sys.exit((here / "fail").read_text())
shutil.copy(here / "package.tgz", sys.argv[sys.argv.index("--pack-destination") + 1])
"""
    (programs / "npm").write_text(script, encoding="utf-8")
    (programs / "npm").chmod(0o755)
    digest = hashlib.sha512((programs / "package.tgz").read_bytes()).digest()
    monkeypatch.setattr(web_runtime, "INTEGRITY", f"sha512-{base64.b64encode(digest).decode()}")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path / "cache"))
    return programs


@POSIX
def test_the_runtime_is_fetched_once(npm: Path, tmp_path: Path) -> None:
    found = web_runtime.runtime_files()
    assert [path.read_bytes() for path in found] == list(CONTENT.values())
    assert {path.parent.parent for path in found} == {tmp_path / "cache"}
    assert web_runtime.runtime_files() == found
    calls = (npm / "calls").read_text().splitlines()
    assert len(calls) == 1
    assert calls[0].startswith(f"pack onnxruntime-web@{web_runtime.VERSION} --ignore-scripts")
    found[0].write_bytes(b"damaged")
    assert web_runtime.runtime_files()[0].read_bytes() == CONTENT[found[0].name]


@POSIX
def test_where_the_cache_is_off_the_runtime_is_kept_for_this_process_alone(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTCLS_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    found = web_runtime.runtime_files()
    assert [path.read_bytes() for path in found] == list(CONTENT.values())
    assert set(tmp_path.iterdir()) == before
    web_runtime._of_this_process().cleanup()
    web_runtime._of_this_process.cache_clear()
    assert not found[0].exists()


@POSIX
def test_another_package_than_the_published_is_not_used(npm: Path, tmp_path: Path) -> None:
    with (npm / "package.tgz").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TextclsError, match="does not have the published SHA-512 and is not used") as raised:
        web_runtime.runtime_files()
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "cache").exists()


@POSIX
def test_a_download_that_fails_is_one_line(npm: Path, model: Path, tmp_path: Path) -> None:
    (npm / "fail").write_text(
        "npm error code ENOTFOUND\nnpm error syscall connect\nnpm error network request to the registry failed\nnpm error A log: x"
    )
    with pytest.raises(
        TextclsError, match=r"the download failed \(ENOTFOUND: network request to the registry failed\): run `npm pack"
    ):
        export(model, tmp_path / "page", to="web")
    (npm / "npm").unlink()
    with pytest.raises(InputError, match="with npm, which is not installed here: install Node"):
        export(model, tmp_path / "page", to="web")
    assert not (tmp_path / "page").exists()


def test_what_is_pinned_is_what_npm_would_check() -> None:
    assert len(base64.b64decode(web_runtime.INTEGRITY.removeprefix("sha512-"))) == 64
    assert all(len(bytes.fromhex(digest)) == 32 for digest in web_runtime.FILES.values())


@pytest.fixture
def right_runtime() -> list[Path]:
    """The files of the runtime that was pinned, fetched where the cache lacks them."""
    program("npm")
    try:
        return web_runtime.runtime_files()
    except TextclsError as error:
        pytest.skip(str(error))


@pytest.mark.node
def test_a_file_that_differs_in_webassembly_is_refused(right_runtime: list[Path], tmp_path: Path) -> None:
    artifact = model_for(TEXTS, tmp_path / "model")
    onnx.save(build_graph(artifact), tmp_path / "right.onnx")
    difference = web_proof.prove(artifact, tmp_path / "right.onnx", right_runtime[0], ["a text"])
    assert difference is not None
    assert 0 < difference < 1e-5
    onnx.save(build_graph(replace(artifact, temperature=1.31)), tmp_path / "wrong.onnx")
    with pytest.raises(ExportError, match="the export differs from the model by"):
        web_proof.prove(artifact, tmp_path / "wrong.onnx", right_runtime[0], ["a text"])
    many = replace(artifact, many=True, thresholds=(0.5, 0.25, 0.125))
    onnx.save(build_graph(many), tmp_path / "many.onnx")
    assert web_proof.prove(many, tmp_path / "many.onnx", right_runtime[0], ["a text"]) is not None
    with pytest.raises(ExportError, match="the export differs from the model in the label"):
        web_proof.prove(replace(many, thresholds=(0.5, 0.25, 0.8)), tmp_path / "many.onnx", right_runtime[0], ["a text"])
    (tmp_path / "none.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="its runtime refuses the export"):
        web_proof.prove(artifact, tmp_path / "none.onnx", right_runtime[0], ["a text"])


@POSIX
def test_a_node_that_does_not_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=r"the export, Node\.js \(.*node\), ended with code 3: it said nothing$"):
        web_proof.prove(tiny_artifact(), tmp_path / "any.onnx", tmp_path / "any.mjs", [])


def test_without_node_there_is_no_proof_in_webassembly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert web_proof.prove(tiny_artifact(), tmp_path / "any.onnx", tmp_path / "any.mjs", []) is None


# The page


@pytest.mark.node
def test_tables_are_read_and_written_as_pythons_csv_module_does(tmp_path: Path) -> None:
    program("node")
    shutil.copyfile(PAGE / "table.js", tmp_path / "table.mjs")
    script = """
import { readFileSync } from "node:fs";
import { formatCsv, guessColumn, guessSeparator, parseCsv, readTable } from "./table.mjs";
const task = JSON.parse(readFileSync(0, "utf-8"));
console.log(JSON.stringify({
  parsed: task.texts.map((text) => parseCsv(text)),
  written: task.tables.map((rows) => formatCsv(rows)),
  separators: ["a,b\\n1;2;3;4", "a;b;c,d", "a\\tb\\tc", '"a;b;c",d', ""].map(guessSeparator),
  table: readTable("x.csv", "id;text\\n1;one\\n2\\n3;three;more\\n"),
  tsv: readTable("x.tsv", "a,b\\tc\\n1\\t2\\n"),
  json: readTable("x.jsonl", '{"id": 1, "text": "one"}\\n\\n{"text": "two", "more": [1, null]}\\r\\n{"id": null}\\n'),
  wrong: ['{"a": 1}\\n\\n[1]', "null", '{"a"'].map((text) => {
    try { readTable("x.jsonl", text); } catch (error) { return error.message; }
  }),
  lines: readTable("x.txt", "one, two\\r\\n\\n  \\nthree"),
  columns: [["id", "Text"], ["id", "x"]].map((names) => guessColumn({ names, rows: [["1", "long"]] }, "text")),
}));
"""
    (tmp_path / "script.mjs").write_text(script, encoding="utf-8")
    texts, tables = random_tables(300)
    answers = node(tmp_path / "script.mjs", {"texts": texts, "tables": tables})
    expected = [[row for row in csv.reader(io.StringIO(text, newline="")) if row] for text in texts]
    assert answers["parsed"] == expected
    for written, rows in zip(answers["written"], tables, strict=True):
        read = [row or [""] for row in csv.reader(io.StringIO(written, newline=""))]
        assert read == rows
    assert answers["separators"] == [",", ";", "\t", ",", ","]
    assert answers["table"] == {
        "names": ["id", "text", "column 3"],
        "rows": [["1", "one", ""], ["2", "", ""], ["3", "three", "more"]],
    }
    assert answers["tsv"] == {"names": ["a,b", "c"], "rows": [["1", "2"]]}
    assert answers["lines"] == {"names": ["text"], "rows": [["one, two"], ["three"]]}
    assert answers["json"] == {
        "names": ["id", "text", "more"],
        "rows": [["1", "one", ""], ["", "two", "[1,null]"], ["", "", ""]],
    }
    assert answers["wrong"] == ["line 3 is no JSON object", "line 1 is no JSON object", "line 1 is no JSON object"]
    assert answers["columns"] == [1, 1]


def random_tables(count: int) -> tuple[list[str], list[list[list[str]]]]:
    """Return spoilt csv texts, and tables of cells that need quotes; always the same."""
    import random

    draw = random.Random(0)

    def piece(most: int) -> str:
        return "".join(draw.choices('ab,";\r\n é', k=draw.randint(0, most)))

    texts = [piece(25) for _ in range(count)]
    tables = [[[piece(5) for _ in range(draw.randint(1, 3))] for _ in range(draw.randint(1, 3))] for _ in range(count)]
    return texts, tables


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Any]:
    """Serve folders on this machine, as any server of static files would."""
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.browser
@pytest.mark.parametrize(("many", "fast"), [(False, False), (True, False), (False, True)])
def test_the_page_gives_what_python_gives(
    many: bool, fast: bool, right_runtime: list[Path], tmp_path: Path, serve: Any
) -> None:
    """One visit in a real browser: type, read, drop files, download; nobody complains and nothing leaves this machine."""
    chromium = program("chromium", "chromium-browser", "google-chrome")
    npm_install(tmp_path, PLAYWRIGHT, AXE)
    hard = well_formed(HARD_TEXTS)
    texts = [*hard, *some_texts(200 - len(hard))]
    typed = 'Don\'t "stop" at the first word; naïve 中文!'
    artifact = model_for(texts, tmp_path / "model")
    if many:
        write_artifact(with_two_labels_of_three(artifact, typed), tmp_path / "model", "")
    if fast:
        write_artifact(with_fast_way(artifact, texts), tmp_path / "model", "")
    report = export(tmp_path / "model", tmp_path / "page", to="web", fast=fast)
    assert report.source.endswith("(in WebAssembly too)")
    shutil.copyfile(Path(__file__).parent / "web_client.cjs", tmp_path / "client.cjs")

    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerow(["id", "label", "text"])
    rows.writerows((f"{number:03}", "old, label", text) for number, text in enumerate(texts))
    task = {
        "chromium": chromium,
        "url": serve(tmp_path / "page"),
        "text": typed,
        "table": {"name": "new.csv", "text": table.getvalue()},
        "lines": "\n".join(["one line", "", "another line"]),
    }
    seen = node(tmp_path / "client.cjs", task)

    assert seen["complaints"] == []
    assert {request.split("?")[0].startswith(task["url"]) for request in seen["requests"]} == {True}
    assert seen["violations"] == []
    assert seen["focus"] == ["skip", "text", "file"]
    predictor = Predictor.load(tmp_path / "model")
    predictor = predictor.fast() if fast else predictor
    check_typed(seen, predictor, typed)
    check_table(seen, predictor, texts)
    assert [row["text"] for row in csv.DictReader(io.StringIO(seen["lines"]["text"]))] == ["one line", "another line"]
    assert seen["fileError"] == "bad.csv is not UTF-8 text."
    assert seen["afterError"] == {"hidden": True, "rows": 0, "disabled": True}
    assert seen["emptied"] == ["–"]
    assert seen["overflow"] <= 0


def with_two_labels_of_three(artifact: Artifact, text: str) -> Artifact:
    """Return a model for many labels that gives a text all of its labels but the first."""
    many = replace(artifact, many=True, thresholds=(0.5,) * 3)
    scores = Predictor.from_artifact(many).predict([text]).probabilities[0]
    return replace(many, thresholds=tuple((scores * np.array([1.1, 0.95, 0.95], np.float32)).tolist()))


def check_typed(seen: dict[str, Any], predictor: Predictor, typed: str) -> None:
    """Compare labels, bars and coloured words with Python's."""
    probabilities = predictor.predict([typed]).probabilities[0]
    (given,) = given_labels(predictor, probabilities[None])
    expected = explain(predictor, typed, given[0] if given else None)
    shares = [f"{probabilities[predictor.labels.index(label)]:.1%}" for label in given]
    assert len(given) == (2 if predictor.many else 1)
    assert seen["verdict"] == ["".join(f"{label}{share}" for label, share in zip(given, shares, strict=True))]
    assert seen["spoken"] == "; ".join(f"{label}, {share}" for label, share in zip(given, shares, strict=True))
    assert seen["bars"] == [f"{label}{share:.1%}" for label, share in zip(predictor.labels, probabilities, strict=True)]
    assert seen["best"] == [label for label in predictor.labels if label in given]
    words = [word for word in expected.words if abs(word.effect) >= 0.005]
    assert len(words) > 3
    kinds = ["for" if word.effect > 0 else "against" for word in words]
    assert [(text.lower(), kind) for text, kind, _ in seen["words"]] == [
        (word.text, kind) for word, kind in zip(words, kinds, strict=True)
    ]
    shown = [float(title.removesuffix(" points").replace("−", "-")) for _, _, title in seen["words"]]
    np.testing.assert_allclose(shown, [word.effect * 100 for word in words], atol=0.051)


def check_table(seen: dict[str, Any], predictor: Predictor, texts: list[str]) -> None:
    """Compare the rows on the page and those of the download with Python's."""
    probabilities = predictor.predict(texts).probabilities
    labels = given_labels(predictor, probabilities)
    assert len({tuple(row) for row in labels}) > 1
    assert seen["fileStatus"] == f"new.csv: {len(texts)} rows classified"
    shown = [", ".join(map(str, row)) or "no label" for row in labels]
    assert [(row[1], row[3]) for row in seen["rows"]] == list(zip(shown, texts, strict=True))
    assert seen["download"]["name"] == "new_labelled.csv"
    downloaded = list(csv.DictReader(io.StringIO(seen["download"]["text"], newline="")))
    assert [row["text"] for row in downloaded] == texts
    assert downloaded[7]["id"] == "007"
    confidences = [
        [row[predictor.labels.index(label)] for label in given] for row, given in zip(probabilities, labels, strict=True)
    ]
    if predictor.many:
        assert list(downloaded[0]) == ["id", "label", "text", "labels", "confidences"]
        assert [] in labels
        assert [json.loads(row["labels"]) for row in downloaded] == labels
        found = [json.loads(row["confidences"]) for row in downloaded]
    else:
        assert list(downloaded[0]) == ["id", "input_label", "text", "label", "confidence"]
        assert [[row["label"]] for row in downloaded] == labels
        found = [[float(row["confidence"])] for row in downloaded]
    np.testing.assert_allclose(list(chain(*found)), list(chain(*confidences)), atol=1e-5)


def given_labels(predictor: Predictor, probabilities: NDArray[np.float32]) -> list[list[Any]]:
    """Return the labels of each text, the most probable first."""
    if predictor.thresholds is None:
        return [[predictor.labels[best]] for best in probabilities.argmax(axis=1)]
    order = np.argsort(-probabilities, axis=1)
    return [
        [predictor.labels[at] for at in columns if row[at] >= predictor.thresholds[at]]
        for row, columns in zip(probabilities, order, strict=True)
    ]
