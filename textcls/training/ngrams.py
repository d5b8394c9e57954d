"""Fitting the linear classifier beside the network, on words and pairs of words: in seconds, once the network is trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.config import TrainingSettings
from textcls.evaluation import Targets
from textcls.model import Ngrams, pack
from textcls.model.ngrams import slots_of
from textcls.model.packing import batches_of_tokens
from textcls.text import UNK, Encoded
from textcls.training.batches import LabelledSplit

MOST_TOKENS = 1 << 23  # to fit on: their features take about 600 MB while the machines learn
FEWEST_SLOTS, MOST_SLOTS = 1 << 12, 1 << 22
TABLE_BYTES = 16_000_000  # of the table at most, where its size is settled here
_VALUE_BYTES = 2
_MOST_SHARING = 8  # words and pairs on a row
_BLOCK_TOKENS = 1 << 18
_NEVER = -1.0  # what a machine says of a text that is surely of another class
_ONE_LABEL, _MANY_LABELS = 1.0, 0.1  # C; what `textcls.evaluation.baselines` gives the same machines


@dataclass(frozen=True)
class Linear:
    """A linear classifier over hashed words and pairs of words.

    Attributes:
        table: Scores by slot, inverse document frequencies included, float64 [slots, classes].
        bias: Float64 [classes].
    """

    table: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, encoded: Encoded, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return its scores of some texts, float64 [rows, classes]; of all of them where `rows` is None."""
        rows = np.arange(len(encoded)) if rows is None else rows
        return np.asarray(_by_root(counts_of(encoded, rows, len(self.table))) @ self.table + self.bias)

    def module(self, factor: float, intercepts: NDArray[np.float64], max_tokens: int) -> Ngrams:
        """Return it as a part of the network for texts of `max_tokens`, its scores times a factor, with intercepts."""
        return Ngrams.of(factor * self.table, factor * self.bias + intercepts, max_tokens)


Linears = dict[tuple[int | str, str, int], Linear]
"""Linear classifiers of the same rows, by the settings they depend on: slots, class weights and seed."""


@dataclass(frozen=True)
class Examples:
    """Texts as counts: what a linear classifier learns from.

    Attributes:
        counts: How often each text has each slot, scipy's sparse array [n, slots].
        targets: The class of each, int64 [n], or whether it has each label, bool [n, classes].
        weights: What each weighs, float64 [n]; None where all weigh the same.
    """

    counts: Any
    targets: Targets
    weights: NDArray[np.float64] | None

    def __add__(self, other: Examples) -> Examples:
        from scipy.sparse import vstack

        weights = None
        if self.weights is not None or other.weights is not None:
            weights = np.concatenate([one.weighing for one in (self, other)])
        counts = vstack([self.counts, other.counts], format="csr")
        return Examples(counts, np.concatenate([self.targets, other.targets]), weights)

    @property
    def weighing(self) -> NDArray[np.float64]:
        """What each text weighs, float64 [n]."""
        return np.ones(len(self.targets)) if self.weights is None else self.weights


def settled_slots(train: LabelledSplit) -> int:
    """Return the rows of the table for some texts: twice their different words and pairs, so that few of them share one.

    It is a power of two, and no more than what makes the table 16 MB; 0 where a row would then be shared by too many.
    """
    found = distinct(train.encoded)
    most = 1 << (TABLE_BYTES // (_VALUE_BYTES * len(train.labels))).bit_length() - 1
    if found > _MOST_SHARING * most:
        return 0
    return min(max(1 << (2 * found - 1).bit_length(), FEWEST_SLOTS), most, MOST_SLOTS)


def distinct(encoded: Encoded) -> int:
    """Return how many different words, and pairs of neighbouring words, texts have; those that are not known do not count."""
    ids = encoded.ids.astype(np.int64)
    known = ids > UNK
    within = np.ones(len(ids), np.bool_)
    within[encoded.offsets[1:] - 1] = False  # the last word of a text has no next
    pair = np.flatnonzero(known[:-1] & known[1:] & within[:-1])
    pairs = np.unique(ids[pair] * (int(ids.max(initial=0)) + 1) + ids[pair + 1])
    return len(np.unique(ids[known])) + len(pairs)


def examples(split: LabelledSplit, rows: NDArray[np.int64], slots: int) -> Examples:
    """Return some rows of a split."""
    weights = None if split.weights is None else split.weights[rows]
    return Examples(counts_of(split.encoded, rows, slots), split.targets[rows], weights)


def rows_to_fit(split: LabelledSplit, draw: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows to learn from: those that weigh something, or as many at random as `MOST_TOKENS` allows."""
    weighing = np.arange(len(split.encoded)) if split.weights is None else np.flatnonzero(split.weights)
    return weighing[sample(split.encoded.lengths[weighing], draw)]


def sample(lengths: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows to fit: all of them, or so many at random that their features take no more than some hundred megabytes."""
    order = draw.permutation(len(lengths))
    return np.sort(order[: max(1, int(np.searchsorted(np.cumsum(lengths[order]), MOST_TOKENS, side="right")))])


def fit_linear(given: Examples, labels: tuple[str, ...], settings: TrainingSettings) -> Linear:
    """Fit linear support vector machines, one against the rest, on hashed words and pairs of words.

    A text's features are its counts, each times its inverse document frequency, over the square root of their number. A text that
    weighs 2 is the same as one that stands there twice.

    Args:
        given: The texts and their labels.
        labels: Text of each class.
        settings: Class weights, and the seed of the order in which the solver visits the rows.

    Returns:
        A class that none of the rows has is never likely; with many labels, one that all or none have scores nothing. Without a
        word in any of the rows nothing else is learnt.
    """
    from scipy.sparse import diags_array

    counts, targets, weights = given.counts, given.targets, settings.class_weights
    slots, classes = counts.shape[1], len(labels)
    of_counts = np.repeat(given.weighing, np.diff(counts.indptr))
    rarity = np.log((1 + given.weighing.sum()) / (1 + np.bincount(counts.indices, of_counts, minlength=slots))) + 1
    if counts.nnz:  # so that a text's features have a length of about 1
        rarity /= np.average(rarity[counts.indices], weights=counts.data * of_counts)
    used = np.unique(counts.indices) if counts.nnz else np.arange(1)  # the others are zero
    features = _by_root(counts)[:, used] @ diags_array(rarity[used])
    table, bias = np.zeros((slots, classes)), np.zeros(classes)
    if targets.ndim == 2:
        for label, has in enumerate(targets.T):
            of_label = {1: weights[labels[label]]} if isinstance(weights, dict) else weights
            if has.any() and not has.all():
                found, bias[[label]] = _machines(features, has, _MANY_LABELS, of_label, settings.seed, given.weights)
                table[used, label] = found[:, 0]
    else:
        of_classes = {number: weights[label] for number, label in enumerate(labels)} if isinstance(weights, dict) else weights
        seen = np.unique(targets)
        bias[:] = _NEVER
        if len(seen) > 1:
            found, bias[seen] = _machines(features, targets, _ONE_LABEL, of_classes, settings.seed, given.weights)
            table[used[:, None], seen] = found
    return Linear(table * rarity[:, None], bias)


def _machines(
    features: Any, targets: NDArray[Any], c: float, weights: Any, seed: int, of_rows: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights [slots, classes] and biases [classes] of machines, one for each class; of a yes or no that for yes alone."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    found, places = np.unique(targets, return_inverse=True)
    if weights == "balanced" and of_rows is not None:
        weights = dict(zip(found.tolist(), of_rows.sum() / (len(found) * np.bincount(places, of_rows)), strict=True))
    classes = 1 if targets.dtype == np.bool_ else len(found)
    np.empty(2 * features.shape[1] * classes + 2 * features.nnz)  # what liblinear takes, which does not look whether it got it
    machine = LinearSVC(C=c, class_weight=None if weights == "none" else weights, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what a thousand passes give is as good a classifier
        warnings.filterwarnings(
            "ignore", "The number of unique classes"
        )  # many labels, few texts: these are classes all the same
        machine.fit(features, targets, sample_weight=of_rows)
    table, bias = machine.coef_.T, machine.intercept_
    if len(machine.classes_) == 2 and targets.dtype != np.bool_:  # one machine tells them apart
        return np.hstack([-table, table]), np.concatenate([-bias, bias])
    return table, bias


def counts_of(encoded: Encoded, rows: NDArray[np.int64], slots: int) -> Any:
    """Return how often some texts have each slot but the first, scipy's sparse array, float64 [rows, slots]."""
    from scipy.sparse import csr_array

    places, columns = [], []
    for some in batches_of_tokens(encoded.lengths[rows], _BLOCK_TOKENS):
        found = slots_of(pack(encoded.ids, encoded.offsets, rows[some]).ids.T, slots).numpy()
        place, column = np.nonzero(found)
        places.append(some[place].astype(np.int32))
        columns.append(found[place, column].astype(np.int32))
    place, column = np.concatenate(places), np.concatenate(columns)
    counts = csr_array((np.ones(len(place)), (place, column)), shape=(len(rows), slots))
    counts.sum_duplicates()
    return counts


def _by_root(counts: Any) -> Any:
    """Return counts over the square root of their sum in each text."""
    from scipy.sparse import diags_array

    return diags_array(1 / np.sqrt(np.maximum(counts.sum(axis=1), 1))) @ counts
