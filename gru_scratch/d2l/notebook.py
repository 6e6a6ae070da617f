"""Pictures in a notebook, as the book draws them: a plot at once, or one that grows while a model trains."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
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


def show_list_len_pair_hist(legend: Sequence[str], xlabel: str, ylabel: str, xlist: Any, ylist: Any) -> None:
    """The histogram of the lengths of the entries of two lists, side by side; the second is hatched."""
    set_figsize()
    bars: Any = plt.hist([[len(entry) for entry in entries] for entries in (xlist, ylist)])[2]
    for bar in bars[1]:
        bar.set_hatch("/")
    plt.xlabel(xlabel)
    plt.ylabel(ylabel)
    plt.legend(legend)


def show_heatmaps(
    matrices: Any,
    xlabel: str,
    ylabel: str,
    titles: Sequence[str] | None = None,
    figsize: tuple[float, float] = (2.5, 2.5),
    cmap: str = "Reds",
) -> None:
    """A picture of each matrix of a tensor (rows, columns, height, width), in rows and columns, with one colour bar."""
    use_svg_display()
    rows, columns = matrices.shape[:2]
    figure, axes = plt.subplots(rows, columns, figsize=figsize, sharex=True, sharey=True, squeeze=False)
    for (i, j), place in np.ndenumerate(axes):
        image = place.imshow(matrices[i, j].detach().cpu().numpy(), cmap=cmap)
        place.set(xlabel=xlabel if i == rows - 1 else "", ylabel="" if j else ylabel)
        if titles:
            place.set_title(titles[j])
    figure.colorbar(image, ax=axes, shrink=0.6)


class LivePicture:
    """A figure that a notebook shows below the cell that draws it, and brings up to date in its place."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        self.cell: int | None = None
        self.handle: Any = None
        plt.close(figure)  # or else the notebook would show it once more at the end of the cell

    def show(self) -> None:
        """Show the figure as it is now."""
        from IPython import display, get_ipython

        cell = get_ipython().execution_count
        if cell == self.cell:
            self.handle.update(self.figure)
        else:
            self.cell, self.handle = cell, display.display(self.figure, display_id=True)


class Animator:
    """A plot that grows point by point in a notebook; outside one nothing is drawn."""

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
            self.picture = LivePicture(self.fig)

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
        self.axes[0].cla()
        for x, y, fmt in zip(self.X, self.Y, self.fmts, strict=False):
            self.axes[0].plot(x, y, fmt)
        set_axes(self.axes[0], *self.options)
        self.picture.show()
