"""Comparisons as pictures (PNG); nothing is measured here."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gru_scratch.benchmark.comparison import Comparison
from gru_scratch.benchmark.models import ENGINES

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "builtin": "#6b6b6b",
        "builtin-compiled": "#a5a5a5",
        "builtin-unrolled": "#cccccc",
        "d2l": "#e69f00",
        "textbook": "#56b4e9",
        "textbook-layer": "#009e73",
        "fused": "#0060a8",
        "fused-compiled": "#cc79a7",
    }
)
"""Of engines, the same in all pictures; colour-blind readers tell them apart."""

OTHER = "#3a6b8c"
"""Of what is no engine."""


def draw_bars(comparisons: Sequence[Comparison], title: str, what: str) -> bytes:
    """Time by engine, a panel for each comparison.

    Args:
        title: above all panels.
        what: what one run is, for the axis: "one step".
    """
    shown = [c for c in comparisons if any(row.seconds for row in c.rows)]
    columns = min(2, len(shown))
    lines = -(-len(shown) // columns) if shown else 0
    most = max((sum(bool(row.seconds) for row in c.rows) for c in shown), default=0)
    figure = _figure(9.2, 1.6 + lines * (0.9 + 0.3 * most), title)
    for k, comparison in enumerate(shown):
        _bars(figure.add_subplot(lines, columns, k + 1), comparison, most, what)
    names = list(dict.fromkeys(row.name for c in shown for row in c.rows if row.seconds and row.name in ENGINES))
    handles: list[Any] = [Patch(color=_colour(name), label=f"{name}: {ENGINES[name]}") for name in names]
    handles.append(Line2D([], [], color="black", label="interval of the median (95 %);  ×: times as fast as the base"))
    figure.legend(handles=handles, loc="outside lower left", ncols=1, frameon=False, fontsize=9)
    return _png(figure)


def _bars(axes: Any, comparison: Comparison, lines: int, what: str) -> None:
    rows = [row for row in comparison.rows if row.seconds]
    unit, scale = _unit(max(row.median for row in rows))
    places = list(range(len(rows)))
    medians = [row.median * scale for row in rows]
    low, high = zip(*((row.interval[0] * scale, row.interval[1] * scale) for row in rows), strict=True)
    errors = [[m - x for m, x in zip(medians, low, strict=True)], [x - m for m, x in zip(medians, high, strict=True)]]
    colours = [_colour(row.name) for row in rows]
    axes.barh(places, medians, xerr=errors, color=colours, height=0.72, error_kw={"elinewidth": 1.2, "capsize": 2})
    for place, row, end in zip(places, rows, high, strict=True):
        times = f"  {row.ratio.median:.2f} ×" if row.ratio else "  base" if row.name == comparison.base else ""
        axes.annotate(f"{row.median * scale:.3g}{times}", (end, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [row.name for row in rows])
    axes.set_ylim(lines - 0.5, -0.5)  # bars of one width in all panels
    axes.set_xlim(0, 1.6 * max(high))
    axes.set_xlabel(f"{unit} for {what} (shorter is better)", loc="right")
    axes.set_title(comparison.title, loc="left", size=11, weight="bold")
    axes.spines[["top", "right"]].set_visible(False)


def draw_sweep(points: Mapping[str, Sequence[tuple[int, Comparison]]], title: str, axis: str, what: str) -> bytes:
    """Time against a size, both logarithmic: a panel for each model, a line for each engine.

    Args:
        points: by the panel's title, the sizes and what was measured there.
        axis: the size, in words.
    """
    columns = min(2, len(points))
    lines = -(-len(points) // columns)
    figure = _figure(9.2, 0.9 + 3.3 * lines, title)
    handles: dict[str, Any] = {}
    for k, (name, measured) in enumerate(points.items()):
        axes = figure.add_subplot(lines, columns, k + 1)
        _lines(axes, measured, handles)
        axes.set_title(name, loc="left", size=11, weight="bold")
        axes.set_xlabel(f"{axis} (log scale)")
        axes.set_ylabel(f"ms for {what} (log scale)")
    handles["interval of the median (95 %)"] = Patch(color="black", alpha=0.18, linewidth=0)
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=min(5, len(handles)), frameon=False
    )
    return _png(figure)


def _lines(axes: Any, measured: Sequence[tuple[int, Comparison]], handles: dict[str, Any]) -> None:
    names = list(dict.fromkeys(row.name for _, comparison in measured for row in comparison.rows))
    for name in names:
        rows = [(size, row) for size, comparison in measured if (row := comparison.row(name)) is not None]
        if not rows:
            continue
        sizes = [size for size, _ in rows]
        of_engine = name in COLOURS
        (line,) = axes.plot(
            sizes,
            [1000 * row.median for _, row in rows],
            "o-" if of_engine else "--",
            color=COLOURS.get(name, "black"),
            linewidth=1.8 if of_engine else 1.2,
            markersize=4,
        )
        intervals = [[1000 * row.interval[end] for _, row in rows] for end in (0, 1)]
        axes.fill_between(sizes, *intervals, color=line.get_color(), alpha=0.18, linewidth=0)
        handles.setdefault(name, line)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({size for size, _ in measured}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_formatter(FuncFormatter(_plain))
        each.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", alpha=0.3)


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, size=12, x=0.01, ha="left")
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _unit(seconds: float) -> tuple[str, float]:
    return ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)


def _colour(name: str) -> str:
    return COLOURS.get(name, OTHER)


def _plain(value: float, position: int | None) -> str:
    return f"{value:g}"
