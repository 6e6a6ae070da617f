"""Layers of this package and of `torch.nn`, whose parameters have the same names; and the sign of the update gate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.convert.form import Form, check_same, form_of


def to_torch(layer: Any) -> nn.RNNBase:
    """The layer of `torch.nn` that computes the same, with copies of the parameters.

    Raises:
        TypeError: it is no recurrent layer.
        ValueError: its reset gate acts before the product, unlike that of `nn.GRU`; or it has another cell.
    """
    form = form_of(layer)
    check_same(form, Form(form.kind, form.activation), f"nn.{form.kind}")
    weight = layer.weight_hh_l0
    names = ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")
    options = {name: getattr(layer, name) for name in names}
    if form.kind == "RNN":
        options["nonlinearity"] = form.activation
    if form.kind != "LSTM":
        del options["proj_size"]
    make: Any = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}[form.kind]
    made: nn.RNNBase = make(layer.input_size, layer.hidden_size, **options, device="meta", dtype=weight.dtype)
    made.to_empty(device=weight.device)
    made.load_state_dict(layer.state_dict())
    return made.train(layer.training)


def from_torch(layer: Any, source: nn.RNNBase) -> dict[str, Tensor]:
    """A `state_dict` for `layer`, from a layer of `torch.nn` or of this package.

    Raises:
        TypeError: one of them is no recurrent layer.
        ValueError: `layer` cannot compute what `source` does, or its parameters have other names or shapes.
    """
    check_same(form_of(layer), form_of(source), type(source).__name__)
    expected = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    received = {name: tuple(value.shape) for name, value in source.state_dict().items()}
    for name in [*expected, *received]:
        if expected.get(name) != received.get(name):
            shapes = [names.get(name, "none") for names in (expected, received)]
            raise ValueError(f"{name}: expected the shape {shapes[0]}, received {shapes[1]}")
    return {name: value.detach().clone() for name, value in source.state_dict().items()}


def negate_update_gate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A GRU's parameters for the other sign of the update gate; applied twice, they are the original ones.

    Here ``h' = z * h + (1 - z) * n``; in Cho et al. (2014) and several tutorials ``h' = (1 - z) * h + z * n``. Since
    sigmoid(-a) = 1 - sigmoid(a), one is the other with the rows of the update gate negated.

    Args:
        weights: the `state_dict` of a layer, with `weight_ih_l0` and so on, or of a model, whose other entries stay.

    Raises:
        ValueError: it holds no parameters of a GRU, or those of another recurrent layer.
    """
    changed = {name: value.detach().clone() for name, value in weights.items()}
    pattern = re.compile(r"(.*\.)?(weight|bias)_(ih|hh)(_l\d+(_reverse)?)")
    matches = [match for match in map(pattern.fullmatch, changed) if match]
    if not matches:
        raise ValueError(f"expected the parameters of a GRU, weight_ih_l0 and so on, received {', '.join(weights)}")
    for match in matches:
        weight_hh = changed.get(f"{match[1] or ''}weight_hh{match[4]}")
        if weight_hh is None or len(weight_hh) != 3 * weight_hh.shape[1]:
            shape = "is not there" if weight_hh is None else f"has the shape {tuple(weight_hh.shape)}"
            raise ValueError(f"{match[0]} is not a GRU's: its weight_hh {shape}")
        z = changed[match[0]].chunk(3)[1]
        z.copy_(torch.neg(z))
    return changed
