"""Forecasts and their errors, as a picture and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gru_scratch.studies.forecast.regression import Errors, ForecastStudy
from gru_scratch.training.drawing import cell_styles, grid, log_scale, new_figure, png, short_name

BASELINES: dict[str, dict[str, Any]] = {
    "persistence": {"color": "#888888", "linestyle": ":"},
    "linear": {"color": "#000000", "linestyle": "--"},
}
NAMES = {"persistence": "persistence", "linear": "linear autoregression"}
ONE_STEP_SHOWN = 150


def draw_forecasts(study: ForecastStudy, title: str) -> bytes:
    """A PNG: errors one step ahead from the start of the test part on, a free run from there, and errors by horizon."""
    figure = new_figure(height=8.4)
    ahead, free, errors = figure.subplots(3, 1)
    start, horizon = study.division.validation, len(study.errors[0].by_horizon)
    shown = min(ONE_STEP_SHOWN, study.division.length - start)
    before = min(horizon // 2, start)
    truth = np.array(study.values)
    (series,) = free.plot(
        range(start - before, start + horizon),
        truth[start - before : start + horizon],
        color="#bbbbbb",
        linewidth=4,
        label="series",
    )
    free.axvline(start - 0.5, color="#333333", linewidth=0.8)
    for name, group in by_name(study).items():
        style = _style(name, study)
        first = group[0]
        if name != "persistence":
            wrong = np.array(first.one_step_values[:shown]) - truth[start : start + shown]
            ahead.plot(range(start, start + shown), wrong, linewidth=1.2, **style)
        free.plot(range(start, start + horizon), first.free_values, linewidth=1.4, **style)
        _error_lines(errors, name, group, style)
    ahead.axhline(0, color="#bbbbbb", linewidth=4, zorder=0)
    _name(ahead, "time step", "forecast less value", "Errors one step ahead, on the test part")
    free.set_ylim(*_around(truth[start - before : start + horizon]))
    _name(free, "time step", "value", "Free-running from the start of the test part")
    seeds = max(len(group) for group in by_name(study).values())
    errors_title = f"Error of free runs from {study.origins} starting points: median and spread of {seeds} seeds"
    _name(errors, "horizon, steps ahead", "root mean squared\nerror (log)", errors_title)
    errors.set_yscale("log")
    errors.set_ylim(top=min(errors.get_ylim()[1], 30 * study.scaling.deviation))
    log_scale(errors)
    handles, labels = errors.get_legend_handles_labels()
    figure.legend([series, *handles], ["series", *labels], loc="outside lower center", ncols=3, fontsize=9)
    figure.suptitle(title, fontsize=12)
    return png(figure)


def by_name(study: ForecastStudy) -> dict[str, list[Errors]]:
    """The forecasters, each with what it did from every seed."""
    groups: dict[str, list[Errors]] = {}
    for each in study.errors:
        groups.setdefault(each.name, []).append(each)
    return groups


def table(study: ForecastStudy) -> str:
    """Errors as lines of Markdown: the median over the seeds, and the lowest to the highest."""
    horizon = len(study.errors[0].by_horizon)
    horizons = sorted({h for h in (2, 5, 10, 20, 50, 100, 200, 500) if h < horizon} | {horizon})
    lines = [
        "| forecast | parameters | one step | " + " | ".join(f"{h} ahead" for h in horizons) + " |",
        "|---" * (len(horizons) + 3) + "|",
    ]
    for name, group in by_name(study).items():
        columns = [[e.one_step for e in group], *([e.by_horizon[h - 1] for e in group] for h in horizons)]
        entries = " | ".join(_entry(column) for column in columns)
        lines.append(f"| {NAMES.get(name) or short_name(name)} | {group[0].parameters:,} | {entries} |")
    return "\n".join(lines)


def _entry(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{median(values):.3g} ({min(values):.2g} to {max(values):.2g})"


def _style(name: str, study: ForecastStudy) -> dict[str, Any]:
    if name in BASELINES:
        return BASELINES[name]
    cells = [key for key in by_name(study) if key not in BASELINES]
    return {"color": cell_styles(cells)[name]["color"]}


def _error_lines(axes: Axes, name: str, group: Sequence[Errors], style: dict[str, Any]) -> None:
    errors = np.array([each.by_horizon for each in group])
    horizons = np.arange(1, errors.shape[1] + 1)
    label = NAMES.get(name) or short_name(name)
    axes.plot(horizons, np.median(errors, 0), linewidth=1.8, label=label, **style)
    if len(group) > 1:
        axes.fill_between(horizons, errors.min(0), errors.max(0), color=style["color"], alpha=0.15, linewidth=0)


def _around(truth: Any) -> tuple[float, float]:
    """Limits around the true values: a forecast that runs away leaves the picture."""
    low, high = float(truth.min()), float(truth.max())
    margin = 0.35 * (high - low) or 1.0
    return low - margin, high + margin


def _name(axes: Axes, xlabel: str, ylabel: str, title: str) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, fontsize=10)
    grid(axes)
