"""Engine "fused", forward: one product projects all inputs; a step then takes its own products and the equations.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state, ``G`` gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.fused.in_place import Loop, loop_of
from gru_scratch.engines.fused.sequence import Sequence, clear_dead_rows, rows_alive, rows_cleared
from gru_scratch.engines.torch_private import untracked
from gru_scratch.engines.weights import LayerWeights, by_product


def buffer_shapes(cell: Cell, steps: int, batch: int, weights: LayerWeights) -> list[tuple[int, ...]]:
    """What forward keeps beside the states: the input's pre-activations, and each product; or what a loop keeps."""
    loop = loop_that_runs(cell, weights)
    kept = (len(cell.gates), *(len(product.gates) for product in cell.recurrence.products))
    return [(steps, batch, width * weights.hidden_size) for width in (kept if loop is None else loop.buffers)]


def loop_that_runs(cell: Cell, weights: LayerWeights) -> Loop | None:
    """The cell's loop in place: it does not know a projected state."""
    return loop_of(cell) if weights.weight_hr is None else None


def forward(
    cell: Cell,
    inputs: Tensor,
    state: tuple[Tensor, ...],
    weights: LayerWeights,
    params: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    lengths: Tensor | None,
    keep: bool,
    resets: Tensor | None = None,
    fresh: tuple[Tensor, ...] = (),
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run the cell over the sequence; ``keep``, whether backward will follow, changes nothing here. Where ``resets``,
    (T, B), is true, a row starts a step from its ``fresh`` states.

    Returns:
        The states, (T + 1, B, P or H) each, the initial one first; and the buffers that backward needs.
    """
    steps, batch = inputs.shape[:2]
    rows = rows_alive(lengths, steps)
    new = weights.weight_hh.new_empty
    states = tuple(new(steps + 1, batch, s.shape[-1]) for s in state)
    for buffer, initial in zip(states, state, strict=True):
        buffer[0] = initial
    before, after = tuple(s[:-1] for s in states), tuple(s[1:] for s in states)
    buffers = tuple(map(new, buffer_shapes(cell, steps, batch, weights)))
    cleared = rows_cleared(resets, rows, steps)
    sequence = Sequence(inputs, weights, before, after, buffers, rows, cleared, tuple(fresh))
    if loop := loop_that_runs(cell, weights):
        with untracked():
            loop.forward(sequence)
    else:
        _forward_by_step(cell, sequence, params, masks)
    for filled in (*after, *buffers):
        clear_dead_rows(filled, rows)
    return states, buffers


def _forward_by_step(cell: Cell, sequence: Sequence, params: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """The generic loop: the cell's own equations on the kept pre-activations; a product is added to its bias."""
    weights, (X, *kept) = sequence.weights, sequence.buffers
    sequence.lay_out(X, project=slice(0, len(cell.gates)))
    products = cell.recurrence.products
    biases = [None] * len(products) if weights.bias_hh is None else by_product(cell, weights.bias_hh)
    for buffer, bias in zip(kept, biases, strict=True):
        sequence.lay_out(buffer, project=slice(0, 0), hidden_bias=bias)
    multipliers = [sequence.recurrent(weight) for weight in by_product(cell, weights.weight_hh)]
    steps_of = [sequence.steps(buffer) for buffer in kept]
    made: dict[int, tuple[Tensor, tuple[Tensor, ...]]] = {}

    def take(product: int, place: int, vector: Tensor) -> Tensor:
        if product not in made:
            filled = multipliers[product].add_to(steps_of[product][t], vector)
            made[product] = vector, filled.chunk(len(products[product].gates), -1)
        multiplied, chunks = made[product]
        if multiplied is not vector:
            raise RuntimeError(f"{cell!r} multiplies other vectors than in its first step: it branches on values")
        return chunks[place]

    W = cell.name_recurrent(
        {gate: partial(take, k, i) for k, product in enumerate(products) for i, gate in enumerate(product.gates)}
    )
    x_t = sequence.steps(X)
    before = zip(*map(sequence.starts, range(len(sequence.before))), strict=True)
    after = zip(*map(sequence.steps, sequence.after), strict=True)
    masks_t = {name: sequence.steps(mask) for name, mask in masks.items()}
    for t, (old, new) in enumerate(zip(before, after, strict=True)):
        made.clear()
        extras = {**params, **{name: mask[t] for name, mask in masks_t.items()}}
        result, _ = cell.step(cell.name_x(x_t[t]), W, cell.states(*old), **extras)
        for k, (target, value) in enumerate(zip(new, result, strict=True)):
            if k == 0 and weights.weight_hr is not None:
                torch.mm(value, weights.weight_hr.t(), out=target)
            else:
                target.copy_(value)
