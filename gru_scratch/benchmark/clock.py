"""Time that passes, and several actions timed in turn.

Two programs timed one after the other are timed under different conditions: a processor warms up, another program
comes and goes. Timed in turn, A B A B, they share the conditions, and each round gives a pair to compare.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
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
    """For a CUDA device, which works on while the call has long returned: its own events mark start and end."""

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
    """Python's collector starts when it likes, and would be counted to whoever is running."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
