"""Medians, and how sure they are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

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
        ValueError: there is no round, or one of the two has more of them.
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
