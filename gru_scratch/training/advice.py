"""Signs that a run learns nothing, and what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

MIN_UPDATES = 300
"""So many updates a model may take before it has to know more than frequencies."""
MARGIN = 0.97


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
