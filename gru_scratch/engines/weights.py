"""The parameters of a layer as every engine takes them, and the product with the input that no step waits for.

Legend: ``D`` input size, ``H`` hidden size, ``P`` size of the projected state, ``G`` gates, ``R`` gates of them that
have recurrent weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells.base import Cell


class LayerWeights(NamedTuple):
    """The parameters of one layer in one direction, under PyTorch's names and layouts."""

    weight_ih: Tensor  # (G * H, D)
    weight_hh: Tensor  # (R * H, P or H); (0, H) where no gate has recurrent weights
    bias_ih: Tensor | None = None  # (G * H,)
    bias_hh: Tensor | None = None  # (R * H,)
    weight_hr: Tensor | None = None  # (P, H)

    @property
    def hidden_size(self) -> int:
        """H: of the state before it is projected."""
        return hidden_size_of(self)


def hidden_size_of(weights: LayerWeights) -> int:
    """The property, where a compiler may trace: that of PyTorch 2.10 reads none of a NamedTuple."""
    return weights.weight_hr.shape[1] if weights.weight_hr is not None else weights.weight_hh.shape[1]


class Gradients(NamedTuple):
    """What backward returns; each has the shape of what it is the gradient of."""

    inputs: Tensor | None
    state: tuple[Tensor, ...]
    weights: LayerWeights
    params: dict[str, Tensor]
    fresh: tuple[Tensor, ...] = ()


def is_dense(inputs: Tensor) -> bool:
    """Whether inputs are vectors of numbers, not token indices."""
    return inputs.is_floating_point() or inputs.is_complex()


def check_indices(what: str, indices: Tensor, size: int) -> None:
    """Raise IndexError unless all indices, which compiled code reads by, are from 0 to ``size`` - 1."""
    low, high = indices.aminmax() if indices.numel() else (0, 0)
    if low < 0 or high >= size:
        raise IndexError(f"expected {what} from 0 to {size - 1}, received {int(low if low < 0 else high)}")


def project(inputs: Tensor, weights: LayerWeights) -> Tensor:
    """X W_x + b for all steps at once, (T, B, G * H); of a one-hot row it is a row of the matrix."""
    if is_dense(inputs):
        return F.linear(inputs, weights.weight_ih, weights.bias_ih)
    x = F.embedding(inputs, weights.weight_ih.t())
    return x if weights.bias_ih is None else x + weights.bias_ih


def by_product(cell: Cell, rows: Tensor) -> list[Tensor]:
    """The rows of ``weight_hh`` or ``bias_hh`` that each product of a step has: a view, where they are neighbours."""
    gates, products = cell.recurrence.gates, cell.recurrence.products
    blocks = dict(zip(gates, rows.chunk(len(gates)), strict=True)) if gates else {}
    if is_in_order(cell):
        sizes = [len(product.gates) * len(blocks[gates[0]]) for product in products]
        return list(torch.split(rows, sizes))
    return [torch.cat([blocks[gate] for gate in product.gates]) for product in products]


def is_in_order(cell: Cell) -> bool:
    """Whether the gates of one product after another are the gates in their order."""
    return sum((product.gates for product in cell.recurrence.products), ()) == cell.recurrence.gates


def from_product_order(cell: Cell, rows: Tensor) -> Tensor:
    """The inverse of :func:`by_product`: from a product's rows after another's to the order of the gates."""
    if is_in_order(cell):
        return rows
    order = [gate for product in cell.recurrence.products for gate in product.gates]
    blocks = dict(zip(order, rows.chunk(len(order)), strict=True))
    return torch.cat([blocks[gate] for gate in cell.recurrence.gates])
