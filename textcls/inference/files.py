"""Classifying files: rows in, the same rows out in the same order, with labels beside them."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from textcls.data.blocks import MISSING, STANDARD_INPUT, Block
from textcls.data.inputs import Inputs, find_inputs
from textcls.data.remote import is_remote
from textcls.errors import DataError, InputError
from textcls.files import check_stream_not_read, is_special, redirected_input, writing
from textcls.inference.answers import Answers, Names, SomePredictions, SomePredictor, Summary
from textcls.inference.options import ClassifyOptions
from textcls.inference.outputs import (
    REJECT_FORMATS,
    check_file,
    file_format,
    file_sink,
    stream_format,
    stream_sink,
)
from textcls.inference.resume import Journal
from textcls.inference.writers import Columns, CsvWriter, JsonlWriter, Sink, TableWriter, Writer

_MOST_NAMED = 100  # input files whose changes a message names; the journal is written anew after each block
_TAKEN_APART = {".csv", ".tsv", ".json", ".jsonl"}  # formats that a row can be damaged in


def classify_files(
    predictor: SomePredictor,
    inputs: Sequence[str | Path],
    output: str | Path | None = None,
    options: ClassifyOptions | None = None,
    *,
    stream: TextIO | None = None,
    progress: Callable[[int, float | None], None] | None = None,
    **given: Any,
) -> Summary:
    """Classify the rows of files, folders or standard input, and write them with labels beside them.

    Added to the input's columns: `label` and `confidence`; with `top_k` N also `label_2`, `confidence_2`, … up to N; with
    `all_scores` also `score:<label>` for every label. A model that gives a text many labels adds `labels` and `confidences`,
    lists with the most probable first, and with `top_k` from 2 on also the N most probable labels as above. Then `note`, which
    says `empty` where a text has no token and `truncated` where it was cut, and `error`, which says why a row could not be
    read; its other answers are empty. csv, tsv and Parquet always have these two columns, JSON lines only the rows that need
    them. An input column with a name of ours comes back as `input_<name>`, and the notes say so.

    Args:
        predictor: What classifies; called once for each block of rows. One block is scored in a thread of its own while the
            next is read and encoded.
        inputs: Files, folders, and `-` for standard input.
        output: The file to write; its ending tells the format unless `format` does; `.gz` or `.zst` after it compresses text
            formats. A pipe, a device or an open descriptor (`/dev/stdout`) is written into, without an ending as JSON lines. Not
            given: a table on a terminal, JSON lines into a pipe.
        options: How rows are read, what is answered, and how it is written; the defaults where not given.
        stream: Where rows go without `output`; standard output where not given. It is flushed after each block.
        progress: Called after each block with the rows done and the share of the input's bytes, None where it is unknown.
        **given: Single options by name, such as `top_k=2`; see `ClassifyOptions`.

    Raises:
        InputError: An input or an option is at fault; nothing was written. Or the output appeared while this was at work
            (`textcls.files.AppearedError`): the result is kept beside it.
        DataError: A file is damaged in such a way that its rows cannot be told apart, or `strict` and a row cannot be read;
            an output file is not written.
        BrokenPipeError: The reader of the stream is gone. The caller should end quietly.
    """
    started = time.perf_counter()
    options = ClassifyOptions.of(options, given)
    stream = stream or sys.stdout
    format = stream_format(options.format, stream) if output is None else file_format(options.format, output)
    options = replace(options, format=format)
    if options.resume:
        _check_resume(output, options, inputs)  # before standard input is waited for
    predictor = options.way(predictor)
    answers = options.answers(predictor)
    reading = options.reading(predictor, answers.block_rows)
    found = find_inputs(inputs, reading, glob=options.glob, input_format=options.input_format, or_text=options.text is None)
    read = [*what_is_read(predictor, inputs, found)]
    _check_files(output, options, read)
    if output is None:
        check_stream_not_read(stream, read)
    with ExitStack() as stack:
        rows = _RowsOut(stack, output or stream, options, found, answers, predictor)
        classified = stack.enter_context(closing(_classified(predictor, found, rows.done)))
        for number, (block, predictions) in enumerate(classified, start=rows.done + 1):
            if options.strict and block.failed:
                raise DataError(str(block.error(block.failed[0])))
            rows.write(block, predictions, number)
            if progress:
                total = found.total_bytes
                progress(rows.summary.rows, min(1.0, block.bytes_read / total) if total else None)
    return rows.finished(time.perf_counter() - started)


class _RowsOut:
    """Where classified rows go: a stream or a file, and a file for those that could not be read.

    Args:
        stack: Closes the files, and puts them in their places.
        output: The file or the stream.
        options: What was asked for.
        found: The inputs.
        answers: What gives the columns of answers.
        predictor: What classifies.

    Attributes:
        done: Blocks that an earlier run wrote.
        summary: What happened to the rows so far.
    """

    def __init__(
        self,
        stack: ExitStack,
        output: str | Path | TextIO,
        options: ClassifyOptions,
        found: Inputs,
        answers: Answers,
        predictor: SomePredictor,
    ) -> None:
        self.summary = Summary(counts=Counter(dict.fromkeys(answers.label_texts, 0)))
        self._stream = None if isinstance(output, str | Path) else output
        self._answers, self._names, self._found = answers, Names(answers.names), found
        files = [Path(file) for file in (output, options.rejects) if isinstance(file, str | Path)]
        self._journal = None
        if options.resume:
            stack.enter_context(writing(files[0]))
            self._journal = stack.enter_context(Journal(files, _what_decides(predictor, found, options), force=options.force))
            sinks = self._journal.sinks
        else:
            sinks = [stack.enter_context(file_sink(file, force=options.force)) for file in files]
        sink = sinks[0] if self._stream is None else stream_sink(self._stream)
        self._writer = _writer(str(options.format), sink, found, self._names, answers)
        stack.enter_context(closing(self._writer))
        self._rejected = None
        if options.rejects is not None:
            self._rejected = _rejects_writer(file_format(None, options.rejects), sinks[-1], found, self._names)
        self.done = _go_on(self._journal, self.summary, self._names) if self._journal else 0

    def write(self, block: Block, predictions: SomePredictions, number: int) -> None:
        """Write a block with its answers; it is the one of that number, counted from 1."""
        columns = dict(zip(self._names.in_output(block.columns), block.columns.values(), strict=True))
        answered = columns | self._answers.columns(predictions, block, self.summary)
        self.summary.replaced += self._writer.write(answered, block.texts)
        if self._rejected and block.failed:
            self._rejected.write(_failed_rows(block, columns), [])
        if self._stream is not None:
            self._stream.flush()
        if self._journal:
            self._journal.save(number, {"summary": vars(self.summary), "renamed": self._names.renamed})

    def finished(self, seconds: float) -> Summary:
        """Return what happened to the rows."""
        self.summary.notes = (*self._found.notes, *self._names.notes)
        self.summary.seconds = seconds
        return self.summary


def what_is_read(predictor: SomePredictor, inputs: Sequence[str | Path], found: Inputs) -> Iterator[Path]:
    """Yield the model, where it came from this machine, and all files and folders that are read here."""
    if (model := getattr(predictor, "path", None)) is not None:
        yield model
    yield from (Path(given) for given in inputs if str(given) != STANDARD_INPUT and not is_remote(given))
    if STANDARD_INPUT in map(str, inputs):
        yield from redirected_input()
    yield from (source.path for source in found.sources if isinstance(source.path, Path) and not source.is_stream)


def _classified(predictor: SomePredictor, found: Inputs, done: int) -> Generator[tuple[Block, SomePredictions]]:
    """Yield each block with its predictions, in order, but for the first ones that are done.

    While a block is scored, which needs no Python, the one before it is written and the next one is read and encoded. Only what
    is read from a stream is answered before more is waited for.
    """
    ahead = 0 if found.total_bytes is None else 1
    waiting: deque[tuple[Block, Future[SomePredictions]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="textcls-score")
    try:
        for block in islice(found.blocks(), done, None):
            waiting.append((block, pool.submit(predictor.score, predictor.encode(block.texts))))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _check_files(output: str | Path | None, options: ClassifyOptions, read: Sequence[Path]) -> None:
    """Make sure that the files can be written."""
    rejects = options.rejects
    if options.follow and (output is not None or rejects is not None or options.format not in {"jsonl", "table"}):
        raise InputError("a growing file is answered line by line: without files to write, as jsonl or table")
    for file in (output, rejects):
        if file is not None:
            check_file(file, read, options.force)
    if rejects is not None:
        file_format(None, rejects, REJECT_FORMATS)
        if output is not None and Path(rejects).resolve() == Path(output).resolve():
            raise InputError(f"{rejects}: is the output itself; name another file for the rejected rows")


def _check_resume(output: str | Path | None, options: ClassifyOptions, inputs: Sequence[str | Path]) -> None:
    """Make sure that a killed run can be gone on with."""
    if output is None:
        raise InputError("only a run that writes a file can be resumed: name one as the output")
    for file in (output, options.rejects):
        if file is not None and is_special(Path(file)):
            raise InputError(f"{file}: is no regular file, and what it swallowed cannot be resumed; name one")
    if options.format == "parquet":
        raise InputError("Parquet cannot be resumed; write .jsonl or .csv, compressed or not")
    if STANDARD_INPUT in map(str, inputs):
        raise InputError("standard input (-) is gone after a kill and cannot be resumed; put it into a file first")


def _what_decides(predictor: SomePredictor, found: Inputs, options: ClassifyOptions) -> dict[str, Any]:
    """Return what decides the bytes of the output, by name: options, model, and input files as they are and are read."""
    files = {}
    for source in found.sources:
        try:
            changed = source.path.stat().st_mtime_ns
        except OSError as error:
            raise InputError(f"{source.place}: cannot be read: {error.strerror}") from None
        when = datetime.fromtimestamp(changed / 1e9).isoformat()
        files[str(source.path.resolve())] = {"bytes": source.size, "changed": when}
    few = len(files) <= _MOST_NAMED
    model: Mapping[str, Any] = getattr(predictor, "record", {})
    return {
        **options.deciding(),
        "the model (SHA-256)": _digest(model),
        "the engine": type(getattr(predictor, "engine", None)).__name__,
        **(files if few else {}),
        **({"the order of the inputs": list(files)} if few else {"the inputs (SHA-256)": _digest(list(files.items()))}),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _go_on(journal: Journal, summary: Summary, names: Names) -> int:
    """Return to where the journal says that the run was, and return the blocks that are done."""
    journal.cut()
    if journal.blocks:
        saved = journal.state["summary"]
        vars(summary).update(saved | {"counts": Counter(saved["counts"]), "notes": ()})
        names.renamed.update(journal.state["renamed"])
    return journal.blocks


def _failed_rows(block: Block, columns: Columns) -> dict[str, Any]:
    """Return the rows of a block that could not be read, and why; `raw` holds the lines that could not be parsed."""
    rows = block.failed
    some = {name: [v[row] for row in rows] if isinstance(v, list) else v.take(rows) for name, v in columns.items()}
    some["error"] = [block.error(row) for row in rows]
    if block.raw:  # such a row has no columns of its own, not even one of this name
        some["raw"] = [block.raw.get(row, own) for row, own in zip(rows, some.get("raw", [MISSING] * len(rows)), strict=True)]
    return some


def _rejects_writer(format: str, sink: Sink, found: Inputs, names: Names) -> Writer:
    """Return the writer for rows that cannot be read."""
    if format == "jsonl":
        return JsonlWriter(sink)
    added = ["error", "raw"] if any(source.kind in _TAKEN_APART for source in found.sources) else ["error"]
    columns = dict.fromkeys([*names.in_output(found.column_names()), *added])
    return CsvWriter(sink, list(columns), "\t" if format == "tsv" else ",")


def _writer(format: str, sink: Sink, found: Inputs, names: Names, answers: Answers) -> Writer:
    """Return the writer for a format; those of one shape learn the columns first."""
    if format == "jsonl":
        return JsonlWriter(sink)
    if format == "table":
        return TableWriter(sink, [*answers.list_names, *answers.label_names], answers.shown_labels)
    if format == "parquet":
        from textcls.inference.parquet import ParquetWriter, answer_types, column_types

        types = column_types(found)
        renamed = dict(zip(names.in_output(types), types.values(), strict=True))
        return ParquetWriter(sink, renamed | answer_types(answers.names, answers.labels))
    columns = [*names.in_output(found.column_names()), *answers.names]
    return CsvWriter(sink, columns, "\t" if format == "tsv" else ",")
