"""The plan of a cell as C: its equations and their derivative, a function a pass, on vectors of units.

What is common to all cells, the loops over units, rows and time, stands in the headers that the text includes.
"""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from gru_scratch.cells.base import Cell
from gru_scratch.engines.native.expressions import Node, in_order, leaf
from gru_scratch.engines.native.passes import Pass, Plan, plan
from gru_scratch.engines.native.tracing import trace

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=="}
INFIX |= {"ne": "!=", "and": "&", "or": "|"}
BINDING = {"add": 1, "sub": 1, "mul": 2, "div": 2, "neg": 3}
"""How tightly an operation binds; of those that are not here, a comparison stands in brackets, a function needs none."""

STORE = {
    "slot": "SET_SLOT",
    "new": "SET_NEXT",
    "column": "SET_COLUMN",
    "temp": "SET_TEMP",
    "carry": "SET_CARRY",
    "param": "ADD_PARAM",
}
READ_AGAIN = {"slot": "SLOT", "new": "NEXT", "column": "COLUMN", "temp": "TEMP"}

RESERVED = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register"
    " restrict return short signed sizeof static struct switch typedef union unsigned void volatile while"
    " vec mask at bits load store".split()
)
"""Words that a value in C cannot be called by here."""


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
            "/* Of each product: how many gates, vectors of units in a tile, which rows of the recurrent weights. */",
            "static const struct { int gates, units, rows[GATES]; } products[PRODUCTS] = {",
            *packings,
            "};",
            *_print_forward(plan, names),
            *_print_backward(plan, names),
            '#include "sequence.h"',
            "",
        ]
    )


class Names:
    """What values are called, and where those stand that are read."""

    def __init__(self, cell: Cell, plan: Plan) -> None:
        self.equations = plan.equations
        self.number = {
            "x": {gate: i for i, gate in enumerate(cell.gates)},
            "state": {name: i for i, name in enumerate(cell.states._fields)},
            "param": {name: i for i, name in enumerate(cell.params)},
            "mask": {name: i for i, name in enumerate(cell.masks)},
        }
        self.states = cell.states._fields
        self.called: dict[Node, str] = {}
        for kind, prefix in (("state", ""), ("param", ""), ("mask", ""), ("x", "x_")):
            for name in self.number[kind]:
                self._call(leaf(kind, name), prefix + name)
        for gate in plan.equations.recurrence.gates:
            self._call(leaf("product", gate), f"W_{gate}")
        for value, name in plan.equations.names.items():
            self._call(value, name)
        for name, value in plan.equations.new.items():
            self._call(value, f"{name}_new")
            self._call(leaf("gradient", name), f"d_{name}")
        for name, value in plan.equations.vectors.items():
            self._call(value, f"v_{name[2:]}")
            self._call(leaf("vector_gradient", name), f"d_{self.called[value]}")
        for gate, d in (*plan.derivative.products.items(), *plan.derivative.inputs.items()):
            self._call(d, f"D_{gate}")

    def _call(self, value: Node, name: str) -> None:
        usable = name.isidentifier() and name.isascii() and not name.isupper() and name not in RESERVED
        if value.op != "number" and value not in self.called and name not in self.called.values() and usable:
            self.called[value] = name

    def leaf(self, value: Node) -> str:
        """How a leaf is read that stands in the same place in every pass."""
        if value.op == "number":
            number = value.name.removesuffix(".0")
            return f"v_set({ {'inf': 'INFINITY', '-inf': '-INFINITY', 'nan': 'NAN'}.get(number, f'(REAL){number}') })"
        return f"{value.op.upper()}({self.number[value.op][value.name]})"


class Function:
    """One pass as a C function."""

    def __init__(self, names: Names, read: Mapping[Node, str]) -> None:
        self.names, self.read = names, read
        self.local: dict[Node, str] = {}

    def lines(self, outputs: Sequence[tuple[str, str, Node]]) -> Iterator[str]:
        """The values that the outputs need, each after what it reads, then the outputs."""
        stops = set(self.read)
        order = in_order([value for _, _, value in outputs], stops)
        needed = set(order)
        order = in_order([*(n for n in self.names.called if n in needed and n.args), *order], stops)
        uses = Counter(value for _, _, value in outputs)
        for value in order:
            uses.update(() if value in stops else value.args)
        stored = {value for _, _, value in outputs}
        fresh = 0
        for value in order:
            called = self.names.called.get(value)
            is_read = value in stops or not value.args
            if value.op == "number" or (uses[value] < 2 if is_read else not (called or uses[value] > 1 or value in stored)):
                continue
            if called is None:
                called, fresh = f"t{fresh}", fresh + 1
            if not is_read:
                yield f"    /* {called} = {self.text(value, comment=True)} */"
            yield f"    const {'mask' if value.is_condition else 'vec'} {called} = {self.text(value)};"
            self.local[value] = called

    def text(self, value: Node, comment: bool = False, inside: int = 0) -> str:
        """A value as it is computed or read; for a comment, in the cell's own words."""
        if value in self.local:
            return self.local[value]
        if comment and value in self.names.called and (inside or value in self.read or not value.args):
            return self.names.called[value]
        if value in self.read:
            return f"({self.read[value]})" if "+" in self.read[value] and inside else self.read[value]
        if value.op == "number":
            return value.name.removesuffix(".0") if comment else self.names.leaf(value)
        if not value.args:
            return self.names.leaf(value)
        return self._operation(value, comment, inside)

    def _operation(self, value: Node, comment: bool, inside: int) -> str:
        op, v = value.op, "" if comment else "v_"
        if op in INFIX:
            binding = BINDING.get(op, 1)
            left = self.text(value.args[0], comment, binding)
            right = self.text(value.args[1], comment, binding + 1)
            whole = f"{left} {INFIX[op]} {right}"
            return f"({whole})" if inside > binding or (value.is_condition and inside) else whole
        if op in ("neg", "not"):
            return f"{'-' if op == 'neg' else '~'}{self.text(value.args[0], comment, 3)}"
        args = [self.text(arg, comment) for arg in value.args]
        if op == "relu" and not comment:
            return f"v_max({args[0]}, v_set(0))"
        if op == "clamp" and not comment:
            return f"v_min(v_max({args[0]}, {args[1]}), {args[2]})"
        return f"{v}{op}({', '.join(args)})"


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
            multiplications.append(_multiplication(plan, each, p, before, f"{width}", "l->hidden", rows + ", t"))
            before += width
        yield from _print_pass("forward", k, each, Function(names, read), multiplications, names, plan.crossing)
        gates = _widest(each)
        multiply = f"forward_multiply_{k}" if each.products else "no_product"
        room = _room(gates, before)
        steps.append(f"    pass(l, t, first, end, keep, 0, {gates}, {multiply}, forward_{k}, {room});")
        kept.update({value: f"{READ_AGAIN[kind]}({_index(names, kind, name)})" for kind, name, value in each.outputs})
    yield from ("", "static void forward_step(const Layer *l, int64_t t, int64_t first, int64_t end, int keep)", "{")
    yield from (*steps, "}")


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
            multiplications.append(_multiplication(plan, each, p, before, "1", depth, rows))
            if k == 0:
                arriving[p.vector] = f" + RETURNED({before})"
            else:
                read[leaf("vector_gradient", p.vector)] = f"SUM({before}, 1, 0)"
        if k == 0:
            for i, name in enumerate(names.states):
                output = " + OUTPUT_GRADIENT" if i == 0 else ""
                read[leaf("gradient", name)] = f"CARRIED({i}){output}{arriving.get(name, '')}"
        yield from _print_pass("backward", k, each, Function(names, read), multiplications, names, 0)
        count = max(1, len(each.products))
        multiply = f"backward_multiply_{k}" if each.products else "no_product"
        first_pass = k == 0 and each.products
        multiply = f"last ? no_product : {multiply}" if first_pass else multiply
        steps.append(f"    pass(l, t, first, end, 0, last, 1, {multiply}, backward_{k}, {_room(1, count)});")
        kept.update({v: f"{READ_AGAIN[kind]}({name})" for kind, name, v in each.outputs if kind in ("column", "temp")})
    yield from ("", "static void backward_step(const Layer *l, int64_t t, int64_t first, int64_t end, int last)", "{")
    yield from (*steps, "}", "")
    yield from ("/* The gradient of the states before the first of these steps. */", "INLINE void arrive(const At *at)", "{")
    for i, name in enumerate(names.states):
        if name in arriving:
            yield f"    SET_CARRY({i}, CARRIED({i}){arriving[name]});"
    yield from ("}", "", "static void backward_end(const Layer *l, int64_t t, int64_t first, int64_t end)", "{")
    if arriving:
        yield f"    pass(l, t, first, end, 0, 0, 1, backward_multiply_0, arrive, {_room(1, len(arriving))});"
    yield "}"


def _multiplication(plan: Plan, each: Pass, p: object, before: int, gates: str, depth: str, rows: str) -> str:
    widest = _widest(each) if gates != "1" or "state" in rows or "slot" in rows else 1
    number = plan.equations.recurrence.products.index(p)  # type: ignore[arg-type]
    width = f"{gates} * UNITS({widest})"
    start = f"ROWS({widest}) * UNITS({widest}) * {before}"
    packed = f"tile_of(l->packed[{number}], tile, {depth}, {width})"
    return f"    multiply(count, {width}, {depth}, {rows}, row, count), {packed}, sums + {start});"


def _print_pass(
    direction: str,
    k: int,
    each: Pass,
    function: Function,
    multiplications: Sequence[str],
    names: Names,
    always: int,
) -> Iterator[str]:
    if multiplications:
        name = f"{direction}_multiply_{k}"
        yield ""
        yield f"INLINE void {name}(const Layer *l, int64_t t, int64_t row, int count, int64_t tile, vec *sums)"
        yield from ("{", *multiplications, "}")
    yield from ("", f"INLINE void {direction}_{k}(const At *at)", "{")
    yield from function.lines(each.outputs)
    yield from (*_stores(function, each.outputs, names, always), "}")


def _room(gates: int, sums: int) -> str:
    """Room for the sums of a tile."""
    return f"(vec[ROWS({gates}) * UNITS({gates}) * {max(1, sums)}]){{{{0}}}}"


def _widest(each: Pass) -> int:
    return max((len(p.gates) for p in each.products), default=1)


def _index(names: Names, kind: str, name: str) -> int:
    return names.number["state"][name] if kind == "new" else int(name)
