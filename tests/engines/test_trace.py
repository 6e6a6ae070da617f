"""What a step reads, as it is found from autograd's graph."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from support.sample_cells import (
    Constant,
    GRUByAutograd,
    LSTMByAutograd,
    ManyProducts,
    MGUByAutograd,
    OneState,
    Passes,
    Stabilised,
    Tower,
    WeightedMGU,
)
from torch import Tensor

from gru_scratch.cells import Cell, GRUEquations, LSTMEquations, PeepholeLSTMEquations, Zoneout
from gru_scratch.engines.trace import reads_of


class Alone(Cell):
    """A gate whose two pre-activations meet in some other way than as a sum; the tests put it in."""

    gates = ("a",)
    states = OneState


def meeting(how):
    """A cell whose gate's pre-activations meet as ``how(x, h, state)`` says."""

    class Meeting(Alone):
        def step(self, x, W, state, **params):
            return OneState(torch.tanh(how(x.a, W.a(state.h), state.h))), {}

    return Meeting()


@pytest.mark.parametrize(
    ("how", "apart"),
    [
        (lambda x, h, s: x + h, False),
        (lambda x, h, s: h + x, False),
        (lambda x, h, s: 1 + (x + h) * s, False),
        (lambda x, h, s: torch.sigmoid(x + h) * (h + x), False),
        (lambda x, h, s: torch.where(x > 0, x + h, s), False),
        (lambda x, h, s: torch.add(x, h, alpha=2), True),
        (lambda x, h, s: torch.add(h, x, alpha=2), True),
        (lambda x, h, s: x - h, True),
        (lambda x, h, s: x * h, True),
        (lambda x, h, s: x + s * h, True),
        (lambda x, h, s: (x + h) * h, True),
        (lambda x, h, s: (x + h) * x, True),
        (lambda x, h, s: x + x, True),
        (lambda x, h, s: h + 1, True),
        (lambda x, h, s: s, False),
    ],
)
def test_x_and_h_are_together_where_only_their_sum_is_read(how, apart):
    assert reads_of(meeting(how)).apart == ({"a"} if apart else set())


MADE = {"a", "b", "m", "u", "x.b", "x.u"}
"""What the new m of ManyProducts reads, which it multiplies."""


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (MGUByAutograd(), {"h": {"f", "n", "h"}, "W.n": {"f", "h"}}),
        (GRUByAutograd(), {"h": {"r", "z", "n", "x.n", "h"}}),
        (GRUByAutograd(False), {"h": {"z", "n", "h"}, "W.n": {"r", "h"}}),
        (LSTMByAutograd(), {"h": {"o", "new.c"}, "c": {"i", "f", "g", "c"}}),
        (PeepholeLSTMEquations(), {"h": {"o", "new.c"}, "c": {"i", "f", "g", "c"}}),
        (Zoneout(GRUEquations(False), 0.5), {"h": {"z", "n", "h"}, "W.n": {"r", "h"}}),
        (Zoneout(LSTMEquations(), 0.5), {"h": {"i", "f", "g", "o", "h", "c"}, "c": {"i", "f", "g", "c"}}),
        (Stabilised(), {"h": {"new.c", "new.m"}, "c": {"i", "f", "z", "x.z", "c"}, "m": {"i", "f", "m"}}),
        (WeightedMGU(), {"h": {"f", "n", "x.n", "h"}, "W.n": {"f", "h"}}),
        (Tower(), {"h": {"new.m", "b", "c", "h"}, "c": {"new.m", "b", "c"}, "m": {"a", "m"}}),
        (Passes(), {"h": {"new.c"}, "c": {"a", "c", "m"}, "m": {"m"}}),
        (ManyProducts(), {"h": {"v", "x.q", "u", "b", "x.b", "x.u"}, "m": MADE, "W.b": {"a", "h"}, "W.v": MADE}),
        (Constant(), {"h": {"a", "x.b", "c"}, "c": set()}),
    ],
    ids=lambda value: repr(value) if isinstance(value, Cell) else "reads",  # a set has another order each time
)
def test_each_output_reads_what_its_equation_does(cell, expected):
    """Through another new state where all goes through it that the two have in common."""
    found = reads_of(cell).by
    assert {name: set(keys) for name, keys in found.items()} == expected
    assert all(len(keys) == len(set(keys)) for keys in found.values())


def test_a_state_that_is_computed_from_a_later_one_twice_over_is_differentiated_as_a_whole():
    class Two(NamedTuple):
        h: Tensor
        c: Tensor

    class Both(Cell):
        gates = ("f",)
        states = Two

        def step(self, x, W, state):
            f = torch.sigmoid(x.f + W.f(state.h))
            c = f * state.c
            return Two(f * torch.tanh(c), c), {}

    assert set(reads_of(Both()).by["h"]) == {"f", "c"}


def test_the_trace_draws_nothing_and_is_made_once():
    state = torch.get_rng_state()
    cell = Zoneout(LSTMEquations(), 0.3)
    assert reads_of(cell) is reads_of(Zoneout(LSTMEquations(), 0.3))
    assert torch.equal(torch.get_rng_state(), state)
