"""The derivative of a step, made from its expressions: reverse mode, one rule an operation.

The gradient of each node is the sum of what the operations that read it pass on; walking the graph from its outputs
back, every node's sum is complete before it is passed on itself. The result is again expressions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gru_scratch.engines.native.expressions import (
    HALF,
    ONE,
    ZERO,
    Node,
    add,
    div,
    in_order,
    leaf,
    mul,
    neg,
    node,
    power,
    select,
    sub,
)
from gru_scratch.engines.native.tracing import Equations


class Derivative(NamedTuple):
    """The gradients of what a step reads, from those of what it computes."""

    products: dict[str, Node]
    """Of each gate's product."""
    inputs: dict[str, Node]
    """Of each gate's input pre-activation; the same node as its product's where only their sum is read."""
    states: dict[str, Node]
    params: dict[str, Node]


def differentiate(equations: Equations) -> Derivative:
    """From the gradients of the new states and of the vectors that are multiplied to those of all that is read."""
    gradients: dict[Node, Node] = {}

    def pass_on(to: Node, gradient: Node) -> None:
        gradients[to] = add(gradients.get(to, ZERO), gradient)

    for name, value in equations.new.items():
        pass_on(value, leaf("gradient", name))
    for name, value in equations.vectors.items():
        pass_on(value, leaf("vector_gradient", name))
    order = in_order(gradients)
    differentiable = _differentiable(order)
    for y in reversed(order):
        if y in gradients and y in differentiable and y.args:
            for arg, gradient in zip(y.args, RULES[y.op](y, gradients[y]), strict=True):
                if arg in differentiable and gradient is not ZERO:
                    pass_on(arg, gradient)
    found: dict[str, dict[str, Node]] = {kind: {} for kind in ("product", "x", "state", "param")}
    for y in order:
        if y.op in found:
            found[y.op][y.name] = gradients.get(y, ZERO)
    return Derivative(found["product"], found["x"], found["state"], found["param"])


def _differentiable(order: list[Node]) -> set[Node]:
    """The nodes that depend smoothly on what has a gradient: on no mask, number or comparison alone."""
    found: set[Node] = set()
    for y in order:
        if y.op in ("product", "x", "state", "param") or (not y.is_condition and found.intersection(y.args)):
            found.add(y)
    return found


def _extremum(y: Node, d: Node) -> tuple[Node, ...]:
    """The larger or smaller of two gets the gradient; at a tie each gets half."""
    a, b = y.args
    a_wins, b_wins = (node("gt", a, b), node("lt", a, b)) if y.op == "max" else (node("lt", a, b), node("gt", a, b))
    half = mul(d, HALF)
    return select(a_wins, d, select(b_wins, ZERO, half)), select(b_wins, d, select(a_wins, ZERO, half))


def _pow(y: Node, d: Node) -> tuple[Node, ...]:
    a, b = y.args
    by_base = mul(d, mul(b, power(a, sub(b, ONE))))
    at_zero = node("and", node("eq", a, ZERO), node("ge", b, ZERO))  # where log a would make 0 * -inf
    return by_base, mul(d, select(at_zero, ZERO, mul(y, node("log", a))))


def _div(y: Node, d: Node) -> tuple[Node, ...]:
    share = div(d, y.args[1])
    return share, neg(mul(share, y))


def _clamp(y: Node, d: Node) -> tuple[Node, ...]:
    a, low, high = y.args
    inside = node("and", node("ge", a, low), node("le", a, high))
    return select(inside, d, ZERO), ZERO, ZERO


def _abs(y: Node, d: Node) -> tuple[Node, ...]:
    (a,) = y.args
    return (select(node("gt", a, ZERO), d, select(node("lt", a, ZERO), neg(d), ZERO)),)


RULES: dict[str, Callable[[Node, Node], tuple[Node, ...]]] = {
    "add": lambda y, d: (d, d),
    "sub": lambda y, d: (d, neg(d)),
    "mul": lambda y, d: (mul(d, y.args[1]), mul(d, y.args[0])),
    "div": _div,
    "neg": lambda y, d: (neg(d),),
    "exp": lambda y, d: (mul(d, y),),
    "expm1": lambda y, d: (mul(d, add(y, ONE)),),
    "log": lambda y, d: (div(d, y.args[0]),),
    "log1p": lambda y, d: (div(d, add(ONE, y.args[0])),),
    "sqrt": lambda y, d: (div(mul(d, HALF), y),),
    "abs": _abs,
    "tanh": lambda y, d: (mul(d, sub(ONE, mul(y, y))),),
    "sigmoid": lambda y, d: (mul(d, mul(y, sub(ONE, y))),),
    "sin": lambda y, d: (mul(d, node("cos", y.args[0])),),
    "cos": lambda y, d: (neg(mul(d, node("sin", y.args[0]))),),
    "pow": _pow,
    "max": _extremum,
    "min": _extremum,
    "relu": lambda y, d: (select(node("gt", y, ZERO), d, ZERO),),
    "clamp": _clamp,
    "select": lambda y, d: (ZERO, select(y.args[0], d, ZERO), select(y.args[0], ZERO, d)),
}
"""From an operation's result and its gradient to the gradients of what it read."""
