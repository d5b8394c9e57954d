"""`textcls train`: from a dataset to a trained model."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textcls.cli.output import INTERRUPTED, figure, metric_names, metrics_table, say, showing, tell
from textcls.cli.source import (
    LabelOption,
    LabelsOption,
    SetOption,
    SourceArgument,
    TextOption,
    VectorsOption,
    column_options,
    is_config,
    last_folder,
    new_folder,
    read_settings,
    stem,
)
from textcls.errors import InputError

if TYPE_CHECKING:
    from textcls.config import Config
    from textcls.training import Run

EXAMPLES = """Examples:

\b
  textcls train configs/trec.yaml
  textcls train reviews.csv --text body --label stars
  textcls train news/ --vectors glove.6B.50d --run runs/news
  textcls train new.csv --from runs/news/model
  textcls train news/ --vectors glove.6B.50d --run runs/news --resume

A folder holds one folder of text files per class. The run folder holds the model (model/), its metrics, pictures and log.
While it trains, * marks the best epoch so far. Ctrl-C ends training early and keeps the best model so far. What was
interrupted, or killed, goes on with the same command and --resume.
"""
_PATIENCE = 5.0  # seconds: bad input is met by all processes, and torchrun ends them with the first that leaves
_SHOWN = ("rows", "accuracy", "macro_f1", "log_loss", "expected_calibration_error", "unseen_label_rows")
_SHOWN_OF_MANY = (*_SHOWN[:3], "micro_f1", *_SHOWN[3:])  # with one label a text it equals the accuracy


def train(
    source: SourceArgument,
    overrides: SetOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    labels: LabelsOption = None,
    vectors: VectorsOption = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder to make; runs/<name of CONFIG|DATA> where not given.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a run folder that is not empty.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", metavar="MODEL", help="Start from the weights and vocabulary of a trained model."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted or killed.")] = False,
) -> None:
    """Train a classifier on a dataset and evaluate it."""
    first = os.environ.get("RANK", "0") == "0" or "TORCHELASTIC_RUN_ID" not in os.environ  # of those that torchrun started
    try:
        config = read_settings(source, overrides, column_options(text, label, labels, vectors))
        if force and resume:
            raise InputError("--force and --resume exclude each other: write over the run, or go on with it")
        folder = run or (last_folder(stem(source)) if resume else new_folder(stem(source), force))
        if run is None and first and folder != (before := last_folder(stem(source))) and (before / "checkpoints").is_dir():
            tell(f"note: {before} holds a run to go on with: --resume goes on with it; this is a new one, in {folder}")
        if is_config(source) and not resume:
            from textcls.training.folder import WRITTEN, check_spares

            check_spares(folder, WRITTEN, [Path(source)])
        result = _train(config, folder, first, force=force, resume=resume, start_from=start_from)
    except InputError as error:
        if first:
            raise
        time.sleep(_PATIENCE)
        raise typer.Exit(error.exit_code) from None
    if first:
        with showing():
            _show(result)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _train(config: Config, folder: Path, first: bool, **options: Any) -> Run:
    """Train, and where this process is the one that speaks show how."""
    from textcls.cli.progress import TrainingDisplay
    from textcls.text.bpemb import with_bpemb
    from textcls.training import train as train_model

    if not first:
        return train_model(config, folder, **options)
    if options["start_from"] is None and (tokenizer := with_bpemb(config.text).tokenizer) != "unicode":
        tell(
            f"note: an export of this model will take token ids, not raw text: the tokenizer {tokenizer} "
            "cannot be written in ONNX (text.tokenizer unicode can)"
        )
    with TrainingDisplay(config.training.metric, config.data.labels is not None) as display:
        return train_model(config, folder, report=display, **options)


def compared(run: Run) -> Iterator[str]:
    """Say what a linear model, and the most frequent label, reach on the rows of the last column of the table."""
    split, report = list(run.metrics.items())[-1]
    name = run.artifact.config.training.label_metric(run.artifact.many)
    called = metric_names(run.artifact.many)[name]
    constant = "the most frequent labels" if run.artifact.many else "always the most frequent label"
    reached = {"a linear model": report.get("linear"), constant: report["majority"]}
    shown = "; ".join(f"{what} {figure(scores[name])}" for what, scores in reached.items() if scores)
    yield f"on the same {split} rows, {called}: {shown}"
    best, scores = max(((what, scores) for what, scores in reached.items() if scores), key=lambda one: one[1][name])
    if report[name] <= scores[name] and report[name] < 1:
        yield f"note: the model is no better than {best} on these rows; {advice(run)}"


def advice(run: Run) -> str:
    """Name a setting that is likely to help and is not in use."""
    from textcls.text.vector_names import on_this_machine

    if run.artifact.provenance.get("vectors") is None and not on_this_machine():  # which are of another language, if there
        return "try pretrained vectors: --vectors glove.6B.50d"
    if run.artifact.config.model.pooling == "final":
        return "try --set model.pooling=final+max"
    return "try textcls tune, or more rows"


def _show(run: Run) -> None:
    """Print the result table, where the model is, and what to do with it."""
    if run.metrics:
        tell()
        say(metrics_table(run.metrics, _SHOWN_OF_MANY if run.artifact.many else _SHOWN))
        for line in compared(run):
            tell(line)
    model = shlex.quote(str(run.folder / "model"))
    tell(f"\nmodel: {model}   log, metrics and pictures: {shlex.quote(str(run.folder))}")
    tell("\nNext:")
    tell(f"  textcls classify {model} FILES")
    tell(f"  textcls evaluate {model} DATA --errors wrong.csv")
    tell(f"  textcls export {model} {shlex.quote(run.folder.resolve().name)}.onnx")
