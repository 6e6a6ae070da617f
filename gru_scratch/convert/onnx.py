"""ONNX: the inputs and attributes of the operators RNN, GRU and LSTM (opset 14 and later).

An operator is one layer of one or two directions: W (directions, G * H, D), R (directions, G * H, H), and B, the two
biases one after the other, (directions, 2 * G * H). ``linear_before_reset`` of a GRU, 0 by default, says whether its
reset gate acts after the product. P of an LSTM, (directions, 3 * H), are the peepholes of ``PeepholeLSTMEquations``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gru_scratch.convert.form import (
    Direction,
    Form,
    check_same,
    check_shape,
    directions,
    form_of,
    reorder,
    suffixes,
    to_array,
    to_state_dict,
    to_tensor,
)

ONNX = {"RNN": "a", "GRU": "zrn", "LSTM": "iofg"}
"""The gates in the order of ONNX' rows."""

PEEPHOLES = ("w_ci", "w_co", "w_cf")
"""The names in the cell of the parts of P, in their order."""

_UNLIKE = {"clip": None, "input_forget": 0}
"""Attributes that change what an operator computes, and their defaults."""


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One operator: its parameters and attributes."""

    op_type: str
    """RNN, GRU or LSTM."""
    W: Any
    R: Any
    B: Any = None
    P: Any = None
    """Peepholes of an LSTM."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """The attributes of the operator; a missing one has ONNX' default."""


class OperatorInputs(NamedTuple):
    """The parameters of one operator as tensors, under ONNX' names."""

    W: Tensor  # (directions, G * H, D)
    R: Tensor  # (directions, G * H, H)
    B: Tensor | None  # (directions, 2 * G * H)
    P: Tensor | None  # (directions, 3 * H)


def to_onnx(layer: Any) -> list[OnnxNode]:
    """One operator for each layer; each reads the outputs of the one before it, (T, B, directions * H).

    Raises:
        TypeError: it is no recurrent layer.
        ValueError: ONNX has no such operator: a projection, or another cell.
    """
    form, parameters = form_of(layer, peepholes=True), directions(layer, "ONNX")
    attributes, count = operator_attributes(layer, form), 1 + layer.bidirectional
    own = PEEPHOLES if form.peepholes else ()
    peepholes = [{name: getattr(layer, name + end).detach() for name in own} for end in suffixes(layer)]
    nodes = []
    for k in range(0, len(parameters), count):
        inputs = operator_inputs(form, parameters[k : k + count], peepholes[k : k + count])
        W, R, B, P = (None if x is None else to_array(x) for x in inputs)
        nodes.append(OnnxNode(form.kind, W, R, B, P, dict(attributes)))
    return nodes


def operator_attributes(layer: Any, form: Form) -> dict[str, Any]:
    """The attributes of the operators for ``layer``, the same for each."""
    attributes: dict[str, Any] = {
        "hidden_size": layer.hidden_size,
        "direction": "bidirectional" if layer.bidirectional else "forward",
    }
    if form.kind == "GRU":
        attributes["linear_before_reset"] = int(form.reset_after)
    if form.kind == "RNN":
        attributes["activations"] = [form.activation.capitalize()] * (1 + layer.bidirectional)
    return attributes


def operator_inputs(
    form: Form, parameters: Sequence[Direction], peepholes: Sequence[Mapping[str, Tensor]]
) -> OperatorInputs:
    """The parameters of one operator, from those of a layer's directions; differentiable and traceable."""
    of_layer = [[None if x is None else _reorder(x, form) for x in each] for each in parameters]
    W, R, B_x, B_h = zip(*of_layer, strict=True)
    B = None if B_x[0] is None else torch.stack([torch.cat(both) for both in zip(B_x, B_h, strict=True)])
    P = torch.stack([torch.cat([own[name] for name in PEEPHOLES]) for own in peepholes]) if form.peepholes else None
    return OperatorInputs(torch.stack(W), torch.stack(R), B, P)


def from_onnx(layer: Any, nodes: Sequence[OnnxNode]) -> dict[str, Tensor]:
    """A `state_dict` for `layer`, from one operator for each of its layers.

    Raises:
        TypeError: it is no recurrent layer.
        ValueError: the operators compute something else than the layer, as a GRU whose reset gate acts elsewhere.
    """
    form, count = form_of(layer, peepholes=True), 1 + layer.bidirectional
    if len(nodes) != layer.num_layers:
        raise ValueError(f"expected an operator for each of {layer.num_layers} layers, received {len(nodes)}")
    parameters, peepholes = [], []
    for k, node in enumerate(nodes):
        _check(node, form, layer.bidirectional)
        D, H = getattr(layer, f"weight_ih_l{k}").shape[1], layer.hidden_size
        width = len(form.gates) * H
        W, R = to_tensor(node.W), to_tensor(node.R)
        B = W.new_zeros(count, 2 * width) if node.B is None else to_tensor(node.B)
        check_shape(f"W of layer {k}", W, (count, width, D))
        check_shape(f"R of layer {k}", R, (count, width, H))
        check_shape(f"B of layer {k}", B, (count, 2 * width))
        for W_x, W_h, b in zip(W, R, B, strict=True):
            parameters.append(Direction(*(_reorder(x, form, back=True) for x in (W_x, W_h, b[:width], b[width:]))))
        P = W.new_zeros(count, 3 * H) if node.P is None else to_tensor(node.P)
        check_shape(f"P of layer {k}", P, (count, 3 * H))
        peepholes += list(P)
    state = to_state_dict(layer, parameters)
    if form.peepholes:
        for end, P in zip(suffixes(layer), peepholes, strict=True):
            state.update({name + end: part.clone() for name, part in zip(PEEPHOLES, P.chunk(3), strict=True)})
    return state


def _check(node: OnnxNode, form: Form, bidirectional: bool) -> None:
    """Raise ValueError, with the reason, for an operator that computes something else than the layer."""
    given = node.attributes
    received = replace(form, kind=node.op_type)
    if node.op_type == "GRU":
        received = replace(received, reset_after=bool(given.get("linear_before_reset", 0)))
    check_same(form, received, f"the operator {node.op_type}")
    direction, expected = given.get("direction", "forward"), "bidirectional" if bidirectional else "forward"
    if direction != expected:
        raise ValueError(f"expected an operator whose direction is {expected}, received {direction}")
    activations = {"RNN": [form.activation], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}[form.kind]
    usual = {"RNN": ["tanh"]}.get(form.kind, activations)
    named = [name.lower() for name in given.get("activations", usual * (1 + bidirectional))]
    if named != activations * (1 + bidirectional):
        raise ValueError(f"the layer's activations are {', '.join(activations)}, the operator's {', '.join(named)}")
    for name, default in _UNLIKE.items():
        if given.get(name, default) != default:
            raise ValueError(f"no layer has the operator's attribute {name}={given[name]}")
    if node.P is not None and not form.peepholes and to_tensor(node.P).any():
        raise ValueError("the operator LSTM has peepholes, which the layer does not have")


def _reorder(rows: Tensor, form: Form, back: bool = False) -> Tensor:
    orders = form.gates, ONNX[form.kind]
    return reorder(rows, *(reversed(orders) if back else orders))
