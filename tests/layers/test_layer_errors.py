"""What the layers make of their arguments, good and bad: the answers of ``torch.nn``, and clear ones of our own."""

from __future__ import annotations

import re

import pytest
import torch
from support.namesakes import CELLS, LAYERS, X, agree, make, state
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import gru_scratch
from gru_scratch import GRU, LSTM, RNN, GRUCell, Recurrent
from gru_scratch.cells import GRUEquations, LSTMEquations, MGUEquations

# Construction.


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "bias": False, "batch_first": True, "dropout": 0.5, "bidirectional": True},
        {"proj_size": 2, "num_layers": 2},
        {"nonlinearity": "relu"},
        {"nonlinearity": "sine"},
        {"unknown": 1},
        {"dropout": 0.5},
        {"dropout": 1.5, "num_layers": 2},
        {"dropout": True},
        {"dropout": "some"},
        {"bias": 1},
        {"batch_first": 1},
        {"num_layers": 0},
        {"proj_size": -1},
        {"proj_size": 4},
        {"device": "meta"},
        {"dtype": torch.float64},
    ],
    ids=str,
)
def test_constructors_agree(name, options):
    agree(lambda room: [repr(make(room, name, 3, 4, **options))])
    agree(lambda room: list(make(room, name, 3, 4, **options).state_dict()))
    agree(lambda room: [(p.dtype, p.device, p.shape) for p in make(room, name, 3, 4, **options).parameters()])
    agree(lambda room: [[p.shape for p in ps] for ps in make(room, name, 3, 4, **options).all_weights])


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
@pytest.mark.parametrize("args", [(0, 4), (3, 0), (-1, 3), (3, -1), ("a", 2), (2, 2.5), (3,), (3, 4, 1, True)], ids=str)
def test_constructors_agree_on_sizes(name, args):
    agree(lambda room: repr(make(room, name, *args)))


def test_layers_are_their_namesakes():
    for name in (*LAYERS, *CELLS):
        assert isinstance(make(gru_scratch, name, 3, 4), getattr(nn, name))


def test_options_of_our_own_show_where_they_are_not_the_default():
    assert repr(GRU(3, 4, engine="auto", reset_after=True)) == "GRU(3, 4)"
    assert repr(GRU(3, 4, engine="textbook")) == "GRU(3, 4, engine='textbook')"
    assert repr(GRU(3, 4, 2, reset_after=False)) == "GRU(3, 4, num_layers=2, reset_after=False)"
    assert repr(GRUCell(3, 4, reset_after=False)) == "GRUCell(3, 4, reset_after=False)"
    layer = Recurrent(MGUEquations, 3, 4, bidirectional=True, zoneout=0.1, engine="textbook")
    assert repr(layer) == "Recurrent(MGUEquations(), 3, 4, bidirectional=True, engine='textbook', zoneout=0.1)"


@pytest.mark.parametrize("engine", ["fast", "", 3, ["fused"]])
def test_an_unknown_engine_is_refused_by_name(engine):
    for create in (lambda: RNN(3, 4, engine=engine), lambda: Recurrent(MGUEquations, 3, 4, engine=engine)):
        with pytest.raises(ValueError, match=r"engine must be one of 'auto', 'native', .*, received") as error:
            create()
        assert repr(engine) in str(error.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dropout": 2}, ValueError, "dropout should be a number in range"),
        ({"bias": 1}, TypeError, "bias should be of type bool"),
        ({"batch_first": 0}, TypeError, "batch_first should be of type bool"),
        ({"num_layers": 0}, ValueError, "num_layers must be greater than zero"),
        ({"proj_size": -1}, ValueError, "proj_size should be a positive integer"),
        ({"proj_size": 4}, ValueError, "proj_size has to be smaller"),
        ({"proj_size": 2}, ValueError, "reads its first state, so a layer cannot project it"),
        ({"zoneout": 1.5}, ValueError, "must be between 0 and 1"),
        ({"zoneout": (0.1, 0.1)}, ValueError, "one for each state"),
    ],
    ids=str,
)
def test_recurrent_refuses_what_its_namesakes_and_its_cell_cannot(options, error, message):
    with pytest.raises(error, match=message):
        Recurrent(MGUEquations, 3, 4, **options)


def test_recurrent_refuses_sizes_and_cells_that_are_none():
    for sizes, error in (((0, 4), ValueError), ((3, -4), ValueError), ((3.0, 4), TypeError)):
        with pytest.raises(error, match=r"input_size|hidden_size"):
            Recurrent(MGUEquations, *sizes)
    with pytest.raises(TypeError, match="expected a Cell"):
        Recurrent(nn.GRU, 3, 4)
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        Recurrent(MGUEquations, 3, 4, dropout=0.5)


# Bad input.


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bidirectional": True}], ids=str)
def test_wrong_shapes_get_the_answers_of_torch_nn(name, options):
    shapes = [(5, 2, 4), (5, 2), (5,), (2, 5, 2, 3), (5, 2, 3), (0, 2, 3), (5, 3)]
    for x in map(torch.ones, shapes):
        agree(lambda room, x=x: make(room, name, 3, 4, **options)(x))
        for shape in ((1, 2, 4), (2, 2, 4), (1, 2, 5), (1, 4), (2, 4), (1, 1, 4), (4,)):
            hx = state(name, *shape)
            agree(lambda room, x=x, hx=hx: make(room, name, 3, 4, **options)(x, hx))


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_kinds_of_input_get_the_answers_of_torch_nn(name):
    zeros = torch.zeros(1, 2, 4)
    for x in (X.double(), X.bfloat16(), X.to(torch.complex64), X.bool(), X.long(), None, [1.0], X.to("meta")):
        agree(lambda room, x=x: make(room, name, 3, 4)(x))
    for hx in (
        zeros if name == "LSTM" else (zeros,),
        [zeros, zeros],
        (zeros,) * 3,
        state(name, 1, 2, 4, device="meta"),
    ):
        agree(lambda room, hx=hx: make(room, name, 3, 4)(X, hx))
    agree(lambda room: make(room, name, 3, 4, device="meta")(X))
    double = state(name, 1, 2, 4, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="must have the same dtype, but got Double and Float"):
        make(gru_scratch, name, 3, 4)(X, double)


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_packed_input_gets_the_types_of_errors_of_torch_nn(name):
    cases = [
        (pack_padded_sequence(X, [3, 5], enforce_sorted=False), state(name, 1, 1, 4)),
        (pack_padded_sequence(X, [5, 3]), state(name, 1, 3, 4)),
        (pack_padded_sequence(X[..., :2], [5, 3]), None),
        (pack_padded_sequence(X.double(), [5, 3]), None),
    ]
    for packed, hx in cases:
        errors = []
        for room in (nn, gru_scratch):
            with pytest.raises((ValueError, RuntimeError, IndexError)) as error:
                make(room, name, 3, 4)(packed, hx)
            errors.append(error.type)
        assert errors[0] is errors[1]


@pytest.mark.parametrize("name", CELLS)
def test_wrong_input_of_cells_gets_the_answers_of_torch_nn(name):
    for shape in ((2, 3), (3,), (2, 4), (4,), (2, 2, 3), (0, 3)):
        agree(lambda room, shape=shape: make(room, name, 3, 4)(torch.ones(shape)))
        for other in ((2, 4), (4,), (3, 4), (2, 5), (1, 2, 4), (1, 4)):
            hx = state(name, *other)
            agree(lambda room, shape=shape, hx=hx: make(room, name, 3, 4)(torch.ones(shape), hx))
    agree(lambda room: make(room, name, 3, 4)(torch.ones(2, 3).double()))
    agree(lambda room: make(room, name, 3, 4)(torch.ones(2, 3).long()))


def test_the_states_of_an_lstm_are_two():
    one = torch.zeros(2, 4)
    for hx in ((), (one,), (one, one, one), torch.stack([one, one])):
        agree(lambda room, hx=hx: room.LSTMCell(3, 4)(torch.ones(2, 3), hx))
    with pytest.raises(TypeError, match="'hx' must be tuple of Tensors, not Tensor"):
        LSTM(3, 4)(X, torch.zeros(2, 1, 2, 4))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([2, 2], "add up to its 3 rows, received 4"),
        ([2], "add up to its 3 rows, received 2"),
        ([1, 2], "must not grow"),
    ],
)
def test_a_packed_sequence_that_cannot_be_is_refused(sizes, message):
    with pytest.raises(RuntimeError, match=f"batch_sizes of a PackedSequence .*{message}"):
        GRU(3, 4)(PackedSequence(torch.ones(3, 3), torch.tensor(sizes)))


def test_unknown_nonlinearity_of_a_cell_is_found_when_it_steps():
    agree(lambda room: room.RNNCell(3, 4, nonlinearity="sine")(torch.ones(2, 3)))


@pytest.mark.parametrize("layer", [GRU(3, 4), Recurrent(LSTMEquations, 3, 4)], ids=["gru", "recurrent"])
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([5, 6], ValueError, r"lengths must be between 0 and 5, received \[5, 6\]"),
        ([-1, 3], ValueError, r"lengths must be between 0 and 5, received \[-1, 3\]"),
        ([5], ValueError, r"shape \(2,\), one for each sequence, received \(1,\)"),
        ([[5, 5]], ValueError, r"received \(1, 2\)"),
        (3, ValueError, r"received \(\)"),
        ([5.0, 3.0], TypeError, "lengths must be integers, received torch.float32"),
        ([True, False], TypeError, "lengths must be integers, received torch.bool"),
    ],
    ids=str,
)
def test_wrong_lengths_are_refused(layer, lengths, error, message):
    with pytest.raises(error, match=message):
        layer(X, lengths=lengths)


def test_lengths_need_a_padded_batch():
    with pytest.raises(ValueError, match="PackedSequence, which has its own"):
        GRU(3, 4)(pack_sequence([X[:, 0]]), lengths=[5])
    with pytest.raises(ValueError, match="lengths needs a batch"):
        GRU(3, 4)(X[:, 0], lengths=[5])


def test_tokens_that_are_none_are_refused():
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=f"token indices must be between 0 and 2, received {wrong}"):
            GRU(3, 4)(torch.tensor([[0], [wrong]]))


@pytest.mark.parametrize("make_layer", [GRU, lambda *a: Recurrent(GRUEquations, *a)], ids=["gru", "recurrent"])
def test_recurrent_answers_as_the_layers_do(make_layer):
    layer = make_layer(3, 4)
    with pytest.raises(ValueError, match=r"torch\.float64") as refusal:
        nn.GRU(3, 4)(X.double())
    dtypes = re.escape(str(refusal.value))  # in PyTorch 2.10 other words than later
    for x, hx, error, message in (
        (torch.ones(5, 2, 4), None, RuntimeError, "input.size.-1. must be equal to input_size. Expected 3, got 4"),
        (X.double(), None, ValueError, dtypes),
        (torch.ones(2, 2, 2, 3), None, ValueError, "Expected input to be 2D or 3D, got 4D instead"),
        (X, torch.zeros(2, 2, 4), RuntimeError, r"Expected hidden size \(1, 2, 4\), got \[2, 2, 4\]"),
        (X, torch.zeros(1, 4), RuntimeError, "For batched 3-D input, hx should also be 3-D but got 2-D tensor"),
    ):
        with pytest.raises(error, match=message):
            layer(x, hx)


def test_a_subclass_keeps_the_names_in_messages():
    class Mine(LSTM):
        pass

    with pytest.raises(ValueError, match="LSTM: Expected input to be 2D or 3D, got 1D instead"):
        Mine(3, 4)(torch.ones(5))
    assert repr(Mine(3, 4)) == "Mine(3, 4)"
