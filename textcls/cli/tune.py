"""`textcls tune`: a search for better settings, within a time budget."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textcls.cli.output import INTERRUPTED, TERMINATED, figure, metric_names, say, showing, table, tell
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
    from textcls.training import Search

EXAMPLES = """Examples:

\b
  textcls tune configs/trec.yaml --minutes 10
  textcls tune reviews.csv --minutes 30 --set training.metric=accuracy
  textcls tune news.yaml --search training.learning_rate --search model.hidden_size
  textcls tune news.yaml --minutes 30 --resume
  textcls train runs/news-tune/best.yaml

Whole models are compared, network and n-grams together, by training.metric on the validation rows; test rows are not
read. The first trial has the given settings, the second textcls's defaults, some more what is known to help beside
these; then Optuna chooses, and gives trials up whose network does worse than most had by then.
Searched are, unless --set fixes them or --search names a part of them: training.learning_rate, training.epochs,
model.hidden_size, model.pooling, training.consistency, text.vectors (the given ones or none), model.ngram_slots (auto
or 0), training.class_weights, model.embedding_dropout, model.output_dropout and training.word_dropout. And where
--search names them: training.batch_size, training.label_smoothing, training.weight_decay and training.average.

When --minutes are over, the trial under way is stopped, and what it reached by then counts. So it is with Ctrl-C and
SIGTERM, once the first trial has ended an epoch; the exit code is then 130 or 143. With --resume the same command goes on for
as many minutes again; a trial that was stopped, or killed, starts over.

The folder holds best.yaml, to train with, no worse on the validation rows than the defaults of what is searched; every
trial in trials.csv; a picture, search.png; and trials.db, Optuna's own storage. The best of many trials is lucky in its
validation score, too: what it is worth, test rows tell.
"""
_MOST_MINUTES = 1e9  # as training.checkpoint_minutes
_SHOWN = 5  # trials, beside that of the given settings


def tune(
    source: SourceArgument,
    overrides: SetOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    labels: LabelsOption = None,
    vectors: VectorsOption = None,
    minutes: Annotated[float, typer.Option(metavar="N", help="Time for the whole search.", show_default=True)] = 10.0,
    search: Annotated[
        list[str] | None,
        typer.Option("--search", metavar="NAME", help="Search this setting, and no other; may be repeated."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder to make; runs/<name of CONFIG|DATA>-tune where not given.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a search, for as many minutes again.")] = False,
) -> None:
    """Search for settings that train a better model."""
    config = read_settings(source, overrides, column_options(text, label, labels, vectors))
    if force and resume:
        raise InputError("--force and --resume exclude each other: write over the search, or go on with it")
    if not 0 < minutes <= _MOST_MINUTES:
        raise InputError(f"--minutes {minutes:g}: give the search some time, such as 10")
    name = f"{stem(source)}-tune"
    folder = run or (last_folder(name) if resume else new_folder(name, force))
    from textcls.cli.progress import SearchDisplay
    from textcls.config import parse_overrides
    from textcls.training import tune as tune_model
    from textcls.training.folder import check_spares
    from textcls.training.search import WRITTEN

    if is_config(source) and not resume:
        check_spares(folder, WRITTEN, [Path(source)])
    fixed = list(parse_overrides(overrides or ()))
    with SearchDisplay(config.training.metric, minutes, config.data.labels is not None) as display:
        result = tune_model(config, folder, minutes, search=search, fixed=fixed, force=force, resume=resume, report=display)
    with showing():
        _show(result, config)
    if result.interrupted:
        raise typer.Exit(TERMINATED if result.signal == signal.SIGTERM else INTERRUPTED)


def _show(result: Search, given: Config) -> None:
    """Print the best trials side by side, what the search left, and what to do with it."""
    tell()
    say(comparison(result, given))
    folder = shlex.quote(str(result.folder))
    best = shlex.quote(str(result.folder / "best.yaml"))
    tell(f"\nbest settings: {best}   all trials: {shlex.quote(str(result.folder / 'trials.csv'))}, search.png")
    if result.interrupted:
        tell(f"interrupted: the best so far is kept; --resume goes on in {folder}")
    tell("\nNext:")
    tell(f"  textcls train {best}")


def comparison(result: Search, given: Config) -> str:
    """Return a table with a column for each of the best trials and for the given settings, a row for each searched setting."""
    from textcls.training.search import table as rows_of

    metric = given.training.metric
    rows = rows_of(result.trials, given, result.searched)
    shown = [*rows[:_SHOWN], *(row for row in rows[_SHOWN:] if row["origin"] == "given")]
    cells = [["trial", *(f"{row['trial']} given" if row["origin"] == "given" else str(row["trial"]) for row in shown)]]
    cells.append([metric_names(given.data.labels is not None)[metric], *(figure(row[metric]) for row in shown)])
    cells.append(["best epoch", *(figure(row["best_epoch"]) for row in shown)])
    cells.append(["epochs", *(figure(row["epochs"]) for row in shown)])
    cells.append(["seconds", *(f"{row['seconds']:.0f}" for row in shown)])
    cells.append([""] * len(cells[0]))
    cells += [[name, *(_short(row[name]) for row in shown)] for name in result.searched]
    return table(cells)


def _short(value: object) -> str:
    """Return a setting as it fits a column: of a file its name."""
    return f"{value:g}" if isinstance(value, float) else str(value).rpartition("/")[2]
