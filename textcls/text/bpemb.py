"""BPEmb: vectors of parts of words in 275 languages, with the models that split words into these (Heinzerling and Strube, 2018)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from textcls.config import TextSettings
from textcls.errors import ConfigError, TextclsError
from textcls.text.cache import vectors_dir

_ADDRESS = "https://nlp.h-its.org/bpemb"
_NAME = re.compile(r"bpemb\.(?P<language>[a-z][a-z_-]*)\.(?P<dimension>[0-9]+)d\.(?P<size>[0-9]+)")
_FILE = re.compile(r"(?P<stem>.+\.bpe\.vs[0-9]+)\.d[0-9]+\.w2v\.bin(\.tar\.gz|\.gz)?")
_PACKED = (".tar.gz", "", ".gz")  # as it is published, and unpacked


class BpembFiles(NamedTuple):
    """The two files of one table of vectors.

    Attributes:
        vectors: In word2vec's binary format.
        model: Of SentencePiece; it may not be there.
    """

    vectors: Path
    model: Path


def find_bpemb(source: str) -> BpembFiles | None:
    """Find vectors of BPEmb by name (`bpemb.en.50d.10000`) or path; None where it is neither.

    Raises:
        TextclsError: The files of the name are not on this machine; the message says where they are and belong.
    """
    if match := _NAME.fullmatch(source):
        return _named(source, **match.groupdict())
    path = Path(source).expanduser()
    match = _FILE.fullmatch(path.name)
    return BpembFiles(path, path.with_name(f"{match['stem']}.model")) if match else None


def _named(name: str, language: str, dimension: str, size: str) -> BpembFiles:
    stem = f"{language}.wiki.bpe.vs{size}"
    vectors, model, folder = f"{stem}.d{dimension}.w2v.bin", f"{stem}.model", vectors_dir()
    candidates = [] if folder is None else [BpembFiles(folder / f"{vectors}{ending}", folder / model) for ending in _PACKED]
    for found in candidates:
        if found.vectors.is_file() and found.model.is_file():
            return found
    place = f"put both into {folder}" if folder else "put both into one folder, and name the first in text.vectors"
    raise TextclsError(
        f"text.vectors {name}: get {_ADDRESS}/{language}/{vectors}.tar.gz and {_ADDRESS}/{language}/{model} by hand and {place}"
    )


def with_bpemb(text: TextSettings) -> TextSettings:
    """Return settings with which texts become what BPEmb's vectors are of: parts of lower-case words, each digit a 0.

    Args:
        text: The settings; they are returned as they are where `vectors` is not of BPEmb.

    Raises:
        ConfigError: They name a tokenizer of words, or the `.model` is not there.
        TextclsError: As `find_bpemb`.
    """
    found = find_bpemb(text.vectors) if text.vectors else None
    if found is None:
        return text
    if text.tokenizer not in {"unicode", "bpe"}:
        raise ConfigError(f"text.vectors {text.vectors} are of parts of words: leave text.tokenizer {text.tokenizer} out")
    model = found.model
    if text.bpe_model is not None and Path(text.bpe_model).name != model.name:
        model = Path(text.bpe_model)
    if not model.is_file():
        raise ConfigError(f"text.vectors {text.vectors}: put {found.model.name} beside it, or name it in text.bpe_model")
    own = {"tokenizer": "bpe", "bpe_model": str(model), "lowercase": True, "zero_digits": True}
    return TextSettings.model_validate(text.model_dump() | own)
