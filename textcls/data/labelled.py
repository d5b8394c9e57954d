"""Labelled rows from every source: the reader that classifying has too, strict, with labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from textcls.config import DataSettings
from textcls.data.blocks import Block, Reading, Source, check_columns, with_columns
from textcls.data.formats import ENDINGS, described, look_at, read_blocks
from textcls.data.label_cells import Found, LabelCells
from textcls.data.places import COMPRESSIONS
from textcls.data.rows import ReadReport, Rows, RowsBuilder, label_notes
from textcls.data.sources import ClassFolder, Labelled, Role, StoredDataset, resolve
from textcls.data.text_rows import file_blocks
from textcls.errors import DataError, named

if TYPE_CHECKING:
    from datasets import Dataset

FASTTEXT_PREFIX: Final = "__label__"
_FASTTEXT_LABEL: Final = re.compile(rf"{FASTTEXT_PREFIX}(\S*?),*(?:\s+|$|(?<=,)(?={FASTTEXT_PREFIX}))")
_BATCH_ROWS: Final = 1000  # of a `Dataset`
_SHOWN: Final = 3  # places of rows without a label


def read_labelled(source: str | Path | Sequence[str] | Dataset, settings: DataSettings, role: Role = "train") -> Rows:
    """Read every labelled row of a source.

    Args:
        source: What a setting such as `data.train` may be, a path, or a `datasets.Dataset`.
        settings: Columns and decoding.
        role: Which split of a data set with several is meant.

    Raises:
        DataError: Something cannot be read, a row has no text or no label, or there are no rows; with file and row.
        MissingPackageError: A `package:` is not installed.
    """
    if isinstance(source, Path):
        source = str(source)
    if isinstance(source, str | tuple | list):
        return read_sources(resolve(source, role), settings)
    return rows_from_dataset(cast("Dataset", source), settings)


def rows_from_dataset(dataset: Dataset, settings: DataSettings) -> Rows:
    """Read the labelled rows of a `datasets.Dataset`; the numbers of a `ClassLabel` column become its names.

    Raises:
        DataError: It is not a `Dataset` (but, say, a dictionary of splits), or a column or a value is not as it should be.
    """
    return read_sources([StoredDataset(dataset, "dataset", None, None)], settings)


def read_sources(sources: Sequence[Labelled], settings: DataSettings) -> Rows:
    """Read the labelled rows of resolved sources, in order.

    Raises:
        DataError: As `read_labelled`.
    """
    return _Reader(settings).rows(sources)


class _Reader:
    """Collects the rows of some sources."""

    def __init__(self, settings: DataSettings) -> None:
        self._settings = settings
        self._cells = LabelCells(settings)
        self._reading = Reading.of(settings, self._cells.columns)
        self._rows = RowsBuilder()
        self._names: dict[tuple[int, str], int] = {}  # of two sources they may be equal: a/x.csv and b/x.csv are both x.csv
        self._notes: list[str] = []
        self._report = ReadReport()

    def rows(self, sources: Sequence[Labelled]) -> Rows:
        """Read them, in order."""
        if not sources:
            raise DataError("there is nothing to read: the list of files is empty")
        for number, source in enumerate(sources):
            before = len(self._rows) + self._report.missing
            for block, labels, faults in self._blocks(source):
                self._take(number, source, block, labels, faults)
            if len(self._rows) + self._report.missing == before:
                raise DataError(f"{_place(source)}: there are no rows in it")
        self._cells.check_all()
        if self._report.missing:
            self._tell_missing()
        self._report.stripped = dict(self._cells.stripped)
        rows = self._rows.finish(tuple(name for _, name in self._names), report=self._report)
        return replace(rows, notes=(*self._notes, *self._report.notes(), *label_notes(rows)))

    def _blocks(self, source: Labelled) -> Iterator[tuple[Block, list[Found], dict[int, str]]]:
        """Yield blocks with the label of each row, and by row what is wrong with it."""
        if isinstance(source, ClassFolder):
            yield from self._of_folder(source)
        elif isinstance(source, StoredDataset):
            for block in _dataset_blocks(source, self._reading):
                yield block, *self._cells.read(block, _class_names(source.dataset))
        elif source.kind not in ENDINGS:
            shown = "".join(Path(source.path.name).suffixes[-2:]) or "nothing"
            tables = f"these can: {', '.join(ENDINGS[1:])}, text formats also {', '.join(COMPRESSIONS)}"
            raise DataError(f"{source.place}: a file that ends in {shown} cannot be read as a table; {tables}")
        else:
            looked, notes = look_at(source, self._reading)
            self._notes += [f"{looked.name}: {note}" for note in notes]
            self._report.files.append(described(looked))
            names = _names_in_parquet(source) if source.kind == ".parquet" else {}
            of_fasttext = _FastText(source, self._cells.many)
            for block in read_blocks(looked, self._reading):
                if source.kind == ".txt":
                    yield of_fasttext.read(block)
                else:
                    yield block, *self._cells.read(block, names)

    def _of_folder(self, folder: ClassFolder) -> Iterator[tuple[Block, list[Found], dict[int, str]]]:
        done = 0
        for block in file_blocks([source for _, source in folder.texts], self._reading):
            names = [label for label, _ in folder.texts[done : done + len(block)]]
            done += len(block)
            yield block, [[name] if self._cells.many else name for name in names], {}
        if folder.skipped:
            kinds = ", ".join(sorted({path.suffix for path in folder.skipped}))
            self._notes.append(
                f"{folder.name}: files left out because their ending is not .txt: {len(folder.skipped)} ({kinds})"
            )

    def _take(self, number: int, source: Labelled, block: Block, labels: list[Found], faults: dict[int, str]) -> None:
        """Take the rows of a block; those without a label are counted, and the first fault ends it all."""
        if wrong := faults | block.faults:
            row = min(wrong)
            raise DataError(f"{_place(source)}, row {block.numbers[row]}: {wrong[row]}" if block.name else wrong[row])
        name = f"{source.name} {source.split}" if isinstance(source, StoredDataset) and source.split else source.name
        files = block.columns["file"] if isinstance(source, ClassFolder) else [name] * len(block)
        ids = [self._names.setdefault((number, file), len(self._names)) for file in files]
        self._report.replaced += block.replaced
        texts, numbers = block.texts, list(block.numbers)
        if None in labels:
            lost = [row for row, label in enumerate(labels) if label is None]
            self._report.missing += len(lost)
            self._report.missing_at += [
                f"{files[row]}, row {numbers[row]}" for row in lost[: _SHOWN - len(self._report.missing_at)]
            ]
            kept = [row for row, label in enumerate(labels) if label is not None]
            ids, numbers = [ids[row] for row in kept], [numbers[row] for row in kept]
            texts, labels = [texts[row] for row in kept], [labels[row] for row in kept]
        self._rows.extend(ids, numbers, texts, labels)

    def _tell_missing(self) -> None:
        """Stop where rows have no label, or note that they are left out.

        Raises:
            DataError: `data.missing_labels` is `error`.
        """
        columns = " or ".join(map(repr, self._cells.columns))
        what = f"{self._report.missing:,} row{'s' * (self._report.missing != 1)} without a label in column {columns}"
        where = named(self._report.missing_at, _SHOWN)
        if self._report.missing > len(self._report.missing_at):
            where += ", …"
        if self._settings.missing_labels == "error":
            raise DataError(f"{what} ({where}); fill them in, or set data.missing_labels to skip to leave such rows out")
        self._notes.append(f"{what}, left out ({where})")


class _FastText:
    """Reads fastText's lines, `__label__a __label__b the text`; blank lines are no rows."""

    def __init__(self, source: Source, many: bool) -> None:
        self._source, self._many = source, many
        self._begun = False

    def read(self, block: Block) -> tuple[Block, list[Found], dict[int, str]]:
        """Return the rows among some lines with the labels of each, and by row what is wrong with it."""
        texts: list[str] = []
        labels: list[Found] = []
        lines: list[int] = []
        faults: dict[int, str] = {}
        wrong: dict[int, str] = {}
        for line, text in enumerate(map(str.strip, block.texts)):
            if line in block.faults:
                faults[len(texts)] = block.faults[line]
            elif not text:
                continue
            elif not self._begun and not text.startswith(FASTTEXT_PREFIX):
                raise DataError(
                    f"{self._source.place}: a .txt file has labels only as fastText lines, {FASTTEXT_PREFIX}name and then the "
                    "text; for one text a file make a folder per class"
                )
            self._begun = self._begun or bool(text)
            found, rest = fasttext_line(text)
            if FASTTEXT_PREFIX in rest:
                wrong[len(texts)] = f"{FASTTEXT_PREFIX} inside the text; labels stand at the start of the line"
            elif "" in found:
                wrong[len(texts)] = f"a label without a name; write {FASTTEXT_PREFIX}name"
            elif len(found) > 1 and not self._many:
                wrong[len(texts)] = f"{len(found)} labels; set data.labels to train on texts with several"
            texts.append(rest)
            labels.append(list(dict.fromkeys(found)) if self._many else found[0] if found else None)
            lines.append(block.numbers[line])
        return Block(texts, {}, lines, block.name, faults, replaced=block.replaced), labels, wrong


def fasttext_line(line: str) -> tuple[list[str], str]:
    """Return the labels at the start of a line, and the text behind them; commas between labels belong to none."""
    labels = []
    while match := _FASTTEXT_LABEL.match(line):
        labels.append(match[1])
        line = line[match.end() :]
    return labels, line


def _dataset_blocks(source: StoredDataset, reading: Reading) -> Iterator[Block]:
    """Read a data set of the `datasets` library."""
    import datasets

    from textcls.data.parquet_rows import table_blocks

    dataset = source.dataset
    if not isinstance(dataset, datasets.Dataset):
        hint = "; pass one of its splits" if isinstance(dataset, dict) else ""
        raise DataError(f"{source.name}: expected a datasets.Dataset, not a {type(dataset).__name__}{hint}")
    place, repeated = with_columns(Source(Path(source.name), source.name, ""), dataset.column_names)
    check_columns(reading.wanted, place, repeated)
    plain = dataset.select_columns(list(reading.wanted)).with_format("arrow")
    tables = (plain[start : start + _BATCH_ROWS] for start in range(0, len(plain), _BATCH_ROWS))
    return table_blocks((batch for table in tables for batch in table.to_batches()), place, reading)


def _class_names(dataset: Any) -> dict[str, list[str]]:
    """Return the names of classes of a data set, by column: those of a class label, or of lists of them."""
    import datasets

    found = {}
    for column, feature in dataset.features.items():
        inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) else feature)
        if isinstance(inner, datasets.ClassLabel):
            found[column] = list(inner.names)
    return found


def _names_in_parquet(source: Source) -> dict[str, list[str]]:
    from textcls.data.parquet_rows import class_names, parquet_schema

    return class_names(parquet_schema(source.path))


def _place(source: Labelled) -> str:
    """Return what messages call a source."""
    if isinstance(source, StoredDataset):
        return f"{source.name} {source.split}" if source.split else source.name
    return str(source.path)
