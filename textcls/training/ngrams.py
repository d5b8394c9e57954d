"""Fitting the linear classifier beside the network, and settling how much it says: in seconds, once the network is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textcls.config import TrainingSettings
from textcls.evaluation import fit_mixture
from textcls.model import Network, Ngrams, pack
from textcls.model.ngrams import slots_of
from textcls.model.packing import batches_of_tokens
from textcls.text import Encoded
from textcls.training.batches import LabelledSplit
from textcls.training.events import Event, Note

MOST_TOKENS = 1 << 23  # to fit on: their features take about 600 MB while the machines learn
_MOST_JUDGES = 20_000  # validation rows that settle two or few numbers
_BLOCK_TOKENS = 1 << 18
_NEVER = -1.0  # what a machine says of a text that is surely of another class
_ONE_LABEL, _MANY_LABELS = 1.0, 0.1  # C; what `textcls.evaluation.baselines` gives the same machines


def add_ngrams(
    network: Network,
    train: LabelledSplit,
    validation: LabelledSplit,
    logits: NDArray[np.float32],
    slots: int,
    settings: TrainingSettings,
) -> Iterator[Event]:
    """Fit the linear classifier and put it beside a trained network, with the weight that is best on the validation rows.

    Args:
        network: Without n-grams so far.
        train: The rows to learn from.
        validation: The rows that settle the weight.
        logits: The network's, of the validation rows, float32 [n, classes].
        slots: Rows of the table.
        settings: Class weights, and the seed.

    Yields:
        Notes before and after.

    Raises:
        MemoryError: The table or the features do not fit; the network is as it was.
        RuntimeError: They do not fit on the network's device; the network is as it was.
    """
    draw = np.random.default_rng(settings.seed)
    weighing = np.arange(len(train.encoded)) if train.weights is None else np.flatnonzero(train.weights)
    rows = weighing[sample(train.encoded.lengths[weighing], draw)]
    of_all = "" if len(rows) == len(train.encoded) else f" of {len(rows):,} of the {len(train.encoded):,} texts"
    yield Note(f"n-grams: fitting a linear classifier to words and pairs of words{of_all}, {slots:,} slots")
    table, bias = fit_ngrams(train, rows, slots, settings)
    judges = np.sort(draw.permutation(len(validation.encoded))[:_MOST_JUDGES])
    logits, targets = logits[judges], validation.targets[judges]
    scores = _by_root(counts_of(validation.encoded, judges, slots)) @ table + bias
    known = targets[:, : len(bias)].astype(np.bool_) if validation.many else targets.astype(np.int64)
    of_network, of_ngrams, intercepts = fit_mixture(logits, scores, known)
    ngrams = Ngrams(slots, len(bias))
    ngrams.weight.copy_(torch.from_numpy(of_ngrams * table))
    ngrams.bias.copy_(torch.from_numpy(of_ngrams * bias + intercepts))
    network.ngrams = ngrams.to(network.classifier.weight.device)
    with torch.no_grad():
        for parameter in network.classifier.parameters():
            parameter.mul_(of_network)
    spreads = of_network * logits.std(axis=0).mean(), of_ngrams * scores.std(axis=0).mean()
    if any(spreads):
        yield Note(f"n-grams: they join the network and make {spreads[1] / sum(spreads):.0%} of the differences between texts")


def sample(lengths: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows to fit: all of them, or so many at random that their features take no more than some hundred megabytes."""
    order = draw.permutation(len(lengths))
    return np.sort(order[: max(1, int(np.searchsorted(np.cumsum(lengths[order]), MOST_TOKENS, side="right")))])


def fit_ngrams(
    train: LabelledSplit, rows: NDArray[np.int64], slots: int, settings: TrainingSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit linear support vector machines, one against the rest, on hashed words and pairs of words.

    A text's features are its counts, each times its inverse document frequency, over the square root of their number. A text that
    weighs 2 is the same as one that stands there twice.

    Args:
        train: The texts and their labels.
        rows: Those to learn from.
        slots: Rows of the table.
        settings: Class weights, and the seed of the order in which the solver visits the rows.

    Returns:
        Scores by slot, inverse document frequencies included, float64 [slots, classes], and the bias of each class, float64
        [classes]. A class that none of the rows has is never likely; with many labels, one that all or none have scores nothing.
    """
    from scipy.sparse import diags_array

    classes, given = len(train.labels), settings.class_weights
    counts, targets = counts_of(train.encoded, rows, slots), train.targets[rows]
    of_rows = None if train.weights is None else train.weights[rows]
    texts = np.ones(len(rows)) if of_rows is None else of_rows
    of_counts = np.repeat(texts, np.diff(counts.indptr))
    rarity = np.log((1 + texts.sum()) / (1 + np.bincount(counts.indices, of_counts, minlength=slots))) + 1
    if counts.nnz:  # so that a text's features have a length of about 1
        rarity /= np.average(rarity[counts.indices], weights=counts.data * of_counts)
    features = _by_root(counts) @ diags_array(rarity)
    table, bias = np.zeros((slots, classes)), np.zeros(classes)
    if train.many:
        for label, has in enumerate(targets.T):
            weights = {1: given[train.labels[label]]} if isinstance(given, dict) else given
            if has.any() and not has.all():
                table[:, [label]], bias[[label]] = _machines(features, has, _MANY_LABELS, weights, settings.seed, of_rows)
    else:
        weights = {number: given[label] for number, label in enumerate(train.labels)} if isinstance(given, dict) else given
        found = np.unique(targets)
        bias[:] = _NEVER
        if len(found) > 1:
            table[:, found], bias[found] = _machines(features, targets, _ONE_LABEL, weights, settings.seed, of_rows)
    return table * rarity[:, None], bias


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
    machine = LinearSVC(C=c, class_weight=None if weights == "none" else weights, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what a thousand passes give is as good a classifier
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
        found = slots_of(pack(encoded.ids, encoded.offsets, rows[some]).padded_ids(), slots).numpy()
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
