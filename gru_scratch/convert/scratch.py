"""The lists of parameters of `scratch/`: one matrix for each gate, to multiply from the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gru_scratch.convert.form import Form, check_same, form_of

# For each cell, which of the book's gates stands where in torch.nn's stack: GRU z, r, h -> r, z, n;
# LSTM i, f, o, c -> i, f, g, o. The book lists, gate after gate, W_x, W_h, b.
_STACK = {"rnn": (0,), "gru": (1, 0, 2), "gru_reset_after": (1, 0, 2), "lstm": (0, 1, 3, 2)}
_FORMS = {
    "rnn": Form("RNN"),
    "gru": Form("GRU", reset_after=False),
    "gru_reset_after": Form("GRU"),
    "lstm": Form("LSTM"),
}
_LENGTHS = {5: "rnn", 11: "gru", 12: "gru_reset_after", 14: "lstm"}


def to_scratch(model: Any) -> list[Tensor]:
    """The parameters of an `RNNModel` as the list of `scratch.rnn`, `.gru`, `.gru_reset_after` or `.lstm`.

    Args:
        model: a model with a recurrent layer `rnn` and a linear layer `linear`.

    Raises:
        TypeError: `rnn` is no recurrent layer.
        ValueError: `scratch/` has no such layer: one with several layers or directions, a projection, relu, or another
            cell.
    """
    weights = {name: value.detach() for name, value in model.state_dict().items()}
    cell = _cell_of(model.rnn)
    if "rnn.bias_ih_l0" not in weights:
        zeros = weights["rnn.weight_hh_l0"].new_zeros(len(weights["rnn.weight_hh_l0"]))
        weights.update({"rnn.bias_ih_l0": zeros, "rnn.bias_hh_l0": zeros})
    return torch_to_scratch(cell, weights)


def from_scratch(model: Any, params: Sequence[Tensor]) -> dict[str, Tensor]:
    """A `state_dict` for `model`, from a list of parameters of `scratch/`.

    Raises:
        TypeError: the model's `rnn` is no recurrent layer.
        ValueError: the list is another cell's or another size's, or the layer cannot compute it.
    """
    cell = _LENGTHS.get(len(params))
    if cell is None:
        raise ValueError(f"expected the 5, 11, 12 or 14 parameters of a cell of scratch/, received {len(params)}")
    check_same(_FORMS[_cell_of(model.rnn)], _FORMS[cell], "these parameters")
    weights = scratch_to_torch(cell, [param.detach() for param in params])
    expected = {name: value.shape for name, value in model.state_dict().items()}
    for name in [name for name in weights if name not in expected]:
        if weights.pop(name).any():
            raise ValueError("these parameters have biases, the layer has none: make it with bias=True")
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise ValueError(f"{name}: expected the shape {tuple(shape)}, received {tuple(weights[name].shape)}")
    return weights


def _cell_of(layer: Any) -> str:
    """The name in `scratch/` of the function that computes the same as a layer."""
    form = form_of(layer)
    if layer.num_layers != 1 or layer.bidirectional or layer.proj_size:
        raise ValueError(f"scratch/ has one layer in one direction and no projection, received {layer}")
    for name, scratch in _FORMS.items():
        if form == scratch:
            return name
    raise ValueError(f"scratch/ has an RNN of tanh only, received {layer}")


def scratch_to_torch(cell: str, params: Sequence[Tensor]) -> dict[str, Tensor]:
    """The parameters of a model of `scratch/` under the names of `RNNModel`: `rnn.weight_ih_l0`, ...

    The book's one bias becomes `bias_ih`; `bias_hh` is zero, except for the candidate's of "gru_reset_after". Those of
    "gru" need a layer whose reset gate acts before the recurrent product, which `nn.GRU` is not.
    """
    *gate_params, W_hq, b_q = params
    b_hh = gate_params.pop() if cell == "gru_reset_after" else None
    gates = [gate_params[3 * i : 3 * i + 3] for i in _STACK[cell]]
    bias_ih = torch.cat([b for _, _, b in gates])
    bias_hh = torch.zeros_like(bias_ih)
    if b_hh is not None:
        bias_hh[-len(b_hh) :] = b_hh
    return {
        "rnn.weight_ih_l0": torch.cat([W_x.T for W_x, _, _ in gates]),
        "rnn.weight_hh_l0": torch.cat([W_h.T for _, W_h, _ in gates]),
        "rnn.bias_ih_l0": bias_ih,
        "rnn.bias_hh_l0": bias_hh,
        "linear.weight": W_hq.T.contiguous(),
        "linear.bias": b_q.clone(),
    }


def torch_to_scratch(cell: str, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The inverse of `scratch_to_torch`; two biases become their sum, except the candidate's of "gru_reset_after"."""
    stack = _STACK[cell]
    W_xs = weights["rnn.weight_ih_l0"].chunk(len(stack))
    W_hs = weights["rnn.weight_hh_l0"].chunk(len(stack))
    b_xs = weights["rnn.bias_ih_l0"].chunk(len(stack))
    b_hs = weights["rnn.bias_hh_l0"].chunk(len(stack))
    bs = [b_x + b_h for b_x, b_h in zip(b_xs, b_hs, strict=True)]
    params: list[Tensor] = []
    for i in sorted(range(len(stack)), key=stack.__getitem__):
        params += [W_xs[i].T.contiguous(), W_hs[i].T.contiguous(), bs[i]]
    if cell == "gru_reset_after":
        params[-1:] = [b_xs[2].clone(), b_hs[2].clone()]
    return [*params, weights["linear.weight"].T.contiguous(), weights["linear.bias"].clone()]
