"""How many threads a run takes: which number is the faster, and a sign that it is a wrong one."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from gru_scratch.training.hardware import threads_at_hand

SLOW_SHARE = 0.7
"""A run that gets less than this part of the processor time of its threads shares them with others."""
WATCHED_SECONDS = 5.0
"""So long the run is watched before anything is said."""
PROBES = 5


def limit_threads(asked: int | str | None, kept: int | None = None) -> None:
    """Take as many threads as were asked for, or `kept` by a run that goes on; else no more than there are processors.

    PyTorch does not look at a quota.
    """
    at_hand = min(torch.get_num_threads(), threads_at_hand())
    torch.set_num_threads(asked if isinstance(asked, int) else kept or at_hand)


def fastest_threads(work: Callable[[], object], most: int) -> int:
    """1 or `most` threads, whichever does some work sooner, now, by the median of a few times."""
    if most == 1:
        return 1
    times = {}
    for count in (1, most):
        torch.set_num_threads(count)
        work()
        taken = []
        for _ in range(PROBES):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        times[count] = sorted(taken)[PROBES // 2]
    return min(times, key=times.__getitem__)


class ThreadWatch:
    """Looks once, some seconds after the start, whether other programs hold up the threads of this one."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, used: Callable[[], float] = time.process_time):
        self.clock, self.used = clock, used
        self.start: tuple[float, float] | None = clock(), used()

    def advice(self, threads: int) -> str | None:
        """One line where one thread would be faster; to be asked after an update, and None most times.

        Threads that wait for each other spin, so that the time they use is that which they get.
        """
        if self.start is None or threads == 1 or self.clock() - self.start[0] < WATCHED_SECONDS:
            return None
        wall, used = self.clock() - self.start[0], self.used() - self.start[1]
        self.start = None
        if used >= SLOW_SHARE * threads * wall:
            return None
        return (
            f"{threads} threads got {used / wall:.1f} processors: other programs are running, and each thread waits "
            "for the slowest; --threads 1 is likely to be faster, and --threads auto measures which is"
        )
