"""A cell in a file of a user's, which leaves a trace when it is executed."""

OWN_CELL = """
from pathlib import Path
from typing import NamedTuple
import torch
from gru_scratch import Cell

Path("executed").touch()

class State(NamedTuple):
    h: torch.Tensor

class MGUCell(Cell):
    gates = ("f", "n")
    states = State
    second_product = "n"

    def before(self, x, h, state):
        f = torch.sigmoid(x.f + h.f)
        return f * state.h, {"f": f}

    def after(self, x, h, state, gates, product):
        n = torch.tanh(x.n + product)
        return State((1 - gates["f"]) * state.h + gates["f"] * n), {**gates, "n": n}
"""
