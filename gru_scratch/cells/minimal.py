"""minGRU and minLSTM: gates that read the input alone (Feng et al., 2024, arXiv:2410.01201).

No gate multiplies the state, so a step has no product and the layer has no recurrent weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Carry, Cell, Gates, PreActivations, RecurrentWeights, State


class MinGRUState(NamedTuple):
    """The hidden state."""

    h: Tensor


class MinLSTMState(NamedTuple):
    """The hidden state."""

    h: Tensor


class _InputGated(Cell):
    """The base of both: a candidate that is linear in the input, or made positive by g (see :meth:`candidate`)."""

    def __init__(self, positive: bool = False) -> None:
        self.positive = positive

    def candidate(self, a: Tensor) -> Tensor:
        """``a``; or g(a) = a + 0.5 where a >= 0, sigmoid(a) elsewhere, with which the paper trains (its appendix B)."""
        return torch.where(a >= 0, a + 0.5, torch.sigmoid(a)) if self.positive else a


class MinGRUEquations(_InputGated):
    """minGRU: a GRU without a reset gate.

    Its update gate ``z`` and candidate ``n`` see the input alone::

        z  = sigmoid(x W_xz + b_xz)
        n  = x W_xn + b_xn                    or g(x W_xn + b_xn) with positive=True
        h' = (1 - z) * h + z * n              z overwrites: the paper's sign
    """

    gates = ("z", "n")
    states = MinGRUState
    carry = Carry("h", "z", sign=-1)

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        z = torch.sigmoid(x.z)
        n = self.candidate(x.n)
        return MinGRUState((1 - z) * state.h + z * n), {"z": z, "n": n}


class MinLSTMEquations(_InputGated):
    """minLSTM: an LSTM whose forget and input gate are scaled to add up to 1.

    The gates and the candidate ``n`` see the input alone::

        f  = sigmoid(x W_xf + b_xf)
        i  = sigmoid(x W_xi + b_xi)
        n  = x W_xn + b_xn                    or g(x W_xn + b_xn) with positive=True
        h' = (f * h + i * n) / (f + i)
    """

    gates = ("f", "i", "n")
    states = MinLSTMState
    carry = Carry("h", "f", writes="i")

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        f = torch.sigmoid(x.f)
        i = torch.sigmoid(x.i)
        n = self.candidate(x.n)
        return MinLSTMState((f * state.h + i * n) / (f + i)), {"f": f, "i": i, "n": n}
