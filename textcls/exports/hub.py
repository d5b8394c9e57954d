"""The `hub` export: a folder in the layout of the Hugging Face Hub, and its way there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from textcls.artifact import GRAPH_FILE, INT8_FILE, Artifact, read_unchanged_artifact, write_files
from textcls.data import label_text
from textcls.errors import TextclsError
from textcls.exports.onnx_file import LOCALE, ExportReport, write_int8, write_proven
from textcls.exports.parity import rounded_down, rounded_up
from textcls.exports.places import check_folder, folder_size
from textcls.exports.texts import real_texts, validation_rows
from textcls.files import replacing_folder, writing
from textcls.inference.graph import takes_text
from textcls.inference.hub import check_repository, first_line
from textcls.inference.seal import write_sums
from textcls.training.card import model_card

_METRICS = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "micro_f1": "Micro-F1",
    "log_loss": "Log loss",
    "expected_calibration_error": "Expected calibration error",
}
_TASK = {"type": "text-classification", "name": "Text classification"}
_USE = """
## Use it from here

```python
from textcls import TextClassifier

classifier = TextClassifier.load("hub:{repository}")
classifier.predict(["some text"])
```

`model.onnx` holds all of it and runs in stock ONNX Runtime, without textcls: {inputs}. It was compared with the trained model
before it was written: no probability differs by more than {difference:.1g}.
"""
_USE_INT8 = """
`{file}` is the same in {share:.0%} of the size, with weights of eight bits: {agreement:.2%} of its labels were the model's, and its
probabilities moved by up to {difference:.2g}, by up to {across:.2g} with the batch that a text is in.
"""


def export_hub(
    model: str | Path,
    out: str | Path,
    *,
    quantize: str | None = None,
    locale: str = LOCALE,
    texts: str | Path | None = None,
    force: bool = False,
    push: str | None = None,
) -> ExportReport:
    """Write a folder for the Hugging Face Hub: the model, its ONNX file, and a card that the Hub reads; and send it there if asked.

    Args:
        model: The model folder.
        out: The folder to write; it is a model folder too.
        quantize: `int8` for a second ONNX file, with weights of eight bits.
        locale: Locale in which the ONNX files lower-case.
        texts: A file of texts, one a line, to compare on; chosen as in `onnx_file.export` if not given.
        force: Write over an earlier export.
        push: Repository to send it to, `owner/name`; made where there is none.

    Raises:
        InputError: There is no model, the folder cannot be written, or `push` is no name of a repository.
        ExportError: The ONNX file differs from the model; nothing was written.
        TextclsError: The Hub does not take it; the folder is written.
    """
    model, out = Path(model), Path(out)
    if push is not None:
        check_repository(push)
    check_folder(out, "hub", ("labels.json", GRAPH_FILE), (model, texts), force=force)
    artifact = read_unchanged_artifact(model)
    real, source = real_texts(artifact, model, texts)
    with writing(out), replacing_folder(out, force=force) as new:
        report = write_proven(artifact, new / GRAPH_FILE, real, source, locale)
        if quantize:
            small = write_int8(artifact, new / INT8_FILE, real, source, locale, validation_rows(model))
            report = replace(report, int8=small.int8)
        write_files(artifact, new, hub_card(artifact, report, push or "OWNER/NAME"))
        write_sums(new)
        size = folder_size(new)
    if push is not None:
        _push(out, push)
    return replace(report, bytes=size)


def _push(folder: Path, repository: str) -> None:
    """Send a folder to a repository.

    Raises:
        TextclsError: It could not be sent.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a textcls model")
    except Exception as error:  # network, names, rights: the client documents no common class
        by_hand = f"hf upload {repository} {shlex.quote(str(folder))}"
        raise TextclsError(
            f"--push {repository}: not sent: {first_line(error)}; the folder {folder} is written, and `{by_hand}` sends it"
        ) from error


def hub_card(artifact: Artifact, report: ExportReport, repository: str) -> str:
    """Return the model card with the front matter that the Hub reads: task, labels, data and metrics."""
    datasets = sorted({name for name, on_hub in _datasets(artifact.provenance) if on_hub})
    facts: dict[str, Any] = {
        "library_name": "textcls",
        "pipeline_tag": "text-classification",
        "tags": ["text-classification", "textcls", "onnx"],
        "labels": [label_text(label) for label in artifact.labels],
        **({"datasets": datasets} if datasets else {}),
    }
    if results := [_result(artifact, split, metrics) for split, metrics in artifact.metrics.items()]:
        facts["metrics"] = sorted({metric["type"] for result in results for metric in result["metrics"]})
        facts["model-index"] = [{"name": repository.rpartition("/")[2], "results": results}]
    front = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=120)
    inputs = "raw text in, " if takes_text(artifact) else "token ids and lengths in, "
    inputs += "which labels are selected and probabilities out" if artifact.many else "label and probabilities out"
    use = _USE.format(repository=repository, inputs=inputs, difference=rounded_up(report.largest_difference, 1))
    if int8 := report.int8:
        moved = {
            "agreement": rounded_down(int8.agreement),
            "difference": rounded_up(int8.largest_difference),
            "across": rounded_up(int8.across_batchings),
        }
        use += _USE_INT8.format(file=INT8_FILE, share=int8.size_share, **moved)
    return f"---\n{front}---\n\n{model_card(artifact)}{use}"


def _result(artifact: Artifact, split: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of one split in the model index."""
    files = artifact.provenance.get("data", {})
    name = next((name for name, _ in _datasets({"data": {split: files.get(split, files.get("train", []))}})), "not recorded")
    measured = [
        {"type": kind, "name": shown, "value": round(metrics[kind], 6)}
        for kind, shown in _METRICS.items()
        if metrics.get(kind) is not None
    ]
    return {"task": dict(_TASK), "dataset": {"name": name, "type": name, "split": split}, "metrics": measured}


def _datasets(provenance: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the name of each file or data set that the model saw, and whether it is one of the Hub."""
    for files in provenance.get("data", {}).values():
        for file in files:
            name = str(file.get("file") or file.get("dataset"))
            yield name, "file" not in file and "/" in name
