"""Classifying files: rows in, the same rows out in the same order, with labels beside them."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO

from textcls.data.blocks import MISSING, STANDARD_INPUT, Block, Reading
from textcls.data.inputs import Inputs, find_inputs
from textcls.errors import DataError, InputError
from textcls.inference.answers import Answers, Names, SomePredictions, SomePredictor, Summary
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

_TAKEN_APART = {".csv", ".tsv", ".json", ".jsonl"}  # formats that a row can be damaged in


def classify_files(
    predictor: SomePredictor,
    inputs: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    format: str | None = None,
    text: str | tuple[str, ...] | None = None,
    lines: bool = False,
    header: bool = True,
    delimiter: str | None = None,
    quoting: Literal["auto", "csv", "none"] = "auto",
    encoding: str = "utf-8",
    max_row_bytes: int = Reading.longest,
    input_format: str = "lines",
    glob: str | None = None,
    top_k: int = 1,
    all_scores: bool = False,
    min_confidence: float | None = None,
    unsure_label: str = "unsure",
    rejects: str | Path | None = None,
    strict: bool = False,
    follow: bool = False,
    force: bool = False,
    resume: bool = False,
    stream: TextIO | None = None,
    progress: Callable[[int, float | None], None] | None = None,
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
            formats. Not given: a table on a terminal, JSON lines into a pipe.
        format: `jsonl`, `csv`, `tsv`, `parquet` or `table`.
        text: The column that holds the text in tables, or several, joined by a new line. Where not given, what the model learned
            from, and where the inputs lack that, `text`.
        lines: Take each line of a `.txt` file as a text, not the whole file.
        header: Whether csv and tsv files start with a line of names; without one the columns are named 0, 1, 2, …
        delimiter: What separates the fields of csv and tsv files; found out where not given, as `data.delimiter` is.
        quoting: Whether double quotes hold a field together, as `data.quoting`.
        encoding: Of text files without a byte order mark.
        max_row_bytes: The longest row that is read; a longer one is a row that cannot be read.
        input_format: What standard input is: `lines`, each of them a text, `jsonl`, `csv` or `tsv`.
        glob: Read only those files of a folder that match.
        top_k: How many labels to give for each row; at most as many as there are.
        all_scores: Give the probability of every label.
        min_confidence: Give `unsure_label` to rows whose most probable label is less probable than this.
        unsure_label: The label of such rows.
        rejects: A file (`.jsonl`, `.csv`, `.tsv`) for the rows that could not be read, as far as they were, with `error`; what
            that could not be taken apart stands in `raw`.
        strict: Stop at the first row that cannot be read.
        follow: Wait for more lines at the end of a `.txt` or `.jsonl` file that is still growing, and answer each as it comes;
            to a stream alone, as JSON lines or a table. It ends with the process, or with the reader of the stream.
        force: Replace an output that exists.
        resume: Keep what is written beside the output until it is whole, and go on from there where a run with the same
            arguments, model and input files was killed; the output is the same byte for byte. Not for Parquet.
        stream: Where rows go without `output`; standard output where not given. It is flushed after each block.
        progress: Called after each block with the rows done and the share of the input's bytes, None where it is unknown.

    Raises:
        InputError: An input or an argument is at fault; nothing was written.
        DataError: A file is damaged in such a way that its rows cannot be told apart, or `strict` and a row cannot be read;
            an output file is not written.
        BrokenPipeError: The reader of the stream is gone. The caller should end quietly.
    """
    started = time.perf_counter()
    stream = stream or sys.stdout
    format = stream_format(format, stream) if output is None else file_format(format, output)
    answers = Answers(predictor, top_k, all_scores, min_confidence, unsure_label)
    reading = Reading(
        text=as_columns(text) or learned_from(predictor),
        lines=lines,
        header=header,
        delimiter=delimiter,
        quoting=quoting,
        encoding=encoding,
        longest=max_row_bytes,
        block_rows=answers.block_rows,
        follow=follow,
    )
    if resume:
        _check_resume(output, format, inputs)  # before standard input is waited for
    found = find_inputs(inputs, reading, glob=glob, input_format=input_format, or_text=text is None)
    if follow and (output is not None or rejects is not None or format not in {"jsonl", "table"}):
        raise InputError("a growing file is answered line by line: without files to write, as jsonl or table")
    _check_files(output, rejects, inputs, found, force)
    files = [Path(file) for file in (output, rejects) if file is not None]
    names = Names(answers.names)
    summary = Summary(counts=Counter(dict.fromkeys(answers.label_texts, 0)))
    total = found.total_bytes
    with ExitStack() as stack:
        journal = None
        if resume:
            options = [format, top_k, all_scores, min_confidence, unsure_label, strict, list(map(str, files))]
            journal = stack.enter_context(Journal(files, _what_decides(predictor, found, options)))
        sinks = journal.sinks if journal else [stack.enter_context(file_sink(file)) for file in files]
        writer = _writer(format, stream_sink(stream) if output is None else sinks[0], found, names, answers)
        stack.enter_context(closing(writer))
        rejected = _rejects_writer(file_format(None, rejects), sinks[-1], found, names) if rejects is not None else None
        done = _go_on(journal, summary, names) if journal else 0
        classified = stack.enter_context(closing(_classified(predictor, found, done)))
        for number, (block, predictions) in enumerate(classified, start=done + 1):
            if strict and block.failed:
                raise DataError(str(block.error(block.failed[0])))
            columns = dict(zip(names.in_output(block.columns), block.columns.values(), strict=True))
            summary.replaced += writer.write(columns | answers.columns(predictions, block, summary), block.texts)
            if rejected and block.failed:
                rejected.write(_failed_rows(block, columns), [])
            if output is None:
                stream.flush()
            if journal:
                journal.save(number, {"summary": vars(summary), "renamed": names.renamed})
            if progress:
                progress(summary.rows, min(1.0, block.bytes_read / total) if total else None)
    summary.notes = (*found.notes, *names.notes)
    summary.seconds = time.perf_counter() - started
    return summary


def as_columns(text: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the columns of the text, None where they are not given."""
    return (text,) if isinstance(text, str) else text


def learned_from(predictor: SomePredictor) -> tuple[str, ...]:
    """Return the columns of the text that a model learned from."""
    record: Mapping[str, Any] = getattr(predictor, "record", {})
    text = record.get("data", {}).get("text", "text")
    return (text,) if isinstance(text, str) else tuple(text)


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


def _check_files(
    output: str | Path | None, rejects: str | Path | None, inputs: Sequence[str | Path], found: Inputs, force: bool
) -> None:
    """Make sure that the files can be written."""
    for file in (output, rejects):
        if file is not None:
            check_file(file, inputs, found, force)
    if rejects is not None:
        file_format(None, rejects, REJECT_FORMATS)
        if output is not None and Path(rejects).resolve() == Path(output).resolve():
            raise InputError(f"{rejects}: is the output itself; name another file for the rejected rows")


def _check_resume(output: str | Path | None, format: str, inputs: Sequence[str | Path]) -> None:
    """Make sure that a killed run can be gone on with."""
    if output is None:
        raise InputError("only a run that writes a file can be resumed: name one as the output")
    if format == "parquet":
        raise InputError("Parquet cannot be resumed; write .jsonl or .csv, compressed or not")
    if STANDARD_INPUT in map(str, inputs):
        raise InputError("standard input (-) is gone after a kill and cannot be resumed; put it into a file first")


def _what_decides(predictor: SomePredictor, found: Inputs, options: Sequence[Any]) -> dict[str, Any]:
    """Return what decides the bytes of the output: model, input files and how they are read, options."""
    inputs = []
    for source in found.sources:
        try:
            inputs.append((str(source.path.resolve()), source.size, source.path.stat().st_mtime_ns, asdict(source.dialect)))
        except OSError as error:
            raise InputError(f"{source.place}: cannot be read: {error.strerror}") from None
    model = getattr(predictor, "record", None)
    return {"model": model, "inputs": inputs, "reading": asdict(found.reading), "options": options}


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
