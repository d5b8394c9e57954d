"""The `web` export: a folder that any static file server serves, in which the model runs in the browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import textcls
from textcls.artifact import Artifact, read_unchanged_artifact
from textcls.data import label_text
from textcls.errors import InputError
from textcls.exports import web_proof, web_runtime
from textcls.exports.onnx_file import LOCALE, ExportReport, check_fast, write_proven
from textcls.exports.places import check_folder, folder_size
from textcls.exports.texts import real_texts
from textcls.files import replacing_folder, writing
from textcls.inference.graph import takes_text
from textcls.inference.seal import write_sums
from textcls.text import unicode_token

PAGE = Path(__file__).parent / "web_page"
MARK = "model.json"


def export_web(
    model: str | Path,
    out: str | Path,
    *,
    locale: str = LOCALE,
    texts: str | Path | None = None,
    fast: bool = False,
    force: bool = False,
    runtime: str | Path | None = None,
) -> ExportReport:
    """Write a page that classifies in the browser, with the model and the runtime beside it: nothing is loaded from elsewhere.

    Args:
        model: The model folder.
        out: The folder to write.
        locale: Locale in which text is lower-cased.
        texts: A file of texts, one a line, to compare on; chosen as in `onnx_file.export` if not given.
        fast: As in `onnx_file.export`.
        force: Write over an earlier export.
        runtime: A folder with the files of `web_runtime.FILES`; fetched once and cached if not given.

    Raises:
        InputError: There is no model, it does not take raw text or has no fast way, or the folder cannot be written.
        TextclsError: The runtime cannot be fetched.
        ExportError: The export differs from the model; nothing was written.
    """
    model, out = Path(model), Path(out)
    check_folder(out, "web", (MARK, "index.html"), (model, texts, runtime), force=force)
    artifact = read_unchanged_artifact(model)
    if not takes_text(artifact):
        raise InputError(
            f"{model}: has the tokenizer {artifact.config.text.tokenizer}, which a browser does not; "
            "--to web needs a model with text.tokenizer unicode"
        )
    check_fast(artifact, model, fast)
    parts = web_runtime.runtime_files(runtime)
    real, source = real_texts(artifact, model, texts)
    with writing(out), replacing_folder(out, force=force) as new:
        report = write_proven(artifact, new / "model.onnx", real, source, locale, fast=fast)
        difference = web_proof.prove(artifact, new / "model.onnx", parts[0], real, fast=fast)
        _copy_page(new, parts)
        facts = json.dumps(page_facts(artifact, report), ensure_ascii=False, indent=1)
        (new / MARK).write_text(facts + "\n", encoding="utf-8", newline="\n")
        write_sums(new)
        size = folder_size(new)
    if difference is None:
        return replace(report, bytes=size, source=f"{source} (not in WebAssembly, since Node.js is not installed here)")
    largest = max(report.largest_difference, difference)
    return replace(report, bytes=size, largest_difference=largest, source=f"{source} (in WebAssembly too)")


def page_facts(artifact: Artifact, report: ExportReport) -> dict[str, Any]:
    """Return what the page knows of the model: how to read a file, and the model card at its foot."""
    made, settings = artifact.provenance, artifact.config
    return {
        "labels": [label_text(label) for label in artifact.labels],
        "many": artifact.many,
        "thresholds": artifact.thresholds,
        "token": unicode_token(settings.text.split_unspaced),
        "max_tokens": settings.text.max_tokens,
        "text_column": settings.data.text,
        "network": f"{'bidirectional ' if settings.model.bidirectional else ''}{settings.model.cell.upper()}, "
        f"{settings.model.hidden_size} units",
        "vocabulary_size": len(artifact.vocabulary),
        "temperature": artifact.temperature,
        "bytes": report.bytes,
        "metrics": {split: _short(metrics) for split, metrics in artifact.metrics.items()},
        "train_rows": made.get("train_rows"),
        "created": made.get("created"),
        "versions": {"textcls": textcls.__version__, "onnxruntime-web": web_runtime.VERSION},
        "sha256": report.sha256,
    }


def _short(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics.get(name) for name in ("rows", "accuracy", "macro_f1", "expected_calibration_error")}


def _copy_page(folder: Path, runtime: list[Path]) -> None:
    """Copy the page, which has the runtime's licence, and the runtime: as `.js`, since not every server knows what `.mjs` is."""
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    for path in runtime:
        shutil.copyfile(path, folder / "runtime" / path.name.replace(".mjs", ".js"))
