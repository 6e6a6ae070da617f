"""Hyperparameters that an object keeps by itself, and the board on which a model's progress is drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from matplotlib import pyplot as plt

from gru_scratch.d2l.notebook import LivePicture, in_notebook, use_svg_display

F = TypeVar("F", bound=Callable[..., Any])


def add_to_class(Class: type) -> Callable[[F], F]:
    """Make the decorated function a method of an existing class, and so of the objects that it already has."""

    def add(method: F) -> F:
        setattr(Class, method.__name__, method)
        return method

    return add


class HyperParameters:
    """Base of classes whose constructor's arguments become attributes."""

    hparams: dict[str, Any]

    def save_hyperparameters(self, ignore: Sequence[str] = ()) -> None:
        """Keep the local variables of the calling method as attributes, and all of them in `hparams`.

        Those in `ignore` and those whose name begins with an underscore are left out.
        """
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        left_out = {"self", *ignore}
        local = frame.f_back.f_locals
        self.hparams = {k: v for k, v in local.items() if k not in left_out and not k.startswith("_")}
        for name, value in self.hparams.items():
            setattr(self, name, value)


class Point(NamedTuple):
    """A point of a curve."""

    x: Any
    y: Any


class ProgressBoard(HyperParameters):
    """Curves that grow while a model trains: kept in `data` by label, and drawn where a notebook can show them."""

    xlabel: str | None
    ylabel: str | None
    xlim: Any
    ylim: Any
    xscale: str
    yscale: str
    ls: Sequence[str]
    colors: Sequence[str]
    fig: Any
    axes: Any
    figsize: tuple[float, float]
    display: bool

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        xlim: Any = None,
        ylim: Any = None,
        xscale: str = "linear",
        yscale: str = "linear",
        ls: Sequence[str] = ("-", "--", "-.", ":"),
        colors: Sequence[str] = ("C0", "C1", "C2", "C3"),
        fig: Any = None,
        axes: Any = None,
        figsize: tuple[float, float] = (3.5, 2.5),
        display: bool = True,
    ) -> None:
        self.save_hyperparameters()
        self.raw_points: dict[str, list[Point]] = {}
        self.data: dict[str, list[Point]] = {}
        self._picture: LivePicture | None = None

    def draw(self, x: Any, y: Any, label: str, every_n: int = 1) -> None:
        """Note a point of the curve `label`; of every `every_n` points their mean becomes one of the curve's."""
        waiting = self.raw_points.setdefault(label, [])
        curve = self.data.setdefault(label, [])
        waiting.append(Point(x, y))
        if len(waiting) == every_n:
            curve.append(Point(*(sum(values) / every_n for values in zip(*waiting, strict=True))))
            waiting.clear()
            if self.display and in_notebook():
                self._show()

    def _show(self) -> None:
        if self._picture is None:
            use_svg_display()
            self.fig = self.fig or plt.figure(figsize=self.figsize)
            self.axes = self.axes or self.fig.gca()
            self._picture = LivePicture(self.fig)
        self.axes.cla()
        for (label, curve), style, color in zip(self.data.items(), self.ls, self.colors, strict=False):
            xs, ys = zip(*curve, strict=True) if curve else ((), ())
            self.axes.plot(xs, ys, linestyle=style, color=color, label=label)
        self.axes.set(xlabel=self.xlabel, ylabel=self.ylabel, xscale=self.xscale, yscale=self.yscale)
        self.axes.set(xlim=self.xlim, ylim=self.ylim)
        self.axes.legend()
        self._picture.show()
