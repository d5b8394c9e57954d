"""`textcls info`: what a model says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from textcls.cli.output import complain, metrics_table, print_json, say, size, table

EXAMPLES = """Examples:

\b
  textcls info runs/trec/model
  textcls info trec.onnx --json
  textcls info trec.onnx --verify

MODEL is a model folder, an exported .onnx or .pt2 file, or the folder of a web, spaCy or hub export.

--verify recomputes the SHA-256 that textcls wrote into it: of a model folder's weights, vocabulary, labels, settings, calibration,
metrics and origin (not of README.md, on which people may write), and that its model.onnx is of these weights; of all that is in
an exported file; of every file in a web or spaCy folder. It exits with 1 and names what is missing, damaged, changed or, in a
folder, added (hidden files are passed over); with 2 where there is nothing to compare with: no model, no hashes, or a file too
damaged to hold them. The hashes are no signature.
"""
_MOST_LABELS = 30


def info(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder, or an exported file or folder.", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Tell whether it is still what was written, by its hashes.")] = False,
) -> None:
    """Show a model's labels, settings, metrics and origin."""
    if verify:
        _verify(model)
        return
    record = describe(model)
    if json:
        print_json(record)
        return
    from textcls.data.labels import label_text

    labels = [label_text(label) for label in record["labels"]]
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    made = record["provenance"]
    thresholds = record["thresholds"]
    of_int8 = ", of the fp32 weights that these were made of" if "quantized" in record else ""
    facts = [
        ["model", f"{model}, {size(record['bytes'])}"],
        ["labels", f"{len(labels)}{', many a text' if thresholds else ''}: {', '.join(labels[:_MOST_LABELS])}{more}"],
        ["vocabulary", f"{record['vocabulary_size']:,} tokens"],
        ["text", _settings(record["text"])],
        ["network", _settings(record["model"])],
        ["temperature", f"{record['temperature']:.4f}"],
        *([["thresholds", f"{min(thresholds):.4f} to {max(thresholds):.4f}"]] if thresholds else []),
        *([["fast", _fast(record)]] if record.get("fast") else []),
        *([["int8", _moved(record["quantized"])]] if "quantized" in record else []),
        ["fingerprint", record["fingerprint"]],
        ["weights", f"SHA-256 {record['weights_sha256']}{of_int8}"],
        [
            "trained",
            f"{made.get('created', '?')} with textcls {made.get('textcls_version', '?')}, format version {record['format_version']}",
        ],
        ["rows", _rows(made)],
    ]
    for split, files in made.get("data", {}).items():
        facts += [[split, _file(file)] for file in files]
    if made.get("vectors"):
        facts.append(["vectors", f"{made['vectors']['name']} ({str(made['vectors']['sha256'])[:12]}…)"])
    say(table(facts, numbers=False))
    if record["metrics"]:  # validation before test
        say(f"\n{metrics_table(dict(sorted(record['metrics'].items(), reverse=True)))}")


def _rows(made: Mapping[str, Any]) -> str:
    refit = f"; n-grams in the end fitted to {made['refit']['rows']:,} of both" if "refit" in made else ""
    return f"{made.get('train_rows', 0):,} to train, {made.get('validation_rows', 0):,} to validate{refit}"


def _fast(record: Mapping[str, Any]) -> str:
    """Say when n-grams may answer alone, and what that meant on validation rows."""
    way, found = record["fast"], record["metrics"].get("validation", {}).get("fast")
    said = "always" if record.get("always_fast") else "where it is asked for (--fast)"
    said += f": n-grams alone from a lead of {way['margin']:.4f}, temperature {way['temperature']:.4f}"
    if found:
        said += f"; {found['share']:.1%} of the validation rows, {found['agreement']:.2%} with the whole model's labels"
    return said


def _verify(model: Path) -> None:
    from textcls.inference.seal import verify

    changes = verify(model)
    for change in changes:
        complain(change)
    if changes:
        raise typer.Exit(1)
    say(f"{model}: unchanged since textcls wrote it")


def _moved(quantized: dict[str, Any]) -> str:
    return (
        f"probabilities within {quantized['largest_difference']:g} of the model's, "
        f"within {quantized['across_batchings']:g} across batches; {quantized['agreement']:.2%} of the labels agree"
    )


def describe(model: Path) -> dict[str, Any]:
    """Return what a model says of itself, the same for a model folder and for every export of it.

    Raises:
        ModelError: There is no model, it is damaged, or a newer textcls wrote it.
    """
    import json

    from textcls.artifact import read_artifact
    from textcls.errors import ModelError
    from textcls.fast import FastWay
    from textcls.inference.graph import VOCABULARY, metadata, vocabulary_of
    from textcls.inference.predictor import read_graph
    from textcls.inference.program import read_program
    from textcls.inference.seal import exported_graph
    from textcls.saved_settings import saved_settings

    if graph_file := model if model.is_file() and model.suffix != ".pt2" else exported_graph(model):
        graph = read_graph(graph_file)
        properties = {entry.key: entry.value for entry in graph.metadata_props}
        vocabulary = len(vocabulary_of(graph))
    elif model.is_file():
        properties = read_program(model)
        vocabulary = properties[VOCABULARY].count("\n") + 1
    else:
        artifact = read_artifact(model)
        properties, vocabulary = metadata(artifact), len(artifact.vocabulary)
    record = saved_settings(json.loads(properties["textcls"]))
    try:
        FastWay.of(record.get("fast"))
    except ValueError as error:
        raise ModelError(f"{model}: its textcls metadata is damaged: {error}; export the model again") from error
    return record | {"vocabulary_size": vocabulary, "bytes": _bytes(model)}


def _bytes(model: Path) -> int:
    files = [model] if model.is_file() else [path for path in model.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def _settings(section: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in section.items() if value is not None)


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file(file: dict[str, Any]) -> str:
    return f"{file.get('file') or file.get('dataset')} ({str(file.get('sha256') or file.get('fingerprint'))[:12]}…)"
