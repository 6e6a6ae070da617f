"""Which part of a step can run when: a pass is all that needs no further matrix product.

A pass goes over all units of some rows: it finishes the products that it reads, tile by tile, and evaluates expressions
while the products are in registers. What multiplies a computed vector (``r * h``) can start only when that vector is
whole, so it is a further pass. Forward, a product of a state belongs to pass 0; backward, the gradient of a new state
does, and that of a computed vector comes a pass after the gradients of the pre-activations it was multiplied for.

A value of one pass that a later one reads is kept in a slot, or computed once more where that is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gru_scratch.cells.recurrence import Product
from gru_scratch.engines.native.derivative import Derivative, differentiate
from gru_scratch.engines.native.expressions import EXPENSIVE, LEAVES, ZERO, Node, in_order, leaf
from gru_scratch.engines.native.tracing import Equations

ANYWHERE = ("x", "state", "param", "mask", "number")
"""What forward can read in any pass; backward cannot read ``x``."""


class Pass(NamedTuple):
    """What is evaluated while a tile's products are in registers."""

    products: tuple[Product, ...]
    """Forward, those that it finishes; backward, those through which gradients come back to what they multiplied."""
    outputs: tuple[tuple[str, str, Node], ...]
    """What it stores: the kind of place, a name there, and the value."""


class Plan(NamedTuple):
    """All passes of a cell, and where they keep what they compute."""

    equations: Equations
    derivative: Derivative
    forward: tuple[Pass, ...]
    backward: tuple[Pass, ...]
    slots: tuple[Node, ...]
    """What forward keeps beside the states, a column each: first what backward or a later pass reads in any case."""
    crossing: int
    """So many of the first slots are needed even where nothing is differentiated."""
    columns: tuple[Node, ...]
    """The gradients of pre-activations that backward writes, a column each: those of products, then the others."""
    temps: tuple[Node, ...]
    """What crosses from one pass backward to another."""


def plan(equations: Equations) -> Plan:
    """Arrange a step and its derivative in passes."""
    recurrence, new = equations.recurrence, equations.new
    derivative = differentiate(equations)
    ends = [*new.values(), *equations.vectors.values()]
    level = _forward_levels(equations)
    stored = {value: level[value] for value in ends}
    crossing = _crossing(ends, stored, level, lambda n: n.op in ANYWHERE)
    kept = dict.fromkeys([*equations.vectors.values(), *crossing])

    gradients = _in_columns(equations, derivative)
    results = [*gradients, *derivative.states.values(), *derivative.params.values()]
    forward_nodes = set(in_order(ends))
    read = [n for n in in_order(results, forward_nodes) if n in forward_nodes]
    free = {*new.values(), *kept}
    saved = _choose(read, lambda n: n in free or (n.op in ANYWHERE and n.op != "x"))
    slots = tuple(dict.fromkeys([*kept, *saved]))

    backward_level = _backward_levels(equations, derivative, forward_nodes)
    due = {value: backward_level[value] for value in gradients}
    temps = _crossing(results, due, backward_level, lambda n: n in forward_nodes or n.op == "number")

    count = 1 + max(level.values())
    forward = []
    for k in range(count):
        products = tuple(p for p in recurrence.products if level[leaf("product", p.gates[0])] == k)
        outputs = [("slot", str(i), slot) for i, slot in enumerate(slots) if level[slot] == k]
        outputs += [("new", name, value) for name, value in new.items() if level[value] == k]
        forward.append(Pass(products, tuple(outputs)))
    return Plan(
        equations,
        derivative,
        tuple(forward),
        _backward_passes(equations, derivative, gradients, temps, backward_level),
        slots,
        len(kept),
        gradients,
        tuple(temps),
    )


def _in_columns(equations: Equations, derivative: Derivative) -> tuple[Node, ...]:
    """The gradients of pre-activations: product by product, then those of inputs that are no product's."""
    of_products = [derivative.products.get(gate) for p in equations.recurrence.products for gate in p.gates]
    columns = [ZERO if d is None else d for d in of_products]
    columns += [d for d in dict.fromkeys(derivative.inputs.values()) if d not in columns]
    return tuple(columns)


def _backward_passes(
    equations: Equations,
    derivative: Derivative,
    columns: tuple[Node, ...],
    temps: Iterable[Node],
    level: Mapping[Node, int],
) -> tuple[Pass, ...]:
    products, states = equations.recurrence.products, equations.new
    passes = []
    for k in range(1 + max(level.values())):
        if k == 0:
            own = tuple(p for p in products if p.vector in states)
        else:
            own = tuple(p for p in products if level.get(leaf("vector_gradient", p.vector)) == k)
        outputs = [("column", str(i), d) for i, d in enumerate(columns) if level[d] == k]
        outputs += [("temp", str(i), value) for i, value in enumerate(temps) if level[value] == k]
        carried = {name: derivative.states.get(name, ZERO) for name in states}
        outputs += [("carry", name, d) for name, d in carried.items() if level.get(d, 0) == k]
        outputs += [("param", name, d) for name, d in derivative.params.items() if level[d] == k]
        passes.append(Pass(own, tuple(outputs)))
    return tuple(passes)


def _forward_levels(equations: Equations) -> dict[Node, int]:
    """The pass in which each value can be computed first."""
    level: dict[Node, int] = {}
    for product in equations.recurrence.products:
        after = equations.vectors.get(product.vector)
        first = 0 if after is None else 1 + _settle(after, level)
        level.update({leaf("product", gate): first for gate in product.gates})
    for value in equations.new.values():
        _settle(value, level)
    return level


def _backward_levels(equations: Equations, derivative: Derivative, forward: set[Node]) -> dict[Node, int]:
    level: dict[Node, int] = dict.fromkeys(forward, 0)
    for product in reversed(equations.recurrence.products):
        own = [_settle(derivative.products[gate], level) for gate in product.gates if gate in derivative.products]
        if product.vector in equations.vectors:
            level[leaf("vector_gradient", product.vector)] = 1 + max(own, default=0)
    for d in (ZERO, *derivative.inputs.values(), *derivative.states.values(), *derivative.params.values()):
        _settle(d, level)
    return level


def _settle(value: Node, level: dict[Node, int]) -> int:
    """Note the level of a value and of all that it is computed from; what is read has level 0 if it has none yet."""
    for n in in_order([value], level):
        if n not in level:
            level[n] = max((level[arg] for arg in n.args), default=0)
    return level[value]


def _crossing(
    ends: Sequence[Node], stored: Mapping[Node, int], level: Mapping[Node, int], free: Callable[[Node], bool]
) -> list[Node]:
    """What must be kept for a later pass, beside what is ``stored`` anyway. From the last pass on, since what is kept
    for it may itself need what an earlier pass computed."""
    found: dict[Node, None] = {}
    for k in range(max(level.values()), 0, -1):
        late = [end for end in (*ends, *found) if level[end] == k]
        early = {n for n in in_order(late) if level[n] < k}
        read = [n for n in in_order(late, early) if n in early]
        before = {n for n, at in stored.items() if at < k}.union(found)
        found.update(dict.fromkeys(_choose(read, _either(free, before))))
    return list(found)


def _either(free: Callable[[Node], bool], before: Container[Node]) -> Callable[[Node], bool]:
    return lambda n: free(n) or n in before


def _values(read: Iterable[Node]) -> Iterator[Node]:
    """What is read, with the two sides of a comparison in its place: a slot holds numbers."""
    for n in read:
        yield from _values(n.args) if n.is_condition else (n,)


def _choose(read: Iterable[Node], free: Callable[[Node], bool]) -> list[Node]:
    """What to keep so that all of ``read`` can be had again: what is read or costly, and what cannot be computed from
    it and from what is ``free``, or the one thing that it lacks. One costly operation on what is free, as the LSTM's
    tanh(c'), is done again: it takes no longer than writing the result to memory and reading it back."""
    needed = [n for n in _values(read) if not free(n)]

    def is_basic(n: Node) -> bool:
        return n.op in LEAVES or (n.op in EXPENSIVE and not all(map(free, n.args)))

    kept = {n for n in needed if is_basic(n)}

    def lacks(n: Node) -> set[Node]:
        if free(n) or n in kept:
            return set()
        return {n} if is_basic(n) else {missing for arg in n.args for missing in lacks(arg)}

    for n in needed:
        missing = lacks(n)
        kept.update(missing if len(missing) == 1 else {n} if missing else ())
    return [n for n in in_order(needed) if n in kept]
