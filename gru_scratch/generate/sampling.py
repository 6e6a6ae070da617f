"""How the next token is chosen from the scores of all.

    p = softmax(scores / temperature)

cut to the `top_k` likeliest tokens, and then to the fewest of these that hold at least `top_p` of their probability
(nucleus sampling: Holtzman et al., 2020, arXiv:1904.09751). Temperature 0 is the limit: the likeliest token, as in the
book.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

Choose = Callable[[Tensor], Tensor]
"""A function from scores (N, V), one row a text, to the index of each text's next token, (N,)."""

COLDEST = 1e-30
"""Below this temperature, unequal float32 scores differ by more than any noise: the likeliest token is always drawn."""


def greedy(scores: Tensor) -> Tensor:
    """The likeliest token of each row; of equals the first."""
    return scores.argmax(dim=1)


@dataclass(frozen=True)
class Sampling:
    """The settings of sampling.

    Raises:
        ValueError: a setting is out of its range.
        TypeError: a setting is no number.
    """

    temperature: float = 1.0
    """At 0 the likeliest token is taken; the higher, the more evenly tokens are drawn."""
    top_k: int | None = None
    """Draw from this many of the likeliest tokens; None, or a number above that of all tokens: from all."""
    top_p: float | None = None
    """Draw from the fewest tokens whose probabilities add up to at least this; None: from all."""
    seed: int | None = None
    """The same tokens are drawn for the same seed; None: others each time."""

    def __post_init__(self) -> None:
        _check_number("temperature", self.temperature)
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be a finite number of at least 0, received {self.temperature}")
        if self.top_k is not None:
            check_whole("top_k", self.top_k, least=1)
        if self.top_p is not None:
            _check_number("top_p", self.top_p)
            if not 0 < self.top_p <= 1:
                raise ValueError(f"top_p must be above 0 and at most 1, received {self.top_p}")
        if self.seed is not None:
            check_whole("seed", self.seed, least=0)
            if self.seed >= 2**63:
                raise ValueError(f"seed must be below 2**63, received {self.seed}")

    def chooser(self, vocab_size: int, device: torch.device, never: Collection[int] = ()) -> Choose:
        """A function that draws tokens with its own generator, but never one whose index is in `never`."""
        if self.temperature < COLDEST:
            return greedy
        generator = torch.Generator(device)
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed)
        barred = torch.zeros(vocab_size, device=device)
        barred[list(never)] = -math.inf
        kept = min(self.top_k or vocab_size, vocab_size)
        nucleus = 1.0 if self.top_p is None else self.top_p

        def choose(scores: Tensor) -> Tensor:
            scores = torch.add(barred, scores.float(), alpha=1 / self.temperature)
            if kept == vocab_size and nucleus == 1:
                return _draw(scores, generator)
            scores, tokens = scores.topk(kept)  # the likeliest first
            if nucleus < 1:
                p = scores.softmax(1)
                scores[p.cumsum(1) - p >= nucleus] = -math.inf  # the tokens before it are enough
            return tokens.gather(1, _draw(scores, generator).unsqueeze(1)).squeeze(1)

        return choose


def _draw(scores: Tensor, generator: torch.Generator) -> Tensor:
    """An index for each row, drawn with the probabilities softmax(scores): the largest score after adding Gumbel noise.

    If E is drawn from the exponential distribution, -log E is Gumbel noise.
    """
    noise = torch.empty_like(scores).exponential_(generator=generator).log_()
    return scores.sub_(noise).argmax(dim=1)


def check_whole(name: str, value: object, least: int) -> None:
    """Raise TypeError unless `value` is a whole number, ValueError unless it is at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, received {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, received {value}")


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, received {value!r}")
