"""Engine "fused": the gradients of a layer's weights, a product a stretch of time.

Once the reverse loop has the gradient D of the pre-activations for many steps, each weight's share is one product over
all of them: ``dW_hh += Dᵀ H``, ``dW_ih += Dᵀ X``; for tokens, whose X would be one-hot, D's rows are summed by token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.fused.jacobian import Blocks, Layout, Stretch, in_numbers, outputs_of, whole_step
from gru_scratch.engines.fused.products import Product, add_gradient
from gru_scratch.engines.fused.sequence import live_rows
from gru_scratch.engines.weights import LayerWeights, from_product_order

PROJECTED = "projected"
"""Under this name the reverse loop keeps the gradient of the projected state."""


class WeightGradients:
    """Sums over the stretches, in the columns of a layout; :meth:`result` puts them into PyTorch's order."""

    def __init__(
        self,
        cell: Cell,
        inputs: Tensor,  # (T, B, D) or (T, B) token indices
        weights: LayerWeights,
        params: Mapping[str, Tensor],
        layout: Layout,
        rows: list[int] | None,  # of the batch, going on at each step
        inputs_need_grad: bool,
    ) -> None:
        self.cell, self.inputs, self.weights, self.params, self.layout = cell, inputs, weights, params, layout
        self.rows = rows
        new, by_token = weights.weight_hh.new_zeros, not inputs.is_floating_point()
        self.d_W_hh = torch.zeros_like(weights.weight_hh)  # a product's rows after another's
        self.d_W_ih = new(weights.weight_ih.shape)
        V, H, with_x = weights.weight_ih.shape[1], weights.hidden_size, {run.block for run in layout.x_runs}
        exact = torch.promote_types(weights.weight_hh.dtype, torch.float32)
        self.d_tables = {b: new(V, len(layout.blocks[b]) * H, dtype=exact) for b in sorted(with_x) if by_token}
        """Of tokens: for the blocks that hold gradients of the input's, their sums by token; in half precision such a
        sum would stop growing."""
        self.d_sums = [new(len(names) * H) for names in layout.blocks]
        """The sums over all rows of the other blocks."""
        self.d_W_hr = None if weights.weight_hr is None else torch.zeros_like(weights.weight_hr)
        self.d_params = {name: torch.zeros_like(p) for name, p in params.items()}
        self.d_inputs = torch.empty_like(inputs, memory_format=torch.contiguous_format) if inputs_need_grad else None

    def add(
        self, steps: slice, stretch: Stretch, D: Blocks, kept: Mapping[str, Tensor], vectors: Mapping[str, Tensor]
    ) -> None:
        """Add the share of some steps.

        Args:
            steps: which.
            stretch: what forward kept of them.
            D: gradients of the pre-activations, in blocks (t, B, columns, H).
            kept: gradients of what the step computes, (t, B, ...), where parameters or a projection need them.
            vectors: those that the step computed and multiplied, (t, B, H).
        """
        rows = [block.flatten(0, 1).flatten(1) for block in D]  # (t * B, columns * H)
        multiplied = {**dict(zip(self.cell.states._fields, stretch.before, strict=True)), **vectors}
        products = self.cell.recurrence.products
        d_rows = torch.split(self.d_W_hh, [D_k.shape[1] for D_k in rows[: len(products)]])
        for product, d_weight, D_k in zip(products, d_rows, rows, strict=False):
            add_gradient(d_weight, D_k, multiplied[product.vector].flatten(0, 1))
        if self.inputs.is_floating_point():
            self._add_inputs(steps, rows)
        for b, block in enumerate(rows):
            if b in self.d_tables:
                table = self.d_tables[b]
                table.index_add_(0, self.inputs[steps].reshape(-1), block.to(table.dtype))
            else:
                self.d_sums[b] += block.sum(0)
        if kept and self.rows is not None:
            alive = self.rows[steps]
            stretch, kept = stretch.alive(alive), {name: torch.cat(live_rows(x, alive)) for name, x in kept.items()}
        if kept:
            self._add_inner(stretch, kept)

    def _add_inputs(self, steps: slice, blocks: Sequence[Tensor]) -> None:
        H, X = self.weights.hidden_size, self.inputs[steps].flatten(0, 1)
        d_X = None if self.d_inputs is None else self.d_inputs[steps].flatten(0, 1)
        for count, run in enumerate(self.layout.x_runs):
            D_x, rows = blocks[run.block][:, in_numbers(run.columns, H)], in_numbers(run.gates, H)
            add_gradient(self.d_W_ih[rows], D_x, X)
            if d_X is not None:
                W_x = Product(self.weights.weight_ih[rows].t(), len(X), uses=1)
                W_x.write(d_X, D_x, base=d_X if count else None)

    def _add_inner(self, stretch: Stretch, kept: Mapping[str, Tensor]) -> None:
        """The projection's weight, and the cell's own parameters, through the step once more."""
        f = whole_step(self.cell, stretch.masks)
        pulled: Any = torch.func.vjp(lambda params: f(stretch.buffers, stretch.before, params), dict(self.params))
        outputs, pull = pulled
        if self.d_W_hr is not None:
            projected = kept[PROJECTED].reshape(-1, len(self.d_W_hr))
            add_gradient(self.d_W_hr, projected, outputs[0].reshape(-1, self.d_W_hr.shape[1]))
        if self.params and self.cell.elementwise:
            for name, value in pull(tuple(kept[name] for name in outputs_of(self.cell)))[0].items():
                self.d_params[name] += value

    def result(self) -> LayerWeights:
        """The gradients, each in the shape of its weight."""
        H, layout = self.weights.hidden_size, self.layout
        sums = [self.d_tables[b].sum(0) if b in self.d_tables else d for b, d in enumerate(self.d_sums)]
        d_b_ih = self.d_W_hh.new_empty(layout.gates * H)
        for gates, block, columns in layout.x_runs:
            d_b_ih[in_numbers(gates, H)] = sums[block][in_numbers(columns, H)]
            if block in self.d_tables:
                self.d_W_ih[in_numbers(gates, H)] = self.d_tables[block][:, in_numbers(columns, H)].t()
        d_b_hh = torch.cat([d_b_ih[:0], *sums[: len(self.cell.recurrence.products)]]).to(d_b_ih)
        d_W_hh, d_b_hh = from_product_order(self.cell, self.d_W_hh), from_product_order(self.cell, d_b_hh)
        return LayerWeights(self.d_W_ih, d_W_hh, d_b_ih, d_b_hh, self.d_W_hr)
