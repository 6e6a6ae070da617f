"""Expressions as C: what values are called, where they are read, and in which lines they are computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gru_scratch.cells.base import Cell
from gru_scratch.engines.native.expressions import Node, in_order, leaf
from gru_scratch.engines.native.passes import Plan

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=="}
INFIX |= {"ne": "!=", "and": "&", "or": "|"}
BINDING = {"add": 1, "sub": 1, "mul": 2, "div": 2, "neg": 3}
"""How tightly an operation binds; a function needs no brackets, a comparison always has them."""

_WORDS = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register"
    " restrict return short signed sizeof static struct switch typedef union unsigned void volatile while"
    " vec mask at bits load store"
)
RESERVED = frozenset(_WORDS.split())
"""Words that a value in C cannot be called by here."""


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
            worth_a_name = uses[value] > 1 or (not is_read and (called is not None or value in stored))
            if value.op == "number" or not worth_a_name:
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
