"""Engine "fused": the gradients of a layer's weights, a product a stretch of time.

Once the reverse loop has the gradient D of the pre-activations for many steps, each weight's share is one product over
all of them: ``dW_hh += Dᵀ H``, ``dW_ih += Dᵀ X``; for tokens, whose X would be one-hot, D's rows are summed by token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.jacobian import Layout, Stretch, in_numbers, outputs_of, whole_step
from gru_scratch.unroll import LayerWeights

ONE_HOT_LIMIT = 512
"""Up to this vocabulary a product with one-hot rows sums by token faster than an indexed addition."""

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
        inputs_need_grad: bool,
    ) -> None:
        self.cell, self.inputs, self.weights, self.params, self.layout = cell, inputs, weights, params, layout
        new, by_token = weights.weight_hh.new_zeros, not inputs.is_floating_point()
        self.d_W_hh = torch.zeros_like(weights.weight_hh)
        self.d_W_ih = new(weights.weight_ih.shape)
        self.d_table = new(weights.weight_ih.shape[1], layout.width * weights.hidden_size) if by_token else None
        self.d_bias = new(layout.width * weights.hidden_size)  # of both biases, by column
        self.d_W_hr = None if weights.weight_hr is None else torch.zeros_like(weights.weight_hr)
        self.d_params = {name: torch.zeros_like(p) for name, p in params.items()}
        self.d_inputs = torch.empty_like(inputs, memory_format=torch.contiguous_format) if inputs_need_grad else None

    def add(self, steps: slice, stretch: Stretch, D: Tensor, kept: Mapping[str, Tensor], vector: Tensor | None) -> None:
        """Add the share of some steps.

        Args:
            steps: which.
            stretch: what forward kept of them.
            D: gradients of the pre-activations, (t, B, columns, H).
            kept: gradients of what the step computes, (t, B, ...), where parameters or a projection need them.
            vector: what the second product multiplied.
        """
        H, layout = self.weights.hidden_size, self.layout
        flat = D.view(-1, layout.width * H)
        first = layout.first * H
        self.d_W_hh[:first].addmm_(flat[:, :first].t(), stretch.before[0].flatten(0, 1))
        if vector is not None:
            self.d_W_hh[first:].addmm_(flat[:, first : first + H].t(), vector.reshape(-1, H))
        if self.d_table is None:
            self._add_inputs(steps, flat)
            self.d_bias += flat.sum(0)
        elif len(self.d_table) <= ONE_HOT_LIMIT:
            one_hot = flat.new_zeros(len(flat), len(self.d_table)).scatter_(1, self.inputs[steps].reshape(-1, 1), 1)
            self.d_table.addmm_(one_hot.t(), flat)
        else:
            self.d_table.index_add_(0, self.inputs[steps].reshape(-1), flat)
        if kept:
            self._add_inner(stretch, kept)

    def _add_inputs(self, steps: slice, flat: Tensor) -> None:
        H, X = self.weights.hidden_size, self.inputs[steps].flatten(0, 1)
        d_X = None if self.d_inputs is None else self.d_inputs[steps].view(len(flat), X.shape[1])
        for count, (gates, columns) in enumerate(self.layout.x_blocks):
            D_x, rows = flat[:, in_numbers(columns, H)], in_numbers(gates, H)
            self.d_W_ih[rows].addmm_(D_x.t(), X)
            if d_X is not None:
                torch.addmm(d_X, D_x, self.weights.weight_ih[rows], beta=int(count > 0), out=d_X)

    def _add_inner(self, stretch: Stretch, kept: Mapping[str, Tensor]) -> None:
        """The projection's weight, and the cell's own parameters, through the step once more."""
        f = whole_step(self.cell, stretch.masks)
        pulled: Any = torch.func.vjp(lambda params: f(stretch.buffers, stretch.before, params), dict(self.params))
        outputs, pull = pulled
        if self.d_W_hr is not None:
            projected = kept[PROJECTED].reshape(-1, len(self.d_W_hr))
            self.d_W_hr.addmm_(projected.t(), outputs[0].reshape(-1, self.d_W_hr.shape[1]))
        if self.params and self.cell.elementwise:
            for name, value in pull(tuple(kept[name] for name in outputs_of(self.cell)))[0].items():
                self.d_params[name] += value

    def result(self) -> LayerWeights:
        """The gradients, each in the shape of its weight."""
        H, layout = self.weights.hidden_size, self.layout
        d_bias = self.d_bias if self.d_table is None else self.d_table.sum(0)
        d_b_ih = d_bias.new_empty(layout.gates * H)
        for gates, columns in layout.x_blocks:
            d_b_ih[in_numbers(gates, H)] = d_bias[in_numbers(columns, H)]
            if self.d_table is not None:
                self.d_W_ih[in_numbers(gates, H)] = self.d_table[:, in_numbers(columns, H)].t()
        return LayerWeights(self.d_W_ih, self.d_W_hh, d_b_ih, d_bias[: layout.gates * H].clone(), self.d_W_hr)
