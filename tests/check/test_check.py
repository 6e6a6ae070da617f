"""check_cell: right cells pass, and each kind of wrong cell is told what is wrong with it."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import pytest
import torch
from support.sample_cells import CELLS, ZONED, OneState
from torch import Tensor

from gru_scratch.cells import Cell, GRUEquations, LSTMEquations, MGUEquations, Param, RNNEquations, Zoneout
from gru_scratch.check import check_cell

SHIPPED = [GRUEquations(), GRUEquations(False), LSTMEquations(), RNNEquations(), RNNEquations("relu")]


@pytest.mark.parametrize("cell", [*SHIPPED, *CELLS, *ZONED], ids=repr)
def test_right_cells_pass(cell):
    assert check_cell(cell) is None


def test_a_class_is_checked_as_its_cell_and_the_generator_is_left_as_it_was():
    state = torch.get_rng_state()
    check_cell(MGUEquations)
    assert torch.equal(torch.get_rng_state(), state)


class Leaky(Cell):
    """Right: the ground that the wrong cells stand on."""

    gates = ("a",)
    states = OneState

    def step(self, x, W, state, **params):
        return OneState(0.9 * state.h + torch.tanh(x.a + W.a(state.h))), {}


class MixesUnits(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.softmax(x.a + W.a(state.h), -1)), {}


class MixesUnitsALittle(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h)) + 1e-6 * state.h.mean(-1, keepdim=True)), {}


class LeavesTheNumbers(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.log(x.a + W.a(state.h))), {}


class ShiftsUnits(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h).roll(1, -1))), {}


class MixesRows(Leaky):
    def step(self, x, W, state, **params):
        a = x.a + W.a(state.h)
        return OneState(torch.tanh(a - a.mean(0))), {}


class MixesRowsUnseen(Leaky):
    """Rows mix in a cell that may mix units."""

    elementwise = False

    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h)) * state.h.norm()), {}


class MixesUnitsInTheVector(MGUEquations):
    def step(self, x, W, state):
        f = torch.sigmoid(x.f + W.f(state.h))
        return MGUEquations.states(f + torch.tanh(x.n + W.n(f * state.h.cumsum(-1)))), {}


class CountsDimensionsFromTheStart(Leaky):
    elementwise = False

    def step(self, x, W, state, **params):
        return OneState(torch.tanh((x.a + W.a(state.h)).softmax(1))), {}


class TakesApartTheBatch(Leaky):
    def step(self, x, W, state, **params):
        batch, hidden = state.h.shape
        return OneState(torch.tanh(x.a + W.a(state.h)).view(batch, hidden)), {}


class WrongDerivative(LSTMEquations):
    def derivative(self, x, product, gates, state, new, out):
        right = super().derivative(x, product, gates, state, new, out)
        right["c"]["i"] = right["c"]["i"] * 0.5
        return right


class WrongDerivativeOfTheVector(MGUEquations):
    def derivative(self, x, product, gates, state, new, out):
        right = super().derivative(x, product, gates, state, new, out)
        del right["W.n"]["h"]
        return right


class WrongChain(LSTMEquations):
    def derivative(self, x, product, gates, state, new, out):
        right = super().derivative(x, product, gates, state, new, out)
        del right["h"]["new.c"]
        return right


class EndlessChain(LSTMEquations):
    def derivative(self, x, product, gates, state, new, out):
        right = super().derivative(x, product, gates, state, new, out)
        right["c"]["new.h"] = right["c"]["f"]
        return right


class StrangeDerivative(MGUEquations):
    def derivative(self, x, product, gates, state, new, out):
        return {"h": {"q": gates["f"]}}


class NumberForDerivative(Leaky):
    def derivative(self, x, product, gates, state, new, out):
        return {"h": {"a": 1 - (new.h - 0.9 * state.h) ** 2, "h": 0.9}}


class DerivativeThatRaises(MGUEquations):
    def derivative(self, x, product, gates, state, new, out):
        return {"h": gates["z"]}


class ApartInNameAlone(Leaky):
    def derivative(self, x, product, gates, state, new, out):
        slope = 1 - (new.h - 0.9 * state.h) ** 2
        return {"h": {"a": slope, "x.a": slope, "h": torch.full_like(slope, 0.9)}}


class NothingApart(GRUEquations):
    def derivative(self, x, product, gates, state, new, out):
        right = super().derivative(x, product, gates, state, new, out)
        del right["h"]["x.n"]
        return right


class TooFewGates(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h) + x.b)), {}


class TooManyGates(Leaky):
    gates = ("a", "b")


class StateIsATuple(Leaky):
    def step(self, x, W, state, **params):
        return (torch.tanh(x.a + W.a(state.h)),), {}


class StateIsATensor(Leaky):
    def step(self, x, W, state, **params):
        return torch.tanh(x.a + W.a(state.h)), {}


class OtherState(NamedTuple):
    h: Tensor


class StateOfAnotherClass(Leaky):
    def step(self, x, W, state, **params):
        return OtherState(torch.tanh(x.a + W.a(state.h))), {}


class NoGatesReturned(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h)))


class GatesAreATuple(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h))), (x.a,)


class GateIsANumber(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h))), {"a": 1.0}


class WrongShape(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h))[:, :2]), {}


class WrongType(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h)).double()), {}


class ChangesTheState(Leaky):
    def step(self, x, W, state, **params):
        return OneState(state.h.mul_(0.9) + torch.tanh(x.a + W.a(state.h))), {}


class ChangesX(Leaky):
    def step(self, x, W, state, **params):
        return OneState(x.a.add_(W.a(state.h)).tanh()), {}


class ChangesAProduct(Leaky):
    def step(self, x, W, state, **params):
        return OneState(W.a(state.h).add_(x.a).tanh()), {}


class BranchesOnValues(Leaky):
    def step(self, x, W, state, **params):
        a = x.a + W.a(state.h) if (x.a > 0.4).all() else x.a
        return OneState(0.9 * state.h + torch.tanh(a)), {}


class Random(Leaky):
    def step(self, x, W, state, **params):
        return OneState(torch.dropout(torch.tanh(x.a + W.a(state.h)), 0.5, True)), {}


class Counts(Leaky):
    def __init__(self):
        self._calls = 0

    def step(self, x, W, state, **params):
        self._calls += 1
        return OneState(torch.tanh(x.a + W.a(state.h)) / self._calls), {}


class Raises(Leaky):
    def step(self, x, W, state, **params):
        raise RuntimeError("out of patience")


class DoesNotTakeItsParameter(Leaky):
    params = {"p": Param()}

    def step(self, x, W, state):
        return OneState(torch.tanh(x.a + W.a(state.h))), {}


class IdleParameter(Leaky):
    params = {"p": Param()}


class NoStep(Cell):
    gates = ("a",)
    states = OneState


class WrongInitialState(Leaky):
    def initial_state(self, batch_size, hidden_size, *, device=None, dtype=None):
        return OneState(torch.zeros(hidden_size, batch_size, dtype=dtype))


class PlainInitialState(Leaky):
    def initial_state(self, batch_size, hidden_size, *, device=None, dtype=None):
        return torch.zeros(batch_size, hidden_size, dtype=dtype)


class Masked(Leaky):
    masks = ("m",)

    def draw_masks(self, shape, training, like):
        return {"m": like.new_empty(shape).bernoulli_(0.5)}

    def step(self, x, W, state, **params):
        return OneState(params["m"] * torch.tanh(x.a + W.a(state.h))), {}


class MasksUnnamed(Masked):
    masks = ()


class MaskOfOneStep(Masked):
    def draw_masks(self, shape, training, like):
        return {"m": like.new_ones(shape[1:])}


class MasksOfPythonsRandom(Masked):
    def draw_masks(self, shape, training, like):
        return {"m": like.new_full(shape, random.random())}


class TensorOption(Leaky):
    def __init__(self):
        self.scale = torch.ones(3)


class ListOption(Leaky):
    def __init__(self):
        self.scales = [1.0, 2.0]


class UnequalOption(Leaky):
    def __init__(self):
        self.marker = object()


class Detaches(Leaky):
    """Right in its values: what NumPy computes has no derivative."""

    def step(self, x, W, state, **params):
        return OneState(torch.from_numpy(x.a.detach().numpy()) + torch.tanh(W.a(state.h))), {}


WRONG: dict[type[Cell], str] = {
    MixesUnits: "units mix: the new h of one unit changes with x.a of another; declare elementwise = False",
    MixesUnitsALittle: "units mix: the new h of one unit changes with state.h of another",
    ShiftsUnits: "units mix: the new h of one unit changes with the product of W.a of another",
    MixesRows: "rows of the batch mix: the new h of one row changes with x.a of another",
    MixesRowsUnseen: "rows of the batch mix: the new h of one row changes with state.h of another",
    MixesUnitsInTheVector: "units mix: the vector that W.n multiplies of one unit changes with state.h of another",
    CountsDimensionsFromTheStart: "a step must take (T, B, H) as (B, H), its dimensions counted from the end",
    TakesApartTheBatch: "a step must take (T, B, H) as (B, H): step raised ValueError: too many values to unpack",
    WrongDerivative: "derivative of the new c is not what autograd finds with respect to i",
    WrongDerivativeOfTheVector: "derivative of the vector that W.n multiplies is not what autograd finds",
    WrongChain: "derivative of the new h is not what autograd finds with respect to i, f, g, c",
    EndlessChain: "derivative raised RecursionError",
    StrangeDerivative: "derivative has an entry for 'q', which the step does not read by itself",
    NumberForDerivative: "what derivative has for 'h' of the new h must be a tensor, received a float",
    DerivativeThatRaises: "derivative raised KeyError: 'z'",
    ApartInNameAlone: "derivative has an entry for 'x.a', which the step does not read by itself",
    NothingApart: "derivative of the new h is not what autograd finds with respect to x.n",
    TooManyGates: "it declares the gate 'b', which changes nothing",
    StateIsATuple: "step must return its new state as OneState(h), received a tuple",
    StateIsATensor: "step must return its new state as OneState(h), received a Tensor",
    StateOfAnotherClass: "step must return its new state as OneState(h), received a OtherState",
    NoGatesReturned: "step must return the pair (state, gates), received a OneState",
    GatesAreATuple: "step must return its gates as a dict of tensors by name, received a tuple",
    GateIsANumber: "the gate 'a' that step returns must be a tensor, received a float",
    WrongShape: "the new state 'h' must have the shape (3, 5), received (3, 2)",
    WrongType: "the new state 'h' must have the dtype of its inputs, torch.float32, received torch.float64",
    ChangesTheState: "a step changes state in place",
    ChangesX: "a step changes x in place",
    ChangesAProduct: "a step changes products in place",
    BranchesOnValues: "step does not always call W.a: it branches on values",
    Random: "two steps on the same numbers differ: draw random numbers in draw_masks",
    Counts: "two steps on the same numbers differ",
    IdleParameter: "it declares the parameter 'p', which changes nothing",
    WrongInitialState: "the initial state 'h' must have the shape (3, 5), received (5, 3)",
    PlainInitialState: "initial_state must return a OneState, received a Tensor",
    MaskOfOneStep: "the mask 'm' must have the shape (4, 3, 5), received (3, 5)",
    MasksOfPythonsRandom: "draw_masks must draw from PyTorch's generator: two draws from one seed differ",
    TensorOption: "its options (public attributes) must be plain values that can be copied, compared and hashed",
    UnequalOption: "a copy of it is not equal to it: its options (public attributes) must be plain values",
    LeavesTheNumbers: "on ordinary random numbers the new h is infinite or not a number",
    Detaches: "differentiating a step raised RuntimeError",
}


CANNOT_BE_RUN: dict[type[Cell], str] = {
    TooFewGates: "TooFewGates: step raised AttributeError: 'x' object has no attribute 'b'",
    Raises: "Raises: step raised RuntimeError: out of patience",
    DoesNotTakeItsParameter: "step() got an unexpected keyword argument 'p'",
    MasksUnnamed: "MasksUnnamed: step raised KeyError: 'm'",
    NoStep: "NoStep has no step(x, W, state)",
}


@pytest.mark.parametrize("cell", CANNOT_BE_RUN, ids=lambda cell: cell.__name__)
def test_a_step_that_cannot_be_run_is_told_at_once(cell):
    with pytest.raises(ValueError, match=re.escape(CANNOT_BE_RUN[cell])):
        check_cell(cell)


class MultipliesEqualVectors(Leaky):
    gates = ("a", "b")

    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(x.a * state.h)) + torch.tanh(x.b + W.b(x.a * state.h))), {}


class MultipliesACopy(Leaky):
    gates = ("a", "b")

    def step(self, x, W, state, **params):
        return OneState(torch.tanh(x.a + W.a(state.h)) + torch.tanh(x.b + W.b(state.h.clone()))), {}


@pytest.mark.parametrize(("cell", "first"), [(MultipliesEqualVectors, "W.a"), (MultipliesACopy, "state.h")])
def test_equal_vectors_that_are_made_twice_are_right_and_warned_of(cell, first):
    with pytest.warns(UserWarning, match=f"W.b multiplies a vector of its own that equals that of {first}"):
        check_cell(cell)


@pytest.mark.parametrize("cell", [Leaky, Masked])
def test_the_ground_of_the_wrong_cells_is_right(cell):
    check_cell(cell)


@pytest.mark.parametrize("cell", WRONG, ids=lambda cell: cell.__name__)
def test_wrong_cells_are_told_what_is_wrong(cell):
    with pytest.raises(ValueError, match=rf"^{cell.__name__}\(.*\) is not right:\n- ") as error:
        check_cell(cell)
    findings = str(error.value).split("\n- ")[1:]
    assert any(WRONG[cell] in finding for finding in findings), findings
    assert len(findings) <= 3


def test_all_that_is_wrong_is_told_at_once():
    class Many(MixesUnits):
        gates = ("a", "b")
        params = {"p": Param()}

    with pytest.raises(ValueError, match="units mix") as error:
        check_cell(Many)
    assert "the gate 'b', which changes nothing" in str(error.value)
    assert "the parameter 'p', which changes nothing" in str(error.value)


@pytest.mark.parametrize("wrong", [int, "gru", None, OneState])
def test_what_is_no_cell_is_refused(wrong: Any):
    with pytest.raises(TypeError, match="expected a Cell or a subclass of it, received"):
        check_cell(wrong)


def test_a_cell_that_cannot_be_hashed_is_refused():
    with pytest.raises(ValueError, match=r"^ListOption: its options .* can be hashed: unhashable type: 'list'$"):
        check_cell(ListOption)


def test_the_wrong_cell_within_zoneout_is_found():
    with pytest.raises(ValueError, match=r"^Zoneout\(cell=MixesUnits\(\), p=\(0\.5,\)\) is not right:\n- units mix"):
        check_cell(Zoneout(MixesUnits(), 0.5))
