"""Labelled rows, each with the place it came from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from textcls.data.columns import Labels, Texts
from textcls.data.labels import Label, LabelSet, label_text
from textcls.errors import named, quoted
from textcls.storage import GrowingArray, rows_at_once, stored

_BLOCK = 8192  # rows at once
_NAMED = 5  # labels that a note names before it only counts
_FEW, _STEPS = 9, 20  # different numbers that are labels in a small data set, and fractions that are in a large one
_NUMBER = re.compile(r"[+-]?[\d.,]+(?:[eE][+-]?\d+)?\s?%?")
_MOST = 0.9  # of the labels are numbers where a number is to be predicted; others may stand for one that is missing
_LIST = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_NOTHING = frozenset(
    {"nan", "NaN", "None", "null", "NULL", "<NA>", "\\N"}
)  # as pandas and others write a missing value into text


@dataclass
class ReadReport:
    """How rows were read.

    Attributes:
        files: For each table, how it is written: see `textcls.data.formats.described`.
        missing: Rows that have no label.
        missing_at: Where the first of them stand.
        stripped: Rows of each label that had blanks around it, as it stood there.
        replaced: Rows with bytes that could not be decoded and became U+FFFD.
    """

    files: list[dict[str, object]] = field(default_factory=list)
    missing: int = 0
    missing_at: list[str] = field(default_factory=list)
    stripped: dict[str, int] = field(default_factory=dict)
    replaced: int = 0

    def notes(self) -> Iterator[str]:
        """Say what was changed in reading."""
        if self.replaced:
            yield f"rows with bytes that cannot be decoded, replaced by U+FFFD: {self.replaced:,}"
        if self.stripped:
            shown = [f"{quoted(label)} ({count:,})" for label, count in self.stripped.items()]
            yield f"labels with blanks around them, stripped: {named(shown, _NAMED)}"


@dataclass(frozen=True)
class Rows:
    """Labelled texts and where each one stands.

    Attributes:
        texts: The texts, `[n]`.
        labels: The label of each text, `[n]`; where `data.labels` is set, a list of labels for each text (it may be empty).
        sources: Names of the files that were read, for display: never an absolute path.
        source: int32 `[n]`: which of `sources` a row came from.
        row: int64 `[n]`: its number there, from 1: the line in text formats, the row in Parquet, 1 for a file that is one text.
        weights: float64 `[n]`: what each row weighs in training, 0 or more; None where all weigh the same.
        notes: What reading found that a person should know, a sentence each.
        report: How they were read, where they were.
        named: The columns of an indicator matrix, in their order, whether rows have them or not; None where there was none.
    """

    texts: Texts
    labels: Labels
    sources: tuple[str, ...]
    source: npt.NDArray[np.int32]
    row: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()
    report: ReadReport | None = None
    weights: npt.NDArray[np.float64] | None = None
    named: tuple[Label, ...] | None = None

    @classmethod
    def of(cls, texts: Iterable[str], labels: Iterable[Label | list[Label]], name: str = "memory") -> Rows:
        """Return rows with these texts and labels, [n], as if they came from one source."""
        builder = RowsBuilder()
        some = list(texts)
        builder.extend([0] * len(some), range(1, len(some) + 1), some, list(labels))
        return builder.finish((name,))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)

    @property
    def single_labels(self) -> list[Label]:
        """The labels of rows with one label each."""
        return list(self.labels)

    @property
    def many(self) -> bool:
        """Whether each row has a list of labels."""
        return self.labels.many

    @property
    def classes(self) -> LabelSet:
        """What a model that learns from these rows knows."""
        return LabelSet.from_rows(self.labels.distinct) if self.named is None else LabelSet(self.named)

    def label_counts(self) -> dict[str, int]:
        """Return how many rows each label has, by its text; a row with several labels counts for each."""
        codes, rows = np.unique(self.labels.codes, return_counts=True)
        counts: Counter[str] = Counter()
        for code, count in zip(codes.tolist(), rows.tolist(), strict=True):
            value: Any = self.labels.values[code]
            for label in value if isinstance(value, list) else [value]:
                counts[label_text(label)] += count
        return dict(counts)

    def targets(self, labels: LabelSet) -> npt.NDArray[np.int64] | npt.NDArray[np.bool_]:
        """Return the class of each row, int64 `[n]`; where rows have lists of labels whether each has each one, bool `[n, classes]`.

        Labels that are not in the set are -1, or left out.
        """
        values: Any = self.labels.values
        encode: Any = labels.encode_many if self.many else labels.encode
        targets = GrowingArray(np.bool_ if self.many else np.int64)
        size = min(_BLOCK, rows_at_once(len(labels)))
        for start in range(0, len(self), size):
            codes, places = np.unique(self.labels.codes[start : start + size], return_inverse=True)
            targets.extend(encode([values[code] for code in codes.tolist()])[places].reshape(-1))
        return targets.finish().reshape(len(self), *([len(labels)] if self.many else []))

    def select(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Rows:
        """Return the rows at `indices`, in that order."""
        chosen = np.asarray(indices, np.int64)
        texts, labels = self.texts.select(chosen), self.labels.select(chosen)
        weights = None if self.weights is None else stored(self.weights[chosen])
        source, row = stored(self.source[chosen]), stored(self.row[chosen])
        return replace(self, texts=texts, labels=labels, source=source, row=row, weights=weights)

    def where(self, index: int) -> str:
        """Return the place of a row in words, such as `reviews.csv, row 7`."""
        return f"{self.sources[self.source[index]]}, row {self.row[index]}"


class RowsBuilder:
    """Collects rows."""

    def __init__(self) -> None:
        self._content, self._ends = GrowingArray(np.uint8), GrowingArray(np.int64)
        self._codes, self._source, self._row = GrowingArray(np.int32), GrowingArray(np.int32), GrowingArray(np.int64)
        self._weights: GrowingArray | None = None
        # The distinct labels with their numbers, by `repr`, which tells 1, True, 1.0 and "1" apart, and lists of them.
        self._labels: dict[str, tuple[int, Any]] = {}
        self._length = self._end = 0
        self._ends.append(0)

    def __len__(self) -> int:
        """Return the number of rows so far."""
        return self._length

    def extend(
        self,
        sources: Sequence[int],
        rows: Sequence[int],
        texts: Sequence[str],
        labels: Sequence[Any],
        weights: Sequence[float] | None = None,
    ) -> None:
        """Take more rows: of each the number of its source, its number there, text, label or labels; of all or none a weight."""
        if len(texts) != len(labels):
            raise ValueError(f"{len(texts)} texts and {len(labels)} labels")
        contents = [text.encode("utf-8", "surrogatepass") for text in texts]
        codes = [self._labels.setdefault(repr(label), (len(self._labels), label))[0] for label in labels]
        self._ends.extend(self._end + np.cumsum(list(map(len, contents)), dtype=np.int64))
        self._content.extend(np.frombuffer(b"".join(contents), np.uint8))
        self._codes.extend(np.array(codes, np.int32))
        self._source.extend(np.array(sources, np.int32))
        self._row.extend(np.array(rows, np.int64))
        if weights is not None:
            self._weights = self._weights or GrowingArray(np.float64)
            self._weights.extend(np.array(weights, np.float64))
        self._length += len(texts)
        self._end += sum(map(len, contents))

    def finish(self, sources: tuple[str, ...], report: ReadReport | None = None) -> Rows:
        """Return the rows; nothing may be added after it."""
        texts = Texts(self._content.finish(), self._ends.finish())
        labels = Labels([label for _, label in self._labels.values()], self._codes.finish())
        weights = None if self._weights is None else self._weights.finish()
        return Rows(texts, labels, sources, self._source.finish(), self._row.finish(), report=report, weights=weights)


def label_notes(rows: Rows) -> list[str]:
    """Say what is odd about the labels, as far as their spelling tells."""
    counts = rows.label_counts()
    notes = []
    spellings: dict[str, list[str]] = {}
    for text in counts:
        spellings.setdefault(text.casefold(), []).append(text)
    if alike := [texts for texts in spellings.values() if len(texts) > 1]:
        shown = [" and ".join(f"{quoted(text)} ({counts[text]:,})" for text in texts) for texts in alike]
        notes.append(f"labels that differ in upper and lower case alone: {named(shown, _NAMED)}")
    if nothing := [f"{text!r} ({counts[text]:,})" for text in counts if text in _NOTHING]:
        notes.append(f"labels that may stand for a missing one: {named(nothing, _NAMED)}")
    if counts and all(map(_LIST.fullmatch, counts)) and not rows.many:
        notes.append(
            f"each label looks like a list, such as {quoted(next(iter(counts)))}: for several labels a text set data.labels"
        )
    numbers = [text for text in counts if _NUMBER.fullmatch(text)]
    fewest = min(len(rows) / 2, _STEPS) if any({".", ","} & {*text} for text in numbers) else len(rows) / 2
    if len(numbers) > max(fewest, _FEW, _MOST * len(counts)):
        notes.append(f"{len(numbers):,} different numbers as labels of {len(rows):,} rows: is this a number to predict?")
    return notes
