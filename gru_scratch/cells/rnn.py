"""The plain recurrent network: d2l section 8.4 (Elman, 1990)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients, Gates, PreActivations, State, through_tanh

if TYPE_CHECKING:
    from gru_scratch.engines.fused.forward import Sequence


class RNNState(NamedTuple):
    """The hidden state."""

    h: Tensor


class RNNEquations(Cell):
    """``nn.RNN``, with ``tanh`` or ``relu``::

        a  = x W_xh + b_xh + h W_hh + b_hh
        h' = tanh(a)            or  max(a, 0)

    Raises:
        ValueError: an unknown nonlinearity.
    """

    gates = ("a",)
    states = RNNState

    def __init__(self, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', received {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        a = x.a + h.a
        h_new = torch.tanh(a) if self.nonlinearity == "tanh" else torch.relu(a)
        return RNNState(h_new), {}

    def derivative(self, gates: Gates, state: State, new: State, out: Gates) -> Coefficients:
        """tanh' = 1 - tanh²; the slope of relu is 1 where its result is positive, else 0."""
        if self.nonlinearity == "relu":
            return {"h": {"a": torch.gt(new.h, 0, out=out["a"])}}
        return {"h": {"a": through_tanh(new.h.new_ones(()).expand_as(new.h), new.h, out["a"])}}

    def in_place(self, sequence: Sequence) -> None:
        """The pre-activations are laid where the states go, and become the states there."""
        H, H_new = sequence.before[0], sequence.after[0]
        sequence.lay_out(H_new, project=slice(0, 1), hidden_bias=slice(0, 1))
        W_hh = sequence.recurrent(0, 1)
        activate: Any = Tensor.tanh_ if self.nonlinearity == "tanh" else Tensor.relu_
        for h, h_new in zip(sequence.steps(H), sequence.steps(H_new), strict=True):
            activate(W_hh.add_to(h_new, h))

    def kept_gates(self, state: State) -> Gates:
        return {}
