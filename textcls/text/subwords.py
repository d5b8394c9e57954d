"""Parts of words by byte pair encoding (Sennrich, Haddow and Birch, 2016), through SentencePiece (Kudo and Richardson, 2018)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from textcls.errors import ConfigError, DataError, MissingPackageError
from textcls.files import from_home

MOST_CHARACTERS = 50_000_000  # of the training texts, that the parts are learnt from: some minutes, some gigabytes
_LONGEST_LINE = 1 << 14  # characters: SentencePiece leaves out what is longer than it was told
_BYTES = 4  # of a character, at most


@dataclass(frozen=True)
class Subwords:
    """A model of SentencePiece: which parts of words there are, and how a word is split into them.

    Attributes:
        model: The bytes of its file.
    """

    model: bytes

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the model's bytes."""
        return hashlib.sha256(self.model).hexdigest()

    @cached_property
    def _processor(self) -> Any:
        processor = _sentencepiece().SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(self.model)
        except RuntimeError as error:
            raise DataError("the model of subwords is damaged, or none of SentencePiece's") from error
        return processor

    @cached_property
    def pieces(self) -> frozenset[str]:
        """Every part that there is."""
        return frozenset(map(self._processor.IdToPiece, range(self._processor.GetPieceSize())))

    @cached_property
    def split(self) -> Callable[[str], list[str]]:
        """A function that gives the parts of a text; the first of each word begins with `▁`.

        Raises:
            DataError: The bytes are no model of SentencePiece.
            MissingPackageError: SentencePiece is not installed.
        """
        parts: Callable[[str], list[str]] = self._processor.EncodeAsPieces
        return parts


def read_subwords(path: str | Path) -> Subwords:
    """Read a `.model` file of SentencePiece.

    Raises:
        ConfigError: There is no such file.
        DataError: It cannot be read, or is no model of SentencePiece.
        MissingPackageError: SentencePiece is not installed.
    """
    given, path = path, from_home(path)
    if not path.is_file():
        raise ConfigError(
            f"text.bpe_model: {'is a folder' if path.is_dir() and str(given) else 'no such file'}: {given or repr('')}"
        )
    try:
        subwords = Subwords(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        subwords.split("")
    except DataError as error:
        raise DataError(f"{path}: is damaged, or no model of SentencePiece: get or train it again") from error
    return subwords


def check_subwords(path: str | None) -> None:
    """Make sure that SentencePiece is installed, and that the file can be used, where one is named.

    Raises:
        InputError: As `read_subwords`.
    """
    _sentencepiece()
    if path is not None:
        read_subwords(path)


def train_subwords(texts: Iterable[str], size: int) -> Subwords:
    """Learn parts of words from texts: from letters on, the pair that stands together most often becomes one.

    Args:
        texts: Of the training split, as the tokenizer splits them.
        size: How many parts, at most: few texts have fewer.

    Raises:
        ConfigError: There are more letters than parts, or no letter at all.
        MissingPackageError: SentencePiece is not installed.
    """
    trainer, out = _sentencepiece().SentencePieceTrainer, io.BytesIO()
    letters: set[str] = set()
    try:
        trainer.Train(
            sentence_iterator=_limited(texts, letters),
            model_writer=out,
            model_type="bpe",
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0 - 1e-5,
            max_sentence_length=_BYTES * _LONGEST_LINE,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        if not letters:
            raise ConfigError(
                "text.tokenizer bpe: there is no letter in the training texts to learn parts of words from"
            ) from error
        reason = str(error).strip().splitlines()[-1]
        if size <= 2 * len(letters):
            reason = f"they have {len(letters):,} different letters, each a part of its own: give more"
        raise ConfigError(f"text.bpe_size {size}: subwords cannot be learnt from these texts ({reason})") from error
    return Subwords(out.getvalue())


def _limited(texts: Iterable[str], letters: set[str]) -> Iterator[str]:
    """Yield lines that SentencePiece takes, as many as are learnt from, and note the letters in them."""
    seen = 0
    for text in texts:
        for line in text.splitlines():
            if line.strip():
                letters.update(line)
                yield from (line[start : start + _LONGEST_LINE] for start in range(0, len(line), _LONGEST_LINE))
        seen += len(text)
        if seen > MOST_CHARACTERS:
            return


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise MissingPackageError(
            "text.tokenizer bpe: SentencePiece is not installed here: pip install 'textcls[bpe]'"
        ) from error
    return sentencepiece
