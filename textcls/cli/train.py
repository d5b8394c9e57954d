"""`textcls train`: from a dataset to a trained model."""

from __future__ import annotations

import shlex
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textcls.cli.output import INTERRUPTED, metrics_table, tell
from textcls.cli.source import SetOption, SourceArgument, read_settings, stem

if TYPE_CHECKING:
    from textcls.training import Run

EXAMPLES = """Examples:

\b
  textcls train configs/trec.yaml
  textcls train reviews.csv --set data.text=body --set data.label=stars
  textcls train news/ --set text.vectors=glove.6B.50d --run runs/news
  textcls train new.csv --from runs/news/model

A folder holds one folder of text files per class. The run folder holds the model (model/), its metrics, pictures and log.
While it trains, * marks the best epoch so far. Ctrl-C ends training early and keeps the best model so far.
"""
_SHOWN = ("rows", "accuracy", "macro_f1", "log_loss", "expected_calibration_error", "unseen_label_rows")
_SHOWN_OF_MANY = (*_SHOWN[:3], "micro_f1", *_SHOWN[3:])  # with one label a text it equals the accuracy


def train(
    source: SourceArgument,
    overrides: SetOption = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run folder to make; runs/<name of CONFIG|DATA> where not given.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a run folder that is not empty.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", metavar="MODEL", help="Start from the weights and vocabulary of a trained model."),
    ] = None,
) -> None:
    """Train a classifier on a dataset and evaluate it."""
    config = read_settings(source, overrides)
    folder = run or _default_folder(stem(source), force)
    from textcls.cli.progress import TrainingDisplay
    from textcls.training import train as train_model

    if config.text.tokenizer != "unicode" and start_from is None:
        tell(
            f"note: an export of this model will take token ids, not raw text: the tokenizer {config.text.tokenizer} "
            "cannot be written in ONNX (text.tokenizer unicode can)"
        )
    with TrainingDisplay(config.training.metric) as display:
        result = train_model(config, folder, force=force, start_from=start_from, report=display)
    _show(result)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _default_folder(name: str, force: bool) -> Path:
    """Return `runs/NAME`, or where that is not empty the first of `runs/NAME-2`, `runs/NAME-3`, … that is."""
    for number in count(1):
        folder = Path("runs", name if number == 1 else f"{name}-{number}")
        if force or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return folder
    raise AssertionError


def _show(run: Run) -> None:
    """Print the result table, where the model is, and what to do with it."""
    if run.metrics:
        tell()
        typer.echo(metrics_table(run.metrics, _SHOWN_OF_MANY if run.artifact.many else _SHOWN))
    model = shlex.quote(str(run.folder / "model"))
    tell(f"\nmodel: {model}   log, metrics and pictures: {shlex.quote(str(run.folder))}")
    tell("\nNext:")
    tell(f"  textcls classify {model} FILES")
    tell(f"  textcls evaluate {model} DATA --errors wrong.csv")
    tell(f"  textcls export {model} {shlex.quote(run.folder.resolve().name)}.onnx")
