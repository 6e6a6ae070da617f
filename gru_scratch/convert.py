"""Parameters between the lists of `scratch/` and the names and shapes of `torch.nn`'s layers.

The book keeps one matrix a gate, (inputs, H), and multiplies from the right; `torch.nn` stacks the gates' transposes,
(G * H, inputs), in an order of its own, and has two biases; where the reset gate comes before the product, only their
sum acts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# For each cell, which of the book's gates stands where in torch.nn's stack: GRU z, r, h -> r, z, n;
# LSTM i, f, o, c -> i, f, g, o. The book lists, gate after gate, W_x, W_h, b.
_STACK = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 1, 3, 2)}


def scratch_to_torch(cell: str, params: Sequence[Tensor]) -> dict[str, Tensor]:
    """The parameters of a model of `scratch/` under the names that `RNNModel` has them: `rnn.weight_ih_l0`, ...

    The book's one bias becomes `bias_ih`; `bias_hh` is zero. For "gru" they mean what they meant only in a layer whose
    reset gate acts before the recurrent product, which `nn.GRU` is not.
    """
    gates = [params[3 * i : 3 * i + 3] for i in _STACK[cell]]
    W_hq, b_q = params[-2:]
    bias = torch.cat([b for _, _, b in gates])
    return {
        "rnn.weight_ih_l0": torch.cat([W_x.T for W_x, _, _ in gates]),
        "rnn.weight_hh_l0": torch.cat([W_h.T for _, W_h, _ in gates]),
        "rnn.bias_ih_l0": bias,
        "rnn.bias_hh_l0": torch.zeros_like(bias),
        "linear.weight": W_hq.T.contiguous(),
        "linear.bias": b_q.clone(),
    }


def torch_to_scratch(cell: str, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The inverse of `scratch_to_torch`; two biases become their sum."""
    stack = _STACK[cell]
    bias = weights["rnn.bias_ih_l0"] + weights["rnn.bias_hh_l0"]
    W_xs = weights["rnn.weight_ih_l0"].chunk(len(stack))
    W_hs = weights["rnn.weight_hh_l0"].chunk(len(stack))
    bs = bias.chunk(len(stack))
    params: list[Tensor] = []
    for i in sorted(range(len(stack)), key=stack.__getitem__):
        params += [W_xs[i].T.contiguous(), W_hs[i].T.contiguous(), bs[i].clone()]
    return [*params, weights["linear.weight"].T.contiguous(), weights["linear.bias"].clone()]
