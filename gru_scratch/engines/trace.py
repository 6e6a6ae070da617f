"""What the equations of a step read: found once for a cell, from the graph that autograd records of one step.

With it, the derivative that autograd finds has the form of one written by hand: nothing is computed for what an output
does not read, input and product have one derivative where only their sum is read, and a new state that is computed from
another one is differentiated through it.

Everything goes by name: ``"x.g"`` is the input's pre-activation of a gate, ``"g"`` its recurrent product; a state goes
by its own name, a vector that the step computes and multiplies by that of its product, ``"W.n"``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from gru_scratch.cells.base import Cell, Gates
from gru_scratch.engines.torch_private import saved_alpha

Place: TypeAlias = tuple[Any, int]
"""A place in autograd's graph: a node, and which of its outputs."""


@dataclass(frozen=True)
class Reads:
    """What a step reads."""

    apart: frozenset[str]
    """Gates of which more is read than the sum of the input's pre-activation and the product."""
    by: Mapping[str, tuple[str, ...]]
    """What each output reads: the new states, then the vectors."""

    def is_projectable(self, cell: Cell) -> bool:
        """Whether the first state is read through its product alone, so that a layer may project it."""
        first = cell.states._fields[0]
        through = all(product.vector == first for product in cell.recurrence.products)
        return through and all(first not in names for names in self.by.values())


def by_name(cell: Cell, buffers: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The input's pre-activations (..., G * H), and then each product (..., gates * H), by name."""
    named = {f"x.{name}": value for name, value in cell.name_x(buffers[0])._asdict().items()}
    for product, buffer in zip(cell.recurrence.products, buffers[1:], strict=True):
        named.update(zip(product.gates, buffer.chunk(len(product.gates), -1), strict=True))
    return named


def step_from(
    cell: Cell, inputs: Mapping[str, Tensor], extras: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Gates]:
    """One step on its products, which are given: the new states and the vectors that it multiplies; its gates."""
    vectors: dict[str, Tensor] = {}
    names = {product.gates[0]: product.vector for product in cell.recurrence.products}

    def product_of(gate: str) -> Any:
        def take(vector: Tensor) -> Tensor:
            if names.get(gate) in cell.recurrence.vectors:
                vectors[names[gate]] = vector
            return inputs[gate]

        return take

    x = cell.name_gates({gate: inputs[f"x.{gate}"] for gate in cell.gates})
    W = cell.name_recurrent({gate: product_of(gate) for gate in cell.recurrence.gates})
    new, gates = cell.step(x, W, cell.states(*(inputs[name] for name in cell.states._fields)), **extras)
    return {**new._asdict(), **{name: vectors[name] for name in cell.recurrence.vectors}}, gates


@cache
def reads_of(cell: Cell) -> Reads:
    """Trace one step of two units."""

    def small() -> Tensor:
        return torch.full((1, 2), 0.5, device="cpu")

    names = [*(f"x.{gate}" for gate in cell.gates), *cell.recurrence.gates, *cell.states._fields]
    params = {name: torch.full(param.sizes(2), param.initial, device="cpu") for name, param in cell.params.items()}
    extras = {**params, **{name: small() for name in cell.masks}}
    found: list[Reads] = []

    def trace(inputs: dict[str, Tensor]) -> Tensor:
        outputs, _ = step_from(cell, inputs, extras)
        found.append(_look_at_graph(cell, inputs, outputs))
        return torch.zeros((), device="cpu")

    with torch.random.fork_rng(devices=[]):
        torch.func.vjp(trace, {name: small() for name in names})  # autograd records inside an operator's kernel, too
    return found[0]


def _look_at_graph(cell: Cell, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Reads:
    leaves = {_place(value): name for name, value in inputs.items()}
    roots = {name: _place(value) for name, value in outputs.items() if value.requires_grad}
    readers = _readers(roots.values(), leaves)
    together = {
        gate
        for gate in cell.recurrence.gates
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
    return node.name() == "AddBackward0" and saved_alpha(node) == 1 and summands == {gate, f"x.{gate}"}


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
