"""The recurrent network ("Dive into Deep Learning", sections 8.4 and 8.5).

    H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)       the hidden state
    Y_t = H_t W_hq + b_q                            scores of the next token

Shapes, for B sequences of T steps over a vocabulary of V tokens, with H hidden units:

    X_t (B, V)      one-hot rows, one for each sequence
    H_t (B, H)
    Y_t (B, V)
    W_xh (V, H)     W_hh (H, H)     b_h (H,)
    W_hq (H, V)     b_q (V,)

`nn.RNN` computes the same H_t; it keeps its weights transposed, and b_h as the sum of two.
"""

from __future__ import annotations

import torch
from torch import Tensor

Device = torch.device | str | None
State = tuple[Tensor]


def get_rnn_params(vocab_size: int, num_hiddens: int, device: Device = None) -> list[Tensor]:
    """[W_xh, W_hh, b_h, W_hq, b_q], drawn in this order: weights from N(0, 0.01^2), biases zero."""
    num_inputs = num_outputs = vocab_size

    def normal(rows: int, columns: int) -> Tensor:
        return torch.randn((rows, columns), device=device) * 0.01

    # Hidden state
    W_xh = normal(num_inputs, num_hiddens)
    W_hh = normal(num_hiddens, num_hiddens)
    b_h = torch.zeros(num_hiddens, device=device)
    # Output
    W_hq = normal(num_hiddens, num_outputs)
    b_q = torch.zeros(num_outputs, device=device)

    params = [W_xh, W_hh, b_h, W_hq, b_q]
    for param in params:
        param.requires_grad_(True)
    return params


def init_rnn_state(batch_size: int, num_hiddens: int, device: Device = None) -> State:
    """The state (H,) before the first step: zeros (B, H)."""
    return (torch.zeros((batch_size, num_hiddens), device=device),)


def rnn(inputs: Tensor, state: State, params: list[Tensor]) -> tuple[Tensor, State]:
    """All steps of `inputs` (T, B, V) from `state` on: the scores Y (T * B, V), step after step, and the last state."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = torch.tanh((X @ W_xh) + (H @ W_hh) + b_h)
        Y = (H @ W_hq) + b_q
        outputs.append(Y)
    return torch.cat(outputs, dim=0), (H,)
