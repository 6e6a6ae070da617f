"""Recurrent layers and language models, as edition 1.0 has them in its chapters 9 and 10."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch import layers
from gru_scratch.d2l.v1.training import Batch, Classifier, Module
from gru_scratch.generate.continuation import continuation
from gru_scratch.scratch.rnn import rnn_step


def check_len(a: Sequence[Any], n: int) -> None:
    """AssertionError unless `a` has `n` entries."""
    if len(a) != n:
        raise AssertionError(f"expected {n} entries, received {len(a)}")


def check_shape(a: Tensor, shape: Sequence[int]) -> None:
    """AssertionError unless `a` is of this shape."""
    if tuple(a.shape) != tuple(shape):
        raise AssertionError(f"expected the shape {tuple(shape)}, received {tuple(a.shape)}")


# ------------------------------------------------------------------------------------------------ layers


class RNNScratch(Module):
    """The recurrent layer from its equation: inputs (T, B, V) give the hidden states, a list of T (B, H), and the last.

    Weights are drawn from N(0, sigma^2), the bias is zero.
    """

    num_hiddens: int
    sigma: float

    def __init__(self, num_inputs: int, num_hiddens: int, sigma: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.W_xh = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_hh = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_h = nn.Parameter(torch.zeros(num_hiddens))

    def forward(self, inputs: Any, state: Any = None) -> tuple[list[Tensor], Tensor]:
        if state is None:
            H = torch.zeros(inputs.shape[1], self.num_hiddens, device=inputs.device)
        else:
            H = state if isinstance(state, Tensor) else state[0]
        hiddens = []
        for X in inputs:
            H = rnn_step(X, H, [self.W_xh, self.W_hh, self.b_h])
            hiddens.append(H)
        return hiddens, H


class RNN(Module):
    """A recurrent layer: `rnn` is the layer of `torch.nn` with its parameters, and an engine of this library runs it.

    A subclass may put any other layer under `rnn`: `nn.RNN`, `nn.GRU` and `nn.LSTM` run on an engine, too.
    """

    rnn: Any
    num_hiddens: int

    def __init__(self, num_inputs: int, num_hiddens: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.rnn = nn.RNN(num_inputs, num_hiddens)

    def forward(self, inputs: Any, H: Any = None) -> Any:
        """Inputs (T, B, V) and a state, or None for zeros → outputs (T, B, H) and the last state."""
        return run_layer(self.rnn, inputs, H)


class GRU(RNN):
    """A GRU of several layers."""

    def __init__(self, num_inputs: int, num_hiddens: int, num_layers: int, dropout: float = 0) -> None:
        Module.__init__(self)
        self.save_hyperparameters()
        self.rnn = nn.GRU(num_inputs, num_hiddens, num_layers, dropout=dropout)


_OPTIONS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
_OURS: dict[type, tuple[Any, tuple[str, ...]]] = {
    nn.RNN: (layers.RNN, (*_OPTIONS, "nonlinearity")),
    nn.GRU: (layers.GRU, _OPTIONS),
    nn.LSTM: (layers.LSTM, (*_OPTIONS, "proj_size")),
}
"""The layer of ours that computes what one of `torch.nn` does, and the options that they share."""


def run_layer(layer: nn.Module, inputs: Tensor, state: Any) -> Any:
    """`layer(inputs, state)`: by an engine of this library for the layers of `torch.nn` themselves.

    They keep their type and their parameters, which pages look at, and lend the parameters to a layer of ours.
    """
    if type(layer) not in _OURS:
        return layer(inputs, state)
    ours, names = _OURS[type(layer)]
    borrower = _without_parameters(ours, **{name: getattr(layer, name) for name in names})
    borrower.training = layer.training
    return torch.func.functional_call(borrower, dict(layer.named_parameters()), (inputs, state))


@lru_cache(maxsize=16)
def _without_parameters(make: Any, **options: Any) -> nn.Module:
    layer: nn.Module = make(**options, device="meta")
    return layer


# ------------------------------------------------------------------------------------------------ language models


class RNNLMScratch(Classifier):
    """A language model: a recurrent layer `rnn` over one-hot vectors, and scores of the next token."""

    rnn: Any
    vocab_size: int

    def __init__(self, rnn: nn.Module, vocab_size: int, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.init_params()

    def init_params(self) -> None:
        """Make the parameters of the scores."""
        self.W_hq = nn.Parameter(torch.randn(self.rnn.num_hiddens, self.vocab_size) * self.rnn.sigma)
        self.b_q = nn.Parameter(torch.zeros(self.vocab_size))

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch; its perplexity goes on the board."""
        loss = self.loss(self(*batch[:-1]), batch[-1])
        self.plot("ppl", torch.exp(loss), train=True)
        return loss

    def validation_step(self, batch: Batch) -> None:
        """Put the perplexity of a batch on the board."""
        self.plot("ppl", torch.exp(self.loss(self(*batch[:-1]), batch[-1])), train=False)

    def one_hot(self, X: Tensor) -> Tensor:
        """Token numbers (B, T) → (T, B, V)."""
        return F.one_hot(X.T, self.vocab_size).float()

    def output_layer(self, rnn_outputs: Any) -> Tensor:
        """The hidden states of T steps → scores (B, T, V)."""
        return torch.stack([H @ self.W_hq + self.b_q for H in rnn_outputs], dim=1)

    def forward(self, X: Tensor, state: Any = None) -> Any:
        hiddens, _ = self.rnn(self.one_hot(X), state)
        return self.output_layer(hiddens)

    def predict(self, prefix: Sequence[str], num_preds: int, vocab: Any, device: Any = None) -> str:
        """`prefix` and the `num_preds` likeliest characters after it; one that the vocabulary lacks is `<unk>`."""
        numbers = [vocab[token] for token in prefix]
        following = islice(continuation(_StepByStep(self), numbers, device), num_preds)
        return "".join(vocab.idx_to_token[number] for number in [*numbers, *following])


class RNNLM(RNNLMScratch):
    """A language model whose scores come from a linear layer."""

    def init_params(self) -> None:
        self.linear = nn.LazyLinear(self.vocab_size)

    def output_layer(self, hiddens: Any) -> Tensor:
        return self.linear(hiddens).swapaxes(0, 1)  # type: ignore[no-any-return]


class _StepByStep:
    """A language model as generation calls it: tokens (B, T) and a state → scores (T * B, V) and the new state."""

    def __init__(self, model: RNNLMScratch) -> None:
        self.model = model

    def begin_state(self, *, batch_size: int, device: Any) -> None:
        """None: the layer begins with zeros of its own."""

    def __call__(self, X: Tensor, state: Any) -> tuple[Tensor, Any]:
        hiddens, state = self.model.rnn(self.model.one_hot(X), state)
        scores = self.model.output_layer(hiddens)  # (B, T, V)
        return scores.transpose(0, 1).flatten(0, 1), state
