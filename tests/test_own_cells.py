"""The cells beside RNN, GRU and LSTM, and one's own: both engines against NumPy loops written from the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from one_layer import OneLayer, assert_close, one_layer

from gru_scratch import bptt, fused, unroll
from gru_scratch.cells import GRUEquations, LSTMEquations, MGUEquations, RNNEquations, Zoneout
from gru_scratch.cells.base import Cell

ENGINES = pytest.mark.parametrize("engine", [unroll.run, fused.run], ids=["textbook", "fused"])
LENGTHS = {"whole": None, "ragged": (7, 4, 1, 0), "short": (5, 3, 3, 2)}


class MGUByAutograd(MGUEquations):
    """Without its derivative by hand: as a user would write it."""

    derivative = None


class GRUByAutograd(GRUEquations):
    derivative = None
    in_place = None


class LSTMByAutograd(LSTMEquations):
    derivative = None
    in_place = None


CELLS: list[Cell] = [
    MGUEquations(),
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
]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


class Gates:
    """A layer's numbers in NumPy, by gate: ``x[gate]`` is x W_x + b_x for all steps, ``h(gate, v)`` is v W_h + b_h."""

    def __init__(self, layer: OneLayer) -> None:
        W_x, W_h, b_x, b_h = (w.detach().numpy() for w in layer.weights[:4])
        names, X = layer.cell.gates, layer.inputs.detach().numpy()
        stack = zip(*(np.split(w, len(names)) for w in (W_x, W_h, b_x, b_h)), strict=True)
        self.by_name = dict(zip(names, stack, strict=True))
        self.x = {name: X @ W_xg.T + b_xg for name, (W_xg, _, b_xg, _) in self.by_name.items()}
        self.state = [s.detach().numpy() for s in layer.state]
        self.params = {name: p.detach().numpy() for name, p in layer.params.items()}
        self.masks = {name: m.numpy() for name, m in layer.masks.items()}
        self.steps = len(X)

    def h(self, gate: str, vector: np.ndarray) -> np.ndarray:
        _, W_hg, _, b_hg = self.by_name[gate]
        return vector @ W_hg.T + b_hg


def mgu(g: Gates) -> list[np.ndarray]:
    """Zhou et al. (2016), equations 7 to 9."""
    (h,), outputs = g.state, []
    for t in range(g.steps):
        f = sigmoid(g.x["f"][t] + g.h("f", h))
        h_tilde = np.tanh(g.x["n"][t] + g.h("n", f * h))
        h = (1 - f) * h + f * h_tilde
        outputs.append(h)
    return outputs


def zoned_gru(g: Gates) -> list[np.ndarray]:
    """The GRU of nn.GRU with zoneout."""
    (h,), outputs = g.state, []
    for t in range(g.steps):
        r, z = (sigmoid(g.x[k][t] + g.h(k, h)) for k in "rz")
        n = np.tanh(g.x["n"][t] + r * g.h("n", h))
        h = np.where(g.masks["zoneout_h"][t] == 1, h, z * h + (1 - z) * n)
        outputs.append(h)
    return outputs


def zoned_lstm(g: Gates) -> list[np.ndarray]:
    """Krueger et al. (2017), section 3.2: the new h comes from the c that is not yet zoned out."""
    (h, c), outputs = g.state, []
    for t in range(g.steps):
        i, f, o = (sigmoid(g.x[k][t] + g.h(k, h)) for k in "ifo")
        c_new = f * c + i * np.tanh(g.x["g"][t] + g.h("g", h))
        h_new = o * np.tanh(c_new)
        h = np.where(g.masks["zoneout_h"][t] == 1, h, h_new)
        c = np.where(g.masks["zoneout_c"][t] == 1, c, c_new)
        outputs.append(h)
    return outputs


@ENGINES
@pytest.mark.parametrize(
    ("cell", "reference"),
    [
        (MGUEquations(), mgu),
        (Zoneout(GRUEquations(), 0.4), zoned_gru),
        (Zoneout(LSTMEquations(), (0.3, 0.6)), zoned_lstm),
    ],
    ids=["mgu", "zoned gru", "zoned lstm"],
)
def test_values_are_those_of_the_paper(cell, reference, engine):
    layer = one_layer(cell)
    outputs, final = layer.run(engine)
    expected = torch.from_numpy(np.stack(reference(Gates(layer))))
    assert_close(outputs, expected)
    assert_close(final[0], expected[-1])


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("tokens", [False, True], ids=["dense", "tokens"])
@pytest.mark.parametrize("cell", CELLS + ZONED, ids=repr)
def test_fused_equals_textbook(cell, tokens, lengths, monkeypatch):
    monkeypatch.setattr(bptt, "STRETCH", 2 * 4 * 5)  # four stretches of time, the last one shorter
    for proj_size in (0, 2) if cell.projectable else (0,):
        layer = one_layer(cell, tokens=tokens, lengths=lengths, proj_size=proj_size, bias=not tokens)
        for found, expected in zip(layer.results(fused.run), layer.results(unroll.run), strict=True):
            assert_close(found, expected)


@pytest.mark.parametrize("cell", CELLS + ZONED, ids=repr)
def test_gradients_are_those_of_finite_differences(cell):
    layer = one_layer(cell, steps=4, batch=2, hidden_size=2, lengths=(4, 2), proj_size=1 if cell.projectable else 0)
    weights, states = layer.weights, len(layer.state)
    given = [k for k, w in enumerate(weights) if w is not None]

    def outputs(x, *rest):
        state, rest = cell.states(*rest[:states]), rest[states:]
        new = weights._replace(**{weights._fields[k]: w for k, w in zip(given, rest, strict=False)})
        params = dict(zip(layer.params, rest[len(given) :], strict=True))
        y, final = fused.run(cell, x, state, new, params, layer.masks, layer.lengths)
        return y, *final

    assert torch.autograd.gradcheck(outputs, tuple(layer.leaves))


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
