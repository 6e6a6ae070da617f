"""The layers beside those of ``torch.nn``: same seeds, layouts and types of number; what comes back is the caller's."""

from __future__ import annotations

import pytest
import torch
from support.layer_cases import as_hx, states_of
from support.layer_pairs import CELLS, both, each_engine, each_name, flat
from support.one_layer import assert_close
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gru_scratch import GRU, LSTM, GRUCell, Recurrent
from gru_scratch.cells import GRUEquations, LSTMEquations, PeepholeLSTMEquations, RNNEquations

# Seeds.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"num_layers": 3, "bidirectional": True},
        {"num_layers": 2, "batch_first": True, "dtype": torch.float64},
    ],
    ids=str,
)
@each_name
def test_one_seed_gives_the_parameters_of_the_namesake(name, options):
    reference, layer = both(name, 3, 4, **options)
    assert list(layer.state_dict()) == list(reference.state_dict())
    assert [n for n, _ in layer.named_parameters()] == [n for n, _ in reference.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), reference.parameters(), strict=True))
    for m in (reference, layer):
        torch.manual_seed(2)
        m.reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), reference.parameters(), strict=True))


@pytest.mark.parametrize("name", CELLS)
def test_one_seed_gives_the_parameters_of_the_namesake_cell(name):
    for options in ({}, {"bias": False}):
        made = []
        for make in CELLS[name]:
            torch.manual_seed(1)
            made.append(make(3, 4, **options))
        reference, cell = made
        assert list(cell.state_dict()) == list(reference.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(cell.parameters(), reference.parameters(), strict=True))


def test_recurrent_draws_what_the_namesake_draws_and_its_cells_own_start_as_declared():
    for cell, make in ((GRUEquations, nn.GRU), (LSTMEquations, nn.LSTM), (RNNEquations, nn.RNN)):
        torch.manual_seed(1)
        reference = make(3, 4, 2, bidirectional=True)
        torch.manual_seed(1)
        layer = Recurrent(cell, 3, 4, 2, bidirectional=True)
        assert list(layer.state_dict()) == list(reference.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), reference.parameters(), strict=True))
    layer = Recurrent(PeepholeLSTMEquations, 3, 4, 2, bidirectional=True)
    own = {name.rpartition("_l")[0] for name in layer.state_dict()} - {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
    assert own == set(PeepholeLSTMEquations.params)
    for name, param in PeepholeLSTMEquations.params.items():
        assert torch.equal(getattr(layer, f"{name}_l1_reverse"), torch.full((4,), param.initial))


@pytest.mark.parametrize("dropout", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@each_engine
@each_name
def test_dropout_is_the_namesakes_under_one_seed(name, engine, batch_first, dropout):
    reference, layer = both(
        name, 5, 6, num_layers=3, dropout=dropout, bidirectional=True, batch_first=batch_first, engine=engine
    )
    x = torch.randn(7, 8, 5)
    results = []
    for m in (reference, layer):
        torch.manual_seed(3)
        results.append([*flat(m(x)), *flat(m(x)), torch.rand(3)])  # and nothing more is drawn
        m.eval()
        results[-1] += flat(m(x))
    for a, b in zip(*results, strict=True):
        assert_close(b, a, 1e-5)


# Layouts. (Values of all layouts for all cells: test_cells.py.)


@each_name
def test_an_input_or_state_that_is_not_contiguous_is_read_right(name):
    reference, layer = both(name, 3, 4, 2, batch_first=True, dtype=torch.float64)
    whole = torch.randn(3, 10, 6, dtype=torch.float64)
    hx = as_hx([torch.randn(6, 4, 2, dtype=torch.float64).permute(2, 0, 1) for _ in range(2 if name == "LSTM" else 1)])
    for x in (whole.permute(2, 1, 0), whole.permute(2, 1, 0)[:, ::2], whole[0, 0, 0].expand(6, 5, 3)):
        inputs = [x.detach().requires_grad_() for _ in range(2)]
        results = [flat(m(i, hx)) for m, i in zip((reference, layer), inputs, strict=True)]
        for a, b in zip(*results, strict=True):
            assert_close(b, a)
        for y, *_ in results:
            y.square().sum().backward()
        assert_close(inputs[1].grad, inputs[0].grad)


@each_engine
@each_name
def test_an_empty_batch_is_run_and_differentiated(name, engine):
    reference, layer = both(name, 3, 4, num_layers=2, bidirectional=True, engine=engine)
    for m in (reference, layer):
        m(torch.randn(5, 0, 3))[0].sum().backward()
    for a, b in zip(flat(reference(torch.randn(5, 0, 3))), flat(layer(torch.randn(5, 0, 3))), strict=True):
        assert a.shape == b.shape
    for a, b in zip(reference.parameters(), layer.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
    tokens = torch.zeros(5, 0, dtype=torch.long)
    assert layer(tokens)[0].shape == (5, 0, 8)
    assert layer(tokens, lengths=[])[0].shape == (5, 0, 8)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
@each_engine
@each_name
def test_tokens_are_one_hot_vectors_in_every_layout(name, engine, dtype):
    reference, layer = both(name, 5, 4, 2, bidirectional=True, engine=engine)
    tokens = torch.randint(5, (6, 3)).to(dtype)
    rows = nn.functional.one_hot(tokens.long(), 5).float()
    lengths = torch.tensor([2, 6, 3])
    packed = [pack_padded_sequence(x, lengths, enforce_sorted=False) for x in (rows, tokens)]
    pairs = [
        (reference(rows), layer(tokens)),
        (reference(rows[:, 0]), layer(tokens[:, 0])),
        (layer(rows, lengths=lengths), layer(tokens, lengths=lengths)),
        tuple((y.data, hx) for y, hx in (reference(packed[0]), layer(packed[1]))),
    ]
    reference.batch_first = layer.batch_first = True
    pairs.append((reference(rows.transpose(0, 1)), layer(tokens.T)))
    for expected, found in pairs:
        for a, b in zip(flat(expected), flat(found), strict=True):
            assert_close(b, a, 1e-5)
    assert layer.accepts_tokens


def test_padding_may_hold_anything_even_tokens_that_are_none():
    layer = LSTM(5, 4, bidirectional=True)
    tokens = torch.randint(5, (6, 3))
    padded = tokens.clone()
    padded[2:, 0], padded[0:, 1] = -100, 77
    for a, b in zip(flat(layer(tokens, lengths=[2, 0, 6])), flat(layer(padded, lengths=[2, 0, 6])), strict=True):
        assert torch.equal(a, b)
    x = torch.randn(6, 3, 5)
    noisy = x.clone()
    noisy[2:, 0], noisy[:, 1] = torch.nan, torch.inf
    grads = []
    for inputs in (x, noisy):
        y, _ = layer(inputs, lengths=[2, 0, 6])
        grads.append(torch.autograd.grad(y.sum(), list(layer.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("given", [[2, 6, 0], (2, 6, 0), torch.tensor([2, 6, 0]), torch.tensor([2, 6, 0]).int()])
def test_lengths_come_in_any_form_and_the_state_of_an_empty_sequence_stays(given):
    layer = LSTM(3, 4)
    hx = tuple(torch.randn(1, 3, 4) for _ in range(2))
    outputs, final = layer(torch.randn(6, 3, 3), hx, lengths=given)
    assert not outputs[:, 2].any()
    assert not outputs[2:, 0].any()
    assert outputs[:, 1].all()
    assert all(torch.equal(a[:, 2], b[:, 2]) for a, b in zip(hx, final, strict=True))


@each_name
def test_full_lengths_are_no_lengths(name):
    _, layer = both(name, 3, 4)
    x = torch.randn(6, 3, 3)
    for a, b in zip(flat(layer(x)), flat(layer(x, lengths=[6, 6, 6])), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@each_name
def test_packed_sequences_come_back_as_they_went_in(name, batch_first, enforce_sorted):
    reference, layer = both(name, 3, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    lengths = [5, 3, 3, 1] if enforce_sorted else [3, 1, 5, 3]
    x = torch.randn(4, 5, 3) if batch_first else torch.randn(5, 4, 3)
    packed = pack_padded_sequence(x, lengths, batch_first, enforce_sorted)
    hx = as_hx([torch.randn(4, 4, 4) for _ in range(2 if name == "LSTM" else 1)])
    (expected, expected_hx), (found, found_hx) = reference(packed, hx), layer(packed, hx)
    assert type(found) is type(expected)
    for a, b in zip(found[1:], expected[1:], strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert_close(found.data, expected.data, 1e-5)
    for a, b in zip(states_of(found_hx), states_of(expected_hx), strict=True):
        assert_close(a, b, 1e-5)
    for a, b in zip(*(pad_packed_sequence(p, batch_first) for p in (found, expected)), strict=True):
        assert a.shape == b.shape


# What comes back is the caller's.


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"num_layers": 2, "bidirectional": True}], ids=str)
@each_engine
@each_name
def test_states_may_be_detached_and_outputs_changed_in_place(name, engine, options):
    _, layer = both(name, 3, 4, engine=engine, dtype=torch.float64, **options)
    x = torch.randn(5, 5, 3, dtype=torch.float64)
    expected = torch.autograd.grad((2 * layer(x)[0] + 1).square().sum(), list(layer.parameters()))
    for grad_enabled in (False, True):
        with torch.set_grad_enabled(grad_enabled):
            outputs, hx = layer(x)
            for state in states_of(hx):
                assert state.detach_() is state
                assert not state.requires_grad
            outputs.mul_(2).add_(1)
    found = torch.autograd.grad(outputs.square().sum(), list(layer.parameters()))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@each_engine
@each_name
def test_outputs_may_be_detached_in_place(name, engine, batch_first):
    _, layer = both(name, 3, 4, engine=engine, batch_first=batch_first)
    x = torch.randn(5, 2, 3)
    for learning, trained in ((True, True), (True, False), (False, True)):
        layer.requires_grad_(trained)
        with torch.set_grad_enabled(learning):
            outputs, _ = layer(x)
            assert outputs.requires_grad == (learning and trained)
            assert outputs.detach_() is outputs
            assert outputs.transpose(0, 1).is_contiguous() == batch_first  # as nn.GRU lays them out


@each_name
def test_gradients_flow_through_the_state_and_in_evaluation_mode(name):
    reference, layer = both(name, 3, 4, 2, dropout=0.5, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    for m in (reference.eval(), layer.eval()):
        _, hx = m(x)
        m(x, hx)[0].square().sum().backward()
    for a, b in zip(reference.parameters(), layer.parameters(), strict=True):
        assert_close(b.grad, a.grad)


@each_name
def test_frozen_parameters_get_no_gradient_and_the_rest_theirs(name):
    reference, layer = both(name, 3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    for frozen in layer.state_dict():
        for m in (reference, layer):
            m.zero_grad()
            m.requires_grad_(True).get_parameter(frozen).requires_grad_(False)
            m(x)[0].square().sum().backward()
        assert layer.get_parameter(frozen).grad is None
        for a, b in zip(reference.parameters(), layer.parameters(), strict=True):
            if a.grad is not None:
                assert_close(b.grad, a.grad)


# The book's GRU, and single steps.


@each_engine
def test_resetting_before_and_after_differ_and_keep_the_same_parameters(engine):
    torch.manual_seed(1)
    after = GRU(3, 4, engine=engine)
    torch.manual_seed(1)
    before = GRU(3, 4, engine=engine, reset_after=False)
    assert list(before.state_dict()) == list(after.state_dict())
    before.load_state_dict(after.state_dict())
    x = torch.randn(5, 2, 3)
    assert (before(x)[0] - after(x)[0]).abs().max() > 1e-3
    shifted = GRU(3, 4, engine=engine, reset_after=False)
    shifted.load_state_dict(
        {
            **before.state_dict(),
            "bias_ih_l0": before.bias_ih_l0 + before.bias_hh_l0,
            "bias_hh_l0": torch.zeros(12),
        }
    )
    assert_close(shifted(x)[0], before(x)[0], 1e-5)  # only the biases' sum acts


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"nonlinearity": "relu"}], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_cells_step_as_their_namesakes(name, options, dtype):
    if "nonlinearity" in options and name != "RNNCell":
        return
    reference, cell = (make(3, 4, dtype=dtype, **options) for make in CELLS[name])
    cell.load_state_dict(reference.state_dict())
    for shape in ((2, 3), (3,)):
        results = []
        for m in (reference, cell):
            torch.manual_seed(2)
            x, hx = torch.randn(shape, dtype=dtype, requires_grad=True), None
            for _ in range(4):
                hx = m(x, hx)
            hx = states_of(hx)
            grads = torch.autograd.grad(sum(s.square().sum() for s in hx), [x, *m.parameters()])
            results.append([*hx, *grads])
        for a, b in zip(*results, strict=True):
            assert_close(b, a, 1e-10 if dtype == torch.float64 else 1e-5)


def test_a_gru_cell_that_resets_before_is_a_step_of_that_layer():
    layer = GRU(3, 4, reset_after=False)
    cell = GRUCell(3, 4, reset_after=False)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x, h = torch.randn(2, 3), torch.randn(2, 4)
    assert_close(cell(x, h), layer(x.unsqueeze(0), h.unsqueeze(0))[0][0], 1e-6)
    assert (GRUCell(3, 4)(x, h) - cell(x, h)).abs().max() > 1e-3
