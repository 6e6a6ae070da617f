"""Engine "fused", backward: back-propagation through time, by hand, a stretch of time after another.

Time is cut into stretches whose coefficients stay in cache. From the last stretch to the first, the reverse loop turns
its coefficients into gradients of the pre-activations, and each weight's gradient grows by one product over its steps.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.fused.jacobian import Stretch
from gru_scratch.engines.fused.reverse_loop import ReverseLoop
from gru_scratch.engines.fused.sequence import rows_alive, rows_cleared
from gru_scratch.engines.fused.weight_gradients import WeightGradients
from gru_scratch.engines.segments import starts
from gru_scratch.engines.weights import Gradients, LayerWeights

STRETCH = 2**18
"""The most elements of one gate in a stretch of time, about: so few that all its coefficients stay in a cache."""

STRETCH_ROWS = 1024
"""But a stretch may always have this many rows, or three for each unit: products of many rows are faster."""


def backward(
    cell: Cell,
    inputs: Tensor,
    weights: LayerWeights,
    params: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    lengths: Tensor | None,
    states: Sequence[Tensor],
    buffers: Sequence[Tensor],
    grad_outputs: Sequence[Tensor],
    grad_state: Sequence[Tensor],
    inputs_need_grad: bool,
    resets: Tensor | None = None,
    fresh: Sequence[Tensor] = (),
) -> Gradients:
    """The gradients of a loss with respect to everything that went in.

    Args:
        states, buffers: what :func:`gru_scratch.engines.fused.forward.forward` returned.
        grad_outputs: of the first state after every step, (T, B, P or H); or of each state, (T, B, H), too.
        grad_state: of the states after the last step, (B, P or H), (B, H), ...
        inputs_need_grad: whether to compute the inputs' gradient too.
        resets, fresh: as for forward.
    """
    steps, batch = inputs.shape[:2]
    rows = rows_alive(lengths, steps)
    loop = ReverseLoop(cell, weights, params, rows, rows_cleared(resets, rows, steps), grad_outputs, grad_state)
    found_weights = WeightGradients(cell, inputs, weights, params, loop.layout, rows, inputs_need_grad)
    before = tuple(s[:-1] for s in states)
    if resets is not None:
        before = tuple(starts(s, resets, f) for s, f in zip(before, fresh, strict=True))
    whole = Stretch(before, tuple(s[1:] for s in states), tuple(buffers), masks)
    length = stretch_length(steps, batch, weights)
    loop.make_room(length)
    for stop in range(steps, 0, -length):
        part = slice(max(0, stop - length), stop)
        stretch = whole.steps(part)
        found_weights.add(part, stretch, *loop.walk(part, stretch, found_weights.d_params))
    d_fresh = () if resets is None else tuple(loop.d_fresh)
    return Gradients(found_weights.d_inputs, loop.initial(), found_weights.result(), found_weights.d_params, d_fresh)


def stretch_length(steps: int, batch: int, weights: LayerWeights) -> int:
    """Steps in a stretch, all about as long; in half precision all of them, since partial sums would be rounded."""
    if weights.weight_hh.dtype in (torch.bfloat16, torch.float16):
        return max(1, steps)
    rows = max(STRETCH_ROWS, STRETCH // weights.hidden_size, 3 * weights.hidden_size)
    stretches = max(1, math.ceil(steps * batch / rows))
    return max(1, math.ceil(steps / stretches))
