"""Gated recurrent networks from the book's equations: readable, exact and fast.

Where to read first: ``scratch/gru.py``, the chapter as a plain function; ``cells/gru.py``, the same equations ready for
an engine; ``engines/textbook.py``, the loop over time; then ``engines/fused/``, the same by hand, and fast.

Names are imported when they are first asked for, so that a help page need not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gru_scratch.cells import Cell, Param, load_cell
    from gru_scratch.check import check_cell
    from gru_scratch.layers import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RNNCell
    from gru_scratch.models.language import RNNModel, RNNModelScratch

__version__ = "0.2.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "Param",
    "RNNCell",
    "RNNModel",
    "RNNModelScratch",
    "Recurrent",
    "check_cell",
    "load_cell",
]

_NAMES_OF = {
    "cells": ("Cell", "Param", "load_cell"),
    "check": ("check_cell",),
    "layers": ("GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Recurrent", "RNNCell"),
    "models.language": ("RNNModel", "RNNModelScratch"),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}
_ROOMS = ("cells", "check", "convert", "d2l", "engines", "layers", "models", "scratch", "text")


def __getattr__(name: str) -> Any:
    """A public name, or a room as an attribute, imported when it is first asked for."""
    if name in _ROOMS:
        return import_module(f"gru_scratch.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gru_scratch' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"gru_scratch.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
