"""Initial values that let a recurrent layer remember for long: orthogonal recurrent blocks, and gates that start open.

Legend: ``H`` hidden size, ``D`` input size, ``G`` gates.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from gru_scratch.cells import (
    Cell,
    CIFGEquations,
    GRUEquations,
    LSTMEquations,
    MGUEquations,
    PeepholeLSTMEquations,
)
from gru_scratch.layers import Recurrent

Weights = Literal["orthogonal", "torch"]
GateBias = Literal["chrono", "one", "zero"]


class Carry(NamedTuple):
    """The gate that says how much of the old state a unit keeps."""

    gate: str
    sign: int  # +1 where an open gate keeps the state, -1 where it overwrites it
    writes: str | None = None  # the gate apart that lets the new value in, where there is one


CARRIES: dict[type[Cell], Carry] = {
    GRUEquations: Carry("z", +1),
    LSTMEquations: Carry("f", +1, "i"),
    PeepholeLSTMEquations: Carry("f", +1, "i"),
    CIFGEquations: Carry("f", +1),
    MGUEquations: Carry("f", -1),
}


def carry_of(cell: Cell) -> Carry | None:
    """The carrying gate of a cell; None for one that has none (RNN), normalises it away, or is not known here."""
    return next((carry for kind, carry in CARRIES.items() if isinstance(cell, kind)), None)


@torch.no_grad()
def initialise(layer: Recurrent, weights: Weights, gate_bias: GateBias, span: int) -> None:
    """Give a layer of one depth and direction its initial values, from PyTorch's global generator.

    weights "orthogonal": each gate's recurrent block (H, H) is a random orthogonal matrix (Saxe et al., 2014,
    arXiv:1312.6120), its input block (H, D) is uniform as Glorot and Bengio (2010) have it, biases are 0.
    "torch": all of U(-1/√H, 1/√H), as ``torch.nn`` draws them.

    gate_bias is what the bias of the carrying gate gets, with the sign that keeps the state:
    "one": 1 (Gers et al., 2000; Jozefowicz et al., 2015, for the LSTM's forget gate). "chrono": log(u), u ~ U(1, span),
    one for each unit, so that units forget over 1 to ``span`` steps; an input gate apart gets its negative (Tallec and
    Ollivier, 2018, arXiv:1804.11188). "zero": what ``weights`` left, as for all cells not in ``CARRIES``.

    Raises:
        ValueError: an unknown choice, or a span below 1.
    """
    if weights not in ("orthogonal", "torch"):
        raise ValueError(f"weights must be 'orthogonal' or 'torch', received {weights!r}")
    if gate_bias not in ("chrono", "one", "zero"):
        raise ValueError(f"gate_bias must be 'chrono', 'one' or 'zero', received {gate_bias!r}")
    if span < 1:
        raise ValueError(f"span must be at least 1 step, received {span}")
    gates, values = len(layer.cell.gates), dict(layer.named_parameters())
    if weights == "orthogonal":
        for block in values["weight_hh_l0"].chunk(gates):
            nn.init.orthogonal_(block)
        for block in values["weight_ih_l0"].chunk(gates):
            nn.init.xavier_uniform_(block)
        for name in ("bias_ih_l0", "bias_hh_l0"):
            values[name].zero_()
    carry = carry_of(layer.cell)
    if carry is None or gate_bias == "zero":
        return
    H = layer.hidden_size
    bias = torch.ones(H) if gate_bias == "one" else torch.rand(H).mul_(max(span - 1, 1)).add_(1).log_()
    _set_bias(layer, values, carry.gate, carry.sign * bias)
    if carry.writes is not None and gate_bias == "chrono":
        _set_bias(layer, values, carry.writes, -bias)


def _set_bias(layer: Recurrent, values: dict[str, nn.Parameter], gate: str, bias: Tensor) -> None:
    """The two biases of a gate act as their sum: the first gets the value, the second 0."""
    H, k = layer.hidden_size, layer.cell.gates.index(gate)
    values["bias_ih_l0"][k * H : (k + 1) * H] = bias
    values["bias_hh_l0"][k * H : (k + 1) * H] = 0
