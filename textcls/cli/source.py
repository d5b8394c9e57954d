"""CONFIG|DATA: a file of settings, or data to use with the defaults; and the run folder that is named after it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textcls.cli.output import tell
from textcls.errors import InputError

if TYPE_CHECKING:
    from textcls.config import Config

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG|DATA",
        help="Settings (.yaml), or training data to use with the defaults: a file, a folder, hub:… or package:…",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, such as training.epochs=5; may be repeated."),
]

TextOption = Annotated[
    list[str] | None, typer.Option("--text", metavar="COLUMN", help="Column with the text; may be repeated.")
]
LabelOption = Annotated[str | None, typer.Option("--label", metavar="COLUMN", help="Column with the label.")]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option("--labels", metavar="COLUMN", help="Column with all labels of a text; repeated, columns of 0 and 1."),
]
VectorsOption = Annotated[
    str | None, typer.Option("--vectors", metavar="FILE|NAME", help="Pretrained vectors, such as glove.6B.50d.")
]

# Of the commands that read rows as classifying does.
ModelTextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="COLUMN", help="Column with the text; may be repeated. The model's own, or text, if not given."
    ),
]
LinesOption = Annotated[bool, typer.Option("--lines", help="Take each line of a .txt file as a text, not the whole file.")]
NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="csv and tsv files have no line of names: columns are 0, 1, 2, …")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
DelimiterOption = Annotated[
    str | None,
    typer.Option(metavar="CHARACTER", help="What separates the fields of csv and tsv files, or tab; found out if not given."),
]
QuotingOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|csv|none", help="Whether double quotes hold a field together (csv) or are like other characters."
    ),
]
EncodingOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Encoding of text without a byte order mark, such as cp1252; else utf-8.")
]


def reading_options(delimiter: str | None, quoting: str | None, encoding: str | None) -> dict[str, Any]:
    """Return what was given of the options that say how tables are written, checked as the settings of `data` are.

    Raises:
        ConfigError: One does not fit.
    """
    from textcls.config import parse_config

    given = {"delimiter": delimiter, "quoting": quoting, "encoding": encoding}
    given = {name: value for name, value in given.items() if value is not None}
    checked = parse_config({"data": given}, "the options").data
    return {name: value for name in given if (value := getattr(checked, name))}


def column_options(
    text: Sequence[str] | None, label: str | None, labels: Sequence[str] | None, vectors: str | None
) -> dict[str, Any]:
    """Return the settings that the options for columns and vectors stand for, by dotted name.

    Raises:
        InputError: There are `--label` and `--labels`.
    """
    if label is not None and labels:
        raise InputError("--label and --labels exclude each other: a text has one label, or it has many")
    given = {"data.text": _one_or_more(text), "data.label": label, "data.labels": _one_or_more(labels), "text.vectors": vectors}
    changes = {name: value for name, value in given.items() if value is not None}
    other = {"data.label": "data.labels", "data.labels": "data.label"}  # what a file of settings says of it gives way
    return changes | {other[name]: None for name in changes if name in other}


def _one_or_more(names: Sequence[str] | None) -> str | list[str] | None:
    return (names[0] if len(names) == 1 else list(names)) if names else None


def read_settings(source: str, overrides: Sequence[str] | None, options: Mapping[str, Any] | None = None) -> Config:
    """Return the settings that a CONFIG|DATA argument stands for, with `--set` and what other options say over them.

    Of several `--set` of one name the last one counts, which is told.

    Raises:
        ConfigError: The file cannot be read, or a setting does not fit.
        InputError: `--set` and an option of its own give the same setting.
    """
    from textcls.config import Config, load_config, parse_overrides

    changes, options = parse_overrides(overrides or ()), options or {}
    if twice := [name for name, value in options.items() if name in changes and value is not None]:
        raise InputError(f"{twice[0]}: is given twice, with --set and by an option of its own; give it once")
    _tell_repeated(overrides or ())
    changes = {name: value for name, value in options.items() if name not in changes} | changes
    return load_config(source, changes) if is_config(source) else Config().replace({"data.train": source} | changes)


def _tell_repeated(overrides: Sequence[str]) -> None:
    """Say which of several `--set` of one name counts; once, where `torchrun` started several processes."""
    last = {item.partition("=")[0].strip(): item for item in overrides}
    for item in overrides:
        counts = last[item.partition("=")[0].strip()]
        if item != counts and os.environ.get("RANK", "0") == "0":
            tell(f"note: --set {item} gives way to --set {counts}, which comes after it")


def is_config(source: str) -> bool:
    """Whether an argument names a file of settings rather than data."""
    return source.lower().endswith((".yaml", ".yml"))


def stem(source: str) -> str:
    """Return a short name for settings or data: `trec` for `configs/trec.yaml`, `data/trec.csv.gz` and `hub:o/trec@train`."""
    named = re.sub(r"^(hub|package):", "", source)
    if named != source:
        named = re.split("[:@]", named)[0]
    name = Path(named).resolve().name
    return re.sub(r"[^\w-].*", "", name) or "run"


def new_folder(name: str, force: bool) -> Path:
    """Return `runs/NAME`, or where that is not empty the first of `runs/NAME-2`, `runs/NAME-3`, … that is."""
    for folder in _folders(name):
        if force or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return folder
    raise AssertionError


def last_folder(name: str) -> Path:
    """Return the last of `runs/NAME`, `runs/NAME-2`, … that is there."""
    for folder, after in pairwise(_folders(name)):
        if not after.exists():
            return folder
    raise AssertionError


def _folders(name: str) -> Iterator[Path]:
    yield Path("runs", name)
    yield from (Path("runs", f"{name}-{number}") for number in count(2))
