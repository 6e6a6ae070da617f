"""Engine "fused": the gradients of a layer's weights, a product a stretch of time.

Once the reverse loop has the gradient D of the pre-activations for many steps, each weight's share is one product over all
of them: ``dW_hh += Dᵀ H``, ``dW_ih += Dᵀ X``; for tokens, whose X would be one-hot, the rows of D are summed by token.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.jacobian import Layout, Stretch, outputs_of, whole_step
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
        H, new = weights.hidden_size, weights.weight_hh.new_zeros
        self.by_token = not inputs.is_floating_point()
        x_size = len(layout.x_gates) * H
        self.W_h = new(layout.first * H, weights.weight_hh.shape[1])
        self.W_v = new(H, H) if cell.second_product else None
        self.W_x = new(weights.weight_ih.shape[1], x_size) if self.by_token else new(x_size, weights.weight_ih.shape[1])
        self.W_r = None if weights.weight_hr is None else torch.zeros_like(weights.weight_hr)
        self.b_x = new(x_size)
        self.b_h = new(layout.x_start * H)  # of the columns that the input's bias does not share
        self.d_params = {name: torch.zeros_like(p) for name, p in params.items()}
        self.d_inputs = torch.empty_like(inputs, memory_format=torch.contiguous_format) if inputs_need_grad else None
        self.W_x_rows = pick_gates(weights.weight_ih, layout.x_gates, H) if inputs_need_grad else None

    def add(self, steps: slice, stretch: Stretch, D: Tensor, kept: Mapping[str, Tensor], vector: Tensor | None) -> None:
        """Add the share of some steps.

        Args:
            steps: which.
            stretch: what forward kept of them.
            D: gradients of the pre-activations, (t, B, columns, H).
            kept: gradients of what the step computes, (t, B, ...), where the cell has parameters or the state is projected.
            vector: what the second product multiplied.
        """
        H, layout = self.weights.hidden_size, self.layout
        flat = D.view(-1, layout.width * H)
        hidden = stretch.before[0].reshape(flat.shape[0], -1)
        self.W_h.addmm_(flat[:, : layout.first * H].t(), hidden)
        if self.W_v is not None and vector is not None:
            self.W_v.addmm_(flat[:, layout.first * H : (layout.first + 1) * H].t(), vector.reshape(-1, H))
        if layout.x_start:
            self.b_h += flat[:, : layout.x_start * H].sum(0)
        self._add_inputs(steps, flat[:, layout.x_start * H :])
        if kept:
            self._add_inner(stretch, kept)

    def _add_inputs(self, steps: slice, D_x: Tensor) -> None:
        inputs = self.inputs[steps]
        if not self.by_token:
            X = inputs.reshape(len(D_x), -1)
            self.b_x += D_x.sum(0)
            self.W_x.addmm_(D_x.t(), X)
            if self.d_inputs is not None and self.W_x_rows is not None:
                torch.mm(D_x, self.W_x_rows, out=self.d_inputs[steps].view(len(D_x), -1))
        elif len(self.W_x) <= ONE_HOT_LIMIT:
            one_hot = D_x.new_zeros(len(D_x), len(self.W_x)).scatter_(1, inputs.reshape(-1, 1), 1)
            self.W_x.addmm_(one_hot.t(), D_x)
        else:
            self.W_x.index_add_(0, inputs.reshape(-1), D_x)

    def _add_inner(self, stretch: Stretch, kept: Mapping[str, Tensor]) -> None:
        """The projection's weight, and the cell's own parameters, through the step once more."""
        f = whole_step(self.cell, stretch.masks)
        outputs, pull = torch.func.vjp(lambda params: f(stretch.buffers, stretch.before, params), dict(self.params))
        if self.W_r is not None:
            projected = kept[PROJECTED].reshape(-1, len(self.W_r))
            self.W_r.addmm_(projected.t(), outputs[0].reshape(-1, self.W_r.shape[1]))
        if self.params and self.cell.elementwise:
            for name, value in pull(tuple(kept[name] for name in outputs_of(self.cell)))[0].items():
                self.d_params[name] += value

    def result(self) -> LayerWeights:
        """The gradients, each in the shape of its weight."""
        weights, H, layout = self.weights, self.weights.hidden_size, self.layout
        W_hh, W_ih = torch.empty_like(weights.weight_hh), torch.empty_like(weights.weight_ih)
        put_gates(W_hh, self.W_h, layout.first_gates, H)
        put_gates(W_ih, self.W_x.t() if self.by_token else self.W_x, layout.x_gates, H)
        b_x = self.W_x.sum(0) if self.by_token else self.b_x
        b_hh, b_ih = b_x.new_empty(len(W_hh)), b_x.new_empty(len(W_ih))
        hidden_gates = list(layout.first_gates)
        if self.W_v is not None:
            W_hh[-H:] = self.W_v
            hidden_gates.append(len(self.cell.gates) - 1)
        put_gates(b_hh, torch.cat([self.b_h, b_x])[: len(hidden_gates) * H], hidden_gates, H)
        put_gates(b_ih, b_x, layout.x_gates, H)
        return LayerWeights(W_ih, W_hh, b_ih, b_hh, self.W_r)


def pick_gates(weight: Tensor, gates: list[int], hidden_size: int) -> Tensor:
    """The rows of ``gates``, in that order; the weight itself where that is what it holds."""
    if gates == list(range(len(weight) // hidden_size)):
        return weight
    by_gate = weight.split(hidden_size)
    return torch.cat([by_gate[g] for g in gates]) if gates else weight[:0]


def put_gates(target: Tensor, rows: Tensor, gates: list[int], hidden_size: int) -> None:
    """The inverse of :func:`pick_gates`: write ``rows`` where ``gates`` have theirs."""
    for source, gate in zip(rows.split(hidden_size), gates, strict=False):
        target[gate * hidden_size : (gate + 1) * hidden_size] = source
