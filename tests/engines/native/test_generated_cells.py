"""Cells drawn at random: equations that nobody thought of, held to autograd."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from native_exam import Problem
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells import Cell, Param

UNARY: tuple[Callable[[Any], Any], ...] = (
    torch.tanh,
    torch.sigmoid,
    torch.sin,
    torch.cos,
    torch.relu,
    F.silu,
    F.softplus,
    F.elu,
    torch.abs,
    lambda a: torch.exp(-a * a),
    lambda a: torch.log1p(a * a),
    lambda a: 1 / (1.5 + torch.cos(a)),
    lambda a: a.clamp(-1, 0.5),
    lambda a: 1 - a,
)
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (1 + b * b),
    torch.maximum,
    torch.minimum,
    lambda a, b: torch.where(a > b, a, b * 0.5),
    lambda a, b: torch.lerp(a, b, torch.sigmoid(a)),
)


class One(NamedTuple):
    y: Tensor


class Two(NamedTuple):
    y: Tensor
    u: Tensor


class Drawn(Cell):
    """Equations drawn by a seed: one or two states, computed vectors, parameters, gates without products."""

    gates = ("a", "b", "c", "d")
    params = {"p": Param(), "q": Param((1,))}

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @property
    def states(self) -> Any:  # type: ignore[override]
        return (One, Two)[self.seed % 2]

    def step(self, x: Any, W: Any, state: Any, p: Any, q: Any) -> Any:
        draw = random.Random(self.seed)
        values = [*state, p, q, *x]

        def expression(depth: int) -> Any:
            if depth == 0:
                return draw.choice(values)
            if draw.random() < 0.5:
                return draw.choice(UNARY)(expression(depth - 1))
            return draw.choice(BINARY)(expression(depth - 1), expression(depth - 1))

        for gate in self.gates[: draw.randint(1, 4)]:
            multiply = getattr(W, gate)
            vector = draw.choice(state) if draw.random() < 0.5 else torch.tanh(expression(2))
            product = multiply(vector)
            values += [product, draw.choice(list(x)) + product, expression(2)]
        return self.states(*(torch.tanh(expression(4) + values[-1]) for _ in state)), {"last": values[-1]}


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(2, 8))])
def test_equations_drawn_at_random(seed: int) -> None:
    Problem(Drawn(seed), steps=3, batch=5, hidden_size=6).check()
