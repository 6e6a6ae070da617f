"""The LSTM whose gates look at the memory cell through peepholes (Gers, Schraudolph and Schmidhuber, 2002)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Carry, Cell, Gates, Param, PreActivations, RecurrentWeights, State


class PeepholeLSTMState(NamedTuple):
    """The hidden state and the memory cell."""

    h: Tensor
    c: Tensor


class PeepholeLSTMEquations(Cell):
    """The LSTM with peepholes ("Learning precise timing with LSTM recurrent networks", JMLR 3)::

        i  = sigmoid(x W_xi + b_xi + h W_hi + b_hi + w_ci * c)
        f  = sigmoid(x W_xf + b_xf + h W_hf + b_hf + w_cf * c)
        g  = tanh   (x W_xg + b_xg + h W_hg + b_hg)
        c' = f * c + i * g
        o  = sigmoid(x W_xo + b_xo + h W_ho + b_ho + w_co * c')         the new memory, not the old one
        h' = o * tanh(c')

    The peepholes ``w_c``, (H,) each, start at 0, where the cell is an LSTM. The tanh of the memory cell in h' is as in
    Graves (2013, arXiv:1308.0850) and in ONNX's operator LSTM.
    """

    gates = ("i", "f", "g", "o")
    states = PeepholeLSTMState
    params = {"w_ci": Param(), "w_cf": Param(), "w_co": Param()}
    carry = Carry("c", "f", writes="i")

    def step(
        self, x: PreActivations, W: RecurrentWeights, state: State, w_ci: Tensor, w_cf: Tensor, w_co: Tensor
    ) -> tuple[State, Gates]:
        h, c = state
        i = torch.sigmoid(x.i + W.i(h) + w_ci * c)
        f = torch.sigmoid(x.f + W.f(h) + w_cf * c)
        g = torch.tanh(x.g + W.g(h))
        c_new = f * c + i * g
        o = torch.sigmoid(x.o + W.o(h) + w_co * c_new)
        h_new = o * torch.tanh(c_new)
        return PeepholeLSTMState(h_new, c_new), {"i": i, "f": f, "g": g, "o": o}
