"""Arithmetic as a graph: what a step of a cell computes for one unit, and what its derivative does.

A node is an operation on other nodes, or a leaf: something that is read. Equal nodes are one object, so that whatever
two equations have in common is found by looking at identity, and computed once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from weakref import WeakValueDictionary

LEAVES = ("x", "product", "state", "new", "param", "mask", "number", "gradient", "vector_gradient")
"""What is read: of forward the input's pre-activation, a gate's product, a state, a parameter, a mask; of backward also
a new state, the gradient of a new state, and that of a vector that the step multiplied."""

CONDITIONS = ("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not")
"""Operations whose result is true or false."""

EXPENSIVE = ("div", "exp", "expm1", "log", "log1p", "sqrt", "tanh", "sigmoid", "sin", "cos", "pow")
"""Operations whose result is rather kept than computed again."""


class Node:
    """An operation on ``args``; a leaf has no ``args`` but the ``name`` of what is read, or a number as text."""

    __slots__ = ("__weakref__", "args", "name", "op")

    def __init__(self, op: str, args: tuple[Node, ...] = (), name: str = "") -> None:
        self.op, self.args, self.name = op, args, name

    def __repr__(self) -> str:
        if self.op == "number":
            return self.name
        return f"{self.op}.{self.name}" if self.op in LEAVES else f"{self.op}({', '.join(map(repr, self.args))})"

    @property
    def is_condition(self) -> bool:
        """Whether it is true or false."""
        return self.op in CONDITIONS

    @property
    def value(self) -> float | None:
        """The number that it is, if it is one."""
        return float(self.name) if self.op == "number" else None


_nodes: WeakValueDictionary[tuple[str, tuple[Node, ...], str], Node] = WeakValueDictionary()


def node(op: str, *args: Node, name: str = "") -> Node:
    """The one node of this operation on these."""
    key = (op, args, name)
    found = _nodes.get(key)
    if found is None:
        found = _nodes[key] = Node(op, args, name)
    return found


def leaf(kind: str, name: str) -> Node:
    """Something that is read."""
    return node(kind, name=name)


def number(value: float) -> Node:
    """A constant."""
    return node("number", name=repr(float(value)))


ZERO, ONE, HALF = number(0), number(1), number(0.5)


def add(a: Node, b: Node) -> Node:
    """a + b"""
    if a is ZERO or b is ZERO:
        return a if b is ZERO else b
    if b.op == "neg":
        return sub(a, b.args[0])
    return _fold("add", a, b)


def sub(a: Node, b: Node) -> Node:
    """a - b"""
    if b is ZERO:
        return a
    if a is ZERO:
        return neg(b)
    return _fold("sub", a, b)


def mul(a: Node, b: Node) -> Node:
    """a * b"""
    if a is ONE or b is ONE:
        return a if b is ONE else b
    if a.op == "neg":
        return neg(mul(a.args[0], b))
    if b.op == "neg":
        return neg(mul(a, b.args[0]))
    return _fold("mul", a, b)


def div(a: Node, b: Node) -> Node:
    """a / b"""
    return a if b is ONE else _fold("div", a, b)


def neg(a: Node) -> Node:
    """-a"""
    if a.value is not None:
        return number(-a.value)
    return a.args[0] if a.op == "neg" else node("neg", a)


def select(condition: Node, a: Node, b: Node) -> Node:
    """a where the condition is true, b elsewhere."""
    return a if a is b else node("select", condition, a, b)


def power(a: Node, b: Node) -> Node:
    """a to the power of b: a few small ones are products."""
    exponent = b.value
    if exponent == 0.5:
        return node("sqrt", a)
    if exponent is None or not exponent.is_integer() or abs(exponent) > 4:
        return node("pow", a, b)
    product = ONE
    for _ in range(int(abs(exponent))):
        product = mul(product, a)
    return div(ONE, product) if exponent < 0 else product


def _fold(op: str, a: Node, b: Node) -> Node:
    """The operation on two numbers is a number."""
    x, y = a.value, b.value
    if x is None or y is None or (op == "div" and y == 0):
        return node(op, a, b)
    return number({"add": x + y, "sub": x - y, "mul": x * y, "div": x / y if y else math.nan}[op])


def in_order(outputs: Iterable[Node], stop: Iterable[Node] = ()) -> list[Node]:
    """All that the outputs are computed from, and themselves, each after what it reads; ``stop`` is not looked into."""
    known, order = set(stop), []
    seen: set[Node] = set()
    waiting: list[tuple[Node, Iterator[Node]]] = []
    for output in outputs:
        if output not in seen:
            seen.add(output)
            waiting.append((output, iter(() if output in known else output.args)))
        while waiting:
            current, args = waiting[-1]
            following = next((arg for arg in args if arg not in seen), None)
            if following is None:
                order.append(current)
                waiting.pop()
            else:
                seen.add(following)
                waiting.append((following, iter(() if following in known else following.args)))
    return order
