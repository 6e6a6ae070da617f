"""Long short-term memory ("Dive into Deep Learning", section 9.2; Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    I_t = sigmoid(X_t W_xi + H_{t-1} W_hi + b_i)            the input gate: 1 lets the candidate in
    F_t = sigmoid(X_t W_xf + H_{t-1} W_hf + b_f)            the forget gate: 1 keeps the old memory
    O_t = sigmoid(X_t W_xo + H_{t-1} W_ho + b_o)            the output gate: 1 shows the memory
    C_tilde_t = tanh(X_t W_xc + H_{t-1} W_hc + b_c)         the candidate
    C_t = F_t * C_{t-1} + I_t * C_tilde_t                   the memory cell
    H_t = O_t * tanh(C_t)                                   the hidden state
    Y_t = H_t W_hq + b_q                                    scores of the next token

Shapes, for B sequences of T steps over a vocabulary of V tokens, with H hidden units (`*` is elementwise):

    X_t (B, V)                                  one-hot rows, one for each sequence
    I_t, F_t, O_t, C_tilde_t, C_t, H_t (B, H)
    Y_t (B, V)
    W_xi, W_xf, W_xo, W_xc (V, H)               W_hi, W_hf, W_ho, W_hc (H, H)               b_i, b_f, b_o, b_c (H,)
    W_hq (H, V)                                 b_q (V,)

`nn.LSTM` computes the same H_t and C_t; it keeps its weights transposed and stacked in the order i, f, c, o (it calls
the candidate g), and each bias as the sum of two.
"""

from __future__ import annotations

import torch
from torch import Tensor

Device = torch.device | str | None
State = tuple[Tensor, Tensor]


def get_lstm_params(vocab_size: int, num_hiddens: int, device: Device = None) -> list[Tensor]:
    """[W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q], drawn in this order.

    Weights are drawn from N(0, 0.01^2), biases are zero.
    """
    num_inputs = num_outputs = vocab_size

    def normal(rows: int, columns: int) -> Tensor:
        return torch.randn((rows, columns), device=device) * 0.01

    def three() -> tuple[Tensor, Tensor, Tensor]:
        W_x = normal(num_inputs, num_hiddens)
        W_h = normal(num_hiddens, num_hiddens)
        b = torch.zeros(num_hiddens, device=device)
        return W_x, W_h, b

    W_xi, W_hi, b_i = three()  # input gate
    W_xf, W_hf, b_f = three()  # forget gate
    W_xo, W_ho, b_o = three()  # output gate
    W_xc, W_hc, b_c = three()  # candidate
    # Output
    W_hq = normal(num_hiddens, num_outputs)
    b_q = torch.zeros(num_outputs, device=device)

    params = [W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q]
    for param in params:
        param.requires_grad_(True)
    return params


def init_lstm_state(batch_size: int, num_hiddens: int, device: Device = None) -> State:
    """The state (H, C) before the first step: zeros (B, H) twice."""
    H = torch.zeros((batch_size, num_hiddens), device=device)
    C = torch.zeros((batch_size, num_hiddens), device=device)
    return H, C


def lstm(inputs: Tensor, state: State, params: list[Tensor]) -> tuple[Tensor, State]:
    """All steps of `inputs` (T, B, V) from `state` on: the scores Y (T * B, V), step after step, and the last state."""
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q = params
    H, C = state
    outputs = []
    for X in inputs:
        I = torch.sigmoid((X @ W_xi) + (H @ W_hi) + b_i)
        F = torch.sigmoid((X @ W_xf) + (H @ W_hf) + b_f)
        O = torch.sigmoid((X @ W_xo) + (H @ W_ho) + b_o)
        C_tilde = torch.tanh((X @ W_xc) + (H @ W_hc) + b_c)
        C = F * C + I * C_tilde
        H = O * torch.tanh(C)
        Y = (H @ W_hq) + b_q
        outputs.append(Y)
    return torch.cat(outputs, dim=0), (H, C)
