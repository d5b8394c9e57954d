"""Train, validation and test rows: read where they are given, cut from train where they are not."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from textcls.config import DataSettings
from textcls.data.columns import Labels, Texts
from textcls.data.formats import for_none
from textcls.data.labelled import read_sources
from textcls.data.labels import LabelSet, label_text, sorted_texts, spelt_otherwise
from textcls.data.rows import Rows
from textcls.data.sources import Labelled, Role, StoredDataset, resolve
from textcls.errors import ConfigError, DataError, named, quoted
from textcls.storage import stored

_BLOCK = 8192  # texts at once
_NAMED = 5  # how many classes a note names before it only counts


@dataclass(frozen=True)
class Cut:
    """Which rows each split takes: three int64 arrays of row numbers from 0, ascending, that together hold every row once."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """The rows of each split.

    Attributes:
        train: The rows to train on.
        validation: The rows for early stopping and calibration; None where none were given or cut.
        test: The rows to evaluate on; None where none were given or cut.
        notes: What a person should know, a sentence each.
        files: For each split that was given, what was read: `file`, `sha256` and `bytes` of each file, or `dataset`,
            `config`, `split` and `fingerprint`. Names are relative, so that they can be published.
        cut: Where splits were cut from train: for `train` and each of them, its rows as they stand in the source of train,
            counted from 0 (int64). Empty where nothing was cut.
    """

    train: Rows
    validation: Rows | None
    test: Rows | None
    notes: tuple[str, ...]
    files: dict[str, list[dict[str, object]]]
    cut: dict[str, npt.NDArray[np.int64]]


def load_splits(settings: DataSettings, *, test: bool = True) -> Splits:
    """Read the splits that the settings name and cut those that they do not.

    Args:
        settings: Where the rows are.
        test: Whether test rows are wanted. If not, a file of them is not read, and those cut from train are in no split.

    Raises:
        ConfigError: `data.train` is not set.
        DataError: A source cannot be read, or train has only one class.
        MissingPackageError: A `package:` is not installed.
    """
    if settings.train is None:
        raise ConfigError("data.train is not set: name the file or folder with the training rows")
    given: dict[str, Rows] = {}
    files: dict[str, list[dict[str, object]]] = {}
    kinds: set[str] = set()
    notes: list[str] = []
    named: tuple[tuple[Role, str | tuple[str, ...] | None], ...] = (
        ("train", settings.train),
        ("validation", settings.validation),
        ("test", settings.test),
    )
    for role, source in named:
        if source is not None and (test or role != "test"):
            sources = resolve(source, role)
            given[role] = read_sources(sources, settings, role)
            kinds |= {one.kind for one in sources}
            if role == "train":
                notes += _not_named(sources, settings)
            files[role] = [one.fingerprint() for one in sources]
    _check_classes(given["train"], settings)

    shares = {role: 0.0 if source is not None else getattr(settings, f"{role}_share") for role, source in named[1:]}
    cut = split_rows(given["train"], shares["validation"], shares["test"], settings.split_seed)
    notes += for_none(kinds, settings, DataSettings())
    notes += [f"{role}: {note}" for role, rows in given.items() for note in rows.notes]
    notes += cut.notes
    known = LabelSet.from_rows(given["train"].labels.distinct)
    spelt = {role: spelt_otherwise(rows.labels.distinct, known) for role, rows in given.items()}
    notes += [f"{role}: labels that train has otherwise spelt: {pairs}" for role, pairs in spelt.items() if pairs]
    taken = {role: indices for role in ("validation", "test") if len(indices := getattr(cut, role))}
    rows: dict[str, Rows] = {**given, **{role: given["train"].select(indices) for role, indices in taken.items()}}
    if taken:
        rows["train"] = given["train"].select(cut.train)
    if not test:
        rows.pop("test", None)
    notes += _shared_texts(rows["train"], {role: part for role, part in given.items() if role != "train"})  # cuts share no text
    if test and "test" not in rows:
        notes.append("there is no test split, so none is evaluated; set data.test or data.test_share for one")
    recorded = {"train": cut.train, **taken} if taken else {}
    return Splits(rows["train"], rows.get("validation"), rows.get("test"), tuple(notes), files, recorded)


def _not_named(train: Iterable[Labelled], settings: DataSettings) -> Iterator[str]:
    """Tell of splits that a data set has and no setting names."""
    for source in train:
        roles = source.roles if isinstance(source, StoredDataset) else ()
        for role in ("validation", "test"):
            if role in roles and getattr(settings, role) is None:
                yield f"{source.place}: its data set has {role} rows, too, which are not read; name it as data.{role} to use them"


def split_rows(rows: Rows, validation_share: float, test_share: float, seed: int) -> Cut:
    """Choose rows for validation and test, by label, rows of equal text (after `strip`) on one side.

    The choice depends on the texts, the labels, the shares and the seed alone: a keyed hash of its text gives each group
    of rows its place. A split takes, in this order, each group whose rows all fit into what is left of their own labels'
    shares. Test takes the first groups, validation those after them, so that the test rows stay the same whatever the
    validation share. Train keeps at least one group of every class. Rows with lists of labels are treated as one class.

    Rows without text are no group, each of them stands alone: of those with one label it does not matter which are taken.

    Args:
        rows: The rows to split.
        validation_share: Share of all rows for validation, in [0, 1).
        test_share: Share of all rows for test, in [0, 1).
        seed: Another seed gives another choice.
    """
    if not (validation_share or test_share):
        return Cut(np.arange(len(rows)), np.empty(0, np.int64), np.empty(0, np.int64), ())
    groups = _gather(rows, seed)
    room, left = np.zeros(len(groups.labels), np.int64), np.bincount(groups.classes)
    counts = np.bincount(groups.classes, groups.sizes).astype(np.int64)
    rows_of_class = dict(zip(groups.labels, counts.tolist(), strict=True))
    split_of_group = np.zeros(len(groups), np.int8)  # 0 train, 1 validation, 2 test
    notes = []
    for number, role, share in ((2, "test", test_share), (1, "validation", validation_share)):
        if share:
            quotas = np.array([*_quotas(rows_of_class, share).values()], np.int64)
            room[:] = quotas
            _take(groups, split_of_group, number, room, left)
            without = [groups.labels[place] for place in np.flatnonzero(room == quotas)]
            notes += _too_small(without, len(groups.labels), role)
    split_of = np.empty(len(rows), np.int8)
    split_of[groups.order] = np.repeat(np.repeat(split_of_group, np.diff(groups.starts)), groups.sizes)
    train, validation, test = (stored(np.flatnonzero(split_of == number)) for number in range(3))
    return Cut(train, validation, test, tuple(notes))


def text_key(text: str) -> str:
    """Return what texts are compared by to tell equal ones: the text without white space around it."""
    return text.strip()


def text_digests(texts: Texts, key: bytes = b"") -> npt.NDArray[np.uint64]:
    """Return a digest, with a key, of what each text is compared by, uint64 `[n]`.

    Texts with the same digest count as equal. That two different ones of two million have the same is a chance of one in ten
    million, and all it does is to keep them on one side of a cut.
    """
    digests = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), _BLOCK):
        some = texts[start : start + _BLOCK]
        digests[start : start + _BLOCK] = _digests(map(text_key, some), key)
    return digests


def _digests(texts: Iterable[str], key: bytes = b"") -> npt.NDArray[Any]:
    """Return a digest of each text, uint64 `[n]`, of which the first bytes count most, as where bytes are compared."""
    contents = (text.encode("utf-8", "surrogatepass") for text in texts)
    found = b"".join(hashlib.blake2b(content, key=key, digest_size=8).digest() for content in contents)
    return np.frombuffer(found, ">u8")


@dataclass(frozen=True)
class _Groups:
    """Rows that stay on one side together, in the order in which splits take them. The rows of one label are a part of a group.

    Attributes:
        order: The rows, part by part, int64 `[n]`.
        sizes: How many rows each part has, int64 `[parts]`.
        classes: The class of each part, int32 `[parts]`.
        starts: The first part of each group, and the end, int64 `[groups + 1]`.
        labels: The text of each class.
    """

    order: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.starts) - 1


def _gather(rows: Rows, seed: int) -> _Groups:
    """Gather rows with equal text."""
    key = seed.to_bytes(16, "big")
    digests = text_digests(rows.texts, key)
    _tell_empty_apart(digests, rows.labels, key)
    classes, labels = _classes(rows)
    order = stored(np.lexsort((classes, digests)))
    digests, classes = digests[order], classes[order]
    new_group = np.append(True, digests[1:] != digests[:-1])
    del digests
    new_part = new_group.copy()
    new_part[1:] |= classes[1:] != classes[:-1]
    parts = stored(np.flatnonzero(new_part))
    sizes = stored(np.diff(parts, append=len(order)))
    starts = stored(np.append(np.flatnonzero(new_group[parts]), len(parts)))
    return _Groups(order, sizes, stored(classes[parts]), starts, labels)


def _tell_empty_apart(digests: npt.NDArray[np.uint64], labels: Labels, key: bytes) -> None:
    """Give each row without text a digest of its own: that of its label, or labels, and its number among those with the same."""
    empty = np.flatnonzero(digests == _digests([""], key))
    codes = labels.codes[empty]
    names = {code: _name(labels.values[code]) for code in np.unique(codes).tolist()}
    seen: Counter[str] = Counter()
    for start in range(0, len(empty), _BLOCK):
        texts = []
        for name in map(names.__getitem__, codes[start : start + _BLOCK].tolist()):
            seen[name] += 1
            texts.append(f" {seen[name]} {name}")  # no text that is compared starts with a blank
        digests[empty[start : start + _BLOCK]] = _digests(texts, key)


def _name(label: Any) -> str:
    """Return a text that rows with the same label, or the same labels in any order, share."""
    return repr(sorted(map(label_text, label if isinstance(label, list) else [label])))


def _classes(rows: Rows) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return the class of each row, int32 `[n]`, and the text of each class; those of rows with lists of labels are one class."""
    values: Sequence[Any] = rows.labels.values
    texts = {code: "" if rows.many else label_text(values[code]) for code in np.unique(rows.labels.codes).tolist()}
    labels = sorted_texts(set(texts.values()))
    number = {text: place for place, text in enumerate(labels)}
    class_of = np.zeros(len(values), np.int32)
    class_of[list(texts)] = [number[text] for text in texts.values()]
    return class_of[rows.labels.codes], labels


def _quotas(sizes: Mapping[str, int], share: float) -> dict[str, int]:
    """Share out rows over the classes: each gets its share rounded down or up, so that the sum is the share of all rows."""
    exact = {label: size * share for label, size in sizes.items()}
    quotas = {label: int(value) for label, value in exact.items()}
    missing = max(1, round(sum(exact.values()))) - sum(quotas.values())
    by_remainder = sorted(sizes, key=lambda label: (quotas[label] - exact[label], -sizes[label]))  # stable: then by label
    for label in by_remainder[: max(0, missing)]:
        quotas[label] += 1
    return quotas


def _take(
    groups: _Groups,
    split_of_group: npt.NDArray[np.int8],
    number: int,
    room: npt.NDArray[np.int64],
    left: npt.NDArray[np.int64],
) -> None:
    """Give a split, in order, the groups that are in train, have room in it, and are not the last ones there with their label.

    Args:
        groups: All groups.
        split_of_group: The split of each, int8 `[groups]`; changed.
        number: The split.
        room: How many more rows of each class it may have, int64 `[classes]`; changed.
        left: How many groups in train have rows of each class, int64 `[classes]`; changed.
    """
    for start in range(0, len(groups), _BLOCK):
        bounds = groups.starts[start : start + _BLOCK + 1]
        sizes, classes = groups.sizes[bounds[0] : bounds[-1]], groups.classes[bounds[0] : bounds[-1]]
        fits = np.logical_and.reduceat(sizes <= room[classes], bounds[:-1] - bounds[0])  # the others never will
        for group in (start + np.flatnonzero(fits & (split_of_group[start : start + _BLOCK] == 0))).tolist():
            own = slice(groups.starts[group], groups.starts[group + 1])
            parts = list(zip(groups.classes[own].tolist(), groups.sizes[own].tolist(), strict=True))
            if all(size <= room[label] and left[label] > 1 for label, size in parts):
                split_of_group[group] = number
                for label, size in parts:
                    room[label] -= size
                    left[label] -= 1


def _too_small(without: Sequence[str], classes: int, role: str) -> list[str]:
    """Name the classes of which a split got no row."""
    if not without:
        return []
    if len(without) == classes:
        return [f"no {role} rows could be cut from train: it has too few different texts"]
    return [f"too few rows to cut {role} rows from, so they stay in train: {named(list(map(quoted, without)), _NAMED)}"]


def _shared_texts(train: Rows, others: Mapping[str, Rows]) -> list[str]:
    """Count the texts of splits that training sees too; an empty one tells nothing of another."""
    if not others:
        return []
    seen = text_digests(train.texts)
    seen.sort()
    empty = _digests([""])
    notes = []
    for role, rows in others.items():
        digests = text_digests(rows.texts)
        digests = digests[digests != empty]
        if count := int((seen[np.searchsorted(seen, digests).clip(max=len(seen) - 1)] == digests).sum()):
            notes.append(f"{role}: {count} of {len(rows)} rows have a text that also stands in train")
    return notes


def _check_classes(train: Rows, settings: DataSettings) -> None:
    column = settings.labels or settings.label or "label"
    classes = LabelSet.from_rows(train.labels.distinct)
    if not classes:
        raise DataError(f"data.train: no row has a label in column {column!r}")
    if len(classes) == 1 and settings.labels is None:
        raise DataError(
            f"data.train: all {len(train)} rows have the label {quoted(classes.texts[0])} (first: {train.where(0)}); "
            "training needs at least two classes"
        )
