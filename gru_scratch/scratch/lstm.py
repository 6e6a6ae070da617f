"""Long short-term memory ("Dive into Deep Learning" 0.17, 9.2; Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

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

`nn.LSTM` computes the same H_t and C_t; its weights are transposed and stacked in the order i, f, g, o (g is the
candidate), and each bias is the sum of two.
"""

from __future__ import annotations

import torch
from torch import Tensor

Device = torch.device | str | None
State = tuple[Tensor, Tensor]


GATES = ("i", "f", "o", "c")
"""The input, forget and output gates and the candidate, in the order in which they are drawn."""


def lstm_shapes(vocab_size: int, num_hiddens: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of `lstm`, by name, in the order of their list."""
    V, H = vocab_size, num_hiddens
    shapes: dict[str, tuple[int, ...]] = {}
    for gate in GATES:
        shapes |= {f"W_x{gate}": (V, H), f"W_h{gate}": (H, H), f"b_{gate}": (H,)}
    return shapes | {"W_hq": (H, V), "b_q": (V,)}


def get_lstm_params(vocab_size: int, num_hiddens: int, device: Device = None) -> list[Tensor]:
    """[W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c, W_hq, b_q], drawn in this order.

    Weights are drawn from N(0, 0.01^2), biases are zero.
    """
    return _draw(lstm_shapes(vocab_size, num_hiddens), device)


def init_lstm_state(batch_size: int, num_hiddens: int, device: Device = None) -> State:
    """The state before the first step: a tuple of H and C, zeros (B, H) each."""
    H = torch.zeros(batch_size, num_hiddens, device=device)
    return H, torch.zeros_like(H)


def lstm_step(X: Tensor, H: Tensor, C: Tensor, params: list[Tensor]) -> State:
    """One step: H_t and C_t, (B, H) each, from X_t (B, V), H_{t-1} and C_{t-1}."""
    W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xc, W_hc, b_c = params
    I = torch.sigmoid(X @ W_xi + H @ W_hi + b_i)
    F = torch.sigmoid(X @ W_xf + H @ W_hf + b_f)
    O = torch.sigmoid(X @ W_xo + H @ W_ho + b_o)
    C_tilde = torch.tanh(X @ W_xc + H @ W_hc + b_c)
    C = F * C + I * C_tilde
    return O * torch.tanh(C), C


def lstm(inputs: Tensor, state: State, params: list[Tensor]) -> tuple[Tensor, State]:
    """Run all steps of `inputs` (T, B, V) from `state`: the scores Y (T * B, V), step by step, and the last state."""
    *recurrent, W_hq, b_q = params
    H, C = state
    scores = []
    for X in inputs:
        H, C = lstm_step(X, H, C, recurrent)
        scores.append(H @ W_hq + b_q)
    return torch.cat(scores), (H, C)


def _draw(shapes: dict[str, tuple[int, ...]], device: Device) -> list[Tensor]:
    """A leaf tensor for each shape, in order: weights from N(0, 0.01^2), biases zero."""
    params = []
    for name, shape in shapes.items():
        values = 0.01 * torch.randn(shape, device=device) if name.startswith("W") else torch.zeros(shape, device=device)
        params.append(values.requires_grad_())
    return params
