"""PyTorch's elementwise operations, by name, in terms of a few that have code and a derivative.

Each takes nodes for tensors and numbers, in the order and under the names of PyTorch's own arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gru_scratch.engines.native.expressions import (
    HALF,
    ONE,
    ZERO,
    Node,
    add,
    div,
    mul,
    neg,
    node,
    number,
    power,
    select,
    sub,
)

SLOPE, THRESHOLD = number(0.01), number(20)
"""PyTorch's own defaults, of leaky_relu and softplus."""


def _value(a: Node) -> Node:
    """A condition in arithmetic is 1 or 0."""
    return select(a, ONE, ZERO) if a.is_condition else a


def _unary(op: str) -> Callable[[Node], Node]:
    return lambda input: node(op, _value(input))


def _compare(op: str) -> Callable[[Node, Node], Node]:
    return lambda input, other: node(op, _value(input), _value(other))


def _logical(op: str) -> Callable[..., Node]:
    def combine(*args: Node) -> Node:
        if not all(arg.is_condition for arg in args):
            raise NotImplementedError("expected comparisons")
        return node(op, *args)

    return combine


def _add(input: Node, other: Node, alpha: Node = ONE) -> Node:
    return add(_value(input), mul(alpha, _value(other)))


def _sub(input: Node, other: Node, alpha: Node = ONE) -> Node:
    return sub(_value(input), mul(alpha, _value(other)))


def _mul(input: Node, other: Node) -> Node:
    return mul(_value(input), _value(other))


def _div(input: Node, other: Node, rounding_mode: None = None) -> Node:
    if rounding_mode is not None:
        raise NotImplementedError(f"rounding_mode={rounding_mode!r}")
    return div(_value(input), _value(other))


def _rsub(input: Node, other: Node, alpha: Node = ONE) -> Node:
    return _sub(other, input, alpha)


def _same(input: Node, **options: Any) -> Node:
    return input


def _as_number(input: Node, *_: Any, **options: Any) -> Node:
    if not input.is_condition:
        raise NotImplementedError("only a comparison can change its dtype")
    return _value(input)


def _where(condition: Node, input: Node, other: Node) -> Node:
    if not condition.is_condition:
        raise NotImplementedError("expected a comparison")
    return select(condition, _value(input), _value(other))


def _clamp(input: Node, min: Node | None = None, max: Node | None = None) -> Node:
    for bound in (min, max):
        if bound is not None and bound.value is None:
            raise NotImplementedError("expected numbers as bounds")
    return node("clamp", input, number(-math.inf) if min is None else min, number(math.inf) if max is None else max)


def _relu(input: Node, inplace: bool = False) -> Node:
    _refuse_inplace(inplace)
    return node("relu", input)


def _leaky_relu(input: Node, negative_slope: Node = SLOPE, inplace: bool = False) -> Node:
    _refuse_inplace(inplace)
    return select(node("gt", input, ZERO), input, mul(negative_slope, input))


def _elu(input: Node, alpha: Node = ONE, inplace: bool = False) -> Node:
    _refuse_inplace(inplace)
    above = node("gt", input, ZERO)
    below = select(above, ZERO, input)  # so that nothing overflows where the other side is taken
    return select(above, input, mul(alpha, node("expm1", below)))


def _softplus(input: Node, beta: Node = ONE, threshold: Node = THRESHOLD) -> Node:
    scaled = mul(beta, input)
    straight = node("gt", scaled, threshold)
    return select(straight, input, div(node("log1p", node("exp", select(straight, ZERO, scaled))), beta))


def _logsigmoid(input: Node) -> Node:
    return sub(node("min", input, ZERO), node("log1p", node("exp", neg(node("abs", input)))))


def _silu(input: Node, inplace: bool = False) -> Node:
    _refuse_inplace(inplace)
    return mul(input, node("sigmoid", input))


def _gelu(input: Node, approximate: str = "none") -> Node:
    if approximate != "tanh":
        raise NotImplementedError(f"approximate={approximate!r}: expected 'tanh'")
    cube = mul(mul(input, input), input)
    inner = mul(number(math.sqrt(2 / math.pi)), add(input, mul(number(0.044715), cube)))
    return mul(mul(HALF, input), add(ONE, node("tanh", inner)))


def _lerp(input: Node, end: Node, weight: Node) -> Node:
    return add(input, mul(weight, sub(end, input)))


def _addcmul(input: Node, tensor1: Node, tensor2: Node, value: Node = ONE) -> Node:
    return add(input, mul(mul(value, tensor1), tensor2))


def _addcdiv(input: Node, tensor1: Node, tensor2: Node, value: Node = ONE) -> Node:
    return add(input, div(mul(value, tensor1), tensor2))


def _sign(input: Node) -> Node:
    return select(node("gt", input, ZERO), ONE, select(node("lt", input, ZERO), number(-1), ZERO))


def _refuse_inplace(inplace: bool) -> None:
    if inplace:
        raise NotImplementedError("inplace=True")


OPERATIONS: dict[str, Callable[..., Node]] = {
    **{name: _unary(name) for name in ("exp", "log", "expm1", "log1p", "sqrt", "abs", "tanh", "sigmoid", "sin", "cos")},
    **{name: _compare(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    "add": _add,
    "sub": _sub,
    "subtract": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "multiply": _mul,
    "div": _div,
    "divide": _div,
    "truediv": _div,
    "true_divide": _div,
    "pow": power,
    "neg": neg,
    "negative": neg,
    "pos": _same,
    "positive": _same,
    "clone": _same,
    "contiguous": _same,
    "absolute": _unary("abs"),
    "square": lambda input: mul(input, input),
    "reciprocal": lambda input: div(ONE, input),
    "rsqrt": lambda input: div(ONE, node("sqrt", input)),
    "expit": _unary("sigmoid"),
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": _softplus,
    "logsigmoid": _logsigmoid,
    "log_sigmoid": _logsigmoid,
    "silu": _silu,
    "gelu": _gelu,
    "sign": _sign,
    "maximum": _compare("max"),
    "minimum": _compare("min"),
    "clamp": _clamp,
    "clip": _clamp,
    "lerp": _lerp,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "where": _where,
    "masked_fill": lambda input, mask, value: _where(mask, value, input),
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
    "logical_not": _logical("not"),
    "and": _logical("and"),
    "or": _logical("or"),
    "invert": _logical("not"),
    "float": _as_number,
    "double": _as_number,
    "to": _as_number,
    "type_as": _as_number,
    "zeros_like": lambda input: ZERO,
    "ones_like": lambda input: ONE,
}
"""From PyTorch's name of an operation, a method's or a Python operator's to the node of its result."""
