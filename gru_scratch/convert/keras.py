"""Keras: what `get_weights()` of `SimpleRNN`, `GRU` and `LSTM` returns, alone, stacked, or in `Bidirectional`.

Keras has a kernel (D, G * H), a recurrent_kernel (H, G * H) and a bias for each layer; `Bidirectional` has those of the
forward layer, then those of the backward one. A GRU with `reset_after=True`, the default, has a bias (2, 3 * H): the
input's and the recurrent one; every other layer has one bias (G * H,). The layers must have Keras' default activations
(`tanh`, `sigmoid`; for an RNN with relu `activation="relu"`), which the arrays do not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

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

KERAS = {"RNN": "a", "GRU": "zrn", "LSTM": "ifgo"}
"""The gates in the order of Keras' columns."""


def to_keras(layer: Any) -> list[Any]:
    """The arrays for `set_weights` of a Keras layer, or for a `Sequential` of as many layers as `layer` has.

    Without biases there are two arrays for each layer instead of three, as with Keras' `use_bias=False`.

    Raises:
        TypeError: it is no recurrent layer.
        ValueError: Keras has no such layer: a projection, or another cell.
    """
    form = form_of(layer)
    arrays: list[Any] = []
    for direction in directions(layer, "Keras"):
        kernels = [_reorder(weight, form).t() for weight in direction[:2]]
        if direction.bias_ih is None or direction.bias_hh is None:
            biases = []
        elif form.kind == "GRU" and form.reset_after:
            biases = [torch.stack([_reorder(direction.bias_ih, form), _reorder(direction.bias_hh, form)])]
        else:
            biases = [_reorder(direction.bias_ih + direction.bias_hh, form)]
        arrays += [to_array(value) for value in (*kernels, *biases)]
    return arrays


def from_keras(layer: Any, arrays: Sequence[Any], reset_after: bool | None = None) -> dict[str, Tensor]:
    """A `state_dict` for `layer`, from the arrays of `get_weights()`.

    Args:
        layer: the layer that is to have the parameters.
        arrays: the arrays, in Keras' order.
        reset_after: that of a Keras GRU without biases; with biases their shape shows it.

    Raises:
        TypeError: it is no recurrent layer.
        ValueError: the shapes are those of another layer, or of a GRU whose reset gate acts elsewhere than the layer's.
    """
    form, ends = form_of(layer), suffixes(layer)
    if len(arrays) not in (2 * len(ends), 3 * len(ends)):
        raise ValueError(f"expected {3 * len(ends)} arrays, or {2 * len(ends)} without biases, received {len(arrays)}")
    each = len(arrays) // len(ends)
    tensors = [to_tensor(array) for array in arrays]
    parameters = []
    for k, end in enumerate(ends):
        kernel, recurrent_kernel, *biases = tensors[k * each : (k + 1) * each]
        D, H = getattr(layer, f"weight_ih{end}").shape[1], layer.hidden_size
        width = len(form.gates) * H
        check_shape(f"the kernel for {end[1:]}", kernel, (D, width))
        check_shape(f"the recurrent kernel for {end[1:]}", recurrent_kernel, (H, width))
        if form.kind == "GRU":
            check_same(form, replace(form, reset_after=_resets_after(biases, reset_after, width)), "the Keras GRU")
        elif biases:
            check_shape(f"the bias for {end[1:]}", biases[0], (width,))
        W_x, W_h = (_reorder(each.t(), form, back=True) for each in (kernel, recurrent_kernel))
        parameters.append(Direction(W_x, W_h, *_two_biases(biases, form)))
    return to_state_dict(layer, parameters)


def _resets_after(biases: list[Tensor], given: bool | None, width: int) -> bool:
    """Whether a Keras GRU resets after the product: it then has two biases."""
    if not biases:
        if given is None:
            raise ValueError("a Keras GRU without biases does not show which one it is: give its reset_after")
        return given
    check_shape("the bias of a Keras GRU", biases[0], (2, width), (width,))
    shown = biases[0].dim() == 2
    if given not in (None, shown):
        raise ValueError(f"reset_after={given} was given, but the bias has the shape {tuple(biases[0].shape)}")
    return shown


def _two_biases(biases: list[Tensor], form: Form) -> tuple[Tensor | None, Tensor | None]:
    if not biases:
        return None, None
    bias_ih, bias_hh = biases[0] if biases[0].dim() == 2 else (biases[0], torch.zeros_like(biases[0]))
    return _reorder(bias_ih, form, back=True), _reorder(bias_hh, form, back=True)


def _reorder(rows: Tensor, form: Form, back: bool = False) -> Tensor:
    orders = form.gates, KERAS[form.kind]
    return reorder(rows, *(reversed(orders) if back else orders))
