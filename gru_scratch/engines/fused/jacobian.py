"""The derivative of a cell's step, for a stretch of time at once: by the cell's own formula, or by autograd.

A step that is elementwise has a diagonal Jacobian, and a vector-Jacobian product with ones reads that diagonal off
exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients
from gru_scratch.engines.fused.in_place import Loop
from gru_scratch.engines.fused.sequence import live_rows
from gru_scratch.engines.trace import by_name, reads_of, step_from

Blocks: TypeAlias = tuple[Tensor, ...]
"""The gradient D of the pre-activations: see :class:`Layout`."""


@dataclass(frozen=True)
class Stretch:
    """What backward knows of some steps: (t, B, ...) each."""

    before: tuple[Tensor, ...]  # the states that the steps start from
    after: tuple[Tensor, ...]  # the states that they end in
    buffers: tuple[Tensor, ...]  # what forward kept
    masks: Mapping[str, Tensor]

    def at(self, t: int, rows: int | None = None) -> Stretch:
        """The same for one step, (rows, ...) each."""
        return self._each(lambda x: x[t, :rows])

    def steps(self, part: slice) -> Stretch:
        """The same for some of the steps."""
        return self._each(lambda x: x[part])

    def alive(self, rows: list[int]) -> Stretch:
        """The same of the sequences that go on, (N, ...) each: on zeros after an end a step might divide by zero."""
        return self._each(lambda x: torch.cat(live_rows(x, rows)))

    def _each(self, cut: Callable[[Tensor], Tensor]) -> Stretch:
        before, after, buffers = (tuple(map(cut, x)) for x in (self.before, self.after, self.buffers))
        return Stretch(before, after, buffers, {name: cut(mask) for name, mask in self.masks.items()})


def whole_step(cell: Cell, masks: Mapping[str, Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """The step as one function of its pre-activations, kept in forward's buffers.

    It is called as ``f(buffers, state, params)`` and returns what :func:`outputs_of` names.
    """

    def f(buffers: tuple[Tensor, ...], state: tuple[Tensor, ...], params: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        outputs, _ = step_from(cell, inputs_of(cell, buffers, state), {**params, **masks})
        return tuple(outputs.values())

    return f


def inputs_of(cell: Cell, buffers: tuple[Tensor, ...], state: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """All that a step reads, by name: the pre-activations and the states."""
    return {**by_name(cell, buffers), **dict(zip(cell.states._fields, state, strict=True))}


def outputs_of(cell: Cell) -> tuple[str, ...]:
    """The names of what a step gives: the new states, and the vectors that it multiplies."""
    return (*cell.states._fields, *cell.recurrence.vectors)


def coefficients(
    cell: Cell, stretch: Stretch, params: Mapping[str, Tensor], loop: Loop | None, out: Mapping[str, Tensor]
) -> tuple[Coefficients, Mapping[str, Tensor]]:
    """The diagonal Jacobian of every step of the stretch (see :attr:`gru_scratch.cells.base.Cell.derivative`), and the
    vectors that were multiplied. ``loop`` is the loop in place that ran, None for the equations."""
    old, new = cell.states(*stretch.before), cell.states(*stretch.after)
    if loop is not None:
        seen = loop.seen(old, *stretch.buffers)
        product = cell.name_recurrent(seen.products)
        return _by_hand(cell, None, product, seen.gates, old, new, out), seen.vectors
    if cell.derivative is None:
        return _by_autograd(cell, stretch, params)
    inputs = inputs_of(cell, stretch.buffers, stretch.before)
    outputs, gates = step_from(cell, inputs, {**params, **stretch.masks})
    new = cell.states(*(outputs[name] for name in cell.states._fields))  # of this step: h may have been projected since
    x, product = cell.name_x(stretch.buffers[0]), cell.name_recurrent(inputs)
    return _by_hand(cell, x, product, gates, old, new, out), {name: outputs[name] for name in cell.recurrence.vectors}


def _by_hand(cell: Cell, *seen: Any) -> Coefficients:
    """The cell's own formula; an input's pre-activation that it leaves out has the derivative of its gate's product."""
    found: Coefficients = cell.derivative(*seen)
    for row in found.values():
        row.update({f"x.{g}": row[g] for g in reads_of(cell).apart if g in row and f"x.{g}" not in row})
    return found


def vectors_of(cell: Cell, stretch: Stretch, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vectors that were multiplied."""
    outputs, _ = step_from(cell, inputs_of(cell, stretch.buffers, stretch.before), {**params, **stretch.masks})
    return {name: outputs[name] for name in cell.recurrence.vectors}


def _by_autograd(
    cell: Cell, stretch: Stretch, params: Mapping[str, Tensor]
) -> tuple[Coefficients, Mapping[str, Tensor]]:
    """One vector-Jacobian product with ones for each output of the step, by what it reads."""
    reads = reads_of(cell)
    inputs = inputs_of(cell, stretch.buffers, stretch.before)

    def differentiate(read: dict[str, Tensor]) -> tuple[list[Tensor], tuple[Coefficients, dict[str, Tensor]]]:
        outputs, _ = step_from(cell, {**inputs, **read}, {**params, **stretch.masks})
        sources = {**read, **{f"new.{name}": value for name, value in outputs.items()}}
        found: Coefficients = {}
        for name, names in reads.by.items():
            y, wanted = outputs[name], [sources[key] for key in names]
            ones = y.new_ones(()).expand_as(y)  # one number, which no pass over memory has to write or read
            slopes = torch.autograd.grad(y, wanted, ones, retain_graph=True) if names else ()
            found[name] = dict(zip(names, slopes, strict=True))
        return list(outputs.values()), (found, {name: outputs[name] for name in cell.recurrence.vectors})

    read = {name: inputs[name] for names in reads.by.values() for name in names if name in inputs}
    traced: Any = torch.func.vjp(
        differentiate, read, has_aux=True
    )  # inside an operator autograd records at no other level
    return traced[2]  # type: ignore[no-any-return]


class Column(NamedTuple):
    """A place of H numbers in a row of the pre-activations' gradient D."""

    block: int
    number: int


class XRun(NamedTuple):
    """Gates of the input, one after another, whose gradients lie in a block's columns, one after another."""

    gates: slice
    block: int
    columns: slice


class Layout:
    """Where the gradient D of each pre-activation lies: in blocks (t, B, columns, H), each dense, as products want it.

    A block for each product of the step, and one for the input's pre-activations whose gradient is apart.
    """

    def __init__(self, cell: Cell) -> None:
        apart = reads_of(cell).apart if cell.elementwise else frozenset(cell.gates)
        products = cell.recurrence.products
        self.blocks = (*(product.gates for product in products), tuple(f"x.{g}" for g in cell.gates if g in apart))
        self.columns = {name: Column(b, k) for b, names in enumerate(self.blocks) for k, name in enumerate(names)}
        self.gates = len(cell.gates)
        self.x_runs: list[XRun] = []
        for k, gate in enumerate(cell.gates):
            block, column = self.columns[f"x.{gate}" if gate in apart else gate]
            last = self.x_runs[-1] if self.x_runs else XRun(slice(0, 0), -1, slice(0, 0))
            if (last.block, last.columns.stop) == (block, column):
                gates, columns = slice(last.gates.start, k + 1), slice(last.columns.start, column + 1)
                self.x_runs[-1] = XRun(gates, block, columns)
            else:
                self.x_runs.append(XRun(slice(k, k + 1), block, slice(column, column + 1)))

    def new(self, like: Tensor, steps: int, batch: int, hidden_size: int) -> tuple[Tensor, ...]:
        """D for some steps: its blocks, empty."""
        return tuple(like.new_empty(steps, batch, len(names), hidden_size) for names in self.blocks)

    def places(self, D: Blocks) -> dict[str, Tensor]:
        """The columns of D, (t, B, H), by name."""
        return {name: D[block][:, :, column] for name, (block, column) in self.columns.items()}


def in_numbers(block: slice, hidden_size: int) -> slice:
    """Gates or columns → their numbers."""
    return slice(block.start * hidden_size, block.stop * hidden_size)


@dataclass(frozen=True)
class Term:
    """Columns of a block of D that are some coefficients times the gradient of ``source``."""

    source: str
    block: int
    first: int
    last: int
    extra: tuple[Tensor, ...] = ()  # (the coefficients, (t, B, H)), where D's own place is another source's


def lay_coefficients(found: Coefficients, layout: Layout, D: Blocks) -> list[Term]:
    """Write the coefficients into the blocks ``D``, where they become gradients, and list what to multiply.

    A column belongs to the source whose gradient the reverse loop has first: the states, then the vectors from the last
    product back. What other sources add to it comes after.
    """
    owner: dict[Column, str] = {}
    terms: list[Term] = []
    for source, row in found.items():
        for key, value in row.items():
            if key not in layout.columns:  # a state, or a new state: not a pre-activation
                assert not key.startswith("x."), f"{key!r} is read in a sum with its gate's product alone"
                row[key] = _outside(value, D)
                continue
            column = layout.columns[key]
            if column in owner:
                terms.append(Term(source, column.block, column.number, column.number + 1, (_outside(value, D),)))
            else:
                place = D[column.block][:, :, column.number]
                if value.data_ptr() != place.data_ptr():
                    place.copy_(value)
                owner[column] = source
    runs: list[Term] = []
    for column in layout.columns.values():
        source = owner.get(column, "")
        if not source:
            D[column.block][:, :, column.number] = 0
        elif runs and (runs[-1].source, runs[-1].block, runs[-1].last) == (source, *column):
            runs[-1] = Term(source, column.block, runs[-1].first, column.number + 1)
        else:
            runs.append(Term(source, column.block, column.number, column.number + 1))
    return runs + terms


def _outside(value: Tensor, D: Blocks) -> Tensor:
    """Coefficients that do not change with D: a copy, where a cell gives out what it has written there twice."""
    memory = value.untyped_storage().data_ptr()
    return value.clone() if any(memory == block.untyped_storage().data_ptr() for block in D) else value
