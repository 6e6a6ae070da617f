"""The chapter's functions: bit for bit the book's, and the same numbers as torch.nn and as the papers' equations."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.book_package import page_functions
from torch import Tensor, nn

from gru_scratch.scratch.gru import get_gru_params, get_gru_reset_after_params, gru, gru_reset_after, init_gru_state
from gru_scratch.scratch.lstm import get_lstm_params, init_lstm_state, lstm
from gru_scratch.scratch.rnn import get_rnn_params, init_rnn_state, rnn

T, B, V, H = 24, 5, 7, 11

BOOK_PAGES = {
    "rnn_scratch": ((get_rnn_params, init_rnn_state, rnn), ("get_params", "init_rnn_state", "rnn")),
    "gru": ((get_gru_params, init_gru_state, gru), ("get_params", "init_gru_state", "gru")),
    "lstm": ((get_lstm_params, init_lstm_state, lstm), ("get_lstm_params", "init_lstm_state", "lstm")),
}

# The names under which torch.nn stacks what the functions take one by one: (W_x, W_h, b) of each gate, in its order.
STACKED = {
    nn.RNN: (get_rnn_params, rnn, ["h"]),
    nn.GRU: (get_gru_reset_after_params, gru_reset_after, ["r", "z", "h"]),
    nn.LSTM: (get_lstm_params, lstm, ["i", "f", "c", "o"]),
}
ORDER = {rnn: "h", gru: "zrh", gru_reset_after: "zrh", lstm: "ifoc"}


def named(function: Callable[..., Any], params: list[Tensor]) -> dict[str, Tensor]:
    """The parameters of a function under the book's names."""
    names = [f"{kind}{gate}" for gate in ORDER[function] for kind in ("W_x", "W_h", "b_")]
    if function is gru_reset_after:
        names.append("b_hh")
    return dict(zip([*names, "W_hq", "b_q"], params, strict=True))


def random_params(get_params: Callable[..., list[Tensor]], dtype: torch.dtype, scale: float = 0.3) -> list[Tensor]:
    """Parameters of a size that tells, biases too; the drawn ones are near zero, where all cells look alike."""
    return [(scale * torch.randn_like(p, dtype=dtype)).requires_grad_(True) for p in get_params(V, H)]


def random_state(function: Callable[..., Any], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(torch.randn(B, H, dtype=dtype, requires_grad=True) for _ in range(2 if function is lstm else 1))


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the tensor's largest magnitude."""
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    return float(((ours - theirs).abs().max() / theirs.abs().max()).detach())


# ------------------------------------------------------------------------------------------------ the book


@pytest.mark.parametrize("page", BOOK_PAGES)
def test_bit_for_bit_the_books(page: str) -> None:
    """Draws, zero state, outputs over two calls, last state and every gradient."""
    ours, names = BOOK_PAGES[page]
    results = []
    for get_params, init_state, forward in (ours, page_functions(page, names)):
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


@pytest.mark.parametrize(("get_params", "count"), [(get_rnn_params, 5), (get_gru_params, 11), (get_lstm_params, 14)])
def test_parameters_are_small_normal_numbers_and_zero_biases(
    get_params: Callable[..., list[Tensor]], count: int
) -> None:
    params = get_params(30, 200)
    assert len(params) == count
    assert all(p.requires_grad and p.is_leaf for p in params)
    for p in (param.detach() for param in params):
        if p.dim() == 1:
            assert not p.any()
        else:
            assert float(p.mean()) == pytest.approx(0, abs=5e-4)
            assert float(p.std()) == pytest.approx(0.01, rel=0.05)


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


def torch_weights(layer: type[nn.RNNBase], params: dict[str, Tensor]) -> dict[str, Tensor]:
    """What torch.nn's layer has to be given to compute the same: stacked by its order, transposed, a second bias."""
    gates = STACKED[layer][2]
    bias_hh = [torch.zeros(H, dtype=params["W_hq"].dtype) for _ in gates]
    if "b_hh" in params:
        bias_hh[gates.index("h")] = params["b_hh"]
    return {
        "weight_ih_l0": torch.cat([params[f"W_x{gate}"].T for gate in gates]),
        "weight_hh_l0": torch.cat([params[f"W_h{gate}"].T for gate in gates]),
        "bias_ih_l0": torch.cat([params[f"b_{gate}"] for gate in gates]),
        "bias_hh_l0": torch.cat(bias_hh),
    }


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


# ------------------------------------------------------------------------------------------------ the papers


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def numpy_gru(inputs: np.ndarray, h: np.ndarray, p: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Cho et al. (2014), equations 5 to 8, with biases, one sequence after another and its update gate as there:

    h_j <- z_j h_j + (1 - z_j) h~_j, and h~ = tanh(W x + U (r * h)).
    """
    rows = []
    last = np.zeros_like(h)
    for b in range(h.shape[0]):
        s = h[b]
        for t in range(inputs.shape[0]):
            x = inputs[t, b]
            r = sigmoid(p["W_xr"].T @ x + p["W_hr"].T @ s + p["b_r"])
            z = sigmoid(p["W_xz"].T @ x + p["W_hz"].T @ s + p["b_z"])
            candidate = np.tanh(p["W_xh"].T @ x + p["W_hh"].T @ (r * s) + p["b_h"])
            s = z * s + (1 - z) * candidate
            rows.append((t, b, p["W_hq"].T @ s + p["b_q"]))
        last[b] = s
    return np.array([y for _, _, y in sorted(rows, key=lambda row: row[:2])]), last


def numpy_lstm(
    inputs: np.ndarray, h: np.ndarray, c: np.ndarray, p: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gers et al. (2000): a forget gate beside the input and output gates."""
    outputs = []
    for x in inputs:
        i, f, o = (sigmoid(x @ p[f"W_x{g}"] + h @ p[f"W_h{g}"] + p[f"b_{g}"]) for g in "ifo")
        c = f * c + i * np.tanh(x @ p["W_xc"] + h @ p["W_hc"] + p["b_c"])
        h = o * np.tanh(c)
        outputs.append(h @ p["W_hq"] + p["b_q"])
    return np.concatenate(outputs), h, c


def arrays(params: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in params.items()}


def test_gru_is_the_papers() -> None:
    params = named(gru, random_params(get_gru_params, torch.float64))
    (state,) = random_state(gru, torch.float64)
    inputs = torch.randn(T, B, V, dtype=torch.float64)
    scores, (last,) = gru(inputs, (state,), list(params.values()))
    paper_scores, paper_last = numpy_gru(inputs.numpy(), state.detach().numpy(), arrays(params))
    assert difference(scores, torch.from_numpy(paper_scores)) <= 1e-12
    assert difference(last, torch.from_numpy(paper_last)) <= 1e-12


def test_lstm_is_the_papers() -> None:
    params = named(lstm, random_params(get_lstm_params, torch.float64))
    state = random_state(lstm, torch.float64)
    inputs = torch.randn(T, B, V, dtype=torch.float64)
    scores, last = lstm(inputs, state, list(params.values()))
    paper = numpy_lstm(inputs.numpy(), *(s.detach().numpy() for s in state), arrays(params))
    for mine, its in zip((scores, *last), paper, strict=True):
        assert difference(mine, torch.from_numpy(its)) <= 1e-12


def test_gradients_are_those_of_finite_differences() -> None:
    for get_params, forward in ((get_rnn_params, rnn), (get_gru_params, gru), (get_lstm_params, lstm)):
        params = random_params(get_params, torch.float64)
        state = random_state(forward, torch.float64)
        inputs = torch.randn(3, B, V, dtype=torch.float64, requires_grad=True)
        count = len(state)

        def call(inputs: Tensor, *rest: Tensor, forward: Any = forward, count: int = count) -> tuple[Tensor, ...]:
            outputs, last = forward(inputs, rest[:count], list(rest[count:]))
            return outputs, *last

        assert torch.autograd.gradcheck(call, (inputs, *state, *params), fast_mode=True)


# ------------------------------------------------------------------------------------------------ two GRUs, two signs


def both_grus(change: Callable[[SimpleNamespace], None]) -> float:
    """How far `gru` is from `nn.GRU` given its parameters, after `change` has had them."""
    params = SimpleNamespace(**named(gru_reset_after, random_params(get_gru_reset_after_params, torch.float64)))
    with torch.no_grad():
        change(params)
    values = vars(params)
    (state,) = random_state(gru, torch.float64)
    inputs = torch.randn(T, B, V, dtype=torch.float64)
    layer = nn.GRU(V, H, dtype=torch.float64)
    hidden, _ = torch.func.functional_call(layer, torch_weights(nn.GRU, values), (inputs, state[None]))
    before = {name: value for name, value in values.items() if name != "b_hh"}
    scores, _ = gru(inputs, (state,), list(before.values()))
    return difference(scores, hidden.reshape(T * B, H) @ values["W_hq"] + values["b_q"])


def test_gru_is_nn_gru_where_the_reset_gate_stays_open() -> None:
    """Saturated open (R = 1) and without the candidate's recurrent bias the two are one; else they are two."""

    def saturate(params: SimpleNamespace) -> None:
        params.b_r.fill_(1e3)

    def without_bias(params: SimpleNamespace) -> None:
        params.b_hh.zero_()

    def both(params: SimpleNamespace) -> None:
        saturate(params)
        without_bias(params)

    assert both_grus(both) <= 1e-12
    assert both_grus(saturate) > 1e-2
    assert both_grus(without_bias) > 1e-2
    assert both_grus(lambda params: None) > 1e-2


@pytest.mark.parametrize("forward", [gru, gru_reset_after], ids=lambda forward: forward.__name__)
def test_the_other_sign_of_the_update_gate_is_ours_negated(forward: Callable[..., Any]) -> None:
    """h' = (1 - z) h + z n, as Cho et al. explain their gate in words and several tutorials write it."""
    get_params = get_gru_params if forward is gru else get_gru_reset_after_params
    params = named(forward, random_params(get_params, torch.float64))
    (state,) = random_state(forward, torch.float64)
    inputs = torch.randn(T, B, V, dtype=torch.float64)

    h, rows = state, []
    for x in inputs:
        z = torch.sigmoid(x @ params["W_xz"] + h @ params["W_hz"] + params["b_z"])
        r = torch.sigmoid(x @ params["W_xr"] + h @ params["W_hr"] + params["b_r"])
        if forward is gru:
            n = torch.tanh(x @ params["W_xh"] + (r * h) @ params["W_hh"] + params["b_h"])
        else:
            n = torch.tanh(x @ params["W_xh"] + params["b_h"] + r * (h @ params["W_hh"] + params["b_hh"]))
        h = (1 - z) * h + z * n
        rows.append(h @ params["W_hq"] + params["b_q"])
    other = torch.cat(rows)

    ours, _ = forward(inputs, (state,), list(params.values()))
    assert difference(ours, other) > 1e-2
    negated = {name: -value if name in ("W_xz", "W_hz", "b_z") else value for name, value in params.items()}
    ours, (last,) = forward(inputs, (state,), list(negated.values()))
    assert difference(ours, other) <= 1e-12
    assert difference(last, h) <= 1e-12


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
