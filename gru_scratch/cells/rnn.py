"""The plain recurrent network ("Dive into Deep Learning" 0.17, section 8.4; Elman, 1990)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import (
    Cell,
    Coefficients,
    Gates,
    PreActivations,
    RecurrentWeights,
    State,
    through_tanh,
)


class RNNState(NamedTuple):
    """The hidden state."""

    h: Tensor


class RNNEquations(Cell):
    """The equations of ``nn.RNN``, with ``tanh`` or ``relu``::

        a  = x W_xh + b_xh + h W_hh + b_hh
        h' = tanh(a)            or  max(a, 0)

    Raises:
        ValueError: the nonlinearity is neither "tanh" nor "relu".
    """

    gates = ("a",)
    states = RNNState

    def __init__(self, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', received {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        a = x.a + W.a(state.h)
        return RNNState(torch.tanh(a) if self.nonlinearity == "tanh" else torch.relu(a)), {}

    def derivative(
        self, x: PreActivations, product: PreActivations, gates: Gates, state: State, new: State, out: Gates
    ) -> Coefficients:
        """tanh' = 1 - tanh²; the derivative of relu is 1 where its result is positive, else 0."""
        if self.nonlinearity == "relu":
            return {"h": {"a": torch.gt(new.h, 0, out=out["a"])}}
        return {"h": {"a": through_tanh(new.h.new_ones(()).expand_as(new.h), new.h, out["a"])}}
