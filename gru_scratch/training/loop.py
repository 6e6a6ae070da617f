"""The training loop over a text, for models made of functions and for modules alike.

Source: "Dive into Deep Learning" 0.17, section 8.5 (`train_epoch_ch8`), with the same arithmetic in the same order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from gru_scratch.training.update import Updater, grad_clipping, make_update

State = Any
"""What a model carries from one batch to the next: a tensor, or a tuple of tensors."""
Batch = tuple[Tensor, Tensor]
"""Token indices and those of the tokens that follow, each (B, T)."""
Loss = Callable[[Tensor, Tensor], Tensor]


class CharModel(Protocol):
    """The interface that the loop needs of a model: that of `RNNModelScratch` and `RNNModel`."""

    def __call__(self, X: Tensor, state: State) -> tuple[Tensor, State]:
        """Tokens (B, T) and a state → scores (T * B, V), time first, and the next state."""

    def begin_state(self, *, batch_size: int, device: torch.device) -> State:
        """The state before the first token."""


@dataclass(frozen=True)
class Update:
    """A completed update of the parameters."""

    summed_loss: float
    """Cross-entropy of the batch before the update, summed over its tokens, in nats."""
    tokens: int
    norm: float
    """Norm of all gradients together, before clipping."""
    state: State
    """The model's state after the batch."""


@dataclass
class Meter:
    """Running totals over a part of training, or over one pass through a text."""

    summed_loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    updates: int = 0
    summed_norm: float = 0.0
    """The sum over the updates of the norm of all gradients together, before clipping."""
    clipped: int = 0
    """Updates whose gradients were scaled down."""

    def add(self, summed_loss: float, tokens: int) -> None:
        self.summed_loss += summed_loss
        self.tokens += tokens

    def add_update(self, norm: float, clip: float) -> None:
        self.updates += 1
        self.summed_norm += norm
        self.clipped += norm > clip

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats a token."""
        return self.summed_loss / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss): the number of equally likely tokens between which the model is left to guess."""
        return perplexity(self.loss)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def perplexity(loss: float) -> float:
    """exp(loss), infinite where a float cannot hold it."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def updates(
    net: CharModel,
    batches: Iterable[Batch],
    loss: Loss,
    updater: Updater,
    device: torch.device,
    *,
    carry_state: bool,
    clip: float = 1.0,
    state: State = None,
) -> Iterator[Update]:
    """Train `net` on `batches`, and yield after each update of its parameters.

    With `carry_state` a batch starts from the final state of the batch before it, detached from its graph (sequential
    sampling); the first one starts from `state`. Without it every batch starts from the zero state (random sampling).
    `clip` is the norm to which the gradients are clipped.

    Raises NotFiniteError before an update with a loss or gradient that is not finite: the parameters are unchanged.
    """
    for X, Y in batches:
        goes_on = carry_state and state is not None
        state = detached(state) if goes_on else net.begin_state(batch_size=X.shape[0], device=device)
        y_hat, state = net(X.to(device), state)
        mean = loss(y_hat, Y.T.reshape(-1).to(device).long()).mean()  # (T * B,), time first, as the scores
        made = make_update(mean, Y.numel(), updater, lambda: grad_clipping(net, clip))  # type: ignore[arg-type]  # it has parameters
        yield Update(made.summed_loss, Y.numel(), made.norm, state)


def train_epoch(
    net: CharModel,
    batches: Iterable[Batch],
    loss: Loss,
    updater: Updater,
    device: torch.device,
    *,
    carry_state: bool,
    clip: float = 1.0,
) -> Meter:
    """One pass over `batches` with `updates`: its loss, perplexity and speed.

    Raises ValueError if there is no batch, and what `updates` raises.
    """
    meter = Meter()
    start = time.perf_counter()
    for update in updates(net, batches, loss, updater, device, carry_state=carry_state, clip=clip):
        meter.add(update.summed_loss, update.tokens)
    meter.seconds = time.perf_counter() - start
    if not meter.tokens:
        raise ValueError("there is no batch to train on: the text is shorter than one batch")
    return meter


def detached(state: State) -> State:
    """The same values without the graph that made them."""
    if isinstance(state, Tensor):
        return state.detach()
    return tuple(s.detach() for s in state)
