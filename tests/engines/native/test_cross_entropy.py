"""The loss of a linear layer's scores in native code, held to PyTorch's operators."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.compiler import skip_without_compiler
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.engines.native import scores
from gru_scratch.engines.native.scores import mean_cross_entropy
from gru_scratch.layers import GRU
from gru_scratch.models.language import RNNModel

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6}


@pytest.fixture(autouse=True)
def _compiler() -> None:
    skip_without_compiler()


def problem(rows: int, hidden: int, vocab: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    sizes = (rows, hidden), (vocab, hidden), (vocab,)
    return [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]


def check(tensors: list[Tensor], targets: Tensor) -> None:
    by_operators = F.cross_entropy(F.linear(*tensors), targets)
    expected = [by_operators, *torch.autograd.grad(by_operators * 3, tensors)]
    loss = mean_cross_entropy(*tensors, targets)
    found = [loss, *torch.autograd.grad(loss * 3, tensors)]
    for y, z in zip(found, expected, strict=True):
        torch.testing.assert_close(y, z, rtol=0, atol=TOLERANCE[y.dtype] * max(1, z.detach().abs().max().item()))


@settings(max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 20),
    st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 28, 31, 32, 33, 65, 130]),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(1, 5),
)
def test_values_and_gradients(rows: int, hidden: int, vocab: int, dtype: torch.dtype, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "thread_count", lambda *sizes: threads)
        check(problem(rows, hidden, vocab, dtype), torch.randint(vocab, (rows,)))


@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
def test_every_width_of_a_vector(vector_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "load", partial(scores.load, flags=(f"-DVECTOR_BYTES={vector_bytes}",)))
    monkeypatch.setattr(scores, "_code", scores._code.__wrapped__)
    for vocab in (1, 3, 4, 5, 17, 28, 33):
        check(problem(6, 4, vocab), torch.randint(vocab, (6,)))
        check(problem(6, 4, vocab, torch.float32), torch.randint(vocab, (6,)))


def test_more_rows_than_one_thread_takes() -> None:
    check(problem(9_000, 8, 28), torch.randint(28, (9_000,)))


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_scores_far_from_zero(size: float) -> None:
    rows, weight, bias = problem(6, 4, 5)
    check([rows, weight, (bias.detach() + size).requires_grad_()], torch.randint(5, (6,)))
    check([(rows.detach() * size).requires_grad_(), weight, bias], torch.randint(5, (6,)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_shows(bad: float) -> None:
    rows, weight, bias = problem(6, 4, 5)
    with torch.no_grad():
        rows[2, 1] = bad
    targets = torch.randint(5, (6,))
    assert F.cross_entropy(F.linear(rows, weight, bias), targets).isnan()
    loss = mean_cross_entropy(rows, weight, bias, targets)
    assert loss.isnan()
    assert torch.autograd.grad(loss, weight)[0].isnan().any()


def test_rows_and_targets_as_they_lie() -> None:
    rows, weight, bias = problem(6, 4, 5)
    check([rows.detach().t().contiguous().t().requires_grad_(), weight, bias], torch.arange(12)[::2] % 5)


@pytest.mark.parametrize("target", [-1, 5])
def test_a_target_outside_the_vocabulary(target: int) -> None:
    with pytest.raises(IndexError, match=f"expected targets from 0 to 4, received {target}"):
        mean_cross_entropy(*problem(3, 4, 5), torch.tensor([0, target, 1]))


def test_second_derivatives() -> None:
    targets = torch.arange(3)
    assert torch.autograd.gradgradcheck(lambda *tensors: mean_cross_entropy(*tensors, targets), problem(3, 4, 5))
    rows, weight, bias = problem(3, 4, 5)
    loss = mean_cross_entropy(rows.detach(), weight, bias, targets)
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    assert gradient.requires_grad


@pytest.mark.parametrize("engine", ["native", "fused"])
def test_the_loss_of_a_model_is_that_of_its_scores(engine: str) -> None:
    model = RNNModel(GRU(7, 5, engine=engine, dtype=torch.float64), 7).double()
    X, targets, state = torch.randint(7, (3, 4)), torch.randint(7, (12,)), model.begin_state(batch_size=3)
    parameters = list(model.parameters())
    loss, _ = model(X, state, targets)
    expected = F.cross_entropy(model(X, state)[0], targets)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    for d, e in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(d, e, rtol=0, atol=1e-12)
