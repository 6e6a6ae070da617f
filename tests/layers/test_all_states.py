"""``all_states``: every state after every step, with gradients, on the engine that runs the layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.one_layer import assert_close
from support.sample_cells import ManyProducts, Stabilised
from torch import Tensor, nn

from gru_scratch import GRU, LSTM, RNN, Recurrent
from gru_scratch.cells import LayerNormLSTMEquations, PeepholeLSTMEquations
from gru_scratch.engines import textbook

T, B, D, H = 5, 3, 3, 4
MAKERS: dict[str, Any] = {
    "rnn": lambda **o: RNN(D, H, **o),
    "gru": lambda **o: GRU(D, H, **o),
    "lstm": lambda **o: LSTM(D, H, **o),
    "projected lstm": lambda **o: LSTM(D, H, proj_size=2, **o),
    "peephole lstm": lambda **o: Recurrent(PeepholeLSTMEquations, D, H, **o),
    "three states": lambda **o: Recurrent(Stabilised, D, H, **o),
    "many products": lambda **o: Recurrent(ManyProducts, D, H, **o),
    "layer norm": lambda **o: Recurrent(LayerNormLSTMEquations, D, H, **o),
}
SHAPES: dict[str, dict[str, Any]] = {
    "one": {},
    "deep, both ways": {"num_layers": 2, "bidirectional": True},
    "batch first": {"batch_first": True},
}
LENGTHS = [3, 5, 1]


def states_of(hx: Any) -> tuple[Tensor, ...]:
    return hx if isinstance(hx, tuple) else (hx,)


def as_given(states: list[Tensor]) -> Any:
    return states[0] if len(states) == 1 else tuple(states)


def drawn(layer: Any) -> tuple[Tensor, list[Tensor]]:
    """An input and initial states that are leaves."""
    x = torch.randn(T, B, D, dtype=torch.float64)
    x = (x.transpose(0, 1) if layer.batch_first else x).requires_grad_()
    start = states_of(layer.initial_state(B, dtype=torch.float64))
    return x, [(torch.rand_like(s) + 0.5).requires_grad_() for s in start]


def results(every: Any, leaves: list[Tensor]) -> list[Tensor]:
    """The states, and the gradients of the leaves under a loss in which every number of them counts."""
    states = states_of(every)
    shares = [(s * torch.linspace(-1, 1 + k, s.numel(), dtype=s.dtype).view_as(s)).sum() for k, s in enumerate(states)]
    return [*states, *torch.autograd.grad(sum(shares), leaves, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("engine", ["auto", "fused"])
@pytest.mark.parametrize("name", MAKERS)
def test_values_and_gradients_are_the_textbooks(name, engine, shape, lengths):
    layer = MAKERS[name](dtype=torch.float64, **SHAPES[shape])
    x, hx = drawn(layer)
    leaves = [x, *hx, *layer.parameters()]
    layer.engine = "textbook"
    expected = results(layer.all_states(x, as_given(hx), lengths=lengths), leaves)
    layer.engine = engine
    for one, other in zip(results(layer.all_states(x, as_given(hx), lengths=lengths), leaves), expected, strict=True):
        assert_close(one, other, 1e-10)
    with torch.no_grad():
        for one, other in zip(states_of(layer.all_states(x, as_given(hx), lengths=lengths)), expected, strict=False):
            assert_close(one, other, 1e-10)


@pytest.mark.parametrize("engine", ["auto", "fused", "textbook"])
@pytest.mark.parametrize("name", MAKERS)
def test_values_and_gradients_are_those_of_a_loop_over_steps(name, engine):
    layer = MAKERS[name](dtype=torch.float64, engine=engine)
    x, hx = drawn(layer)
    leaves, seen, state = [x, *hx, *layer.parameters()], [], as_given(hx)
    for t in range(T):
        _, state = layer(x[t : t + 1], state)
        seen.append(states_of(state))
    expected = results(tuple(torch.cat(each) for each in zip(*seen, strict=True)), leaves)
    for one, other in zip(results(layer.all_states(x, as_given(hx)), leaves), expected, strict=True):
        assert_close(one, other, 1e-10)


@pytest.mark.parametrize("name", MAKERS)
def test_the_first_is_the_output_and_the_last_are_final(name):
    layer = MAKERS[name](num_layers=2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64)
    every = states_of(layer.all_states(x, lengths=LENGTHS))
    outputs, final = layer(x, lengths=LENGTHS)
    assert_close(every[0], outputs)
    for states, last in zip(every, states_of(final), strict=True):
        forwards, backwards = states.chunk(2, -1)
        assert_close(torch.stack([forwards[n - 1, b] for b, n in enumerate(LENGTHS)]), last[2])
        assert_close(backwards[0], last[3])
        assert not states[3:, 0].any()


@pytest.mark.parametrize("engine", ["auto", "builtin"])
def test_of_an_lstm_they_are_its_memory_cells_too(engine):
    layer = LSTM(D, H, dtype=torch.float64, batch_first=True, engine=engine)
    cell = nn.LSTMCell(D, H, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x, state = torch.randn(2, 5, D, dtype=torch.float64), None
    h, c = layer.all_states(x)
    for t in range(5):
        state = cell(x[:, t], state)
        assert_close(h[:, t], state[0])
        assert_close(c[:, t], state[1])


@pytest.mark.parametrize("engine", ["auto", "fused"])
def test_the_engine_of_the_layer_runs_them(engine, monkeypatch):
    """Not the textbook loop: neither forward nor back."""
    layer = LSTM(D, H, 2, bidirectional=True, engine=engine)
    monkeypatch.setattr(textbook, "run", None)
    h, c = layer.all_states(torch.randn(T, B, D))
    (h.sum() + c.sum()).backward()
    assert layer.weight_hh_l0.grad.any()


def test_resets_clear_them():
    layer, resets = LSTM(D, H, dtype=torch.float64), torch.zeros(T, B, dtype=torch.bool)
    resets[2, 1] = True
    x = torch.randn(T, B, D, dtype=torch.float64)
    _, whole = layer.all_states(x, resets=resets)
    assert_close(whole[2:, 1:2], layer.all_states(x[2:, 1:2])[1])
    assert_close(whole[:2], layer.all_states(x[:2])[1])


def test_second_derivatives():
    layer = LSTM(2, 2, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer.all_states(x)[1].sin().sum(), x, fast_mode=True)


def test_a_model_that_reads_them_compiles_and_traces_whole():
    layer = LSTM(D, H)

    def memory(x: Tensor) -> Tensor:
        return layer.all_states(x)[1]

    x = torch.randn(T, B, D)
    expected = memory(x)
    assert_close(torch.compile(memory, fullgraph=True, backend="aot_eager")(x), expected, 1e-6)
    assert_close(torch.func.vmap(lambda row: layer.all_states(row)[1], 1, 1)(x), expected, 1e-6)
