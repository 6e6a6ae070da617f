"""``RNNCell``, ``GRUCell`` and ``LSTMCell``: one step, for loops of one's own.

Autograd differentiates it; where nothing is differentiated, it is one call of the cell's compiled code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from gru_scratch.cells import Cell
from gru_scratch.engines import textbook
from gru_scratch.engines.choice import choose, facts
from gru_scratch.engines.names import check_engine
from gru_scratch.engines.native.steps import one_step
from gru_scratch.engines.torch_private import comes_straight_to_kernel, transformed
from gru_scratch.engines.weights import LayerWeights
from gru_scratch.layers.dtypes import autocast_type, check_types
from gru_scratch.layers.namesakes import GRU_CELLS, LSTM_CELL, RNN_CELLS
from gru_scratch.layers.standins import as_leaf, as_namesake


class _OneStep(nn.modules.rnn.RNNCellBase):
    """What the three share; the messages are those of ``torch.nn``."""

    @property
    def cell(self) -> Cell:
        """The equations of the step."""
        raise NotImplementedError

    def autocast_types(self, low: torch.dtype, states: Sequence[torch.dtype]) -> list[torch.dtype]:
        """What type each state comes to be under autocast to ``low``, from the types of the initial ones."""
        return [torch.promote_types(state, low) for state in states]

    def __prepare_scriptable__(self) -> nn.Module:
        return as_namesake(self)

    def _step(self, input: Tensor, states: Sequence[Tensor] | None) -> list[Tensor]:
        """The states after one step, without a batch dimension where the input has none."""
        cell, batched = self.cell, input.dim() == 2
        x = input if batched else input.unsqueeze(0)  # (B, D)
        if states is None:
            states = list(cell.initial_state(x.size(0), self.hidden_size, device=x.device, dtype=x.dtype))
        elif not batched:
            states = [s.unsqueeze(0) for s in states]
        self._check_sizes(x, states)
        weights = LayerWeights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        low = autocast_type(x, states, self.weight_hh)
        if low is None:
            check_types(x, states, self.weight_hh)
            if _is_native(cell, x, states, weights):
                new: Any = one_step(cell, x, cell.states(*states), weights)
            else:
                new = textbook.run(cell, x.unsqueeze(0), cell.states(*states), weights)[1]
        else:
            types = self.autocast_types(low, [s.dtype for s in states])
            compute = reduce(torch.promote_types, types)
            weights = LayerWeights(*(None if w is None else w.to(compute) for w in weights))  # type: ignore[arg-type]
            with torch.autocast(x.device.type, enabled=False):
                state = cell.states(*(s.to(compute) for s in states))
                new = textbook.run(cell, x.to(compute).unsqueeze(0), state, weights)[1]
                new = [s.to(t) for s, t in zip(new, types, strict=True)]
        return list(new) if batched else [s.squeeze(0) for s in new]

    def _check_sizes(self, x: Tensor, states: Sequence[Tensor]) -> None:
        if x.size(1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {x.size(1)} expected {self.input_size}")
        for k, state in enumerate(states):
            if state.size(0) != x.size(0):
                raise RuntimeError(f"Input batch size {x.size(0)} doesn't match hidden{k} batch size {state.size(0)}")
            if state.size(1) != self.hidden_size:
                raise RuntimeError(
                    f"hidden{k} has inconsistent hidden_size: got {state.size(1)}, expected {self.hidden_size}"
                )

    def _check_dims(self, name: str, input: Tensor, hx: Tensor | None) -> None:
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        if hx is not None and hx.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected hidden to be 1D or 2D, got {hx.dim()}D instead")


class RNNCell(_OneStep, nn.RNNCell):
    """``nn.RNNCell``, from :class:`gru_scratch.cells.RNNEquations`; its arguments, shapes and errors."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(B, D) or (D,), and the state (B, H) or (H,), zeros if None → the new state."""
        if isinstance(input, Proxy):
            return as_leaf(self, input, hx=hx)
        self._check_dims("RNNCell", input, hx)
        return self._step(input, None if hx is None else [hx])[0]

    @property
    def cell(self) -> Cell:
        if self.nonlinearity not in RNN_CELLS:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return RNN_CELLS[self.nonlinearity]

    def autocast_types(self, low: torch.dtype, states: Sequence[torch.dtype]) -> list[torch.dtype]:
        return [low]


class GRUCell(_OneStep, nn.GRUCell):
    """``nn.GRUCell``, from :class:`gru_scratch.cells.GRUEquations`; its arguments, shapes and errors.

    Args:
        reset_after: keyword only; whether the reset gate acts after the candidate's recurrent product, as in
            ``nn.GRUCell``, or before it, as in the book.
    """

    reset_after: bool = True

    def __init__(self, *args: Any, reset_after: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reset_after = bool(reset_after)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(B, D) or (D,), and the state (B, H) or (H,), zeros if None → the new state."""
        if isinstance(input, Proxy):
            return as_leaf(self, input, hx=hx)
        self._check_dims("GRUCell", input, hx)
        return self._step(input, None if hx is None else [hx])[0]

    @property
    def cell(self) -> Cell:
        return GRU_CELLS[self.reset_after]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")


class LSTMCell(_OneStep, nn.LSTMCell):
    """``nn.LSTMCell``, from :class:`gru_scratch.cells.LSTMEquations`; its arguments, shapes and errors."""

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(B, D) or (D,), and the states, two of (B, H) or (H,), zeros if None → the new states."""
        if isinstance(input, Proxy):
            return as_leaf(self, input, hx=hx)
        self._check_dims("LSTMCell", input, None)
        states = None if hx is None else list(hx)
        for k, state in enumerate(states or ()):
            if state.dim() not in (1, 2):
                raise ValueError(f"LSTMCell: Expected hx[{k}] to be 1D or 2D, got {state.dim()}D instead")
        if isinstance(hx, Tensor):
            raise TypeError("lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not Tensor")
        if states is not None and len(states) != 2:
            raise RuntimeError("lstm_cell expects two hidden states")
        h, c = self._step(input, states)
        return h, c

    @property
    def cell(self) -> Cell:
        return LSTM_CELL


def _is_native(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: LayerWeights) -> bool:
    """Whether compiled code may take a step: it serves, and neither autograd nor a tracer asks for the operations."""
    if torch.compiler.is_compiling() or transformed():
        return False
    tensors = [x, *states, *(w for w in weights if w is not None)]
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return False
    straight = comes_straight_to_kernel(tensors)
    return straight and choose(check_engine(None), cell, facts(weights)).engine == "native"
