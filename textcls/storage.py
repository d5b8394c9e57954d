"""Large arrays in little memory: in unnamed temporary files that the system maps into it, and worked on in blocks of rows."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textcls.errors import TextclsError

_MOST_HELD = 1 << 22  # bytes of one array that stay in memory; a file is not worth its while below
_MOST_WAITING = 8192  # single values
_MOST_WORKED_ON = 1 << 23  # values of a matrix that are worked on at once: 64 MB in double precision


class GrowingArray:
    """A flat array that grows at its end: in memory while it is small, then in a file that goes with the last array that maps it.

    Args:
        dtype: Of its items.
    """

    def __init__(self, dtype: Any) -> None:
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._pieces: list[NDArray[Any]] = []
        self._held = 0
        self._waiting: list[Any] = []
        self._file: IO[bytes] | None = None

    def append(self, value: Any) -> None:
        """Put one value behind those that are there.

        Raises:
            TextclsError: As `extend`.
        """
        self._waiting.append(value)
        if len(self._waiting) == _MOST_WAITING:
            self.extend([])

    def extend(self, values: ArrayLike) -> None:
        """Put values, [n], behind those that are there.

        Raises:
            TextclsError: The folder for temporary files cannot be written, or is full.
        """
        for piece in (np.array(self._waiting, self._dtype), np.ascontiguousarray(values, self._dtype)):
            self._pieces.append(piece)
            self._held += piece.nbytes
        self._waiting = []
        if self._held > _MOST_HELD:
            self._write()

    def finish(self) -> NDArray[Any]:
        """Return everything as one array that cannot be written, [length]; nothing may be added after it.

        Raises:
            TextclsError: As `extend`.
        """
        self.extend([])
        if self._file is None:
            whole = np.concatenate([np.empty(0, self._dtype), *self._pieces])
            whole.flags.writeable = False
            return whole
        self._write()
        with self._file as file:  # the mapping has a handle of its own
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), self._dtype)

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="textcls-")  # noqa: SIM115  # `finish` closes it
            for piece in self._pieces:
                self._file.write(piece.data if piece.nbytes else b"")
            self._file.flush()
        except OSError as error:
            raise TextclsError(
                f"large data goes through the folder for temporary files, which cannot be written: {error.strerror}; "
                "make room there, or name another folder in TMPDIR"
            ) from error
        self._pieces, self._held = [], 0


def stored(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array, [n] or [n, columns], that cannot be written, with the same values: a large one no longer fills the memory.

    Raises:
        TextclsError: The folder for temporary files cannot be written, or is full.
    """
    growing = GrowingArray(array.dtype)
    growing.extend(array.reshape(-1))
    return growing.finish().reshape(array.shape)


def rows_at_once(columns: int) -> int:
    """Return how many rows of a matrix with so many columns to work on at once, so that many columns do not fill the memory."""
    return max(1, _MOST_WORKED_ON // max(1, columns))


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield the blocks of rows in which to work on a matrix; one, which is empty, where there are no rows."""
    size = rows_at_once(columns)
    for start in range(0, max(1, rows), size):
        yield slice(start, min(rows, start + size))
