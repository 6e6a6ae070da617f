"""Pictures in a notebook, as the book draws them: a plot at once, or one that grows while a model trains."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot as plt

FORMATS = ("-", "m--", "g-.", "r:")


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: then there is somewhere to show a picture."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def use_svg_display() -> None:
    """Let a notebook show pictures as SVG."""
    if in_notebook():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """The size of the figures to come, in inches."""
    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def set_axes(
    axes: Any, xlabel: Any, ylabel: Any, xlim: Any, ylim: Any, xscale: str, yscale: str, legend: Sequence[str] | None
) -> None:
    """Labels, limits, scales, legend and grid of a plot."""
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale, xlim=xlim, ylim=ylim)
    if legend:
        axes.legend(legend)
    axes.grid()


def plot(
    X: Any,
    Y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: Sequence[str] | None = None,
    xlim: Any = None,
    ylim: Any = None,
    xscale: str = "linear",
    yscale: str = "linear",
    fmts: Sequence[str] = FORMATS,
    figsize: tuple[float, float] = (3.5, 2.5),
    axes: Any = None,
) -> None:
    """Draw one curve or several: of `Y` over `X`, or with one argument of `X` over 0, 1, 2, ..."""
    set_figsize(figsize)
    axes = plt.gca() if axes is None else axes
    curves = _curves(X if Y is None else Y)
    places = [range(len(curve)) for curve in curves] if Y is None else _curves(X)
    if len(places) != len(curves):
        places = places * len(curves)
    axes.cla()
    for x, y, fmt in zip(places, curves, fmts, strict=False):
        axes.plot(x, y, fmt)
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def _curves(values: Any) -> list[Any]:
    """A list of curves, also where one curve is given by itself, as a tensor or a list of numbers."""
    one = values.ndim == 1 if hasattr(values, "ndim") else not hasattr(values[0], "__len__")
    return [values] if one else list(values)


class Animator:
    """A plot that grows point by point: drawn anew in a notebook each time, and not at all outside one."""

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        legend: Sequence[str] | None = None,
        xlim: Any = None,
        ylim: Any = None,
        xscale: str = "linear",
        yscale: str = "linear",
        fmts: Sequence[str] = FORMATS,
        nrows: int = 1,
        ncols: int = 1,
        figsize: tuple[float, float] = (3.5, 2.5),
    ) -> None:
        self.X: list[list[Any]] = []
        self.Y: list[list[Any]] = []
        self.fmts = fmts
        self.options = (xlabel, ylabel, xlim, ylim, xscale, yscale, legend)
        self.draws = in_notebook()
        if self.draws:
            use_svg_display()
            self.fig, axes = plt.subplots(nrows, ncols, figsize=figsize, squeeze=False)
            self.axes = list(axes.flat)

    def add(self, x: Any, y: Any) -> None:
        """One more point of each curve; None leaves a curve as it is."""
        ys = list(y) if hasattr(y, "__len__") else [y]
        xs = list(x) if hasattr(x, "__len__") else [x] * len(ys)
        self.X = self.X or [[] for _ in ys]
        self.Y = self.Y or [[] for _ in ys]
        for i, (a, b) in enumerate(zip(xs, ys, strict=False)):
            if a is not None and b is not None:
                self.X[i].append(a)
                self.Y[i].append(b)
        if self.draws:
            self._draw()

    def _draw(self) -> None:
        from IPython import display

        self.axes[0].cla()
        for x, y, fmt in zip(self.X, self.Y, self.fmts, strict=False):
            self.axes[0].plot(x, y, fmt)
        set_axes(self.axes[0], *self.options)
        display.display(self.fig)
        display.clear_output(wait=True)
