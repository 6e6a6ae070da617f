"""The functions of `scratch/`, parameters that tell cells apart, and how far two results are from each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.scratch.gru import get_gru_reset_after_params, gru, gru_reset_after
from gru_scratch.scratch.lstm import get_lstm_params, lstm
from gru_scratch.scratch.rnn import get_rnn_params, rnn

T, B, V, H = 24, 5, 7, 11
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
