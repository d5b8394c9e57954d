"""The picture of a search: how its best metric rose, and the metric of its trials against each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textcls.evaluation.drawing import BLUE, GREY, INK, ORANGE, new_figure, save, style, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = {"macro_f1": "macro-F1"}
_LOWER_IS_BETTER = frozenset({"log_loss"})
_FEWEST = 5  # trials; what a setting does, fewer cannot show


def plot_search(rows: Sequence[Mapping[str, Any]], metric: str, kinds: Mapping[str, str], path: Path) -> None:
    """Draw how the best validation metric of a search changed with time, and the metric of its trials against each setting.

    Args:
        rows: A row for each trial, the best first: `trial`, `origin`, `ending`, `searched_seconds`, the settings by dotted name,
            and the metric, None where no epoch ended.
        metric: The validation metric that trials were compared by.
        kinds: The searched settings, each `linear`, `log` or `choice`; those are drawn that had several values, in five trials or
            more.
        path: The PNG file to write.

    Raises:
        OSError: The file cannot be written.
    """
    scored = [row for row in rows if row.get(metric) is not None]
    tried = [setting for setting in kinds if len(scored) >= _FEWEST and len({repr(row[setting]) for row in scored}) > 1]
    columns = max(1, min(4, len(tried)))
    lines = -(-len(tried) // columns)
    with style():
        figure = new_figure(10.5, 3.6 + 2.3 * lines)
        grid = figure.add_gridspec(1 + lines, columns, height_ratios=[3.0, *[1.9] * lines], hspace=0.55, wspace=0.12)
        name = _NAMES.get(metric, metric.replace("_", " "))
        said = f"of {len(rows)} trials; " + (
            "each setting that was tried stands below" if tried else "too few to show what a setting does"
        )
        _draw_progress(figure.add_subplot(grid[0, :]), scored, rows, metric, name, said)
        for place, setting in enumerate(tried):
            axes = figure.add_subplot(grid[1 + place // columns, place % columns])
            _draw_slice(axes, scored, metric, setting, kinds[setting])
            axes.set_ylabel(name if place % columns == 0 else "")
            axes.tick_params(labelleft=place % columns == 0)
        save(figure, path)


def _draw_progress(
    axes: Axes, scored: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], metric: str, name: str, said: str
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
    title(axes, f"Best validation {name} {best[-1]:.4f}", said)


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
