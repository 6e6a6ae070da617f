"""Numbers of tokens that stay in their file: a row of any length, of which only what is read takes memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BYTES_BEFORE_RELEASE = 1 << 25
BYTES_A_FAULT = 1 << 20  # what a system may map around the one page that was asked for (Linux 6.18: up to 2 MB)


class MappedTokens:
    """The tokens of a file as a row (N,): `len`, slices (which are such rows), and windows as tensors.

    Pages that were read are given back to the system's cache now and then, so that the process's own memory does not
    grow with what it has seen.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._numbers: NDArray[Any] = np.frombuffer(self._map, dtype)
        self._touched = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, part: slice) -> MappedTokens:
        view = object.__new__(MappedTokens)
        view._map, view._numbers, view._touched = self._map, self._numbers[part], 0
        return view

    def windows(self, starts: NDArray[np.int64], length: int) -> Tensor:
        """The tokens from each of B places on, (B, length) int64."""
        numbers = np.stack([self._numbers[start : start + length] for start in starts])
        self._release(len(starts) * max(BYTES_A_FAULT, length * self._numbers.itemsize))
        return torch.from_numpy(numbers.astype(np.int64))

    def counts(self, size: int) -> Tensor:
        """How often each of the numbers 0 .. size - 1 occurs, (size,) int64."""
        total = np.zeros(size, np.int64)
        step = 1 << 20
        for start in range(0, len(self), step):
            part = self._numbers[start : start + step]
            total += np.bincount(part, minlength=size)
            self._release(part.nbytes)
        return torch.from_numpy(total)

    def _release(self, touched: int) -> None:
        self._touched += touched
        if self._touched > BYTES_BEFORE_RELEASE and hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0
