"""Labels: plain Python values that compare by their text, and the ordered set of them that a model knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Label: TypeAlias = str | int | float | bool


def label_text(label: Label) -> str:
    """Return the text that labels are compared by.

    Example:
        >>> label_text(1), label_text("1"), label_text(True)
        ('1', '1', 'true')
    """
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label)


@dataclass(frozen=True)
class LabelSet:
    """The distinct labels of a data set in a fixed order; the place of a label in it is its class number."""

    labels: tuple[Label, ...]

    @classmethod
    def from_rows(cls, labels: Iterable[Label]) -> LabelSet:
        """Collect the distinct labels: as numbers where every text is an integer, else in the order of their texts.

        Of labels with the same text the first one's Python type is kept.
        """
        first: dict[str, Label] = {}
        for label in labels:
            first.setdefault(label_text(label), label)
        return cls(tuple(first[text] for text in sorted_texts(first)))

    def extended(self, labels: Iterable[Label]) -> LabelSet:
        """Return these labels, then the distinct others of `labels` in their own order."""
        known = set(self.texts)
        return LabelSet(self.labels + LabelSet.from_rows(label for label in labels if label_text(label) not in known).labels)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text of each label, in order."""
        return tuple(label_text(label) for label in self.labels)

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.labels)

    def encode(self, labels: Sequence[Label]) -> npt.NDArray[np.int64]:
        """Return the class number of each label, int64 `[len(labels)]`; -1 for a label that is not in the set."""
        number = {text: index for index, text in enumerate(self.texts)}
        return np.fromiter((number.get(label_text(label), -1) for label in labels), np.int64, len(labels))

    def encode_many(self, labels: Sequence[Sequence[Label]]) -> npt.NDArray[np.bool_]:
        """Return whether each row has each label, bool `[len(labels), classes]`; labels that are not in the set are left out."""
        number = {text: index for index, text in enumerate(self.texts)}
        has = np.zeros((len(labels), len(self)), np.bool_)
        for row, some in enumerate(labels):
            has[row, [number[text] for text in map(label_text, some) if text in number]] = True
        return has


def sorted_texts(texts: Iterable[str]) -> list[str]:
    """Sort label texts: as numbers where every one is an integer (`2` before `10`), else as texts."""
    texts = sorted(texts)
    try:
        return sorted(texts, key=int)
    except ValueError:
        return texts
