"""Rows of a batch shared out among threads, each of which takes its own through all steps.

Threads live as long as a call: starting one costs less than a hundredth of the least work that is worth sharing, and
none is there to be lost when a process forks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

WORTH_SHARING = 2**24
"""So many multiplications are a few hundred microseconds' work."""


def thread_count(rows: int, multiplications: int) -> int:
    """How many threads share some work: as many as PyTorch would use, where there is enough of it."""
    return max(1, min(torch.get_num_threads(), rows, multiplications // WORTH_SHARING))


def share(rows: int, count: int, work: Callable[[int, int, int], object]) -> None:
    """Call ``work(first, end, k)`` for each of ``count`` equal parts of the rows, at the same time."""
    parts = [(rows * k // count, rows * (k + 1) // count, k) for k in range(count)]
    others = [threading.Thread(target=work, args=part) for part in parts[1:]]
    for thread in others:
        thread.start()
    work(*parts[0])
    for thread in others:
        thread.join()
