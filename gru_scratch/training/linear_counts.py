"""A linear classifier on the counts of tokens: the baseline of the recurrent classifier.

It sees which tokens a text has and how often, but not their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.training.scores import confusion

STEPS = 100
DECAY = 1e-4
"""The coefficient of the squared weights, which are added to the mean loss."""

Numbered = Sequence[tuple[list[int], int]]
"""Texts as token indices, each with the index of its label."""


def linear_on_counts(train: Numbered, test: Numbered, vocab_size: int, num_classes: int) -> Tensor:
    """Fit softmax(W counts + b) to `train` with L-BFGS from zero, and return the confusion matrix (C, C) on `test`."""
    counts, labels = _counts(train, vocab_size)
    layer = nn.Linear(vocab_size, num_classes, device=counts.device)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(layer(counts), labels) + DECAY * layer.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    counts, labels = _counts(test, vocab_size)
    with torch.no_grad():
        return confusion(layer(counts).argmax(1), labels, num_classes)


def _counts(texts: Numbered, vocab_size: int) -> tuple[Tensor, Tensor]:
    """How often each text has each token, (N, V), and the labels (N,)."""
    rows = [torch.bincount(torch.tensor(tokens), minlength=vocab_size) for tokens, _ in texts]
    return torch.stack(rows).float(), torch.tensor([label for _, label in texts])
