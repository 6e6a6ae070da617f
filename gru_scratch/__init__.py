"""Gated recurrent networks from the book's equations: readable, exact and fast.

Where to read first: ``scratch/gru.py``, the chapter as a plain function; ``cells/gru.py``, the same equations ready for
an engine; ``unroll.py``, the loop over time; then ``sequence.py`` and ``bptt.py``, the same by hand, and fast.
"""

from gru_scratch.cells import Cell, Param, load_cell
from gru_scratch.check import check_cell
from gru_scratch.layers import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RNNCell
from gru_scratch.models.language import RNNModel, RNNModelScratch

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
