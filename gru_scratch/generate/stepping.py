"""One token at a time through a model, in buffers that are made once: the inner loop of generation.

Calling a layer for a single step costs more than the step: arguments are checked, results allocated, and the input is
multiplied by its weights although a token only picks a row of them. Here all that is done once, beforehand; a step is
then two products a layer and the cell's own equations; under the engine "native" the recurrent product and the
equations are one call.

Legend: ``B`` sequences, ``V`` vocabulary, ``D`` input size, ``G`` gates, ``H`` hidden size, ``P`` size of the projected
state, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.cells.base import Cell, State
from gru_scratch.engines.choice import choose, facts
from gru_scratch.engines.fused.forward import loop_that_runs
from gru_scratch.engines.native.steps import Steps
from gru_scratch.engines.torch_private import has_forward_hooks
from gru_scratch.engines.weights import LayerWeights, by_product, project
from gru_scratch.layers.dtypes import autocasts
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.layers.stack import Parameters
from gru_scratch.models.language import RNNModel

TABLE_SIZE = 1 << 24
"""The input's pre-activations of all tokens, (V, G * H), are kept as a table if they are at most this many numbers."""

Product = Callable[[Tensor], Tensor]
"""A function from rows, or from tokens, to rows in its own buffer, which every call overwrites."""


class Stepper:
    """A model in evaluation mode that reads ``batch_size`` sequences side by side, its state carried from call to call.

    It reads the parameters when it is made: make a new one after they have changed. No gradient flows.
    """

    @torch.inference_mode()
    def __init__(self, model: RNNModel, batch_size: int = 1) -> None:
        layer, head = model.rnn, model.linear
        cell: Cell = layer.cell
        start = layer.initial_state(batch_size, device=head.weight.device, dtype=head.weight.dtype)
        self._start = start if isinstance(start, tuple) else (start,)  # (L, B, P or H) each
        self._reset_at = model.reset_at
        parameters = [directions[0] for directions in layer.layer_parameters()]
        self._layers: list[_Layer] = []
        for depth, (each, state) in enumerate(zip(parameters, zip(*self._start, strict=True), strict=True)):
            weights = each.weights
            x = weights.weight_ih.new_empty(batch_size, len(weights.weight_ih))
            if depth == 0:
                read = _reader_of_tokens(weights, model.embedding, x)
            else:
                read = _product(weights.weight_ih, weights.bias_ih, x)
            native = choose(layer.engine, cell, facts(weights)).engine == "native"
            self._layers.append((_NativeLayer if native else _EagerLayer)(cell, each, cell.states(*state), read, x))
        self._score = _product(head.weight, head.bias, head.weight.new_empty(batch_size, len(head.weight)))

    @torch.inference_mode()
    def read(self, tokens: Tensor) -> None:
        """Read a token of each sequence, (B,)."""
        self._advance(tokens)

    @torch.inference_mode()
    def score(self, tokens: Tensor) -> Tensor:
        """Read a token of each sequence, (B,) → the scores of the next, (B, V), which the next call overwrites."""
        return self._score(self._advance(tokens))

    def _advance(self, tokens: Tensor) -> Tensor:
        below = tokens
        if self._reset_at is not None:
            self._start_anew(tokens == self._reset_at)
        for layer in self._layers:
            below = layer.step(below)
        return below

    def _start_anew(self, rows: Tensor) -> None:
        """Clear the state of some sequences, (B,) booleans."""
        for layer, start in zip(self._layers, zip(*self._start, strict=True), strict=True):
            for state, fresh in zip(layer.state, start, strict=True):
                state[rows] = fresh[rows]

    @property
    def state(self) -> Any:
        """The state as the layer returns it: (L, B, P or H), or a tuple of them."""
        states = tuple(torch.stack(each) for each in zip(*(layer.state for layer in self._layers), strict=True))
        return states[0] if len(states) == 1 else states


def can_step(model: object) -> TypeGuard[RNNModel]:
    """Whether a :class:`Stepper` computes the same as calls of ``model``: for a layer in one direction, without a
    subclass, hook or autocast that would change the result."""
    if not (isinstance(model, RNNModel) and type(model).forward is RNNModel.forward):
        return False
    layer = model.rnn
    ours = isinstance(layer, RecurrentLayer) and type(layer).forward is RecurrentLayer.forward
    if not (ours and layer.engine not in ("textbook", "builtin") and not layer.bidirectional):
        return False
    if type(model.linear) is not nn.Linear or type(model.embedding) not in (nn.Embedding, type(None)):
        return False
    if any(map(has_forward_hooks, model.modules())):
        return False
    return not autocasts(model.linear.weight.device.type)


class _Layer:
    """One layer: its state, what reads its input, and the step that changes the state."""

    state: State
    read: Product
    advance: Callable[[], None]

    def step(self, below: Tensor) -> Tensor:
        """Tokens, or the outputs of the layer below → the outputs, (B, P or H)."""
        self.read(below)
        self.advance()
        output: Tensor = self.state[0]
        return output


class _NativeLayer(_Layer):
    """A layer in compiled code."""

    def __init__(self, cell: Cell, parameters: Parameters, state: State, read: Product, x: Tensor) -> None:
        steps = Steps(cell, state, parameters.weights, parameters.own, x)
        self.read, self.advance, self.state = read, steps, steps.state


class _EagerLayer(_Layer):
    """A layer in PyTorch's operators."""

    def __init__(self, cell: Cell, parameters: Parameters, state: State, read: Product, x: Tensor) -> None:
        weights, products = parameters.weights, cell.recurrence.products
        self.cell, self.own, self.weights = cell, dict(parameters.own), weights
        self.state: State = cell.states(*(s.clone() for s in state))
        self.read, self.x = read, cell.name_x(x)
        biases = [None] * len(products) if weights.bias_hh is None else by_product(cell, weights.bias_hh)
        rows = by_product(cell, weights.weight_hh)
        buffers = [x.new_empty(len(x), len(weight)) for weight in rows]
        self.multiply = [_product(*each) for each in zip(rows, biases, buffers, strict=True)]
        self.made: dict[int, tuple[Tensor, ...]] = {}
        self.W = cell.name_recurrent(
            {
                gate: partial(self._take, k, i)
                for k, product in enumerate(products)
                for i, gate in enumerate(product.gates)
            }
        )
        self.project: Product = _same
        if weights.weight_hr is not None:
            self.project = _product(weights.weight_hr, None, x.new_empty(len(x), len(weights.weight_hr)))
        loop = loop_that_runs(cell, weights)
        self.advance = self._by_equations
        if loop is not None:
            in_place = loop.step(x, buffers[0], self.state, self.multiply[-1])

            def advance() -> None:
                self.multiply[0](self.state[0])
                in_place()

            self.advance = advance

    def _by_equations(self) -> None:
        """Make a step by the cell's own equations, for a cell without an in-place loop."""
        cell, state, weight = self.cell, self.state, self.weights.weight_hh
        self.made.clear()
        masks = cell.draw_masks((1, len(state[0]), self.weights.hidden_size), False, weight) if cell.masks else {}
        extras = {**self.own, **{name: mask[0] for name, mask in masks.items()}}
        new, _ = cell.step(self.x, self.W, state, **extras)
        first, *others = new
        # Copies: what a cell returns may share memory with a buffer, or with the previous state.
        self.state = cell.states(self.project(first).clone(), *(s.clone() for s in others))

    def _take(self, product: int, place: int, vector: Tensor) -> Tensor:
        if product not in self.made:
            gates = len(self.cell.recurrence.products[product].gates)
            self.made[product] = self.multiply[product](vector).chunk(gates, -1)
        return self.made[product][place]


def _same(rows: Tensor) -> Tensor:
    return rows


def _product(weight: Tensor, bias: Tensor | None, out: Tensor) -> Product:
    """``rows W^T + b``, (B, columns of W) → (B, rows of W), in ``out``."""
    if bias is None:
        bias = weight.new_zeros(len(weight))
    if len(out) > 1:
        columns = weight.t()
        return lambda rows: torch.addmm(bias, rows, columns, out=out)
    row = out[0]

    def multiply(rows: Tensor) -> Tensor:
        torch.addmv(bias, weight, rows[0], out=row)
        return out

    return multiply


def _reader_of_tokens(weights: LayerWeights, embedding: nn.Embedding | None, out: Tensor) -> Product:
    """``x W_x + b`` of tokens (B,), in ``out``: if the vocabulary is not too large, a row of a table made once."""
    vectors = None if embedding is None else embedding.weight
    vocab_size = weights.weight_ih.shape[1] if vectors is None else len(vectors)
    if vocab_size * len(weights.weight_ih) <= TABLE_SIZE:
        table = project(torch.arange(vocab_size, device=out.device) if vectors is None else vectors, weights)
        return lambda tokens: torch.index_select(table, 0, tokens, out=out)
    if vectors is None:
        return lambda tokens: out.copy_(project(tokens, weights))
    return lambda tokens: out.copy_(project(F.embedding(tokens, vectors), weights))
