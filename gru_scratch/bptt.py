"""Engine "fused", backward: back-propagation through time, by hand.

A cell is elementwise once its products are done, so its Jacobian is diagonal and, after the forward pass, known for many
steps at once. The reverse loop keeps a multiplication and a product a step::

    d_t   = dL/dy_t + what came from step t + 1           gradient of the new state
    D_t   = C_t * d_t                                     gradient of the pre-activations; C_t: the coefficients
    d_t-1 = D_t W_hh + K_t * d_t                          through the product, and directly

Time is walked in stretches whose coefficients stay in cache; a stretch's share of the weights' gradient is one product.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state, ``G`` gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells.base import Cell, Coefficients
from gru_scratch.jacobian import (
    VECTOR,
    Layout,
    Stretch,
    by_name,
    coefficients,
    lay_coefficients,
    outputs_of,
    vector_of,
    whole_step,
)
from gru_scratch.sequence import live_rows, rows_alive, runs_in_place
from gru_scratch.unroll import LayerWeights

STRETCH = 2**17
"""Elements of one gate in a stretch of time: a few megabytes of coefficients, which a core's cache holds."""

ONE_HOT_LIMIT = 512
"""Up to this vocabulary a product with one-hot rows sums gradients by token faster than an indexed addition."""


class Gradients(NamedTuple):
    """What backward returns; each has the shape of what it is the gradient of."""

    inputs: Tensor | None
    state: tuple[Tensor, ...]
    weights: LayerWeights
    params: dict[str, Tensor]


def backward(
    cell: Cell,
    inputs: Tensor,
    weights: LayerWeights,
    params: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    lengths: Tensor | None,
    states: Sequence[Tensor],
    buffers: Sequence[Tensor],
    grad_outputs: Tensor,
    grad_state: Sequence[Tensor],
    inputs_need_grad: bool,
) -> Gradients:
    """The gradients of a loss with respect to everything that went in.

    Args:
        states, buffers: what :func:`gru_scratch.sequence.forward` returned.
        grad_outputs: of the outputs, (T, B, P or H).
        grad_state: of the states after the last step, (B, P or H), (B, H), ...
        inputs_need_grad: whether to compute the inputs' gradient too.
    """
    steps, batch = inputs.shape[:2]
    rows = rows_alive(lengths, steps)
    walker = _Reverse(cell, inputs, weights, params, rows, grad_outputs, grad_state, inputs_need_grad)
    length = stretch_length(steps, batch, weights)
    for stop in range(steps, 0, -length):
        start = max(0, stop - length)
        stretch = Stretch(
            before=tuple(s[start:stop] for s in states),
            after=tuple(s[start + 1 : stop + 1] for s in states),
            buffers=tuple(b[start:stop] for b in buffers),
            masks={name: mask[start:stop] for name, mask in masks.items()},
        )
        walker.walk(start, stop, stretch)
    return walker.result()


def stretch_length(steps: int, batch: int, weights: LayerWeights) -> int:
    """Steps in a stretch: few enough for the cache; all of them in half precision, where partial sums would be rounded."""
    if weights.weight_hh.dtype in (torch.bfloat16, torch.float16):
        return max(1, steps)
    return max(1, min(steps, STRETCH // max(1, batch * weights.hidden_size)))


class _Reverse:
    """The reverse loop over one layer: it holds the gradients that grow as time is walked back."""

    def __init__(
        self,
        cell: Cell,
        inputs: Tensor,
        weights: LayerWeights,
        params: Mapping[str, Tensor],
        rows: list[int] | None,
        grad_outputs: Tensor,
        grad_state: Sequence[Tensor],
        inputs_need_grad: bool,
    ) -> None:
        self.cell, self.inputs, self.weights, self.params, self.rows = cell, inputs, weights, params, rows
        self.grad_outputs, self.grad_state = grad_outputs, grad_state
        self.d = [g.clone(memory_format=torch.contiguous_format) for g in grad_state]
        self.spare = [torch.empty_like(d) for d in self.d]
        self.alive = rows[-1] if rows else inputs.shape[1]
        self.layout: Layout | None = None
        self.d_inputs = torch.empty_like(inputs) if inputs_need_grad else None
        self.d_params = {name: torch.zeros_like(p) for name, p in params.items()}

    def walk(self, start: int, stop: int, stretch: Stretch) -> None:
        """Walk the steps ``stop - 1`` down to ``start``."""
        cell = self.cell
        if cell.elementwise:
            found, vector = coefficients(cell, stretch, self.params, runs_in_place(cell, self.weights))
        else:
            found, vector = None, vector_of(cell, stretch, self.params)
        layout = self.layout or self._make_room(Layout.of(cell, found), stop - start)
        D = self.D[: stop - start]
        rows = None if self.rows is None else self.rows[start:stop]
        if found is None:
            self._walk_by_step(start, stretch, D, layout)
        else:
            self._walk_diagonal(start, found, D, layout, rows)
        for t, n in enumerate(rows or ()):
            for buffer in (D, *self.kept.values()):
                buffer[t, n:] = 0
        self._add_weight_gradients(start, stop, stretch, D, vector)

    def _make_room(self, layout: Layout, steps: int) -> Layout:
        weights, H = self.weights, self.weights.hidden_size
        new, batch = weights.weight_hh.new_empty, self.inputs.shape[1]
        self.layout = layout
        self.D = new(steps, batch, layout.width, H)
        self.W_h = pick_gates(weights.weight_hh, layout.first_gates, H)
        self.W_x = pick_gates(weights.weight_ih, layout.x_gates, H)
        self.W_v = weights.weight_hh[-H:] if self.cell.second_product else None
        self.d_W_h = torch.zeros_like(self.W_h)
        self.d_W_v = new(H, H).zero_()
        self.d_W_x = torch.zeros_like(self.W_x if self.inputs.is_floating_point() else self.W_x.t())
        self.d_W_r = None if weights.weight_hr is None else torch.zeros_like(weights.weight_hr)
        self.d_bias = new(layout.width * H).zero_()
        self.kept: dict[str, Tensor] = {}
        if weights.weight_hr is not None:
            self.kept["projected"] = new(steps, batch, weights.weight_hr.shape[0])
        if self.params and self.cell.elementwise:
            self.kept.update({name: new(steps, batch, H) for name in outputs_of(self.cell)})
        return layout

    def _arrive(self, step: int) -> list[Tensor]:
        """The gradients of the new states at a step, of the sequences that go on there."""
        if self.rows is not None:
            self._bring_in(self.rows[step])
        d = self.d if self.rows is None else [d[: self.alive] for d in self.d]
        d[0].add_(self.grad_outputs[step, : self.alive] if self.rows is not None else self.grad_outputs[step])
        return d

    def _bring_in(self, rows: int) -> None:
        """Sequences that end here start from the gradient of their last state."""
        for d, final in zip(self.d, self.grad_state, strict=True):
            d[self.alive : rows] = final[self.alive : rows]
        self.alive = rows

    def _unproject(self, t: int, d: list[Tensor]) -> list[Tensor]:
        """From the gradient of the projected state to that of the state."""
        if self.weights.weight_hr is None:
            return d
        self.kept["projected"][t, : self.alive] = d[0]
        return [d[0] @ self.weights.weight_hr, *d[1:]]

    def _walk_diagonal(
        self, start: int, found: Coefficients, D: Tensor, layout: Layout, rows: list[int] | None
    ) -> None:
        """Multiply and take the product, step by step; D's coefficients become gradients in place."""

        def steps(x: Tensor) -> list[Tensor] | tuple[Tensor, ...]:
            return live_rows(x, rows)

        names = self.cell.states._fields
        terms = lay_coefficients(found, layout, D)
        own = [(term.source, steps(D[:, :, term.first : term.last])) for term in terms if term.extra is None]
        shared = [(x.source, steps(D[:, :, x.first : x.last]), steps(x.extra)) for x in terms if x.extra is not None]
        chains = [(j, k, steps(found[j][f"new.{k}"])) for j in names for k in names if f"new.{k}" in found[j]]
        direct = [[(j, steps(row[k])) for j, row in found.items() if k in row] for k in names]
        D_h = steps(D[:, :, : layout.first].flatten(2))
        D_v = steps(D[:, :, layout.first]) if self.W_v is not None else ()
        projected = self.weights.weight_hr is not None
        for t in range(len(D) - 1, -1, -1):
            d = dict(zip(names, self._unproject(t, self._arrive(start + t)), strict=True))
            for name in names if self.params else ():
                self.kept[name][t, : self.alive] = d[name]
            for j, k, slope in chains:
                d[k].addcmul_(d[j], slope[t])
            for source, columns in own:
                if source != VECTOR:
                    columns[t].mul_(d[source].unsqueeze(1))
            for source, columns, slopes in shared:
                if source != VECTOR:
                    columns[t].addcmul_(slopes[t], d[source].unsqueeze(1))
            if self.W_v is not None:
                d[VECTOR] = torch.mm(D_v[t], self.W_v)
                if self.params:
                    self.kept[VECTOR][t, : self.alive] = d[VECTOR]
                for source, columns in own:
                    if source == VECTOR:
                        columns[t].mul_(d[VECTOR].unsqueeze(1))
                for source, columns, slopes in shared:
                    if source == VECTOR:
                        columns[t].addcmul_(slopes[t], d[VECTOR].unsqueeze(1))
            for k, slopes_of_k in enumerate(direct):
                target = self.spare[k] if rows is None else self.spare[k][: self.alive]
                if k == 0 and (projected or not slopes_of_k):
                    torch.mm(D_h[t], self.W_h, out=target)
                    continue
                if not slopes_of_k:
                    target.zero_()
                for count, (source, slopes) in enumerate(slopes_of_k):
                    if count == 0:
                        torch.mul(d[source], slopes[t], out=target)
                    else:
                        target.addcmul_(d[source], slopes[t])
                if k == 0:
                    target.addmm_(D_h[t], self.W_h)
            self.d, self.spare = self.spare, self.d

    def _walk_by_step(self, start: int, stretch: Stretch, D: Tensor, layout: Layout) -> None:
        """For a cell that mixes the units of a row: one vector-Jacobian product a step."""
        cell, params = self.cell, dict(self.params)
        for t in range(len(D) - 1, -1, -1):
            d = self._unproject(t, self._arrive(start + t))
            n = self.alive
            here = stretch.at(t, n)
            outputs, pull = torch.func.vjp(whole_step(cell, here.masks), here.buffers, here.before, params)
            if self.W_v is not None:
                nothing = torch.zeros_like(outputs[-1])
                d = [*d, pull((*d, nothing))[0][2] @ self.W_v]
            buffers, state, d_params = pull(tuple(d))
            for name, value in by_name(cell, buffers).items():
                D[t, :n, layout.columns[name]] = value
            for name, value in d_params.items():
                self.d_params[name] += value
            for k, (spare, value) in enumerate(zip(self.spare, state, strict=True)):
                spare[:n] = value + D[t, :n, : layout.first].flatten(1) @ self.W_h if k == 0 else value
            self.d, self.spare = self.spare, self.d

    def _add_weight_gradients(self, start: int, stop: int, stretch: Stretch, D: Tensor, vector: Tensor | None) -> None:
        """One product for each weight over all steps of the stretch."""
        H, layout, flat = self.weights.hidden_size, self.layout, D.flatten(0, 1).flatten(1)  # (t * B, width * H)
        assert layout is not None
        self.d_bias += flat.sum(0)
        before = stretch.before[0].reshape(-1, stretch.before[0].shape[-1])
        self.d_W_h.addmm_(flat[:, : layout.first * H].t(), before)
        if vector is not None:
            self.d_W_v.addmm_(flat[:, layout.first * H : (layout.first + 1) * H].t(), vector.reshape(-1, H))
        D_x = flat[:, layout.x_start * H :]
        inputs = self.inputs[start:stop]
        if inputs.is_floating_point():
            self.d_W_x.addmm_(D_x.t(), inputs.reshape(-1, inputs.shape[-1]))
            if self.d_inputs is not None:
                torch.mm(D_x, self.W_x, out=self.d_inputs[start:stop].view(-1, inputs.shape[-1]))
        elif len(self.d_W_x) <= ONE_HOT_LIMIT:
            self.d_W_x.addmm_(F.one_hot(inputs.reshape(-1), len(self.d_W_x)).to(D_x.dtype).t(), D_x)
        else:
            self.d_W_x.index_add_(0, inputs.reshape(-1), D_x)
        f = whole_step(self.cell, stretch.masks)
        names = self.cell.states._fields
        if self.d_W_r is not None:
            raw = f(stretch.buffers, stretch.before, self.params)[0].reshape(-1, H)
            projected = self.kept["projected"][: stop - start]
            self.d_W_r.addmm_(projected.reshape(-1, projected.shape[-1]).t(), raw)
        if self.params and self.cell.elementwise:
            _, pull = torch.func.vjp(lambda params: f(stretch.buffers, stretch.before, params), dict(self.params))
            kept = tuple(self.kept[name][: stop - start] for name in outputs_of(self.cell))
            assert len(kept) >= len(names)
            for name, value in pull(kept)[0].items():
                self.d_params[name] += value

    def result(self) -> Gradients:
        """The gradients, in the layouts of what they belong to."""
        weights, H, layout = self.weights, self.weights.hidden_size, self.layout
        assert layout is not None
        self._bring_in(self.inputs.shape[1])
        d_W_hh = torch.empty_like(weights.weight_hh)
        put_gates(d_W_hh, self.d_W_h, layout.first_gates, H)
        if self.W_v is not None:
            d_W_hh[-H:] = self.d_W_v
        d_W_ih = torch.empty_like(weights.weight_ih)
        put_gates(d_W_ih, self.d_W_x if self.inputs.is_floating_point() else self.d_W_x.t(), layout.x_gates, H)
        d_b_hh, d_b_ih = self.d_bias.new_empty(len(d_W_hh)), self.d_bias.new_empty(len(d_W_ih))
        hidden_gates = [*layout.first_gates, *([len(self.cell.gates) - 1] if self.W_v is not None else [])]
        put_gates(d_b_hh, self.d_bias[: len(hidden_gates) * H], hidden_gates, H)
        put_gates(d_b_ih, self.d_bias[layout.x_start * H :], layout.x_gates, H)
        return Gradients(
            self.d_inputs, tuple(self.d), LayerWeights(d_W_ih, d_W_hh, d_b_ih, d_b_hh, self.d_W_r), self.d_params
        )


def pick_gates(weight: Tensor, gates: list[int], hidden_size: int) -> Tensor:
    """The rows of ``gates``, in that order; the weight itself where that is what it holds."""
    if gates == list(range(len(weight) // hidden_size)):
        return weight
    return weight.unflatten(0, (-1, hidden_size))[gates].flatten(0, 1)


def put_gates(target: Tensor, rows: Tensor, gates: list[int], hidden_size: int) -> None:
    """The inverse of :func:`pick_gates`: write ``rows`` where ``gates`` have theirs."""
    target.unflatten(0, (-1, hidden_size))[gates] = rows.unflatten(0, (-1, hidden_size))
