"""Recurrent cells as equations, ready for an engine."""

from gru_scratch.cells.base import Cell, Coefficients, Gates, Param, PreActivations, State, make_cell
from gru_scratch.cells.gru import GRUEquations
from gru_scratch.cells.lstm import LSTMEquations
from gru_scratch.cells.mgu import MGUEquations
from gru_scratch.cells.rnn import RNNEquations
from gru_scratch.cells.zoneout import Zoneout

__all__ = [
    "Cell",
    "Coefficients",
    "GRUEquations",
    "Gates",
    "LSTMEquations",
    "MGUEquations",
    "Param",
    "PreActivations",
    "RNNEquations",
    "State",
    "Zoneout",
    "make_cell",
]
