"""Engine "native": a layer over a sequence, forward and backward, by the compiled code of its cell.

The products that no step waits for are PyTorch's: with the input before the loop, of the weights' gradients after it.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``G`` gates, ``R`` gates with recurrent weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells.base import Cell
from gru_scratch.engines.native.library import Library, library_of
from gru_scratch.engines.native.sharing import thread_count
from gru_scratch.engines.native.source import plan_of
from gru_scratch.engines.native.weight_gradients import WeightGradients
from gru_scratch.engines.weights import Gradients, LayerWeights, check_indices, is_dense

CHUNK_BYTES = 2**21
"""Backward goes through so many steps at a time that the gradients of their pre-activations take about so much."""

WORTH_PACKING = 4
"""Rows of all steps, up to which forward reads the recurrent weights as they lie."""

ROW_PADDING = 16
"""Numbers between two rows of these gradients: rows a power of two apart push each other out of the cache."""

TABLE_BYTES = 2**24
"""The gradients of tokens are summed within the loop, by each thread, where a table of sums takes no more."""


def buffer_shapes(cell: Cell, steps: int, batch: int, weights: LayerWeights) -> list[tuple[int, ...]]:
    """The shapes of the buffers that :func:`forward` returns where it keeps any."""
    return [(steps, batch, len(plan_of(cell).slots), weights.hidden_size)]


def forward(
    cell: Cell,
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: LayerWeights,
    params: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    lengths: Tensor | None,
    keep: bool,
    resets: Tensor | None = None,
    fresh: Sequence[Tensor] = (),
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run the cell over a sequence.

    Args:
        inputs: (T, B, D), or token indices (T, B), which stand for one-hot vectors of size D.
        state: (B, H) for each state.
        lengths: (B,), sorted falling, or None: past its length a sequence's states are zero.
        keep: whether backward will be asked for.
        resets: booleans (T, B), where a sequence starts a step from its ``fresh`` states, (B, H) each; None: nowhere.

    Returns:
        The states, (T + 1, B, H) each, the initial one first; and, to ``keep``, the buffers that backward needs.
    """
    library = library_of(cell, weights.weight_hh.dtype)
    (steps, batch), H = inputs.shape[:2], weights.hidden_size
    new = weights.weight_hh.new_empty if lengths is None else weights.weight_hh.new_zeros
    states = tuple(new(steps + 1, batch, H) for _ in state)
    for buffer, initial in zip(states, state, strict=True):
        buffer[0] = initial
    slots = new(steps if keep else 1, batch, len(library.plan.slots), H)
    x, tokens = _project(inputs, weights)
    layer = library.layer(
        **_sizes(inputs, H, slots, lengths),
        **extras(cell, params, masks, H),
        tokens=tokens,
        x=x,
        state=states,
        **_anew(resets, fresh),
        slots=slots,
        **recurrent(library, weights, steps * batch),
    )
    library.forward(layer, thread_count(batch, steps, weights.weight_hh.numel()), keep)
    return states, (slots,) if keep else ()


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
        states, buffers: what :func:`forward` returned.
        grad_outputs: of the first state after every step, (T, B, H); or of each state.
        grad_state: of the states after the last step, (B, H) each.
        inputs_need_grad: whether to compute the inputs' gradient too.
    """
    library = library_of(cell, weights.weight_hh.dtype)
    plan, (slots,) = library.plan, buffers
    (steps, batch), H, new = inputs.shape[:2], weights.hidden_size, weights.weight_hh.new_empty
    width = len(plan.columns) * H
    most = max(1, CHUNK_BYTES // (batch * width * slots.element_size() + 1))
    chunk = max(1, ceil(steps / max(1, ceil(steps / most))))  # about as many steps each time
    columns = new(chunk, batch, width + ROW_PADDING)
    carry = tuple(torch.clone(g, memory_format=torch.contiguous_format) for g in grad_state)
    arriving = [g.contiguous() for g in grad_outputs]
    count = thread_count(batch, steps, weights.weight_hh.numel())
    tables = _tables(inputs, weights, min(count, batch), width)
    found = WeightGradients(cell, plan, inputs, weights, states, slots, tables, inputs_need_grad, resets, fresh)
    d_params = [new(batch, H).zero_() for _ in params]
    d_fresh = tuple(new(batch, H).zero_() for _ in fresh)
    layers = [
        library.layer(
            **_sizes(inputs, H, slots, lengths),
            **extras(cell, params, masks, H),
            tokens=None if tables is None else inputs.long().contiguous(),
            state=states,
            **_anew(resets, fresh),
            grad_fresh=d_fresh,
            slots=slots,
            packed=library.pack_backward(weights.weight_hh.contiguous()) if k == 0 else (),
            grad_output=arriving,
            carry=carry,
            columns=columns,
            column_row=columns.shape[-1],
            temps=new(batch, max(1, len(plan.temps)), H),
            grad_param=d_params,
            grad_table=None if tables is None else tables[k % len(tables)],
        )
        for k in range(count)
    ]
    for layer in layers[1:]:
        layer.packed = layers[0].packed
    for stop in range(steps, 0, -chunk):
        first = max(0, stop - chunk)
        for layer in layers:
            layer.first_step = first
        library.backward(layers, stop)
        found.add(first, stop, columns[: stop - first, :, :width])
    sums = zip(cell.params, d_params, strict=True)
    by_name = {name: (d.sum(0) if params[name].numel() == H else d.sum()).view_as(params[name]) for name, d in sums}
    if resets is not None:
        at_once = resets[0].unsqueeze(1)
        for d_state, d_anew in zip(carry, d_fresh, strict=True):
            d_anew += d_state.masked_fill(~at_once, 0)
            d_state.masked_fill_(at_once, 0)
    return Gradients(found.d_inputs, carry, found.result(), by_name, d_fresh)


def recurrent(library: Library, weights: LayerWeights, rows: int) -> dict[str, Any]:
    """The recurrent weights as forward reads them: packed, where they are read often enough to make up for it."""
    weight, bias = weights.weight_hh.contiguous(), weights.bias_hh
    if rows > WORTH_PACKING:
        return {"packed": library.pack_forward(weight, bias)}
    return {"weight": weight, "bias": None if bias is None else bias.contiguous()}


def _anew(resets: Tensor | None, fresh: Sequence[Tensor]) -> dict[str, Any]:
    """Where states are cleared, and what they then are."""
    return {} if resets is None else {"resets": resets.contiguous(), "fresh": [f.contiguous() for f in fresh]}


def _project(inputs: Tensor, weights: LayerWeights) -> tuple[Tensor, Tensor | None]:
    """The input's pre-activations, (T, B, G * H), and None; or, for tokens, a table with a row for each, and them."""
    W, b = weights.weight_ih, weights.bias_ih
    if is_dense(inputs):
        return F.linear(inputs, W, b), None
    check_indices("tokens", inputs, W.shape[1])
    if W.shape[1] > inputs.numel():
        x = F.embedding(inputs, W.t())
        return (x if b is None else x + b), None
    return (W.t().contiguous() if b is None else W.t() + b).contiguous(), inputs.long().contiguous()


def _sizes(inputs: Tensor, hidden_size: int, slots: Tensor, lengths: Tensor | None) -> dict[str, Any]:
    steps, rows = inputs.shape[:2]
    alive = None if lengths is None else (lengths > torch.arange(steps).unsqueeze(1)).sum(1)
    slot_step = 0 if len(slots) < steps else slots.stride(0)
    return {"steps": steps, "rows": rows, "hidden": hidden_size, "slot_step": slot_step, "alive": alive}


def extras(
    cell: Cell, params: Mapping[str, Tensor], masks: Mapping[str, Tensor], hidden_size: int
) -> dict[str, Sequence[Tensor] | Sequence[int]]:
    """Parameters a number for each unit; masks as they lie, with no copies of what is the same at all steps or rows."""
    small = [masks[name] for name in cell.masks]
    small = [m[:1] if m.stride(0) == 0 else m for m in small]
    small = [(m[:, :1] if m.stride(1) == 0 else m).contiguous() for m in small]
    return {
        "param": [params[name].expand(hidden_size).contiguous() for name in cell.params],
        "mask": small,
        "mask_step": [m.stride(0) if len(m) > 1 else 0 for m in small],
        "mask_row": [m.stride(1) if m.shape[1] > 1 else 0 for m in small],
    }


def _tables(inputs: Tensor, weights: LayerWeights, threads: int, width: int) -> Tensor | None:
    """For each thread a place to sum gradients by token in, (threads, V, C * H), where that is not too much."""
    V = weights.weight_ih.shape[1]
    if is_dense(inputs) or threads * V * width * weights.weight_hh.element_size() > TABLE_BYTES:
        return None
    return weights.weight_hh.new_zeros(threads, V, width // weights.hidden_size, weights.hidden_size)
