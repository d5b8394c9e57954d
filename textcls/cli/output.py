"""What the commands print with: results to standard output, everything else to standard error.

Labels, file names, settings and rows come from anywhere: what people read goes through `say` and `tell`, which let nothing through
that steers a terminal. What programs read (JSON, rows) is written as it is; JSON on a terminal in other words of the same meaning.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import typer

from textcls.errors import visible, visible_json

STANDARD_INPUT = STANDARD_OUTPUT = "-"
STANDARD_OUTPUT_NAME = "standard output"  # the file name of its errors
_STANDARD_ERROR = 2
INTERRUPTED = 130  # what shells expect of a command that Ctrl-C ended
CUT_OFF = 141  # and of one whose output nobody reads any more, as `| head` leaves it
TERMINATED = 143  # and of one that SIGTERM ended
HUNG_UP = 129  # or SIGHUP
METRICS = {
    "rows": "rows",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "weighted_f1": "weighted F1",
    "log_loss": "log loss",
    "expected_calibration_error": "calibration error (ECE)",
    "unseen_label_rows": "rows with an unseen label",
}
METRICS_OF_MANY = {**METRICS, "accuracy": "exact match"}  # many labels a text: all of them are right


def metric_names(many: bool) -> dict[str, str]:
    """Return what metrics are called, by their keys in reports."""
    return METRICS_OF_MANY if many else METRICS


def say(text: str = "") -> None:
    """Write what was asked for to standard output, for people to read."""
    typer.echo(visible(text))


def tell(text: str = "") -> None:
    """Write a note, a summary or progress to standard error; where that is full or closed the work goes on."""
    try:
        typer.echo(visible(text), err=True)
    except BrokenPipeError:  # whoever read it has enough
        raise
    except OSError:
        drop(sys.stderr)


@contextmanager
def showing() -> Iterator[None]:
    """Show on standard output what is whole in files already: where it is closed or full, that is a note and no failure."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        drop(sys.stdout)
        if error.errno == errno.ENOSPC:
            tell(f"note: {fault_of_output(error)}, and shows less than there was to show")


def fault_of_output(error: OSError) -> str:
    """Return what is wrong with standard output."""
    return f"{STANDARD_OUTPUT_NAME} {'is closed' if error.errno == errno.EBADF else f'cannot be written: {error.strerror}'}"


def drop(stream: TextIO) -> None:
    """Send what is still in the buffer of a stream nowhere, or Python would complain of it as it exits."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def complain(message: str) -> None:
    """Write an error to standard error, each of its lines under the name of the program."""
    for line in message.splitlines():
        tell(f"textcls: {line}")


@contextmanager
def native_messages_dropped() -> Iterator[None]:
    """Drop what a library's C++ part writes to standard error, past Python; what Python writes still goes there."""
    try:
        python, usual = sys.stderr, sys.stderr.fileno() == _STANDARD_ERROR
    except (OSError, ValueError):  # replaced by something that is no file, as in a test
        usual = False
    if not usual:
        yield
        return
    kept, nowhere = os.dup(_STANDARD_ERROR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STANDARD_ERROR)
    os.close(nowhere)
    with os.fdopen(kept, "w", buffering=1, encoding=python.encoding, errors=python.errors) as sys.stderr:
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, _STANDARD_ERROR)
            sys.stderr = python


def table(rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """Return rows as aligned columns: the first to the left, the others to the right where they are numbers."""
    rows = [[visible(text).replace("\n", r"\n") for text in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.rjust(width) if numbers and column else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def figure(value: Any) -> str:
    """Return a number as tables show it: counts with separators, shares with four digits, a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def metrics_table(reports: Mapping[str, Mapping[str, Any]], names: Sequence[str] = tuple(METRICS)) -> str:
    """Return the metrics of one or more splits, a column each; what no report has is left out."""
    rows = [["", *reports]] if any(reports) else []
    called = metric_names(any("threshold" in one for report in reports.values() for one in report["per_class"].values()))
    for name in names:
        values = [report.get(name) for report in reports.values()]
        if any(values) or (name != "unseen_label_rows" and any(value is not None for value in values)):
            rows.append([called[name], *map(figure, values)])
    return table(rows)


def print_json(value: Any) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(visible_json(json_text(value), sys.stdout))


def json_text(value: Any) -> str:
    """Return a value as JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def size(count: int) -> str:
    """Return a number of bytes for reading."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def write_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], sink: Any, format: str) -> None:
    """Write rows as `jsonl`, `csv` or `tsv` to where bytes go: these columns, and those that only some rows have."""
    from textcls.data.blocks import MISSING
    from textcls.inference.writers import CsvWriter, JsonlWriter

    names = list(dict.fromkeys((*names, *(name for row in rows for name in row))))
    writer = JsonlWriter(sink) if format == "jsonl" else CsvWriter(sink, names, "\t" if format == "tsv" else ",")
    writer.write({name: [row.get(name, MISSING) for row in rows] for name in names}, [])
    writer.close()
