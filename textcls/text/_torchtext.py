"""The one door to torchtext 0.18, its last release, beside any torch.

`import torchtext` loads a C++ library that fits torch 2.3 alone. The two modules wanted here need none of it, so their packages are
stood in for by empty ones while they load, and `sys.modules` is put back as it was.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, cast

from textcls.errors import MissingPackageError

_lock = threading.RLock()
_loaded: dict[str, ModuleType] = {}


class CatalogueEntry(NamedTuple):
    """Where torchtext gets named vectors from.

    Attributes:
        url: Address of the file or of the archive that holds it. Plain http for most: not to be fetched unchecked.
        file: Name of the vectors file.
    """

    url: str
    file: str


def basic_english() -> Callable[[str], list[str]]:
    """Return torchtext's own `basic_english` tokenizer.

    Raises:
        MissingPackageError: torchtext is not installed here.
    """
    return cast(Callable[[str], list[str]], _module("torchtext.data.utils").get_tokenizer("basic_english"))


def vector_catalogue() -> dict[str, CatalogueEntry]:
    """Return torchtext's named vectors, for example `glove.6B.50d`.

    Raises:
        MissingPackageError: torchtext, or a package that it needs, is not installed here.
    """
    vectors = _module("torchtext.vocab.vectors")
    catalogue = {}
    for name, make in vectors.pretrained_aliases.items():
        if make.func is vectors.GloVe:
            kind, dimension = make.keywords["name"], make.keywords["dim"]
            entry = CatalogueEntry(vectors.GloVe.url[kind], f"glove.{kind}.{dimension}d.txt")
        elif make.func is vectors.FastText:
            url = vectors.FastText.url_base.format(make.keywords["language"])
            entry = CatalogueEntry(url, url.rsplit("/", 1)[1])
        else:
            entry = CatalogueEntry(vectors.CharNGram.url, vectors.CharNGram.name)
        catalogue[name] = entry
    return catalogue


def _module(name: str) -> ModuleType:
    """Return a module of torchtext: the user's own where it is imported, else loaded beside stand-ins for its packages."""
    with _lock:
        if module := sys.modules.get(name) or _loaded.get(name):
            return module
        with _stand_ins(_folder()):
            try:
                _loaded[name] = importlib.import_module(name)
            except ImportError as error:
                raise MissingPackageError(f"torchtext needs a package that is not installed here: {error}") from error
        return _loaded[name]


def _folder() -> Path:
    """Find torchtext without importing it."""
    try:
        spec = importlib.util.find_spec("torchtext")
    except ValueError:  # something without a spec stands under this name in sys.modules
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(
            "torchtext is not installed here: pip install torchtext==0.18.0 "
            "(Python 3.12 or older, on Linux x86-64, Windows AMD64 or macOS arm64)"
        )
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _stand_ins(folder: Path) -> Iterator[None]:
    """Put empty packages for torchtext's into `sys.modules`, and take every trace of torchtext out again."""
    before = _take_out()
    try:
        for name in ("torchtext", "torchtext.data", "torchtext.vocab"):
            package = ModuleType(name)
            package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = package
        utils = ModuleType("torchtext.utils")  # the real one is for downloads, which are not done through torchtext
        utils.__dict__["reporthook"] = None
        sys.modules["torchtext.utils"] = utils
        yield
    finally:
        _take_out()
        sys.modules.update(before)


def _take_out() -> dict[str, ModuleType]:
    """Remove torchtext's modules from `sys.modules` and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] == "torchtext"]
    return {name: sys.modules.pop(name) for name in names}
