"""Labels: plain Python values that compare by their text, and the ordered set of them that a model knows."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from textcls.errors import DataError, named, quoted

_NAMED = 5  # how many labels a message names before it only counts

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
        return LabelSet(self.labels + LabelSet.from_rows(label for label in labels if self.number(label) is None).labels)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text of each label, in order."""
        return tuple(label_text(label) for label in self.labels)

    @cached_property
    def _numbers(self) -> tuple[dict[str, int], dict[str, int]]:
        """The class number of each text, and of each number that one label alone means."""
        spelt = [meant(text) for text in self.texts]
        counts = Counter(spelt)
        alone = {text: index for index, text in enumerate(spelt) if counts[text] == 1}
        return {text: index for index, text in enumerate(self.texts)}, alone

    def number(self, label: Label) -> int | None:
        """Return the class number of a label; None where it is not in the set.

        Where no label has its text, `1.0`, `1` and `True` stand for each other, and so do `0.0`, `0` and `False`, as long as one of
        them alone is in the set: a column of integers comes back as floats from a table with gaps.
        """
        by_text, by_meaning = self._numbers
        found = by_text.get(label_text(label))
        return by_meaning.get(meant(label_text(label))) if found is None else found

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.labels)

    def encode(self, labels: Sequence[Label]) -> npt.NDArray[np.int64]:
        """Return the class number of each label, int64 `[len(labels)]`; -1 for a label that is not in the set."""
        numbers = map(self.number, labels)
        return np.fromiter((-1 if number is None else number for number in numbers), np.int64, len(labels))

    def encode_many(self, labels: Sequence[Sequence[Label]]) -> npt.NDArray[np.bool_]:
        """Return whether each row has each label, bool `[len(labels), classes]`; labels that are not in the set are left out."""
        has = np.zeros((len(labels), len(self)), np.bool_)
        for row, some in enumerate(labels):
            has[row, [number for number in map(self.number, some) if number is not None]] = True
        return has


def meant(text: str) -> str:
    """Return the number that a label's text is, as an integer is written; another text as it is."""
    lower = text.lower()
    if lower in {"true", "false"}:
        return "1" if lower == "true" else "0"
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def likeness(text: str) -> str:
    """Return what labels that look alike share: case, blanks, hyphens, underscores and what cannot be seen make no difference."""
    seen = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    return meant(re.sub(r"[\s_-]+", " ", seen.casefold()).strip())


def spelt_otherwise(found: Iterable[Label], known: LabelSet) -> str:
    """Name the labels that are not known, each with the known one that it looks like; "" where there are none."""
    alike = {likeness(text): text for text in known.texts}
    texts = [label_text(label) for label in LabelSet.from_rows(found).labels if known.number(label) is None]
    return named([f"{quoted(text)} for {quoted(alike[key])}" for text in texts if (key := likeness(text)) in alike], _NAMED)


def require_known(found: Iterable[Label], known: LabelSet, row: str, known_by: str, advice: str) -> None:
    """Make sure that some label is known: where none is, every figure would be 0.

    Args:
        found: The labels of the data.
        known: Those that are known.
        row: What has them, such as `test row`.
        known_by: Who knows which, such as `the model knows`.
        advice: What to do.

    Raises:
        DataError: None is known.
    """
    theirs = LabelSet.from_rows(found)
    if all(known.number(label) is None for label in theirs.labels):
        some, ours = (named(list(map(quoted, labels.texts)), _NAMED) or "none" for labels in (theirs, known))
        spelt = spelt_otherwise(theirs.labels, known)
        advice = f"correct the spelling: {spelt}" if spelt else advice
        raise DataError(f"no {row} has a label that {known_by}: the data have {some}, {known_by} {ours}; {advice}")


def sorted_texts(texts: Iterable[str]) -> list[str]:
    """Sort label texts: as numbers where every one is an integer (`2` before `10`), else as texts."""
    texts = sorted(texts)
    try:
        return sorted(texts, key=int)
    except ValueError:
        return texts
