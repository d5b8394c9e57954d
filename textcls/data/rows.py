"""Labelled rows, each with the place it came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from textcls.data.columns import Labels, LabelsBuilder, Texts, TextsBuilder
from textcls.data.labels import Label, LabelSet
from textcls.storage import GrowingArray, stored

_BLOCK = 8192  # rows at once


@dataclass(frozen=True)
class Rows:
    """Labelled texts and where each one stands.

    Attributes:
        texts: The texts, `[n]`.
        labels: The label of each text, `[n]`; where `data.labels` is set, a list of labels for each text (it may be empty).
        sources: Names of the files that were read, for display: never an absolute path.
        source: int32 `[n]`: which of `sources` a row came from.
        row: int64 `[n]`: its number there, from 1: the line in text formats, the row in Parquet, 1 for a file that is one text.
        notes: What reading found that a person should know, a sentence each.
    """

    texts: Texts
    labels: Labels
    sources: tuple[str, ...]
    source: npt.NDArray[np.int32]
    row: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str], labels: Iterable[Label | list[Label]], name: str = "memory") -> Rows:
        """Return rows with these texts and labels, [n], as if they came from one source."""
        builder = RowsBuilder()
        for row, (text, label) in enumerate(zip(texts, labels, strict=True), start=1):
            builder.append(0, row, text, label)
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

    def targets(self, labels: LabelSet) -> npt.NDArray[np.int64] | npt.NDArray[np.bool_]:
        """Return the class of each row, int64 `[n]`; where rows have lists of labels whether each has each one, bool `[n, classes]`.

        Labels that are not in the set are -1, or left out.
        """
        values: Any = self.labels.values
        table = labels.encode_many(values) if self.many else labels.encode(values)
        targets = GrowingArray(table.dtype)
        for start in range(0, len(self), _BLOCK):
            targets.extend(table[self.labels.codes[start : start + _BLOCK]].reshape(-1))
        return targets.finish().reshape(len(self), *table.shape[1:])

    def select(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Rows:
        """Return the rows at `indices`, in that order."""
        chosen = np.asarray(indices, np.int64)
        texts, labels = self.texts.select(chosen), self.labels.select(chosen)
        return Rows(texts, labels, self.sources, stored(self.source[chosen]), stored(self.row[chosen]), self.notes)

    def where(self, index: int) -> str:
        """Return the place of a row in words, such as `reviews.csv, row 7`."""
        return f"{self.sources[self.source[index]]}, row {self.row[index]}"


class RowsBuilder:
    """Collects rows one by one."""

    def __init__(self) -> None:
        self._texts, self._labels = TextsBuilder(), LabelsBuilder()
        self._source, self._row = GrowingArray(np.int32), GrowingArray(np.int64)
        self._length = 0

    def __len__(self) -> int:
        """Return the number of rows so far."""
        return self._length

    def append(self, source: int, row: int, text: str, label: Label | list[Label]) -> None:
        """Take one more row: the number of its source, its number there, its text, and its label or labels."""
        self._texts.append(text)
        self._labels.append(label)
        self._source.append(source)
        self._row.append(row)
        self._length += 1

    def finish(self, sources: tuple[str, ...], notes: tuple[str, ...] = ()) -> Rows:
        """Return the rows; nothing may be added after it."""
        return Rows(self._texts.finish(), self._labels.finish(), sources, self._source.finish(), self._row.finish(), notes)
