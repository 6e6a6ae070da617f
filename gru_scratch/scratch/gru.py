"""The gated recurrent unit ("Dive into Deep Learning" 0.17, section 9.1; Cho et al., 2014, arXiv:1406.1078).

    Z_t = sigmoid(X_t W_xz + H_{t-1} W_hz + b_z)                the update gate: 1 keeps the old state
    R_t = sigmoid(X_t W_xr + H_{t-1} W_hr + b_r)                the reset gate: 0 forgets it for the candidate
    H_tilde_t = tanh(X_t W_xh + (R_t * H_{t-1}) W_hh + b_h)     the candidate
    H_t = Z_t * H_{t-1} + (1 - Z_t) * H_tilde_t                 the hidden state
    Y_t = H_t W_hq + b_q                                        scores of the next token

Shapes, for B sequences of T steps over a vocabulary of V tokens, with H hidden units (`*` is elementwise):

    X_t (B, V)                      one-hot rows, one for each sequence
    Z_t, R_t, H_tilde_t, H_t (B, H)
    Y_t (B, V)
    W_xz, W_xr, W_xh (V, H)         W_hz, W_hr, W_hh (H, H)         b_z, b_r, b_h (H,)
    W_hq (H, V)                     b_q (V,)

Two things differ elsewhere. `nn.GRU` resets after the product: see `gru_reset_after`. And Cho et al. write the hidden
state with the opposite update gate, H_t = (1 - Z_t) * H_{t-1} + Z_t * H_tilde_t: since sigmoid(-a) = 1 - sigmoid(a),
that is this model with W_xz, W_hz and b_z negated.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Device = torch.device | str | None
State = tuple[Tensor]
Step = Callable[[Tensor, Tensor, list[Tensor]], Tensor]


GATES = ("z", "r", "h")
"""The update gate, the reset gate and the candidate, in the order in which they are drawn."""


def gru_shapes(vocab_size: int, num_hiddens: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of `gru`, by name, in the order of their list."""
    V, H = vocab_size, num_hiddens
    shapes: dict[str, tuple[int, ...]] = {}
    for gate in GATES:
        shapes |= {f"W_x{gate}": (V, H), f"W_h{gate}": (H, H), f"b_{gate}": (H,)}
    return shapes | {"W_hq": (H, V), "b_q": (V,)}


def get_gru_params(vocab_size: int, num_hiddens: int, device: Device = None) -> list[Tensor]:
    """[W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, W_hq, b_q], drawn in this order.

    Weights are drawn from N(0, 0.01^2), biases are zero.
    """
    return _draw(gru_shapes(vocab_size, num_hiddens), device)


def init_gru_state(batch_size: int, num_hiddens: int, device: Device = None) -> State:
    """The state before the first step: a tuple of H, zeros (B, H)."""
    return (torch.zeros(batch_size, num_hiddens, device=device),)


def gru_step(X: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
    """One step: H_t from X_t (B, V) and H_{t-1} (B, H)."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h = params
    Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
    R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
    H_tilde = torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
    return Z * H + (1 - Z) * H_tilde


def gru(inputs: Tensor, state: State, params: list[Tensor]) -> tuple[Tensor, State]:
    """Run all steps of `inputs` (T, B, V) from `state`: the scores Y (T * B, V), step by step, and the last state."""
    return _all_steps(gru_step, inputs, state, params)


def get_gru_reset_after_params(vocab_size: int, num_hiddens: int, device: Device = None) -> list[Tensor]:
    """The parameters of `gru_reset_after`: those of `get_gru_params`, drawn alike, with b_hh, zeros (H,), after b_h."""
    *recurrent, W_hq, b_q = get_gru_params(vocab_size, num_hiddens, device)
    b_hh = torch.zeros(num_hiddens, device=device, requires_grad=True)
    return [*recurrent, b_hh, W_hq, b_q]


def gru_reset_after_step(X: Tensor, H: Tensor, params: list[Tensor]) -> Tensor:
    """One step: H_t from X_t (B, V) and H_{t-1} (B, H), the reset gate acting on the product."""
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, b_hh = params
    Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
    R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
    H_tilde = torch.tanh(X @ W_xh + b_h + R * (H @ W_hh + b_hh))
    return Z * H + (1 - Z) * H_tilde


def gru_reset_after(inputs: Tensor, state: State, params: list[Tensor]) -> tuple[Tensor, State]:
    """The GRU of `nn.GRU`, cuDNN and Keras: the reset gate acts after the candidate's product with the state.

        gru:               H_tilde = tanh(X W_xh + (R * H) W_hh + b_h)
        gru_reset_after:   H_tilde = tanh(X W_xh + b_h + R * (H W_hh + b_hh))

    The second has a further bias b_hh (H,) inside the brackets, and its three products with H can be computed as one.
    They are two models: no choice of parameters turns one into the other, except in special cases, such as a reset
    gate that stays at 1 in every unit with b_hh = 0. Arguments and results are those of `gru`.
    """
    return _all_steps(gru_reset_after_step, inputs, state, params)


def _all_steps(step: Step, inputs: Tensor, state: State, params: list[Tensor]) -> tuple[Tensor, State]:
    *recurrent, W_hq, b_q = params
    (H,) = state
    scores = []
    for X in inputs:
        H = step(X, H, recurrent)
        scores.append(H @ W_hq + b_q)
    return torch.cat(scores), (H,)


def _draw(shapes: dict[str, tuple[int, ...]], device: Device) -> list[Tensor]:
    """A leaf tensor for each shape, in order: weights from N(0, 0.01^2), biases zero."""
    params = []
    for name, shape in shapes.items():
        values = 0.01 * torch.randn(shape, device=device) if name.startswith("W") else torch.zeros(shape, device=device)
        params.append(values.requires_grad_())
    return params
