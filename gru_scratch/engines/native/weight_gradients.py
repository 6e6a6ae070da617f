"""The gradients of a layer's weights: products over many steps, once the loop has the gradients of pre-activations.

``dW_hh += Dᵀ V`` for each vector ``V`` that recurrent weights multiply, ``dW_ih += Dᵀ X``; for tokens, whose X would be
one-hot, the rows of D are summed by token.

Legend: ``T`` steps, ``B`` batch, ``D`` gradients of pre-activations, ``C`` their columns, ``H`` hidden size,
``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.native.passes import Plan
from gru_scratch.engines.segments import starts
from gru_scratch.engines.weights import LayerWeights, from_product_order, is_dense


class WeightGradients:
    """Sums over chunks of steps, in the columns of D; :meth:`result` puts them into PyTorch's order."""

    def __init__(
        self,
        cell: Cell,
        plan: Plan,
        inputs: Tensor,  # (T, B, D) or (T, B) token indices
        weights: LayerWeights,
        states: Sequence[Tensor],  # (T + 1, B, H)
        slots: Tensor,  # (T, B, slots, H)
        tables: Tensor | None,  # (threads, V, C, H): where the loop itself sums by token
        inputs_need_grad: bool,
        resets: Tensor | None,  # (T, B)
        fresh: Sequence[Tensor],  # (B, H)
    ) -> None:
        self.cell, self.plan, self.inputs, self.weights = cell, plan, inputs, weights
        self.hidden_size = H = weights.hidden_size
        new, products = weights.weight_hh.new_zeros, plan.equations.recurrence.products
        vectors = dict(zip(plan.equations.new, states, strict=True))
        vectors.update({name: slots[:, :, plan.slots.index(v)] for name, v in plan.equations.vectors.items()})
        self.resets, self.fresh = resets, dict(zip(plan.equations.new, fresh, strict=False))
        ends = list(accumulate((len(p.gates) for p in products), initial=0))
        self.d_W_hh = new(ends[-1] * H, H)  # product after product
        self.products = [
            (p.vector, vectors[p.vector], slice(first * H, end * H))
            for p, first, end in zip(products, ends, ends[1:], strict=False)
        ]
        """Of each product what is multiplied, by name and (T, B, H); the columns of D, the rows of its gradient."""
        self.column = {gate: i for i, gate in enumerate(gate for p in products for gate in p.gates)}
        self.x_column = {g: plan.columns.index(d) for g, d in plan.derivative.inputs.items()}
        self.x_runs = _runs([self.x_column.get(gate, -1) for gate in cell.gates])
        self.d_W_ih = new(weights.weight_ih.shape)
        self.d_sums = new(len(plan.columns) * H)
        self.d_inputs = torch.zeros_like(inputs, memory_format=torch.contiguous_format) if inputs_need_grad else None
        self.summed_in_loop = tables is not None
        self.tables = tables
        if tables is None and not is_dense(inputs):
            self.tables = new(1, weights.weight_ih.shape[1], len(plan.columns), H)

    def add(self, first: int, stop: int, D: Tensor) -> None:
        """Add the share of the steps from ``first`` to before ``stop``; D: (steps, B, C * H)."""
        rows = D.flatten(0, 1)  # (steps * B, C * H)
        for name, vector, columns in self.products:
            multiplied = vector[first:stop]
            if self.resets is not None and name in self.fresh:
                multiplied = starts(multiplied, self.resets[first:stop], self.fresh[name])
            self.d_W_hh[columns].addmm_(rows[:, columns].t(), multiplied.flatten(0, 1))
        if is_dense(self.inputs):
            self.d_sums += rows.sum(0)
            self._add_inputs(first, stop, rows)
        elif not self.summed_in_loop:
            assert self.tables is not None
            self.tables[0].flatten(1).index_add_(0, self.inputs[first:stop].reshape(-1), rows)

    def _add_inputs(self, first: int, stop: int, rows: Tensor) -> None:
        H, X = self.hidden_size, self.inputs[first:stop].flatten(0, 1)
        for gate, column, count in self.x_runs:
            gates, D_x = slice(gate * H, (gate + count) * H), rows[:, column * H : (column + count) * H]
            self.d_W_ih[gates].addmm_(D_x.t(), X)
            if self.d_inputs is not None:
                self.d_inputs[first:stop].flatten(0, 1).addmm_(D_x, self.weights.weight_ih[gates])

    def result(self) -> LayerWeights:
        """The gradients, each in the shape of its weight."""
        H, order = self.hidden_size, self.plan.equations.recurrence.gates
        d_W_hh = from_product_order(self.cell, self.d_W_hh)
        sums = self.d_sums
        if self.tables is not None:
            table = self.tables[0] if len(self.tables) == 1 else self.tables.sum(0)  # (V, C, H)
            sums = table.flatten(1).sum(0)
            for gate, column, count in self.x_runs:
                d_W = table[:, column : column + count].flatten(1).t()
                self.d_W_ih[gate * H : (gate + count) * H] = d_W
        by_column = sums.view(-1, H)
        zero = by_column.new_zeros(H)
        d_b_ih = torch.cat([by_column[self.x_column[g]] if g in self.x_column else zero for g in self.cell.gates])
        d_b_hh = torch.cat([by_column[self.column[gate]] for gate in order] or [zero[:0]])
        return LayerWeights(self.d_W_ih, d_W_hh, d_b_ih, d_b_hh, None)


def _runs(columns: Sequence[int]) -> list[tuple[int, int, int]]:
    """Gates whose columns follow one another, as (first gate, its column, how many); a column of -1 is none."""
    runs: list[tuple[int, int, int]] = []
    for gate, column in enumerate(columns):
        if runs and column >= 0 and (gate, column) == (sum(runs[-1][::2]), sum(runs[-1][1:])):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        elif column >= 0:
            runs.append((gate, column, 1))
    return runs
