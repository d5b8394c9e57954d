"""The pictures of a run, and the table of its confusions. The model is safe before they are drawn, and none of them is needed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textcls.evaluation import Targets, confusion_matrix
from textcls.evaluation.confusion import plot_confusion_matrix, write_confusions
from textcls.evaluation.drawing import MissingGlyphs
from textcls.evaluation.label_plot import plot_labels
from textcls.evaluation.metrics import Floats
from textcls.evaluation.plots import plot_learning_curves, plot_reliability
from textcls.files import replacing
from textcls.training.events import Note
from textcls.training.results import Results

CURVES, CONFUSION, RELIABILITY, LABELS = "learning_curves.png", "confusion_matrix.png", "reliability.png", "labels.png"
CONFUSIONS = "confusions.csv"
_MOST_LABELS = 2000  # of a matrix, which then takes 32 MB
FILES = (CURVES, CONFUSION, RELIABILITY, LABELS, CONFUSIONS)


def draw_curves(results: Results, history: Sequence[dict[str, Any]], *, before_ngrams: bool, many: bool) -> Iterator[Note]:
    """Draw the learning curves; yield a note where they cannot be drawn."""
    yield from drawn(results, CURVES, lambda path: plot_learning_curves(history, path, before_ngrams=before_ngrams, many=many))


def draw_predictions(
    results: Results, probabilities: Floats, targets: Targets, report: Mapping[str, Any], thresholds: Sequence[float] | None
) -> Iterator[Note]:
    """Draw how right a model was, and with one label a text write which labels it took for which; yield what cannot be drawn.

    Args:
        results: Takes the files.
        probabilities: float [n, K].
        targets: The labels of the same rows, as `evaluate` takes them.
        report: What `evaluate` said of them.
        thresholds: With many labels a text those of the known labels, [K].
    """
    labels = list(report["per_class"])
    if thresholds is None and len(labels) <= _MOST_LABELS:
        matrix = confusion_matrix(probabilities.argmax(1), targets.astype(np.int64), len(labels))
        yield from drawn(results, CONFUSION, lambda path: plot_confusion_matrix(matrix, labels, path))
        yield from drawn(results, CONFUSIONS, lambda path: write_confusions(matrix, labels, path))
    if thresholds is not None:
        has = targets.astype(np.bool_)
        yield from drawn(results, LABELS, lambda path: plot_labels(probabilities, has, labels, thresholds, path))
    yield from drawn(results, RELIABILITY, lambda path: plot_reliability(probabilities, targets, path))


def drawn(results: Results, name: str, draw: Callable[[Path], None]) -> Iterator[Note]:
    """Draw a picture, or say in a note why there is none: nothing that goes wrong there is worth a model, or a search."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", MissingGlyphs)
            with results.taking(name) as (path, force), replacing(path, force=force) as new:
                draw(new)
        yield from (Note(f"{name}: {one.message}") for one in told if one.category is MissingGlyphs)
    except Exception as error:  # of a library with fonts, backends and settings of its own
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        yield Note(f"{name} is missing, for it could not be drawn: {reason}")
