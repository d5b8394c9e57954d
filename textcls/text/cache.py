"""Encoded texts kept between runs, by the texts and everything else that settles their ids.

An entry is a folder of `.npy` and JSON files and their SHA-256 sums; one that is torn or damaged is made anew. The cache is never
needed: where it cannot be read or written, texts are encoded.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.config import TextSettings
from textcls.errors import ConfigError
from textcls.files import file_sha256
from textcls.text.encoding import Encoded, Encoder, encode_training
from textcls.text.subwords import Subwords
from textcls.text.vocabulary import Vocabulary

_FEWEST_TOKENS = 1_000_000  # below, encoding takes a second at most; finding what is kept takes a tenth of it
_MOST_BYTES = 4 << 30  # of all entries; the least recently used go
_BLOCK = 8192  # texts digested at once
_DICTIONARIES = frozenset({"ja", "ko", "th", "vi"})  # languages that spaCy splits with other packages and their dictionaries
_SETTINGS = ("tokenizer", "language", "lowercase", "split_unspaced", "zero_digits", "max_tokens")  # that settle the ids
_ARRAYS = tuple(one.name for one in fields(Encoded))
_OFF = frozenset({"off", "0", "no", "false"})
_TOKENS, _COUNTS, _SUMS = "tokens.json", "counts.npy", "sums.json"


@dataclass(frozen=True)
class _Entry:
    """What is kept of some texts: of those of training also the tokens of their vocabulary, and how often each one occurs."""

    encoded: Encoded
    tokens: tuple[str, ...] = ()
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class EncodingCache:
    """The cache of one run's texts.

    It is in `cache_dir()`.

    Args:
        settings: How texts are encoded.
        subwords: The parts of words, where they are what the tokenizer gives.

    Attributes:
        hits: How often encoded texts were there.
    """

    def __init__(self, settings: TextSettings, subwords: Subwords | None = None) -> None:
        self.hits = 0
        self._settings, self._subwords = settings, subwords
        self._folder = None if settings.tokenizer == "spacy" and settings.language in _DICTIONARIES else cache_dir()

    def encode_training(self, texts: Sequence[str]) -> tuple[Encoded, Vocabulary, NDArray[np.int64]]:
        """Return what `textcls.text.encode_training` returns for texts, [n_texts]."""
        entry = self._entry(texts, {name: getattr(self._settings, name) for name in ("min_count", "max_vocabulary")})
        if entry is not None and (found := _read(entry)) is not None:
            self.hits += 1
            return found.encoded, Vocabulary(found.tokens, self._subwords), found.counts
        encoded, vocabulary, counts = encode_training(texts, self._settings, self._subwords)
        if entry is not None:
            _write(entry, _Entry(encoded, vocabulary.tokens, counts))
        return encoded, vocabulary, counts

    def encode(self, texts: Sequence[str], encoder: Encoder, vocabulary: Vocabulary) -> Encoded:
        """Return what `encoder.encode` returns for texts, [n_texts]; the encoder is of the same settings and of the vocabulary."""
        entry = self._entry(texts, {"vocabulary": _digest(vocabulary.tokens)})
        if entry is not None and (found := _read(entry)) is not None:
            self.hits += 1
            return found.encoded
        encoded = encoder.encode(texts)
        if entry is not None:
            _write(entry, _Entry(encoded))
        return encoded

    def _entry(self, texts: Sequence[str], about: dict[str, Any]) -> Path | None:
        """Return where these texts are, or would be; None where the cache is off."""
        if self._folder is None:
            return None
        about = {
            **about,
            **{name: getattr(self._settings, name) for name in _SETTINGS},
            **{package: _version(package) for package in ("textcls", "regex", "spacy", "sentencepiece")},
            "subwords": self._subwords and self._subwords.sha256,
            "unicode": unicodedata.unidata_version,
            "code": _code(),
            "texts": _digest(texts),
        }
        return self._folder / "encoded" / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def cache_dir() -> Path | None:
    """Return the folder of everything that is kept between runs: encoded texts and downloads. None where nothing is to be kept.

    That is the folder which `TEXTCLS_CACHE` names, none where it is `off` (or `0`, `no`, `false`), and where it is empty or not set
    the place for caches on this system.

    Raises:
        ConfigError: It names the home of a user whom there is not.
    """
    named = os.environ.get("TEXTCLS_CACHE", "").strip()
    if named.lower() in _OFF:
        return None
    if named:
        try:
            return Path(named).expanduser().absolute()
        except RuntimeError as error:
            raise ConfigError(f"TEXTCLS_CACHE={named}: there is no such home folder; name another folder, or off") from error
    from platformdirs import user_cache_path

    found = user_cache_path("textcls", appauthor=False)
    return found if found.is_absolute() else None  # a user without a home


def vectors_dir() -> Path | None:
    """Return the folder for pretrained vectors; None where nothing is to be kept (see `cache_dir`)."""
    cache = cache_dir()
    return None if cache is None else cache / "vectors"


def _digest(texts: Sequence[str]) -> str:
    """Return a digest of texts and where each one ends."""
    digest = hashlib.sha256()
    for start in range(0, len(texts), _BLOCK):
        some = texts[start : start + _BLOCK]
        digest.update(np.array([len(text) for text in some], np.int64).tobytes())
        digest.update("".join(some).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _code() -> str:
    """Return a digest of the modules that encode, and of this one: nothing kept outlives a change to them."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(entry: Path) -> _Entry | None:
    """Read an entry; None where there is none, or a damaged one, which goes."""
    try:
        sums: dict[str, str] = json.loads((entry / _SUMS).read_text(encoding="utf-8"))
        with suppress(OSError):  # a cache that may only be read
            os.utime(entry)  # the last use
        if any(file_sha256(entry / name) != digest for name, digest in sums.items()):
            raise ValueError("damaged")
        arrays = (np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS)
        encoded = Encoded(*(np.asarray(array) for array in arrays))
        if _TOKENS not in sums:
            return _Entry(encoded)
        tokens = tuple(json.loads((entry / _TOKENS).read_text(encoding="utf-8")))
        return _Entry(encoded, tokens, np.load(entry / _COUNTS, allow_pickle=False))
    except (OSError, ValueError, AttributeError, RecursionError):
        shutil.rmtree(entry, ignore_errors=True)
        return None


def _write(entry: Path, found: _Entry) -> None:
    """Write an entry, whole or not at all, if it is worth it; a cache that cannot be written is left alone."""
    arrays = {f"{name}.npy": getattr(found.encoded, name) for name in _ARRAYS}
    if len(found.encoded.ids) < _FEWEST_TOKENS or sum(array.nbytes for array in arrays.values()) > _MOST_BYTES:
        return
    neighbour = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}.part")
    try:
        neighbour.mkdir(0o700, parents=True)  # nobody else's texts
        if found.tokens:
            (neighbour / _TOKENS).write_text(json.dumps(found.tokens), encoding="utf-8")
            arrays[_COUNTS] = found.counts
        for name, array in arrays.items():
            np.save(neighbour / name, array, allow_pickle=False)
        sums = {file.name: file_sha256(file) for file in neighbour.iterdir()}
        (neighbour / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
        neighbour.rename(entry)  # fails where another run was faster, whose entry is the same
        _make_room(entry.parent)
    except OSError:
        pass
    finally:
        shutil.rmtree(neighbour, ignore_errors=True)


def _make_room(folder: Path) -> None:
    """Remove the entries least recently used, and what killed runs left, until all others are small enough together."""
    room = _MOST_BYTES
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True):
        with suppress(OSError):  # another run has removed it
            room -= sum(file.stat().st_size for file in entry.iterdir())
            if room < 0:
                shutil.rmtree(entry, ignore_errors=True)
