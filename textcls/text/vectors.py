"""Pretrained word vectors: GloVe, word2vec and fastText, read straight into the rows that a vocabulary needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textcls.errors import ConfigError
from textcls.text.vector_files import EXTRA, Selection, read_vector_file, read_vector_package
from textcls.text.vector_names import find_vectors


@dataclass(frozen=True, eq=False)
class PretrainedVectors:
    """The rows of a vectors file that a vocabulary needs.

    Attributes:
        name: Name or file name of the source, without its folder; of a file in a zip `archive.zip/file.txt`.
        sha256: Digest of the file that holds the vectors, as it is on disk: of a zip that of the archive.
        dimension: Values of one vector.
        found: Indices of the tokens that have a vector, rising, int64 [m].
        matrix: Their vectors, float32 [m, dimension].
        extra_words: Words kept beside the tokens, in the file's order, [e].
        extra_matrix: Their vectors, float32 [e, dimension].
    """

    name: str
    sha256: str | None
    dimension: int
    found: NDArray[np.int64]
    matrix: NDArray[np.float32]
    extra_words: tuple[str, ...]
    extra_matrix: NDArray[np.float32]

    def coverage(self, counts: NDArray[np.int64]) -> tuple[float, float]:
        """Return the share of the tokens, and the share of their occurrences, that have a vector; 0 where there are none.

        Args:
            counts: How often each of the tokens given to `load_vectors` occurs, int64 [n].
        """
        occurrences = int(counts.sum())
        types = len(self.found) / len(counts) if len(counts) else 0.0
        return types, int(counts[self.found].sum()) / occurrences if occurrences else 0.0


def _always(_word: str) -> bool:
    return True


def load_vectors(
    source: str, tokens: Sequence[str], *, extend: int = 0, accept: Callable[[str], bool] = _always
) -> PretrainedVectors:
    """Load the pretrained vectors of some tokens.

    Args:
        source: A GloVe, word2vec or fastText file (`.txt`, `.vec`, `.bin`, each also `.gz`), a zip of one, a file in a zip of
            several (`glove.6B.zip/glove.6B.100d.txt`), or a name such as `glove.6B.50d`.
        tokens: Distinct tokens, without the special ones, [n].
        extend: Keep up to this many words that are no token.
        accept: Whether such a word may be kept, for example because the tokenizer could yield it.

    Raises:
        ConfigError: There is neither a file nor a name `source`, or `extend` is negative.
        DataError: The file is damaged or no vectors file; the message names the row.
        TextclsError: The vectors could not be downloaded, or are not the known ones; the message says how to get them by hand.
    """
    if extend < 0:
        raise ConfigError(f"text.extend: must be 0 or more, not {extend}")
    selection = Selection(tokens, extend, accept)
    place = find_vectors(source)
    if place.words is not None:
        rows = read_vector_package(place.path, place.words, selection)
    else:
        rows = read_vector_file(place.path, selection, place.member)
    by_token = np.argsort(rows.slots)[len(selection.extra_words) :]  # `EXTRA` sorts before every token
    return PretrainedVectors(
        name=place.name,
        sha256=rows.sha256,
        dimension=rows.values.shape[1],
        found=rows.slots[by_token],
        matrix=rows.values[by_token],
        extra_words=tuple(selection.extra_words),
        extra_matrix=rows.values[rows.slots == EXTRA],
    )
