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
    RecurrentWeights,
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


class LSTMByAutograd(LSTMEquations):
    derivative = None


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

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        i, f = torch.sigmoid(x.i + W.i(state.h)), torch.sigmoid(x.f + W.f(state.h))
        c = f * state.c + i * torch.tanh(x.z * (1 + W.z(state.h)))
        m = f * state.m * state.m + i
        return ThreeStates(c / (m + 1), c, m), {"i": i, "f": f}


class LayerNormMGU(Cell):
    """A computed vector and a parameter in a cell that is not elementwise."""

    gates = ("f", "n")
    states = OneState
    elementwise = False
    params = {"gain": Param(initial=1.0)}

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        f = torch.sigmoid(F.layer_norm(x.f + W.f(state.h), params["gain"].shape, params["gain"]))
        n = torch.tanh(F.layer_norm(x.n + W.n(f * state.h), params["gain"].shape, params["gain"]))
        return OneState((1 - f) * state.h + f * n), {"f": f}


class WeightedMGU(Cell):
    """Parameters on both sides of the product of a computed vector, in an elementwise cell."""

    gates = ("f", "n")
    states = OneState
    params = {"p": Param(), "q": Param(initial=1.0)}

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        f = torch.sigmoid(x.f + W.f(state.h) + params["p"] * state.h)
        n = torch.tanh(x.n + params["q"] * W.n(params["q"] * f * state.h))
        return OneState((1 - f) * state.h + f * n), {"f": f}


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

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        z = torch.sigmoid(x.z + W.z(state.h))
        return TwoStates(torch.tanh(params["p"] * z + state.h / state.m), state.m + z), {"z": z}


class AverageProduct(Cell):
    """The same in a vector that is multiplied."""

    gates = ("z", "n")
    states = TwoStates
    initial_state = Average.initial_state

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        z = torch.sigmoid(x.z + W.z(state.h))
        return TwoStates(torch.tanh(x.n + W.n(z * state.h / state.m)), state.m + z), {"z": z}


class OnlyAComputedVector(Cell):
    """No product of the state itself."""

    gates = ("n",)
    states = OneState

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        return OneState(torch.tanh(x.n + W.n(torch.sin(state.h))) + 0.5 * state.h), {}


class OneSlope(Cell):
    """A derivative that gives out what it has written for the engine, for other inputs and outputs too."""

    gates = ("a",)
    states = LSTMEquations.states

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        y = torch.tanh(x.a + W.a(state.h) + state.c)
        return LSTMEquations.states(y, y + 0.5 * state.c), {"y": y}

    def derivative(
        self, x: PreActivations, product: PreActivations, gates: Gates, state: State, new: State, out: Gates
    ) -> Coefficients:
        slope = through_tanh(torch.ones_like(gates["y"]), gates["y"], out["a"])
        return {"h": {"a": slope, "c": slope}, "c": {"a": slope, "c": slope + 0.5}}


class Tower(Cell):
    """Three states, each computed from the ones after it, and the first from both."""

    gates = ("a", "b")
    states = ThreeStates

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        m = torch.tanh(x.a + W.a(state.h) + state.m)
        c = torch.sin(m + state.c) * torch.sigmoid(x.b + W.b(state.h))
        return ThreeStates(torch.tanh(c * m) + state.h, c, m), {}


class Passes(Cell):
    """One state stays what it is, and two are the same tensor."""

    gates = ("a",)
    states = ThreeStates

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        y = torch.tanh(x.a + W.a(state.h) + state.c * state.m)
        return ThreeStates(y, y, state.m), {}


class Constant(Cell):
    """A state that depends on nothing, and a gate that only x has."""

    gates = ("a", "b")
    states = LSTMEquations.states

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        return LSTMEquations.states(torch.tanh(x.a + W.a(state.h)) * x.b + state.c, torch.ones_like(state.c)), {}


class ManyProducts(Cell):
    """Two states that are both multiplied, two computed vectors, one of them a new state, gates in no product's order,
    and a gate that reads the input alone."""

    gates = ("a", "b", "u", "v", "q")
    states = TwoStates

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        h, m = state
        a, q = torch.sigmoid(x.a + W.a(m)), torch.tanh(x.q)
        b = torch.tanh(2 * x.b + W.b(a * h) + W.u(h) * x.u)
        m_new = a * m + (1 - a) * b
        return TwoStates(torch.tanh(W.v(m_new) + x.v) * q + b, m_new), {"a": a, "b": b, "q": q}


class OneVectorTwoGates(Cell):
    """A computed vector that two gates multiply, and a mixing of their order."""

    gates = ("n", "f", "k")
    states = OneState

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        f = torch.sigmoid(x.f + W.f(state.h))
        v = f * state.h
        n, k = torch.tanh(x.n + W.n(v)), torch.sigmoid(x.k + W.k(v))
        return OneState((1 - k) * state.h + k * n), {"f": f, "n": n, "k": k}


class OldAndNew(Cell):
    """A new state is multiplied, and the old one read after it."""

    gates = ("a", "b")
    states = TwoStates

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        m = torch.tanh(x.a + W.a(state.h))
        return TwoStates(torch.tanh(x.b + W.b(m) - state.m), m), {}


class Chain(Cell):
    """Vectors computed one from another and each from the state, too: backward, every pass adds to its gradient."""

    gates = ("a", "b", "c")
    states = OneState

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        first = torch.tanh(state.h)
        second = torch.tanh(x.a + W.a(first)) + state.h
        third = torch.tanh(x.b + W.b(second)) + state.h
        return OneState(torch.tanh(x.c + W.c(third)) - state.h), {}


class InputAlone(Cell):
    """No gate multiplies the state: the layer has no recurrent weights."""

    gates = ("z", "n")
    states = OneState

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        z = torch.sigmoid(x.z)
        return OneState((1 - z) * state.h + z * x.n), {"z": z}


class LayerNormManyProducts(ManyProducts):
    """The same in a cell that is not elementwise."""

    elementwise = False

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        new, gates = super().step(x, W, state)
        return TwoStates(F.layer_norm(new.h, new.h.shape[-1:]), new.m), gates


CELLS: list[Cell] = [
    MGUEquations(),
    CIFGEquations(),
    PeepholeLSTMEquations(),
    LayerNormGRUEquations(),
    LayerNormLSTMEquations(eps=1e-3),
    Stabilised(),
    LayerNormMGU(),
    WeightedMGU(),
    OnlyAComputedVector(),
    OneSlope(),
    Tower(),
    Passes(),
    Constant(),
    ManyProducts(),
    OneVectorTwoGates(),
    OldAndNew(),
    Chain(),
    InputAlone(),
    LayerNormManyProducts(),
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
