"""The value of every gate and every state of every layer, at each character of a text, from the equations themselves.

Legend: ``T`` characters, ``H`` hidden size, ``D`` input size, ``V`` vocabulary, ``L`` layers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.cells import Cell, Gates, State
from gru_scratch.convert import from_scratch
from gru_scratch.engines import textbook
from gru_scratch.layers import GRU, LSTM, RNN
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.scratch import gru, lstm, rnn

Report = Callable[[int], None]
"""Called with the number of steps done since the last call."""

SCRATCH: dict[Any, Callable[[int, int], nn.Module]] = {
    rnn.rnn: RNN,
    gru.gru: lambda inputs, hiddens: GRU(inputs, hiddens, reset_after=False),
    gru.gru_reset_after: GRU,
    lstm.lstm: LSTM,
}
"""The layers that compute what the functions of `scratch/` do."""


@dataclass(frozen=True)
class Quantity:
    """One gate or one state of a layer, through a text."""

    name: str
    """As the cell names it: ``z``, ``h``, ..."""
    is_state: bool
    values: Tensor
    """(T, H), one row for each character that was read."""


@dataclass(frozen=True)
class Collected:
    """What a model did while it read a text."""

    cell: Cell
    layers: list[list[Quantity]]
    """For each layer its gates, in the order that the step returns them, then its states."""
    states: list[list[Tensor]]
    """For each layer and state (T + 1, H): the one before the first character, then after each."""
    logits: Tensor
    """(T, V): scores of the character that comes next."""


def layered(model: Any) -> RNNModel:
    """A copy of `model`, in evaluation mode, without gradients of its parameters, whose layer is one of this package's.

    Args:
        model: an `RNNModel` with any recurrent layer, or an `RNNModelScratch` of the functions of `scratch/`.

    Raises:
        TypeError: it is neither, or its layer is no recurrent layer.
        ValueError: it reads in both directions, or clears its state inside a text; or its functions are not those of
            `scratch/`.
    """
    if isinstance(model, RNNModelScratch):
        if model.forward_fn not in SCRATCH:
            raise ValueError(f"expected a model of the functions of scratch/, received one of {model.forward_fn!r}")
        copied = RNNModel(SCRATCH[model.forward_fn](model.vocab_size, model.num_hiddens), model.vocab_size)
        copied.to(model.params[0].device, model.params[0].dtype)
        copied.load_state_dict(from_scratch(copied, model.params))
    elif isinstance(model, RNNModel):
        if model.reset_at is not None:
            raise ValueError("the model clears its state inside a text (reset_at), which is not followed here")
        copied = copy.deepcopy(model)
        copied.rnn = _own_layer(copied.rnn)
    else:
        raise TypeError(f"expected an RNNModel or an RNNModelScratch, received {type(model).__name__}")
    if copied.rnn.bidirectional:
        raise ValueError("the model reads the text in both directions: a gate would show characters still to come")
    copied.rnn.batch_first = False
    return copied.eval().requires_grad_(False)


def _own_layer(layer: nn.Module) -> Any:
    """The same layer as one of this package."""
    if isinstance(layer, RecurrentLayer):
        return layer
    if not isinstance(layer, nn.RNNBase):
        raise TypeError(f"expected a recurrent layer, received {type(layer).__name__}")
    options: dict[str, Any] = {name: getattr(layer, name) for name in ("num_layers", "bias", "bidirectional")}
    if layer.mode == "LSTM":
        own: nn.RNNBase = LSTM(layer.input_size, layer.hidden_size, **options, proj_size=layer.proj_size)
    elif layer.mode == "GRU":
        own = GRU(layer.input_size, layer.hidden_size, **options)
    else:
        activation = layer.mode.removeprefix("RNN_").lower()
        own = RNN(layer.input_size, layer.hidden_size, **options, nonlinearity=activation)
    weight = next(layer.parameters())
    own.to(weight.device, weight.dtype).load_state_dict(layer.state_dict())
    return own


class InPlaceOfLayer(nn.Module):
    """Stands where a model has its recurrent layer, so that the model's own forward pass does all the rest."""

    batch_first = False
    bidirectional = False
    accepts_tokens = True

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.hidden_size: int = layer.hidden_size

    def vectors(self, inputs: Tensor) -> Tensor:
        """(T, B, D): what the layer reads; of token numbers their one-hot vectors."""
        if inputs.is_floating_point():
            return inputs
        return F.one_hot(inputs.long(), self.layer.input_size).to(next(self.layer.parameters()).dtype)


class _Watched(InPlaceOfLayer):
    """The layers as the equations have them, step by step, with all gates and states kept."""

    def __init__(self, layer: Any, report: Report) -> None:
        super().__init__(layer)
        self.report = report
        self.gates: list[list[Gates]] = []
        self.states: list[list[State]] = []

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        layer: Any = self.layer
        cell: Cell = layer.cell
        rows = [state] if isinstance(state, Tensor) else list(state)
        for depth, (parameters,) in enumerate(layer.layer_parameters()):
            start = cell.states(*(row[depth] for row in rows))
            gates_of_layer: list[Gates] = []
            states_of_layer: list[State] = [start]

            def keep(
                step: int,
                state: State,
                gates: Gates,
                kept: tuple[list[Gates], list[State]] = (gates_of_layer, states_of_layer),
            ) -> None:
                kept[0].append(gates)
                kept[1].append(state)
                self.report(1)

            masks = cell.draw_masks((*inputs.shape[:2], layer.hidden_size), False, parameters.weights.weight_ih)
            weights, own = parameters
            inputs, _ = textbook.run(cell, inputs, start, weights, own, masks, observe=keep)
            self.gates.append(gates_of_layer)
            self.states.append(states_of_layer)
        return inputs, state


@torch.no_grad()
def collect(model: Any, tokens: Tensor, report: Report = lambda steps: None) -> Collected:
    """Read a text with the equations of the model's cell, and keep every gate and state.

    Args:
        model: as for :func:`layered`.
        tokens: (T,), the numbers of the text's characters, at least one.
        report: called after each step of each layer.

    Raises:
        TypeError, ValueError: as :func:`layered`; ValueError for an empty text, or a value that is not finite.
    """
    if not len(tokens):
        raise ValueError("the text is empty: expected at least one character")
    model = layered(model)
    watched = _Watched(model.rnn, report)
    state = model.begin_state(device=tokens.device, batch_size=1)
    model.rnn = watched
    logits, _ = model(tokens.reshape(1, -1), state)
    cell: Cell = watched.layer.cell
    layers = []
    for gates, states in zip(watched.gates, watched.states, strict=True):
        found = [Quantity(name, False, _stack([step[name] for step in gates])) for name in gates[0]]
        found += [Quantity(name, True, _stack([getattr(s, name) for s in states[1:]])) for name in cell.states._fields]
        layers.append(found)
    for depth, found in enumerate(layers, 1):
        for quantity in found:
            if not quantity.values.isfinite().all():
                raise ValueError(f"{quantity.name} of layer {depth} is not finite: it overflows, or parameters are NaN")
    kept = [[_stack([s[k] for s in states]) for k in range(len(cell.states._fields))] for states in watched.states]
    return Collected(cell, layers, kept, logits)


def _stack(values: list[Tensor]) -> Tensor:
    """A row a step, of values (1, H) or of any other shape that a cell of one's own returns."""
    return torch.stack([value.reshape(-1) for value in values])
