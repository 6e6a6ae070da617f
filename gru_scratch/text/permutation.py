"""An order of N things that is computed, not kept: random access in no memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Permutation:
    """A permutation of 0 .. size - 1, chosen by its keys (four whole numbers below 2**32); `order[a:b]` is a part.

    A Feistel network: a number of 2b bits is cut into halves, and each round adds to one half (by exclusive or) a hash
    of the other, which can be undone, so that no two numbers meet. A result of `size` or more goes through it again,
    until it is below; as 2**(2b) < 4 * size, that is seldom more than a few times. Source: Black and Rogaway,
    "Ciphers with arbitrary finite domains" (2002).
    """

    def __init__(self, size: int, keys: Sequence[int]) -> None:
        self.size = size
        self.bits = max((max(size - 1, 1).bit_length() + 1) // 2, 1)
        self.keys = np.array(keys, np.uint64)

    def __getitem__(self, part: slice) -> NDArray[np.int64]:
        values = np.arange(*part.indices(self.size)).astype(np.uint64)
        outside = np.ones(len(values), bool)
        while outside.any():
            values[outside] = self._rounds(values[outside])
            outside = values >= self.size
        return values.astype(np.int64)

    def _rounds(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        shift = np.uint64(self.bits)
        mask = np.uint64((1 << self.bits) - 1)
        left, right = values >> shift, values & mask
        for key in self.keys:
            left, right = right, left ^ (_mix(right ^ (key << np.uint64(32))) & mask)
        return (left << shift) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of 64 bits (the finaliser of SplitMix64); its products are meant to overflow."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
