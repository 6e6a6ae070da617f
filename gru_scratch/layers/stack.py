"""Depth and direction: one engine runs each layer, forward in time and, if bidirectional, backward.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.choice import Run
from gru_scratch.engines.weights import LayerWeights, hidden_size_of
from gru_scratch.layers.dropout import keep
from gru_scratch.layers.ragged import Ragged, Resets, flip


class Parameters(NamedTuple):
    """The parameters of one layer in one direction."""

    weights: LayerWeights
    own: Mapping[str, Tensor]  # the cell's own parameters

    def to(self, dtype: torch.dtype) -> Parameters:
        """The same in another dtype; gradients flow back to the originals."""
        weights = LayerWeights(*(None if w is None else w.to(dtype) for w in self.weights))  # type: ignore[arg-type]
        return Parameters(weights, {name: value.to(dtype) for name, value in self.own.items()})

    def of_tokens(self, embedding: Tensor) -> Parameters:
        """The same for token indices, each of which stands for its row of the embedding (V, D)."""
        by_token = embedding @ self.weights.weight_ih.t()  # (V, G * H)
        return self._replace(weights=self.weights._replace(weight_ih=by_token.t()))

    def drop(self, p: float) -> Parameters:
        """The same, with each recurrent weight zeroed with probability ``p`` and the others divided by 1 - p."""
        weight_hh = self.weights.weight_hh
        return self._replace(weights=self.weights._replace(weight_hh=weight_hh * keep(weight_hh, p)))


def run_stack(
    run: Run,
    last: Run,
    cell: Cell,
    inputs: Tensor,
    states: Sequence[Tensor],
    layers: list[list[Parameters]],
    ragged: Ragged | None,
    anew: Resets | None,
    training: bool,
    drop: Callable[[Tensor], Tensor],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run the layers, each on the outputs of the one below.

    Args:
        run: the engine; ``last``: the same, as it runs the last layer.
        inputs: (T, B, D), or token indices (T, B), zero past a sequence's end.
        states: for each state of the cell (L * directions, B, P or H).
        layers: for each layer the parameters of its directions.
        anew: where sequences start anew; None: nowhere.
        drop: the function, dropout or none, that is applied to the outputs between layers.

    Returns:
        The last layer's outputs, (T, B, directions * (P or H)), and the final states, in the form of ``states``.
    """
    steps, batch = inputs.shape[:2]
    lengths = None if ragged is None else ragged.lengths
    rows = None if ragged is None or len(layers[0]) == 1 else ragged.flip_rows(steps)
    start = list(zip(*(s.unbind(0) for s in states), strict=True))
    fresh = [] if anew is None else list(zip(*(s.unbind(0) for s in anew.fresh), strict=True))
    resets = [] if anew is None else anew.of_directions(lengths, rows)
    finals: list[Any] = []
    for depth, directions in enumerate(layers):
        outputs = []
        for backwards, (weights, own) in enumerate(directions):
            state = cell.states(*start[len(finals)])
            masks = cell.draw_masks((steps, batch, hidden_size_of(weights)), training, weights.weight_hh)
            read = flip(inputs, rows) if backwards else inputs
            cleared: Any = {}
            if anew is not None:
                cleared = {"resets": resets[backwards], "fresh": cell.states(*fresh[len(finals)])}
            runs = last if depth + 1 == len(layers) else run
            output, final = runs(cell, read.contiguous(), state, weights, own, masks, lengths, **cleared)
            outputs.append(flip(output, rows) if backwards else output)
            finals.append(final)
        inputs = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        if depth + 1 < len(layers):
            inputs = drop(inputs)
    return inputs, tuple(torch.stack(each) for each in zip(*finals, strict=True))
