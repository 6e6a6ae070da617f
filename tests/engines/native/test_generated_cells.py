"""Cells drawn at random: equations that nobody thought of, held to autograd."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_exam import Problem
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells import Cell, Param

# Each keeps numbers of a moderate size moderate: what rounding does to huge ones says nothing of an engine.
UNARY: tuple[Callable[[Any], Any], ...] = (
    torch.tanh,
    torch.sigmoid,
    torch.sin,
    torch.cos,
    torch.relu,
    F.silu,
    F.softplus,
    F.elu,
    F.logsigmoid,
    lambda a: F.leaky_relu(a, 0.2),
    lambda a: F.gelu(a, approximate="tanh"),
    torch.abs,
    torch.neg,
    lambda a: torch.exp(-a * a),
    lambda a: torch.log(1 + a.square()),
    lambda a: torch.log1p(a * a),
    lambda a: torch.sqrt(1 + a * a) - 1,
    lambda a: a * torch.rsqrt(1 + a * a),
    lambda a: torch.sin(a) ** 3,
    lambda a: (1 + a * a) ** -1.5,
    lambda a: 0.5 ** a.abs(),
    lambda a: 1 / (1.5 + torch.cos(a)),
    lambda a: a.clamp(-1, 0.5),
    lambda a: a.clamp(min=-0.25),
    lambda a: 1 - a,
    lambda a: 0.3 * a - 2,
    lambda a: a + torch.sign(a),
)
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (1 + b * b),
    lambda a, b: (1.5 + torch.cos(a)) ** torch.sin(b),
    torch.maximum,
    torch.minimum,
    lambda a, b: torch.where(a > b, a, b * 0.5),
    lambda a, b: torch.where((a <= b) | (b < 0), -0.5, b),
    lambda a, b: torch.where(~(a >= 0) & (b != 0), a, 1.0),
    lambda a, b: (a < b) * a,
    lambda a, b: torch.lerp(a, b, torch.sigmoid(a)),
    lambda a, b: torch.addcmul(a, b, torch.tanh(a), value=0.5),
)


class One(NamedTuple):
    y: Tensor


class Two(NamedTuple):
    y: Tensor
    u: Tensor


Expression: TypeAlias = "int | tuple[int, Expression] | tuple[int, Expression, Expression]"
"""One of the values that there are so far, by its number; or an operation, by its own, on expressions."""


class Recipe(NamedTuple):
    """The equations of a cell."""

    states: int
    """One or two."""
    mask: int
    """What its mask has one number for: 0, each step, row and unit; 1, each row and unit; 2, each step and unit."""
    gates: tuple[tuple[int, Expression, Expression], ...]
    """Of each gate with a product the vector: a number that is a state's or that of an earlier gate's vector, or is too
    large for either, and then the expression; and a further value."""
    new: tuple[Expression, ...]
    """The new states."""


class Drawn(Cell):
    """Equations by a recipe: one or two states, computed vectors, parameters, a mask, gates without products."""

    gates = ("a", "b", "c", "d")
    params = {"p": Param(), "q": Param((1,)), "r": Param(())}
    masks = ("m",)

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    @property
    def states(self) -> Any:  # type: ignore[override]
        return (One, Two)[self.recipe.states - 1]

    def draw_masks(self, shape: tuple[int, int, int], training: bool, like: Tensor) -> dict[str, Tensor]:
        steps, batch, units = shape
        drawn = ((steps, batch, units), (1, batch, units), (steps, 1, units))[self.recipe.mask]
        return {"m": torch.bernoulli(torch.full(drawn, 0.5)).to(like.dtype).expand(shape)}

    def step(self, x: Any, W: Any, state: Any, p: Any, q: Any, r: Any, m: Any) -> Any:
        values, vectors = [*state, p, q, r, m, *x], [*state]

        def value(of: Expression) -> Any:
            if isinstance(of, int):
                return values[of]
            operation, *operands = of
            operations: Any = UNARY if len(operands) == 1 else BINARY
            return operations[operation](*map(value, operands))

        for gate, (known, computed, further) in zip(self.gates, self.recipe.gates, strict=False):
            if known >= len(vectors):
                known = len(vectors)
                vectors.append(torch.tanh(value(computed) + state[0]))
            product = getattr(W, gate)(vectors[known])
            values += [product, getattr(x, gate) + product, value(further)]
        new = [torch.tanh(value(each) + values[-1]) for each in self.recipe.new]
        return self.states(*(each - 0.5 * old for each, old in zip(new, state, strict=True))), {"last": values[-1]}


def expression(draw: random.Random, values: int, depth: int) -> Expression:
    if depth == 0:
        return draw.randrange(values)
    if draw.random() < 0.5:
        return draw.randrange(len(UNARY)), expression(draw, values, depth - 1)
    left, right = expression(draw, values, depth - 1), expression(draw, values, depth - 1)
    return draw.randrange(len(BINARY)), left, right


@st.composite
def problems(draw_from: st.DrawFn) -> Problem:
    """A cell, and a layer of it."""
    draw = draw_from(st.randoms(use_true_random=False))
    states = draw.randint(1, 2)
    gates, values = [], states + 4 + len(Drawn.gates)
    for _ in range(draw.randint(1, 4)):
        gates.append((draw.randrange(6), expression(draw, values, 2), expression(draw, values, 2)))
        values += 3
    recipe = Recipe(states, draw.randrange(3), tuple(gates), tuple(expression(draw, values, 4) for _ in range(states)))
    lengths = draw_from(st.none() | st.just([3, 3, 2, 1, 1]))
    tokens, every, resets = (draw_from(st.booleans()) for _ in range(3))
    return Problem(Drawn(recipe), 3, 5, 6, tokens, lengths, every=every, resets=resets)


@settings(max_examples=8)
@given(problems())
def test_equations_drawn_at_random(problem: Problem) -> None:
    problem.check()


@pytest.mark.exhaustive
@settings(max_examples=150)
@given(problems())
def test_many_equations_drawn_at_random(problem: Problem) -> None:
    problem.check()
