"""The minimal gated unit: a GRU with one gate (Zhou et al., 2016, arXiv:1603.09420)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients, Gates, PreActivations, State, through_sigmoid, through_tanh


class MGUState(NamedTuple):
    """The hidden state."""

    h: Tensor


class MGUEquations(Cell):
    """One gate ``f`` both resets the state for the candidate ``n`` and updates it::

    f  = sigmoid(x W_xf + b_xf + h W_hf + b_hf)
    n  = tanh(x W_xn + b_xn + (f * h) W_hn + b_hn)
    h' = (1 - f) * h + f * n
    """

    gates = ("f", "n")
    states = MGUState
    second_product = "n"

    def before(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[Tensor, Gates]:
        f = torch.sigmoid(x.f + h.f)
        return f * state.h, {"f": f}

    def after(
        self, x: PreActivations, h: PreActivations, state: State, gates: Gates, product: Tensor, **params: Tensor
    ) -> tuple[State, Gates]:
        f = gates["f"]
        n = torch.tanh(x.n + product)
        h_new = (1 - f) * state.h + f * n
        return MGUState(h_new), {"f": f, "n": n}

    def derivative(self, gates: Gates, state: State, new: State, out: Gates) -> Coefficients:
        """h' = (1 - f) h + f n gives f, n and the old h theirs: ∂h'/∂f = n - h, ∂h'/∂n = f, ∂h'/∂h = 1 - f; and f h,
        the vector that is multiplied, gives f and h theirs once more.
        """
        f, n = gates["f"], gates["n"]
        return {
            "h": {"f": through_sigmoid(n - state.h, f, out["f"]), "n": through_tanh(f, n, out["n"]), "h": 1 - f},
            "vector": {"f": through_sigmoid(state.h, f), "h": f},
        }
