"""`textcls evaluate`: metrics of a model on labelled rows, and the rows it gets wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textcls.cli.output import (
    STANDARD_OUTPUT,
    figure,
    json_text,
    metrics_table,
    print_json,
    say,
    showing,
    table,
    tell,
    write_rows,
)
from textcls.cli.source import DelimiterOption, EncodingOption, NoHeaderOption, QuotingOption, TextOption, reading_options
from textcls.errors import visible_json

if TYPE_CHECKING:
    from textcls.scoring import Evaluation

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
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist with --json and --errors.")] = False,
    text: TextOption = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", "--labels", metavar="COLUMN", help="Column with the label or labels; repeated, columns of 0 and 1."
        ),
    ] = None,
    no_header: NoHeaderOption = False,
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
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Let n-grams answer alone where they are sure, and compare with the whole model."),
    ] = False,
) -> None:
    """Evaluate a model on labelled rows."""
    from textcls.scoring import evaluate as evaluate_model

    report = None if json in {None, STANDARD_OUTPUT} else Path(str(json))
    check_outputs(report, errors, model, data, force)
    result = evaluate_model(
        model,
        data,
        text=tuple(text) if text else None,
        label=None if not label else label[0] if len(label) == 1 else tuple(label),
        header=False if no_header else None,
        encoding_errors=encoding_errors,
        missing_labels=missing_labels,
        own_columns=errors is not None,
        fast=fast,
        **reading_options(delimiter, quoting, encoding),
    )
    for note in result.notes:
        tell(f"note: {note}")
    show = showing if report or errors else nullcontext
    try:
        _write(result, report, errors, force)
    finally:  # what it took so long to find out is shown whatever becomes of the files
        with show():
            if json == STANDARD_OUTPUT:
                print_json(result.report)
            else:
                say(f"{_metrics(result.report)}\n\n{_by_label(result.report)}")
    if errors is not None:
        tell(f"\n{len(result.errors):,} wrong rows → {errors}")


def check_outputs(report: Path | None, errors: Path | None, model: Path, data: Sequence[str], force: bool) -> None:
    """Refuse files that cannot be written or are read, before any work is done.

    Raises:
        InputError: One is such a file, or both are the same.
    """
    files = [file for file in (report, errors) if file is not None]
    from textcls.data.sources import local_files
    from textcls.errors import InputError
    from textcls.files import check_stream_not_read, is_special
    from textcls.inference.outputs import REJECT_FORMATS, check_file, file_format

    if errors is not None:
        file_format(None, errors, REJECT_FORMATS)
    if len({file.resolve() for file in files}) < len(files) and not is_special(files[0]):
        raise InputError(f"{errors}: is named for the report and for the wrong rows; name another file for one of them")
    read = [model, *local_files(data)]
    check_stream_not_read(sys.stdout, read)
    for file in files:
        check_file(file, read, force)


def _write(result: Evaluation, report: Path | None, errors: Path | None, force: bool) -> None:
    """Write the files that were asked for, all of them whole or none."""
    from textcls.inference.outputs import REJECT_FORMATS, file_format, file_sink

    with ExitStack() as stack:
        if report is not None:
            sink = stack.enter_context(file_sink(report, force=force))
            sink.write(visible_json(json_text(result.report), sink).encode())
        if errors is not None:
            sink = stack.enter_context(file_sink(errors, force=force))
            names = ("file", "row", "text", "label", "predicted", "confidence")
            write_rows(result.errors, names, sink, file_format(None, errors, REJECT_FORMATS))


def _metrics(report: dict[str, Any]) -> str:
    """Return the figures of all rows; those of the whole model beside them, where they are of its fast way."""
    if (fast := report.get("fast")) is None:
        return metrics_table({"": report})
    return (
        f"{metrics_table({'fast': report, 'whole model': fast['whole']})}\n\n"
        f"fast: {fast['share']:.1%} of the rows by n-grams alone; {fast['changed']:,} of {report['rows']:,} get another label than "
        f"from the whole model ({fast['agreement']:.2%} agree)"
    )


def _by_label(report: dict[str, Any]) -> str:
    names = {"precision": "precision", "recall": "recall", "f1": "F1", "support": "rows", "threshold": "threshold"}
    shown = [name for name in names if any(name in scores for scores in report["per_class"].values())]
    rows = [["label", *(names[name] for name in shown)]]
    rows += [[label, *(figure(scores[name]) for name in shown)] for label, scores in report["per_class"].items()]
    return table(rows)
