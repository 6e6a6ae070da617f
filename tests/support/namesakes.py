"""An action on a layer of ``torch.nn`` and on ours: one outcome, in values, types and words."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import gru_scratch

LAYERS = ("RNN", "GRU", "LSTM")
CELLS = ("RNNCell", "GRUCell", "LSTMCell")
X = torch.linspace(-1, 1, 30).view(5, 2, 3)


def make(room: Any, name: str, *args: Any, **options: Any) -> Any:
    """A layer or cell of ``room``, torch.nn or gru_scratch, from one seed."""
    torch.manual_seed(0)
    return getattr(room, name)(*args, **options)


def outcome(act: Callable[[], Any]) -> tuple[Any, list[Any]]:
    """What an action gives, or the type and words of what it raises; and the warnings on its way."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result: Any = act()
        except Exception as error:
            result = type(error).__name__, str(error)
    return result, [(w.category, str(w.message)) for w in seen]


def same(a: Any, b: Any) -> bool:
    """Whether two outcomes are equal, tensors but for rounding."""
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.allclose(a, b, atol=1e-6)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def agree(act: Callable[[Any], Any]) -> None:
    """An action on torch.nn and on gru_scratch has one outcome."""
    (expected, expected_warnings), (found, found_warnings) = (
        outcome(lambda r=room: act(r)) for room in (nn, gru_scratch)
    )
    assert same(expected, found), f"torch.nn: {expected}\nhere: {found}"
    assert expected_warnings == found_warnings


def state(name: str, *shape: int, **options: Any) -> Any:
    zeros = torch.zeros(*shape, **options)
    return (zeros, zeros.clone()) if name.startswith("LSTM") else zeros
