"""What PyTorch's transforms and counters ask of the operators: to run for many losses at once, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gru_scratch.engines import torch_private
from gru_scratch.engines.operands import Layer


def backward_of_many(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[list[Tensor], list[int]]:
    """One after another: for gradients of many losses at once (``is_grads_batched``)."""
    many = [torch.ops.gru_scratch.backward(*_member(args, in_dims, k)) for k in range(info.batch_size)]
    return [torch.stack(each) for each in zip(*many, strict=True)], [0] * len(many[0])


def _member(value: Any, dim: Any, k: int) -> Any:
    """Of an argument, or of a list of such, what belongs to one member of a batch."""
    if isinstance(value, (list, tuple)):
        return [_member(each, its, k) for each, its in zip(value, dim, strict=True)]
    return value if dim is None else value.select(dim, k)


def backward_under_older_vmap(*args: Any) -> list[Tensor]:
    """The same for PyTorch's older vmap, which ``is_grads_batched`` and ``gradcheck`` use."""
    flat = [x for arg in args for x in (arg if isinstance(arg, (list, tuple)) else (arg,))]
    many = [torch.ops.gru_scratch.backward(*_in_lists(x, args)) for x in torch_private.split_older_batch(flat)]
    return [torch_private.join_older_batch(each) for each in zip(*many, strict=True)]


def _in_lists(flat: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    """Values in a row, put into lists where ``like`` has lists."""
    values = iter(flat)
    return [[next(values) for _ in arg] if isinstance(arg, (list, tuple)) else next(values) for arg in like]


def forward_flops(*shapes: Any, **options: Any) -> int:
    """Two for each multiplication and addition of the products, as PyTorch counts its own."""
    return sum(_products(Layer(*shapes)))


def backward_flops(
    inputs_need_grad: bool, grad_outputs: Any, grad_state: Any, kept: Any, *shapes: Any, **options: Any
) -> int:
    """Each product has two gradients of its own size; the inputs' is left out where nothing asks for it."""
    of_inputs, recurrent = _products(Layer(*shapes))
    return (1 + inputs_need_grad) * of_inputs + 2 * recurrent


def _products(layer: Any) -> tuple[int, int]:
    """The operations of the products with inputs and with states, from shapes; to take a token's row is no product."""
    steps, batch = layer.inputs[:2]
    weights = [shape for shape in (layer.weight_hh, layer.weight_hr) if shape is not None]
    of_inputs = math.prod(layer.weight_ih) if len(layer.inputs) == 3 else 0
    return 2 * steps * batch * of_inputs, 2 * steps * batch * sum(map(math.prod, weights))
