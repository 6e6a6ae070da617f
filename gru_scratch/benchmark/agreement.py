"""Whether two programs compute the same: a ratio of their times means nothing if they do not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Rounding moves no number by more than this part of the largest in its tensor; a wrong equation does."""

SHARE = 0.01

Values = Mapping[str, Tensor]
"""What a program computed, by name: the loss, and the gradient of each parameter."""


def differences(found: Values, expected: Values) -> dict[str, float]:
    """For each name the largest difference between two tensors, over the largest magnitude in the expected one.

    A gradient in which all cancels is no yardstick: no scale is less than SHARE of the largest of all gradients.
    What only one of the two has, or has in another shape, and what is no number, differs infinitely.
    """
    sizes = {name: value.double().abs().max().item() for name, value in expected.items()}
    least = SHARE * max((size for name, size in sizes.items() if name != "loss"), default=0.0)

    def difference(name: str) -> float:
        if name not in found or name not in expected or found[name].shape != expected[name].shape:
            return float("inf")
        largest = (found[name].double() - expected[name].double()).abs().max().item()
        scale = sizes[name] if name == "loss" else max(sizes[name], least)
        if largest == 0:
            return 0.0
        return largest / scale if scale > 0 and largest < float("inf") else float("inf")  # of nan neither holds

    return {name: difference(name) for name in {**expected, **found}}


def agree(difference: Mapping[str, float], dtype: torch.dtype = torch.float32) -> bool:
    """Whether these differences are no more than rounding."""
    return all(value <= TOLERANCE[dtype] for value in difference.values())


def worst(difference: Mapping[str, float]) -> str:
    """The name of what differs most."""
    return max(difference, key=lambda name: difference[name])
