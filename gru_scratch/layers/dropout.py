"""Dropout of a layer's outputs, other units at every step or the same at all steps; and of its recurrent weights.

On a CPU, `F.dropout` takes most of its time for its random numbers, one for each output; here 64 random bits decide on
four.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

DropoutMasks: TypeAlias = Literal["torch", "quick", "locked"]
"""torch: those that ``torch.nn`` draws under the same seed. quick: others, drawn in a third of the time. locked: the
same units at every step of a sequence (Gal and Ghahramani, 2016, arXiv:1512.05287)."""

_BITS = 16
"""Random bits for each number, so that a probability is rounded to a multiple of 2 ** -16."""


def dropout(outputs: Tensor, p: float, training: bool, masks: DropoutMasks = "torch") -> Tensor:
    """In training, zero each number of outputs (T, B, H) with probability ``p``, and divide the others by 1 - p."""
    if not (p and training):
        return outputs
    if masks == "torch" or p == 1:
        return F.dropout(outputs, p)
    return outputs * keep(outputs[:1] if masks == "locked" else outputs, p)


def keep(like: Tensor, p: float) -> Tensor:
    """The mask to multiply with, of the shape of ``like``: 0 with probability ``p``, else 1 / (1 - p)."""
    count, ends = like.numel(), torch.iinfo(torch.int64)
    drawn = torch.randint(ends.min, ends.max, (-(-count * _BITS // 64),), device=like.device).view(torch.int16)
    limit = min(round(p * 2**_BITS), 2**_BITS - 1)  # of 2 ** 16 equally likely numbers, from the smallest on
    kept: Tensor = drawn[:count].view(like.shape) >= limit - 2 ** (_BITS - 1)
    return kept.to(like.dtype).mul_(1 / (1 - limit / 2**_BITS))


def check_dropout(masks: str, weight_dropout: float) -> None:
    """Raise ValueError unless there are masks of that name and the probability is below 1."""
    if masks not in get_args(DropoutMasks):
        raise ValueError(
            f"dropout_masks must be one of {', '.join(map(repr, get_args(DropoutMasks)))}, received {masks!r}"
        )
    if not 0 <= weight_dropout < 1:
        raise ValueError(f"weight_dropout must be at least 0 and below 1, received {weight_dropout!r}")
