"""The LSTM with coupled input and forget gates, CIFG (Greff et al., 2017, arXiv:1503.04069)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import (
    Carry,
    Cell,
    Coefficients,
    Gates,
    PreActivations,
    RecurrentWeights,
    State,
    through_sigmoid,
    through_tanh,
)


class CIFGState(NamedTuple):
    """The hidden state and the memory cell."""

    h: Tensor
    c: Tensor


class CIFGEquations(Cell):
    """An LSTM whose input gate is what the forget gate ``f`` leaves over, ``i = 1 - f``::

        f  = sigmoid(x W_xf + b_xf + h W_hf + b_hf)
        g  = tanh   (x W_xg + b_xg + h W_hg + b_hg)
        o  = sigmoid(x W_xo + b_xo + h W_ho + b_ho)
        c' = f * c + (1 - f) * g
        h' = o * tanh(c')

    The paper couples the gates the other way round, ``f = 1 - i``: the same model with the gate's parameters negated.
    Its peepholes are in :class:`gru_scratch.cells.peephole.PeepholeLSTMEquations`.
    """

    gates = ("f", "g", "o")
    states = CIFGState
    carry = Carry("c", "f")

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        h, c = state
        f = torch.sigmoid(x.f + W.f(h))
        g = torch.tanh(x.g + W.g(h))
        o = torch.sigmoid(x.o + W.o(h))
        c_new = f * c + (1 - f) * g
        h_new = o * torch.tanh(c_new)
        return CIFGState(h_new, c_new), {"f": f, "g": g, "o": o}

    def derivative(
        self, x: PreActivations, product: PreActivations, gates: Gates, state: State, new: State, out: Gates
    ) -> Coefficients:
        """The LSTM's derivative with i = 1 - f: ∂c'/∂f = c - g,  ∂c'/∂g = 1 - f,  ∂c'/∂c = f."""
        f, g, o = gates["f"], gates["g"], gates["o"]
        tanh_c = torch.tanh(new.c)
        return {
            "h": {"o": through_sigmoid(tanh_c, o, out["o"]), "new.c": through_tanh(o, tanh_c)},
            "c": {"f": through_sigmoid(state.c - g, f, out["f"]), "g": through_tanh(1 - f, g, out["g"]), "c": f},
        }
