"""Which labels a model takes for which others: a picture of them, and a table of the pairs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation.drawing import FAINT, GREY, INK, PALE, SHARE_COLOURS, new_figure, save, short, style, title
from textcls.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LABELS = 30  # in a picture that can be read; of more, the confused ones alone


def write_confusions(matrix: NDArray[np.int64], labels: Sequence[str], path: Path) -> None:
    """Write every pair of labels of which one was taken for the other as csv, the most frequent first.

    Its columns are `label`, the true one; `predicted`; `rows`, in how many it was so; and `share`, of all rows of the label.

    Args:
        matrix: Counts by true label (row) and predicted label (column), int64 [n, n].
        labels: Names of the n labels.
        path: The file to write.

    Raises:
        OSError: The file cannot be written.
    """
    true, predicted = np.nonzero(_errors(matrix))
    counts, totals = matrix[true, predicted], matrix.sum(axis=1)
    with replacing(path) as neighbour, neighbour.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "predicted", "rows", "share"])
        for place in np.argsort(-counts, kind="stable").tolist():
            row, column, count = int(true[place]), int(predicted[place]), int(counts[place])
            writer.writerow([labels[row], labels[column], count, f"{count / totals[row]:.4f}"])


def plot_confusion_matrix(matrix: NDArray[np.int64], labels: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix: a row for each true label, coloured by its shares, with the counts.

    Of more than 30 labels it has the 30 of the most frequent confusions, the worst first, and all others in one row and column.

    Args:
        matrix: Counts by true label (row) and predicted label (column), int64 [n, n].
        labels: Names of the n labels; long ones are shortened.
        path: The PNG file to write.

    Raises:
        OSError: The file cannot be written.
    """
    accuracy, total = matrix.trace() / max(1, matrix.sum()), int(matrix.sum())
    said = _commonest_error(matrix, labels)
    if len(labels) > _MOST_LABELS:
        said = f"the {_MOST_LABELS} of {len(labels)} labels with the most confusions; {said}"
        matrix, labels = _confused(matrix, labels)
    n = len(labels)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.8 + 0.5 * n, 2, 8) if n <= 20 else 0.36 * n)  # inches
    with style():  # before anything of matplotlib is imported
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.ticker import PercentFormatter

        figure = new_figure(side, side)
        axes = figure.add_axes((0, 0, 1, 1))  # the cells fill the figure; saving makes room for what stands around them
        colours = LinearSegmentedColormap.from_list("shares", SHARE_COLOURS)
        image = axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        _name_cells(axes, labels)
        _write_counts(axes, matrix, shares)
        height = min(1.0, 2.5 / side)
        bar = figure.colorbar(image, cax=axes.inset_axes((1 + 0.15 / side, 1 - height, 0.12 / side, height)))
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
        bar.set_label("share of the true label", color=GREY)
        bar.outline.set_visible(False)
        axes.set(xlabel="predicted label", ylabel="true label")
        title(axes, f"{accuracy:.1%} of {total:,} texts classified correctly", said)
        save(figure, path)


def _errors(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    return matrix - np.diag(np.diag(matrix))


def _confused(matrix: NDArray[np.int64], labels: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the matrix of the labels of the most frequent confusions, pair by pair, and of all others as the last label."""
    either = np.triu(_errors(matrix) + _errors(matrix).T)
    pairs = np.argsort(-either, axis=None, kind="stable")  # those that nothing was taken for come last
    chosen = list(dict.fromkeys(np.stack(np.unravel_index(pairs, matrix.shape), axis=1).ravel().tolist()))[:_MOST_LABELS]
    group = np.full(len(labels), len(chosen))
    group[chosen] = np.arange(len(chosen))
    small = np.zeros((len(chosen) + 1,) * 2, np.int64)
    np.add.at(small, (group[:, None], group[None, :]), matrix)
    return small, [*(labels[one] for one in chosen), f"the {len(labels) - len(chosen)} others"]


def _name_cells(axes: Axes, labels: Sequence[str]) -> None:
    """Put label names on both axes."""
    shown, names = range(len(labels)), list(map(short, labels))
    level = len(labels) <= 10 and max(map(len, names), default=0) <= 8
    size = 8 if len(labels) > 20 else 9
    axes.set_xticks(shown, names, fontsize=size, rotation=0 if level else 90)
    axes.set_yticks(shown, names, fontsize=size)
    axes.set_xticks(np.arange(1, len(labels)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(labels)) - 0.5, minor=True)
    axes.grid(which="minor", color=PALE, linewidth=0.8)
    axes.tick_params(which="both", length=0)


def _write_counts(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Write the counts into the cells, fainter where there is none, or of many labels nothing."""
    size = 10 if len(matrix) <= 10 else 7
    for (row, column), count in np.ndenumerate(matrix):
        if not count and len(matrix) > 20:
            continue
        colour = "white" if shares[row, column] > 0.5 else INK if count else FAINT
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)


def _commonest_error(matrix: NDArray[np.int64], labels: Sequence[str]) -> str:
    errors = _errors(matrix)
    if not errors.any():
        return "no errors"
    row, column = divmod(int(errors.argmax()), len(labels))
    others = int(np.count_nonzero(errors == errors[row, column])) - 1
    said = f"{short(labels[row])} taken for {short(labels[column])}, {errors[row, column]:,} of {matrix[row].sum():,}"
    if others:
        return f"commonest errors: {said}, and {others:,} other pair{'s' * (others > 1)} as often"
    return f"commonest error: {said}"
