"""The parameters of a layer as every engine takes them, and the product with the input that no step waits for."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class LayerWeights(NamedTuple):
    """The parameters of one layer in one direction, under PyTorch's names and layouts."""

    weight_ih: Tensor  # (G * H, D)
    weight_hh: Tensor  # (G * H, P or H)
    bias_ih: Tensor | None = None  # (G * H,)
    bias_hh: Tensor | None = None  # (G * H,)
    weight_hr: Tensor | None = None  # (P, H)

    @property
    def hidden_size(self) -> int:
        """H: of the state before it is projected."""
        return self.weight_hr.shape[1] if self.weight_hr is not None else self.weight_hh.shape[1]


def is_dense(inputs: Tensor) -> bool:
    """Whether inputs are vectors of numbers, not token indices."""
    return inputs.is_floating_point() or inputs.is_complex()


def project(inputs: Tensor, weights: LayerWeights) -> Tensor:
    """X W_x + b for all steps at once, (T, B, G * H); of a one-hot row it is a row of the matrix."""
    if is_dense(inputs):
        return F.linear(inputs, weights.weight_ih, weights.bias_ih)
    x = F.embedding(inputs, weights.weight_ih.t())
    return x if weights.bias_ih is None else x + weights.bias_ih
