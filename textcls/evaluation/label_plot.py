"""The picture of a model that gives a text many labels: where it errs, label by label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation.drawing import BLUE, FAINT, GREY, INK, ORANGE, new_figure, save, short, style
from textcls.evaluation.metrics import Floats
from textcls.evaluation.plots import FEW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_MOST_LABELS, _COLUMNS = 12, 4
_BINS = 10


def plot_labels(
    probabilities: Floats, targets: NDArray[np.bool_], labels: Sequence[str], thresholds: Sequence[float], path: Path
) -> None:
    """Draw for each label how often it was right against its probability, the threshold from which it is given, and the errors.

    Of more than twelve labels it has the twelve with the most errors, the worst first.

    Args:
        probabilities: float [n, K].
        targets: Whether a row has each label, bool [n, K + U]; those that the model does not know are left out.
        labels: Names of the K labels, or more.
        thresholds: A label is given from this probability on, [K].
        path: The PNG file to write.

    Raises:
        OSError: The file cannot be written.
    """
    known = len(thresholds)
    given, true = probabilities >= np.asarray(thresholds), targets[:, :known]
    errors = (given != true).sum(axis=0)
    worst = np.argsort(-errors, kind="stable")[:_MOST_LABELS].tolist()
    lines, columns = -(-len(worst) // _COLUMNS), min(_COLUMNS, len(worst))
    height = 1.5 + 2.8 * lines  # inches
    with style():
        figure = new_figure(max(6.0, 0.7 + 2.6 * columns), height)
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        figure.subplots_adjust(left=0.08, right=0.99, top=1 - 1.25 / height, bottom=0.5 / height, hspace=0.4, wspace=0.16)
        for axes in grid.flat[len(worst) :]:
            axes.set_visible(False)
        for axes, label in zip(grid.flat, worst, strict=False):
            _draw_label(axes, probabilities[:, label], true[:, label], thresholds[label])
            found, has = int((given & true)[:, label].sum()), int(true[:, label].sum())
            axes.set_title(short(labels[label]), loc="left", fontsize=10, fontweight="bold", color=INK, pad=18)
            said = f"found {found:,} of {has:,}, wrongly given {int((given & ~true)[:, label].sum()):,}"
            axes.annotate(said, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", color=GREY, fontsize=8)
        for axes in grid[:, 0]:
            axes.set_ylabel("share that has the label")
        for column in range(columns):
            lowest = [axes for axes in grid[:, column] if axes.get_visible()][-1]
            lowest.set_xlabel("probability of the label")
            lowest.tick_params(labelbottom=True)
        which = (
            f"the {len(worst)} labels with the most errors, of {known}" if known > len(worst) else "the labels, the worst first"
        )
        figure.text(0.08, 1 - 0.2 / height, f"Where the model errs: {which}", fontsize=12, fontweight="bold", color=INK)
        place: Any = {"loc": "upper left", "bbox_to_anchor": (0.065, 1 - 0.25 / height)}
        figure.legend(handles=_explained(), ncols=4 if columns > 2 else 2, **place)
        save(figure, path)


def _explained() -> list[Line2D]:
    """Return what the legend shows: dots of one size, whatever sizes the first label has."""
    from matplotlib.lines import Line2D

    dot: Any = {"linestyle": "", "marker": "o"}
    return [
        Line2D([], [], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="perfect calibration"),
        Line2D([], [], color=ORANGE, linewidth=1.4, label="threshold"),
        Line2D([], [], color=BLUE, markersize=7, label="texts of like probability (larger: more)", **dot),
        Line2D([], [], color=FAINT, markerfacecolor="white", markersize=4, label=f"fewer than {FEW}", **dot),
    ]


def _draw_label(axes: Axes, probabilities: Floats, true: NDArray[np.bool_], threshold: float) -> None:
    """Draw one label: a dot for each tenth of probability, larger where it has more texts, hollow where it has few."""
    bins = np.clip((probabilities * _BINS).astype(int), 0, _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    some = counts > 0
    means = np.bincount(bins, weights=probabilities, minlength=_BINS)[some] / counts[some]
    shares = np.bincount(bins, weights=true, minlength=_BINS)[some] / counts[some]
    sizes, few = 12 + 22 * np.log10(counts[some]), counts[some] < FEW
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5)
    axes.axvline(threshold, color=ORANGE, linewidth=1.4, zorder=1)
    axes.scatter(means[~few], shares[~few], sizes[~few], color=BLUE, zorder=3)
    axes.scatter(means[few], shares[few], sizes[few], facecolors="white", edgecolors=FAINT, zorder=2)
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.05, 1.05), xticks=[0, 0.5, 1])
