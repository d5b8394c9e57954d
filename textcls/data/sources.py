"""What a setting such as `data.train` names: files, a folder per class, or a data set of the `datasets` library.

Resolving finds them and says what is wrong with a name; reading their rows is `labelled.py`'s.
"""

from __future__ import annotations

import difflib
import glob
import hashlib
import importlib.util
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from textcls.data.blocks import Source
from textcls.data.formats import ENDINGS
from textcls.data.places import COMPRESSIONS, check_regular, ending, fingerprint
from textcls.data.remote import is_remote, list_remote
from textcls.errors import DataError, MissingPackageError
from textcls.files import from_home

Role: TypeAlias = Literal["train", "validation", "test"]

_HUB = re.compile(r"hub:(?P<name>[^:@]+)(?::(?P<config>[^@]+))?(?:@(?P<split>.+))?")
# What data sets call the split for each role, most usual first.
_SPLIT_NAMES: dict[Role, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class ClassFolder:
    """A folder with one subfolder per class.

    Attributes:
        path: The folder.
        name: Its name, for display.
        texts: `(class, file)` of every text file, sorted.
        skipped: Files in the class folders that do not look like text files.
    """

    path: Path
    name: str
    texts: tuple[tuple[str, Source], ...]
    skipped: tuple[Path, ...]
    kind: ClassVar = ".txt"

    @property
    def place(self) -> str:
        """What messages call it."""
        return str(self.path)

    def fingerprint(self) -> dict[str, object]:
        """Return one SHA-256 over the sorted names and sums of the texts, their number and their size in bytes."""
        digest, total = hashlib.sha256(), 0
        for _, text in self.texts:
            file_digest, size = fingerprint(text.path)
            digest.update(f"{file_digest}  {text.name}\n".encode("utf-8", "surrogateescape"))
            total += size
        return {"file": f"{self.name}/", "sha256": digest.hexdigest(), "bytes": total, "texts": len(self.texts)}


@dataclass(frozen=True)
class StoredDataset:
    """A split of a data set from the hub or from a `save_to_disk` folder.

    Attributes:
        dataset: The split.
        name: What names the data set.
        config: Its configuration, where it has some.
        split: The name of the split, where it has some.
        roles: What it has splits for.
    """

    dataset: Any
    name: str
    config: str | None
    split: str | None
    roles: frozenset[Role] = frozenset()
    kind: ClassVar = ".parquet"  # which it is much like

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"{self.name} {self.split}" if self.split else self.name

    def fingerprint(self) -> dict[str, object]:
        """Return the name, configuration and split with the fingerprint that `datasets` keeps of the content."""
        return {
            "dataset": self.name,
            "config": self.config,
            "split": self.split,
            "fingerprint": self.dataset._fingerprint,
            "rows": len(self.dataset),
        }


Labelled: TypeAlias = Source | ClassFolder | StoredDataset


def resolve(source: str | Sequence[str], role: Role) -> list[Labelled]:
    """Find what a setting names.

    Args:
        source: A path, a glob, `package:NAME/path`, `hub:owner/name[:config][@split]`, or a list of them.
        role: Which split it is for: a data set with several is asked for this one.

    Returns:
        The sources in the order given; the matches of a glob are sorted, and what is named twice is read once.

    Raises:
        DataError: Something named is not there; the message gives the nearest name that is.
        MissingPackageError: A `package:` is not installed.
    """
    once: dict[object, Labelled] = {}
    for item in [source] if isinstance(source, str) else source:
        try:
            for one in _found(item, role):
                key = one.dataset._fingerprint if isinstance(one, StoredDataset) else str(one.path.resolve())
                once.setdefault(key, one)
        except OSError as error:  # a folder that may not be listed, a name too long for the system
            raise DataError(f"{item}: cannot be read: {error.strerror}") from None
    return list(once.values())


def check_kind(source: Source) -> None:
    """Refuse a file that by its name holds no rows.

    Raises:
        DataError: It ends in something else.
    """
    if source.kind not in ENDINGS:
        shown = "".join(Path(source.path.name).suffixes[-2:]) or "nothing"
        tables = f"these can: {', '.join(ENDINGS[1:])}, text formats also {', '.join(COMPRESSIONS)}"
        raise DataError(f"{source.place}: a file that ends in {shown} cannot be read as a table; {tables}")


def local_files(source: str | Sequence[str]) -> Iterator[Path]:
    """Yield the files on this machine that a setting names, none of the hub and none behind a URI, as `resolve` finds them.

    Raises:
        DataError: As `resolve`.
    """
    for item in [source] if isinstance(source, str) else source:
        if item.startswith("hub:") or is_remote(item):
            continue
        for path in _expanded(item)[1]:
            if not path.is_dir():
                yield path
            elif is_stored_dataset(path):
                yield from path.rglob("*")
            else:
                yield from (file for _, text in _class_folder(path, "").texts if isinstance(file := text.path, Path))


def _found(item: str, role: Role) -> Iterator[Labelled]:
    """Find what one name stands for."""
    if item.startswith("hub:"):
        yield _from_hub(item, role)
    elif is_remote(item):
        files = list_remote(item)
        if len(files) != 1 or files[0][1]:
            raise DataError(f"{item}: {'is a folder; name its files' if files else 'there is no such file'}")
        file = files[0][0]
        yield Source(file, file.name, ending(file), file.stat().st_size)
    else:
        root, paths = _expanded(item)
        for path in paths:
            name = path.relative_to(root).as_posix() if path.name not in {"", ".."} else path.resolve().name
            if not path.is_dir():
                yield _file(path, name)
            elif is_stored_dataset(path):
                yield _from_disk(path, name, role)
            else:
                yield _class_folder(path, name if name != "." else path.resolve().name)


def _expanded(item: str) -> tuple[Path, list[Path]]:
    """Return the paths that a path, glob or `package:NAME/path` names, and the folder that their names are relative to."""
    path = _in_package(item) if item.startswith("package:") else from_home(item)
    if path.exists() or path.is_symlink():
        return path.parent, [path]
    if glob.has_magic(str(path)):
        # Unlike Path.glob, this leaves out hidden files.
        if matches := glob.glob(str(path), recursive=True):  # noqa: PTH207
            return next(folder for folder in path.parents if not glob.has_magic(str(folder))), sorted(map(Path, matches))
        raise DataError(f"{item}: no file matches this pattern")
    raise DataError(f"{item}: there is no such file or folder{_nearest(path)}")


def _file(path: Path, name: str) -> Source:
    """Return a file to read, as it is now; reading it comes to an end."""
    check_regular(path)
    return Source(path, name, ending(path), path.stat().st_size)


def _class_folder(path: Path, name: str) -> ClassFolder:
    """Find the texts of a folder per class; hidden names, names with two underscores and deeper folders are left out.

    Text files end in `.txt` (or `.txt.gz` and the like) or have no ending at all, as in the 20 Newsgroups.
    """
    folders = [entry for entry in _visible(path) if entry.is_dir()]
    files = [(folder.name, entry) for folder in folders for entry in _visible(folder) if not entry.is_dir()]
    texts = {file: label for label, file in files if ending(file) in {".txt", ""} or ending(file)[1:].isdigit()}
    if not folders:
        table = next((ending(entry) for entry in _visible(path) if ending(entry) in ENDINGS), None)
        hint = f"; to read the {table} files in it, name them: {path}/*{table}" if table else ""
        raise DataError(f"{path}: a folder needs one subfolder per class with text files in it{hint}")
    if not texts:
        deeper = next((folder for folder in folders if any(entry.is_dir() for entry in _visible(folder))), None)
        kinds = sorted({ending(file) for _, file in files})
        hint = f"; did you mean {deeper}?" if deeper else f"; they end in {', '.join(kinds)}" if kinds else ""
        raise DataError(f"{path}: no file in its subfolders ends in .txt{hint}")
    sources = tuple((label, _file(file, f"{label}/{file.name}")) for file, label in texts.items())
    return ClassFolder(path, name, sources, tuple(file for _, file in files if file not in texts))


def is_stored_dataset(path: Path) -> bool:
    """Whether a folder is what `save_to_disk` of the `datasets` library writes."""
    return any((path / marker).is_file() for marker in ("dataset_dict.json", "state.json"))


def _from_disk(path: Path, name: str, role: Role) -> StoredDataset:
    """Open a `save_to_disk` folder; of a dictionary of splits the one for the role."""
    import datasets

    try:
        stored = datasets.load_from_disk(str(path))
    except Exception as error:  # any of many: the library documents none
        raise DataError(f"{path}: cannot be read as a saved data set: {_first_line(error)}") from None
    split = _pick_split(stored, role, str(path)) if isinstance(stored, Mapping) else None
    return StoredDataset(stored[split] if split else stored, name, None, split, _roles(stored if split else ()))


def _from_hub(item: str, role: Role) -> StoredDataset:
    """Load `hub:owner/name[:config][@split]`."""
    import datasets

    parts = _HUB.fullmatch(item)
    if parts is None:
        raise DataError(f"{item}: write it as hub:owner/name, hub:owner/name:config or hub:owner/name@split")
    name, config, split = parts["name"], parts["config"], parts["split"]
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the library tells each of its attempts; ours is one line
    try:
        loaded = datasets.load_dataset(name, config, split=split)
    except Exception as error:  # network, names, configurations, scripts: the library documents no common class
        reason = f"cannot be loaded: {_first_line(error)}"
        raise DataError(f"{item}: {reason}; check the name and the network, or name local files instead") from None
    finally:
        logging.disable(before)
    if split is not None:
        return StoredDataset(loaded, name, config, split)
    split = _pick_split(loaded, role, item)
    return StoredDataset(loaded[split], name, config, split, _roles(loaded))


def _roles(splits: Iterable[str]) -> frozenset[Role]:
    return frozenset(role for role, names in _SPLIT_NAMES.items() if {*names} & {*splits})


def _pick_split(splits: Mapping[str, Any], role: Role, place: str) -> str:
    """Return the name of the split for a role."""
    for name in _SPLIT_NAMES[role]:
        if name in splits:
            return name
    raise DataError(f"{place}: has no {role} split; its splits are: {', '.join(splits)}")


def _in_package(item: str) -> Path:
    """Return the path that `package:NAME/path` names, without importing the package."""
    package, _, inner = item.removeprefix("package:").partition("/")
    module = package.replace("-", "_")
    if not module.isidentifier() or Path(inner).is_absolute() or ".." in Path(inner).parts:
        raise DataError(f"{item}: write it as package:NAME/path, with a path inside the package")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise MissingPackageError(f"{item}: the package is not installed; install it with: pip install {package}")
    for folder in spec.submodule_search_locations or ():
        if (Path(folder) / inner).exists() or glob.has_magic(inner):
            return Path(folder) / inner
    raise DataError(f"{item}: the package {package} holds no {inner or 'folder'}")


def _nearest(path: Path) -> str:
    """Return a hint: the nearest name in the folder, or the part of the path that is missing."""
    if not path.parent.is_dir():
        missing = next(p for p in reversed((path, *path.parents)) if not p.is_dir())
        return f"; the folder {missing} does not exist"
    close = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], 1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


def _visible(folder: Path) -> list[Path]:
    """Return the sorted entries of a folder without hidden ones and Python's own."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
