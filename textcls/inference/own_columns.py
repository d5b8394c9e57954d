"""Rows that a model labels wrongly, with all columns that they have in their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textcls.config import DataSettings
from textcls.data.blocks import MISSING
from textcls.data.labelled import columns_of
from textcls.data.sources import resolve
from textcls.inference.answers import Names
from textcls.inference.writers import plain_values


def with_own_columns(
    rows: Sequence[Mapping[str, Any]], places: Sequence[int], source: str | Sequence[str], settings: DataSettings
) -> list[dict[str, Any]]:
    """Return rows with the columns of the input behind what they hold, read from there once more.

    A column that has one of their names already is the same, where the text or the label was read from it; else it comes back as
    `input_<name>`.

    Args:
        rows: Some rows, each with the same keys.
        places: Where each one stands among all rows of the source, from 0.
        source: What was read, as `data.test`.
        settings: How.

    Raises:
        DataError: It cannot be read any more.
    """
    if not rows:
        return []
    text, labels = settings.text, settings.labels or settings.label or "label"
    same = {name for name in (text, labels) if isinstance(name, str)} & {"text", "label"}
    names = Names(rows[0])
    found: dict[int, dict[str, Any]] = {}
    for some, columns in columns_of(resolve(source, "test"), settings, places):
        own = {name: plain_values(column) for name, column in columns.items() if name not in same}
        called = names.in_output(own)
        for at, place in enumerate(some):
            values = {name: values[at] for name, values in zip(called, own.values(), strict=True)}
            found[place] = {name: value for name, value in values.items() if value is not MISSING}
    return [{**row, **found.get(place, {})} for row, place in zip(rows, places, strict=True)]
