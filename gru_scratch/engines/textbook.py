"""Engine "textbook": a cell over time, as the book's loop; autograd differentiates it.

It is slow, but every operation is PyTorch's own, so double backward, ``torch.func`` and forward mode work.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells.base import Cell, Gates, RecurrentWeights, State
from gru_scratch.engines.weights import LayerWeights, by_product, project

Observer = Callable[[int, State, Gates], None]
"""Called after every step with its index, the new state and the gates."""


class Multiplier:
    """``W`` of a sequence: all products of one vector are computed at once, when the first gate asks for its own."""

    def __init__(self, cell: Cell, weights: LayerWeights) -> None:
        products = cell.recurrence.products
        biases = [None] * len(products) if weights.bias_hh is None else by_product(cell, weights.bias_hh)
        self._weights = list(zip(by_product(cell, weights.weight_hh), biases, strict=True))
        self._counts = [len(product.gates) for product in products]
        self._made: list[tuple[Tensor, tuple[Tensor, ...]] | None] = [None] * len(products)
        places = {gate: (k, i) for k, product in enumerate(products) for i, gate in enumerate(product.gates)}
        self.W: RecurrentWeights = cell.name_recurrent({gate: partial(self._take, *at) for gate, at in places.items()})
        """The ``W`` that every step gets; a vector counts as the same if it is the same tensor object."""

    def _take(self, product: int, place: int, vector: Tensor) -> Tensor:
        made = self._made[product]
        if made is None or made[0] is not vector:
            weight, bias = self._weights[product]
            made = vector, F.linear(vector, weight, bias).chunk(self._counts[product], -1)
            self._made[product] = made
        return made[1][place]


def run(
    cell: Cell,
    inputs: Tensor,
    state: State,
    weights: LayerWeights,
    params: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    lengths: Tensor | None = None,
    every: bool = False,
    resets: Tensor | None = None,
    fresh: State | None = None,
    observe: Observer | None = None,
) -> tuple[Tensor, State]:
    """Run ``cell`` over a sequence, step by step.

    Args:
        cell: the equations of one step.
        inputs: (T, B, D), or token indices (T, B), which stand for one-hot vectors of size D.
        state: the cell's NamedTuple, the first field (B, P or H), the others (B, H).
        weights: the layer's parameters.
        params: the cell's own parameters, by name.
        masks: what ``cell.draw_masks`` drew, (T, B, H) each.
        lengths: (B,), or None: past its length a sequence's outputs are zero and its state does not change.
        every: whether a step puts out all its states, one beside the other, or the first alone.
        resets: booleans (T, B), where a sequence starts a step from its ``fresh`` state; None: nowhere.
        observe: called after every step.

    Returns:
        The first state of every step, (T, B, P or H), or all of them, (T, B, their sizes together); and the state after
        the last.
    """
    W = Multiplier(cell, weights).W
    x_all = project(inputs, weights)
    outputs = []
    for t, x_t in enumerate(x_all.unbind(0)):
        if resets is not None:
            anew = resets[t].unsqueeze(-1)  # (B, 1)
            state = type(state)(*(torch.where(anew, f, s) for f, s in zip(fresh, state, strict=True)))  # type: ignore[arg-type]
        extras = {**(params or {}), **{name: mask[t] for name, mask in (masks or {}).items()}}
        new, gates = cell.step(cell.name_x(x_t), W, state, **extras)
        if weights.weight_hr is not None:
            new = new._replace(**{new._fields[0]: F.linear(new[0], weights.weight_hr)})
        output = torch.cat(tuple(new), -1) if every else new[0]
        if lengths is not None:
            alive = (t < lengths).unsqueeze(-1)  # (B, 1)
            new = type(new)(*(torch.where(alive, after, before) for after, before in zip(new, state, strict=True)))
            output = torch.where(alive, output, torch.zeros_like(output))
        state = new
        outputs.append(output)
        if observe is not None:
            observe(t, state, gates)
    if not outputs:
        return state[0].new_zeros(0, *state[0].shape), state
    return torch.stack(outputs), state
