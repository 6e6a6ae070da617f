"""What the equations of a step read: found once for a cell, from the graph that autograd records of one step.

With it, the derivative that autograd finds has the form of one written by hand: nothing is computed for what an output
does not read, x and h have one derivative where only their sum is read, and a new state that is computed from another
one is differentiated through it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from gru_scratch.cells.base import Cell

VECTOR = "vector"
"""The name, among what a step computes, of the vector that a second product multiplies."""

Place: TypeAlias = tuple[Any, int]
"""A place in autograd's graph: a node, and which of its outputs."""


@dataclass(frozen=True)
class Reads:
    """What a step reads, by the names of :attr:`gru_scratch.cells.base.Cell.derivative`."""

    apart: frozenset[str]
    """Gates of which more is read than the sum of the input's and the recurrent pre-activation."""
    by: Mapping[str, tuple[str, ...]]
    """What each output reads."""


def by_name(cell: Cell, buffers: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Forward's buffers, or their gradients, by the names that coefficients go by."""
    x, h = cell.name_x(buffers[0]), cell.name_h(buffers[1])
    named = {f"x.{name}": value for name, value in x._asdict().items()}
    named.update(h._asdict())
    if cell.second_product:
        named[cell.gates[-1]] = buffers[2]
    return named


def inputs_of(cell: Cell, buffers: tuple[Tensor, ...], state: Iterable[Tensor]) -> dict[str, Tensor]:
    """All that a step reads, by name: the pre-activations and the states."""
    return {**by_name(cell, buffers), **dict(zip(cell.states._fields, state, strict=True))}


def step_from(
    cell: Cell, buffers: tuple[Tensor, ...], inputs: Mapping[str, Tensor], extras: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The step on :func:`inputs_of`: the new states by name, and the vector that a second product multiplies."""
    x = cell.name_x(buffers[0])._replace(**{gate: inputs[f"x.{gate}"] for gate in cell.gates})
    h = cell.name_h(buffers[1])._replace(**{gate: inputs[gate] for gate in cell.first_product})
    state = cell.states(*(inputs[name] for name in cell.states._fields))
    if cell.second_product is None:
        new: dict[str, Tensor] = cell.step(x, h, state, **extras)[0]._asdict()
        return new
    vector, gates = cell.before(x, h, state, **extras)
    return {**cell.after(x, h, state, gates, inputs[cell.gates[-1]], **extras)[0]._asdict(), VECTOR: vector}


@cache
def reads_of(cell: Cell) -> Reads:
    """Trace one step of two units. It must be elementwise."""

    def small(width: int = 1) -> Tensor:
        return torch.full((1, 2 * width), 0.5, device="cpu")

    buffers = small(len(cell.gates)), small(len(cell.first_product)), small()
    inputs = {
        name: value.clone() for name, value in inputs_of(cell, buffers, [small() for _ in cell.states._fields]).items()
    }
    params = {name: torch.full(param.sizes(2), param.initial, device="cpu") for name, param in cell.params.items()}
    extras = {**params, **{name: small() for name in cell.masks}}
    found: list[Reads] = []

    def trace(inputs: dict[str, Tensor]) -> Tensor:
        outputs = step_from(cell, buffers, inputs, extras)
        found.append(_look_at_graph(cell, inputs, outputs))
        return torch.zeros((), device="cpu")

    torch.func.vjp(trace, inputs)  # autograd records inside an operator's kernel, too
    return found[0]


def _look_at_graph(cell: Cell, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Reads:
    leaves = {_place(value): name for name, value in inputs.items()}
    roots = {name: _place(value) for name, value in outputs.items() if value.requires_grad}
    readers = _readers(roots.values(), leaves)
    together = {
        gate
        for gate in cell.gates
        if all(_adds(node, leaves, gate) for name in (gate, f"x.{gate}") for node in readers[name])
    }
    doubled = {f"x.{gate}" for gate in together}
    by = {}
    for k, name in enumerate(outputs):
        later = {root: f"new.{other}" for other, root in roots.items() if other in cell.states._fields[k + 1 :]}
        later = {root: key for root, key in later.items() if root not in leaves}
        by[name] = tuple(key for key in _read_from(roots.get(name), leaves, later) if key not in doubled)
    return Reads(frozenset(cell.gates) - together, by)


def _place(tensor: Tensor) -> Place:
    edge = get_gradient_edge(tensor)
    return edge.node, edge.output_nr


def _readers(roots: Iterable[Place], leaves: Mapping[Place, str]) -> dict[str, list[Any]]:
    """The nodes that read each leaf."""
    readers: dict[str, list[Any]] = {name: [] for name in leaves.values()}
    waiting, seen = [node for node, _ in roots], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for place in node.next_functions:
            if place in leaves:
                readers[leaves[place]].append(node)
            waiting.append(place[0])
    return readers


def _adds(node: Any, leaves: Mapping[Place, str], gate: str) -> bool:
    """Whether a node is the sum of the gate's two pre-activations."""
    summands = {leaves.get(place) for place in node.next_functions}
    return node.name() == "AddBackward0" and node._saved_alpha == 1 and summands == {gate, f"x.{gate}"}


def _read_from(root: Place | None, leaves: Mapping[Place, str], others: Mapping[Place, str]) -> tuple[str, ...]:
    """What is read from a place: leaves, and those of ``others`` through which all goes that they read themselves."""
    if root is None:
        return ()
    names = {**leaves, **others}
    direct = _upstream(root, names, others)
    for place, name in others.items():
        if name in direct and set(direct) & (set(_upstream(place, names, ())) - {name}):
            return _read_from(root, leaves, {key: value for key, value in others.items() if value != name})
    return tuple(direct)


def _upstream(root: Place, names: Mapping[Place, str], stops: Collection[Place]) -> Collection[str]:
    """The names of all places that ``root`` is computed from, without looking past ``stops``."""
    found: dict[str, None] = {}
    waiting, seen = [root], set()
    while waiting:
        place = waiting.pop()
        if place in seen or place[0] is None:
            continue
        seen.add(place)
        if place in names:
            found[names[place]] = None
        if place not in stops:
            waiting.extend(place[0].next_functions)
    return found
