"""Engine "fused", forward: one product projects all inputs; a step then takes the state's product and the equations.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state, ``G`` gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.fused.products import Product
from gru_scratch.engines.weights import LayerWeights


@dataclass(frozen=True)
class Sequence:
    """One layer's forward pass, as a cell's in-place loop sees it."""

    inputs: Tensor  # (T, B, D) or token indices (T, B)
    weights: LayerWeights
    before: tuple[Tensor, ...]  # the states that the steps start from, (T, B, P or H) each
    after: tuple[Tensor, ...]  # the states that they end in: the same memory, one step on
    buffers: tuple[Tensor, ...]  # (T, B, width * H), as the cell asked
    rows: list[int] | None  # rows of the batch alive at each step; None: all, always

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.weights.hidden_size

    def steps(self, buffer: Tensor) -> list[Tensor] | tuple[Tensor, ...]:
        """The buffer's rows at each step, made once: a view costs as much as a small operation."""
        return live_rows(buffer, self.rows)

    def recurrent(self, first: int, last: int) -> Product:
        """The product with W_hh of gates ``first`` to ``last``."""
        H, (steps, batch) = self.hidden_size, self.inputs.shape[:2]
        return Product(self.weights.weight_hh[first * H : last * H], batch, steps, ragged=self.rows is not None)

    def lay_out(self, out: Tensor, project: slice, hidden_bias: slice | None = None) -> None:
        """Fill ``out`` with X W_x + b_x of the gates ``project`` and add b_h of the gates ``hidden_bias``.

        ``hidden_bias`` starts where ``project`` does and may reach further: there ``out`` holds b_h alone.
        """
        H, weights = self.hidden_size, self.weights
        rows = slice(project.start * H, project.stop * H)
        width = rows.stop - rows.start
        bias = weights.weight_ih.new_zeros(out.shape[-1])
        if weights.bias_ih is not None:
            bias[:width] += weights.bias_ih[rows]
        if hidden_bias is not None and weights.bias_hh is not None:
            bias += weights.bias_hh[hidden_bias.start * H : hidden_bias.stop * H]
        flat = out.view(out.shape[0] * out.shape[1], out.shape[2])
        W_x = weights.weight_ih[rows].t()
        if width == 0:
            flat[:] = bias
        elif self.inputs.is_floating_point():
            X = self.inputs.reshape(-1, W_x.shape[0])
            Product(W_x.t(), len(X), uses=1).write(flat[:, :width], X, base=bias[:width])
            flat[:, width:] = bias[width:]
        else:
            table = bias.repeat(W_x.shape[0], 1)  # (V, columns): a one-hot row times W is a row of W
            table[:, :width] += W_x
            torch.index_select(table, 0, self.inputs.reshape(-1), out=flat)


def live_rows(buffer: Tensor, rows: list[int] | None) -> list[Tensor] | tuple[Tensor, ...]:
    """(T, B, ...) → for each step its first rows, those of the sequences that still go on."""
    views = buffer.unbind(0)
    if rows is None:
        return views
    return [view if n == len(view) else view[:n] for view, n in zip(views, rows, strict=True)]


def clear_dead_rows(buffer: Tensor, rows: list[int] | None) -> None:
    """Zero the rows that :func:`live_rows` leaves out: a few small fills cost less than a mask."""
    for view, n in zip(buffer.unbind(0), rows or (), strict=False):
        if n < len(view):
            view[n:].zero_()


def rows_alive(lengths: Tensor | None, steps: int) -> list[int] | None:
    """How many sequences go on at each step, from their lengths, sorted falling."""
    if lengths is None:
        return None
    ended = torch.bincount(lengths, minlength=steps + 1).cumsum(0)  # by the start of each step
    return (len(lengths) - ended[:steps]).tolist()


def untracked() -> AbstractContextManager[None]:
    """No records of which tensor is a view of which: where nothing is differentiated, in-place steps are quicker so."""
    return torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.ADInplaceOrView))


def buffer_widths(cell: Cell, weights: LayerWeights) -> tuple[int, ...]:
    """Widths, in gates, of what forward keeps beside the states."""
    if runs_in_place(cell, weights):
        return cell.buffers
    return (len(cell.gates), len(cell.first_product), *((1,) if cell.second_product else ()))


def runs_in_place(cell: Cell, weights: LayerWeights) -> bool:
    """Whether the cell's own loop runs: it does not know a projected state."""
    return cell.in_place is not None and weights.weight_hr is None


def forward(
    cell: Cell,
    inputs: Tensor,
    state: tuple[Tensor, ...],
    weights: LayerWeights,
    params: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    lengths: Tensor | None,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run the cell over the sequence.

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
    H = weights.hidden_size
    buffers = tuple(new(steps, batch, width * H) for width in buffer_widths(cell, weights))
    sequence = Sequence(inputs, weights, before, after, buffers, rows)
    if runs_in_place(cell, weights):
        with untracked():
            cell.in_place(sequence)
    else:
        _forward_by_step(cell, sequence, params, masks)
    for filled in (*after, *buffers):
        clear_dead_rows(filled, rows)
    return states, buffers


def _forward_by_step(cell: Cell, sequence: Sequence, params: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """The generic loop: the cell's own equations on the kept pre-activations."""
    weights, first = sequence.weights, len(cell.first_product)
    X, HX, *rest = sequence.buffers
    sequence.lay_out(X, project=slice(0, len(cell.gates)))
    sequence.lay_out(HX, project=slice(0, 0), hidden_bias=slice(0, first))
    W_h = sequence.recurrent(0, first)
    if cell.second_product:
        W_v = sequence.recurrent(first, first + 1)
        sequence.lay_out(rest[0], project=slice(first, first), hidden_bias=slice(first, first + 1))
    x_t, h_t = sequence.steps(X), sequence.steps(HX)
    product_t = sequence.steps(rest[0]) if rest else ()
    before, after = [zip(*map(sequence.steps, s), strict=True) for s in (sequence.before, sequence.after)]
    masks_t = {name: sequence.steps(mask) for name, mask in masks.items()}
    for t, (old, new) in enumerate(zip(before, after, strict=True)):
        extras = {**params, **{name: mask[t] for name, mask in masks_t.items()}}
        state, x = cell.states(*old), cell.name_x(x_t[t])
        h = cell.name_h(W_h.add_to(h_t[t], old[0]))
        if cell.second_product:
            vector, gates = cell.before(x, h, state, **extras)
            result, _ = cell.after(x, h, state, gates, W_v.add_to(product_t[t], vector), **extras)
        else:
            result, _ = cell.step(x, h, state, **extras)
        for k, (target, value) in enumerate(zip(new, result, strict=True)):
            if k == 0 and weights.weight_hr is not None:
                torch.mm(value, weights.weight_hr.t(), out=target)
            else:
                target.copy_(value)
