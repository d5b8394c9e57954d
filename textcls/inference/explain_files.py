"""Explaining the rows of files: rows in, the same rows out as JSON lines, with the effect of each word."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from textcls.data.blocks import MISSING, Block
from textcls.data.inputs import Inputs, find_inputs
from textcls.data.labels import label_text
from textcls.data.places import ending
from textcls.errors import InputError
from textcls.files import check_stream_not_read
from textcls.inference.answers import Names
from textcls.inference.explain import Explanation, explain, explain_given, index_of
from textcls.inference.files import what_is_read
from textcls.inference.options import ClassifyOptions
from textcls.inference.outputs import check_file, file_sink, stream_sink
from textcls.inference.predictor import Predictor
from textcls.inference.writers import JsonlWriter, Sink

_ROWS = 32  # of a block: each row takes as many scores as it has words
_DIGITS = 6  # of an effect; float32 holds about seven
OURS = ("explanations", "note", "error")


@dataclass
class Explained:
    """What happened to the rows.

    Attributes:
        rows: How many there were, and are in the output.
        errors: Those that could not be read; `error` says why.
        notes: What the user should know: files left out, columns renamed.
    """

    rows: int = 0
    errors: int = 0
    notes: tuple[str, ...] = ()


def explain_files(
    predictor: Predictor,
    inputs: Sequence[str | Path],
    output: str | Path | None = None,
    options: ClassifyOptions = ClassifyOptions(),  # noqa: B008  # it is frozen
    *,
    label: str | None = None,
    stream: TextIO | None = None,
    progress: Callable[[int, float | None], None] | None = None,
) -> Explained:
    """Explain the rows of files, folders or standard input, found and read as classifying does.

    Each row comes back with its columns and `explanations`: of the label that it gets, or with many labels a text of each of them,
    the most probable first, `label`, `confidence` and `words`, which are objects of `text`, `effect` and `known`. Then `note` where
    the text is `empty` or was `truncated`, and `error` where it could not be read.

    Args:
        predictor: The model.
        inputs: Files, folders, and `-` for standard input.
        output: The `.jsonl` file to write, also `.jsonl.gz` or `.jsonl.zst`; not given: JSON lines into the stream.
        options: How rows are read, and whether an output that exists is replaced; what is said of answers does not count.
        label: Explain this label alone, whether the text gets it or not.
        stream: Where rows go without `output`; standard output where not given.
        progress: Called after each block with the rows done and the share of the input's bytes, None where it is unknown.

    Raises:
        InputError: An input or an argument is at fault; nothing was written.
        DataError: A file is damaged in such a way that its rows cannot be told apart; an output file is not written.
    """
    if output is not None and ending(Path(output)) not in {".jsonl", ""}:
        raise InputError(f"{output}: explanations are JSON lines; name a file that ends in .jsonl")
    if label is not None:
        index_of(predictor, label)
    reading = options.reading(predictor, _ROWS)
    found = find_inputs(inputs, reading, glob=options.glob, input_format=options.input_format, or_text=options.text is None)
    stream, read = stream or sys.stdout, [*what_is_read(predictor, inputs, found)]
    if output is not None:
        check_file(output, read, options.force)
    else:
        check_stream_not_read(stream, read)
    names, done, total = Names(OURS), Explained(), found.total_bytes
    with _sink(output, stream, options.force) as sink:
        writer = JsonlWriter(sink)
        for block in found.blocks():
            columns = dict(zip(names.in_output(block.columns), block.columns.values(), strict=True))
            writer.write(columns | _columns(predictor, block, label), block.texts)
            if output is None:
                stream.flush()
            done.rows += len(block)
            done.errors += len(block.faults)
            if progress:
                progress(done.rows, min(1.0, block.bytes_read / total) if total else None)
    done.notes = _notes(found, names)
    return done


@contextmanager
def _sink(output: str | Path | None, stream: TextIO, force: bool) -> Iterator[Sink]:
    if output is None:
        yield stream_sink(stream)
        return
    with file_sink(output, force=force) as sink:
        yield sink


def _columns(predictor: Predictor, block: Block, label: str | None) -> dict[str, list[Any]]:
    """Return what a block's rows get; a row that has no note or no error lacks it."""
    encoded = predictor.encode(block.texts)
    columns: dict[str, list[Any]] = {name: [MISSING] * len(block) for name in OURS}
    for row, text in enumerate(block.texts):
        if error := block.error(row):
            columns["error"][row] = error
            continue
        found = explain_given(predictor, text) if label is None else [explain(predictor, text, label)]
        columns["explanations"][row] = list(map(plain, found))
        if encoded.empty[row] or encoded.truncated[row]:
            columns["note"][row] = "empty" if encoded.empty[row] else "truncated"
    return columns


def plain(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values, ready for JSON."""
    tree = asdict(explanation)
    words = [{**word, "effect": round(word["effect"], _DIGITS)} for word in tree["words"]]
    return {**tree, "label": label_text(explanation.label), "confidence": round(tree["confidence"], _DIGITS), "words": words}


def _notes(found: Inputs, names: Names) -> tuple[str, ...]:
    return (*found.notes, *names.notes)
