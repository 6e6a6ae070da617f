"""The picture of a run: perplexity, gradient norm and the share of clipped updates; and the losses of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from gru_scratch.training.drawing import BLUE, GREEN, ORANGE, colour, grid, log_scale, new_figure, plain_logarithms, png

Records = Sequence[dict[str, Any]]


class RunLosses(NamedTuple):
    """The losses of a run that :func:`draw_losses` draws."""

    name: str
    records: Records
    tested: float | None
    """The loss on the test part of the text, if there was one."""


def draw_curve(history: Records, title: str, x: str = "epoch") -> bytes:
    """A PNG of training and held-out perplexity, gradient norm and clipped share, from a run's records.

    `x` is the horizontal axis: epoch, update or minutes. Perplexity and norm have logarithmic axes; records whose
    perplexity is infinite are left out.
    """
    figure = new_figure(7.0, 6.0)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _draw(above, history, x, "train_perplexity", "training text: {:.2f}", BLUE)
    _draw(above, history, x, "held_out_perplexity", "held-out text: {:.2f}", ORANGE, marker="o")
    above.set_ylabel("perplexity (log scale)")
    above.set_title(_printable(title), parse_math=False)  # the name of a text may hold dollar signs
    if above.lines:
        above.legend(title="perplexity at the end")
    _draw(below, history, x, "gradient_norm", "norm before clipping, mean", GREEN)
    for axes in (above, below):
        grid(axes)
        log_scale(axes)
    below.set_xlabel(x)
    below.set_ylabel("gradient norm (log scale)")
    shares = below.twinx()
    _draw(shares, history, x, "clipped_share", "updates that were clipped", colour(3), linestyle="--")
    shares.set_ylim(-0.03, 1.03)
    shares.set_ylabel("clipped share")
    if lines := [*below.lines, *shares.lines]:
        shares.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return png(figure)


def draw_losses(runs: Sequence[RunLosses], x: str = "minutes") -> bytes:
    """A PNG of several runs' held-out losses, in nats a token, against minutes, updates or epochs (log scale).

    A dot is a run's lowest loss; a star at its end is its loss on the test part of the text.
    """
    figure = new_figure(7.5, 4.5)
    axes = figure.subplots()
    for k, (name, records, tested) in enumerate(runs):
        _draw(axes, records, x, "held_out_loss", "_", colour(k))
        place, lowest = min(_points(records, x, "held_out_loss"), key=lambda point: point[1])
        label = _printable(name).replace("$", r"\$") + f", held out, lowest: {lowest:.3f}"
        axes.plot(place, lowest, "o-", color=colour(k), markersize=5, label=label)
        if tested is not None:
            star = f"test: {tested:.3f}"
            axes.plot(records[-1][x], tested, "*", color=colour(k), markersize=13, label=star)
    axes.set_xscale("log")
    plain_logarithms(axes.xaxis, *axes.get_xlim())
    grid(axes)
    axes.set_xlabel(f"{x} of training (log scale)")
    axes.set_ylabel("loss, nats a token")
    axes.legend()
    return png(figure)


def _printable(name: str) -> str:
    """A name without characters that cannot be drawn: that of a file may hold bytes that are no character."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _draw(axes: Axes, history: Records, x: str, key: str, label: str, color: str, **style: Any) -> None:
    """Draw a line through the values of a key in the records; a single point is marked."""
    if points := _points(history, x, key):
        marker: dict[str, Any] = {"marker": "o"} if len(points) == 1 else {}
        places, values = zip(*points, strict=True)
        style = {"color": color, "markersize": 3.5, "linewidth": 1.6, **style, **marker}
        axes.plot(places, values, label=label.format(values[-1]), **style)


def _points(history: Records, x: str, key: str) -> list[tuple[float, float]]:
    return [(record[x], record[key]) for record in history if record.get(key) is not None]
