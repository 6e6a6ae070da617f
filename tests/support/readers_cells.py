"""The cells as a reader of the book may write them: the book's draws, its order of sums, and nothing of this library.

Each is three functions, as `RNNModelScratch` of either package takes them: `*READERS_CELLS["gru"]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Sum = Callable[[str, Tensor], Tensor]
"""X W_xg + H W_hg + b_g, of a gate g and an H, for the X of a step."""
GATES = {"rnn": "h", "gru": "zrh", "lstm": "ifoc"}


def rnn_step(sum_of: Sum, H: Tensor) -> State:
    return (torch.tanh(sum_of("h", H)),)


def gru_step(sum_of: Sum, H: Tensor) -> State:
    z, r = (torch.sigmoid(sum_of(gate, H)) for gate in "zr")
    return (z * H + (1 - z) * torch.tanh(sum_of("h", r * H)),)


def lstm_step(sum_of: Sum, H: Tensor, C: Tensor) -> State:
    i, f, o = (torch.sigmoid(sum_of(gate, H)) for gate in "ifo")
    C = f * C + i * torch.tanh(sum_of("c", H))
    return o * torch.tanh(C), C


def draw(gates: str, vocab_size: int, num_hiddens: int, device: torch.device) -> list[Tensor]:
    """W_xg, W_hg and b_g of each gate, then W_hq and b_q."""
    small = partial(torch.normal, 0.0, 0.01, device=device)
    params = []
    for _ in gates:
        params += [small((vocab_size, num_hiddens)), small((num_hiddens, num_hiddens)), torch.zeros(num_hiddens)]
    params += [small((num_hiddens, vocab_size)), torch.zeros(vocab_size)]
    return [param.to(device).requires_grad_() for param in params]


def zeros(count: int, batch_size: int, num_hiddens: int, device: torch.device) -> State:
    return tuple(torch.zeros(batch_size, num_hiddens, device=device) for _ in range(count))


def run(
    gates: str, step: Callable[..., State], inputs: Tensor, state: State, params: Sequence[Tensor]
) -> tuple[Tensor, State]:
    names = [f"{kind}{gate}" for gate in gates for kind in ("W_x", "W_h", "b_")]
    p = dict(zip([*names, "W_hq", "b_q"], params, strict=True))
    scores = []
    for X in inputs.unbind():

        def sum_of(gate: str, H: Tensor, X: Tensor = X) -> Tensor:
            return torch.mm(X, p[f"W_x{gate}"]) + torch.mm(H, p[f"W_h{gate}"]) + p[f"b_{gate}"]

        state = step(sum_of, *state)
        scores.append(torch.mm(state[0], p["W_hq"]) + p["b_q"])
    return torch.cat(scores), state


class ReadersCell(NamedTuple):
    """What `RNNModelScratch` takes, in its order."""

    get_params: Callable[..., list[Tensor]]
    init_state: Callable[..., State]
    forward: Callable[..., tuple[Tensor, State]]


def _cell(gates: str, step: Callable[..., State], num_states: int) -> ReadersCell:
    return ReadersCell(partial(draw, gates), partial(zeros, num_states), partial(run, gates, step))


READERS_CELLS = {
    "rnn": _cell(GATES["rnn"], rnn_step, 1),
    "gru": _cell(GATES["gru"], gru_step, 1),
    "lstm": _cell(GATES["lstm"], lstm_step, 2),
}
