"""Zoneout: what is drawn, how often, and what evaluation makes of it."""

from __future__ import annotations

import pytest
import torch
from support.one_layer import assert_close, one_layer

from gru_scratch import Recurrent
from gru_scratch.cells import GRUEquations, LSTMEquations, Zoneout
from gru_scratch.engines import operators, textbook

ENGINES = pytest.mark.parametrize("engine", [textbook.run, operators.fused], ids=["textbook", "fused"])


def test_zoneout_draws_once_for_a_sequence_and_keeps_the_share_it_is_told():
    cell, like = Zoneout(LSTMEquations(), (0.05, 0.5)), torch.zeros((), dtype=torch.float32)
    masks = cell.draw_masks((50, 40, 30), True, like)
    assert tuple(masks) == cell.masks == ("zoneout_h", "zoneout_c")
    for mask, p in zip(masks.values(), cell.p, strict=True):
        assert mask.shape == (50, 40, 30)
        assert mask.dtype == like.dtype
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        deviation = (p * (1 - p) / mask.numel()) ** 0.5
        assert abs(mask.mean().item() - p) < 5 * deviation
        for dim in range(3):  # no step, sequence or unit has more than another
            means = mask.mean([d for d in range(3) if d != dim])
            assert (means - p).abs().max().item() < 5 * deviation * mask.shape[dim] ** 0.5
    assert not torch.equal(masks["zoneout_h"], masks["zoneout_c"])
    torch.manual_seed(3)
    first = cell.draw_masks((50, 40, 30), True, like)
    torch.manual_seed(3)
    second = cell.draw_masks((50, 40, 30), True, like)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_zoneout_draws_under_vmap():
    layer = Recurrent(GRUEquations, 3, 4, zoneout=0.5)
    x = torch.randn(5, 2, 3).expand(2, 5, 2, 3)
    for randomness, alike in (("same", True), ("different", False)):
        first, second = torch.func.vmap(lambda x: layer(x)[0], randomness=randomness)(x)
        assert torch.equal(first, second) == alike


@ENGINES
def test_zoneout_in_evaluation_is_the_expectation(engine):
    """One step's outcome is linear in the mask, so the mean over masks is what evaluation computes."""
    cell = Zoneout(GRUEquations(), 0.25)
    layer = one_layer(cell, steps=1, batch=1, hidden_size=2, training=False)
    mean = layer.run(engine)[0]
    total = torch.zeros_like(mean)
    for first in (0.0, 1.0):
        for second in (0.0, 1.0):
            chance = (0.25 if first else 0.75) * (0.25 if second else 0.75)
            masks = {"zoneout_h": torch.tensor([[[first, second]]], dtype=torch.float64)}
            total += chance * engine(cell, layer.inputs, layer.state, layer.weights, {}, masks)[0]
    assert_close(mean, total)
    again = cell.draw_masks((1, 1, 2), False, layer.weights.weight_hh)
    assert all(torch.equal(again[name], layer.masks[name]) for name in again)


@ENGINES
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_zoneout_never_or_always(engine, p):
    layer = one_layer(Zoneout(GRUEquations(), p))
    outputs, _ = layer.run(engine)
    if p == 1:
        assert torch.equal(outputs, layer.state.h.expand_as(outputs))
    else:
        assert_close(outputs, engine(GRUEquations(), layer.inputs, layer.state, layer.weights)[0])


def test_zoneout_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"between 0 and 1, received 1\.5"):
        Zoneout(GRUEquations(), 1.5)
    with pytest.raises(ValueError, match="between 0 and 1, received nan"):
        Zoneout(GRUEquations(), float("nan"))
    with pytest.raises(ValueError, match=r"one for each state of \('h',\), received \(0.1, 0.2\)"):
        Zoneout(GRUEquations, (0.1, 0.2))
    with pytest.raises(ValueError, match="has a zoneout already"):
        Zoneout(Zoneout(GRUEquations(), 0.1), 0.1)
    with pytest.raises(TypeError, match="expected a Cell or a subclass of it, received 'gru'"):
        Zoneout("gru", 0.1)
