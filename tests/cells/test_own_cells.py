"""The cells beside RNN, GRU and LSTM, and one's own: both engines against NumPy loops written from the papers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.one_layer import assert_close, one_layer
from support.papers import Numbers, cifg, layer_norm_gru, layer_norm_lstm, mgu, peephole, zoned_gru, zoned_lstm
from support.sample_cells import CELLS, ZONED, Average, AverageProduct
from torch import float64

from gru_scratch.cells import (
    CIFGEquations,
    GRUEquations,
    LayerNormGRUEquations,
    LayerNormLSTMEquations,
    LSTMEquations,
    MGUEquations,
    PeepholeLSTMEquations,
    Zoneout,
)
from gru_scratch.engines import operators, textbook
from gru_scratch.engines.fused import bptt
from gru_scratch.engines.trace import reads_of

ENGINES = pytest.mark.parametrize("engine", [textbook.run, operators.fused], ids=["textbook", "fused"])
LENGTHS = {"whole": None, "ragged": (7, 4, 1, 0), "short": (5, 3, 3, 2)}


@ENGINES
@pytest.mark.parametrize(
    ("cell", "reference"),
    [
        (MGUEquations(), mgu),
        (CIFGEquations(), cifg),
        (PeepholeLSTMEquations(), peephole),
        (LayerNormGRUEquations(), layer_norm_gru),
        (LayerNormLSTMEquations(), layer_norm_lstm),
        (Zoneout(GRUEquations(), 0.4), zoned_gru),
        (Zoneout(LSTMEquations(), (0.3, 0.6)), zoned_lstm),
    ],
    ids=["mgu", "cifg", "peephole", "layer-norm gru", "layer-norm lstm", "zoned gru", "zoned lstm"],
)
def test_values_are_those_of_the_paper(cell, reference, engine):
    layer = one_layer(cell)
    outputs, final = layer.run(engine)
    expected = torch.from_numpy(np.stack(reference(Numbers(layer))))
    assert_close(outputs, expected)
    assert_close(final[0], expected[-1])


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("tokens", [False, True], ids=["dense", "tokens"])
@pytest.mark.parametrize("cell", CELLS + ZONED, ids=repr)
def test_fused_equals_textbook(cell, tokens, lengths, monkeypatch):
    monkeypatch.setattr(bptt, "STRETCH", 2 * 4 * 5)  # four stretches of time, the last one shorter
    for proj_size in (0, 2) if reads_of(cell).is_projectable(cell) else (0,):
        layer = one_layer(cell, tokens=tokens, lengths=lengths, proj_size=proj_size, bias=not tokens)
        for found, expected in zip(layer.results(operators.fused), layer.results(textbook.run), strict=True):
            assert_close(found, expected)


@pytest.mark.parametrize("cell", [Average(), AverageProduct()], ids=repr)
def test_what_divides_by_a_state_is_not_asked_past_the_end_of_a_sequence(cell):
    layer = one_layer(cell, lengths=(7, 4, 1, 0))
    started = replace(layer, state=cell.states(*(s.requires_grad_() for s in cell.initial_state(4, 5, dtype=float64))))
    for found, expected in zip(started.results(operators.fused), started.results(textbook.run), strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("cell", CELLS + ZONED, ids=repr)
def test_gradients_are_those_of_finite_differences(cell):
    layer = one_layer(
        cell, steps=4, batch=2, hidden_size=2, lengths=(4, 2), proj_size=1 if reads_of(cell).is_projectable(cell) else 0
    )
    weights, states = layer.weights, len(layer.state)
    given = [k for k, w in enumerate(weights) if w is not None]

    def outputs(x, *rest):
        state, rest = cell.states(*rest[:states]), rest[states:]
        new = weights._replace(**{weights._fields[k]: w for k, w in zip(given, rest, strict=False)})
        params = dict(zip(layer.params, rest[len(given) :], strict=True))
        y, final = operators.fused(cell, x, state, new, params, layer.masks, layer.lengths)
        return y, *final

    assert torch.autograd.gradcheck(outputs, tuple(layer.leaves))
