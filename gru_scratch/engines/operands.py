"""What the operators take: a layer and its inputs, as ``torch.library`` passes them on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from torch import Tensor

from gru_scratch.cells.base import Cell, registry
from gru_scratch.engines.weights import LayerWeights

LAYER_SCHEMA = (
    "str engine, str cell, bool keep, bool every, Tensor inputs, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih,"
    " Tensor? bias_hh, Tensor? weight_hr, Tensor? lengths, Tensor? resets, Tensor[] state, Tensor[] fresh,"
    " Tensor[] params, Tensor[] masks"
)
"""Both take this, as :class:`Layer`."""

GRADIENT_SCHEMA = "bool inputs_need_grad, Tensor grad_outputs, Tensor[] grad_state, Tensor[] kept"
"""Backward takes this before it."""


class Layer(NamedTuple):
    """A layer and its inputs, in the order of the schema."""

    engine: str
    cell: str
    keep: bool
    every: bool
    """Whether a step puts out all its states, one beside the other, or the first alone."""
    inputs: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor | None
    lengths: Tensor | None
    resets: Tensor | None
    state: list[Tensor]
    fresh: list[Tensor] | None
    """What the states are after a reset; none where there are no resets."""
    params: list[Tensor] | None  # None: an empty list, as some compilers hand it over
    masks: list[Tensor] | None

    @property
    def weights(self) -> LayerWeights:
        """The weights under their names."""
        return LayerWeights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.weight_hr)

    def named(self) -> tuple[Cell, dict[str, Tensor], dict[str, Tensor]]:
        """The cell, its parameters and its masks."""
        cell = registry[self.cell]
        params, masks = self.params or (), self.masks or ()
        return cell, dict(zip(cell.params, params, strict=True)), dict(zip(cell.masks, masks, strict=True))

    def flat(self) -> list[Tensor | None]:
        """All tensors in a row: autograd's functions take no lists."""
        return [*self[4:12], *self.state, *(self.fresh or ()), *(self.params or ()), *(self.masks or ())]

    @classmethod
    def unflat(cls, engine: str, cell: str, keep: bool, every: bool, tensors: Sequence[Tensor | None]) -> Layer:
        """The inverse of :meth:`flat`."""
        the_cell = registry[cell]
        states = len(the_cell.states._fields)
        fresh = 0 if tensors[7] is None else states
        ends = list(accumulate((8, states, fresh, len(the_cell.params), len(the_cell.masks))))
        lists = (list(tensors[a:b]) for a, b in pairwise(ends))
        return cls._make((engine, cell, keep, every, *tensors[:8], *lists))
