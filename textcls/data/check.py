"""Looking at a data set before training: what was read and how, how the labels are spread, and what is likely to be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, combinations, islice
from typing import Any

from textcls.config import DataSettings
from textcls.data.labels import label_text, likeness, sorted_texts
from textcls.data.rows import Rows
from textcls.data.splits import load_splits, text_key

_SHOWN_ROWS = 2
_TOKENIZED = 20_000  # texts that tokens are counted in
_RARE = 2  # rows of a class that is too small to learn


@dataclass(frozen=True)
class SplitReport:
    """What one split holds.

    Attributes:
        rows: Number of rows.
        labels: Rows of each label, in the order of the label set; a row with several labels counts for each.
        unlabelled: Rows without a label, which many-label data may have.
        missing: Rows that were left out because they lack a label, those of splits cut from train among train's.
        empty: Rows whose text is empty or white space.
        repeated: Rows whose text already stood in an earlier row of the split.
        contradicting: Rows whose text stands in the split with another label too.
        broken: Rows whose text holds the file's separator and a new line: perhaps several rows that a quote holds together.
        longest: Characters of the longest text.
        longest_at: Where that text stands.
        first: The first rows as they were read: `at`, `text` and `label`, or `labels`.
        files: How each table was read: `file`, `format`, `columns`, and what else there is to say of the format.
    """

    rows: int
    labels: dict[str, int]
    unlabelled: int
    missing: int
    empty: int
    repeated: int
    contradicting: int
    broken: int
    longest: int
    longest_at: str
    first: list[dict[str, Any]]
    files: list[dict[str, object]]


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        splits: A report for each split there is, by name.
        shared: For each two splits, such as `train, test`: rows of the second whose text also stands in the first.
        unseen_labels: For validation and test, the labels that train does not have.
        alike: Labels that differ in case, blanks, hyphens and underscores alone, or are one number in two spellings.
        rare: The labels of which train has a row or two.
        seen_once: Share of train's different tokens that occur once, in at most 20,000 texts; None where nothing counted them.
        script: What is doubtful about train's script; None where nothing is, or nobody looked.
        files: What was read for each split, with SHA-256 sums.
        notes: What a person should know, a sentence each.
    """

    splits: dict[str, SplitReport]
    shared: dict[str, int]
    unseen_labels: dict[str, list[str]]
    alike: list[list[str]]
    rare: list[str]
    seen_once: float | None
    script: str | None
    files: dict[str, list[dict[str, object]]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain dictionaries and lists, ready for JSON."""
        return {**asdict(self), "notes": list(self.notes)}


def check(
    settings: DataSettings,
    tokens: Callable[[str], Iterable[str]] | None = None,
    script: Callable[[Iterable[str]], str | None] = lambda _texts: None,
) -> CheckReport:
    """Read the splits as training would, rows without a label left out, and report on them.

    Args:
        settings: Where the rows are.
        tokens: Takes a text apart, to see whether the tokenizer fits the language.
        script: Says what is doubtful about the script of the training texts.

    Raises:
        ConfigError: `data.train` is not set.
        DataError: A source cannot be read, or its rows cannot be used.
        MissingPackageError: A `package:` is not installed.
    """
    splits = load_splits(settings.model_copy(update={"missing_labels": "skip"}))
    named: dict[str, Rows | None] = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    rows = {name: part for name, part in named.items() if part is not None}
    reports = {name: _report(part, cut=name in splits.cut and name != "train") for name, part in rows.items()}
    known = reports["train"].labels
    unseen = {name: [label for label in report.labels if label not in known] for name, report in reports.items()}
    return CheckReport(
        splits=reports,
        shared=_shared(rows),
        unseen_labels={name: labels for name, labels in unseen.items() if labels},
        alike=_alike(dict.fromkeys(chain.from_iterable(report.labels for report in reports.values()))),
        rare=[label for label, count in known.items() if count <= _RARE],
        seen_once=None if tokens is None else _seen_once(splits.train.texts, tokens),
        script=script(splits.train.texts),
        files=splits.files,
        notes=splits.notes,
    )


def _report(rows: Rows, *, cut: bool) -> SplitReport:
    labels = [_texts(label) for label in rows.labels]
    counts = Counter(chain.from_iterable(labels))
    keys = [text_key(text) for text in rows.texts]
    labels_of: dict[str, set[tuple[str, ...]]] = {}
    for key, texts in zip(keys, labels, strict=True):
        if key:
            labels_of.setdefault(key, set()).add(texts)
    lengths = [len(text) for text in rows.texts]
    longest = max(range(len(rows)), key=lengths.__getitem__)
    empty = keys.count("")
    read = None if cut else rows.report
    return SplitReport(
        rows=len(rows),
        labels={text: counts[text] for text in sorted_texts(counts)},
        unlabelled=labels.count(()),
        missing=read.missing if read else 0,
        empty=empty,
        repeated=len(keys) - empty - len(labels_of),
        contradicting=sum(len(labels_of.get(key, ())) > 1 for key in keys),
        broken=_broken(rows),
        longest=lengths[longest],
        longest_at=rows.where(longest),
        first=[_row(rows, index) for index in range(min(_SHOWN_ROWS, len(rows)))],
        files=read.files if read else [],
    )


def _row(rows: Rows, index: int) -> dict[str, Any]:
    label = rows.labels[index]
    return {"at": rows.where(index), "text": rows.texts[index], "labels" if isinstance(label, list) else "label": label}


def _broken(rows: Rows) -> int:
    """Count the texts that hold the separator of their file and a new line."""
    files = rows.report.files if rows.report else []
    separators = {str(file["file"]): str(file["delimiter"]) for file in files if "delimiter" in file}
    by_source = [separators.get(name) for name in rows.sources]
    if not any(by_source):
        return 0
    wanted = (by_source[source] for source in rows.source.tolist())
    return sum(
        separator is not None and "\n" in text and separator in text for separator, text in zip(wanted, rows.texts, strict=True)
    )


def _texts(label: Any) -> tuple[str, ...]:
    """Return the texts of a row's label or labels, sorted."""
    return tuple(sorted(map(label_text, label if isinstance(label, list) else [label])))


def _alike(labels: Iterable[str]) -> list[list[str]]:
    """Group the labels that a person would take for one."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(likeness(label) or label, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _seen_once(texts: Iterable[str], tokens: Callable[[str], Iterable[str]]) -> float:
    counts = Counter(chain.from_iterable(map(tokens, islice(texts, _TOKENIZED))))
    return sum(count == 1 for count in counts.values()) / max(1, len(counts))


def _shared(rows: Mapping[str, Rows]) -> dict[str, int]:
    keys: dict[str, Sequence[str]] = {name: [text_key(text) for text in part.texts] for name, part in rows.items()}
    seen = {name: set(texts) - {""} for name, texts in keys.items()}
    return {f"{one}, {other}": sum(key in seen[one] for key in keys[other]) for one, other in combinations(rows, 2)}
