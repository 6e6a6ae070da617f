"""``RNN``, ``GRU`` and ``LSTM``: the layers of ``torch.nn``, with the recurrence computed by this package's engines.

They subclass their namesakes for all that is not recurrence: constructor, parameters, checks, ``repr``, serialisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gru_scratch.cells import Cell, GRUEquations, LSTMEquations, RNNEquations, make_cell
from gru_scratch.engines.names import check_engine
from gru_scratch.engines.torch_private import is_any_autocast_enabled, let_the_compiler_into
from gru_scratch.engines.weights import LayerWeights
from gru_scratch.layers.dropout import DropoutMasks, check_dropout
from gru_scratch.layers.dtypes import check_types
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.layers.stack import Parameters
from gru_scratch.layers.standins import as_namesake

RNN_CELLS = {nonlinearity: make_cell(RNNEquations(nonlinearity)) for nonlinearity in ("tanh", "relu")}
GRU_CELLS = {reset_after: make_cell(GRUEquations(reset_after)) for reset_after in (True, False)}
LSTM_CELL = make_cell(LSTMEquations())

let_the_compiler_into(RecurrentLayer)


class _Namesake(RecurrentLayer, nn.RNNBase):
    """The base of the three layers."""

    def __init__(
        self,
        *args: Any,
        engine: str | None = None,
        dropout_masks: DropoutMasks = "torch",
        weight_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        engine = check_engine(engine)
        check_dropout(dropout_masks, weight_dropout)
        super().__init__(*args, **kwargs)
        self.engine, self.dropout_masks, self.weight_dropout = engine, dropout_masks, float(weight_dropout)

    def __prepare_scriptable__(self) -> nn.Module:
        return as_namesake(self)

    def layer_parameters(self) -> list[list[Parameters]]:
        """The current parameters: a weight may have been replaced, parametrised or pruned."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [[self._parameters_at(f"_l{layer}{end}") for end in directions] for layer in range(self.num_layers)]

    def _parameters_at(self, suffix: str) -> Parameters:
        kinds = ["weight_ih", "weight_hh"]
        if self.bias:
            kinds += ["bias_ih", "bias_hh"]
        if self.proj_size:
            kinds.append("weight_hr")
        return Parameters(LayerWeights(**{kind: getattr(self, kind + suffix) for kind in kinds}), {})

    def flatten_parameters(self) -> None:
        """Do nothing: the engines need no flat weights."""

    def extra_repr(self) -> str:
        defaults = {"engine": "auto", "dropout_masks": "torch", "weight_dropout": 0.0}
        own = [f", {k}={getattr(self, k)!r}" for k, default in defaults.items() if getattr(self, k) != default]
        return super().extra_repr() + "".join(own)


class RNN(_Namesake, nn.RNN):
    """``nn.RNN``, from :class:`gru_scratch.cells.RNNEquations`.

    Args:
        engine, dropout_masks, weight_dropout: keyword only, as :class:`Recurrent`'s; engines differ in speed alone.
            All other arguments are those of ``nn.RNN``.

    Raises:
        ValueError, TypeError: as ``nn.RNN``; ValueError for an unknown engine.
    """

    @property
    def cell(self) -> Cell:  # type: ignore[override]
        return RNN_CELLS[self.nonlinearity]

    def autocast_types(
        self, low: torch.dtype, states: Sequence[torch.dtype], device: str, packed: bool
    ) -> list[torch.dtype]:
        return [low]


class GRU(_Namesake, nn.GRU):
    """``nn.GRU``, from :class:`gru_scratch.cells.GRUEquations`.

    Args:
        reset_after: keyword only; whether the reset gate acts after the candidate's recurrent product, as in
            ``nn.GRU``, or before it, as in the book. ``False`` keeps both biases, of which only the sum acts.
        engine, dropout_masks, weight_dropout: keyword only, as :class:`Recurrent`'s; engines differ in speed alone.
            All other arguments are those of ``nn.GRU``.

    Raises:
        ValueError, TypeError: as ``nn.GRU``; ValueError for an unknown engine.
    """

    reset_after: bool = True

    def __init__(self, *args: Any, reset_after: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reset_after = bool(reset_after)

    @property
    def cell(self) -> Cell:  # type: ignore[override]
        return GRU_CELLS[self.reset_after]

    def autocast_types(
        self, low: torch.dtype, states: Sequence[torch.dtype], device: str, packed: bool
    ) -> list[torch.dtype]:
        return [low] if device == "cuda" else [torch.promote_types(states[0], low)]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")


class LSTM(_Namesake, nn.LSTM):
    """``nn.LSTM``, from :class:`gru_scratch.cells.LSTMEquations`.

    Args:
        engine, dropout_masks, weight_dropout: keyword only, as :class:`Recurrent`'s; engines differ in speed alone.
            All other arguments are those of ``nn.LSTM``.

    Raises:
        ValueError, TypeError: as ``nn.LSTM``; ValueError for an unknown engine.
    """

    @property
    def cell(self) -> Cell:  # type: ignore[override]
        return LSTM_CELL

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        if batch_sizes is not None and not is_any_autocast_enabled():
            check_types(
                input, hidden, self.all_weights[0][0]
            )  # nn.LSTM checks a packed batch later, with another message
        super().check_forward_args(input, hidden, batch_sizes)

    def autocast_types(
        self, low: torch.dtype, states: Sequence[torch.dtype], device: str, packed: bool
    ) -> list[torch.dtype]:
        memory = torch.promote_types(states[1], low)
        if device == "cuda" or not (packed or self.proj_size):  # there nn.LSTM has one kernel for the whole sequence
            return [low, low]
        return [low, memory] if self.proj_size else [memory, memory]
