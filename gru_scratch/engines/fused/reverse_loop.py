"""Engine "fused": the loop of its backward pass, from the last step to the first.

A cell is elementwise once its products are done, so its Jacobian is diagonal and, after the forward pass, known for
many steps at once. The reverse loop keeps a multiplication and a product a step::

    D_t   = C_t * d_t                              gradient of the pre-activations; C_t: the coefficients
    d_t-1 = dL/dy_t-1 + K_t * d_t + D_t W_hh       gradient of the state before: by its output, directly, by the product

Legend: ``T`` steps, ``t`` of them in a stretch, ``B`` batch, ``H`` hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients
from gru_scratch.engines.fused.forward import loop_that_runs
from gru_scratch.engines.fused.jacobian import (
    Blocks,
    Layout,
    Stretch,
    coefficients,
    lay_coefficients,
    outputs_of,
    vectors_of,
    whole_step,
)
from gru_scratch.engines.fused.products import Product
from gru_scratch.engines.fused.sequence import Cleared, clear_dead_rows, live_rows
from gru_scratch.engines.fused.weight_gradients import PROJECTED
from gru_scratch.engines.torch_private import untracked
from gru_scratch.engines.trace import by_name
from gru_scratch.engines.weights import LayerWeights, by_product


class ReverseLoop:
    """One layer, from the last step to the first: ``d`` is the gradient of the states, and ``spare`` is the memory for
    that of the states before.
    """

    def __init__(
        self,
        cell: Cell,
        weights: LayerWeights,
        params: Mapping[str, Tensor],
        rows: list[int] | None,  # of the batch, going on at each step
        cleared: Cleared,  # before each step
        grad_outputs: Sequence[Tensor],
        grad_state: Sequence[Tensor],
    ) -> None:
        self.cell, self.weights, self.params, self.rows = cell, weights, params, rows
        self.layout = Layout(cell)
        self.grad_outputs, self.grad_state = grad_outputs, grad_state
        self.count, self.batch = grad_outputs[0].shape[:2]
        self.d = [torch.empty_like(g, memory_format=torch.contiguous_format) for g in grad_state]
        self.spare = [torch.empty_like(d) for d in self.d]
        self.cleared, self.d_fresh = cleared, [torch.zeros_like(d) for d in self.d]
        self.alive = 0  # rows of d that hold a gradient
        # What the outputs add to the gradient of each state before each step, in the rows that go on.
        going = None if rows is None else rows[1:]
        self.arriving = [[None, *live_rows(g[:-1], going)] for g in grad_outputs]

    def make_room(self, steps: int) -> None:
        """Buffers for a stretch of so many steps."""
        cell, weights, H = self.cell, self.weights, self.weights.hidden_size
        new = weights.weight_hh.new_empty
        self.D = self.layout.new(weights.weight_hh, steps, self.batch, H)
        how = (self.batch, self.count, self.rows is not None)
        self.back = [Product(weight.t(), *how) for weight in by_product(cell, weights.weight_hh)]
        self.d_vectors = {name: new(self.batch, H) for name in cell.recurrence.vectors}
        self.kept: dict[str, Tensor] = {}
        if weights.weight_hr is not None:
            self.kept[PROJECTED] = new(steps, self.batch, len(weights.weight_hr))
        if self.params and cell.elementwise:
            self.kept.update({name: new(steps, self.batch, H) for name in outputs_of(cell)})

    def walk(
        self, part: slice, stretch: Stretch, d_params: dict[str, Tensor]
    ) -> tuple[Blocks, dict[str, Tensor], Mapping[str, Tensor]]:
        """Walk the steps ``part`` back.

        Returns:
            The gradients of their pre-activations, in blocks; what is kept; the vectors that were multiplied.
            A cell that is not elementwise adds to ``d_params`` on the way.
        """
        cell = self.cell
        steps = part.stop - part.start
        D = tuple(block[:steps] for block in self.D)
        kept = {name: buffer[:steps] for name, buffer in self.kept.items()}
        rows = None if self.rows is None else self.rows[part]
        if cell.elementwise:
            loop, places = loop_that_runs(cell, self.weights), self.layout.places(D)
            found, vectors = coefficients(cell, stretch, self.params, loop, places)
            with untracked():
                self._walk_diagonal(part.start, found, D, rows)
        else:
            self._walk_by_step(part.start, stretch, D, d_params)
            vectors = vectors_of(cell, stretch, self.params)
        for buffer in D:
            clear_dead_rows(buffer, rows)
        if rows is not None:  # where a sequence has ended a vector might be anything
            vectors = {name: vector.clone() for name, vector in vectors.items()}
            for vector in vectors.values():
                clear_dead_rows(vector, rows)
        return D, kept, vectors

    def initial(self) -> tuple[Tensor, ...]:
        """The gradient of the initial states, once all steps are walked."""
        self._bring_in(slice(self.alive, self.batch))
        return tuple(self.d)

    def _arrive(self, step: int) -> list[Tensor]:
        """The gradients of the new states at a step, of the sequences that go on there."""
        rows = self.batch if self.rows is None else self.rows[step]
        if rows > self.alive:
            ended = slice(self.alive, rows)
            self._bring_in(ended)
            for d, g in zip(self.d, self.grad_outputs, strict=False):
                d[ended] += g[step, ended]
        return self.d if self.rows is None else [d[:rows] for d in self.d]

    def _bring_in(self, ended: slice) -> None:
        """Sequences that end here start from the gradient of their last state."""
        for d, final in zip(self.d, self.grad_state, strict=True):
            d[ended] = final[ended]
        self.alive = ended.stop

    def _clear(self, rows: Tensor, gradients: Sequence[Tensor]) -> None:
        """The gradient of a state that was fresh belongs to the fresh one, and goes no further back."""
        for d_fresh, d in zip(self.d_fresh, gradients, strict=True):
            d_fresh.index_add_(0, rows, d.index_select(0, rows))
            d.index_fill_(0, rows, 0)

    def _unproject(self, t: int, d: list[Tensor]) -> list[Tensor]:
        """From the gradient of the projected state to that of the state."""
        if self.weights.weight_hr is None:
            return d
        self.kept[PROJECTED][t, : self.alive] = d[0]
        return [d[0] @ self.weights.weight_hr, *d[1:]]

    def _keep(self, t: int, names: Sequence[str], gradients: Sequence[Tensor]) -> None:
        for name, gradient in zip(names, gradients, strict=True):
            self.kept[name][t, : self.alive] = gradient

    def _walk_diagonal(self, start: int, found: Coefficients, D: Blocks, rows: list[int] | None) -> None:
        """Multiply and take the products, step by step; the coefficients laid in D become gradients in place."""
        states, products = self.cell.states._fields, self.cell.recurrence.products
        order = [*states, *reversed(self.cell.recurrence.vectors)]  # in which the gradients come to be known
        found = {name: found[name] for name in order if name in found}
        terms: dict[str, list[Columns]] = {name: [] for name in order}
        for term in lay_coefficients(found, self.layout, D):
            columns = live_rows(_columns(D[term.block], term.first, term.last), rows)
            terms[term.source].append((columns, live_rows(term.extra[0], rows) if term.extra else None))
        chains = [
            (j, k, live_rows(found[source][f"new.{name}"], rows))
            for j, source in enumerate(states)
            for k, name in enumerate(states)
            if f"new.{name}" in found.get(source, {})
        ]
        direct = [
            [(source, live_rows(row[name], rows)) for source, row in found.items() if name in row] for name in states
        ]
        if self.weights.weight_hr is not None:
            direct[0] = []  # a projected state enters through its product alone
        blocks = [live_rows(block.flatten(2), rows) for block in D[: len(products)]]
        of_vectors = [k for k in reversed(range(len(products))) if products[k].vector not in states]
        of_states = [[k for k, product in enumerate(products) if product.vector == name] for name in states]
        for t in range(len(D[0]) - 1, -1, -1):
            d = self._unproject(t, self._arrive(start + t))
            gradients = dict(zip(states, d, strict=True))
            if self.params:
                self._keep(t, states, d)
            for j, k, slopes in chains:
                d[k].addcmul_(d[j], slopes[t])
            for name in states:
                _multiply(terms[name], t, gradients[name])
            for k in of_vectors:
                name = products[k].vector
                gradients[name] = self.back[k].write(self.d_vectors[name][: self.alive], blocks[k][t])
                _multiply(terms[name], t, gradients[name])
                if self.params:
                    self._keep(t, (name,), (gradients[name],))
            targets = self.spare if rows is None else [spare[: self.alive] for spare in self.spare]
            cleared, arriving = self.cleared[start + t], [steps[start + t] for steps in self.arriving]
            for k, target in enumerate(targets):
                base = arriving[k] if cleared is None and k < len(arriving) else None
                for source, slopes in direct[k]:
                    if base is None:
                        base = torch.mul(gradients[source], slopes[t], out=target)
                    else:
                        base = torch.addcmul(base, gradients[source], slopes[t], out=target)
                for product in of_states[k]:
                    base = self.back[product].write(target, blocks[product][t], base)
                if base is None:
                    target.zero_()
                elif base is not target:
                    target.copy_(base)
            if cleared is not None:
                self._clear(cleared, targets)
                _add(arriving, targets)
            self.d, self.spare = self.spare, self.d

    def _walk_by_step(self, start: int, stretch: Stretch, D: Blocks, d_params: dict[str, Tensor]) -> None:
        """For a cell that mixes the units of a row: a vector-Jacobian product a step, and one for each vector."""
        cell, params, products = self.cell, dict(self.params), self.cell.recurrence.products
        states = cell.states._fields
        for t in range(len(D[0]) - 1, -1, -1):
            d = dict(zip(states, self._unproject(t, self._arrive(start + t)), strict=True))
            n = self.alive
            here = stretch.at(t, n)
            pulled: Any = torch.func.vjp(whole_step(cell, here.masks), here.buffers, here.before, params)
            outputs, pull = pulled
            d.update({name: torch.zeros_like(outputs[-1]) for name in cell.recurrence.vectors})
            for k in reversed(range(len(products))):
                if (name := products[k].vector) not in states:
                    d[name] = self.back[k].write(self.d_vectors[name][:n], pull(tuple(d.values()))[0][1 + k])
            buffers, state, found_params = pull(tuple(d.values()))
            for name, value in by_name(cell, buffers).items():
                block, column = self.layout.columns[name]
                D[block][t, :n, column] = value
            for name, value in found_params.items():
                d_params[name] += value
            for spare, value in zip(self.spare, state, strict=True):
                spare[:n] = value
            for k, product in enumerate(products):
                if product.vector in states:
                    self.back[k].add_to(self.spare[states.index(product.vector)][:n], D[k][t, :n].flatten(1))
            targets = [spare[:n] for spare in self.spare]
            if (cleared := self.cleared[start + t]) is not None:
                self._clear(cleared, targets)
            _add([steps[start + t] for steps in self.arriving], targets)
            self.d, self.spare = self.spare, self.d


Columns: TypeAlias = tuple[Sequence[Tensor], Sequence[Tensor] | None]
"""Of each step: a place in D, and what to add there times a gradient; None: it holds the gradient's factor."""


def _add(arriving: Sequence[Tensor | None], to: Sequence[Tensor]) -> None:
    """Add what the outputs give to the gradients of the first states, or of all."""
    for given, d in zip(arriving, to, strict=False):
        if given is not None:
            d += given


def _multiply(terms: Sequence[Columns], t: int, gradient: Tensor) -> None:
    """Turn coefficients into gradients, or add to gradients those by further coefficients."""
    for columns, slopes in terms:
        here = columns[t]
        if slopes is not None:
            here.addcmul_(slopes[t], gradient)
        else:
            here.mul_(gradient if here.dim() == 2 else gradient.unsqueeze(1))


def _columns(block: Tensor, first: int, last: int) -> Tensor:
    """(t, B, columns, H) of a block of D; (t, B, H) of one column: it multiplies faster without that dimension."""
    return block[:, :, first] if last == first + 1 else block[:, :, first:last]
