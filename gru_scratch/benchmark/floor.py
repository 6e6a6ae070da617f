"""The floor under a training step: its matrix products alone, which no implementation can avoid.

Forward and backward each have one product a step, one after the other, as each needs what the one before gave; a cell
with a second product has two. Once a sequence come the products of the weights' gradients, of the linear layer, and of
a dense input; of tokens that input is a row look-up. All else is left out: the equations, the loss, and every copy. The
products of a step go by the routine that the fused engine takes for them, which is the fastest one we know.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gru_scratch.benchmark.setting import Setting
from gru_scratch.cells.base import Cell
from gru_scratch.products import Product


def products(cell: Cell, setting: Setting, device: torch.device) -> Callable[[], None]:
    """An action that makes the products of one training step, on numbers that mean nothing."""
    T, B, H, V = setting.num_steps, setting.batch_size, setting.num_hiddens, setting.vocab_size
    first, gates = len(cell.first_product) * H, len(cell.gates) * H

    def ones(*shape: int) -> Tensor:
        return torch.ones(*shape, device=device)

    def recurrent(rows: int, columns: int) -> tuple[Product, Tensor, Tensor]:
        return Product(ones(rows, columns), B, T), ones(B, columns), ones(B, rows)

    forward, backward = [recurrent(first, H)], [recurrent(H, first)]
    if cell.second_product:
        forward.append(recurrent(H, H))
        backward.insert(0, recurrent(H, H))
    sizes = [(T * B, H, V), (T * B, V, H), (V, T * B, H), (gates, T * B, H)]  # linear: Y, dH, dW; then dW_hh
    if setting.input != "tokens":
        D = setting.input_size
        sizes += [(T * B, D, gates), (gates, T * B, D)]  # X W_x, dW_ih
        sizes += [(T * B, gates, D)] if setting.input == "dense-with-gradient" else []  # dX
    once = [(ones(rows, inner), ones(inner, columns), ones(rows, columns)) for rows, inner, columns in sizes]

    def run() -> None:
        for step in [forward] * T + [backward] * (T - 1) + [backward[:-1]]:  # the first state needs no gradient
            for product, x, out in step:
                product.write(out, x)
        for a, b, out in once:
            torch.mm(a, b, out=out)

    return run
