"""Initial values of recurrent layers and models, other than those that a layer draws when it is made.

A cell's ``carry`` declares which gate carries a state from step to step, and with which sign; for the layers of
``torch.nn`` it is that of the cell with the same equations.

Legend: ``H`` hidden size, ``D`` input size, ``E`` embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import init

from gru_scratch.cells import Cell, GRUEquations, LSTMEquations, RNNEquations
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.layers.recurrent import Recurrent

Weights = Literal["book", "orthogonal", "torch"]
GateBias = Literal["chrono", "one", "zero"]

NAMESAKES: dict[str, type[Cell]] = {
    "RNN_TANH": RNNEquations,
    "RNN_RELU": RNNEquations,
    "GRU": GRUEquations,
    "LSTM": LSTMEquations,
}
"""The cells with the equations of the layers of ``torch.nn``, by the layers' ``mode``."""


def initialise(model: nn.Module, weights: Weights) -> None:
    """Draw all matrices of a model again and set its biases to 0; a cell's own parameters stay as they are.

    Args:
        model: a layer, or a model with one recurrent layer.
        weights: "book": normal, with a standard deviation of 0.01. "orthogonal": each gate's recurrent block (H, H) is
            a random orthogonal matrix (Saxe et al., 2014, arXiv:1312.6120), every other block is uniform by the rule
            of Glorot and Bengio (2010), embeddings have variance 1 / E. "torch": nothing changes.

    Raises:
        ValueError: ``weights`` is none of the three.
    """
    if weights not in ("book", "orthogonal", "torch"):
        raise ValueError(f"weights must be 'book', 'orthogonal' or 'torch', received {weights!r}")
    if weights == "torch":
        return
    hidden_size = next((layer.hidden_size for layer in recurrent_layers(model)), 0)
    for name, param in model.named_parameters():
        _draw(name, param, weights, hidden_size)


def initialise_layer(layer: Recurrent, weights: Weights, gate_bias: GateBias, span: int) -> None:
    """Give a single layer in one direction initial values with which it remembers for long.

    Args:
        layer: its values are drawn from PyTorch's global generator, the recurrent weights first.
        weights: as in :func:`initialise`.
        gate_bias: the bias of the carrying gate, with the sign that keeps the state. "one": 1 (Gers et al., 2000;
            Jozefowicz et al., 2015, for the LSTM's forget gate). "chrono": log(u), u ~ U(1, span), one for each unit,
            so that units forget over 1 to ``span`` steps; a separate gate that writes gets its negative (Tallec and
            Ollivier, 2018, arXiv:1804.11188). "zero": unchanged, as for cells in which no gate carries a state.
        span: the number of steps to remember, at least 1.

    Raises:
        ValueError: an unknown ``weights`` or ``gate_bias``, or a span below 1.
    """
    if gate_bias not in ("chrono", "one", "zero"):
        raise ValueError(f"gate_bias must be 'chrono', 'one' or 'zero', received {gate_bias!r}")
    if span < 1:
        raise ValueError(f"span must be at least 1 step, received {span}")
    initialise(layer, "torch" if weights == "orthogonal" else weights)
    if weights == "orthogonal":
        values = dict(layer.named_parameters())
        for name in ("weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
            if name in values:
                _draw(name, values[name], weights, layer.hidden_size)
    carry = layer.cell.carry
    if carry is None or gate_bias == "zero":
        return
    H = layer.hidden_size
    bias = torch.ones(H) if gate_bias == "one" else torch.rand(H).mul_(max(span - 1, 1)).add_(1).log_()
    _set_bias(layer, carry.gate, carry.sign * bias)
    if carry.writes is not None and gate_bias == "chrono":
        _set_bias(layer, carry.writes, -bias)


@torch.no_grad()
def add_forget_bias(model: nn.Module, value: float) -> None:
    """Add ``value`` to the first bias of the carrying gate in every layer, with the sign that keeps the state.

    Raises:
        ValueError: no gate of the cell carries a state from step to step.
    """
    for layer in recurrent_layers(model):
        cell = cell_of(layer)
        if cell.carry is None:
            raise ValueError(
                "forget_bias needs a cell in which a gate carries the state from step to step, as its carry declares; "
                f"in this one none does, its gates are {', '.join(cell.gates)}"
            )
        for name, param in layer.named_parameters():
            if name.startswith("bias_ih"):
                rows_of_gate(param, cell.gates, cell.carry.gate, layer.hidden_size).add_(cell.carry.sign * value)


def recurrent_layers(model: nn.Module) -> Iterator[Any]:
    """The recurrent layers of a model, those of this package and of ``torch.nn``."""
    return (module for module in model.modules() if isinstance(module, (RecurrentLayer, nn.RNNBase)))


def cell_of(layer: nn.Module) -> Cell | type[Cell]:
    """The cell that declares the ``gates`` and the ``carry`` of a layer."""
    return layer.cell if isinstance(layer, RecurrentLayer) else NAMESAKES[str(layer.mode)]


def rows_of_gate(param: Tensor, gates: tuple[str, ...], gate: str, hidden_size: int) -> Tensor:
    """The rows of one gate in a parameter that stacks those of ``gates``: a view."""
    start = gates.index(gate) * hidden_size
    return param[start : start + hidden_size]


@torch.no_grad()
def _draw(name: str, param: Tensor, weights: Weights, hidden_size: int) -> None:
    """Draw the parameter of a name: ``weight_ih_l0`` and so on of a recurrent layer, or ``weight`` of another one."""
    matrix = name.rpartition(".")[2].rpartition("_l")[0]
    if "bias" in name:
        param.zero_()
    elif not (matrix.startswith("weight_") or name.endswith("weight")):
        return  # a parameter of the cell itself
    elif weights == "book":
        param.normal_(0.0, 0.01)
    elif name.endswith("embedding.weight"):
        param.normal_(0.0, param.shape[1] ** -0.5)
    elif matrix == "weight_hh":
        for block in torch.split(param, hidden_size):
            init.orthogonal_(block)
    elif matrix == "weight_hr":
        init.orthogonal_(param)
    else:
        for block in torch.split(param, hidden_size if matrix else len(param)):
            init.xavier_uniform_(block)


@torch.no_grad()
def _set_bias(layer: Recurrent, gate: str, bias: Tensor) -> None:
    """Set the bias of a gate: of two biases, which act as their sum, the first gets the value and the second 0."""
    biases, multiplied = dict(layer.named_parameters()), layer.cell.recurrence.gates
    rows_of_gate(biases["bias_ih_l0"], layer.cell.gates, gate, layer.hidden_size).copy_(bias)
    if gate in multiplied:
        rows_of_gate(biases["bias_hh_l0"], multiplied, gate, layer.hidden_size).zero_()
