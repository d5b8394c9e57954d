"""Encoding: texts to two flat arrays of token ids and offsets.

Text `i` is `ids[offsets[i] : offsets[i + 1]]`: no list per text, no padding. Each distinct chunk is tokenized once and then looked
up, so the work per text is a split, one dictionary look-up a chunk, and array arithmetic. It is done by blocks, and what many
blocks give lies in files that the system maps (see `textcls.storage`), so that memory does not grow with the texts.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np
import regex
from numpy.typing import NDArray

from textcls.config import TextSettings
from textcls.storage import GrowingArray, stored
from textcls.text.subwords import Subwords
from textcls.text.tokenizers import BpeTokenizer, Tokenizer, build_tokenizer
from textcls.text.vocabulary import PAD, UNK, Vocabulary

_BLOCK = 8192  # texts encoded at once
_IDS = 1 << 18  # ids counted and renumbered at once
_MOST_CHUNKS = 1 << 18  # distinct chunks remembered; about 40 MB of strings, ids and dictionary
_MOST_IDS = 1 << 22  # and their ids: a chunk that is not remembered, such as a whole Chinese text, leaves its ids behind too
_LONGEST_REMEMBERED = 200  # characters of a chunk; longer ones hardly come again
_replace_surrogates = regex.compile("[\ud800-\udfff]").sub


@dataclass(frozen=True)
class Encoded:
    """Texts as token ids.

    Attributes:
        ids: Token ids of all texts, one after the other, int32 [n_tokens].
        offsets: Where each text starts, and the end, int64 [n_texts + 1].
        empty: Texts with no token, which are one `<pad>` here, bool [n_texts].
        truncated: Texts cut at `text.max_tokens`, bool [n_texts].
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    empty: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.empty)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, at least 1, int64 [n_texts]."""
        return stored(np.diff(self.offsets))


class _EncodedBlocks:
    """Puts encoded blocks one behind the other."""

    def __init__(self) -> None:
        self._ids, self._offsets, self._end = GrowingArray(np.int32), GrowingArray(np.int64), 0
        self._empty, self._truncated = GrowingArray(np.bool_), GrowingArray(np.bool_)
        self._offsets.append(0)

    def append(self, block: Encoded) -> None:
        self._ids.extend(block.ids)
        self._offsets.extend(self._end + block.offsets[1:])
        self._empty.extend(block.empty)
        self._truncated.extend(block.truncated)
        self._end += len(block.ids)

    def finish(self) -> Encoded:
        return Encoded(self._ids.finish(), self._offsets.finish(), self._empty.finish(), self._truncated.finish())


class _ChunkTable(dict[str, int]):
    """Number of each distinct chunk; its ids are `ids[starts[number] : starts[number + 1]]`. A new chunk is tokenized on look-up."""

    def __init__(self, tokenizer: Tokenizer, token_id: Callable[[str], int]) -> None:
        super().__init__()
        self._tokenizer, self._token_id = tokenizer, token_id
        self.ids = array("i")  # arrays, not lists: each block makes numpy copies of them, at memcpy speed
        self.starts = array("q", [0])

    def __missing__(self, chunk: str) -> int:
        number = len(self.starts) - 1
        self.ids.extend(map(self._token_id, self._tokenizer.tokens(chunk)))
        self.starts.append(len(self.ids))
        if len(chunk) <= _LONGEST_REMEMBERED:
            self[chunk] = number
        return number

    def forget(self) -> None:
        self.clear()
        self.ids, self.starts = array("i"), array("q", [0])


class Encoder:
    """Encodes texts with one tokenizer and one vocabulary; remembers the chunks it has met.

    Args:
        tokenizer: Splits texts into chunks and chunks into tokens.
        token_id: Id of a token.
        max_tokens: Longer texts are cut after this many tokens.
    """

    def __init__(self, tokenizer: Tokenizer, token_id: Callable[[str], int], max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._chunks = _ChunkTable(tokenizer, token_id)

    @classmethod
    def from_settings(cls, settings: TextSettings, vocabulary: Vocabulary) -> Encoder:
        """Return the encoder of a trained model; tokens outside the vocabulary become `<unk>`."""
        index = vocabulary.index
        return cls(build_tokenizer(settings, vocabulary.subwords), lambda token: index.get(token, UNK), settings.max_tokens)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode texts; lone surrogates count as U+FFFD.

        Args:
            texts: Raw texts, [n_texts].
        """
        if len(texts) <= _BLOCK:
            return self._encode_block(texts)
        blocks = _EncodedBlocks()
        for start in range(0, len(texts), _BLOCK):
            blocks.append(self._encode_block(texts[start : start + _BLOCK]))
        return blocks.finish()

    def _encode_block(self, texts: Sequence[str]) -> Encoded:
        table = self._chunks
        found, chunks_before = array("q"), array("q", [0])  # arrays: the chunks of all texts as strings would fill the memory
        for text in replace_surrogates(texts):
            found.extend(map(table.__getitem__, self.tokenizer.chunks(text)))
            chunks_before.append(len(found))
        numbers = np.array(found, np.int64)
        starts, ids = np.array(table.starts, np.int64), np.array(table.ids, np.int32)
        if len(starts) > _MOST_CHUNKS or len(ids) > _MOST_IDS:
            table.forget()
        tokens_before = np.concatenate([[0], np.cumsum(starts[numbers + 1] - starts[numbers])])  # [n_chunks + 1]
        flat = ids[_ranges(starts[numbers], starts[numbers + 1])]
        return _cut(flat, tokens_before[np.array(chunks_before, np.int64)], self.max_tokens)

    def yields(self, word: str) -> bool:
        """Whether a word can be a token of some text."""
        if isinstance(self.tokenizer, BpeTokenizer):
            return word in self.tokenizer.subwords.pieces
        return self.tokens(word) == [word]

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of one text as strings, cut at `max_tokens`."""
        (text,) = replace_surrogates([text])
        found = chain.from_iterable(map(self.tokenizer.tokens, self.tokenizer.chunks(text)))
        return list(found)[: self.max_tokens]


def encode_training(
    texts: Sequence[str], settings: TextSettings, subwords: Subwords | None = None
) -> tuple[Encoded, Vocabulary, NDArray[np.int64]]:
    """Encode the training split and build its vocabulary in the same pass.

    Args:
        texts: Raw training texts, [n_texts].
        settings: Tokenizer, cut and the limits of the vocabulary.
        subwords: The parts of words, where they are what the tokenizer gives.

    Returns:
        The encoded texts, the vocabulary, and how often each of its ids occurs in the encoded texts, int64 [vocabulary].
    """
    first_seen: dict[str, int] = {}
    encoder = Encoder(
        build_tokenizer(settings, subwords),
        lambda token: first_seen.setdefault(token, len(first_seen) + 1),
        settings.max_tokens,
    )
    encoded = encoder.encode(texts)
    found = _counts(encoded.ids, len(first_seen) + 1)
    tokens = list(first_seen)
    vocabulary = Vocabulary.build(tokens, found[1:], min_count=settings.min_count, max_size=settings.max_vocabulary)
    final = np.array([PAD, *(vocabulary.index.get(token, UNK) for token in tokens)], np.int32)
    vocabulary = replace(vocabulary, subwords=subwords)
    ids, counts = GrowingArray(np.int32), np.zeros(len(vocabulary), np.int64)
    np.add.at(counts, final, found)
    for start in range(0, len(encoded.ids), _IDS):
        ids.extend(final[encoded.ids[start : start + _IDS]])
    return Encoded(ids.finish(), encoded.offsets, encoded.empty, encoded.truncated), vocabulary, counts


def _counts(ids: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return how often each id below `size` occurs, int64 [size]; by blocks, for counting takes a copy."""
    counts = np.zeros(size, np.int64)
    for start in range(0, len(ids), _IDS):
        counts += np.bincount(ids[start : start + _IDS], minlength=size)
    return counts


def replace_surrogates(texts: Sequence[str]) -> Sequence[str]:
    """Put U+FFFD for lone surrogates, which no UTF-8 text holds; the texts are handed back as they are where there is none."""
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError:
        return [_replace_surrogates("\ufffd", text) for text in texts]
    return texts


def _ranges(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate `arange(start, end)` of each pair."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    flat: NDArray[np.int64] = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
    return flat


def _cut(flat: NDArray[np.int32], offsets: NDArray[np.int64], max_tokens: int) -> Encoded:
    """Cut long texts and put one `<pad>` for empty ones."""
    lengths = np.diff(offsets)
    empty, truncated = lengths == 0, lengths > max_tokens
    kept = np.clip(lengths, 1, max_tokens)
    new_offsets = np.concatenate([[0], np.cumsum(kept)])
    if not empty.any() and not truncated.any():
        return Encoded(flat, new_offsets, empty, truncated)
    ids = np.full(new_offsets[-1], PAD, np.int32)
    real = np.repeat(~empty, kept)
    ids[real] = flat[_ranges(offsets[:-1], offsets[:-1] + np.where(empty, 0, kept))]
    return Encoded(ids, new_offsets, empty, truncated)
