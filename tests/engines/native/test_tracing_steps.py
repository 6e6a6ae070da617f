"""A step traced into expressions: each operation and its derivative, and what is refused, by name."""

from __future__ import annotations

import operator
import random
from collections import namedtuple
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from native_exam import Problem
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells import Cell, GRUEquations, Param, make_cell
from gru_scratch.engines.choice import native_refusal
from gru_scratch.engines.native.expressions import ONE, ZERO, Node, add, div, leaf, mul, neg, number, sub
from gru_scratch.engines.native.source import native_source
from gru_scratch.engines.native.tracing import NotElementwiseError, trace

Step = Callable[..., Any]


class H(NamedTuple):
    h: Tensor


class OneLine(Cell):
    """h' is a function of x, W h and the state, given by its name in a table."""

    gates = ("a",)
    states = H

    def __init__(self, function: Step) -> None:
        self.function = function

    def step(self, x: Any, W: Any, state: Any) -> Any:
        return H(self.function(x.a, W.a(state.h), state.h)), {}


class ManyLines(Cell):
    """Many functions at once, a state each, so that one compilation tests them all."""

    gates = ("a", "b")

    def __init__(self, functions: tuple[Step, ...]) -> None:
        self.functions = functions

    @property
    def states(self) -> Any:  # type: ignore[override]
        return MANY

    def step(self, x: Any, W: Any, state: Any) -> Any:
        a, b = x.a + W.a(state[0]), W.b(state[0]) * x.b
        return self.states(*(torch.sin(f(a, b, s)) for f, s in zip(self.functions, state, strict=True))), {}


FUNCTIONS: tuple[Step, ...] = (
    lambda a, b, s: torch.sin(a) * torch.cos(b) + s / (1 + b * b) - (-s) ** 3,
    lambda a, b, s: torch.exp(-a.abs()) + torch.log(1 + b.square()) + torch.sqrt(1 + s * s) + torch.log1p(b * b),
    lambda a, b, s: torch.relu(a) + F.leaky_relu(b, 0.2) + F.elu(s, 1.5) + F.elu(900 + a),
    lambda a, b, s: F.softplus(a) + F.softplus(b, beta=2, threshold=1) + F.logsigmoid(s) + F.softplus(900 + s),
    lambda a, b, s: F.silu(a) + F.gelu(b, approximate="tanh") + torch.sigmoid(s) + torch.tanh(a * s),
    lambda a, b, s: torch.maximum(a, b) + torch.minimum(b, s) + a.clamp(-0.3, 0.4) + b.clamp(min=0) + torch.sign(s),
    lambda a, b, s: torch.where(a > b, a * s, b) + torch.where((a < 0) & ~(s >= b), 2.0, s),
    lambda a, b, s: torch.lerp(a, b, torch.sigmoid(s)) + torch.addcmul(s, a, b, value=0.5),
    lambda a, b, s: (a > 0) * s + (b != 0).to(s.sigmoid() > 0) + s.masked_fill(s < b, 0.25),
    lambda a, b, s: torch.rsqrt(1 + a * a) + (2 + torch.sin(b)) ** s + (1 + s * s) ** 1.5 + torch.pow(a, 2),
    lambda a, b, s: 3 - a + 1 / (2 + s * s) + torch.sub(a, b, alpha=2) + torch.ones_like(s) - 2.5**b,
    lambda a, b, s: torch.expm1(a) + torch.addcdiv(s, a, 2 + b * b) + b.reciprocal() * b * b + torch.neg(s),
    lambda a, b, s: (-a) * (-b) - (-s) * b + torch.square(-s) / (-2 - b * b) - a * -s,
)
MANY = namedtuple("Many", [f"s{i}" for i in range(len(FUNCTIONS))])


def test_operations_and_their_derivatives() -> None:
    Problem(ManyLines(FUNCTIONS)).check()


READ = {leaf("x", "a"): 0.7, leaf("x", "b"): -1.3}
OPERANDS = (*READ, *map(neg, READ), ZERO, ONE, number(-1), number(2.5))
PLAIN: dict[str, Step] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
}


def value_of(expression: Node) -> float:
    if expression in READ:
        return READ[expression]
    return PLAIN[expression.op](*map(value_of, expression.args)) if expression.args else float(expression.name)


@pytest.mark.parametrize("make", [add, sub, mul, div], ids=lambda make: make.__name__)
def test_a_simplified_expression_has_the_same_value(make: Callable[[Node, Node], Node]) -> None:
    for a, b in product(OPERANDS, repeat=2):
        if b is ZERO and make is div:
            continue
        expected = PLAIN[make.__name__](value_of(a), value_of(b))
        assert value_of(make(a, b)) == pytest.approx(expected), (a, b)
        assert value_of(neg(make(a, b))) == pytest.approx(-expected), (a, b)


def test_a_parameter_may_be_one_number() -> None:
    class Scaled(GRUEquations):
        params = {"scale": Param((1,), 2.0), "offset": Param(())}

        def step(self, x: Any, W: Any, state: Any, **params: Tensor) -> Any:
            new, gates = super().step(x, W, state)
            return type(new)(new.h * params["scale"] + params["offset"]), gates

    Problem(Scaled(), hidden_size=9).check()


REFUSED: dict[str, Step] = {
    "branches on values": lambda a, b, h: a if (a > 0).__bool__() else b,
    r"uses item, which": lambda a, b, h: a * h.item(),
    r"uses sum, which": lambda a, b, h: a + h.sum(-1, keepdim=True),
    r"uses mean, which": lambda a, b, h: a - torch.mean(h),
    r"uses softmax, which": lambda a, b, h: torch.softmax(a, -1),
    r"uses layer_norm, which": lambda a, b, h: F.layer_norm(a, (1,)),
    r"uses cumsum, which": lambda a, b, h: a.cumsum(-1),
    r"uses erf, which": lambda a, b, h: torch.erf(a),
    r"uses shape, which": lambda a, b, h: a * h.shape[-1],
    r"calls gelu in a form that has no expression": lambda a, b, h: F.gelu(a),
    r"calls clamp in a form": lambda a, b, h: torch.clamp(a, b, h),
    "takes parts of a tensor by index": lambda a, b, h: a + h[:, :1],
    r"changes a tensor in place \(add_\)": lambda a, b, h: a.add_(b),
    r"changes a tensor in place \(__imul__\)": lambda a, b, h: in_place(a, b),
    r"calls rand on tensors of its own": lambda a, b, h: a + torch.rand(1),
    r"calls tensor on tensors of its own": lambda a, b, h: a * torch.tensor(2.0).item(),
    r"reads a tensor of its own \(in mul\)": lambda a, b, h: a * CONSTANT,
    r"reads a tensor of its own": lambda a, b, h: CONSTANT + a,
    "other equations each time": lambda a, b, h: a * random.random(),
    "uses rand_like, which": lambda a, b, h: a * torch.rand_like(h),
    "gives a float for the state h": lambda a, b, h: 0.5,
}
CONSTANT = torch.tensor(3.0)


def in_place(a: Any, b: Any) -> Any:
    a *= b
    return a


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_elementwise_is_refused_by_name(message: str) -> None:
    cell = OneLine(REFUSED[message])
    vars(cell)["_recurrence"] = GRUEquations().recurrence._replace(
        products=(GRUEquations().recurrence.products[0]._replace(gates=("a",)),), gates=("a",)
    )
    with pytest.raises(NotElementwiseError, match=message):
        trace(cell)


def test_a_refusal_is_a_sentence_about_the_cell() -> None:
    problem = Problem(OneLine(REFUSED["uses cumsum, which"]))
    reason = native_refusal(problem.cell, problem.dtype, "cpu", projected=False)
    assert reason is not None
    assert reason.startswith("the step of OneLine uses cumsum")


def test_the_source_shows_the_equations() -> None:
    source = native_source(make_cell(GRUEquations()))
    for line in ("r = sigmoid(x_r + W_r)", "n = tanh(x_n + r * W_n)", "h_new = z * h + (1 - z) * n"):
        assert f"/* {line} */" in source
    assert "const vec n = v_tanh(X(2) + r * W_n);" in source
