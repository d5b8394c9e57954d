"""`textcls evaluate`: metrics of a model on labelled rows, and the rows it gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from textcls.cli.output import STANDARD_OUTPUT, figure, metrics_table, say, table, tell, write_json, write_rows
from textcls.cli.source import DelimiterOption, EncodingOption, QuotingOption, TextOption, reading_options

EXAMPLES = """Examples:

\b
  textcls evaluate runs/trec/model test.csv
  textcls evaluate trec.onnx test.parquet --text question --label kind
  textcls evaluate runs/trec/model test.csv --json report.json --errors wrong.csv

Text and label are read from the columns that the model learned from, unless --text and --label name others.
"""


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder or an exported .onnx file.", show_default=False)
    ],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA", help="Labelled rows: files, folders, hub:… or package:…", show_default=False),
    ],
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON; - prints it.")] = None,
    errors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the wrong rows with all their columns, the most confident first: .jsonl, .csv, .tsv."
        ),
    ] = None,
    text: TextOption = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", "--labels", metavar="COLUMN", help="Column with the label or labels; repeated, columns of 0 and 1."
        ),
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="csv and tsv files have no line of names: columns are 0, 1, 2, …")
    ] = False,
    delimiter: DelimiterOption = None,
    quoting: QuotingOption = None,
    encoding: EncodingOption = None,
    missing_labels: Annotated[
        str | None,
        typer.Option(
            "--missing-labels", metavar="error|skip", help="What to do with rows without a label; as in training by default."
        ),
    ] = None,
    encoding_errors: Annotated[
        str | None,
        typer.Option(metavar="strict|replace", help="What to do with bytes that are not UTF-8; as in training by default."),
    ] = None,
) -> None:
    """Evaluate a model on labelled rows."""
    from textcls.classifier import evaluate as evaluate_model

    if errors is not None:
        check_ending(errors)
    result = evaluate_model(
        model,
        data,
        text=tuple(text) if text else None,
        label=None if not label else label[0] if len(label) == 1 else tuple(label),
        header=False if no_header else None,
        encoding_errors=encoding_errors,
        missing_labels=missing_labels,
        own_columns=errors is not None,
        **reading_options(delimiter, quoting, encoding),
    )
    for note in result.notes:
        tell(f"note: {note}")
    if json != STANDARD_OUTPUT:
        say(metrics_table({"": result.report}))
        say(f"\n{_by_label(result.report)}")
    if json is not None:
        write_json(result.report, json)
    if errors is not None:
        write_rows(result.errors, errors, ("file", "row", "text", "label", "predicted", "confidence"))
        tell(f"\n{len(result.errors):,} wrong rows → {errors}")


def check_ending(path: Path) -> None:
    """Refuse a file for rows whose ending names no format, before any work is done.

    Raises:
        InputError: The ending is another one.
    """
    from textcls.errors import InputError

    if path.suffix.lower() not in {".jsonl", ".csv", ".tsv"}:
        raise InputError(f"{path}: wrong rows are written to .jsonl, .csv or .tsv; choose one of these endings")


def _by_label(report: dict[str, Any]) -> str:
    names = {"precision": "precision", "recall": "recall", "f1": "F1", "support": "rows", "threshold": "threshold"}
    shown = [name for name in names if any(name in scores for scores in report["per_class"].values())]
    rows = [["label", *(names[name] for name in shown)]]
    rows += [[label, *(figure(scores[name]) for name in shown)] for label, scores in report["per_class"].items()]
    return table(rows)
