"""BPEmb: vectors of parts of words in 275 languages, with the models that split words into these (Heinzerling and Strube, 2018)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from textcls.config import TextSettings
from textcls.errors import ConfigError
from textcls.files import from_home
from textcls.text.cache import vectors_dir

_ADDRESS = "https://nlp.h-its.org/bpemb"
_NAME = re.compile(r"bpemb\.(?P<language>[a-z][a-z_-]*)\.(?P<dimension>[0-9]+)d\.(?P<size>[0-9]+)")
_FILE = re.compile(r"(?P<stem>.+\.bpe\.vs[0-9]+)\.d(?P<dimension>[0-9]+)\.w2v\.bin(\.tar\.gz|\.gz)?")
_OWN_FILE = re.compile(r"(?P<stem>.+)\.w2v\.bin(\.tar\.gz|\.gz)?")
_FEWEST_FOUND = 0.5  # share of the different parts that have a vector; all of them, where the two files belong together
_PACKED = (".tar.gz", "", ".gz")  # as it is published, and unpacked


class BpembFiles(NamedTuple):
    """The two files of one table of vectors.

    Attributes:
        vectors: In word2vec's binary format.
        model: Of SentencePiece; it may not be there.
        dimension: That the name tells, where it does.
    """

    vectors: Path
    model: Path
    dimension: int | None = None


def find_bpemb(source: str) -> BpembFiles | None:
    """Find vectors of BPEmb by name (`bpemb.en.50d.10000`) or path; None where it is neither.

    A `.w2v.bin` of another name is one too where a `.model` of that name lies beside it.

    Raises:
        ConfigError: The files of the name are not on this machine; the message says where they are and belong.
    """
    if match := _NAME.fullmatch(source):
        return _named(source, **match.groupdict())
    path = from_home(source)
    if match := _FILE.fullmatch(path.name):
        return BpembFiles(path, path.with_name(f"{match['stem']}.model"), int(match["dimension"]))
    if (match := _OWN_FILE.fullmatch(path.name)) and (model := path.with_name(f"{match['stem']}.model")).is_file():
        return BpembFiles(path, model)
    return None


def _named(name: str, language: str, dimension: str, size: str) -> BpembFiles:
    stem = f"{language}.wiki.bpe.vs{size}"
    vectors, model, folder = f"{stem}.d{dimension}.w2v.bin", f"{stem}.model", vectors_dir()
    there = [folder / f"{vectors}{ending}" for ending in _PACKED] if folder else []
    there = [file for file in there if file.is_file()]
    if folder and there and (folder / model).is_file():
        return BpembFiles(there[0], folder / model, int(dimension))
    missing = [] if there else [f"{_ADDRESS}/{language}/{vectors}.tar.gz"]
    missing += [] if folder and (folder / model).is_file() else [f"{_ADDRESS}/{language}/{model}"]
    place = f"into {folder}" if folder else "into one folder, and name the first in text.vectors"
    what = "put both" if len(missing) == 2 else "put it"
    raise ConfigError(f"text.vectors {name}: get {' and '.join(missing)} by hand and {what} {place}")


def check_fit(source: str, dimension: int, found: float) -> None:
    """Make sure that vectors of BPEmb are what their name says, and of the parts that there are.

    Args:
        source: Their name or path, for which `find_bpemb` gives files.
        dimension: What the file has.
        found: Share of the different parts in the texts that have a vector.

    Raises:
        ConfigError: They are not.
    """
    files = find_bpemb(source)
    wanted = files.dimension if files else None
    if wanted not in {None, dimension}:
        raise ConfigError(f"text.vectors {source}: the file has {dimension} dimensions, its name says {wanted}")
    if found < _FEWEST_FOUND:
        raise ConfigError(
            f"text.vectors {source}: {found:.0%} of the parts of words have a vector, so they are of other parts than those of the "
            ".model: get the .model that belongs to them"
        )


def with_bpemb(text: TextSettings) -> TextSettings:
    """Return settings with which texts become what BPEmb's vectors are of: parts of lower-case words, each digit a 0.

    Args:
        text: The settings; they are returned as they are where `vectors` is not of BPEmb.

    Raises:
        ConfigError: They name a tokenizer of words, or one of the files is not there.
    """
    found = find_bpemb(text.vectors) if text.vectors else None
    if found is None:
        return text
    if text.tokenizer not in {"unicode", "bpe"}:
        raise ConfigError(f"text.vectors {text.vectors} are of parts of words: leave text.tokenizer {text.tokenizer} out")
    model = found.model
    if text.bpe_model is not None:
        given = from_home(text.bpe_model)
        model = given if given.is_file() or given.name != model.name else model  # of a saved model the name is left
    if not model.is_file():
        raise ConfigError(
            f"text.vectors {text.vectors}: put {found.model.name} beside it, or name it with text.tokenizer=bpe text.bpe_model=FILE"
        )
    own = {"tokenizer": "bpe", "bpe_model": str(model), "lowercase": True, "zero_digits": True}
    return TextSettings.model_validate(text.model_dump() | own)
