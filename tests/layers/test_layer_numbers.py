"""The types of number that layers compute in: their parameters', or under autocast those of ``torch.nn``'s layers."""

from __future__ import annotations

import warnings

import pytest
import torch
from support.layer_cases import as_hx, states_of
from support.layer_pairs import CELLS, NAMESAKES, both, each_engine, each_name, flat
from support.one_layer import assert_close
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from gru_scratch import GRU, Recurrent
from gru_scratch.cells import MGUEquations


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@each_engine
@each_name
def test_outputs_states_and_gradients_have_the_type_of_the_parameters(name, engine, dtype):
    _, layer = both(name, 3, 4, num_layers=2, engine=engine)
    layer = layer.to(dtype)
    x = torch.randn(5, 2, 3, dtype=dtype, requires_grad=True)
    results = flat(layer(x))
    results[0].sum().backward()
    assert {y.dtype for y in (*results, x.grad, *(p.grad for p in layer.parameters()))} == {dtype}


@pytest.mark.parametrize("indices", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_in_half_precision_the_gradients_of_tokens_are_sums_of_full_precision(dtype, indices):
    layer, tokens, share = GRU(2, 4).to(dtype), torch.zeros(50, 40, dtype=indices), torch.rand(50, 40, 4)
    results = []
    for number in (torch.float64, dtype):
        y = layer.to(number)(tokens)[0]
        results.append(torch.autograd.grad((y * share.to(y)).sum(), [layer.weight_ih_l0, layer.bias_ih_l0]))
    for exact, found in zip(*results, strict=True):
        assert_close(found.double(), exact, 0.02)


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("name", [*NAMESAKES, *CELLS])
def test_complex_numbers_go_through_the_equations_as_they_do_in_the_namesake(name):
    reference, layer = both(name, 3, 4) if name in NAMESAKES else (make(3, 4) for make in CELLS[name])
    layer.load_state_dict(reference.state_dict())
    x = torch.randn(*((5, 2, 3) if name in NAMESAKES else (2, 3)), dtype=torch.complex128)
    results = []
    for m in (reference, layer):
        m.to(torch.complex128)
        results.append(flat(m(x)))
        results[-1] += torch.autograd.grad(results[-1][0].abs().sum(), list(m.parameters()))
    for a, b in zip(*results, strict=True):
        assert_close(torch.view_as_real(b), torch.view_as_real(a))


def by_namesake(reference, inputs, hx):
    """What the namesake computes; on a processor for which oneDNN has no bfloat16 LSTM, what it would round to."""
    try:
        return reference(inputs, hx)
    except RuntimeError as error:
        if "could not create a primitive" not in str(error):
            raise
    with torch.autocast("cpu", enabled=False):
        outputs, final = reference(inputs, hx if hx is None else as_hx([s.float() for s in hx]))
    return outputs.bfloat16(), as_hx([s.bfloat16() for s in final])


@pytest.mark.parametrize("layout", ["dense", "packed", "tokens"])
@pytest.mark.parametrize("state", [None, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("learning", [True, False], ids=["training", "no_grad"])
@pytest.mark.parametrize("name", [*NAMESAKES, "projected"])
def test_autocast_gives_the_types_of_the_namesake(name, learning, state, layout):
    options = {"proj_size": 2} if name == "projected" else {}
    name = "LSTM" if options else name
    reference, layer = both(name, 3, 4, num_layers=2, **options)
    x = torch.randn(5, 2, 3)
    hx = None
    if state is not None:
        widths = [options.get("proj_size", 4), 4][: 2 if name == "LSTM" else 1]
        hx = as_hx([torch.randn(2, 2, width, dtype=state) for width in widths])
    inputs = pack_padded_sequence(x, [5, 3]) if layout == "packed" else x
    ours = inputs
    if layout == "tokens":
        ours = torch.randint(3, (5, 2))
        inputs = nn.functional.one_hot(ours, 3).float()
    results = []
    for m, given in ((reference, inputs), (layer, ours)):
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(learning), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oneDNN's about projections
            outputs, final = m(given, hx) if m is layer else by_namesake(m, given, hx)
        results.append([outputs.data if layout == "packed" else outputs, *states_of(final)])
        if learning:
            results[-1][0].float().square().sum().backward()
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype
        assert_close(b.float(), a.float(), 0.05)
    if learning:
        for a, b in zip(reference.parameters(), layer.parameters(), strict=True):
            assert b.grad.dtype == torch.float32
            assert (a.grad - b.grad).norm() < 0.05 * a.grad.norm()


@pytest.mark.parametrize("state", [None, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_autocast_gives_cells_the_types_of_their_namesakes(name, state):
    made = [make(3, 4) for make in CELLS[name]]
    made[1].load_state_dict(made[0].state_dict())
    hx = None if state is None else as_hx([torch.randn(2, 4, dtype=state) for _ in range(2 if "LSTM" in name else 1)])
    x = torch.randn(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = [list(y) if isinstance(y, tuple) else [y] for y in (m(x, hx) for m in made)]
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype
        assert_close(b.float(), a.float(), 0.02)


@pytest.mark.parametrize("make", [lambda: GRU(3, 4), lambda: Recurrent(MGUEquations, 3, 4)], ids=["gru", "mgu"])
def test_backward_inside_autocast_is_as_exact_as_outside(make):
    grads = []
    for inside in (True, False):
        torch.manual_seed(1)
        layer = make()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, _ = layer(torch.randn(5, 2, 3))
            if inside:
                y.sum().backward()
        if not inside:
            y.sum().backward()
        grads.append([p.grad for p in layer.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
