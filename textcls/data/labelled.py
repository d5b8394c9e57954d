"""Labelled rows from every source: the reader that classifying has too, strict, with labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from textcls.config import DataSettings
from textcls.data.blocks import Block, Reading, Source
from textcls.data.formats import described, look_at, read_blocks
from textcls.data.frames import Frame, frame_of_dataset
from textcls.data.label_cells import Found, LabelCells
from textcls.data.parquet_rows import class_names, parquet_schema
from textcls.data.rows import ReadReport, Rows, RowsBuilder, label_notes
from textcls.data.sources import ClassFolder, Labelled, Role, StoredDataset, check_kind, resolve
from textcls.data.text_rows import file_blocks
from textcls.data.weights import weight_note, weights_in
from textcls.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

FASTTEXT_PREFIX: Final = "__label__"
_FASTTEXT_LABEL: Final = re.compile(rf"{FASTTEXT_PREFIX}(\S*?),*(?:\s+|$|(?<=,)(?={FASTTEXT_PREFIX}))")
_SHOWN: Final = 3  # places of rows without a label

_Labelled: TypeAlias = tuple[Block, list[Found], dict[int, str]]  # rows, the label of each, by row what is wrong with it


def read_labelled(source: str | Path | Sequence[str] | Dataset, settings: DataSettings, role: Role = "train") -> Rows:
    """Read every labelled row of a source.

    Args:
        source: What a setting such as `data.train` may be, a path, or a `datasets.Dataset`.
        settings: Columns and decoding.
        role: Which split of a data set with several is meant; `data.weight` is read of training rows alone.

    Raises:
        DataError: Something cannot be read, a row has no text or no label, or there are no rows; with file and row.
        MissingPackageError: A `package:` is not installed.
    """
    if isinstance(source, Path):
        source = str(source)
    if isinstance(source, str | tuple | list):
        return read_sources(resolve(source, role), settings, role)
    return rows_from_dataset(source, settings, role)


def rows_from_dataset(dataset: Dataset, settings: DataSettings, role: Role = "train") -> Rows:
    """Read the labelled rows of a `datasets.Dataset`; the numbers of a `ClassLabel` column become its names.

    Raises:
        DataError: It is not a `Dataset` (but, say, a dictionary of splits), or a column or a value is not as it should be.
    """
    import datasets

    if not isinstance(dataset, datasets.Dataset):
        hint = "; pass one of its splits" if isinstance(dataset, dict) else ""
        raise DataError(f"dataset: expected a datasets.Dataset, not a {type(dataset).__name__}{hint}")
    return read_sources([StoredDataset(dataset, "dataset", None, None)], settings, role)


def read_sources(sources: Sequence[Labelled | Frame], settings: DataSettings, role: Role = "train") -> Rows:
    """Read the labelled rows of resolved sources, or of tables in memory, in order.

    Raises:
        DataError: As `read_labelled`.
    """
    return _Reader(settings if role == "train" else settings.model_copy(update={"weight": None})).rows(sources)


def columns_of(
    sources: Sequence[Labelled], settings: DataSettings, rows: Iterable[int]
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Read all columns of some rows, the sources' own: lists, or pyarrow arrays, as in a block.

    Args:
        sources: What `read_sources` was given.
        settings: Columns and decoding.
        rows: Places among the rows that it returned, from 0.

    Yields:
        The places of some of these rows, ascending, and of their columns the values, by name. A text that is a file has none.

    Raises:
        DataError: A source cannot be read.
    """
    reader, wanted, start = _Reader(settings.model_copy(update={"weight": None}), whole=True), set(rows), 0
    for source in sources:
        for block, labels, _ in reader.blocks(source):
            kept = [row for row, label in enumerate(labels) if label is not None]
            found = {start + place: row for place, row in enumerate(kept) if start + place in wanted}
            start += len(kept)
            if found:
                columns = {} if isinstance(source, ClassFolder) else block.columns
                yield list(found), {name: _some(column, list(found.values())) for name, column in columns.items()}


def _some(column: Any, rows: list[int]) -> Any:
    return [column[row] for row in rows] if isinstance(column, list) else column.take(rows)


class _Reader:
    """Collects the rows of some sources; with `whole` all of their columns are read."""

    def __init__(self, settings: DataSettings, *, whole: bool = False) -> None:
        self._settings = settings
        self._cells = LabelCells(settings)
        self._weight = settings.weight
        self._reading = Reading.of(settings, (*self._cells.columns, *([settings.weight] if settings.weight else [])))
        if whole:
            self._reading = replace(self._reading, only=None)
        self._rows = RowsBuilder()
        self._names: dict[tuple[int, str], int] = {}  # of two sources they may be equal: a/x.csv and b/x.csv are both x.csv
        self._notes: list[str] = []
        self._report = ReadReport()

    def rows(self, sources: Sequence[Labelled | Frame]) -> Rows:
        """Read them, in order."""
        if not sources:
            raise DataError("there is nothing to read: the list of files is empty")
        for number, source in enumerate(sources):
            before = len(self._rows) + self._report.missing
            for block, labels, faults in self.blocks(source):
                weights, odd = weights_in(block.columns[self._weight], self._weight) if self._weight else (None, {})
                if wrong := odd | faults | block.faults:
                    row = min(wrong)
                    raise DataError(f"{source.place}, row {block.numbers[row]}: {wrong[row]}" if block.name else wrong[row])
                self._take(number, source, block, labels, weights)
            if len(self._rows) + self._report.missing == before:
                raise DataError(f"{source.place}: there are no rows in it")
        self._cells.check_all()
        if self._report.missing:
            self._tell_missing("" if all(isinstance(source, Frame) for source in sources) else " (--missing-labels skip)")
        self._report.stripped = dict(self._cells.stripped)
        rows = self._rows.finish(tuple(name for _, name in self._names), report=self._report)
        weighing = [] if rows.weights is None else [weight_note(rows.weights, str(self._weight))]
        return replace(rows, notes=(*self._notes, *self._report.notes(), *weighing, *label_notes(rows)))

    def blocks(self, source: Labelled | Frame) -> Iterator[_Labelled]:
        """Read the rows of a source, the label of each, and what is wrong with some."""
        if self._weight and (isinstance(source, ClassFolder) or (isinstance(source, Source) and source.kind == ".txt")):
            raise DataError(f"{source.place}: has no columns, so none of weights; leave out data.weight")
        if isinstance(source, ClassFolder):
            yield from self._of_folder(source)
        elif isinstance(source, StoredDataset):
            yield from self.blocks(frame_of_dataset(source.dataset, source.place))
        elif isinstance(source, Frame):
            yield from self._of_table(source.blocks(self._reading), source.schema)
        else:
            check_kind(source)
            looked, notes = look_at(source, self._reading)
            self._notes += [f"{looked.name}: {note}" for note in notes]
            self._report.files.append(described(looked))
            blocks = read_blocks(looked, self._reading)
            if source.kind == ".txt":
                yield from _fasttext(blocks, source, self._cells.many)
            else:
                yield from self._of_table(blocks, parquet_schema(source.path) if source.kind == ".parquet" else None)

    def _of_table(self, blocks: Iterable[Block], schema: Any) -> Iterator[_Labelled]:
        names = class_names(schema) if schema is not None else {}
        return ((block, *self._cells.read(block, names)) for block in blocks)

    def _of_folder(self, folder: ClassFolder) -> Iterator[_Labelled]:
        names: Iterator[Found] = ([label] if self._cells.many else label for label, _ in folder.texts)
        for block in file_blocks([source for _, source in folder.texts], self._reading):
            yield block, list(islice(names, len(block))), {}
        if folder.skipped:
            kinds = ", ".join(sorted({path.suffix for path in folder.skipped}))
            self._notes.append(
                f"{folder.name}: files left out because their ending is not .txt: {len(folder.skipped)} ({kinds})"
            )

    def _take(
        self, number: int, source: Labelled | Frame, block: Block, labels: list[Found], weights: list[float] | None
    ) -> None:
        """Take the rows of a block; those without a label are counted."""
        name = source.place if isinstance(source, StoredDataset) else source.name
        files = block.columns["file"] if isinstance(source, ClassFolder) else [name] * len(block)
        self._report.replaced += block.replaced
        lost = [row for row, label in enumerate(labels) if label is None]
        self._report.missing += len(lost)
        room = _SHOWN - len(self._report.missing_at)
        self._report.missing_at += [f"{files[row]}, row {block.numbers[row]}" for row in lost[:room]]
        kept = [row for row, label in enumerate(labels) if label is not None] if lost else range(len(labels))
        self._rows.extend(
            [self._names.setdefault((number, files[row]), len(self._names)) for row in kept],
            [block.numbers[row] for row in kept],
            [block.texts[row] for row in kept],
            [labels[row] for row in kept],
            None if weights is None else [weights[row] for row in kept],
        )

    def _tell_missing(self, option: str) -> None:
        """Stop where rows have no label, or note that they are left out; `option` says how the command line asks for that.

        Raises:
            DataError: `data.missing_labels` is `error`, or no row has a label.
        """
        columns = " or ".join(map(repr, self._cells.columns))
        count, places = self._report.missing, "; ".join(self._report.missing_at)
        what = f"{count:,} row{'s' * (count != 1)} without a label in column {columns}"
        where = f"{places}; …" if count > len(self._report.missing_at) else places
        if self._settings.missing_labels == "error":
            raise DataError(
                f"{what} ({where}); fill them in, or set data.missing_labels to skip{option} to leave such rows out"
            )
        if not len(self._rows):
            raise DataError(f"{what} ({where}), and none with one")
        self._notes.append(f"{what}, left out ({where})")


def _fasttext(blocks: Iterable[Block], source: Source, many: bool) -> Iterator[_Labelled]:
    """Read fastText's lines, `__label__a __label__b the text`; blank lines are no rows."""
    begun = False
    for block in blocks:
        lines = [line for line, text in enumerate(block.texts) if line in block.faults or text.strip()]
        labels: list[Found] = []
        faults: dict[int, str] = {}
        texts = []
        for row, line in enumerate(lines):
            found, text = fasttext_line(block.texts[line].strip())
            if not (begun or found or line in block.faults):
                raise DataError(
                    f"{source.place}: a .txt file has labels only as fastText lines, {FASTTEXT_PREFIX}name and then the "
                    "text; for one text a file make a folder per class"
                )
            begun = True
            if line in block.faults:
                faults[row] = block.faults[line]
            elif FASTTEXT_PREFIX in text:
                faults[row] = f"{FASTTEXT_PREFIX} inside the text; labels stand at the start of the line"
            elif any(FASTTEXT_PREFIX in label for label in found):
                faults[row] = f"{FASTTEXT_PREFIX} inside a label; put a blank between labels"
            elif "" in found:
                faults[row] = f"a label without a name; write {FASTTEXT_PREFIX}name"
            elif len(found) > 1 and not many:
                faults[row] = f"{len(found)} labels; set data.labels to train on texts with several"
            texts.append(text)
            labels.append(list(dict.fromkeys(found)) if many else found[0] if found else None)
        numbers = [block.numbers[line] for line in lines]
        yield Block(texts, {}, numbers, block.name, replaced=block.replaced), labels, faults


def fasttext_line(line: str) -> tuple[list[str], str]:
    """Return the labels at the start of a line, and the text behind them; commas between labels belong to none."""
    labels = []
    while match := _FASTTEXT_LABEL.match(line):
        labels.append(match[1])
        line = line[match.end() :]
    return labels, line
