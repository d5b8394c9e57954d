"""Pictures of a run: learning curves and the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation.drawing import BLUE, FAINT, GREY, ORANGE, new_figure, save, style, title
from textcls.evaluation.metrics import CALIBRATION_BINS, Floats, Targets, reliability_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 10  # predictions of a bin; how many of fewer came true is chance
_METRICS = {"macro_f1": "macro-F1", "accuracy": "accuracy"}


def plot_learning_curves(
    history: Sequence[dict[str, Any]], path: Path, *, before_ngrams: bool = False, many: bool = False
) -> None:
    """Draw the losses and the validation metrics of each epoch, with the best epoch marked.

    Args:
        history: A row for each epoch: `epoch`, and where known `train_loss`, `validation_loss`, `macro_f1`, `accuracy` and
            `best` (true where the epoch was the best so far, so the last of these is the best).
        path: The PNG file to write.
        before_ngrams: Say that these are the network's own, which n-grams joined afterwards.
        many: Whether a text has many labels: then the accuracy is that all of them are right.

    Raises:
        OSError: The file cannot be written.
    """
    best = max((i for i, row in enumerate(history) if row.get("best")), default=None)
    names = {**_METRICS, "accuracy": "exact match"} if many else _METRICS
    with style():
        figure = new_figure(10.5, 4.2)
        loss_axes, metric_axes = figure.subplots(1, 2, gridspec_kw={"wspace": 0.16})
        _draw_curves(loss_axes, history, {"train_loss": "training", "validation_loss": "validation"}, best)
        title(loss_axes, "Loss", "mean over rows, lower is better")
        _draw_curves(metric_axes, history, names, best)
        what = "Validation metrics" + ", without n-grams" * before_ngrams
        title(metric_axes, what, "higher is better" if best is None else _describe(history[best], names))
        save(figure, path)


def plot_reliability(probabilities: Floats, targets: Targets, path: Path) -> None:
    """Draw how often predictions come true against how probable the model says they are, above how many there are.

    Where a bin has fewer than ten of them, which come true by chance, it is hollow and grey.

    Args:
        probabilities: float [n, K].
        targets: int64 [n], or bool [n, K + U] for many labels a text; see `reliability_bins`.
        path: The PNG file to write.

    Raises:
        OSError: The file cannot be written.
    """
    bins = reliability_bins(probabilities, targets)
    width = 1 / CALIBRATION_BINS
    centres = (np.arange(CALIBRATION_BINS) + 0.5) * width
    enough, few = bins.count >= FEW, (bins.count > 0) & (bins.count < FEW)
    with style():
        figure = new_figure(5.6, 6.4)
        axes, histogram = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1.2], gridspec_kw={"hspace": 0.1})
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="perfect calibration")
        axes.bar(centres[enough], bins.accuracy[enough], width * 0.9, color=BLUE, alpha=0.3, label="came true")
        gaps = {"color": ORANGE, "linewidth": 1.4, "label": "gap"}
        axes.vlines(bins.confidence[enough], bins.accuracy[enough], bins.confidence[enough], **gaps)
        axes.plot(bins.confidence[enough], bins.accuracy[enough], "o", color=BLUE, markersize=5)
        if few.any():
            hollow = {
                "color": FAINT,
                "markerfacecolor": "white",
                "markersize": 4,
                "label": f"fewer than {FEW} predictions (chance)",
            }
            axes.plot(bins.confidence[few], bins.accuracy[few], "o", **hollow)
        axes.set(ylim=(-0.02, 1.02), xlim=(0, 1), ylabel="share that came true")
        axes.legend(loc="upper left")
        kind = "top label of each text" if targets.ndim == 1 else "every label's probability"
        title(axes, f"Expected calibration error {bins.error:.3f}", f"{kind}, {bins.count.sum():,} predictions")
        _draw_counts(histogram, centres, bins.count, width)
        figure.align_ylabels()
        save(figure, path)


def _draw_counts(axes: Axes, centres: NDArray[np.floating[Any]], counts: NDArray[np.int64], width: float) -> None:
    """Draw how many predictions each bin has, on a scale on which a few are seen beside thousands, with their number above."""
    axes.bar(centres, counts, width * 0.9, color=np.where(counts < FEW, FAINT, GREY).tolist())
    axes.set_yscale("symlog", linthresh=1)
    axes.set(
        xlabel="probability given by the model",
        ylabel="predictions\n(log scale)",
        ylim=(0, 8 * max(1, counts.max())),
        yticks=[],
    )
    axes.minorticks_off()
    for centre, count in zip(centres[counts > 0], counts[counts > 0], strict=True):
        axes.text(centre, count * 1.15, compact(int(count)), ha="center", va="bottom", fontsize=7, color=GREY)


def compact(count: int) -> str:
    """Return a count in at most four characters: 950, 9.5k, 95k, 9.5M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.1f}{letter}" if count < 9.95 * size else f"{count / size:.0f}{letter}"
    return str(count)


def _describe(row: dict[str, Any], names: dict[str, str]) -> str:
    values = [f"{name} {row[key]:.3f}" for key, name in names.items() if row.get(key) is not None]
    return f"at the best epoch, {row['epoch']}: {', '.join(values) or 'not measured'}"


def _draw_curves(axes: Axes, history: Sequence[dict[str, Any]], names: dict[str, str], best: int | None) -> None:
    """Draw the named columns over the epochs; values that are missing or not finite leave a gap."""
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    for (key, name), colour in zip(names.items(), (BLUE, ORANGE), strict=True):
        values = np.array([np.nan if row.get(key) is None else row[key] for row in history], dtype=np.float64)
        values[~np.isfinite(values)] = np.nan
        if np.isnan(values).all():
            continue
        axes.plot(
            epochs, values, color=colour, linewidth=1.8, label=name, marker="o", markersize=3.5 if len(epochs) <= 15 else 0
        )
        if best is not None:
            axes.plot(epochs[best], values[best], "o", color=colour, markersize=8, markeredgecolor="white", markeredgewidth=1.5)
    if best is not None:
        axes.axvline(
            epochs[best], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5, label=f"best epoch ({epochs[best]})"
        )
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if epochs:
        margin = 0.02 * (epochs[-1] - epochs[0]) or 0.5
        axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best")
