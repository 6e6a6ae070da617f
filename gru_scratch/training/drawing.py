"""The common parts of all pictures: sizes, colours, axes, and the bytes of a PNG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PALETTE = (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9", "#666666", "#8c564b")
"""The palette: mostly that of Okabe and Ito, which the colour-blind can tell apart."""
COLOURS = {"rnn": ORANGE, "gru": BLUE, "lstm": GREEN}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
PLAIN = FuncFormatter(lambda value, position: f"{value:g}")
"""Writes numbers on an axis as decimals, 0.01, not as powers of ten."""

LOG_STEPS = ((2.0, ()), (12.0, (1, 2, 3, 5)), (300.0, (1, 2, 5)), (3e3, (1, 3)), (math.inf, (1,)))
"""The numbers within a power of ten that a logarithmic axis shows, by the largest quotient of its ends."""


def new_figure(width: float = 8.0, height: float = 4.6) -> Figure:
    """A figure without a display, its size in inches, with 120 dots an inch."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as PNG; a character that the font lacks is drawn as a box."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def colour(k: int) -> str:
    """The k-th colour of the palette, from 0, which repeats after the last."""
    return PALETTE[k % len(PALETTE)]


def cell_styles(cells: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each cell: always the same for the book's three."""
    cells = list(dict.fromkeys(cells))
    others = [cell for cell in cells if cell not in COLOURS]
    free = [each for each in PALETTE if each not in COLOURS.values()]
    colours = COLOURS | {cell: free[k % len(free)] for k, cell in enumerate(others)}
    return {cell: {"color": colours[cell], "marker": MARKERS[k % len(MARKERS)]} for k, cell in enumerate(cells)}


def short_name(cell: str) -> str:
    """A cell's name for a legend: for path/to/file.py:ClassName it is the class."""
    return cell.rpartition(":")[2] if ":" in cell else cell.upper() if len(cell) <= 4 else cell


def shades(count: int) -> list[Any]:
    """`count` colours from light to dark, for early to late."""
    return [colormaps["viridis"](0.9 * i / max(count - 1, 1)) for i in range(count)]


def grid(axes: Axes) -> None:
    """Draw a faint grid, and no frame above and at the right."""
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def log_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with decimal numbers; values of 0 are left out.

    Where nothing above 0 is drawn the axis stays as it is.
    """
    if any((np.asarray(line.get_ydata()) > 0).any() for line in axes.lines):
        axes.set_yscale("log", nonpositive="mask")
        plain_logarithms(axes.yaxis, *axes.get_ylim())


def plain_logarithms(axis: Axis, low: float, high: float) -> None:
    """Write decimal numbers on a logarithmic axis from `low` to `high`: the wider, the fewer between powers of ten."""
    steps = next(steps for most, steps in LOG_STEPS if high / low < most)
    axis.set_major_locator(LogLocator(subs=steps) if steps else MaxNLocator(6))
    axis.set_major_formatter(PLAIN)
    axis.set_minor_formatter(NullFormatter())
