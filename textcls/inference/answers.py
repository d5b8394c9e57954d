"""What classifying adds to the rows: labels, probabilities, remarks, and the count of it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textcls.data.blocks import MISSING, Block
from textcls.data.labels import Label, label_text
from textcls.errors import InputError
from textcls.fast import LINEAR, NETWORK
from textcls.storage import rows_at_once

_DIGITS = 6  # of a probability; float32 holds about seven
_MOST_ROWS = 8192  # of a block


class SomePredictions(Protocol):
    """What a predictor says of a block of texts."""

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Calibrated probabilities, float32 [n_texts, classes]."""

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Texts without a token, bool [n_texts]."""

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Texts that were cut, bool [n_texts]."""


class SomePredictor(Protocol):
    """Anything that classifies texts."""

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes by index."""

    @property
    def thresholds(self) -> NDArray[np.float32] | None:
        """With many labels a text, the probability from which each label is given, float32 [classes]; else None."""

    def encode(self, texts: Sequence[str], /) -> Any:
        """Return what `score` takes."""

    def score(self, encoded: Any, /) -> SomePredictions:
        """Classify encoded texts; another block may be encoded at the same time, in another thread."""


@dataclass
class Summary:
    """What happened to the rows.

    Attributes:
        rows: How many there were, and are in the output.
        counts: Rows by the text of their label, every label of the model among them; rows with an error have none. With many
            labels a text a row counts for each of its labels.
        unsure: Rows whose label was not probable enough.
        unlabelled: Rows without a label, where a text may have many.
        errors: Rows that could not be read: their label is empty and `error` says why.
        empty: Rows without a token in their text; they have the label that the model gives to nothing.
        truncated: Rows whose text was cut at the model's `text.max_tokens`.
        linear: Rows that n-grams answered alone; None where they were not asked.
        replaced: Rows with lone surrogates, which only JSON can write: U+FFFD stands for them in csv, tsv and Parquet.
        seconds: How long it took.
        notes: What the user should know: files left out, columns renamed.
    """

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    unsure: int = 0
    unlabelled: int = 0
    errors: int = 0
    empty: int = 0
    truncated: int = 0
    linear: int | None = None
    replaced: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


class Answers:
    """The columns that classifying adds.

    Args:
        predictor: What classifies: its labels, and their thresholds where a row may have many.
        top_k: How many labels a row gets, at most.
        all_scores: Whether every label's probability is given.
        min_confidence: A label less probable than this gives way to `unsure_label`.
        unsure_label: The label of such rows.
        by: Whether a column says who answered each row.

    Raises:
        InputError: One of them is out of its range, or `unsure_label` is a label of the model.
    """

    def __init__(
        self,
        predictor: SomePredictor,
        top_k: int = 1,
        all_scores: bool = False,
        min_confidence: float | None = None,
        unsure_label: str = "unsure",
        by: bool = False,
    ) -> None:
        labels, thresholds = predictor.labels, predictor.thresholds
        self.label_texts = [label_text(label) for label in labels]
        if not isinstance(all_scores, bool):
            raise InputError(f"all_scores is {all_scores!r}: give True or False")
        _check(top_k, min_confidence, unsure_label, self.label_texts, many=thresholds is not None)
        if not isinstance(by, bool):
            raise InputError(f"by is {by!r}: give True or False")
        if by and not getattr(predictor, "is_fast", False):
            raise InputError("who answered each row is told where n-grams may answer alone: ask for fast too")
        self._least, self._unsure = min_confidence, unsure_label
        kinds = set(map(type, labels)) | ({str} if min_confidence is not None else set())
        self.labels: list[Label] = list(labels if len(kinds) == 1 else self.label_texts)
        self.shown_labels = [*self.label_texts, *([unsure_label] if min_confidence is not None else [])]
        self._thresholds = thresholds
        self.list_names = [] if thresholds is None else ["labels", "confidences"]
        self.label_names = ["label", "confidence"] if thresholds is None or top_k > 1 else []
        for rank in range(2, min(top_k, len(labels)) + 1):
            self.label_names += [f"label_{rank}", f"confidence_{rank}"]
        self._score_names = [f"score:{text}" for text in self.label_texts] if all_scores else []
        self._by_names = ["by"] if by else []
        self.names = [*self.list_names, *self.label_names, *self._score_names, *self._by_names, "note", "error"]

    @property
    def block_rows(self) -> int:
        """The most rows of a block: each takes memory for every label."""
        return min(_MOST_ROWS, rows_at_once(len(self.labels)))

    def columns(self, predictions: SomePredictions, block: Block, summary: Summary) -> dict[str, list[Any]]:
        """Return the columns for a block and count its rows; `note` and `error` are there where a row has one."""
        probabilities = predictions.probabilities
        order, selected = self._order(probabilities), self._selected(probabilities)
        columns = self._lists(selected, order, probabilities)
        for rank, (label, confidence) in enumerate(zip(self.label_names[::2], self.label_names[1::2], strict=True)):
            best = order[:, rank]
            columns[label] = [self.labels[index] for index in best.tolist()]
            columns[confidence] = _rounded(np.take_along_axis(probabilities, best[:, None], axis=1)[:, 0]).tolist()
        columns |= {name: _rounded(probabilities[:, index]).tolist() for index, name in enumerate(self._score_names)}
        linear: NDArray[np.bool_] | None = getattr(predictions, "linear", None)
        if linear is not None:
            columns |= {name: np.where(linear, LINEAR, NETWORK).tolist() for name in self._by_names}
        failed = np.zeros(len(block), bool)
        failed[block.failed] = True
        if self._least is not None:
            unsure = _rounded(probabilities.max(axis=1)) < self._least  # rounded, as the user sees them
            columns["label"] = np.where(unsure, self._unsure, np.array(columns["label"], object)).tolist()
            selected[unsure] = False
            summary.unsure += int((unsure & ~failed).sum())
        for row in failed.nonzero()[0]:
            for values in columns.values():
                values[row] = None
        empty, truncated = predictions.empty & ~failed, predictions.truncated & ~failed
        if empty.any() or truncated.any():
            notes = np.where(empty, "empty", np.where(truncated, "truncated", "")).tolist()
            columns["note"] = [note or MISSING for note in notes]
        if block.faults:
            columns["error"] = [block.error(row) or MISSING for row in range(len(block))]
        counts = selected[~failed].sum(axis=0)
        if self._thresholds is not None:
            summary.unlabelled += int((~selected[~failed].any(axis=1)).sum())
        summary.counts.update(dict(zip(self.label_texts, counts.tolist(), strict=True)))
        if linear is not None:
            summary.linear = (summary.linear or 0) + int((linear & ~failed).sum())
        summary.rows += len(block)
        summary.errors += int(failed.sum())
        summary.empty += int(empty.sum())
        summary.truncated += int(truncated.sum())
        return columns

    def _order(self, probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the labels of each row, the most probable first and of equals the first, int64 [n, as many as are asked for]."""
        if self.list_names or len(self.label_names) > 2:
            return np.asarray(np.argsort(-probabilities, axis=1, kind="stable"))
        return np.asarray(probabilities.argmax(axis=1)[:, None])  # a tenth of the time, with many labels

    def _selected(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return whether each row gets each label, bool [n, classes]: the most probable one, or all that reach their threshold."""
        if self._thresholds is not None:
            return np.asarray(probabilities >= self._thresholds)
        return np.asarray(probabilities.argmax(axis=1)[:, None] == np.arange(len(self.labels)))

    def _lists(
        self, selected: NDArray[np.bool_], order: NDArray[np.int64], probabilities: NDArray[np.float32]
    ) -> dict[str, list[Any]]:
        """Return the columns of lists, where rows may have many labels."""
        if not self.list_names:
            return {}
        rows, ranks = np.take_along_axis(selected, order, axis=1).nonzero()  # by row, the most probable first
        chosen = order[rows, ranks]
        labels, confidences = [self.labels[index] for index in chosen.tolist()], _rounded(probabilities[rows, chosen]).tolist()
        bounds = list(pairwise(np.searchsorted(rows, np.arange(len(order) + 1)).tolist()))
        lists = ([values[start:end] for start, end in bounds] for values in (labels, confidences))
        return dict(zip(self.list_names, lists, strict=True))


def _rounded(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return probabilities as they are written."""
    return np.asarray(np.round(probabilities.astype(np.float64), _DIGITS), np.float64)


def _check(top_k: int, min_confidence: float | None, unsure_label: str, labels: Sequence[str], *, many: bool) -> None:
    """Make sure that what was asked for makes sense."""
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        raise InputError(f"the number of labels for each row must be a whole number, at least 1, not {top_k!r}")
    if min_confidence is None:
        return
    if many:
        raise InputError(
            "the least confidence is for models that give a text one label; this one has a threshold for each label"
        )
    if not isinstance(min_confidence, int | float) or isinstance(min_confidence, bool) or not 0 < min_confidence <= 1:
        raise InputError(f"the least confidence is a probability, above 0 and at most 1, not {min_confidence!r}")
    if unsure_label in labels:
        raise InputError(f"{unsure_label!r} is a label of the model; name another one for rows that are unsure")


class Names:
    """What the input's columns are called in the output: as before, but for those that have a name of ours.

    Attributes:
        renamed: The new name of each column that has one.
    """

    def __init__(self, ours: Iterable[str]) -> None:
        self._ours = frozenset(ours)
        self.renamed: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns have another name in the output."""
        return tuple(f"the input's column {old} is named {new} in the output" for old, new in self.renamed.items())

    def in_output(self, columns: Collection[str]) -> list[str]:
        """Return the name in the output of each column."""
        for name in columns:
            if name not in self.renamed and (name in self._ours or name in self.renamed.values()):
                new = f"input_{name}"
                while new in columns or new in self._ours or new in self.renamed.values():
                    new = f"input_{new}"
                self.renamed[name] = new
        return [self.renamed.get(name, name) for name in columns]
