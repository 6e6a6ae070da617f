"""The functions of `scratch/` against the papers' equations, and against the other forms in which a GRU is written."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.scratch_functions import B, H, T, V, difference, named, random_params, random_state, torch_weights
from torch import Tensor, nn

from gru_scratch.scratch.gru import get_gru_params, get_gru_reset_after_params, gru, gru_reset_after
from gru_scratch.scratch.lstm import get_lstm_params, lstm
from gru_scratch.scratch.rnn import get_rnn_params, rnn


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
