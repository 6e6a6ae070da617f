"""The derivative of a cell's step, for a stretch of time at once: by the cell's own formula, or by autograd.

A step that is elementwise has a diagonal Jacobian, and a vector-Jacobian product with ones reads that diagonal off
exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients
from gru_scratch.trace import VECTOR, inputs_of, reads_of, step_from


@dataclass(frozen=True)
class Stretch:
    """What backward knows of some steps: (t, B, ...) each."""

    before: tuple[Tensor, ...]  # the states that the steps start from
    after: tuple[Tensor, ...]  # the states that they end in
    buffers: tuple[Tensor, ...]  # what forward kept
    masks: Mapping[str, Tensor]

    def at(self, t: int, rows: int | None = None) -> Stretch:
        """The same for one step, (rows, ...) each."""

        def cut(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(x[t, :rows] for x in tensors)

        masks = {name: mask[t, :rows] for name, mask in self.masks.items()}
        return Stretch(cut(self.before), cut(self.after), cut(self.buffers), masks)


def whole_step(cell: Cell, masks: Mapping[str, Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """The step as one function of its pre-activations, kept in forward's buffers.

    It is called as ``f(buffers, state, params)`` and returns the new states, and the second product's vector.
    """

    def f(buffers: tuple[Tensor, ...], state: tuple[Tensor, ...], params: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        x, h = cell.name_x(buffers[0]), cell.name_h(buffers[1])
        old = cell.states(*state)
        if cell.second_product is None:
            return tuple(cell.step(x, h, old, **params, **masks)[0])
        vector, gates = cell.before(x, h, old, **params, **masks)
        return (*cell.after(x, h, old, gates, buffers[2], **params, **masks)[0], vector)

    return f


def outputs_of(cell: Cell) -> tuple[str, ...]:
    """The names of what :func:`whole_step` returns."""
    return (*cell.states._fields, VECTOR) if cell.second_product else tuple(cell.states._fields)


def coefficients(
    cell: Cell, stretch: Stretch, params: Mapping[str, Tensor], in_place: bool, out: Mapping[str, Tensor]
) -> tuple[Coefficients, Tensor | None]:
    """The diagonal Jacobian of every step of the stretch (see :attr:`gru_scratch.cells.base.Cell.derivative`), and the
    vector that a second product multiplied."""
    old, new = cell.states(*stretch.before), cell.states(*stretch.after)
    if in_place:
        gates = cell.kept_gates(old, *stretch.buffers)
        return cell.derivative(gates, old, new, out), gates.get(VECTOR)
    if cell.derivative is None:
        return _by_autograd(cell, stretch, params)
    x, h = cell.name_x(stretch.buffers[0]), cell.name_h(stretch.buffers[1])
    extras = {**params, **stretch.masks}
    if cell.second_product is None:
        new, gates = cell.step(x, h, old, **extras)  # once more: h may have been projected since
        return cell.derivative(gates, old, new, out), None
    vector, gates = cell.before(x, h, old, **extras)
    _, gates = cell.after(x, h, old, gates, stretch.buffers[2], **extras)
    return cell.derivative(gates, old, new, out), vector


def vector_of(cell: Cell, stretch: Stretch, params: Mapping[str, Tensor]) -> Tensor:
    """The vector that a second product multiplied."""
    return whole_step(cell, stretch.masks)(stretch.buffers, stretch.before, params)[-1]


def _by_autograd(cell: Cell, stretch: Stretch, params: Mapping[str, Tensor]) -> tuple[Coefficients, Tensor | None]:
    """One vector-Jacobian product with ones for each output of the step, by what it reads."""
    reads = reads_of(cell)
    inputs = inputs_of(cell, stretch.buffers, stretch.before)

    def differentiate(read: dict[str, Tensor]) -> tuple[list[Tensor], tuple[Coefficients, list[Tensor]]]:
        outputs = step_from(cell, stretch.buffers, {**inputs, **read}, {**params, **stretch.masks})
        sources = {**read, **{f"new.{name}": value for name, value in outputs.items()}}
        found: Coefficients = {}
        for name, names in reads.by.items():
            y, wanted = outputs[name], [sources[key] for key in names]
            slopes = torch.autograd.grad(y, wanted, torch.ones_like(y), retain_graph=True) if names else ()
            found[name] = dict(zip(names, slopes, strict=True))
        return list(outputs.values()), (found, [outputs[VECTOR]] if cell.second_product else [])

    read = {name: inputs[name] for names in reads.by.values() for name in names if name in inputs}
    traced: Any = torch.func.vjp(
        differentiate, read, has_aux=True
    )  # inside an operator autograd records at no other level
    found, vectors = traced[2]
    return found, vectors[0] if vectors else None


class Layout:
    """Which column (of H numbers) of the pre-activations' gradient D belongs to which gate.

    First the gates of the first recurrent product, then the second product's, then those whose input gradient is apart.
    """

    def __init__(self, cell: Cell) -> None:
        apart = [g for g in cell.gates if g in _apart(cell)]
        self.columns = {name: k for k, name in enumerate([*cell.gates, *(f"x.{g}" for g in apart)])}
        self.width = len(self.columns)
        self.first = len(cell.first_product)
        self.gates = len(cell.gates)
        of_x = [self.columns[f"x.{g}" if g in apart else g] for g in cell.gates]
        starts = [k for k in range(self.gates) if k == 0 or of_x[k] != of_x[k - 1] + 1]
        ends = [*starts[1:], self.gates]
        self.x_blocks = [(slice(a, b), slice(of_x[a], of_x[a] + b - a)) for a, b in zip(starts, ends, strict=True)]
        """The input's gates, in runs whose columns adjoin: (gates, columns)."""

    def places(self, D: Tensor) -> dict[str, Tensor]:
        """The columns of D, (t, B, width, H), by name."""
        return dict(zip(self.columns, D.unbind(2), strict=True))


def _apart(cell: Cell) -> Collection[str]:
    """Gates whose derivative by x is not that by h."""
    if not cell.elementwise:
        return cell.gates
    return reads_of(cell).apart if cell.derivative is None else cell.x_apart


def in_numbers(block: slice, hidden_size: int) -> slice:
    """Gates or columns → their numbers."""
    return slice(block.start * hidden_size, block.stop * hidden_size)


@dataclass(frozen=True)
class Term:
    """Columns of D that are some coefficients times the gradient of ``source``."""

    source: str
    first: int
    last: int
    extra: tuple[Tensor, ...] = ()  # (the coefficients, (t, B, 1, H)), where D's own place is another source's


def lay_coefficients(found: Coefficients, layout: Layout, D: Tensor) -> list[Term]:
    """Write the coefficients into ``D``, (t, B, width, H), where they become gradients, and list what to multiply."""
    owner: dict[int, str] = {}
    terms: list[Term] = []
    for source, row in found.items():
        for key, value in row.items():
            if key not in layout.columns:  # a state, or a new state: not a pre-activation
                assert not key.startswith("x."), f"{key!r} needs its gate in the cell's x_apart"
                row[key] = _outside(value, D)
                continue
            column = layout.columns[key]
            if column in owner:
                terms.append(Term(source, column, column + 1, (_outside(value, D).unsqueeze(2),)))
            else:
                if value.data_ptr() != D[:, :, column].data_ptr():
                    D[:, :, column] = value
                owner[column] = source
    runs: list[Term] = []
    for column in range(layout.width):
        source = owner.get(column, "")
        if not source:
            D[:, :, column] = 0
        elif runs and runs[-1].source == source and runs[-1].last == column:
            runs[-1] = Term(source, runs[-1].first, column + 1)
        else:
            runs.append(Term(source, column, column + 1))
    return runs + terms


def _outside(value: Tensor, D: Tensor) -> Tensor:
    """Coefficients that do not change with D: a copy, where a cell gives out what it has written there twice."""
    return value.clone() if value.untyped_storage().data_ptr() == D.untyped_storage().data_ptr() else value
