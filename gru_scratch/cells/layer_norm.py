"""A GRU and an LSTM with layer normalisation (Ba, Kiros and Hinton, 2016, arXiv:1607.06450, supplement).

``LN(a; gain, shift)`` subtracts from a vector the mean of its entries, divides by their standard deviation, and gives
each entry a gain and a shift of its own. Gates that the paper normalises as one vector are one vector here. Units of a
row mix, so these cells are not elementwise.

The biases of the layer are added before the normalisations, where the paper has none: its bias is the sum of the
shifts. A layer made with ``bias=False`` is the paper's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells.base import Cell, Gates, Param, PreActivations, RecurrentWeights, State


class LayerNormGRUState(NamedTuple):
    """The hidden state."""

    h: Tensor


class LayerNormLSTMState(NamedTuple):
    """The hidden state and the memory cell."""

    h: Tensor
    c: Tensor


class _LayerNorm(Cell):
    elementwise = False

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps = eps

    def normalise(self, gates: tuple[Tensor, ...], gain: Tensor, shift: Tensor) -> Tensor:
        """LN of the gates, (..., H) each, as one vector; gain and shift: (gates, H). The result is (gates, ..., H)."""
        normal = F.layer_norm(torch.stack(gates, -2), gain.shape, gain, shift, self.eps)
        return normal.movedim(-2, 0)


class LayerNormGRUEquations(_LayerNorm):
    """The GRU whose reset gate acts after the candidate's product, with two normalisations for each product::

        r, z = sigmoid(LN(x W_xr, x W_xz; gain_x, shift_x) + LN(h W_hr, h W_hz; gain_h, shift_h))
        n    = tanh(LN(x W_xn; gain_x, shift_x) + r * LN(h W_hn; gain_h, shift_h))
        h'   = z * h + (1 - z) * n

    The gains and shifts, (3, H), hold a row for each of r, z and n. In the paper the update gate has the other sign.
    """

    gates = ("r", "z", "n")
    states = LayerNormGRUState
    params = {
        "gain_x": Param((3, "H"), 1.0),
        "shift_x": Param((3, "H")),
        "gain_h": Param((3, "H"), 1.0),
        "shift_h": Param((3, "H")),
    }

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        h = state.h
        gain_x, shift_x, gain_h, shift_h = (params[name] for name in self.params)
        x_r, x_z = self.normalise((x.r, x.z), gain_x[:2], shift_x[:2])
        h_r, h_z = self.normalise((W.r(h), W.z(h)), gain_h[:2], shift_h[:2])
        (x_n,) = self.normalise((x.n,), gain_x[2:], shift_x[2:])
        (h_n,) = self.normalise((W.n(h),), gain_h[2:], shift_h[2:])
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return LayerNormGRUState(z * h + (1 - z) * n), {"r": r, "z": z, "n": n}


class LayerNormLSTMEquations(_LayerNorm):
    """The LSTM with each product and the memory cell normalised::

        a_i, a_f, a_g, a_o = LN(x W_x; gain_x, shift_x) + LN(h W_h; gain_h, shift_h)
        c' = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g)
        h' = sigmoid(a_o) * tanh(LN(c'; gain_c, shift_c))

    Gains and shifts of the products, (4, H), hold a row for each of i, f, g and o; those of the memory cell are (1, H).
    """

    gates = ("i", "f", "g", "o")
    states = LayerNormLSTMState
    params = {
        "gain_x": Param((4, "H"), 1.0),
        "shift_x": Param((4, "H")),
        "gain_h": Param((4, "H"), 1.0),
        "shift_h": Param((4, "H")),
        "gain_c": Param((1, "H"), 1.0),
        "shift_c": Param((1, "H")),
    }

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        h, c = state
        gain_x, shift_x, gain_h, shift_h, gain_c, shift_c = (params[name] for name in self.params)
        products = W.i(h), W.f(h), W.g(h), W.o(h)
        a_i, a_f, a_g, a_o = self.normalise(x, gain_x, shift_x) + self.normalise(products, gain_h, shift_h)
        i = torch.sigmoid(a_i)
        f = torch.sigmoid(a_f)
        g = torch.tanh(a_g)
        o = torch.sigmoid(a_o)
        c_new = f * c + i * g
        (c_normal,) = self.normalise((c_new,), gain_c, shift_c)
        h_new = o * torch.tanh(c_normal)
        return LayerNormLSTMState(h_new, c_new), {"i": i, "f": f, "g": g, "o": o}
