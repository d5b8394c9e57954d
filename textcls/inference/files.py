"""Classifying files: rows in, the same rows out in the same order, with labels beside them."""

from __future__ import annotations

import gzip
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from textcls.data.blocks import MISSING, Block
from textcls.data.files import COMPRESSIONS, ending
from textcls.data.labels import Label, label_text
from textcls.data.unlabelled import Inputs, find_inputs
from textcls.errors import InputError
from textcls.files import replacing
from textcls.inference.writers import CsvWriter, JsonlWriter, Sink, TableWriter, Writer

FORMATS = ("jsonl", "csv", "tsv", "parquet", "table")
_DIGITS = 6  # of a probability; float32 holds about seven


class SomePredictions(Protocol):
    """What a predictor says of a block of texts."""

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 [n_texts, classes]."""

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Texts without a token, bool [n_texts]."""

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Texts that were cut, bool [n_texts]."""


class SomePredictor(Protocol):
    """Anything that classifies texts."""

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes by index."""

    @property
    def thresholds(self) -> NDArray[np.float32] | None:
        """With many labels a text, the probability from which each label is given, float32 [classes]; else None."""

    def predict(self, texts: Sequence[str], /) -> SomePredictions:
        """Classify texts."""


@dataclass
class Summary:
    """What happened to the rows.

    Attributes:
        rows: How many there were, and are in the output.
        counts: Rows by the text of their label, every label of the model among them; rows with an error have none. With many
            labels a text a row counts for each of its labels.
        unlabelled: Rows without a label, where a text may have many.
        errors: Rows that could not be read: their label is empty and `error` says why.
        empty: Rows without a token in their text; they have the label that the model gives to nothing.
        truncated: Rows whose text was cut at the model's `text.max_tokens`.
        seconds: How long it took.
        notes: What the user should know: files left out, columns renamed.
    """

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    errors: int = 0
    empty: int = 0
    truncated: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def classify_files(
    predictor: SomePredictor,
    inputs: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    format: str | None = None,
    text: str | tuple[str, ...] = "text",
    lines: bool = False,
    header: bool = True,
    glob: str | None = None,
    top_k: int = 1,
    all_scores: bool = False,
    force: bool = False,
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
        predictor: What classifies; called once for each block of rows.
        inputs: Files, folders, and `-` for standard input.
        output: The file to write; its ending tells the format unless `format` does, `.gz` after it compresses text formats.
            Not given: a table on a terminal, JSON lines into a pipe.
        format: `jsonl`, `csv`, `tsv`, `parquet` or `table`.
        text: The column that holds the text in csv, tsv, jsonl and Parquet, or several, joined by a new line.
        lines: Take each line of a `.txt` file as a text, not the whole file.
        header: Whether csv and tsv files start with a line of names; without one the columns are named 0, 1, 2, …
        glob: Read only those files of a folder that match.
        top_k: How many labels to give for each row; at most as many as there are.
        all_scores: Give the probability of every label.
        force: Replace an output that exists.
        stream: Where rows go without `output`; standard output where not given. It is flushed after each block.
        progress: Called after each block with the rows done and the share of the input's bytes, None where it is unknown.

    Raises:
        InputError: An input or an argument is at fault; nothing was written.
        DataError: A file is damaged in such a way that its rows cannot be told apart; an output file is not written.
        BrokenPipeError: The reader of the stream is gone. The caller should end quietly.
    """
    started = time.perf_counter()
    if top_k < 1:
        raise InputError(f"the number of labels for each row must be at least 1, not {top_k}")
    stream = stream or sys.stdout
    format = _format(format, output, stream)
    found = find_inputs(inputs, text=text, lines=lines, header=header, glob=glob)
    _check_output(output, inputs, found, force)
    answers = _Answers(predictor.labels, predictor.thresholds, top_k, all_scores)
    names = _Names(answers.names)
    summary = Summary(counts=Counter(dict.fromkeys(answers.label_texts, 0)))
    with _sink(output, stream) as sink:
        total = found.total_bytes
        with closing(_writer(format, sink, found, names, answers)) as writer:
            for block in found.blocks():
                columns = dict(zip(names.in_output(block.columns), block.columns.values(), strict=True))
                writer.write(columns | answers.columns(predictor.predict(block.texts), block, summary), block.texts)
                if output is None:
                    stream.flush()
                if progress:
                    progress(summary.rows, min(1.0, block.bytes_read / total) if total else None)
    summary.notes = (*found.notes, *names.notes)
    summary.seconds = time.perf_counter() - started
    return summary


class _Answers:
    """The columns that classifying adds.

    Args:
        labels: The classes by index.
        thresholds: Where a row may have many labels, the probability from which each is given, [classes].
        top_k: How many labels a row gets, at most.
        all_scores: Whether every label's probability is given.
    """

    def __init__(self, labels: Sequence[Label], thresholds: NDArray[np.float32] | None, top_k: int, all_scores: bool) -> None:
        self.label_texts = [label_text(label) for label in labels]
        one_type = len(set(map(type, labels))) == 1
        self.labels: list[Label] = list(labels if one_type else self.label_texts)
        self._thresholds = thresholds
        self.list_names = [] if thresholds is None else ["labels", "confidences"]
        self.label_names = ["label", "confidence"] if thresholds is None or top_k > 1 else []
        for rank in range(2, min(top_k, len(labels)) + 1):
            self.label_names += [f"label_{rank}", f"confidence_{rank}"]
        self._score_names = [f"score:{text}" for text in self.label_texts] if all_scores else []
        self.names = [*self.list_names, *self.label_names, *self._score_names, "note", "error"]

    def columns(self, predictions: SomePredictions, block: Block, summary: Summary) -> dict[str, list[Any]]:
        """Return the columns for a block and count its rows; `note` and `error` are there where a row has one."""
        probabilities = np.round(predictions.probabilities.astype(np.float64), _DIGITS)
        order = np.argsort(-predictions.probabilities, axis=1, kind="stable")  # of equals the first
        selected = self._selected(predictions.probabilities)
        columns = self._lists(selected, order, probabilities)
        for rank, (label, confidence) in enumerate(zip(self.label_names[::2], self.label_names[1::2], strict=True)):
            best = order[:, rank]
            columns[label] = [self.labels[index] for index in best.tolist()]
            columns[confidence] = np.take_along_axis(probabilities, best[:, None], axis=1)[:, 0].tolist()
        columns |= {name: probabilities[:, index].tolist() for index, name in enumerate(self._score_names)}
        failed = np.array([error is not None for error in block.errors], bool) if block.errors else np.zeros(len(block), bool)
        for row in failed.nonzero()[0]:
            for values in columns.values():
                values[row] = None
        empty, truncated = predictions.empty & ~failed, predictions.truncated & ~failed
        if empty.any() or truncated.any():
            notes = np.where(empty, "empty", np.where(truncated, "truncated", "")).tolist()
            columns["note"] = [note or MISSING for note in notes]
        if block.errors:
            columns["error"] = [MISSING if error is None else error for error in block.errors]
        counts = selected[~failed].sum(axis=0)
        summary.unlabelled += int((~selected[~failed].any(axis=1)).sum())
        summary.counts.update(dict(zip(self.label_texts, counts.tolist(), strict=True)))
        summary.rows += len(block)
        summary.errors += int(failed.sum())
        summary.empty += int(empty.sum())
        summary.truncated += int(truncated.sum())
        return columns

    def _selected(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether each row gets each label, bool [n, classes]: the most probable one, or all that reach their threshold."""
        if self._thresholds is not None:
            return np.asarray(probabilities >= self._thresholds)
        return np.asarray(probabilities.argmax(axis=1)[:, None] == np.arange(len(self.labels)))

    def _lists(
        self, selected: NDArray[np.bool_], order: NDArray[np.int64], probabilities: NDArray[Any]
    ) -> dict[str, list[Any]]:
        """Return the columns of lists, where rows may have many labels."""
        if not self.list_names:
            return {}
        chosen = [[index for index in row if has[index]] for row, has in zip(order.tolist(), selected.tolist(), strict=True)]
        labels = [[self.labels[index] for index in row] for row in chosen]
        confidences = [[scores[index] for index in row] for row, scores in zip(chosen, probabilities.tolist(), strict=True)]
        return dict(zip(self.list_names, (labels, confidences), strict=True))


class _Names:
    """What the input's columns are called in the output: as before, but for those that have a name of ours."""

    def __init__(self, ours: Iterable[str]) -> None:
        self._ours = frozenset(ours)
        self._renamed: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns have another name in the output."""
        return tuple(f"the input's column {old} is named {new} in the output" for old, new in self._renamed.items())

    def in_output(self, columns: Collection[str]) -> list[str]:
        """Return the name in the output of each column."""
        for name in columns:
            if name not in self._renamed and (name in self._ours or name in self._renamed.values()):
                new = f"input_{name}"
                while new in columns or new in self._ours or new in self._renamed.values():
                    new = f"input_{new}"
                self._renamed[name] = new
        return [self._renamed.get(name, name) for name in columns]


class _TextSink:
    """Bytes for a stream that takes text alone, such as `io.StringIO`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, data: bytes, /) -> None:
        """Write UTF-8 bytes as text."""
        self._stream.write(data.decode())


@contextmanager
def _sink(output: str | Path | None, stream: TextIO) -> Iterator[Any]:
    """Give the stream's bytes, or a file that takes its place when it is whole."""
    if output is None:
        stream.flush()  # what was written as text comes before the bytes
        yield getattr(stream, "buffer", None) or _TextSink(stream)
        return
    path = Path(output)
    try:
        with replacing(path) as neighbour, neighbour.open("wb") as file:
            if path.suffix.lower() == ".gz":
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as compressed:  # no name and time: equal rows, equal bytes
                    yield compressed
            else:
                yield file
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror or error}") from error


def _format(given: str | None, output: str | Path | None, stream: TextIO) -> str:
    """Settle the format of the output."""
    if given is not None and given not in FORMATS:
        raise InputError(f"{given}: is no output format; there are {', '.join(FORMATS)}")
    if output is None:
        if given == "parquet":
            raise InputError("Parquet is written to a file alone: name one as the output")
        return given or ("table" if stream.isatty() else "jsonl")
    suffix = Path(output).suffix.lower()
    format = given or ending(output).removeprefix(".")
    if format not in FORMATS or (given is None and format == "table"):
        raise InputError(f"{output}: the ending names no format; use .jsonl, .csv, .tsv or .parquet, or name the format")
    if suffix in COMPRESSIONS and (suffix != ".gz" or format == "parquet"):
        raise InputError(f"{output}: only .gz can be written, and of text formats alone; Parquet is compressed inside")
    return format


def _check_output(output: str | Path | None, inputs: Sequence[str | Path], found: Inputs, force: bool) -> None:
    """Make sure that the output can be written and is not among the inputs."""
    if output is None:
        return
    path = Path(output)
    real = path.resolve()
    if not path.parent.is_dir():
        raise InputError(f"{output}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{output}: is a folder; name a file")
    for given in map(Path, inputs):
        if given.is_dir() and real.is_relative_to(given.resolve()):
            raise InputError(f"{output}: lies inside the input folder {given}; write it elsewhere")
    if path.exists():
        if any(source.path.exists() and source.path.samefile(path) for source in found.sources):
            raise InputError(f"{output}: is the input itself; name another file")
        if not force:
            raise InputError(f"{output}: exists already; name another file, or replace it with --force")


def _writer(format: str, sink: Sink, found: Inputs, names: _Names, answers: _Answers) -> Writer:
    """Return the writer for a format; those of one shape learn the columns first."""
    if format == "jsonl":
        return JsonlWriter(sink)
    if format == "table":
        return TableWriter(sink, [*answers.list_names, *answers.label_names], answers.label_texts)
    if format == "parquet":
        from textcls.inference.parquet import ParquetWriter, answer_types, column_types

        types = column_types(found)
        renamed = dict(zip(names.in_output(types), types.values(), strict=True))
        return ParquetWriter(sink, renamed | answer_types(answers.names, answers.labels))
    columns = [*names.in_output(found.column_names()), *answers.names]
    return CsvWriter(sink, columns, "\t" if format == "tsv" else ",")
