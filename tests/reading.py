"""Reading files in tests, through the doors that classifying and training use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from textcls.data.blocks import Block, Reading, Source, column_values
from textcls.data.formats import look_at, read_blocks
from textcls.data.inputs import Inputs, find_inputs
from textcls.data.places import ending
from textcls.errors import DataError, InputError


def put(path: Path, content: str | bytes) -> Path:
    """Write a file, with the folders above it, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(*inputs: str | Path, glob: str | None = None, input_format: str = "lines", **options: Any) -> Inputs:
    """Return inputs as classifying finds them; options are those of `Reading`."""
    if isinstance(options.get("text"), str):
        options["text"] = (options["text"],)
    return find_inputs(inputs, Reading(**options), glob=glob, input_format=input_format)


def rows(*inputs: str | Path, **options: Any) -> list[tuple[str, dict[str, Any], str | None]]:
    """Return text, columns and error of each row to classify."""
    return [row for block in found(*inputs, **options).blocks() for row in rows_of(block)]


def rows_of(block: Block) -> list[tuple[str, dict[str, Any], str | None]]:
    """Return text, columns and error of each row of a block."""
    columns = {name: column_values(column) for name, column in block.columns.items()}
    assert {len(values) for values in (*columns.values(), block.numbers)} <= {len(block)}
    return [(text, {n: v[row] for n, v in columns.items()}, block.error(row)) for row, text in enumerate(block.texts)]


def texts(*inputs: str | Path, **options: Any) -> list[str]:
    """Return the texts to classify; "" for a row that cannot be read."""
    return [text for text, _, _ in rows(*inputs, **options)]


def errors(*inputs: str | Path, **options: Any) -> list[str | None]:
    """Return what is wrong with each row, and where it stands."""
    return [error for _, _, error in rows(*inputs, **options)]


def message(*inputs: str | Path, **options: Any) -> str:
    """Return why inputs cannot be classified: one line."""
    with pytest.raises(InputError) as caught:
        rows(*inputs, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def looked(path: Path, **options: Any) -> tuple[Source, list[str]]:
    """Return a file as it was looked at, and what the user is told of it; options are those of `Reading`."""
    return look_at(Source(path, path.name, ending(path), path.stat().st_size), Reading(**options))


def records(path: Path, content: bytes | None = None, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    """Return the number and the columns of each row of a file, as strictly as training reads: the first fault is raised."""
    if content is not None:
        path.write_bytes(content)
    source, _ = looked(path, **options)
    records = []
    for block in read_blocks(source, Reading(**options)):
        if block.faults:
            raise DataError(str(block.error(block.failed[0])))
        columns = [column_values(column) for column in block.columns.values()]
        records += [(n, dict(zip(block.columns, v, strict=True))) for n, *v in zip(block.numbers, *columns, strict=True)]
    return records


def refusal(path: Path, content: bytes | None = None, **options: Any) -> str:
    """Return why a file cannot be read strictly: one line that names it."""
    with pytest.raises(DataError) as caught:
        records(path, content, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)
