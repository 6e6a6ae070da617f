"""The loss on a text that the model is not trained on: with the state carried along, or in windows from zero."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.text.batches import Corpus
from gru_scratch.text.mapped import MappedTokens
from gru_scratch.training.loop import CharModel, Meter

WINDOWS_AT_A_TIME = 256


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
        found = tokens.windows(starts, length + 1)
    else:
        found = tokens.unfold(0, length + 1, 1)[torch.from_numpy(starts)].long()
    return found[:, :-1].to(device), found[:, 1:].to(device)


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
