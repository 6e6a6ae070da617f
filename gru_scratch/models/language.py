"""Language models: a recurrent layer, then one linear layer that scores the next token.

Both classes are called as `model(X, state)` with token indices X (B, T). They return scores (T * B, V), the first step
of all sequences first, and the state after the last step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.engines.native.scores import mean_cross_entropy
from gru_scratch.layers.dropout import DropoutMasks, dropout
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.scratch import gru, lstm, rnn

Device = torch.device | str | None
GetParams = Callable[[int, int, Any], list[Tensor]]
InitState = Callable[[int, int, Any], Any]
ForwardFn = Callable[[Tensor, Any, list[Tensor]], tuple[Tensor, Any]]

SCRATCH_FUNCTIONS: dict[str, tuple[GetParams, InitState, ForwardFn]] = {
    "rnn": (rnn.get_rnn_params, rnn.init_rnn_state, rnn.rnn),
    "gru": (gru.get_gru_params, gru.init_gru_state, gru.gru),
    "gru_reset_after": (gru.get_gru_reset_after_params, gru.init_gru_state, gru.gru_reset_after),
    "lstm": (lstm.get_lstm_params, lstm.init_lstm_state, lstm.lstm),
}
"""For each cell in `scratch/` the three functions that `RNNModelScratch` takes: parameters, initial state, forward."""


class RNNModelScratch:
    """A model from three functions of `scratch/` ("Dive into Deep Learning" 0.17, section 8.5).

    Args:
        vocab_size: V, the number of tokens.
        num_hiddens: H, the hidden units.
        device: where the parameters are.
        get_params: called with these three; it returns the parameters, a list of tensors.
        init_state: called with the batch size, `num_hiddens` and the device; it returns the initial state.
        forward_fn: called with one-hot inputs (T, B, V), a state and the parameters; it returns scores (T * B, V) and
            the state after the last step.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int,
        device: Device,
        get_params: GetParams,
        init_state: InitState,
        forward_fn: ForwardFn,
    ) -> None:
        self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
        self.params = get_params(vocab_size, num_hiddens, device)
        self.init_state, self.forward_fn = init_state, forward_fn

    def __call__(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
        inputs = F.one_hot(X.T.long(), self.vocab_size).type(self.params[0].dtype)  # (T, B, V)
        return self.forward_fn(inputs, state, self.params)

    def begin_state(self, batch_size: int, device: Device) -> Any:
        return self.init_state(batch_size, self.num_hiddens, device)


class RNNModel(nn.Module):
    """A model from any recurrent layer with the interface of `torch.nn` ("Dive into Deep Learning" 0.17, section 8.6).

    The layer reads one-hot vectors, or token indices if its attribute `accepts_tokens` is true. Its state is a tensor
    (layers * directions, B, H), for an LSTM a pair of them, or what the layer's `initial_state` returns.

    Args:
        rnn_layer: the layer; its input size is `vocab_size`, or `embedding_size` if that is not 0.
        vocab_size: V, the number of tokens.
        embedding_size: the size of the learnt vector of each token, which the layer then reads; 0: one-hot vectors.
        dropout: the probability of zeroing an output of the layer before it is scored, in training.
        dropout_masks: how `dropout` draws, as in :class:`gru_scratch.Recurrent`.
        tie_weights: whether the linear layer and the embedding share one weight.
        reset_at: a token before which the state is cleared, in training and in generation: it begins a new sequence.

    Raises:
        ValueError: `tie_weights` is set, and the embedding is not as wide as the layer's output; or `reset_at` is no
            token, or set for a layer of `torch.nn`, which cannot clear its state inside a sequence.
    """

    embedding: nn.Embedding | None
    reset_at: int | None = None

    def __init__(
        self,
        rnn_layer: nn.Module,
        vocab_size: int,
        *,
        embedding_size: int = 0,
        dropout: float = 0.0,
        tie_weights: bool = False,
        dropout_masks: DropoutMasks = "torch",
        reset_at: int | None = None,
    ) -> None:
        super().__init__()
        if reset_at is not None and not 0 <= reset_at < vocab_size:
            raise ValueError(f"reset_at must be a token from 0 to {vocab_size - 1}, received {reset_at}")
        if reset_at is not None and not isinstance(rnn_layer, RecurrentLayer):
            raise ValueError(f"reset_at needs a layer of gru_scratch, received {type(rnn_layer).__qualname__}")
        self.reset_at = reset_at
        self.embedding = nn.Embedding(vocab_size, embedding_size) if embedding_size else None
        self.dropout, self.dropout_masks = dropout, dropout_masks
        self.rnn = cast(Any, rnn_layer)
        self.vocab_size = vocab_size
        self.num_hiddens: int = self.rnn.hidden_size
        self.num_directions = 2 if self.rnn.bidirectional else 1
        self.linear = nn.Linear(self.num_directions * self._output_size(), vocab_size)
        if tie_weights:
            if self.embedding is None or self.embedding.weight.shape != self.linear.weight.shape:
                raise ValueError(
                    f"tied weights need an embedding of size {self.linear.in_features}, received {embedding_size}"
                )
            self.linear.weight = self.embedding.weight

    def forward(self, inputs: Tensor, state: Any, targets: Tensor | None = None) -> tuple[Tensor, Any]:
        """Scores and the next state; or, with `targets`, the tokens that follow (T * B,), the mean cross-entropy of the
        scores and the next state."""
        batch_first = self.rnn.batch_first
        X = inputs.long() if batch_first else inputs.T.long()
        resets = {} if self.reset_at is None else {"resets": X.eq(self.reset_at)}
        if self.embedding is not None:
            X = self.embedding(X)  # (T, B, E)
        elif not getattr(self.rnn, "accepts_tokens", False):
            X = F.one_hot(X, self.vocab_size).to(self.linear.weight.dtype)  # (T, B, V)
        Y, state = self.rnn(X, state, **resets)  # (T, B, directions * H)
        if batch_first:
            Y = Y.transpose(0, 1)
        Y = dropout(Y, self.dropout, self.training, self.dropout_masks)
        rows = Y.reshape(-1, Y.shape[-1])
        return self.linear(rows) if targets is None else self.cross_entropy(rows, targets), state

    def cross_entropy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over `targets` (N,) of the cross-entropy of the scores of the layer's outputs (N, directions * H).

        Where the layer runs in native code, so does this.
        """
        if getattr(self.rnn, "engine", None) == "native":
            return mean_cross_entropy(outputs, self.linear.weight, self.linear.bias, targets)
        return F.cross_entropy(self.linear(outputs), targets)

    def begin_state(self, device: Device = None, batch_size: int = 1) -> Any:
        """The initial state: zeros, in the form and dtype of the layer's state."""
        dtype = self.linear.weight.dtype
        if hasattr(self.rnn, "initial_state"):
            return self.rnn.initial_state(batch_size, device=device, dtype=dtype)
        rows = self.num_directions * self.rnn.num_layers
        hidden = torch.zeros((rows, batch_size, self._output_size()), device=device, dtype=dtype)
        if self.rnn.mode == "LSTM":
            return hidden, torch.zeros((rows, batch_size, self.num_hiddens), device=device, dtype=dtype)
        return hidden

    def _output_size(self) -> int:
        return getattr(self.rnn, "proj_size", 0) or self.num_hiddens
