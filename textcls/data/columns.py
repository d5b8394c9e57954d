"""The columns of labelled rows: sequences like lists, but of millions of rows they hold little more than numbers in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from operator import eq
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from textcls.data.labels import Label
from textcls.storage import stored

_BLOCK = 8192  # rows at once

_Value = TypeVar("_Value")


class Column(Sequence[_Value]):
    """A sequence whose values are made on demand; slices are lists, and it equals any sequence of the same values."""

    @abstractmethod
    def at(self, rows: NDArray[np.integer[Any]]) -> list[_Value]:
        """Return the values of some rows, int [m], from 0."""

    @overload
    def __getitem__(self, place: int) -> _Value: ...
    @overload
    def __getitem__(self, place: slice) -> list[_Value]: ...
    def __getitem__(self, place: int | slice) -> _Value | list[_Value]:
        """Return the value of a row, or those of a slice as a list."""
        if isinstance(place, slice):
            return self.at(np.arange(*place.indices(len(self))))
        return self.at(np.array([range(len(self))[place]]))[0]

    def __iter__(self) -> Iterator[_Value]:
        """Yield the values, made by blocks."""
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same values."""
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self[:5]!r}{', …' if len(self) > 5 else ''}, {len(self):,} rows)"


class Texts(Column[str]):
    """Texts as UTF-8 bytes, one after the other; lone surrogates are kept.

    Args:
        content: The bytes, uint8 [bytes].
        offsets: Where each text starts there, and the end, int64 [n_texts + 1].
        rows: Which of the texts this column has, int64 [n]; all of them where not given.
    """

    def __init__(self, content: NDArray[np.uint8], offsets: NDArray[np.int64], rows: NDArray[np.int64] | None = None) -> None:
        self._content, self._offsets, self._rows = content, offsets, rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._offsets) - 1 if self._rows is None else len(self._rows)

    def at(self, rows: NDArray[np.integer[Any]]) -> list[str]:
        """Return the texts of some rows, int [m], from 0."""
        rows = rows if self._rows is None else self._rows[rows]
        bounds = zip(self._offsets[rows].tolist(), self._offsets[rows + 1].tolist(), strict=True)
        content = self._content.data
        return [str(content[start:end], "utf-8", "surrogatepass") for start, end in bounds]

    def select(self, rows: NDArray[np.int64]) -> Texts:
        """Return the texts of some rows, int64 [m]: the same bytes, seen in another order."""
        return Texts(self._content, self._offsets, rows if self._rows is None else stored(self._rows[rows]))


class Labels(Column[Any]):
    """Labels, or lists of labels, as numbers of the distinct ones.

    Args:
        values: The distinct labels, or lists of labels: of another type is another label, so that `1` and `"1"` are two.
        codes: Which of them each row has, int32 [n].
    """

    def __init__(self, values: Sequence[Label] | Sequence[list[Label]], codes: NDArray[np.int32]) -> None:
        self.values, self.codes = values, codes

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.codes)

    @property
    def many(self) -> bool:
        """Whether each row has a list of labels."""
        return bool(self.values) and isinstance(self.values[0], list)

    @property
    def distinct(self) -> list[Label]:
        """The labels that rows have, in the order of their first rows; one that stands in several lists comes several times."""
        codes, first = np.unique(self.codes, return_index=True)
        found: list[Any] = [self.values[code] for code in codes[np.argsort(first)].tolist()]
        return [label for some in found for label in some] if self.many else found

    def at(self, rows: NDArray[np.integer[Any]]) -> list[Any]:
        """Return the labels of some rows, int [m], from 0."""
        return [self.values[code] for code in self.codes[rows].tolist()]

    def select(self, rows: NDArray[np.int64]) -> Labels:
        """Return the labels of some rows, int64 [m]."""
        return Labels(self.values, stored(self.codes[rows]))
