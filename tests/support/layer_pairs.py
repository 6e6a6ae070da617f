"""The layers and cells of ``torch.nn`` with ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.layer_cases import states_of
from torch import Tensor, nn

from gru_scratch import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

NAMESAKES = {"RNN": (nn.RNN, RNN), "GRU": (nn.GRU, GRU), "LSTM": (nn.LSTM, LSTM)}
CELLS = {"RNNCell": (nn.RNNCell, RNNCell), "GRUCell": (nn.GRUCell, GRUCell), "LSTMCell": (nn.LSTMCell, LSTMCell)}
each_name = pytest.mark.parametrize("name", NAMESAKES)
each_engine = pytest.mark.parametrize("engine", ["textbook", "fused"])


def both(name: str, *args: Any, engine: str = "fused", **options: Any) -> tuple[Any, Any]:
    """The namesake and ours, from one seed."""
    namesake, ours = NAMESAKES[name]
    torch.manual_seed(1)
    reference = namesake(*args, **options)
    torch.manual_seed(1)
    return reference, ours(*args, **options, engine=engine)


def flat(result: Any) -> list[Tensor]:
    """Outputs and states of a layer's or a cell's result."""
    outputs, *rest = result if isinstance(result, tuple) else (result,)
    return [outputs, *(s for hx in rest for s in states_of(hx))]
