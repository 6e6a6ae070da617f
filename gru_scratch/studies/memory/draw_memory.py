"""Accuracy against length, as a picture and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from gru_scratch.studies.memory.spans import SpanSummary
from gru_scratch.studies.memory.tasks import TASKS
from gru_scratch.training.drawing import cell_styles, grid, new_figure, png, short_name


def draw_spans(task: str, summaries: Sequence[SpanSummary], settings: str) -> bytes:
    """A PNG: for each cell the median accuracy over the seeds, the band from the lowest to the highest, and chance."""
    figure = new_figure()
    axes = figure.add_subplot()
    cells = list(dict.fromkeys(s.cell for s in summaries))
    for k, (cell, style) in enumerate(cell_styles(cells).items()):
        rows = sorted((s for s in summaries if s.cell == cell), key=lambda s: s.length)
        lengths = [s.length for s in rows]
        axes.fill_between(
            lengths, [s.lowest for s in rows], [s.highest for s in rows], color=style["color"], alpha=0.18, linewidth=0
        )
        wide = max(4.2 - 1.3 * k, 1.4)  # of cells that do the same, none hides another
        style |= {"linewidth": wide, "markersize": 1.5 + 2.1 * wide}
        axes.plot(lengths, [s.median for s in rows], label=short_name(cell), **style)
    axes.axhline(TASKS[task].chance, color="#555555", linestyle="--", linewidth=1.2, label="chance")
    ticks = sorted({s.length for s in summaries})
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(0, 1.04)
    axes.set_xlabel(f"{TASKS[task].length_label}, steps (log scale)")
    axes.set_ylabel("accuracy on new sequences")
    seeds = max(s.seeds for s in summaries)
    axes.set_title(f"{TASKS[task].label}: median of {seeds} seeds, band from worst to best\n{settings}", fontsize=10)
    grid(axes)
    figure.legend(loc="outside lower center", ncols=len(cells) + 1)
    return png(figure)


def table(summaries: Sequence[SpanSummary]) -> str:
    """Accuracies as lines of Markdown: median over the seeds, lowest to highest, and how many runs were solved."""
    lengths = sorted({s.length for s in summaries})
    lines = ["| cell | " + " | ".join(f"{length:,}" for length in lengths) + " |", "|---" * (len(lengths) + 1) + "|"]
    for cell in dict.fromkeys(s.cell for s in summaries):
        by_length = {s.length: s for s in summaries if s.cell == cell}
        lines.append(f"| {short_name(cell)} | " + " | ".join(_entry(by_length.get(n)) for n in lengths) + " |")
    return "\n".join(lines)


def _entry(s: SpanSummary | None) -> str:
    if s is None:
        return "-"
    spread = f" ({100 * s.lowest:.0f} to {100 * s.highest:.0f})" if s.highest - s.lowest >= 0.005 else ""
    return f"{100 * s.median:.0f} %{spread}, {s.solved}/{s.seeds}"
