"""The recurrent network ("Dive into Deep Learning" 0.17, sections 8.4 and 8.5; Elman, 1990).

    H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h)       the hidden state
    Y_t = H_t W_hq + b_q                            scores of the next token

Shapes, for B sequences of T steps over a vocabulary of V tokens, with H hidden units:

    X_t (B, V)      one-hot rows, one for each sequence
    H_t (B, H)
    Y_t (B, V)
    W_xh (V, H)     W_hh (H, H)     b_h (H,)
    W_hq (H, V)     b_q (V,)

`nn.RNN` computes the same H_t; its weights are transposed, and b_h is the sum of two biases.
"""

from __future__ import annotations

import torch
from torch import Tensor

Device = torch.device | str | None
State = tuple[Tensor]


def rnn_shapes(vocab_size: int, num_hiddens: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of `rnn`, by name, in the order of their list."""
    V, H = vocab_size, num_hiddens
    return {"W_xh": (V, H), "W_hh": (H, H), "b_h": (H,), "W_hq": (H, V), "b_q": (V,)}


def get_rnn_params(vocab_size: int, num_hiddens: int, device: Device = None) -> list[Tensor]:
    """[W_xh, W_hh, b_h, W_hq, b_q], drawn in this order: weights from N(0, 0.01^2), biases zero."""
    return _draw(rnn_shapes(vocab_size, num_hiddens), device)


def init_rnn_state(batch_size: int, num_hiddens: int, device: Device = None) -> State:
    """The state before the first step: a tuple of H, zeros (B, H)."""
    return (torch.zeros(batch_size, num_hiddens, device=device),)


def rnn_step(X: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
    """One step: H_t from X_t (B, V) and H_{t-1} (B, H)."""
    W_xh, W_hh, b_h = params
    return torch.tanh(X @ W_xh + H @ W_hh + b_h)


def rnn(inputs: Tensor, state: State, params: list[Tensor]) -> tuple[Tensor, State]:
    """Run all steps of `inputs` (T, B, V) from `state`: the scores Y (T * B, V), step by step, and the last state."""
    *recurrent, W_hq, b_q = params
    (H,) = state
    scores = []
    for X in inputs:
        H = rnn_step(X, H, recurrent)
        scores.append(H @ W_hq + b_q)
    return torch.cat(scores), (H,)


def _draw(shapes: dict[str, tuple[int, ...]], device: Device) -> list[Tensor]:
    """A leaf tensor for each shape, in order: weights from N(0, 0.01^2), biases zero."""
    params = []
    for name, shape in shapes.items():
        values = 0.01 * torch.randn(shape, device=device) if name.startswith("W") else torch.zeros(shape, device=device)
        params.append(values.requires_grad_())
    return params
