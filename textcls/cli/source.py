"""CONFIG|DATA: a file of settings, or data to use with the defaults; and the run folder that is named after it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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


def reading_options(
    delimiter: str | None, quoting: str | None, encoding: str | None, *, quoted: bool = False
) -> dict[str, Any]:
    """Return what was given of the options that say how tables are written, checked as the settings of `data` are.

    With `quoted`, as YAML, for `--set`.

    Raises:
        ConfigError: One does not fit.
    """
    from textcls.config import parse_config

    given = {"delimiter": delimiter, "quoting": quoting, "encoding": encoding}
    given = {name: value for name, value in given.items() if value is not None}
    checked = parse_config({"data": given}, "the options").data
    return {name: json.dumps(value) if quoted else value for name in given if (value := getattr(checked, name))}


def read_settings(source: str, overrides: Sequence[str] | None) -> Config:
    """Return the settings that a CONFIG|DATA argument stands for, with `--set` over them.

    Raises:
        ConfigError: The file cannot be read, or a setting does not fit.
    """
    from textcls.config import Config, load_config, parse_overrides

    if is_config(source):
        return load_config(source, overrides or ())
    return Config().replace({"data.train": source} | parse_overrides(overrides or ()))


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
