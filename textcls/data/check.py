"""Looking at a data set before training: what was read, how the labels are spread, which texts stand in two places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from textcls.config import DataSettings
from textcls.data.labels import label_text, sorted_texts
from textcls.data.rows import Rows
from textcls.data.splits import load_splits, text_key


@dataclass(frozen=True)
class SplitReport:
    """What one split holds.

    Attributes:
        rows: Number of rows.
        labels: Rows of each label, in the order of the label set; a row with several labels counts for each.
        unlabelled: Rows without a label, which many-label data may have.
        empty: Rows whose text is empty or white space.
        repeated: Rows whose text already stood in an earlier row of the split.
        contradicting: Rows whose text stands in the split with another label too.
        longest: Characters of the longest text.
        longest_at: Where that text stands.
    """

    rows: int
    labels: dict[str, int]
    unlabelled: int
    empty: int
    repeated: int
    contradicting: int
    longest: int
    longest_at: str


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        splits: A report for each split there is, by name.
        shared: For each two splits, such as `train, test`: rows of the second whose text also stands in the first.
        unseen_labels: For validation and test, the labels that train does not have.
        files: What was read for each split, with SHA-256 sums.
        notes: What a person should know, a sentence each.
    """

    splits: dict[str, SplitReport]
    shared: dict[str, int]
    unseen_labels: dict[str, list[str]]
    files: dict[str, list[dict[str, object]]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain dictionaries and lists, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes)}


def check(settings: DataSettings) -> CheckReport:
    """Read the splits as training would and report on them.

    Raises:
        ConfigError: `data.train` is not set.
        DataError: A source cannot be read, or its rows cannot be used.
        MissingPackageError: A `package:` is not installed.
    """
    splits = load_splits(settings)
    named: dict[str, Rows | None] = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    rows = {name: part for name, part in named.items() if part is not None}
    reports = {name: _report(part) for name, part in rows.items()}
    known = reports["train"].labels
    unseen = {name: [label for label in report.labels if label not in known] for name, report in reports.items()}
    return CheckReport(
        splits=reports,
        shared=_shared(rows),
        unseen_labels={name: labels for name, labels in unseen.items() if labels},
        files=splits.files,
        notes=splits.notes,
    )


def _report(rows: Rows) -> SplitReport:
    labels = [_texts(label) for label in rows.labels]
    counts = Counter(text for texts in labels for text in texts)
    keys = [text_key(text) for text in rows.texts]
    labels_of: dict[str, set[tuple[str, ...]]] = {}
    for key, texts in zip(keys, labels, strict=True):
        labels_of.setdefault(key, set()).add(texts)
    lengths = [len(text) for text in rows.texts]
    longest = max(range(len(rows)), key=lengths.__getitem__)
    return SplitReport(
        rows=len(rows),
        labels={text: counts[text] for text in sorted_texts(counts)},
        unlabelled=labels.count(()),
        empty=keys.count(""),
        repeated=len(keys) - len(labels_of),
        contradicting=sum(len(labels_of[key]) > 1 for key in keys),
        longest=lengths[longest],
        longest_at=rows.where(longest),
    )


def _texts(label: Any) -> tuple[str, ...]:
    """Return the texts of a row's label or labels, sorted."""
    return tuple(sorted(map(label_text, label if isinstance(label, list) else [label])))


def _shared(rows: Mapping[str, Rows]) -> dict[str, int]:
    keys = {name: [text_key(text) for text in part.texts] for name, part in rows.items()}
    seen = {name: set(texts) for name, texts in keys.items()}
    return {f"{one}, {other}": sum(key in seen[one] for key in keys[other]) for one, other in combinations(rows, 2)}
