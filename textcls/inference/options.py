"""What is asked of classifying files: one object for the command line, the local engine, Ray and the journal of `--resume`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from textcls.data.blocks import Reading
from textcls.errors import InputError
from textcls.inference.answers import Answers, SomePredictor

_LOCAL = ("input_format", "rejects", "follow", "resume")  # what Ray does not have
_NOT_OF_THE_BYTES = {"force", "resume"}  # of the output


@dataclass(frozen=True)
class ClassifyOptions:
    """How rows are read, what is answered, and how it is written.

    Attributes:
        format: `jsonl`, `csv`, `tsv`, `parquet` or `table`; where not given by the ending of the output. On Ray `jsonl`, which it
            is without an ending too, or `parquet`.
        text: The column that holds the text in tables, or several, joined by a new line. Where not given, what the model learned
            from, and where the inputs lack that, `text`.
        lines: Take each line of a `.txt` file as a text, not the whole file.
        header: Whether csv and tsv files start with a line of names; without one the columns are named 0, 1, 2, …
        delimiter: What separates the fields of csv and tsv files; found out once for each file where not given, as
            `data.delimiter` is.
        quoting: Whether double quotes hold a field together, as `data.quoting`; `auto` is decided once for each file.
        encoding: Of text files without a byte order mark.
        max_row_bytes: The longest row that is read; a longer one is a row that cannot be read.
        input_format: What standard input is: `lines`, each of them a text, `jsonl`, `csv` or `tsv`. Not on Ray.
        glob: Read only those files of a folder that match.
        top_k: How many labels to give for each row; at most as many as there are.
        all_scores: Give the probability of every label.
        min_confidence: Give `unsure_label` to rows whose most probable label is less probable than this.
        unsure_label: The label of such rows.
        fast: Let n-grams answer alone where they are sure, and the network the other rows, for a model whose training settled when
            they are.
        by: Say of each row who answered it, `linear` or `network`; with `fast` alone, or of a file that was exported so.
        rejects: A file (`.jsonl`, `.csv`, `.tsv`) for the rows that could not be read, as far as they were, with `error`; what
            that could not be taken apart stands in `raw`. Not on Ray.
        strict: Stop at the first row that cannot be read; on Ray at any.
        follow: Wait for more lines at the end of a `.txt` or `.jsonl` file that is still growing, and answer each as it comes;
            to a stream alone, as JSON lines or a table. It ends with the process, or with the reader of the stream. Not on Ray.
        force: Replace an output that exists.
        resume: Keep what is written beside the output until it is whole, and go on from there where a run with the same
            options, model and input files was killed; the output is the same byte for byte. Not for Parquet, and not on Ray.
    """

    format: str | None = None
    text: str | tuple[str, ...] | None = None
    lines: bool = False
    header: bool = True
    delimiter: str | None = None
    quoting: Literal["auto", "csv", "none"] = "auto"
    encoding: str = "utf-8"
    max_row_bytes: int = Reading.longest
    input_format: str = "lines"
    glob: str | None = None
    top_k: int = 1
    all_scores: bool = False
    min_confidence: float | None = None
    unsure_label: str = "unsure"
    fast: bool = False
    by: bool = False
    rejects: str | Path | None = None
    strict: bool = False
    follow: bool = False
    force: bool = False
    resume: bool = False

    @classmethod
    def of(cls, options: ClassifyOptions | None, given: Mapping[str, Any]) -> ClassifyOptions:
        """Return options, with those over them that a caller gave by name."""
        return replace(options or cls(), **given)

    @property
    def local(self) -> list[str]:
        """What differs from its default of that which the local engine alone has."""
        return [field.name for field in fields(self) if field.name in _LOCAL and getattr(self, field.name) != field.default]

    def way(self, predictor: SomePredictor) -> SomePredictor:
        """Return what classifies: the predictor, or where that is asked for its fast way.

        Raises:
            InputError: It has none.
        """
        if not isinstance(self.fast, bool):
            raise InputError(f"fast is {self.fast!r}: give True or False")
        if not self.fast:
            return predictor
        if (fast := getattr(predictor, "fast", None)) is None:
            raise InputError(f"{type(predictor).__name__} has no fast way")
        faster: SomePredictor = fast()
        return faster

    def answers(self, predictor: SomePredictor) -> Answers:
        """Return what gives the columns of answers.

        Raises:
            InputError: An option is out of its range.
        """
        return Answers(predictor, self.top_k, self.all_scores, self.min_confidence, self.unsure_label, self.by)

    def reading(self, predictor: SomePredictor, block_rows: int) -> Reading:
        """Return how the inputs are read, in blocks of at most so many rows."""
        return Reading(
            text=as_columns(self.text) or learned_from(predictor),
            lines=self.lines,
            header=self.header,
            delimiter=self.delimiter,
            quoting=self.quoting,
            encoding=self.encoding,
            longest=self.max_row_bytes,
            block_rows=block_rows,
            follow=self.follow,
        )

    def deciding(self) -> dict[str, Any]:
        """Return what decides the bytes of the output, by name: every option but those of `_NOT_OF_THE_BYTES`."""
        found = {name: value for name, value in asdict(self).items() if name not in _NOT_OF_THE_BYTES}
        return found | {"text": as_columns(self.text)}


def as_columns(text: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the columns of the text, None where they are not given."""
    return (text,) if isinstance(text, str) else text


def learned_from(predictor: SomePredictor) -> tuple[str, ...]:
    """Return the columns of the text that a model learned from."""
    record: Mapping[str, Any] = getattr(predictor, "record", {})
    return as_columns(record.get("data", {}).get("text")) or ("text",)
