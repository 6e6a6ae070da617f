"""Pictures that grow in a notebook: a notebook is run, and its outputs are looked at."""

from __future__ import annotations

import os
from typing import Any

import pytest
from support.paths import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

MINUTES = 5

V1_SET_UP = """
from gru_scratch.d2l import v1 as d2l
import torch

class Line(d2l.DataModule):
    def __init__(self):
        super().__init__()
        self.batch_size = 4
        self.X = torch.linspace(-1, 1, 32).reshape(-1, 1)

    def get_dataloader(self, train):
        return self.get_tensorloader((self.X, 2 * self.X), train)

model, trainer = d2l.LinearRegression(0.1), d2l.Trainer(max_epochs=4)
"""
V017_SET_UP = """
from gru_scratch import d2l

train_iter, vocab = d2l.load_data_time_machine(16, 10, max_tokens=1000)
animator = d2l.Animator(xlabel="epoch", ylabel="loss", legend=["train", "test"], xlim=[1, 3])
"""
NO_FIGURE = "print(d2l.plt.get_fignums())"


@pytest.fixture(scope="module")
def ran() -> list[list[Any]]:
    """The outputs of each cell of a notebook that draws with both editions."""
    sources = [
        V1_SET_UP,
        "print('before'); trainer.fit(model, Line()); print('after')",
        "trainer.fit(model, Line())",
        NO_FIGURE,
        V017_SET_UP,
        "animator.add(1, (3.0, 4.0)); print('between'); animator.add(2, (2.0, 3.0)); animator.add(3, (1.0, None))",
        "import torch; from torch import nn\n"
        "net = d2l.RNNModel(nn.GRU(len(vocab), 8), len(vocab))\n"
        "d2l.train_ch8(net, train_iter, vocab, 1, 20, d2l.try_gpu())",
        NO_FIGURE,
        "d2l.plot([1, 2, 3], [4, 5, 6], xlabel='x')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = nbclient.NotebookClient(notebook, timeout=60 * MINUTES, startup_timeout=60 * MINUTES)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    client.execute(env=environment)
    return [cell.outputs for cell in notebook.cells]


def pictures(outputs: list[Any]) -> list[str]:
    """The SVG pictures of a cell; anything but a picture or printed text is a failure."""
    shown = [output for output in outputs if output.output_type != "stream"]
    assert all(output.output_type == "display_data" and "image/svg+xml" in output.data for output in shown), shown
    return [output.data["image/svg+xml"] for output in shown]


def printed(outputs: list[Any]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def curves(svg: str) -> int:
    """How many points the curves of a picture have together."""
    grid = "stroke: #b0b0b0"
    paths = [part for part in svg.split('<g id="line2d_')[1:] if "clip-path" in part and grid not in part]
    return sum(part.split("</g>")[0].count("L ") + 1 for part in paths)


def test_the_board_is_one_picture_that_grows(ran: list[list[Any]]) -> None:
    first, second = ran[1], ran[2]
    assert len(pictures(first)) == len(pictures(second)) == 1
    assert printed(first) == "before\nafter\n"
    assert printed(second) == ""
    for label in ("train_loss", "val_loss", "epoch"):
        assert label in pictures(first)[0]


def test_the_animator_is_one_picture_that_grows(ran: list[list[Any]]) -> None:
    assert len(pictures(ran[5])) == 1
    assert printed(ran[5]) == "between\n"
    assert len(pictures(ran[6])) == 1
    lines = printed(ran[6]).splitlines()
    assert [line.split()[0] for line in lines] == ["time", "time", "perplexity", "time", "traveller"]


def test_no_figure_is_left_over(ran: list[list[Any]]) -> None:
    assert printed(ran[3]) == printed(ran[7]) == "[]\n"
    assert len(pictures(ran[8])) == 1


def test_the_last_picture_has_every_point(ran: list[list[Any]]) -> None:
    """Two points an epoch and one of validation, over two trainings of four epochs; three and two of the animator."""
    assert curves(pictures(ran[2])[0]) == 2 * 4 * (2 + 1)
    assert curves(pictures(ran[5])[0]) == 3 + 2
