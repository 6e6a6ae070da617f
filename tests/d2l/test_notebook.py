"""Pictures: what the book draws, where a notebook can show it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import matplotlib as mpl
import pytest
import torch

from gru_scratch import d2l
from gru_scratch.d2l import notebook


@pytest.fixture(autouse=True)
def _draw_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made without a window."""
    mpl.use("agg")


def figure_of(draw: Callable[..., None], *args: Any, **options: Any) -> Any:
    draw(*args, **options)
    return d2l.plt.gca()


def lines_of(axes: Any) -> list[tuple[list[float], list[float], Any, Any]]:
    return [(list(l.get_xdata()), list(l.get_ydata()), l.get_linestyle(), l.get_color()) for l in axes.lines]  # noqa: E741


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (([3, 1, 2],), {"xscale": "log", "yscale": "log", "xlabel": "token: x"}),
        (([[3, 1, 2], [5, 6]],), {"legend": ["a", "b"], "xlim": [0, 5]}),
        (([1, 2, 3], [[4, 5, 6], [7, 8, 9]]), {"ylim": [0, 10], "ylabel": "y"}),
        ((torch.arange(3), torch.arange(3) ** 2), {}),
    ],
)
def test_plot_draws_what_the_book_draws(book: ModuleType, args: Any, options: Any) -> None:
    seen = []
    for package in (d2l, book):
        figure, axes = d2l.plt.subplots()
        package.plot(*args, **options, axes=axes)
        legend = axes.get_legend()
        seen.append(
            (
                lines_of(axes),
                axes.get_xlabel(),
                axes.get_ylabel(),
                axes.get_xscale(),
                axes.get_yscale(),
                axes.get_xlim(),
                axes.get_ylim(),
                [entry.get_text() for entry in legend.get_texts()] if legend else None,
            )
        )
        d2l.plt.close(figure)
    assert seen[0] == seen[1]
    assert seen[0][0]


def test_animator_does_nothing_outside_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    before = d2l.plt.get_fignums()
    animator = d2l.Animator(xlabel="epoch", legend=["train"], xlim=[10, 500])
    animator.add(10, [3.0])
    assert d2l.plt.get_fignums() == before
    assert capsys.readouterr() == ("", "")


def test_animator_draws_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once below each cell; what follows in the same cell brings that picture up to date."""
    seen: list[Any] = []
    shell = SimpleNamespace(kernel=object(), execution_count=1)

    def show(figure: Any, display_id: bool) -> Any:
        assert display_id
        seen.append(("shown", figure))
        return SimpleNamespace(update=lambda figure: seen.append(("updated", figure)))

    ipython = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=show))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(notebook, "use_svg_display", lambda: None)
    before = d2l.plt.get_fignums()
    animator = d2l.Animator(xlabel="epoch", ylabel="perplexity", legend=["train", "test"], xlim=[10, 500])
    animator.add(10, [3.0, None])
    animator.add(20, (2.0, 4.0))
    shell.execution_count = 2
    animator.add(30, (None, None))
    assert seen == [("shown", animator.fig), ("updated", animator.fig), ("shown", animator.fig)]
    assert d2l.plt.get_fignums() == before
    (axes,) = animator.axes
    assert [(xs, ys) for xs, ys, *_ in lines_of(axes)] == [([10, 20], [3.0, 2.0]), ([20], [4.0])]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xlim()) == ("epoch", "perplexity", (10, 500))


def test_heat_maps_are_the_books(book: ModuleType) -> None:
    matrices = torch.rand(2, 3, 4, 5, requires_grad=True)
    seen = []
    for package in (d2l, book):
        package.show_heatmaps(matrices, "Keys", "Queries", titles=["a", "b", "c"], figsize=(3, 4), cmap="Blues")
        figure = d2l.plt.gcf()
        seen.append(
            [
                (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(), [i.get_array().tolist() for i in ax.images])
                for ax in figure.axes[:6]
            ]
        )
        seen[-1].append((figure.get_size_inches().tolist(), len(figure.axes), figure.axes[0].images[0].get_cmap().name))
        d2l.plt.close(figure)
    assert seen[0] == seen[1]


def test_histogram_of_lengths_is_the_books(book: ModuleType) -> None:
    seen = []
    for package in (d2l, book):
        d2l.plt.figure()
        package.show_list_len_pair_hist(["one", "two"], "tokens", "count", [[1], [1, 2], [3]], [[1] * 9, [2], [4, 5]])
        axes = d2l.plt.gca()
        bars = [(bar.get_x(), bar.get_height(), bar.get_hatch()) for bar in axes.patches]
        labels = [entry.get_text() for entry in axes.get_legend().get_texts()]
        seen.append([bars, axes.get_xlabel(), axes.get_ylabel(), labels])
        d2l.plt.close()
    assert seen[0] == seen[1]
