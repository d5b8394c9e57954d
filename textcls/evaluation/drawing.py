"""What all pictures share: how they look, and how they are written. PNG files, drawn without a display."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textcls.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue and orange of Okabe and Ito, "Color universal design" (2008), which colour-blind readers tell apart.
BLUE, ORANGE, INK, GREY, FAINT, PALE = "#0072B2", "#D55E00", "#222222", "#767676", "#BBBBBB", "#E4E4E4"
# White to blue, steeper at the start, where the errors of a good model are.
SHARE_COLOURS = ((0.0, "#FFFFFF"), (0.05, "#D3E6F3"), (0.25, "#8CC0E0"), (0.65, BLUE), (1.0, "#003A5C"))
# Fonts with Chinese, Japanese or Korean glyphs that a system may have; each is used only where it is installed.
_WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *("Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS", "Microsoft YaHei", "Malgun Gothic"),
)
_LONGEST_LABEL = 30  # characters shown; the middle of a longer label is left out, as labels often differ at both ends


def short(label: str) -> str:
    """Return a label on one line, with the middle of a long one left out."""
    label = " ".join("".join(c if c.isprintable() else " " for c in label).split())
    half = _LONGEST_LABEL // 2
    return label if len(label) <= _LONGEST_LABEL else f"{label[:half]}…{label[1 - half :]}"


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of some inches on a canvas that needs no display; within `style`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def title(axes: Axes, heading: str, subtitle: str) -> None:
    """Put a bold line that says what is seen over a grey one that says how to read it, flush with the left edge."""
    axes.set_title(heading, loc="left", fontsize=12, fontweight="bold", color=INK, pad=22)
    axes.annotate(subtitle, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", color=GREY, fontsize=9)


@contextmanager
def style() -> Iterator[None]:
    """One plain look for all pictures; label names are taken letter by letter, never as formulas."""
    with _own_backend():
        from matplotlib import font_manager, rc_context, rcdefaults, rcParams

    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings: Any = {
        "font.family": ["DejaVu Sans", *(font for font in _WIDE_FONTS if font in installed)],
        "text.parse_math": False,
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": GREY,
        "axes.edgecolor": FAINT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": PALE,
        "grid.linewidth": 0.8,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
    }
    with rc_context():
        rcdefaults()  # a matplotlibrc that asks for LaTeX, say, is for other pictures
        rcParams.update(settings)
        yield


@contextmanager
def _own_backend() -> Iterator[None]:
    """Let matplotlib be imported whatever `MPLBACKEND` names, which it looks for as it is imported: we draw on a canvas of our own.

    Jupyter hands the name of its backend down to all that it starts, also where that is not installed.
    """
    named = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
            with suppress(KeyError, ValueError):  # in a notebook other pictures are drawn by it
                sys.modules["matplotlib"].rcParams["backend"] = named


class MissingGlyphs(UserWarning):
    """Some characters of a picture are boxes, since no font that is installed has them."""


def save(figure: Figure, path: Path) -> None:
    """Write the picture whole or not at all.

    Warns:
        MissingGlyphs: No font that is installed has all characters of its labels.
    """
    with replacing(path) as neighbour, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure.savefig(neighbour, format="png", dpi=150, bbox_inches="tight", pad_inches=0.15)
    missing = [one for one in told if str(one.message).startswith("Glyph ")]
    for one in told:
        if one not in missing:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        warnings.warn(MissingGlyphs("some characters are boxes there, for no font on this machine has them"), stacklevel=2)
