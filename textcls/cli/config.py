"""`textcls config`: every setting with what it does, or the settings that a file comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textcls.cli.output import say
from textcls.cli.source import SetOption, is_config, read_settings
from textcls.errors import InputError

EXAMPLES = """Examples:

\b
  textcls config                                         every setting, its default and what it does
  textcls config > mine.yaml                             the same as a file, to change
  textcls config configs/trec.yaml                       what training would have, defaults and all
  textcls config reviews.csv --set training.epochs=5

A file of settings needs only those that differ from the defaults.
"""
_WIDTH = 117


def config(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG|DATA]",
            help="Settings (.yaml), or training data; if not given, every setting is explained.",
            show_default=False,
        ),
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Print every setting with its default and meaning, or the settings of a file."""
    if source is not None:
        settings = read_settings(source, overrides)
        if not is_config(source) and Path(source).exists():  # settings may be written before there are data
            _check_data(source)
        say(settings.to_yaml().rstrip())
    elif overrides:
        raise InputError("--set changes the settings of a file: name one, or data to use with the defaults")
    else:
        say(documented().rstrip())


def _check_data(source: str) -> None:
    """Refuse what cannot be training data; no rows are read."""
    from textcls.data.blocks import Source
    from textcls.data.sources import check_kind, resolve

    for found in resolve(source, "train"):
        if isinstance(found, Source):
            check_kind(found)


def documented() -> str:
    """Return every setting as YAML, under its help: `configs/default.yaml`, which a test holds equal to it."""
    import textwrap

    import yaml

    from textcls.config import Config

    lines = ["# Every setting and its default. Copy what you need; what is left out keeps its default."]
    for section, settings in Config():
        lines += ["", f"{section}: # {(type(settings).__doc__ or '').splitlines()[0]}"]
        for name, field in type(settings).model_fields.items():
            lines += textwrap.wrap(
                " ".join((field.description or "").split()), _WIDTH, initial_indent="  # ", subsequent_indent="  # "
            )
            lines.append(f"  {yaml.safe_dump({name: getattr(settings, name)}).rstrip()}")
    return "\n".join(lines) + "\n"
