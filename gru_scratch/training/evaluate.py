"""Evaluation: the loss on a text that a model is not trained on, and advice for a model that learns nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.text.batches import Corpus
from gru_scratch.text.token_file import MappedTokens
from gru_scratch.training.loop import CharModel, Meter

WINDOWS_AT_A_TIME = 256
TEST_WINDOW = 64
"""Steps of a window of the test: the context length of nanoGPT's small character model."""
MIN_UPDATES = 300
"""Updates after which a model should do better than guessing by frequency."""
MARGIN = 0.97


@dataclass(frozen=True)
class FinalLosses:
    """The losses on the test part of a text, which is read once, when a run ends, in nats a token."""

    carried: float
    """The loss over the whole part, with the state carried along."""
    windows: float | None
    """The loss in windows of `TEST_WINDOW` tokens, each from a zero state; None where the part is shorter than one."""
    tokens: int
    weights: str
    """Which parameters were tested: last or best."""

    def lines(self) -> list[str]:
        """The losses as lines of text."""
        lines = [
            f"test loss {self.carried:.4f} nats ({self.weights} parameters, {self.tokens:,} tokens, state carried)"
        ]
        if self.windows is not None:
            lines.append(f"test loss {self.windows:.4f} nats in windows of {TEST_WINDOW} from a zero state")
        return lines


def final_losses(net: CharModel, tokens: Corpus, device: torch.device, weights: str) -> FinalLosses:
    """Evaluate a model on the test part, (K,); `weights` says which parameters it has."""
    windows = None
    carried = evaluate(net, tokens, device, rows=1, num_steps=1024).loss
    if len(tokens) > TEST_WINDOW:
        windows = evaluate_windows(net, tokens, device, num_steps=TEST_WINDOW).loss
    return FinalLosses(carried, windows, len(tokens), weights)


@torch.no_grad()
def evaluate(net: CharModel, tokens: Corpus, device: torch.device, *, rows: int, num_steps: int) -> Meter:
    """Loss on a text (tokens (N,), N >= 2), with the state carried from a zero one.

    The text is laid out in up to `rows` equal rows, read side by side; fewer where they would be shorter than
    `num_steps`, the length that is read at a time.
    """
    rows = max(1, min(rows, (len(tokens) - 1) // num_steps))
    length = (len(tokens) - 1) // rows
    meter = Meter()
    start = time.perf_counter()
    with evaluating(net):
        state = net.begin_state(batch_size=rows, device=device)
        for t in range(0, length, num_steps):
            X, Y = windows(tokens, t + length * np.arange(rows), min(num_steps, length - t), device)
            y_hat, state = net(X, state)
            meter.add(float(F.cross_entropy(y_hat, Y.T.reshape(-1), reduction="sum")), Y.numel())
    meter.seconds = time.perf_counter() - start
    return meter


@torch.no_grad()
def evaluate_windows(net: CharModel, tokens: Corpus, device: torch.device, *, num_steps: int) -> Meter:
    """Loss on neighbouring windows of `num_steps` tokens, each from a zero state; a shorter rest is left out."""
    starts = np.arange(0, len(tokens) - num_steps, num_steps)
    meter = Meter()
    start = time.perf_counter()
    with evaluating(net):
        for i in range(0, len(starts), WINDOWS_AT_A_TIME):
            X, Y = windows(tokens, starts[i : i + WINDOWS_AT_A_TIME], num_steps, device)
            y_hat, _ = net(X, net.begin_state(batch_size=len(X), device=device))
            meter.add(float(F.cross_entropy(y_hat, Y.T.reshape(-1), reduction="sum")), Y.numel())
    meter.seconds = time.perf_counter() - start
    return meter


def windows(tokens: Corpus, starts: NDArray[np.int64], length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """From each place on, `length` tokens and the tokens that follow them, (B, length) each."""
    if isinstance(tokens, MappedTokens):
        taken = tokens.windows(starts, length + 1)
    else:
        taken = tokens.unfold(0, length + 1, 1)[torch.from_numpy(starts)].long()
    return taken[:, :-1].to(device), taken[:, 1:].to(device)


@contextmanager
def evaluating(net: object) -> Iterator[None]:
    """Within the block, a module is in evaluation mode."""
    module = net if isinstance(net, nn.Module) else getattr(net, "model", None)
    if not isinstance(module, nn.Module):
        yield
        return
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def unigram_loss(counts: Tensor) -> float:
    """The loss in nats a token of guessing by frequency alone, from how often each token occurs, (V,)."""
    shares = counts[counts > 0].double() / counts.sum()
    return float(-(shares * torch.log(shares)).sum())


def advice_if_stuck(history: Sequence[Mapping[str, Any]], unigram: float) -> str | None:
    """One line if the loss of the last record is no better than the unigram loss after `MIN_UPDATES`; else None.

    A text that frequencies alone predict (of one repeated character, say) has nothing to be stuck at.
    """
    if not history or history[-1]["update"] < MIN_UPDATES or unigram < 0.05:
        return None
    loss = history[-1]["train_loss"]
    if loss < MARGIN * unigram:
        return None
    return (
        f"after {history[-1]['update']:,} updates the training loss is {loss:.3f} nats, and guessing each token by its "
        f"frequency alone gives {unigram:.3f}: nothing of the order of the text is learnt. Try a larger lr (a smaller "
        f"one if the gradients are clipped all the time), init torch or orthogonal, optimizer adamw with lr 0.002, or "
        f"fewer layers"
    )
