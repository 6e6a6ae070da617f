"""A model for tools that look for the exact types of `torch.nn`: each layer of this package becomes its namesake."""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

from torch import nn

from gru_scratch.cells import Cell
from gru_scratch.convert.form import Form, check_same, form_of
from gru_scratch.convert.torch_nn import to_torch

M = TypeVar("M", bound=nn.Module)

OWN_OPTIONS = ("engine", "reset_after", "dropout_masks", "weight_dropout")
"""Attributes of this package's layers that their namesakes lack."""


def to_torch_model(model: M) -> M:
    """A deep copy in which every layer of this package is the layer of `torch.nn` that computes the same.

    Parameters, buffers, hooks and mode are those of the original; parameters that are tied in `model` stay tied.

    Raises:
        ValueError: a layer, which the message names, computes what no layer of `torch.nn` does.
    """
    made = copy.deepcopy(model)
    ours = {name: layer for name, layer in made.named_modules() if isinstance(getattr(layer, "cell", None), Cell)}
    for name, layer in ours.items():
        try:
            namesake = _namesake(layer)
        except ValueError as error:
            raise ValueError(f"{name or 'the model'} has no namesake in torch.nn: {error}") from None
        if not name:
            return cast(M, namesake)
        parent, _, last = name.rpartition(".")
        made.get_submodule(parent)._modules[last] = namesake
    return made


def _namesake(layer: Any) -> Any:
    form = form_of(layer)
    check_same(form, Form(form.kind, form.activation), f"nn.{form.kind}")
    if layer.training and (getattr(layer, "weight_dropout", 0) or getattr(layer, "dropout_masks", "") == "locked"):
        raise ValueError("none drops out as it does in training: call eval() first")
    kind: Any = next((c for c in type(layer).__mro__ if c.__module__ == nn.RNNBase.__module__), nn.Module)
    if kind is nn.Module:  # a layer of any cell, here one of those that torch.nn has
        twin: Any = to_torch(layer)
        for name, parameter in layer.named_parameters(recurse=False):
            setattr(twin, name, parameter)
        return twin
    twin = kind.__new__(kind)
    twin.__dict__.update({name: value for name, value in layer.__dict__.items() if name not in OWN_OPTIONS})
    return twin
