"""First parameters of a model other than those that its layer draws by itself."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import init

from gru_scratch.models.language import RNNModel

BUILTIN_GATES = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}
"""Which gate stands where in the stacked parameters of `torch.nn`'s layers."""


@torch.no_grad()
def initialise(model: RNNModel, kind: str) -> None:
    """Draw all matrices anew, and set all biases to 0, as `kind` says; a cell's own parameters stay as they are.

    book: N(0, 0.01). orthogonal: recurrent matrices orthogonal gate by gate, the others Glorot-uniform gate by gate,
    embeddings N(0, 1 / E). auto, torch: nothing is drawn, each layer has what it drew when it was made.
    """
    if kind in ("auto", "torch"):
        return
    for name, param in model.named_parameters():
        matrix = name.rpartition(".")[2].rpartition("_l")[0]
        if "bias" in name:
            param.zero_()
        elif kind == "book" and (matrix.startswith("weight_") or name.endswith(".weight")):
            param.normal_(0.0, 0.01)
        elif name == "embedding.weight":
            param.normal_(0.0, param.shape[1] ** -0.5)
        elif matrix.startswith("weight_h"):
            for gate in torch.split(param, min(param.shape[1], len(param))):
                init.orthogonal_(gate)
        elif matrix.startswith("weight_") or name.endswith(".weight"):
            rows = model.rnn.hidden_size if matrix else len(param)
            for gate in torch.split(param, rows):
                init.xavier_uniform_(gate)


@torch.no_grad()
def add_forget_bias(model: RNNModel, value: float) -> None:
    """Add `value` to the bias of the gate `f`, or `z` of a GRU, in every layer. ValueError if the cell has neither."""
    gates = stacked_gates(model.rnn)
    gate = next((name for name in ("f", "z") if name in gates), None)
    if gate is None:
        raise ValueError(
            "forget_bias needs a cell with a forget gate f or an update gate z; "
            f"the gates of this one are {', '.join(gates)}"
        )
    size, index = model.rnn.hidden_size, gates.index(gate)
    for name, param in model.rnn.named_parameters():
        if name.startswith("bias_ih"):
            param[index * size : (index + 1) * size] += value


def stacked_gates(layer: nn.Module) -> tuple[str, ...]:
    """The gates of a layer in the order of its stacked parameters."""
    cell = getattr(layer, "cell", None)
    return tuple(cell.gates) if cell is not None else BUILTIN_GATES.get(str(layer.mode), ("h",))
