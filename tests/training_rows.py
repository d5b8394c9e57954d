"""Labelled rows in tests, through the door that training uses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from reading import put

from textcls.config import DataSettings
from textcls.data import Rows, read_labelled
from textcls.errors import InputError


def read(source: Any, role: Any = "train", **settings: Any) -> Rows:
    """Read a source with settings of `data`."""
    return read_labelled(source, DataSettings(**settings), role)


def refused(source: Any, role: Any = "train", **settings: Any) -> str:
    """Return why a source cannot be read: one line."""
    with pytest.raises(InputError) as caught:
        read(source, role, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def jsonl(path: Path, *labels: Any, column: str = "label") -> Path:
    """Write rows with these labels."""
    return put(path, "\n".join(json.dumps({"text": f"t{row}", column: label}) for row, label in enumerate(labels)))


def table(path: Path, *labels: str, column: str = "label") -> Path:
    """Write csv rows with these labels."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("text", column), *((f"t{row}", label) for row, label in enumerate(labels))])
    return put(path, buffer.getvalue())
