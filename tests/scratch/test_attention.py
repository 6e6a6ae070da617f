"""Attention: the numbers of the book's package, and those of the papers' equations, one query and key after another."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gru_scratch.scratch.attention import (
    AdditiveAttention,
    Attention,
    DotAttention,
    GeneralAttention,
    ScaledDotAttention,
    masked_softmax,
)

B, Q, K, D, V, H = 3, 4, 5, 6, 7, 8
LENGTHS = {
    "none": None,
    "one a sequence": torch.tensor([5, 2, 1]),
    "one a query": torch.tensor([[1, 2, 3, 4], [5, 5, 1, 2], [3, 9, 4, 1]]),
}


def make(kind: str, key_size: int = D) -> Attention:
    torch.manual_seed(7)
    return {
        "additive": lambda: AdditiveAttention(key_size, D, H),
        "dot": DotAttention,
        "general": lambda: GeneralAttention(key_size, D),
        "scaled": ScaledDotAttention,
    }[kind]()


def tensors(dtype: torch.dtype = torch.float64, key_size: int = D) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values that ask for gradients."""
    return tuple(
        torch.randn(size, dtype=dtype, requires_grad=True) for size in ((B, Q, D), (B, K, key_size), (B, K, V))
    )


def values_and_gradients(attention: Any, leaves: tuple[Tensor, ...], lengths: Tensor | None) -> list[Tensor]:
    context = attention(*leaves, lengths)
    weight = torch.linspace(-1, 1, context.numel(), dtype=context.dtype).reshape(context.shape)
    return [context, *torch.autograd.grad((context * weight).sum(), [*leaves, *attention.parameters()])]


# ------------------------------------------------------------------------------------------------ the book's package


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_masked_softmax_is_the_books(book: ModuleType, lengths: Tensor | None) -> None:
    scores = torch.randn(B, Q, K)
    before = scores.clone()
    assert torch.equal(masked_softmax(scores, lengths), book.masked_softmax(before.clone(), lengths))
    assert torch.equal(scores, before)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("kind", ["additive", "scaled"])
def test_values_and_gradients_are_those_of_the_books_package(
    book: ModuleType, kind: str, lengths: Tensor | None
) -> None:
    """Bit for bit, from the same seed."""
    ours = make(kind)
    torch.manual_seed(7)
    theirs = book.AdditiveAttention(D, D, H, 0.0) if kind == "additive" else book.DotProductAttention(0.0)
    leaves = tensors(torch.float32)
    mine, its = (values_and_gradients(attention, leaves, lengths) for attention in (ours, theirs))
    assert len(mine) == len(its) == (7 if kind == "additive" else 4)
    assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))
    assert torch.equal(ours.weights(leaves[0], ours.project(leaves[1]), lengths), theirs.attention_weights)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_weights_are_dropped_as_in_the_book(book: ModuleType) -> None:
    leaves = tensors(torch.float32)
    contexts = []
    for attention in (ScaledDotAttention(0.5), book.DotProductAttention(0.5)):
        torch.manual_seed(1)
        contexts.append(attention(*leaves))
    assert torch.equal(*contexts)
    assert not torch.equal(contexts[0], ScaledDotAttention()(*leaves))


# ------------------------------------------------------------------------------------------------ the papers' equations

SCORES: dict[str, Callable[[np.ndarray, np.ndarray, dict[str, np.ndarray]], float]] = {
    "additive": lambda q, k, p: float(p["w_v.weight"][0] @ np.tanh(p["W_q.weight"] @ q + p["W_k.weight"] @ k)),
    "dot": lambda q, k, p: float(q @ k),
    "general": lambda q, k, p: float(q @ p["W.weight"] @ k),
    "scaled": lambda q, k, p: float(q @ k) / math.sqrt(len(q)),
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("kind", SCORES)
def test_contexts_are_the_papers(kind: str, lengths: Tensor | None) -> None:
    attention = make(kind).double()
    leaves = tensors()
    queries, keys, values = (leaf.detach().numpy() for leaf in leaves)
    params = {name: value.numpy() for name, value in attention.state_dict().items()}
    expected = np.zeros((B, Q, V))
    for b in range(B):
        for i in range(Q):
            valid = K if lengths is None else min(K, int(lengths[b] if lengths.dim() == 1 else lengths[b, i]))
            powers = [math.exp(SCORES[kind](queries[b, i], keys[b, j], params)) for j in range(valid)]
            for j, power in enumerate(powers):
                expected[b, i] += power / sum(powers) * values[b, j]
    context = attention(*leaves, lengths)
    torch.testing.assert_close(context, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", SCORES)
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    attention = make(kind).double()
    names = [name for name, _ in attention.named_parameters()]

    def call(queries: Tensor, keys: Tensor, values: Tensor, *params: Tensor) -> Tensor:
        given = dict(zip(names, params, strict=True))
        return torch.func.functional_call(attention, given, (queries, keys, values, torch.tensor([5, 2, 1])))

    assert torch.autograd.gradcheck(call, (*tensors(), *attention.parameters()), fast_mode=True)


@pytest.mark.parametrize("kind", ["additive", "general"])
def test_keys_may_have_a_size_of_their_own(kind: str) -> None:
    attention = make(kind, key_size=D + 3).double()
    assert attention(*tensors(key_size=D + 3)).shape == (B, Q, V)


# ------------------------------------------------------------------------------------------------ masks


@pytest.mark.parametrize("kind", SCORES)
def test_padding_changes_nothing(kind: str) -> None:
    """What stands beyond a sequence's end is neither read nor given a gradient."""
    attention = make(kind).double()
    leaves = tensors()
    lengths = torch.tensor([4, 2, 1])
    context, _, of_keys, of_values = values_and_gradients(attention, leaves, lengths)[:4]
    queries, keys, values = (leaf.detach().clone() for leaf in leaves)
    for b, length in enumerate(lengths):
        keys[b, length:] = 1e3
        values[b, length:] = -1e3
        assert not of_keys[b, length:].any()
        assert not of_values[b, length:].any()
    torch.testing.assert_close(attention(queries, keys, values, lengths), context)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_row_is_a_distribution_over_the_valid_keys(dtype: torch.dtype) -> None:
    weights = masked_softmax(torch.randn(2, 2, 4).to(dtype), torch.tensor([3, 0]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, dtype=dtype))
    assert not weights[0, :, 3:].any()
    assert torch.equal(weights[1], torch.full((2, 4), 0.25, dtype=dtype))


def test_lengths_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\) or \(2, 3\), received \(3,\)"):
        masked_softmax(torch.zeros(2, 3, 4), torch.ones(3))


def test_an_attention_without_scores_says_so() -> None:
    class Mine(Attention):
        pass

    with pytest.raises(NotImplementedError, match="Mine has to say how well a key matches a query"):
        Mine()(*tensors())
    assert isinstance(Mine().dropout, nn.Dropout)
