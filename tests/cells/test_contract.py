"""The contract of a cell: what it may declare, when two cells are one, and the registry that an engine finds it by."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from support.one_layer import assert_close, one_layer
from support.sample_cells import CELLS, ZONED, OneState
from torch import Tensor

from gru_scratch.cells import (
    Carry,
    Cell,
    Gates,
    GRUEquations,
    LayerNormGRUEquations,
    LSTMEquations,
    MGUEquations,
    Param,
    PreActivations,
    RecurrentWeights,
    State,
    Zoneout,
    make_cell,
)
from gru_scratch.cells.base import Registry, registry
from gru_scratch.engines import operators, textbook
from gru_scratch.engines.fused.in_place import loop_of


def test_equal_cells_are_one_cell_of_the_registry():
    """Found under one key however often they are registered; what differs in class or options has a key of its own."""
    registry = Registry()
    cells = [
        GRUEquations(),
        GRUEquations(False),
        MGUEquations(),
        Zoneout(MGUEquations(), 0.1),
        Zoneout(MGUEquations(), 0.2),
        Zoneout(LSTMEquations(), 0.1),
        Zoneout(LSTMEquations(), (0.1, 0.2)),
        LayerNormGRUEquations(),
        LayerNormGRUEquations(eps=1e-3),
    ]
    keys = [registry.key(cell) for cell in cells]
    assert len(set(keys)) == len(cells)
    assert [registry.key(copy.deepcopy(cell)) for cell in cells] == keys
    assert [registry.key(pickle.loads(pickle.dumps(cell))) for cell in cells] == keys
    assert all(
        registry[key] == cell and hash(registry[key]) == hash(cell) for key, cell in zip(keys, cells, strict=True)
    )
    assert registry.key(Zoneout(LSTMEquations, (0.1, 0.1))) == registry.key(Zoneout(LSTMEquations(), 0.1))


def test_a_cell_keeps_its_key_and_a_copy_that_is_changed_has_its_own():
    cell = make_cell(GRUEquations())
    twin = copy.copy(cell)
    twin.reset_after = False
    assert cell.registry_key is cell.registry_key
    assert registry[cell.registry_key] == cell
    assert registry[twin.registry_key] == twin != cell


def _mgu_class(slope: float) -> type[Cell]:
    """A class of the same name each time, as when a notebook's cell is run again."""

    class MyCell(Cell):
        gates = ("a",)
        states = OneState

        def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
            return OneState(torch.tanh(slope * (x.a + W.a(state.h)))), {}

    return MyCell


def test_another_class_under_a_taken_name_has_its_own_key():
    """And its own equations, in the same process, alone and within zoneout."""
    layers = [one_layer(cell()) for cell in (_mgu_class(1.0), _mgu_class(0.5))]
    layers += [one_layer(Zoneout(layer.cell, 0.3)) for layer in layers]
    registry = Registry()
    assert len({registry.key(layer.cell) for layer in layers}) == 4
    for layer in [*layers, *reversed(layers)]:
        assert_close(layer.run(operators.fused)[0], layer.run(textbook.run)[0])


@pytest.mark.parametrize("cell", CELLS + ZONED, ids=repr)
def test_a_cell_that_has_run_can_be_copied_and_pickled(cell):
    layer = one_layer(cell)
    layer.run(textbook.run)
    assert copy.deepcopy(cell) == cell
    assert pickle.loads(pickle.dumps(cell)) == cell


def test_new_equations_do_not_inherit_the_derivative_and_the_loop_of_the_old():
    class Leaky(LSTMEquations):
        def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
            new, gates = super().step(x, W, state, **params)
            return LSTMEquations.states(new.h + 0.1 * torch.tanh(state.h), new.c), gates

    class Renamed(LSTMEquations):
        pass

    layer = one_layer(Leaky())
    for found, expected in zip(layer.results(operators.fused), layer.results(textbook.run), strict=True):
        assert_close(found, expected)
    assert Leaky().derivative is None
    assert loop_of(Leaky()) is None
    assert loop_of(Renamed()) is loop_of(LSTMEquations()) is not None


def cell_with(**declared: object) -> type[Cell]:
    return type("MyCell", (MGUEquations,), declared)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"gates": "fn"}, r"MyCell\.gates must be a tuple of different names, received 'fn'"),
        ({"gates": ()}, r"MyCell\.gates must be a tuple of different names, received \(\)"),
        ({"gates": ("f", "f")}, r"MyCell\.gates must be a tuple of different names"),
        ({"gates": ("f", "lambda")}, r"MyCell\.gates must be a tuple of different names"),
        ({"states": tuple}, r"MyCell\.states must be a NamedTuple class, even for one state, received <class 'tuple'>"),
        ({"states": OneState(torch.zeros(1))}, r"MyCell\.states must be a NamedTuple class"),
        ({"carry": ("h", "f")}, r"MyCell\.carry must be a Carry, or None where no gate carries a state, received"),
        ({"carry": Carry("c", "f")}, r"MyCell\.carry must name one of its states .*'h'.* and of its gates"),
        ({"carry": Carry("h", "f", 2)}, r"MyCell\.carry must have the sign \+1 or -1, received 2"),
        ({"params": {"p": 0.0}}, r"MyCell\.params must map names to Param, received 0\.0 for 'p'"),
        ({"params": {"f": Param()}}, r"a name can stand for one .* only, received \['f'\] twice"),
        ({"masks": ("h",)}, r"a name can stand for one .* only, received \['h'\] twice"),
    ],
)
def test_a_cell_that_declares_what_cannot_be_is_refused(declared, message):
    with pytest.raises(ValueError, match=message):
        make_cell(cell_with(**declared))


def test_a_cell_is_made_from_a_cell_or_a_class_that_needs_no_arguments():
    assert make_cell(GRUEquations) == make_cell(GRUEquations()) == GRUEquations(True)
    with pytest.raises(ValueError, match=r"Zoneout cannot be made without arguments: .*'cell' and 'p'"):
        make_cell(Zoneout)
    with pytest.raises(TypeError, match="expected a Cell or a subclass of it, received <class 'int'>"):
        make_cell(int)


@pytest.mark.parametrize(
    "older",
    [
        {"step": lambda self, x, h, state: (state, {})},
        {"before": lambda self, x, h, state: (state.h, {})},
        {"second_product": "n"},
    ],
)
def test_a_cell_of_the_older_contract_is_shown_the_new_form(older):
    with pytest.raises(
        ValueError, match=r"^MyCell is written for an older contract of cells; .* step\(self, x, W, state\)"
    ):
        make_cell(cell_with(**older))


class Recurrences(Cell):
    gates = ("a", "b", "c")
    states = OneState

    def step(self, x: PreActivations, W: RecurrentWeights, state: State) -> tuple[State, Gates]:
        return OneState(x.a + x.b + x.c), {}


def recurrence_of(step):
    return make_cell(type("Traced", (Recurrences,), {"step": step})).recurrence


def test_what_a_step_multiplies_is_found_by_running_it_once():
    def step(self, x, W, state):
        v = x.b * state.h
        return OneState(W.c(v) + W.b(state.h) + W.a(v)), {}

    products, gates, vectors = recurrence_of(step)
    assert products == (("W.c", ("a", "c")), ("h", ("b",)))
    assert (gates, vectors) == (("a", "b", "c"), ("W.c",))
    assert recurrence_of(Recurrences.step) == ((), (), ())


def test_one_vector_is_one_tensor_object():
    def twice(self, x, W, state):
        return OneState(W.a(x.a * state.h) + W.b(x.a * state.h) + x.c), {}

    assert recurrence_of(twice).vectors == ("W.a", "W.b")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda self, x, W, state: W.a(state.h) + W.a(x.a), r"W\.a is called twice in a step"),
        (lambda self, x, W, state: W.a(state), r"W\.a multiplies a tensor, received a OneState"),
        (lambda self, x, W, state: W.q(state.h), r"'W' object has no attribute 'q'"),
    ],
)
def test_a_step_that_cannot_be_traced_is_refused(step, message):
    with pytest.raises(ValueError, match=r"^Traced: step raised \w+: " + message):
        recurrence_of(step)
