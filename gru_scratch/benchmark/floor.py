"""The floor under a training step: its matrix products alone, which no implementation can avoid.

Forward and backward each have the step's products, one after the other, as each needs what the one before gave: one for
each vector that the cell multiplies. Once a sequence come the products of the weights' gradients, of the linear layer,
and of a dense input; of tokens that input is a row look-up. All else is left out: the equations, the loss, and every
copy. The layer's products go by the routines that the fused engine takes for them, which are the fastest we know;
those of the linear layer by PyTorch's own, as in every engine.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gru_scratch.benchmark.setting import Setting
from gru_scratch.cells.base import Cell
from gru_scratch.engines.fused.products import Product, add_gradient


def products(cell: Cell, setting: Setting, device: torch.device) -> Callable[[], None]:
    """An action that makes the products of one training step, on numbers that mean nothing."""
    T, B, H, V = setting.num_steps, setting.batch_size, setting.num_hiddens, setting.vocab_size
    widths, gates = [len(product.gates) * H for product in cell.recurrence.products], len(cell.gates) * H

    def ones(*shape: int) -> Tensor:
        return torch.ones(*shape, device=device)

    def recurrent(rows: int, columns: int) -> tuple[Product, Tensor, Tensor]:
        return Product(ones(rows, columns), B, T), ones(B, columns), ones(B, rows)

    forward = [recurrent(width, H) for width in widths]
    backward = [recurrent(H, width) for width in reversed(widths)]
    once: list[tuple[Product, Tensor, Tensor]] = []
    d_weights = [H]  # what the gradient D of the pre-activations is multiplied with: dW_hh
    if setting.input != "tokens":
        width = setting.input_size
        d_weights.append(width)  # dW_ih
        sizes = [(gates, width), (width, gates)][: 2 if setting.input == "dense-with-gradient" else 1]  # X W_x, dX
        once += [(Product(ones(n, k), T * B, 1), ones(T * B, k), ones(T * B, n)) for n, k in sizes]
    D, gradients = ones(T * B, gates), [(ones(T * B, n), ones(gates, n)) for n in d_weights]
    products_of_linear = [(T * B, H, V), (T * B, V, H), (V, T * B, H)]  # Y, dH, dW
    linear = [(ones(n, inner), ones(inner, m), ones(n, m)) for n, inner, m in products_of_linear]

    def run() -> None:
        for step in [forward] * T + [backward] * (T - 1) + [backward[:-1], once]:  # the first state needs no gradient
            for product, x, out in step:
                product.write(out, x)
        for x, out in gradients:
            add_gradient(out, D, x)
        for a, b, out in linear:
            torch.mm(a, b, out=out)

    return run
