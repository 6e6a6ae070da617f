"""Drop-in replacements for the recurrent layers of ``torch.nn``, and :class:`Recurrent`, a layer of any cell."""

from gru_scratch.layers.namesakes import GRU, LSTM, RNN
from gru_scratch.layers.one_step import GRUCell, LSTMCell, RNNCell
from gru_scratch.layers.recurrent import Recurrent

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Recurrent"]
