"""The minimal gated unit: a GRU with one gate (Zhou et al., 2016, arXiv:1603.09420)."""

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


class MGUState(NamedTuple):
    """The hidden state."""

    h: Tensor


class MGUEquations(Cell):
    """The minimal gated unit.

    One gate ``f`` both resets the state for the candidate ``n`` and updates it::

        f  = sigmoid(x W_xf + b_xf + h W_hf + b_hf)
        n  = tanh(x W_xn + b_xn + (f * h) W_hn + b_hn)
        h' = (1 - f) * h + f * n
    """

    gates = ("f", "n")
    states = MGUState
    carry = Carry("h", "f", sign=-1)

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        h = state.h
        f = torch.sigmoid(x.f + W.f(h))
        n = torch.tanh(x.n + W.n(f * h))
        return MGUState((1 - f) * h + f * n), {"f": f, "n": n}

    def derivative(
        self, x: PreActivations, product: PreActivations, gates: Gates, state: State, new: State, out: Gates
    ) -> Coefficients:
        """By the chain rule from h' = (1 - f) h + f n:  ∂h'/∂f = n - h,  ∂h'/∂n = f,  ∂h'/∂h = 1 - f;  and from the
        vector f h that is multiplied:  ∂/∂f = h,  ∂/∂h = f.
        """
        f, n = gates["f"], gates["n"]
        return {
            "h": {"f": through_sigmoid(n - state.h, f, out["f"]), "n": through_tanh(f, n, out["n"]), "h": 1 - f},
            "W.n": {"f": through_sigmoid(state.h, f), "h": f},
        }
