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

    def step(self, x, W, state):
        f = torch.sigmoid(x.f + W.f(state.h))
        n = torch.tanh(x.n + W.n(f * state.h))
        return State((1 - f) * state.h + f * n), {"f": f, "n": n}
"""
