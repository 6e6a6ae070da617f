"""Comparisons as pictures (PNG); nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator

from gru_scratch.benchmark.compare_options import ENGINES
from gru_scratch.benchmark.comparison import Comparison
from gru_scratch.training.drawing import BLUE, PLAIN, grid, log_scale, new_figure, png

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "builtin": "#6b6b6b",
        "builtin-compiled": "#a5a5a5",
        "builtin-unrolled": "#cccccc",
        "textbook": "#56b4e9",
        "textbook-layer": "#009e73",
        "fused": BLUE,
        "fused-compiled": "#cc79a7",
        "native": "#d55e00",
    }
)
"""Of engines, the same in all pictures; colour-blind readers tell them apart."""

OTHER = "#3a6b8c"
"""Of what is no engine."""

WHISKERS = 1.25
"""Times the longest bar: how far an interval is drawn; where it goes further, its end stands beside it in figures."""


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
    figure = _figure(1.6 + lines * (0.9 + 0.3 * most), title)
    for k, comparison in enumerate(shown):
        _bars(figure.add_subplot(lines, columns, k + 1), comparison, most, what)
    names = list(dict.fromkeys(row.name for c in shown for row in c.rows if row.seconds and row.name in ENGINES))
    handles = [Patch(color=_colour(name), label=f"{name}: {ENGINES[name]}") for name in names]
    figure.legend(
        handles=handles if len(handles) > 1 else [],  # one alone is named at its bar
        title="median and its interval (95 %);  ×: times as fast as the base, median of the rounds' ratios",
        alignment="left",
        loc="outside lower left",
        frameon=False,
        fontsize=9,
        title_fontsize=9,
    )
    return png(figure)


def _bars(axes: Any, comparison: Comparison, lines: int, what: str) -> None:
    rows = [row for row in comparison.rows if row.seconds]
    unit, scale = _unit(max(row.median for row in rows))
    places = list(range(len(rows)))
    medians = [row.median * scale for row in rows]
    edge = WHISKERS * max(medians)
    low, high = ([row.interval[end] * scale for row in rows] for end in (0, 1))
    ends = [max(median, min(end, edge)) for median, end in zip(medians, high, strict=True)]
    errors = [[m - x for m, x in zip(medians, low, strict=True)], [x - m for m, x in zip(medians, ends, strict=True)]]
    colours = [_colour(row.name) for row in rows]
    axes.barh(places, medians, xerr=errors, color=colours, height=0.72, error_kw={"elinewidth": 1.2, "capsize": 2})
    for place, row, end, whole in zip(places, rows, ends, high, strict=True):
        times = f"  {row.ratio.median:.2f} ×" if row.ratio else "  base" if row.name == comparison.base else ""
        cut = f"  (to {whole:.3g})" if whole > end else ""
        text = f"{row.median * scale:.3g}{cut}{times}"
        axes.annotate(text, (end, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [row.name for row in rows])
    axes.set_ylim(lines - 0.5, -0.5)  # bars of one width in all panels
    axes.set_xlim(0, (1.6 if ends == high else 2.3) * max(ends))
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
    figure = _figure(0.9 + 3.3 * lines, title)
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
    return png(figure)


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
    axes.xaxis.set_major_locator(FixedLocator(sorted({size for size, _ in measured})))
    axes.xaxis.set_major_formatter(PLAIN)
    log_scale(axes)
    grid(axes)


def _figure(height: float, title: str) -> Figure:
    figure = new_figure(9.2, height)
    figure.suptitle(title, size=12, x=0.01, ha="left")
    return figure


def _unit(seconds: float) -> tuple[str, float]:
    return ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)


def _colour(name: str) -> str:
    return COLOURS.get(name, OTHER)
