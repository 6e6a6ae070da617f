"""The picture of a run: perplexity against epochs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter


def draw_curve(history: Sequence[dict[str, Any]], title: str) -> bytes:
    """A PNG of training and held-out perplexity after each epoch, from a run's records.

    Perplexity is drawn on a logarithmic axis; epochs whose perplexity is infinite are left out.
    """
    figure = Figure(figsize=(7.0, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for key, label, style in (
        ("train_perplexity", "training text", "-"),
        ("held_out_perplexity", "held-out text", "o-"),
    ):
        points = [(record["epoch"], record[key]) for record in history if record.get(key) is not None]
        if points:
            epochs, values = zip(*points, strict=True)
            name = f"{label}: {values[-1]:.2f}"
            # A single point is no line: mark it.
            axes.plot(epochs, values, "o" if len(points) == 1 else style, markersize=3.5, linewidth=1.6, label=name)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(FuncFormatter(_plain) if _span(axes.get_ylim()) < 12 else NullFormatter())
    axes.set_xlabel("epoch")
    axes.set_ylabel("perplexity (log scale)")
    axes.set_title(title)
    axes.grid(True, which="both", alpha=0.25)
    if axes.lines:
        axes.legend(title="perplexity at the end")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _span(limits: tuple[float, float]) -> float:
    return limits[1] / limits[0]


def _plain(value: float, position: int | None) -> str:
    return f"{value:g}"
