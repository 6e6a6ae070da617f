"""Every shipped cell, of odd sizes, against autograd, as a program whose arguments are flags for the compiler."""

from __future__ import annotations

import sys
from functools import partial

import torch
from native_exam import Problem

from gru_scratch import Recurrent, RNNModel
from gru_scratch.cells import CELLS, GRUEquations, LSTMEquations, RNNEquations, make_cell
from gru_scratch.engines.native import library, toolchain
from gru_scratch.engines.native.steps import one_step
from gru_scratch.generate.stepping import Stepper

V, H = 5, 11


def take_steps(layer: Recurrent) -> None:
    """Single steps, of a layer and of a cell."""
    stepper = Stepper(RNNModel(layer, V).double(), 3)
    for _ in range(3):
        stepper.score(torch.tensor([0, 4, 2]))
    if not layer.cell.params:
        start = layer.cell.initial_state(3, H, dtype=torch.float64)
        (directions,) = layer.layer_parameters()
        with torch.no_grad():
            one_step(layer.cell, torch.randn(3, V).double(), start, directions[0].weights)


def main() -> None:
    """Fail where a cell does."""
    toolchain.TIME_LIMIT = 600
    library.load = partial(library.load, flags=tuple(sys.argv[1:]))
    torch.manual_seed(1)
    cells = [make_cell(cell) for cell in (*CELLS.values(), GRUEquations(reset_after=False), RNNEquations("relu"))]
    for cell in (cell for cell in cells if cell.elementwise):
        Problem(cell, hidden_size=H).check()
        Problem(cell, tokens=True, lengths=[5, 5, 4, 2, 2, 1, 1]).check()
        Problem(cell, steps=3, batch=1, hidden_size=9, bias=False).check()
        Problem(cell, steps=1, batch=2, tokens=True).check()
        Problem(cell, every=True, resets=True, lengths=[5, 5, 4, 2, 2, 1, 1]).check()
        take_steps(Recurrent(cell, V, H, engine="native", dtype=torch.float64))
        print(cell, "agrees", flush=True)
    Problem(LSTMEquations(), batch=13, hidden_size=37, dtype=torch.float32).check()


if __name__ == "__main__":
    main()
