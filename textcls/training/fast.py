"""Settling on validation rows when n-grams may answer a text alone, and what that costs there."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation import Targets, evaluate_blocks, fit_temperature, fit_temperature_multi
from textcls.fast import FastWay, LinearHalf, changed_labels, leads, select
from textcls.storage import row_blocks
from textcls.training.batches import LabelledSplit
from textcls.training.events import Event, Note

FEWEST_ROWS = 500  # of validation: fewer say too little of so rare an event
_MOST_SCORES = 5_000_000  # of the rows that settle it, unless they are few
_SURE = 0.95  # of the bound on the share of changed labels
_ROUNDS = 3  # in which margin and temperature settle, where each depends on the other
_METRICS = ("accuracy", "macro_f1", "log_loss", "expected_calibration_error")


@dataclass(frozen=True)
class Judged:
    """What both halves of a model say of some rows.

    Attributes:
        targets: As in `LabelledSplit`.
        linear: Logits of the n-grams alone, float32 [n, classes].
        whole: Calibrated probabilities of the whole model, float32 [n, classes].
        thresholds: With many labels a text, of each label, float32 [classes].
    """

    targets: Targets
    linear: NDArray[np.float32]
    whole: NDArray[np.float32]
    thresholds: NDArray[np.float32] | None

    @property
    def many(self) -> bool:
        """Whether a text may have many labels."""
        return self.thresholds is not None

    def changed(self, answers: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which rows get other labels from some probabilities, float32 [n, classes], than from the whole model, bool [n]."""
        return changed_labels(answers, self.whole, self.thresholds)


@dataclass(frozen=True)
class BothHalves:
    """A split, and what scores it.

    Attributes:
        split: The rows.
        half: The n-grams.
        whole: Calibrated probabilities of the whole model, float64 [n, classes].
        thresholds: With many labels a text, of each label, float32 [classes].
    """

    split: LabelledSplit
    half: LinearHalf
    whole: NDArray[np.float64]
    thresholds: NDArray[np.float32] | None

    def of(self, rows: NDArray[np.int64]) -> Judged:
        """Return what both say of some rows, [n]."""
        linear = self.half(*select(self.split.encoded.ids, self.split.encoded.offsets, rows))
        return Judged(self.split.targets[rows], linear, self.whole[rows].astype(np.float32), self.thresholds)


def settle(both: BothHalves, agreement: float) -> Generator[Event, None, FastWay | None]:
    """Find the least margin at which enough validation rows keep their labels, and the temperature of those that are answered so.

    Args:
        both: The validation rows.
        agreement: Share of the labels that must be those of the whole model.

    Yields:
        A note: why nothing was settled.

    Returns:
        None where there are too few rows, or none of which n-grams are sure enough.
    """
    number, classes = both.whole.shape
    if number < FEWEST_ROWS:
        yield Note(
            f"fast: {number:,} validation rows are too few to settle when n-grams may answer alone, so there is no --fast: "
            f"it takes {FEWEST_ROWS}"
        )
        return None
    most = min(number, max(FEWEST_ROWS, _MOST_SCORES // classes))
    way = settled(both.of(np.linspace(0, number - 1, most).astype(np.int64)), agreement)
    if way is None:
        yield Note("fast: n-grams alone are not sure enough of any validation row, so there is no --fast")
    return way


def settled(rows: Judged, agreement: float) -> FastWay | None:
    """Return the fast way that some rows allow; None where they allow none."""
    way, sure = FastWay(0.0, 1.0), np.ones(len(rows.linear), np.bool_)
    for _ in range(_ROUNDS if rows.many else 1):
        if rows.many:
            targets = rows.targets[sure, : rows.linear.shape[1]].astype(np.bool_)
            way = FastWay(0.0, fit_temperature_multi(rows.linear[sure], targets))
        found = leads(rows.linear, rows.thresholds, way.temperature)
        agree = ~rows.changed(way.probabilities(rows.linear, many=rows.many))
        margin = smallest_margin(found, agree, agreement)
        if margin is None:
            return None
        way, sure = replace(way, margin=margin), found >= margin
    if rows.many:
        return way
    return replace(way, temperature=fit_temperature(rows.linear[sure], rows.targets[sure].astype(np.int64)))


def smallest_margin(found: NDArray[np.float32], agree: NDArray[np.bool_], agreement: float) -> float | None:
    """Return the least lead from which on enough rows keep their labels; None where that holds of no row.

    Args:
        found: The lead of each row, float32 [n].
        agree: Whether it would keep its labels, bool [n].
        agreement: Share of all rows that must; how many may change is not rounded up.
    """
    allowed = floor(len(found) * (1 - Fraction(str(agreement))))
    order = np.argsort(-found, kind="stable")
    falling, wrong = found[order], np.cumsum(~agree[order])
    last = np.append(falling[1:] < falling[:-1], True)  # rows of one lead are answered alike
    within = np.flatnonzero(last & (wrong <= allowed))
    return float(falling[within[-1]]) if len(within) else None


def cost(both: BothHalves, way: FastWay) -> dict[str, Any]:
    """Return what the fast way means for some rows.

    Returns:
        `share` of the rows that n-grams answer, how many rows `changed` their labels, `agreement`, `changed_at_most` (their share
        with 95 % confidence: Clopper and Pearson, 1934; a little too low on the rows that settled the margin), and accuracy,
        macro-F1, log loss and calibration error of these answers.
    """
    from scipy.special import betaincinv

    number, classes = both.whole.shape
    sure = changed = 0

    def blocks() -> Iterator[tuple[NDArray[np.float32], Targets]]:
        nonlocal sure, changed
        for some in row_blocks(number, classes):
            rows = both.of(np.arange(some.start, some.stop))
            alone = way.sure(rows.linear, rows.thresholds)
            answers = np.where(alone[:, None], way.probabilities(rows.linear, many=rows.many), rows.whole)
            sure += int(alone.sum())
            changed += int(rows.changed(answers).sum())
            yield answers, rows.targets

    report = evaluate_blocks(blocks(), both.split.labels, both.thresholds)
    return {
        "share": sure / number,
        "changed": changed,
        "agreement": 1 - changed / number,
        "changed_at_most": float(betaincinv(changed + 1, number - changed, _SURE)) if changed < number else 1.0,
        **{name: report[name] for name in _METRICS},
    }


def told(found: dict[str, Any], rows: int) -> Note:
    """Return what people should know of the fast way's cost on some validation rows."""
    return Note(
        f"fast: n-grams alone are sure of {found['share']:.0%} of the validation rows, where --fast changes {found['changed']:,} of "
        f"{rows:,} labels ({found['changed_at_most']:.2%} at most, with 95% confidence)"
    )
