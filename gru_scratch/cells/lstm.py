"""Long short-term memory ("Dive into Deep Learning" 0.17, section 9.2; Hochreiter and Schmidhuber, 1997).

The forget gate is that of Gers et al. (2000).
"""

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


class LSTMState(NamedTuple):
    """The hidden state and the memory cell."""

    h: Tensor
    c: Tensor


class LSTMEquations(Cell):
    """Long short-term memory.

    The equations of ``nn.LSTM``; the book's ``C_tilde`` is ``g``::

        i  = sigmoid(x W_xi + b_xi + h W_hi + b_hi)
        f  = sigmoid(x W_xf + b_xf + h W_hf + b_hf)
        g  = tanh   (x W_xg + b_xg + h W_hg + b_hg)
        o  = sigmoid(x W_xo + b_xo + h W_ho + b_ho)
        c' = f * c + i * g
        h' = o * tanh(c')
    """

    gates = ("i", "f", "g", "o")
    states = LSTMState
    carry = Carry("c", "f", writes="i")

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        h, c = state
        i = torch.sigmoid(x.i + W.i(h))
        f = torch.sigmoid(x.f + W.f(h))
        g = torch.tanh(x.g + W.g(h))
        o = torch.sigmoid(x.o + W.o(h))
        c_new = f * c + i * g
        h_new = o * torch.tanh(c_new)
        return LSTMState(h_new, c_new), {"i": i, "f": f, "g": g, "o": o}

    def derivative(
        self, x: PreActivations, product: PreActivations, gates: Gates, state: State, new: State, out: Gates
    ) -> Coefficients:
        """By the chain rule from h' = o tanh(c'):  ∂h'/∂o = tanh(c'),  ∂h'/∂c' = o (1 - tanh²(c')),  and from
        c' = f c + i g:  ∂c'/∂i = g,  ∂c'/∂f = c,  ∂c'/∂g = i,  ∂c'/∂c = f,  then through the sigmoid or tanh of each.
        """
        i, f, g, o = gates["i"], gates["f"], gates["g"], gates["o"]
        tanh_c = gates["tanh_c"] if "tanh_c" in gates else torch.tanh(new.c)  # the in-place loop has kept it
        return {
            "h": {"o": through_sigmoid(tanh_c, o, out["o"]), "new.c": through_tanh(o, tanh_c)},
            "c": {
                "i": through_sigmoid(g, i, out["i"]),
                "f": through_sigmoid(state.c, f, out["f"]),
                "g": through_tanh(i, g, out["g"]),
                "c": f,
            },
        }
