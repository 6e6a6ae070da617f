"""Time that passes, several actions timed in turn, and how sure their medians are.

Two programs timed one after the other are timed under different conditions: a processor warms up, another program
comes and goes. Timed in turn, A B A B, they share the conditions, and each round gives a pair to compare.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Action = Callable[[], object]


class Clock(Protocol):
    """Tells how long an action takes."""

    def time(self, action: Action) -> float:
        """Run `action` once; seconds."""


class WallClock:
    """For a CPU, whose work is done when the call returns."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now

    def time(self, action: Action) -> float:
        start = self._now()
        action()
        return self._now() - start


class DeviceClock:
    """For a CUDA device, which still works when the call has returned: its own events mark start and end."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def time(self, action: Action) -> float:
        with torch.cuda.device(self._device):
            event: Any = torch.cuda.Event
            start, end = event(enable_timing=True), event(enable_timing=True)
            torch.cuda.synchronize()  # nothing of what was before is counted
            start.record()
            action()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / 1000


def clock_for(device: torch.device) -> Clock:
    """The clock that measures work on `device`."""
    return DeviceClock(device) if device.type == "cuda" else WallClock()


@dataclass(frozen=True)
class Budget:
    """How many rounds to measure: as many as fit into `seconds`, but at least `least` and at most `most`."""

    seconds: float
    least: int = 7
    most: int = 101

    def rounds(self, seconds_a_round: float) -> int:
        """The number of rounds, from how long one takes."""
        fitting = self.most if seconds_a_round <= 0 else int(min(self.most, self.seconds / seconds_a_round))
        return max(self.least, fitting)


WARM_UP = 2
"""Rounds before the first that counts: memory is taken from the system, kernels are chosen, code is compiled."""


def in_turn(
    actions: Mapping[str, Action], clock: Clock, budget: Budget, *, warm_up: int = WARM_UP, seed: int = 0
) -> dict[str, list[float]]:
    """Time all actions once a round, in an order drawn anew for each, so that none always follows the same other.

    Returns:
        For each action its seconds, one number a round: the k-th of two actions are a pair.
    """
    seconds_a_round = 0.0
    for _ in range(warm_up):
        seconds_a_round = sum(clock.time(action) for action in actions.values())
    samples: dict[str, list[float]] = {name: [] for name in actions}
    order, shuffle = list(actions), random.Random(seed).shuffle
    with _no_garbage_collection():
        for _ in range(budget.rounds(seconds_a_round)):
            shuffle(order)
            for name in order:
                samples[name].append(clock.time(actions[name]))
    return samples


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Python's collector may start at any time, and its time would be counted as that of the action that runs."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


LEVEL = 0.95
"""How often, of all intervals, the true median is to lie within."""


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the base: the median of the rounds' ratios, and an interval for it."""

    median: float
    low: float
    high: float

    @property
    def covers_one(self) -> bool:
        """Whether the measurement does not tell the two apart."""
        return self.low <= 1 <= self.high


def paired_ratio(base: Sequence[float], other: Sequence[float]) -> Ratio:
    """The base's time over the other's, round by round: above 1 the other is faster.

    Raises:
        ValueError: there is no round, or the two have not as many.
    """
    if len(base) != len(other) or not base:
        raise ValueError(f"expected two lists of as many rounds, at least one, received {len(base)} and {len(other)}")
    ratios = [b / o for b, o in zip(base, other, strict=True)]
    return Ratio(statistics.median(ratios), *median_interval(ratios))


def median_interval(samples: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """An interval that covers the median of what the samples are drawn from, with a probability of at least `level`.

    It runs from the k-th smallest to the k-th largest sample. It misses the true median only if fewer than k of the n
    samples lie on one side of it, and since each falls there with probability 1/2, whatever the distribution, that
    happens with probability 2 P(Binomial(n, 1/2) < k): k is the largest with which this is at most 1 - level. Fewer
    than 6 samples are too few for 95 %: then k is 1, and the interval is all of them.
    """
    ordered, n = sorted(samples), len(samples)

    def missed(k: int) -> float:
        return 2 * sum(math.comb(n, fewer) for fewer in range(k)) * 0.5**n

    k = 1
    while missed(k + 1) <= 1 - level:
        k += 1
    return ordered[k - 1], ordered[n - k]
