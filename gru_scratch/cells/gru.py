"""The gated recurrent unit, in both its forms ("Dive into Deep Learning" 0.17, section 9.1; Cho et al., 2014)."""

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


class GRUState(NamedTuple):
    """The hidden state."""

    h: Tensor


class GRUEquations(Cell):
    """The gated recurrent unit.

    Its two forms differ in where the reset gate acts on the candidate ``n`` (the book's ``H_tilde``)::

        r  = sigmoid(x W_xr + b_xr + h W_hr + b_hr)
        z  = sigmoid(x W_xz + b_xz + h W_hz + b_hz)
        n  = tanh(x W_xn + b_xn + r * (h W_hn + b_hn))        reset_after=True:  nn.GRU, cuDNN, Keras
        n  = tanh(x W_xn + b_xn + (r * h) W_hn + b_hn)        reset_after=False: the paper, d2l
        h' = z * h + (1 - z) * n
    """

    gates = ("r", "z", "n")
    states = GRUState
    carry = Carry("h", "z")

    def __init__(self, reset_after: bool = True) -> None:
        self.reset_after = reset_after

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        h = state.h
        r = torch.sigmoid(x.r + W.r(h))
        z = torch.sigmoid(x.z + W.z(h))
        n = torch.tanh(x.n + r * W.n(h)) if self.reset_after else torch.tanh(x.n + W.n(r * h))
        return GRUState(z * h + (1 - z) * n), {"r": r, "z": z, "n": n}

    def derivative(
        self, x: PreActivations, product: PreActivations, gates: Gates, state: State, new: State, out: Gates
    ) -> Coefficients:
        """By the chain rule from h' = z h + (1 - z) n:  ∂h'/∂z = h - n,  ∂h'/∂n = 1 - z,  ∂h'/∂h = z,  then through the
        sigmoid or the tanh of each. The gradient of r comes through n: through r times the product of n (reset after),
        or through the vector r * h that is multiplied (reset before), of which ∂/∂r = h and ∂/∂h = r.
        """
        r, z, n = gates["r"], gates["z"], gates["n"]
        d_z = through_sigmoid(state.h - n, z, out["z"])
        if self.reset_after:
            d_n = through_tanh(1 - z, n, out["x.n"])
            d_r = through_sigmoid(d_n * product.n, r, out["r"])
            return {"h": {"r": d_r, "z": d_z, "n": torch.mul(d_n, r, out=out["n"]), "x.n": d_n, "h": z}}
        d_n = through_tanh(1 - z, n, out["n"])
        return {"h": {"z": d_z, "n": d_n, "h": z}, "W.n": {"r": through_sigmoid(state.h, r, out["r"]), "h": r}}
