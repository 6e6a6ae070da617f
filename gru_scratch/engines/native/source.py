"""The plan of a cell as C: its equations and their derivative, a function a pass, on vectors of units.

What is common to all cells, the loops over units, rows and time, stands in the headers that the text includes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from gru_scratch.cells.base import Cell
from gru_scratch.cells.recurrence import Product
from gru_scratch.engines.native.expressions import Node, leaf
from gru_scratch.engines.native.passes import Pass, Plan, plan
from gru_scratch.engines.native.tracing import trace
from gru_scratch.engines.native.values import Function, Names

STORE = {
    "slot": "SET_SLOT",
    "new": "SET_NEXT",
    "column": "SET_COLUMN",
    "temp": "SET_TEMP",
    "carry": "SET_CARRY",
    "param": "ADD_PARAM",
}
READ_AGAIN = {"slot": "SLOT", "new": "NEXT", "column": "COLUMN", "temp": "TEMP"}

STEP = "const Layer *l, int64_t t, int64_t first, int64_t end"
"""What a step's function takes: a layer, the step, and its rows."""


def native_source(cell: Cell, dtype: str = "float") -> str:
    """The C file of a cell, for ``float`` or ``double``: what engine "native" compiles.

    Raises:
        NotElementwiseError: the cell's step does what has no expression.
    """
    return print_plan(cell, plan_of(cell), dtype)


@cache
def plan_of(cell: Cell) -> Plan:
    """The plan of a cell, made once.

    Raises:
        NotElementwiseError: the cell's step does what has no expression.
    """
    return plan(trace(cell))


def print_plan(cell: Cell, plan: Plan, dtype: str) -> str:
    """The whole file."""
    states, products = cell.states._fields, plan.equations.recurrence.products
    rows = {gate: i for i, gate in enumerate(plan.equations.recurrence.gates)}
    widest = {gate: _widest(each) for each in plan.forward for p in each.products for gate in p.gates}
    packings = [
        f"    {{{len(p.gates)}, UNITS({widest[p.gates[0]]}), {{{', '.join(str(rows[g]) for g in p.gates)}}}}},"
        f" /* {p.vector}, for {', '.join(p.gates)} */"
        for p in products
    ] or ["    {0, 1, {0}},"]
    sizes = {
        "GATES": len(cell.gates),
        "STATES": len(states),
        "PARAMS": len(cell.params),
        "MASKS": len(cell.masks),
        "PRODUCTS": len(products),
        "SLOTS": len(plan.slots),
        "COLUMNS": len(plan.columns),
        "TEMPS": len(plan.temps),
    }
    names = Names(cell, plan)
    return "\n".join(
        [
            f"/* {cell!r}: written by gru_scratch from the cell's step. */",
            "#include <stdint.h>",
            "#include <string.h>",
            f"#define REAL {dtype}",
            *(f"#define {name} {max(1, size)}" for name, size in sizes.items()),
            '#include "vectors.h"',
            '#include "loop.h"',
            "",
            "static const Product products[PRODUCTS] = {",
            *packings,
            "};",
            *_print_forward(plan, names),
            *_print_backward(plan, names),
            '#include "sequence.h"',
            "",
        ]
    )


def _stores(function: Function, outputs: Sequence[tuple[str, str, Node]], names: Names, always: int) -> Iterator[str]:
    for kind, name, value in outputs:
        place = {"new": "state", "carry": "state"}.get(kind, kind)
        number = int(name) if name.isdigit() else names.number[place][name]
        line = f"{STORE[kind]}({number}, {function.text(value)});"
        yield f"    if (at->keep) {line}" if kind == "slot" and number >= always else f"    {line}"


def _print_forward(plan: Plan, names: Names) -> Iterator[str]:
    kept: dict[Node, str] = {}
    steps = []
    slot_of = {value: i for i, value in enumerate(plan.slots)}
    for k, each in enumerate(plan.forward):
        read, before = dict(kept), 0
        multiplications = []
        for p in each.products:
            width = len(p.gates)
            for g, gate in enumerate(p.gates):
                read[leaf("product", gate)] = f"SUM({before}, {width}, {g})"
            if p.vector in names.states:
                rows = f"state_rows(l, {names.states.index(p.vector)}"
            else:
                rows = f"slot_rows(l, {slot_of[plan.equations.vectors[p.vector]]}"
            multiplications.append(_multiplication(plan, p, before, width, _widest(each), "l->hidden", f"{rows}, t"))
            before += width
        yield from _print_pass("forward", k, each, Function(names, read), multiplications, names, plan.crossing)
        gates = _widest(each)
        multiply = f"forward_multiply_{k}" if each.products else "no_product"
        room = _room(gates, before)
        steps.append(f"    pass(l, t, first, end, keep, 0, {gates}, {multiply}, forward_{k}, {room});")
        for kind, name, value in each.outputs:
            if kind == "new" or int(name) < plan.crossing:  # the other slots are filled where backward will follow
                kept[value] = f"{READ_AGAIN[kind]}({_index(names, kind, name)})"
    yield from ("", f"static void forward_step({STEP}, int keep)", "{", *steps, "}")


def _print_backward(plan: Plan, names: Names) -> Iterator[str]:
    kept = {value: f"NEXT({i})" for i, value in enumerate(plan.equations.new.values()) if value.args}
    kept.update({value: f"SLOT({i})" for i, value in enumerate(plan.slots)})
    products = plan.equations.recurrence.products
    first_column, column = {}, 0
    for p in products:
        first_column[p.vector], column = column, column + len(p.gates)
    steps: list[str] = []
    arriving: dict[str, str] = {}
    for k, each in enumerate(plan.backward):
        read = dict(kept)
        multiplications = []
        for before, p in enumerate(each.products):
            when = "t + 1" if k == 0 else "t"
            depth, rows = f"{len(p.gates)} * l->hidden", f"column_rows(l, {first_column[p.vector]}, {when}"
            multiplications.append(_multiplication(plan, p, before, 1, 1, depth, rows))
            if k == 0:
                arriving[p.vector] = f" + RETURNED({before})"
            else:
                read[leaf("vector_gradient", p.vector)] = f"SUM({before}, 1, 0)"
        opening = []
        if k == 0:
            for i, name in enumerate(names.states):
                output = f"STATE_GRADIENT({i})" if i else "OUTPUT_GRADIENT"
                opening.append(f"    ARRIVE({i}, CARRIED({i}){arriving.get(name, '')});")
                read[leaf("gradient", name)] = f"ARRIVED_{i} + {output}"
        yield from _print_pass("backward", k, each, Function(names, read), multiplications, names, 0, opening)
        count = max(1, len(each.products))
        multiply = f"backward_multiply_{k}" if each.products else "no_product"
        first_pass = k == 0 and each.products
        multiply = f"last ? no_product : {multiply}" if first_pass else multiply
        steps.append(f"    pass(l, t, first, end, 0, last, 1, {multiply}, backward_{k}, {_room(1, count)});")
        kept.update({v: f"{READ_AGAIN[kind]}({name})" for kind, name, v in each.outputs if kind in ("column", "temp")})
    yield from ("", f"static void backward_step({STEP}, int last)", "{", *steps, "}", "")
    yield "/* The gradient of the states before the first of these steps. */"
    yield from ("INLINE void arrive(const At *at)", "{")
    for i, name in enumerate(names.states):
        if name in arriving:
            yield f"    SET_CARRY({i}, CARRIED({i}){arriving[name]});"
    yield from ("}", "", f"static void backward_end({STEP})", "{")
    if arriving:
        yield f"    pass(l, t, first, end, 0, 0, 1, backward_multiply_0, arrive, {_room(1, len(arriving))});"
    yield "}"


def _multiplication(plan: Plan, p: Product, before: int, gates: int, widest: int, depth: str, rows: str) -> str:
    number = plan.equations.recurrence.products.index(p)
    return f"    MULTIPLY({number}, {before}, {gates}, {widest}, {depth}, {rows}, row, count));"


def _print_pass(
    direction: str,
    k: int,
    each: Pass,
    function: Function,
    multiplications: Sequence[str],
    names: Names,
    always: int,
    opening: Sequence[str] = (),
) -> Iterator[str]:
    if multiplications:
        name = f"{direction}_multiply_{k}"
        yield ""
        yield f"INLINE void {name}(const Layer *l, int64_t t, int64_t row, int count, int64_t tile, vec *sums)"
        yield from ("{", *multiplications, "}")
    yield from ("", f"INLINE void {direction}_{k}(const At *at)", "{", *opening)
    yield from function.lines(each.outputs)
    yield from (*_stores(function, each.outputs, names, always), "}")


def _room(gates: int, sums: int) -> str:
    """Room for the sums of a tile."""
    return f"(vec[ROWS({gates}) * UNITS({gates}) * {max(1, sums)}]){{{{0}}}}"


def _widest(each: Pass) -> int:
    return max((len(p.gates) for p in each.products), default=1)


def _index(names: Names, kind: str, name: str) -> int:
    return names.number["state"][name] if kind == "new" else int(name)
