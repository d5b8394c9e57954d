"""Pictures of a run: learning curves, the confusion matrix, the reliability diagram. PNG files, drawn without a display."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation.metrics import CALIBRATION_BINS, Floats, Targets, reliability_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue and orange of Okabe and Ito, "Color universal design" (2008), which colour-blind readers tell apart.
BLUE, ORANGE, INK, GREY, PALE = "#0072B2", "#D55E00", "#222222", "#767676", "#E4E4E4"
# White to blue, steeper at the start, where the errors of a good model are.
_SHARE_COLOURS = ((0.0, "#FFFFFF"), (0.05, "#D3E6F3"), (0.25, "#8CC0E0"), (0.65, BLUE), (1.0, "#003A5C"))
# Fonts with Chinese, Japanese or Korean glyphs that a system may have; each is used only where it is installed.
_WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS", "Microsoft YaHei", "Malgun Gothic"),
)
_METRICS = {"macro_f1": "macro-F1", "accuracy": "accuracy"}
_LOWER_IS_BETTER = frozenset({"log_loss"})

_LONGEST_LABEL = 30  # characters shown; the middle of a longer label is left out, as labels often differ at both ends
_MOST_CELLS_WITH_COUNTS = 20  # labels
_MOST_NAMED_LABELS = 100


def plot_learning_curves(history: Sequence[dict[str, Any]], path: Path, *, before_ngrams: bool = False) -> None:
    """Draw the losses and the validation metrics of each epoch, with the best epoch marked.

    Args:
        history: A row for each epoch: `epoch`, and where known `train_loss`, `validation_loss`, `macro_f1`, `accuracy` and
            `best` (true where the epoch was the best so far, so the last of these is the best).
        path: The PNG file to write.
        before_ngrams: Say that these are the network's own, which n-grams joined afterwards.

    Raises:
        OSError: The file cannot be written.
    """
    best = max((i for i, row in enumerate(history) if row.get("best")), default=None)
    with _style():
        figure = _figure(10.5, 4.2)
        loss_axes, metric_axes = figure.subplots(1, 2, gridspec_kw={"wspace": 0.16})
        _draw_curves(loss_axes, history, {"train_loss": "training", "validation_loss": "validation"}, best)
        _title(loss_axes, "Loss", "mean over rows, lower is better")
        _draw_curves(metric_axes, history, _METRICS, best)
        what = "Validation metrics" + ", without n-grams" * before_ngrams
        _title(metric_axes, what, "higher is better" if best is None else _describe(history[best]))
        _save(figure, path)


def plot_confusion_matrix(matrix: NDArray[np.int64], labels: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix: a row for each true label, coloured by its shares, with the counts up to 20 labels.

    Args:
        matrix: Counts by true label (row) and predicted label (column), int64 [n, n].
        labels: Names of the n labels; long ones are shortened, and above 100 labels only some are named.
        path: The PNG file to write.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import PercentFormatter

    n, total = len(labels), int(matrix.sum())
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    counted = n <= _MOST_CELLS_WITH_COUNTS
    side = float(np.clip(0.8 + 0.5 * n, 2, 8) if counted else np.clip(0.165 * n, 5, 16.5))  # inches
    with _style():
        figure = _figure(side, side)
        axes = figure.add_axes((0, 0, 1, 1))  # the cells fill the figure; saving makes room for what stands around them
        colours = LinearSegmentedColormap.from_list("shares", _SHARE_COLOURS)
        image = axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        _name_cells(axes, labels, small=not counted)
        if counted:
            _write_counts(axes, matrix, shares)
        height = min(1.0, 2.5 / side)
        bar = figure.colorbar(image, cax=axes.inset_axes((1 + 0.15 / side, 1 - height, 0.12 / side, height)))
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
        bar.set_label("share of the true label", color=GREY)
        bar.outline.set_visible(False)
        axes.set(xlabel="predicted label", ylabel="true label")
        _title(
            axes,
            f"{matrix.trace() / max(1, total):.1%} of {total:,} texts classified correctly",
            _commonest_error(matrix, labels),
        )
        _save(figure, path)


def plot_reliability(probabilities: Floats, targets: Targets, path: Path) -> None:
    """Draw how often predictions come true against how probable the model says they are, above how many there are.

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
    some = bins.count > 0
    with _style():
        figure = _figure(5.2, 6)
        axes, histogram = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1], gridspec_kw={"hspace": 0.12})
        axes.bar(centres[some], bins.accuracy[some], width * 0.9, color=BLUE, alpha=0.3, label="came true")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="perfect calibration")
        gaps = {"color": ORANGE, "linewidth": 1.4, "label": "gap"}
        axes.vlines(bins.confidence[some], bins.accuracy[some], bins.confidence[some], **gaps)
        axes.plot(bins.confidence[some], bins.accuracy[some], "o", color=BLUE, markersize=5)
        axes.set(ylim=(0, 1.02), xlim=(0, 1), ylabel="share that came true")
        axes.legend(loc="upper left")
        kind = "top label of each text" if targets.ndim == 1 else "every label's probability"
        _title(axes, f"Expected calibration error {bins.error:.3f}", f"{kind}, {bins.count.sum():,} predictions")
        histogram.bar(centres, bins.count / max(1, bins.count.sum()), width * 0.9, color=GREY)
        histogram.set(xlabel="probability given by the model", ylabel="share of\npredictions")
        figure.align_ylabels()
        _save(figure, path)


def plot_search(rows: Sequence[Mapping[str, Any]], metric: str, kinds: Mapping[str, str], path: Path) -> None:
    """Draw how the best validation metric of a search changed with time, and the metric of its trials against each setting.

    Args:
        rows: A row for each trial, the best first: `trial`, `origin`, `ending`, `searched_seconds`, the settings by dotted name,
            and the metric, None where no epoch ended.
        metric: The validation metric that trials were compared by.
        kinds: The searched settings, each `linear`, `log` or `choice`.
        path: The PNG file to write.

    Raises:
        OSError: The file cannot be written.
    """
    scored = [row for row in rows if row.get(metric) is not None]
    columns = min(4, len(kinds))
    lines = -(-len(kinds) // columns)
    with _style():
        figure = _figure(10.5, 3.6 + 2.3 * lines)
        grid = figure.add_gridspec(1 + lines, columns, height_ratios=[3.0, *[1.9] * lines], hspace=0.55, wspace=0.12)
        name = _METRICS.get(metric, metric.replace("_", " "))
        _draw_progress(figure.add_subplot(grid[0, :]), scored, rows, metric, name)
        for place, (setting, kind) in enumerate(kinds.items()):
            axes = figure.add_subplot(grid[1 + place // columns, place % columns])
            _draw_slice(axes, scored, metric, setting, kind)
            axes.set_ylabel(name if place % columns == 0 else "")
            axes.tick_params(labelleft=place % columns == 0)
        _save(figure, path)


def _draw_progress(
    axes: Axes, scored: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], metric: str, name: str
) -> None:
    """Draw each trial where it ended, and the best one so far as a line."""
    in_time = sorted(scored, key=lambda row: row["searched_seconds"])
    minutes = np.array([row["searched_seconds"] / 60 for row in in_time])
    values = np.array([row[metric] for row in in_time])
    best = np.minimum.accumulate(values) if metric in _LOWER_IS_BETTER else np.maximum.accumulate(values)
    end = max(row["searched_seconds"] for row in rows) / 60
    axes.step([*minutes, end], [*best, best[-1]], where="post", color=BLUE, linewidth=1.8, label="best so far")
    _draw_trials(axes, in_time, minutes, values)
    given = [(minute, row[metric]) for minute, row in zip(minutes, in_time, strict=True) if row["origin"] == "given"]
    for minute, value in given:
        axes.annotate("as given", (minute, value), (0, 7), textcoords="offset points", color=GREY, fontsize=8)
    axes.plot(
        minutes[best == best[-1]][0], best[-1], "o", color=ORANGE, markersize=9, markeredgecolor="white", label="the best"
    )
    axes.set(xlabel="minutes of the search", ylabel=name, xlim=(0, end * 1.02))
    axes.grid(axis="y")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4)
    _title(axes, f"Best validation {name} {best[-1]:.4f}", f"of {len(rows)} trials; each setting that was tried stands below")


def _draw_trials(axes: Axes, rows: Sequence[Mapping[str, Any]], across: NDArray[Any], values: NDArray[np.float64]) -> None:
    """Draw a dot for each trial: full where it finished, hollow where it was given up before."""
    finished = np.array([row["ending"] == "finished" for row in rows], np.bool_)
    axes.plot(across[finished], values[finished], "o", color=BLUE, markersize=5, alpha=0.75, label="finished")
    axes.plot(across[~finished], values[~finished], "o", color=GREY, markersize=4.5, markerfacecolor="white", label="given up")


def _draw_slice(axes: Axes, scored: Sequence[Mapping[str, Any]], metric: str, setting: str, kind: str) -> None:
    """Draw the metric against one setting; the worst trials are left out, where they would press the others into a line."""
    scored = [
        {**row, setting: "given"} if isinstance(row[setting], Mapping) else row for row in scored
    ]  # a weight for each label
    values = np.array([row[metric] for row in scored])
    shown = np.abs(values - values[0]) <= max(4 * float(np.median(np.abs(values - values[0]))), 1e-3)
    rows, values = [row for row, is_shown in zip(scored, shown, strict=True) if is_shown], values[shown]
    if kind == "choice":
        names = sorted({row[setting] for row in rows}, key=lambda value: (isinstance(value, str), value))
        places = np.array([names.index(row[setting]) for row in rows], np.float64)
        spread = (np.arange(len(rows)) % 5 - 2) * 0.06  # so that equal ones can be told apart
        axes.set_xticks(range(len(names)), [str(name) for name in names])
        axes.set_xlim(-0.5, len(names) - 0.5)
        across = places + spread
    else:
        across = np.array([row[setting] for row in rows], np.float64)
        if kind == "log":
            axes.set_xscale("log")
            ticks = sorted({float(f"{tick:.1g}") for tick in np.geomspace(across.min(), across.max(), 3)})
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xticks([], minor=True)
    _draw_trials(axes, rows, across, values)
    axes.plot(across[0], values[0], "o", color=ORANGE, markersize=7, markeredgecolor="white")
    axes.grid(axis="y")
    axes.set_title(setting.partition(".")[2].replace("_", " "), loc="left", fontsize=9, color=INK)


def _describe(row: dict[str, Any]) -> str:
    values = [f"{name} {row[key]:.3f}" for key, name in _METRICS.items() if row.get(key) is not None]
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


def _name_cells(axes: Axes, labels: Sequence[str], small: bool) -> None:
    """Put label names on both axes: every one, or every so many above 100 labels."""
    shown = range(0, len(labels), -(-len(labels) // _MOST_NAMED_LABELS))
    names = [_short(labels[i]) for i in shown]
    level = len(labels) <= 10 and max(map(len, names), default=0) <= 8
    size = 6.5 if small else 9
    axes.set_xticks(shown, names, fontsize=size, rotation=0 if level else 90)
    axes.set_yticks(shown, names, fontsize=size)
    axes.set_xticks(np.arange(1, len(labels)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(labels)) - 0.5, minor=True)
    axes.grid(which="minor", color=PALE, linewidth=0.3 if small else 0.8)
    axes.tick_params(which="both", length=0)


def _write_counts(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Write the counts into the cells, fainter where there is none."""
    size = 10 if len(matrix) <= 10 else 7
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.5 else INK if count else "#BBBBBB"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)


def _commonest_error(matrix: NDArray[np.int64], labels: Sequence[str]) -> str:
    errors = matrix - np.diag(np.diag(matrix))
    if not errors.any():
        return "no errors"
    row, column = divmod(int(errors.argmax()), len(labels))
    of = f"{errors[row, column]:,} of {matrix[row].sum():,}"
    return f"commonest error: {_short(labels[row])} taken for {_short(labels[column])}, {of}"


def _short(label: str) -> str:
    """A label on one line, with the middle of a long one left out."""
    label = " ".join("".join(c if c.isprintable() else " " for c in label).split())
    half = _LONGEST_LABEL // 2
    return label if len(label) <= _LONGEST_LABEL else f"{label[:half]}…{label[1 - half :]}"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _title(axes: Axes, title: str, subtitle: str) -> None:
    """A bold line that says what is seen over a grey one that says how to read it, flush with the left edge."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=22)
    axes.annotate(subtitle, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", color=GREY, fontsize=9)


@contextmanager
def _style() -> Iterator[None]:
    """One plain look for all pictures; label names are taken letter by letter, never as formulas."""
    from matplotlib import font_manager, rc_context

    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings: Any = {
        "font.family": ["DejaVu Sans", *(font for font in _WIDE_FONTS if font in installed)],
        "text.parse_math": False,
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": GREY,
        "axes.edgecolor": "#BBBBBB",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": PALE,
        "grid.linewidth": 0.8,
        "xtick.color": "#BBBBBB",
        "ytick.color": "#BBBBBB",
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
    }
    with rc_context(settings):
        yield


def _save(figure: Figure, path: Path) -> None:
    """Write the picture beside its place, then move it there; a label no installed font can draw shows as boxes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
            figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight", pad_inches=0.15)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
