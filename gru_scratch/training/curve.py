"""The picture of a run: perplexity, and below it the gradients' norm and how many of them were clipped.

And that of several runs: their losses.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

Records = Sequence[dict[str, Any]]


class RunLosses(NamedTuple):
    """What :func:`draw_losses` draws of a run."""

    name: str
    records: Records
    tested: float | None
    """The loss on the text that was put aside, where there was one."""


def draw_curve(history: Records, title: str, x: str = "epoch") -> bytes:
    """A PNG of training and held-out perplexity, gradient norm and clipped share, from a run's records.

    `x` is what they are drawn against: epoch, update or minutes. Perplexity and norm have logarithmic axes; records
    whose perplexity is infinite are left out.
    """
    figure = Figure(figsize=(7.0, 6.0), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    for key, label, style in (
        ("train_perplexity", "training text", "-"),
        ("held_out_perplexity", "held-out text", "o-"),
    ):
        _draw(above, history, x, key, label + ": {:.2f}", style)
    _log_scale(above)
    above.set_ylabel("perplexity (log scale)")
    above.set_title(_printable(title), parse_math=False)  # the name of a text may hold dollar signs
    if above.lines:
        above.legend(title="perplexity at the end")
    _draw(below, history, x, "gradient_norm", "norm before clipping, mean", "C2-")
    _log_scale(below)
    below.set_xlabel(x)
    below.set_ylabel("gradient norm (log scale)")
    shares = below.twinx()
    _draw(shares, history, x, "clipped_share", "updates that were clipped", "C3--")
    shares.set_ylim(-0.03, 1.03)
    shares.set_ylabel("clipped share")
    if lines := [*below.lines, *shares.lines]:
        shares.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return _png(figure)


def draw_losses(runs: Sequence[RunLosses], x: str = "minutes") -> bytes:
    """A PNG of several runs' held-out losses, in nats a token, against minutes, updates or epochs (log scale).

    A star at a run's end is its loss on the text that was put aside, read once.
    """
    figure = Figure(figsize=(7.5, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for k, (name, records, tested) in enumerate(runs):
        label = _printable(name).replace("$", r"\$") + ", held out: {:.3f}"
        _draw(axes, records, x, "held_out_loss", label, f"C{k % 10}-")
        if tested is not None:
            axes.plot(records[-1][x], tested, f"C{k % 10}*", markersize=13, label=f"put aside, read once: {tested:.3f}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.grid(True, which="both", alpha=0.25)
    axes.set_xlabel(f"{x} of training (log scale)")
    axes.set_ylabel("loss, nats a token")
    axes.legend(title="loss at the end")
    return _png(figure)


def _printable(name: str) -> str:
    """The name of a file may hold bytes that are no character."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(axes: Axes, history: Records, x: str, key: str, label: str, style: str) -> None:
    points = [(record[x], record[key]) for record in history if record.get(key) is not None]
    if not points:
        return
    places, values = zip(*points, strict=True)
    # A single point is no line: mark it.
    style = style.replace("o", "").rstrip("-") + "o" if len(points) == 1 else style
    axes.plot(places, values, style, markersize=3.5, linewidth=1.6, label=label.format(values[-1]))


def _log_scale(axes: Axes) -> None:
    """A logarithmic axis with plain numbers, and a grid; a norm of 0 cannot be drawn on it and is left out."""
    axes.grid(True, which="both", alpha=0.25)
    if not any((np.asarray(line.get_ydata()) > 0).any() for line in axes.lines):
        return
    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(FuncFormatter(_plain) if high / low < 12 else NullFormatter())


def _plain(value: float, position: int | None) -> str:
    return f"{value:g}"
