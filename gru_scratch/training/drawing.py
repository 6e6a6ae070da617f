"""What the pictures share: size, colours, and the bytes of a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

COLOURS = {"rnn": "#d55e00", "gru": "#0072b2", "lstm": "#009e73"}
"""Of Okabe and Ito's palette, which the colour-blind can tell apart."""
OTHERS = ("#cc79a7", "#e69f00", "#56b4e9", "#666666", "#8c564b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def new_figure(width: float = 8.0, height: float = 4.6) -> Figure:
    """A figure, in inches at 120 dots each, that needs no display."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def cell_styles(cells: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each cell: always the same for the three of the book."""
    others = [cell for cell in cells if cell not in COLOURS]
    colours = COLOURS | {cell: OTHERS[k % len(OTHERS)] for k, cell in enumerate(others)}
    return {
        cell: {"color": colours[cell], "marker": MARKERS[k % len(MARKERS)]}
        for k, cell in enumerate(dict.fromkeys(cells))
    }


def short_name(cell: str) -> str:
    """A cell's name for a legend: of path/to/file.py:ClassName the class."""
    return cell.rpartition(":")[2] if ":" in cell else cell.upper() if len(cell) <= 4 else cell


def shades(count: int) -> list[Any]:
    """Colours from early to late."""
    return [colormaps["viridis"](0.9 * i / max(count - 1, 1)) for i in range(count)]


def grid(axes: Axes) -> None:
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def log_scale(axes: Axes) -> None:
    """A logarithmic axis upward with plain numbers: those between the powers of ten too, where it holds about one."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    plain = FuncFormatter(lambda value, position: f"{value:g}")
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(plain if high / low < 12 else NullFormatter())
