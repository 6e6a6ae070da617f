"""Layers that drop in for those of ``torch.nn``, and :class:`Recurrent`, which makes a layer of any cell."""

from gru_scratch.layers.namesakes import GRU, LSTM, RNN
from gru_scratch.layers.one_step import GRUCell, LSTMCell, RNNCell
from gru_scratch.layers.recurrent import Recurrent

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Recurrent"]
