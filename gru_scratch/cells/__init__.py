"""Recurrent cells as equations, ready for an engine."""

from gru_scratch.cells.base import (
    Carry,
    Cell,
    Coefficients,
    Gates,
    Param,
    PreActivations,
    RecurrentWeights,
    State,
)
from gru_scratch.cells.cifg import CIFGEquations
from gru_scratch.cells.gru import GRUEquations
from gru_scratch.cells.layer_norm import LayerNormGRUEquations, LayerNormLSTMEquations
from gru_scratch.cells.lstm import LSTMEquations
from gru_scratch.cells.make import make_cell
from gru_scratch.cells.mgu import MGUEquations
from gru_scratch.cells.minimal import MinGRUEquations, MinLSTMEquations
from gru_scratch.cells.peephole import PeepholeLSTMEquations
from gru_scratch.cells.rnn import RNNEquations
from gru_scratch.cells.user import CELLS, CellFile, is_path, load_cell, resolve_cell
from gru_scratch.cells.zoneout import Zoneout

__all__ = [
    "CELLS",
    "CIFGEquations",
    "Carry",
    "Cell",
    "CellFile",
    "Coefficients",
    "GRUEquations",
    "Gates",
    "LSTMEquations",
    "LayerNormGRUEquations",
    "LayerNormLSTMEquations",
    "MGUEquations",
    "MinGRUEquations",
    "MinLSTMEquations",
    "Param",
    "PeepholeLSTMEquations",
    "PreActivations",
    "RNNEquations",
    "RecurrentWeights",
    "State",
    "Zoneout",
    "is_path",
    "load_cell",
    "make_cell",
    "resolve_cell",
]
