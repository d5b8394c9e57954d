"""What follows the loop: the linear classifier beside the network, calibration, thresholds, and what validation says of it all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textcls.config import Config
from textcls.errors import TrainingError, is_out_of_memory
from textcls.evaluation import (
    Mixture,
    Targets,
    evaluate,
    evaluate_blocks,
    fit_mixture,
    fit_temperature,
    fit_temperature_multi,
    probabilities_of,
)
from textcls.fast import FastWay, LinearHalf
from textcls.model import Network
from textcls.storage import row_blocks
from textcls.training.batches import LabelledSplit
from textcls.training.events import Event, Note
from textcls.training.fast import BothHalves, cost, settle, told
from textcls.training.ngrams import Linear, Linears, examples, fit_linear, rows_to_fit, settled_slots
from textcls.training.scoring import best_thresholds, score

_MOST_JUDGES, _FEW_JUDGES = 20_000, 1_000  # validation rows that settle two or few numbers
_MOST_SCORES = 5_000_000  # of these rows, unless they are few
_DEFAULT_THRESHOLD = 0.5  # where no validation rows tell a better one
_BASELINE = ("accuracy", "macro_f1", "micro_f1", "weighted_f1")


@dataclass(frozen=True)
class Baselines:
    """What is compared with the model on the rows of a split.

    Attributes:
        linear: The linear classifier of the training rows alone; None where the model has none.
        thresholds: Its own, of calibrated probabilities, float32 [classes]; None with one label a text.
        mixture: Calibrates it: the factor is the second one.
        majority: What `most_frequent` gives of the training rows.
    """

    linear: Linear | None
    thresholds: NDArray[np.float32] | None
    mixture: Mixture
    majority: NDArray[np.int64]

    def report(self, split: LabelledSplit) -> dict[str, dict[str, float]]:
        """Return the metrics of `linear` and `majority` on a split."""
        reports = {"majority": self._evaluated(split, self._constant, 0.5)}
        if (linear := self.linear) is not None:
            reports = {"linear": self._evaluated(split, partial(self._linear, linear, split), self.thresholds), **reports}
        return {name: {key: report[key] for key in _BASELINE} for name, report in reports.items()}

    def _evaluated(
        self,
        split: LabelledSplit,
        of: Callable[[NDArray[np.int64]], NDArray[np.float32]],
        cut: float | NDArray[np.float32] | None,
    ) -> dict[str, Any]:
        """Evaluate the probabilities that some rows have, block by block."""
        classes = len(self.mixture.intercepts)
        blocks = ((of(rows), split.targets[rows]) for rows in map(_numbers, row_blocks(len(split.targets), classes)))
        return evaluate_blocks(blocks, split.labels, np.full(classes, cut, np.float32) if split.many else None)

    def _constant(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        answers = np.zeros((len(rows), len(self.mixture.intercepts)), np.float32)
        answers[:, self.majority] = 1
        return answers

    def _linear(self, linear: Linear, split: LabelledSplit, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.probabilities(linear.logits(split.encoded, rows), many=split.many).astype(np.float32)

    def probabilities(self, logits: NDArray[np.float64], *, many: bool) -> NDArray[np.float64]:
        """Return the linear classifier's calibrated probabilities of its logits, [n, classes]."""
        return probabilities_of(self.mixture.logits(np.zeros_like(logits), logits), many=many)


@dataclass(frozen=True)
class Finished:
    """What validation rows settled.

    Attributes:
        temperature: What logits are divided by.
        thresholds: With many labels a text, of each label, float32 [classes].
        probabilities: Calibrated, of the validation rows before the refit, float64 [n, classes]; None without such rows.
        metrics: Of the same.
        baselines: What the test rows are compared with too.
        refitted: Rows that the linear classifier was fitted to in the end, where it was fitted again.
        failure: What kept n-grams from being fitted.
        fast: When n-grams answer a text alone, as it was settled before the refit.
    """

    temperature: float
    thresholds: NDArray[np.float32] | None
    probabilities: NDArray[np.float64] | None
    metrics: dict[str, Any]
    baselines: Baselines
    refitted: int = 0
    failure: TrainingError | None = None
    fast: FastWay | None = None


def finish(
    network: Network,
    train: LabelledSplit,
    validation: LabelledSplit,
    config: Config,
    *,
    refit: bool,
    known: Linears | None = None,
) -> Generator[Event, None, Finished]:
    """Put the linear classifier beside a trained network, calibrate both together and evaluate them.

    Args:
        network: Without n-grams so far.
        train: The rows that it learned from.
        validation: The rows that settle factors, temperature and thresholds.
        config: The settings.
        refit: Fit the linear classifier in the end to train and validation together: factors, temperature and thresholds stay,
            and so does all that is reported.
        known: Linear classifiers that were fitted to `train` before, and need not be again; this one joins them.

    Yields:
        Notes.
    """
    logits, draw, failure = score(network, validation.encoded), np.random.default_rng(config.training.seed), None
    half = None
    try:
        half = yield from _linear_half(train, validation, logits, config, draw, {} if known is None else known)
        if half is not None:
            _place(network, half.linear, half.mixture, config.text.max_tokens)
            with torch.no_grad():
                for parameter in network.classifier.parameters():
                    parameter.mul_(half.mixture.first)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        half, failure = None, TrainingError("out of memory while n-grams were fitted: lower model.ngram_slots")
    temperature = 1.0  # which the mixture has settled
    if half is None:
        temperature = _temperature(logits, validation)
    else:
        logits = score(network, validation.encoded)
    probabilities = probabilities_of(logits, temperature, many=train.many)
    thresholds = best_thresholds(probabilities, validation)
    baselines = _baselines(half, train)
    metrics = report_of(probabilities, validation, thresholds) | baselines.report(validation)
    done = Finished(temperature, thresholds, probabilities, metrics, baselines, failure=failure)
    if half is not None and len(train.labels) >= 2 - train.many:
        both = halves(network, validation, probabilities, thresholds)
        if (way := (yield from settle(both, config.model.fast_agreement))) is not None:
            metrics["fast"] = cost(both, way)
            yield told(metrics["fast"], len(probabilities))
            done = replace(done, fast=way)
    if half is None or not refit:
        return done
    try:
        linear, rows = _fitted_again(train, validation, config, len(half.linear.table), draw)
    except MemoryError:
        yield Note("n-grams: there is no memory to fit them once more to validation rows too, so they stay as they are")
        return done
    _place(network, linear, half.mixture, config.text.max_tokens)
    yield Note(f"n-grams: fitted once more, to {rows:,} rows of train and validation; what is reported comes from before")
    return replace(done, refitted=rows)


def halves(
    network: Network, split: LabelledSplit, probabilities: NDArray[np.float64], thresholds: NDArray[np.float32] | None
) -> BothHalves:
    """Return a split beside what both halves of a network say of it; the arguments are those of `BothHalves`."""
    assert network.ngrams is not None
    assert network.ngrams.scale is not None
    arrays = (tensor.cpu().numpy() for tensor in (network.ngrams.weight, network.ngrams.scale, network.ngrams.bias))
    return BothHalves(split, LinearHalf(*arrays), probabilities, thresholds)


def unsettled(train: LabelledSplit) -> Finished:
    """Return what holds where no validation rows settle anything."""
    thresholds = np.full(len(train.labels), _DEFAULT_THRESHOLD, np.float32) if train.many else None
    return Finished(1.0, thresholds, None, {}, Baselines(None, None, _nothing(train), most_frequent(train)))


@dataclass(frozen=True)
class _Half:
    """The linear classifier, what it and the network weigh together, and what it says of the rows that settled this."""

    linear: Linear
    mixture: Mixture
    judged: LabelledSplit  # whose texts are not asked for
    scores: NDArray[np.float64]


def linear_of(
    train: LabelledSplit, config: Config, draw: np.random.Generator, known: Linears
) -> Generator[Event, None, Linear | None]:
    """Fit the linear classifier, which does not depend on the network.

    Args:
        train: The rows to learn from.
        config: The settings.
        draw: Draws the rows, where they are too many; it stands the same afterwards, whether the classifier was known or not.
        known: Those that were fitted to the same rows before, from which it is taken, or which it joins.

    Yields:
        A note, where it is fitted or left out.

    Returns:
        It; None where n-grams are left out.
    """
    asked, rows = config.model.ngram_slots, rows_to_fit(train, draw)
    slots = settled_slots(train) if asked == "auto" else asked
    if not slots:
        if asked:
            yield Note(f"n-grams are left out: their table would be too large with {len(train.labels):,} labels")
        return None
    key = slots, repr(config.training.class_weights), config.training.seed
    if key not in known:
        of_all = "" if len(rows) == len(train.encoded) else f" of {len(rows):,} of the {len(train.encoded):,} texts"
        yield Note(f"n-grams: fitting a linear classifier to words and pairs of words{of_all}, {slots:,} slots")
        known[key] = fit_linear(examples(train, rows, slots), train.labels, config.training)
    return known[key]


def _linear_half(
    train: LabelledSplit,
    validation: LabelledSplit,
    logits: NDArray[np.float32],
    config: Config,
    draw: np.random.Generator,
    known: Linears,
) -> Generator[Event, None, _Half | None]:
    """Fit the linear classifier, and find what it and the network weigh together; None where n-grams are left out."""
    linear, classes = (yield from linear_of(train, config, draw, known)), len(train.labels)
    if linear is None:
        return None
    judges = np.sort(draw.permutation(len(validation.encoded))[: min(_MOST_JUDGES, max(_FEW_JUDGES, _MOST_SCORES // classes))])
    judged = replace(validation, targets=validation.targets[judges])
    logits, scores = logits[judges], linear.logits(validation.encoded, judges)
    name = config.training.label_metric(train.many)

    def quality(mixed: NDArray[np.float64]) -> float:
        probabilities = probabilities_of(mixed, many=train.many)
        return float(evaluate(probabilities, judged.targets, validation.labels, best_thresholds(probabilities, judged))[name])

    mixture = fit_mixture(logits, scores, _known(judged.targets, classes), quality)
    spreads = mixture.first * logits.std(axis=0).mean(), mixture.second * scores.std(axis=0).mean()
    if any(spreads):
        yield Note(f"n-grams: they join the network and make {spreads[1] / sum(spreads):.0%} of the differences between texts")
    return _Half(linear, mixture, judged, scores)


def _place(network: Network, linear: Linear, mixture: Mixture, max_tokens: int) -> None:
    network.ngrams = linear.module(mixture.second, mixture.intercepts, max_tokens).to(network.classifier.weight.device)


def _fitted_again(
    train: LabelledSplit, validation: LabelledSplit, config: Config, slots: int, draw: np.random.Generator
) -> tuple[Linear, int]:
    """Fit the linear classifier to train and validation together; return it, and on how many rows."""
    classes, rows = len(train.labels), rows_to_fit(validation, draw)
    if train.many:
        known = replace(validation, targets=validation.targets[:, :classes])
    else:
        known, rows = validation, rows[validation.targets[rows] < classes]
    both = examples(train, rows_to_fit(train, draw), slots) + examples(known, rows, slots)
    return fit_linear(both, train.labels, config.training), len(both.targets)


def _baselines(half: _Half | None, train: LabelledSplit) -> Baselines:
    """Return what the model is compared with: the linear classifier calibrated by itself, and the most frequent answer."""
    if half is None:
        return Baselines(None, None, _nothing(train), most_frequent(train))
    scores, targets = half.scores, _known(half.judged.targets, len(train.labels))
    alone = fit_mixture(np.zeros_like(scores), scores, targets)
    alone = alone if alone.second else Mixture(1.0, 1.0, alone.intercepts)
    baselines = Baselines(half.linear, None, alone, most_frequent(train))
    if not train.many:
        return baselines
    return replace(baselines, thresholds=best_thresholds(baselines.probabilities(scores, many=True), half.judged))


def _nothing(train: LabelledSplit) -> Mixture:
    return Mixture(1.0, 0.0, np.zeros(len(train.labels)))


def most_frequent(train: LabelledSplit) -> NDArray[np.int64]:
    """Return the most frequent class of some rows, [1]; with many labels the classes of the most frequent set of labels, [n]."""
    if not train.many:
        return np.array([np.bincount(train.targets.astype(np.int64)).argmax()])
    sets, counts = np.unique(np.packbits(train.targets, axis=1), axis=0, return_counts=True)
    return np.flatnonzero(np.unpackbits(sets[counts.argmax()], count=train.targets.shape[1]))


def _numbers(rows: slice) -> NDArray[np.int64]:
    return np.arange(rows.start, rows.stop)


def _known(targets: Targets, classes: int) -> Targets:
    """Return the targets as what settles factors takes them."""
    return targets[:, :classes].astype(np.bool_) if targets.ndim == 2 else targets.astype(np.int64)


def _temperature(logits: NDArray[np.float32], split: LabelledSplit) -> float:
    if split.many:
        return fit_temperature_multi(logits, split.targets[:, : logits.shape[1]].astype(np.bool_))
    return fit_temperature(logits, split.targets.astype(np.int64))


def report_of(
    probabilities: NDArray[np.float64], split: LabelledSplit, thresholds: NDArray[np.float32] | None
) -> dict[str, Any]:
    """Evaluate in single precision, as a loaded model gives its probabilities: the log loss of a sure error depends on it."""
    blocks = ((probabilities[rows].astype(np.float32), split.targets[rows]) for rows in row_blocks(*probabilities.shape))
    return evaluate_blocks(blocks, split.labels, thresholds)
