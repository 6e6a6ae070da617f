"""Single steps, each in one call of compiled code: one after another on buffers made once, as generation takes them,
and one alone, as loops of one's own do. Nothing is kept for a derivative.

Legend: ``B`` batch, ``H`` hidden size, ``G`` gates.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells.base import Cell, State
from gru_scratch.engines.native.library import library_of
from gru_scratch.engines.native.run import extras, recurrent
from gru_scratch.engines.native.sharing import thread_count
from gru_scratch.engines.weights import LayerWeights

STEPS_ALONE = 10
"""Steps that one thread makes after it waited for another, and twice as many each time: where other programs have the
cores, it would wait again, and for longer than the steps take."""


class Steps:
    """A layer that is called once a step; :attr:`state` changes in place.

    The weights are packed when it is made: what changes them later is not seen.

    Args:
        state: the state to start from, (B, H) each, which is copied.
        x: (B, G * H), where the input's pre-activations stand whenever it is called.
    """

    def __init__(
        self, cell: Cell, state: State, weights: LayerWeights, params: Mapping[str, Tensor], x: Tensor
    ) -> None:
        (batch, H), library = state[0].shape, library_of(cell, x.dtype)
        both = [torch.stack([s, s]) for s in state]  # before a step, and after it: (2, B, H)
        self.state: State = cell.states(*(old for old, _ in both))
        self._cell, self._params, self._weights, self._library = cell, params, weights, library
        self._layer = library.layer(
            steps=1,
            rows=batch,
            hidden=H,
            x=x,
            state=both,
            slots=x.new_empty(batch, max(1, len(library.plan.slots)), H),
            packed=library.pack_forward(weights.weight_hh.contiguous(), weights.bias_hh),
        )
        self._draw_masks()
        self._threads = thread_count(batch, 1, weights.weight_hh.numel())
        self._alone, self._next_alone = 0, STEPS_ALONE

    def __call__(self) -> None:
        """One step."""
        if self._cell.masks:
            self._draw_masks()
        if self._alone:
            self._alone -= 1
            self._library.step(self._layer, 1)
        elif self._library.step(self._layer, self._threads):
            self._alone, self._next_alone = self._next_alone, 2 * self._next_alone

    def _draw_masks(self) -> None:
        shape = (1, self._layer.rows, self._layer.hidden)
        masks = self._cell.draw_masks(shape, False, self._weights.weight_hh)
        self._library.fill(self._layer, **extras(self._cell, self._params, masks, shape[-1]))


def one_step(cell: Cell, x: Tensor, state: State, weights: LayerWeights) -> list[Tensor]:
    """The states, (B, H) each, after one step on inputs (B, D), of a cell without parameters and masks of its own."""
    (batch, H), library = state[0].shape, library_of(cell, x.dtype)
    both = [torch.cat((s, s)) for s in state]  # (2B, H): the second half will be written over
    layer = library.layer(
        steps=1,
        rows=batch,
        hidden=H,
        x=F.linear(x, weights.weight_ih, weights.bias_ih),
        state=both,
        slots=x.new_empty(batch, max(1, len(library.plan.slots)), H),
        **recurrent(library, weights, batch),
    )
    library.forward(layer, thread_count(batch, 1, weights.weight_hh.numel()))
    return [s[batch:].clone() for s in both]
