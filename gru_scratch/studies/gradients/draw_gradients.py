"""The pictures of gradient flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gru_scratch.studies.gradients.flow import Flow
from gru_scratch.studies.gradients.runs import GradientRun, Look
from gru_scratch.training.drawing import (
    BLUE,
    ORANGE,
    PALETTE,
    colour,
    grid,
    log_scale,
    new_figure,
    png,
    shades,
    short_name,
)

FLOOR = 1e-16
"""The lower edge of the pictures: added to 1, float64 itself loses what is smaller."""
DRAWN = (1e-200, 1e200)
"""A logarithmic axis has no place for 0 and infinity."""
SATURATED = 1e-2
"""Where less than this is left of a change after one step, an exploded update has driven the units to their ends."""
FLOW_LABEL = "largest singular value\nof ∂(last state)/∂(state k before)"


def draw_starts(starts: Mapping[str, Mapping[str, Sequence[Look]]]) -> bytes:
    """A PNG: norm against k before training, a panel a cell; cell → way to begin → a look for each seed."""
    figure = new_figure(height=3.9)
    panels = figure.subplots(1, len(starts), sharey=True, squeeze=False)[0]
    for axes, (cell, ways) in zip(panels, starts.items(), strict=True):
        for color, (way, looks) in zip(PALETTE, ways.items(), strict=False):
            _flows(axes, [look.flow for look in looks], color=color, label=way)
        _flow_axes(axes, short_name(cell))
    panels[0].set_ylabel(FLOW_LABEL)
    _shared_height(panels)
    _legend_below(figure, panels[0], "initial values")
    figure.suptitle("Before training: how much of a small change can be left k steps later", fontsize=12)
    return png(figure)


def draw_training(runs: Sequence[GradientRun]) -> bytes:
    """A PNG: norm against k through training, a line a seed; a column a cell, a row with and a row without clipping."""
    cells = list(dict.fromkeys(run.cell for run in runs))
    clips = list(dict.fromkeys(run.clip for run in runs))
    figure = new_figure(height=2.7 * len(clips) + 1.2)
    panels = figure.subplots(len(clips), len(cells), sharex=True, sharey=True, squeeze=False)
    updates = sorted({look.update for run in runs for look in run.looks})
    for row, clip in zip(panels, clips, strict=True):
        for axes, cell in zip(row, cells, strict=True):
            looks = [look for run in runs if (run.cell, run.clip) == (cell, clip) for look in run.looks]
            for color, update in zip(shades(len(updates)), updates, strict=True):
                for k, flow in enumerate(look.flow for look in looks if look.update == update):
                    label = f"{update:,}" if k == 0 else None
                    axes.plot(flow.lags, np.clip(flow.norms, *DRAWN), color=color, linewidth=1.2, label=label)
            if any(look.flow.norms[0] < SATURATED for look in looks):
                axes.text(0.26, 0.05, "saturated units:\nall lost in a step", transform=axes.transAxes, fontsize=7)
            _flow_axes(axes, f"{short_name(cell)}, {_clipping(clip)}")
            axes.label_outer()
        row[0].set_ylabel(FLOW_LABEL)
    _shared_height(panels.flat)
    _legend_below(figure, panels[0][0], "updates")
    figure.suptitle("Through training: how much of a small change can be left k steps later", fontsize=12)
    return png(figure)


def draw_matrices(runs: Sequence[GradientRun]) -> bytes:
    """A PNG: a column a cell; rows: largest singular values of the recurrent blocks, gradient norms, losses."""
    cells = list(dict.fromkeys(run.cell for run in runs))
    figure = new_figure(height=7.6)
    panels = figure.subplots(3, len(cells), sharex="row", sharey="row", squeeze=False)
    for column, cell in enumerate(cells):
        own = [run for run in runs if run.cell == cell]
        matrix, gradient, loss = panels[:, column]
        _singular_values(matrix, own)
        matrix.set_title(short_name(cell))
        for run in own:
            style = {"color": BLUE, "linewidth": 0.7, "zorder": 3}
            if run.clip is None:  # below, and broad, so that it shows where the two are the same
                style = {"color": ORANGE, "linewidth": 1.8, "alpha": 0.5, "zorder": 2}
            label = _clipping(run.clip) if run.seed == own[0].seed else None
            x = np.arange(1, len(run.losses) + 1)
            gradient.plot(x, run.gradient_norms, label=label, **style)
            loss.plot(x, run.losses, label=label, **style)
        for clip in sorted({run.clip for run in own if run.clip is not None}):
            gradient.axhline(clip, color="#333333", linestyle="--", linewidth=1)
        for axes in (gradient, loss):
            log_scale(axes)
            axes.set_xlabel("update")
        for axes in (matrix, gradient, loss):
            grid(axes)
    panels[0][0].set_ylabel("largest singular value of\neach recurrent block (log)")
    panels[1][0].set_ylabel("gradient norm\nbefore clipping (log)")
    panels[2][0].set_ylabel("training loss, nats a\ncharacter (log)")
    panels[2][-1].legend(fontsize=8)
    return png(figure)


def _singular_values(axes: Axes, runs: Sequence[GradientRun]) -> None:
    """A line for each gate and seed; dashed without clipping."""
    for run in runs:
        updates = [look.update for look in run.looks]
        gates = list(run.looks[0].singular_values) if run.looks else []
        for k, gate in enumerate(gates):
            values = [look.singular_values[gate] for look in run.looks]
            name = gate if len(gates) > 1 else "recurrent matrix"
            label = name if run is runs[0] else None
            dashes = "--" if run.clip is None else "-"
            axes.plot(updates, values, dashes, color=colour(k), marker=".", linewidth=1, label=label)
    axes.axhline(1, color="#333333", linewidth=0.8, linestyle=":")
    axes.set_xlabel("update")
    log_scale(axes)
    if axes.lines[:-1]:
        axes.legend(title="dashed: not clipped", fontsize=8, title_fontsize=8, ncols=2)


def _flows(axes: Axes, flows: Sequence[Flow], color: Any, label: str) -> None:
    """Geometric mean over the seeds, and the band of all sequences of all seeds."""
    lags = flows[0].lags
    mean = np.exp(np.log(np.clip([flow.norms for flow in flows], *DRAWN)).mean(0))
    low = np.clip([flow.lowest for flow in flows], *DRAWN).min(0)
    high = np.clip([flow.highest for flow in flows], *DRAWN).max(0)
    axes.plot(lags, mean, color=color, label=label, linewidth=1.8)
    axes.fill_between(lags, low, high, color=color, alpha=0.15, linewidth=0)


def _flow_axes(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(1, color="#333333", linewidth=0.8, linestyle=":")
    axes.set_xlabel("k, steps (log)")
    axes.set_title(title, fontsize=11)
    grid(axes)


def _shared_height(panels: Iterable[Axes]) -> None:
    """From the floor to a little above the highest line of panels that share their axis."""
    panels = list(panels)
    highest = max(float(np.max(np.asarray(line.get_ydata()))) for axes in panels for line in axes.lines)
    panels[0].set_ylim(FLOOR, 30 * highest)


def _clipping(clip: float | None) -> str:
    return "not clipped" if clip is None else f"clipped at {clip:g}"


def _legend_below(figure: Any, axes: Axes, title: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, title=title, loc="outside lower center", ncols=len(labels), fontsize=9)
