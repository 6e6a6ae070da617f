"""Two ways to drop out what a layer puts out: afresh at every step, or the same units at all of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def dropout(outputs: Tensor, p: float, training: bool, locked: bool = False) -> Tensor:
    """In training, zero each number of outputs (T, B, H) with probability ``p``, and divide the others by 1 - p.

    Args:
        locked: draw for each unit of each sequence once, for all steps (Gal and Ghahramani, 2016, arXiv:1512.05287).
    """
    if not (p and training):
        return outputs
    if locked:
        return F.dropout1d(outputs.permute(1, 2, 0), p).permute(2, 0, 1)
    return F.dropout(outputs, p)


def check_weight_dropout(p: float) -> float:
    """The probability, if it is one that leaves something; ValueError if not."""
    if not 0 <= p < 1:
        raise ValueError(f"weight_dropout must be at least 0 and below 1, received {p!r}")
    return float(p)
