"""The vocabulary: which token has which id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textcls.text.subwords import Subwords

PAD, UNK = 0, 1
SPECIAL_TOKENS = ("<pad>", "<unk>")
# Ids are hashed by these primes of 32 bits (see `textcls.model.ngrams`): what they give stays below 2^63 and falls everywhere.
WORD_FACTOR, FIRST_FACTOR = 2_654_435_761, 2_246_822_519


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id: `<pad>`, `<unk>`, training tokens by falling count, then pretrained words that training never saw.

    Attributes:
        tokens: Every token, the two special ones first.
        subwords: What splits words into these tokens, where they are parts of words.
    """

    tokens: tuple[str, ...]
    subwords: Subwords | None = None

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.tokens)

    @cached_property
    def index(self) -> dict[str, int]:
        """Id by token; the special tokens are left out, so that a literal `<pad>` in a text becomes `<unk>`."""
        return {token: number for number, token in enumerate(self.tokens) if number > UNK}

    @classmethod
    def build(
        cls, tokens: Sequence[str], counts: NDArray[np.int64], *, min_count: int = 1, max_size: int | None = None
    ) -> Vocabulary:
        """Choose and order the training tokens: by falling count, ties by token.

        Args:
            tokens: Distinct tokens of the training split, [n].
            counts: How often each occurs there, int64 [n].
            min_count: Leave out rarer tokens.
            max_size: Keep at most this many, the special ones not counted.
        """
        kept = [i for i in range(len(tokens)) if counts[i] >= min_count and tokens[i] not in SPECIAL_TOKENS]
        kept.sort(key=lambda i: (-counts[i], tokens[i]))
        return cls(SPECIAL_TOKENS + tuple(tokens[i] for i in kept[:max_size]))

    def extended(self, words: Iterable[str]) -> Vocabulary:
        """Return a vocabulary with more words after the present ones, each once."""
        new = (word for word in dict.fromkeys(words) if word not in self.index and word not in SPECIAL_TOKENS)
        return replace(self, tokens=self.tokens + tuple(new))
