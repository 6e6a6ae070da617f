"""How many threads a run takes: which number is the faster, and a sign that it is a wrong one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from gru_scratch.training.hardware import threads_at_hand
from gru_scratch.training.task import Task
from gru_scratch.training.update import named_parameters

SLOW_SHARE = 0.7
"""A run that gets less than this share of its threads' time shares the processor with other programs."""
WATCHED_SECONDS = 5.0
"""Seconds of watching before any advice."""
PROBES = 5


def limit_threads(asked: int | str | None, kept: int | None = None) -> None:
    """Use the threads that were asked for, or `kept` by a resumed run; else no more than there are processors.

    PyTorch itself does not respect a quota.
    """
    at_hand = min(torch.get_num_threads(), threads_at_hand())
    torch.set_num_threads(asked if isinstance(asked, int) else kept or at_hand)


def settle_threads(task: Task, before: Mapping[str, Any] | None) -> None:
    """With the option `auto`, use one thread or all: the number of the run that is resumed, else whichever is faster.

    `before` is the record of the state that is resumed, None for a new run. The run itself stays as it is.
    """
    if task.config.threads == "auto":
        kept = None if before is None else before.get("threads")
        limit_threads("auto", kept or measured_threads(task))


def measured_threads(task: Task) -> int:
    """One thread or all, whichever is faster at the loss of a batch of this run and its gradients."""
    batch = task.epoch(random.Random(0))[0]
    with torch.random.fork_rng(devices=[]):
        count = fastest_threads(lambda: torch.autograd.backward(task.loss(batch, ()).mean), torch.get_num_threads())
    for _, param in named_parameters(task.model):
        param.grad = None
    return count


def fastest_threads(work: Callable[[], object], most: int) -> int:
    """1 or `most` threads, whichever does the work faster now, by the median of a few times."""
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
    """Checks once, some seconds after the start, whether other programs slow down the threads of this one."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, used: Callable[[], float] = time.process_time):
        self.clock, self.used = clock, used
        self.start: tuple[float, float] | None = clock(), used()

    def advice(self, threads: int) -> str | None:
        """One line of advice if one thread would be faster, else None; called after every update.

        Threads that wait for each other spin, so that the time they use is all the time that they get.
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
