"""What a network learns from: the loss of a batch, and what classes and rows weigh in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from textcls.config import TrainingSettings
from textcls.errors import ConfigError
from textcls.evaluation import Targets
from textcls.training.batches import LabelledSplit

_MOST_WEIGHT = 20  # of having a label, where balanced: the few texts of a rare one would else outweigh all others


def loss_of(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    smoothing: float,
    reduction: Literal["mean", "sum"] = "mean",
    *,
    of_row: Tensor | None = None,
    real: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy, a mean over the texts by weight; with many labels a text the binary one, a mean over texts and labels.

    What a weight multiplies is all of a text, or of a text's entry for a label: its target with the smoothing in it. A weight on
    each class's share of the target would let the smoothing turn every text into the class that weighs most.

    Args:
        logits: (batch, classes).
        targets: Classes, int64 (batch,), or whether each text has each label, bool (batch, classes).
        weights: Of each class, (classes,): a text weighs what its class does. With many labels a text they are of having the
            label, and not having it weighs 1.
        smoothing: Share of the target spread over all classes, or over having the label and not having it.
        reduction: `sum` leaves the mean's division out.
        of_row: What each text weighs, (batch,), where `to_mean_one` has made all weights 1 in the mean: the mean is then over the
            number of texts, so that a batch of light ones teaches less than one of heavy ones.
        real: Which texts count, 0.0 or 1.0, (batch,); all where not given.
    """
    texts: Tensor | float = float(len(targets)) if real is None else real.sum()
    if targets.dim() == 2:
        drawn = targets * (1 - smoothing) + smoothing / 2  # to 0.5
        of_entry = torch.where(targets, weights, 1.0)
        for factor in (of_row, real):
            of_entry = of_entry if factor is None else of_entry * factor[:, None]
        if real is None:
            return nn.functional.binary_cross_entropy_with_logits(logits, drawn, of_entry, reduction=reduction)
        total = nn.functional.binary_cross_entropy_with_logits(logits, drawn, of_entry, reduction="sum")
        return total / (texts * targets.shape[1]) if reduction == "mean" else total
    log_p, of_text = logits.log_softmax(dim=1), weights[targets]
    of_text = of_text if real is None else of_text * real
    mean_over = _sum_of(of_text) if of_row is None else texts
    of_text = of_text if of_row is None else of_text * of_row
    if of_row is None and real is None:
        own = nn.functional.nll_loss(log_p, targets, weights, reduction="sum")
    else:
        own = (nn.functional.nll_loss(log_p, targets, reduction="none") * of_text).sum()
    spread = -(log_p.sum(dim=1) * of_text).sum()
    divisor = mean_over if reduction == "mean" else 1.0
    return (1 - smoothing) * (own / divisor) + smoothing / len(weights) * (spread / divisor)  # torch's order: its bits


def disagreement(logits: Tensor, many: bool) -> Tensor:
    """Return how far two passes over each text are apart: half the sum of the Kullback-Leibler divergences both ways, (texts,).

    It draws the passes together and so regularises what dropout leaves apart (R-Drop: Liang et al., 2021). With many labels a text
    it is the mean over the labels.

    Args:
        logits: Those of the first pass, then those of the second, (2 * texts, classes).
        many: Whether a text may have many labels.
    """
    one, other = logits.chunk(2)
    if many:
        return ((one.sigmoid() - other.sigmoid()) * (one - other)).mean(dim=1) / 2
    return ((one.softmax(dim=1) - other.softmax(dim=1)) * (one - other)).sum(dim=1) / 2  # what the logs subtract cancels out


def divisor_of(targets: Targets, weights: Tensor, *, by_row: bool) -> float:
    """Return what the sum of `loss_of` is divided by for its mean; `by_row`: rows have weights."""
    if targets.ndim == 2 or by_row:
        return float(targets.size)
    return float(_sum_of(weights[torch.from_numpy(targets).to(weights.device)]))


def _sum_of(weights: Tensor) -> Tensor:
    """Return the sum of the weights of some texts, (); 1 where it is 0, so that the mean loss of texts that weigh nothing is 0."""
    total = weights.sum()
    return torch.where(total > 0, total, 1.0)


def to_mean_one(train: LabelledSplit, weights: Tensor) -> tuple[LabelledSplit, Tensor]:
    """Scale the weights of rows, where they have any, and those of classes, so that over all rows their mean is 1.

    The mean loss of a batch is then a sum over its texts, divided by how many they are, and its gradient is in the mean that of
    all rows, each as often as it weighs. Dividing by the weights of the batch instead would undo them where a batch has one text,
    or texts of like weight: batches are made of texts of like length.

    Raises:
        ConfigError: The rows that weigh something all have labels whose weight is 0.
    """
    if train.weights is None:
        return train, weights
    rows = train.weights / train.weights.mean()
    if not train.many:
        mean = float((rows * weights.numpy()[train.targets]).mean())
        if not mean:
            raise ConfigError(
                "training.class_weights are 0 for every label whose rows weigh something: nothing would be learnt"
            )
        weights = weights / mean
    return replace(train, weights=rows), weights


def class_weights(settings: TrainingSettings, train: LabelledSplit) -> Tensor:
    """Return the weight of each class in the loss, float32 (classes,); where rows have weights, balanced ones count them by these.

    Raises:
        ConfigError: `training.class_weights` leaves a label out, names one that training does not have, or gives all of them 0.
    """
    classes = len(train.labels)
    if isinstance(settings.class_weights, Mapping):
        given = settings.class_weights
        if set(given) != set(train.labels):
            odd = sorted(set(given) ^ set(train.labels))
            raise ConfigError(f"training.class_weights must name each label of the training rows once; check {', '.join(odd)}")
        if not any(given.values()):
            raise ConfigError("training.class_weights are all 0, so no label would be learnt: give some of them more")
        return torch.tensor([given[label] for label in train.labels])
    of_rows = np.ones(len(train.targets)) if train.weights is None else train.weights
    if settings.class_weights == "balanced" and train.many:
        having = of_rows @ train.targets
        ratios = (of_rows.sum() - having) / np.maximum(having, np.finfo(float).tiny)
        return torch.tensor(ratios.clip(1 / _MOST_WEIGHT, _MOST_WEIGHT), dtype=torch.float32)
    if settings.class_weights == "balanced":
        counts = np.bincount(train.targets, of_rows, minlength=classes)
        weighing = np.count_nonzero(counts)  # a class of rows that weigh nothing is as good as not there
        return torch.tensor(
            np.where(counts > 0, of_rows.sum() / (weighing * np.where(counts > 0, counts, 1)), 0), dtype=torch.float32
        )
    return torch.ones(classes)
