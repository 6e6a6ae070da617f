"""Engine "fused": one layer's forward pass, as the loops over its steps see it.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``V`` vocabulary, ``H`` hidden size, ``P`` size of the projected
state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from gru_scratch.engines.fused.products import Product
from gru_scratch.engines.weights import LayerWeights

Cleared: TypeAlias = list[Tensor | None]
"""See :func:`rows_cleared`."""


@dataclass(frozen=True)
class Sequence:
    """One layer's forward pass, as a loop over its steps sees it."""

    inputs: Tensor  # (T, B, D) or token indices (T, B)
    weights: LayerWeights
    before: tuple[Tensor, ...]  # the states that the steps start from, (T, B, P or H) each
    after: tuple[Tensor, ...]  # the states that they end in: the same memory, one step on
    buffers: tuple[Tensor, ...]  # (T, B, width * H), what backward reads beside the states
    rows: list[int] | None  # rows of the batch alive at each step; None: all, always
    cleared: Cleared  # the rows that start a step from fresh states
    fresh: tuple[Tensor, ...]  # (B, P or H) each; none where no row does

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.weights.hidden_size

    def steps(self, buffer: Tensor) -> list[Tensor] | tuple[Tensor, ...]:
        """The buffer's rows at each step, made once: a view costs as much as a small operation."""
        return live_rows(buffer, self.rows)

    def starts(self, state: int) -> Iterable[Tensor]:
        """A state as each step starts from it, in turn: it is asked for when the step before has left it."""
        left = self.steps(self.before[state])
        if not self.fresh:
            return left
        fresh, steps = self.fresh[state], zip(left, self.cleared, strict=True)
        return (s if rows is None else s.index_copy(0, rows, fresh.index_select(0, rows)) for s, rows in steps)

    def recurrent(self, weight: Tensor) -> Product:
        """The product with some rows of W_hh, to be taken at every step."""
        steps, batch = self.inputs.shape[:2]
        return Product(weight, batch, steps, ragged=self.rows is not None)

    def lay_out(self, out: Tensor, project: slice, hidden_bias: Tensor | None = None) -> None:
        """Fill ``out`` with X W_x + b_x of the gates ``project`` and add ``hidden_bias``.

        ``hidden_bias`` starts where ``project`` does and may reach further: there ``out`` holds it alone.
        """
        H, weights = self.hidden_size, self.weights
        rows = slice(project.start * H, project.stop * H)
        width = rows.stop - rows.start
        bias = weights.weight_ih.new_zeros(out.shape[-1])
        if weights.bias_ih is not None:
            bias[:width] += weights.bias_ih[rows]
        if hidden_bias is not None:
            bias[: len(hidden_bias)] += hidden_bias
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


def rows_cleared(resets: Tensor | None, rows: list[int] | None, steps: int) -> Cleared:
    """The numbers of the rows that start each step from fresh states, of those alive; None where none does."""
    if resets is None:
        return [None] * steps
    if rows is not None:
        resets = resets.clone()
        clear_dead_rows(resets, rows)
    counts: list[int] = resets.sum(1).tolist()
    return [some if len(some) else None for some in torch.split(resets.nonzero()[:, 1], counts)]


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
    """How many sequences go on at each step, from their lengths, in descending order."""
    if lengths is None:
        return None
    ended = torch.bincount(lengths, minlength=steps + 1).cumsum(0)  # by the start of each step
    return (len(lengths) - ended[:steps]).tolist()
