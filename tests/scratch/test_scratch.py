"""The functions of `scratch/`: the bits of the book, and the numbers of torch.nn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.readers_cells import READERS_CELLS
from support.scratch_functions import STACKED, B, H, T, V, difference, named, random_params, random_state, torch_weights
from torch import Tensor, nn

from gru_scratch.scratch.gru import (
    get_gru_params,
    get_gru_reset_after_params,
    gru,
    gru_reset_after,
    gru_shapes,
    init_gru_state,
)
from gru_scratch.scratch.lstm import get_lstm_params, init_lstm_state, lstm, lstm_shapes
from gru_scratch.scratch.rnn import get_rnn_params, init_rnn_state, rnn, rnn_shapes

OURS = {
    "rnn": (get_rnn_params, init_rnn_state, rnn),
    "gru": (get_gru_params, init_gru_state, gru),
    "lstm": (get_lstm_params, init_lstm_state, lstm),
}

# ------------------------------------------------------------------------------------------------ the book


@pytest.mark.parametrize("cell", OURS)
def test_draws_and_order_of_sums_are_the_books(cell: str) -> None:
    """Parameters, zero state, outputs over two calls, last state and every gradient, bit for bit."""
    results = []
    for get_params, init_state, forward in (OURS[cell], READERS_CELLS[cell]):
        torch.manual_seed(3)
        params = get_params(28, 32, "cpu")
        state = init_state(4, 32, "cpu")
        start = [*params, *state]
        inputs = nn.functional.one_hot(torch.randint(0, 28, (35, 4)), 28).float()
        outputs, state = forward(inputs, state, params)
        more, state = forward(inputs, state, params)
        nn.functional.cross_entropy(torch.cat([outputs, more]), torch.randint(0, 28, (280,))).backward()
        gradients = [param.grad for param in params]
        results.append([*[t.detach().clone() for t in start], outputs, more, *state, *gradients])
    assert len(results[0]) == len(results[1])
    assert all(torch.equal(mine, its) for mine, its in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("get_params", "shapes"),
    [(get_rnn_params, rnn_shapes), (get_gru_params, gru_shapes), (get_lstm_params, lstm_shapes)],
)
def test_parameters_are_small_normal_numbers_and_zero_biases(
    get_params: Callable[..., list[Tensor]], shapes: Callable[..., dict[str, tuple[int, ...]]]
) -> None:
    params = get_params(30, 200)
    assert [tuple(p.shape) for p in params] == list(shapes(30, 200).values())
    assert all(p.requires_grad and p.is_leaf for p in params)
    for p in (param.detach() for param in params):
        if p.dim() == 1:
            assert not p.any()
        else:
            assert float(p.mean()) == pytest.approx(0, abs=5e-4)
            assert float(p.std()) == pytest.approx(0.01, rel=0.05)


def test_parameters_have_the_books_names() -> None:
    for function, shapes in ((rnn, rnn_shapes), (gru, gru_shapes), (lstm, lstm_shapes)):
        expected = shapes(V, H)
        assert list(named(function, [torch.zeros(shape) for shape in expected.values()])) == list(expected)


def test_reset_after_draws_what_the_books_gru_draws() -> None:
    torch.manual_seed(1)
    params = named(gru, get_gru_params(V, H))
    torch.manual_seed(1)
    more = named(gru_reset_after, get_gru_reset_after_params(V, H))
    assert set(more) - set(params) == {"b_hh"}
    assert not more["b_hh"].any()
    assert more["b_hh"].requires_grad
    assert all(torch.equal(more[name], value) for name, value in params.items())


# ------------------------------------------------------------------------------------------------ torch.nn


@pytest.mark.parametrize("layer", STACKED, ids=lambda layer: layer.__name__)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_values_and_gradients_are_those_of_torch_nn(
    layer: type[nn.RNNBase], dtype: torch.dtype, tolerance: float
) -> None:
    get_params, forward, _ = STACKED[layer]
    params = named(forward, random_params(get_params, dtype))
    state = random_state(forward, dtype)
    inputs = torch.randn(T, B, V, dtype=dtype, requires_grad=True)
    leaves = [inputs, *state, *params.values()]

    def ours() -> tuple[Tensor, tuple[Tensor, ...]]:
        return forward(inputs, state, list(params.values()))

    def theirs() -> tuple[Tensor, tuple[Tensor, ...]]:
        first = tuple(s[None] for s in state)
        hidden, last = torch.func.functional_call(
            layer(V, H, dtype=dtype),
            torch_weights(layer, params),
            (inputs, first if layer is nn.LSTM else first[0]),
        )
        scores = hidden.reshape(T * B, H) @ params["W_hq"] + params["b_q"]
        return scores, tuple(s[0] for s in (last if layer is nn.LSTM else (last,)))

    results = []
    weight = torch.randn(T * B, V, dtype=dtype)
    for compute in (ours, theirs):
        scores, last = compute()
        loss = (scores * weight).sum() + sum((s**2).sum() for s in last)
        results.append([scores, *last, *torch.autograd.grad(loss, leaves)])
    for mine, its in zip(*results, strict=True):
        assert difference(mine, its) <= tolerance


# ------------------------------------------------------------------------------------------------ shapes


few = st.integers(1, 4)


@given(steps=few, batch=few, vocab=few, hidden=few, cut=st.integers(0, 4))
def test_shapes_and_that_a_text_may_be_read_in_parts(steps: int, batch: int, vocab: int, hidden: int, cut: int) -> None:
    cut = min(cut, steps)
    for get_params, init_state, forward in (
        (get_rnn_params, init_rnn_state, rnn),
        (get_gru_params, init_gru_state, gru),
        (get_gru_reset_after_params, init_gru_state, gru_reset_after),
        (get_lstm_params, init_lstm_state, lstm),
    ):
        params = [p.double() for p in get_params(vocab, hidden)]
        state = tuple(s.double() for s in init_state(batch, hidden))
        assert all(s.shape == (batch, hidden) and not s.any() for s in state)
        inputs = torch.randn(steps, batch, vocab, dtype=torch.float64)
        outputs, last = forward(inputs, state, params)
        assert outputs.shape == (steps * batch, vocab)
        assert all(s.shape == (batch, hidden) for s in last)
        rows = []
        for part in (inputs[:cut], inputs[cut:]):
            if len(part):
                row, state = forward(part, state, params)
                rows.append(row)
        torch.testing.assert_close(torch.cat(rows), outputs)
        torch.testing.assert_close(state, last)
