"""Labelled rows in memory, each with the place it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from textcls.data.labels import Label, LabelSet


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

    texts: list[str]
    labels: list[Label] | list[list[Label]]
    sources: tuple[str, ...]
    source: npt.NDArray[np.int32]
    row: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)

    @property
    def single_labels(self) -> list[Label]:
        """The labels of rows with one label each."""
        return cast(list[Label], self.labels)

    @property
    def many(self) -> bool:
        """Whether each row has a list of labels."""
        return bool(self.labels) and isinstance(self.labels[0], list)

    @property
    def all_labels(self) -> list[Label]:
        """The labels of all rows, one after the other."""
        return [label for some in cast(list[list[Label]], self.labels) for label in some] if self.many else self.single_labels

    def targets(self, labels: LabelSet) -> npt.NDArray[np.int64] | npt.NDArray[np.bool_]:
        """Return the class of each row, int64 `[n]`; where rows have lists of labels whether each has each one, bool `[n, classes]`.

        Labels that are not in the set are -1, or left out.
        """
        return labels.encode_many(cast(list[list[Label]], self.labels)) if self.many else labels.encode(self.single_labels)

    def select(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Rows:
        """Return the rows at `indices`, in that order."""
        chosen = np.asarray(indices, np.int64)
        labels: list[Any] = [self.labels[i] for i in chosen]
        texts = [self.texts[i] for i in chosen]
        return Rows(texts, labels, self.sources, self.source[chosen], self.row[chosen], self.notes)

    def where(self, index: int) -> str:
        """Return the place of a row in words, such as `reviews.csv, row 7`."""
        return f"{self.sources[self.source[index]]}, row {self.row[index]}"
