"""Cells as a user might write them, each for something that an engine must get right; and all cells that tests run."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells import (
    Cell,
    CIFGEquations,
    Coefficients,
    Gates,
    GRUEquations,
    LayerNormGRUEquations,
    LayerNormLSTMEquations,
    LSTMEquations,
    MGUEquations,
    Param,
    PeepholeLSTMEquations,
    PreActivations,
    RNNEquations,
    State,
    Zoneout,
)
from gru_scratch.cells.base import through_tanh


class MGUByAutograd(MGUEquations):
    """Without its derivative by hand: as a user would write it."""

    derivative = None


class GRUByAutograd(GRUEquations):
    derivative = None
    in_place = None


class LSTMByAutograd(LSTMEquations):
    derivative = None
    in_place = None


class OneState(NamedTuple):
    h: Tensor


class ThreeStates(NamedTuple):
    h: Tensor
    c: Tensor
    m: Tensor


class Stabilised(Cell):
    """Three states, a gate whose input and recurrent parts act differently, and an h computed from two other states."""

    gates = ("i", "f", "z")
    states = ThreeStates

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        i, f = torch.sigmoid(x.i + h.i), torch.sigmoid(x.f + h.f)
        c = f * state.c + i * torch.tanh(x.z * (1 + h.z))
        m = f * state.m * state.m + i
        return ThreeStates(c / (m + 1), c, m), {"i": i, "f": f}


class LayerNormMGU(Cell):
    """A second product and a parameter in a cell that is not elementwise."""

    gates = ("f", "n")
    states = OneState
    second_product = "n"
    elementwise = False
    params = {"gain": Param(initial=1.0)}

    def before(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[Tensor, Gates]:
        f = torch.sigmoid(F.layer_norm(x.f + h.f, params["gain"].shape, params["gain"]))
        return f * state.h, {"f": f}

    def after(
        self, x: PreActivations, h: PreActivations, state: State, gates: Gates, product: Tensor, **params: Tensor
    ) -> tuple[State, Gates]:
        n = torch.tanh(F.layer_norm(x.n + product, params["gain"].shape, params["gain"]))
        return OneState((1 - gates["f"]) * state.h + gates["f"] * n), gates


class WeightedMGU(Cell):
    """A second product and parameters on both sides of it, in an elementwise cell."""

    gates = ("f", "n")
    states = OneState
    second_product = "n"
    params = {"p": Param(), "q": Param(initial=1.0)}

    def before(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[Tensor, Gates]:
        f = torch.sigmoid(x.f + h.f + params["p"] * state.h)
        return params["q"] * f * state.h, {"f": f}

    def after(
        self, x: PreActivations, h: PreActivations, state: State, gates: Gates, product: Tensor, **params: Tensor
    ) -> tuple[State, Gates]:
        n = torch.tanh(x.n + params["q"] * product)
        return OneState((1 - gates["f"]) * state.h + gates["f"] * n), gates


class TwoStates(NamedTuple):
    h: Tensor
    m: Tensor


class Average(Cell):
    """It starts from m = 1 and divides by it: by 0 where a sequence has ended."""

    gates = ("z",)
    states = TwoStates
    params = {"p": Param(initial=1.0)}

    def initial_state(self, *sizes: int, **options: Any) -> TwoStates:
        h, m = Cell.initial_state(self, *sizes, **options)
        return TwoStates(h, m + 1)

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        z = torch.sigmoid(x.z + h.z)
        return TwoStates(torch.tanh(params["p"] * z + state.h / state.m), state.m + z), {"z": z}


class AverageProduct(Cell):
    """The same in what a second product multiplies."""

    gates = ("z", "n")
    states = TwoStates
    second_product = "n"
    initial_state = Average.initial_state

    def before(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[Tensor, Gates]:
        z = torch.sigmoid(x.z + h.z)
        return z * state.h / state.m, {"z": z}

    def after(
        self, x: PreActivations, h: PreActivations, state: State, gates: Gates, product: Tensor, **params: Tensor
    ) -> tuple[State, Gates]:
        return TwoStates(torch.tanh(x.n + product), state.m + gates["z"]), gates


class OnlySecondProduct(Cell):
    """No product of the state itself."""

    gates = ("n",)
    states = OneState
    second_product = "n"

    def before(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[Tensor, Gates]:
        return torch.sin(state.h), {}

    def after(
        self, x: PreActivations, h: PreActivations, state: State, gates: Gates, product: Tensor, **params: Tensor
    ) -> tuple[State, Gates]:
        return OneState(torch.tanh(x.n + product) + 0.5 * state.h), {}


class OneSlope(Cell):
    """A derivative that gives out what it has written for the engine, for other inputs and outputs too."""

    gates = ("a",)
    states = LSTMEquations.states

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        y = torch.tanh(x.a + h.a + state.c)
        return LSTMEquations.states(y, y + 0.5 * state.c), {"y": y}

    def derivative(self, gates: Gates, state: State, new: State, out: Gates) -> Coefficients:
        slope = through_tanh(torch.ones_like(gates["y"]), gates["y"], out["a"])
        return {"h": {"a": slope, "c": slope}, "c": {"a": slope, "c": slope + 0.5}}


class Tower(Cell):
    """Three states, each computed from the ones after it, and the first from both."""

    gates = ("a", "b")
    states = ThreeStates

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        m = torch.tanh(x.a + h.a + state.m)
        c = torch.sin(m + state.c) * torch.sigmoid(x.b + h.b)
        return ThreeStates(torch.tanh(c * m) + state.h, c, m), {}


class Passes(Cell):
    """One state stays what it is, and two are the same tensor."""

    gates = ("a",)
    states = ThreeStates

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        y = torch.tanh(x.a + h.a + state.c * state.m)
        return ThreeStates(y, y, state.m), {}


class Constant(Cell):
    """A state that depends on nothing, and a gate that only x has."""

    gates = ("a", "b")
    states = LSTMEquations.states

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        return LSTMEquations.states(torch.tanh(x.a + h.a) * x.b + state.c, torch.ones_like(state.c)), {}


CELLS: list[Cell] = [
    MGUEquations(),
    CIFGEquations(),
    PeepholeLSTMEquations(),
    LayerNormGRUEquations(),
    LayerNormLSTMEquations(eps=1e-3),
    Stabilised(),
    LayerNormMGU(),
    WeightedMGU(),
    OnlySecondProduct(),
    OneSlope(),
    Tower(),
    Passes(),
    Constant(),
    MGUByAutograd(),
    GRUByAutograd(True),
    GRUByAutograd(False),
    LSTMByAutograd(),
]
ZONED: list[Cell] = [
    Zoneout(MGUEquations(), 0.3),
    Zoneout(GRUEquations(), 0.3),
    Zoneout(GRUEquations(False), 0.3),
    Zoneout(RNNEquations("relu"), 0.3),
    Zoneout(LSTMEquations(), (0.1, 0.5)),
    Zoneout(LSTMEquations(), (0.0, 0.5)),
    Zoneout(PeepholeLSTMEquations(), (0.1, 0.5)),
    Zoneout(LayerNormLSTMEquations(), (0.0, 0.5)),
    Zoneout(LayerNormMGU(), 0.2),
    Zoneout(WeightedMGU(), 0.2),
]
