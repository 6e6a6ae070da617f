"""Drawing tokens: the probabilities that were asked for, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gru_scratch.generate.sampling import Sampling, greedy

CPU = torch.device("cpu")
SCORES = torch.tensor([2.0, -1.0, 1.5, 0.0, 1.0])


def frequencies(sampling: Sampling, scores: Tensor = SCORES, draws: int = 40_000, **options: Any) -> Tensor:
    """Of each token, in many draws side by side."""
    choose = sampling.chooser(len(scores), CPU, **options)
    drawn = choose(scores.expand(draws, -1))
    assert drawn.shape == (draws,)
    return torch.bincount(drawn, minlength=len(scores)) / draws


def close(found: Tensor, expected: Tensor) -> None:
    """To five standard deviations of 40,000 draws, at most; what cannot be drawn never is."""
    assert (found - expected).abs().max() < 0.0125
    assert not found[expected == 0].any()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_temperature(temperature: float) -> None:
    close(frequencies(Sampling(temperature, seed=0)), (SCORES / temperature).softmax(0))


@pytest.mark.parametrize("k", [1, 2, 4, 5, 99])
def test_top_k(k: int) -> None:
    rank = SCORES.argsort(descending=True).argsort()
    expected = (SCORES / 1.3).masked_fill(rank >= k, -torch.inf).softmax(0)
    close(frequencies(Sampling(1.3, top_k=k, seed=0)), expected)


def test_top_k_of_equals_is_still_k() -> None:
    assert (frequencies(Sampling(1.0, top_k=2, seed=0), torch.zeros(5)) > 0).sum() == 2


@pytest.mark.parametrize(
    ("p", "kept"), [(1e-9, 1), (0.46, 1), (0.5, 2), (0.7, 2), (0.8, 3), (0.9, 3), (0.95, 4), (1.0, 5)]
)
def test_top_p(p: float, kept: int) -> None:
    """SCORES come to the probabilities 0.46, 0.28, 0.17, 0.06 and 0.02: one more token than p needs is one too many."""
    rank = SCORES.argsort(descending=True).argsort()
    expected = SCORES.masked_fill(rank >= kept, -torch.inf).softmax(0)
    close(frequencies(Sampling(1.0, top_p=p, seed=0)), expected)


def test_top_p_of_what_top_k_leaves() -> None:
    """Of the three likeliest, with 0.51, 0.31 and 0.19, two hold 0.8; of all five, three would be needed."""
    expected = torch.tensor([2.0, -torch.inf, 1.5, -torch.inf, -torch.inf]).softmax(0)
    close(frequencies(Sampling(1.0, top_k=3, top_p=0.8, seed=0)), expected)


def test_temperature_comes_before_top_p() -> None:
    """At 0.5 the likeliest token alone holds 0.66; at 1 it would be 0.46."""
    close(frequencies(Sampling(0.5, top_p=0.6, seed=0)), torch.tensor([1.0, 0, 0, 0, 0]))


@pytest.mark.parametrize("temperature", [0, 1e-320, 1e-30, 1e-12])
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.9}])
def test_no_temperature_is_the_likeliest(temperature: float, options: dict[str, Any]) -> None:
    scores = torch.randn(50, 7) * 20
    choose = Sampling(temperature, seed=0, **options).chooser(7, CPU)
    assert torch.equal(choose(scores), greedy(scores))


def test_a_high_temperature_is_even() -> None:
    close(frequencies(Sampling(1e30, seed=0)), torch.full((5,), 0.2))


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 0.5}])
def test_what_is_never_drawn(options: dict[str, Any]) -> None:
    found = frequencies(Sampling(1.0, seed=0, **options), never=[0])
    assert found[0] == 0
    assert found[2] > 0.4


def test_a_seed_gives_the_same_draws_and_leaves_the_global_generator_alone() -> None:
    def draws(seed: int | None) -> list[int]:
        choose = Sampling(1.0, seed=seed).chooser(5, CPU)
        drawn: list[int] = torch.cat([choose(SCORES.expand(3, -1)) for _ in range(30)]).tolist()
        return drawn

    state = torch.get_rng_state()
    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert draws(None) != draws(None)
    assert torch.equal(torch.get_rng_state(), state)


def test_scores_stay_as_they_are_and_may_be_of_low_precision() -> None:
    scores = SCORES.bfloat16().expand(10, -1).clone()
    before = scores.clone()
    for options in ({}, {"top_k": 2, "top_p": 0.5}):
        assert Sampling(1.0, seed=0, **options).chooser(5, CPU)(scores).dtype == torch.int64  # type: ignore[arg-type]
    assert torch.equal(scores, before)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"temperature": -0.1}, ValueError, "temperature must be a finite number of at least 0, received -0.1"),
        ({"temperature": float("nan")}, ValueError, "temperature must be a finite number of at least 0, received nan"),
        ({"temperature": float("inf")}, ValueError, "received inf"),
        ({"temperature": "warm"}, TypeError, "temperature must be a number, received 'warm'"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1, received 0"),
        ({"top_k": 2.0}, TypeError, "top_k must be a whole number, received 2.0"),
        ({"top_p": 0.0}, ValueError, "top_p must be above 0 and at most 1, received 0.0"),
        ({"top_p": 1.1}, ValueError, "received 1.1"),
        ({"top_p": float("nan")}, ValueError, "received nan"),
        ({"top_p": True}, TypeError, "top_p must be a number, received True"),
        ({"seed": -1}, ValueError, "seed must be at least 0, received -1"),
        ({"seed": 2**63}, ValueError, r"seed must be below 2\*\*63"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Sampling(**settings)
