"""`textcls info`: what a model says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from textcls.cli.output import STANDARD_OUTPUT, complain, metrics_table, size, table, write_json

EXAMPLES = """Examples:

\b
  textcls info runs/trec/model
  textcls info trec.onnx --json
  textcls info trec.onnx --verify

--verify exits with 1 where weights, vocabulary, labels, settings or graph are not what textcls wrote.
"""
_MOST_LABELS = 30


def info(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder or an exported .onnx file.", show_default=False)
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
        write_json(record, STANDARD_OUTPUT)
        return
    from textcls.data.labels import label_text

    labels = [label_text(label) for label in record["labels"]]
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    made = record["provenance"]
    thresholds = record["thresholds"]
    facts = [
        ["model", f"{model}, {size(record['bytes'])}"],
        ["labels", f"{len(labels)}{', many a text' if thresholds else ''}: {', '.join(labels[:_MOST_LABELS])}{more}"],
        ["vocabulary", f"{record['vocabulary_size']:,} tokens"],
        ["text", _settings(record["text"])],
        ["network", _settings(record["model"])],
        ["temperature", f"{record['temperature']:.4f}"],
        *([["thresholds", f"{min(thresholds):.4f} to {max(thresholds):.4f}"]] if thresholds else []),
        *([["int8", _moved(record["quantized"])]] if "quantized" in record else []),
        ["fingerprint", record["fingerprint"]],
        ["weights", f"SHA-256 {record['weights_sha256']}"],
        ["trained", f"{made.get('created', '?')} with textcls {made.get('textcls_version', '?')}"],
        ["rows", f"{made.get('train_rows', 0):,} to train, {made.get('validation_rows', 0):,} to validate"],
    ]
    for split, files in made.get("data", {}).items():
        facts += [[split, _file(file)] for file in files]
    if made.get("vectors"):
        facts.append(["vectors", f"{made['vectors']['name']} ({str(made['vectors']['sha256'])[:12]}…)"])
    typer.echo(table(facts, numbers=False))
    if record["metrics"]:  # validation before test
        typer.echo(f"\n{metrics_table(dict(sorted(record['metrics'].items(), reverse=True)))}")


def _verify(model: Path) -> None:
    from textcls.inference.seal import verify

    changes = verify(model)
    for change in changes:
        complain(change)
    if changes:
        raise typer.Exit(1)
    typer.echo(f"{model}: unchanged since textcls wrote it")


def _moved(quantized: dict[str, Any]) -> str:
    return (
        f"probabilities within {quantized['largest_difference']:g} of the model's, "
        f"within {quantized['across_batchings']:g} across batches; {quantized['agreement']:.2%} of the labels agree"
    )


def describe(model: Path) -> dict[str, Any]:
    """Return what a model says of itself, the same for a model folder and for its export.

    Raises:
        ModelError: There is no model, it is damaged, or a newer textcls wrote it.
    """
    import json

    if model.is_file():
        from textcls.inference.graph import vocabulary_of
        from textcls.inference.predictor import read_graph

        graph = read_graph(model)
        properties = {entry.key: entry.value for entry in graph.metadata_props}
        vocabulary = len(vocabulary_of(graph))
        count = model.stat().st_size
    else:
        from textcls.artifact import read_artifact
        from textcls.inference.graph import metadata

        artifact = read_artifact(model)
        properties, vocabulary = metadata(artifact), len(artifact.vocabulary)
        count = sum(file.stat().st_size for file in model.iterdir() if file.is_file())
    record: dict[str, Any] = json.loads(properties["textcls"])
    return record | {"vocabulary_size": vocabulary, "bytes": count}


def _settings(section: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in section.items() if value is not None)


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file(file: dict[str, Any]) -> str:
    return f"{file.get('file') or file.get('dataset')} ({str(file.get('sha256') or file.get('fingerprint'))[:12]}…)"
