"""Layers that drop in for those of ``torch.nn``, and :class:`Recurrent`, which makes a layer of any cell."""

from gru_scratch.layers.one_step import GRUCell, LSTMCell, RNNCell
from gru_scratch.layers.recurrent import Recurrent
from gru_scratch.layers.torch_nn import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Recurrent"]
