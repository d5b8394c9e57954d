"""The validation split of a run: the rows that it recorded, where its data is at hand and still what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from textcls.data import Rows
from textcls.data.labelled import read_sources
from textcls.data.sources import Role, resolve
from textcls.errors import TextclsError
from textcls.saved_settings import load_saved_config


class NoValidationError(Exception):
    """The validation split of a run cannot be had; the message is why, for people, and no sentence."""


class _Record(BaseModel):
    """What `splits.json` of a run folder holds."""

    model_config = ConfigDict(strict=True)

    rows: dict[str, int]
    files: dict[str, list[dict[str, Any]]]
    cut_from_train: dict[str, list[int]]


def recorded_rows(model: Path) -> Rows:
    """Return the rows that were the validation split of the run in which a model folder lies.

    They are not cut anew, for another textcls may cut otherwise: the run recorded which rows of which files they were.

    Args:
        model: The model folder.

    Raises:
        NoValidationError: There were none, they are not at hand, or they may be others by now.
    """
    folder = model.resolve().parent
    if not (folder / "config.yaml").is_file():
        raise NoValidationError("the run's data is not at hand")
    record = _read_record(folder / "splits.json")
    if not record.rows.get("validation"):
        raise NoValidationError("the run had no validation split")
    cut = record.cut_from_train if "validation" in record.cut_from_train else {}
    role: Role = "train" if cut else "validation"
    rows = _unchanged_rows(folder / "config.yaml", role, record.files.get(role, []))
    expected = sum(map(len, cut.values())) if cut else record.rows["validation"]
    if len(rows) != expected:
        raise NoValidationError(f"the run's data gives {len(rows):,} rows, and gave {expected:,} in the run")
    if not cut:
        return rows
    if sorted(index for indices in cut.values() for index in indices) != list(range(expected)):
        raise NoValidationError("the run's splits.json is damaged")
    return rows.select(np.array(cut["validation"]))


def _read_record(path: Path) -> _Record:
    try:
        return _Record.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NoValidationError("the run's splits.json is missing") from error
    except (OSError, ValidationError) as error:
        raise NoValidationError("the run's splits.json is damaged") from error


def _unchanged_rows(config: Path, role: Role, recorded: Sequence[Mapping[str, Any]]) -> Rows:
    """Read what a run read for a split, once its hashes have shown that it is the same."""
    try:
        settings = load_saved_config(config).data
        sources = resolve(getattr(settings, role) or (), role)
        today = [source.fingerprint() for source in sources]
    except (TextclsError, OSError) as error:
        raise NoValidationError("the run's data is not at hand") from error
    then, now = [list(map(_digest, files)) for files in (recorded, today)]
    if then != now:
        changed = [one for one in (*recorded, *today) if (_digest(one) in then) != (_digest(one) in now)]
        name = (changed[0].get("file") or changed[0].get("dataset")) if changed else "the data"
        raise NoValidationError(f"{name} has changed since the run")
    try:
        return read_sources(sources, settings, "validation")
    except TextclsError as error:
        raise NoValidationError("the run's data can no longer be read") from error


def _digest(fingerprint: Mapping[str, Any]) -> Any:
    return fingerprint.get("sha256") or fingerprint.get("fingerprint")
