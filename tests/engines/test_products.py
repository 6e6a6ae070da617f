"""The products of the engine: every routine at every size gives what the plain one gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.one_layer import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from gru_scratch import GRU, LSTM
from gru_scratch.engines import torch_private
from gru_scratch.engines.fused import products
from gru_scratch.engines.fused.products import Kernels, Product, Routine, add_gradient

ROWS = [1, 16, 61, 96]  # 61: not to be cut into images


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN's for any size, as on a processor where MKL is slow, and packed from three uses on."""
    if not torch_private.has(products.ONEDNN_LINEAR, products.ONEDNN_PACK):
        pytest.skip("this PyTorch is built without oneDNN")
    kernels = Kernels(Routine(products._by_onednn, 1, 1, ragged=True), products._gradient_by_convolution)
    monkeypatch.setattr(products, "_kernels", lambda: kernels)
    monkeypatch.setattr(products, "GRADIENT_PAYS", 1)
    monkeypatch.setattr(products, "PACKING_PAYS", 3)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("onednn", "threads")
@pytest.mark.parametrize("uses", [1, 2, 3])
@pytest.mark.parametrize("rows", ROWS)
def test_a_product_by_onednn_is_the_product(rows: int, uses: int) -> None:
    wide = torch.randn(rows, 14)
    weight, x, base, out = torch.randn(10, 7), wide[:, 3:10], torch.randn(10), torch.full((rows, 20), 5.0)
    expected = x @ weight.t()
    for W in (weight, weight.t().contiguous().t()):
        product = Product(W, rows, uses)
        assert product._multiply is not None
        assert_close(product.write(out[:, ::2], x, base), base + expected, 1e-6)
        assert_close(product.write(out[:, ::2], x), expected, 1e-6)
        assert_close(product.add_to(out[:, ::2], x), 2 * expected, 1e-6)
    assert (out[:, 1::2] == 5).all()


def test_of_ragged_rows_the_few_go_by_the_plain_product(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, seen = torch.randn(6, 4), []

    def prepare(weight: torch.Tensor, rows: int, uses: int) -> Any:
        assert (rows, uses) == (9, 1)  # not packed for one number of rows
        return lambda x: (seen.append(len(x)), x @ weight.t())[1]

    routine = Routine(prepare, multiplications=24 * 5, rows=2, ragged=True)
    monkeypatch.setattr(products, "_kernels", lambda: Kernels(routine))
    product = Product(weight, 9, 100, ragged=True)
    for rows in (9, 5, 4, 1):
        x = torch.randn(rows, 4)
        assert_close(product.write(torch.empty(rows, 6), x), x @ weight.t(), 1e-6)
    assert seen == [9, 5]
    monkeypatch.setattr(products, "_kernels", lambda: Kernels(routine._replace(ragged=False)))
    assert Product(weight, 9, 100, ragged=True)._multiply is None


@pytest.mark.usefixtures("onednn", "threads")
@pytest.mark.parametrize("rows", ROWS)
def test_a_gradient_by_convolution_is_the_product(rows: int) -> None:
    D, X, whole = torch.randn(rows, 14)[:, 3:10], torch.randn(rows, 10)[:, :5], torch.ones(9, 5)
    assert_close(add_gradient(whole[1:8], D, X), 1 + D.t() @ X, 1e-5)
    assert (whole[[0, 8]] == 1).all()


@pytest.mark.usefixtures("onednn", "threads")
@pytest.mark.parametrize("make", [GRU, LSTM])
@pytest.mark.parametrize("lengths", [None, [61, 60, 2, 0]], ids=["whole", "ragged"])
def test_a_layer_with_all_routines_computes_the_same(make: Any, lengths: Any) -> None:
    layer, x, share = make(6, 5), torch.randn(61, 4, 6), torch.randn(61, 4, 5)
    results = []
    for dtype in (torch.float64, torch.float32):
        layer.to(dtype)
        inputs = x.to(dtype).requires_grad_()
        y = layer(inputs, lengths=lengths)[0]
        results.append([y, *torch.autograd.grad((y * share).sum(), [inputs, *layer.parameters()])])
    for exact, found in zip(*results, strict=True):
        assert_close(found.double(), exact, 1e-5)


class _Names(TorchDispatchMode):
    """The names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found.append(func.name())
        return func(*args, **(kwargs or {}))


def test_a_weight_used_once_is_neither_copied_nor_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x, found = torch.randn(6, 4), torch.randn(3, 4), []
    prepared: list[int] = []

    def prepare(weight: torch.Tensor, rows: int, uses: int) -> Any:
        prepared.append(uses)
        return lambda x: x @ weight.t()

    monkeypatch.setattr(products, "_kernels", lambda: Kernels(Routine(prepare, 1, 1, uses=2)))
    for uses in (1, 2):
        with _Names() as names:
            Product(weight, 3, uses).write(torch.empty(3, 6), x)
            Product(weight, 3, uses, ragged=True).write(torch.empty(3, 6), x)
        found.append("aten::clone" in names.found)
    assert (found, prepared) == ([False, True], [2])


@pytest.mark.usefixtures("onednn")
def test_where_pytorch_may_round_to_bfloat16_its_own_product_is_taken() -> None:
    weight = torch.randn(10, 7)
    assert Product(weight, 3, 5)._multiply is not None
    torch.set_float32_matmul_precision("medium")
    try:
        assert Product(weight, 3, 5)._multiply is None
        D, X = torch.randn(96, 10), torch.randn(96, 7)
        with _Names() as names:
            add_gradient(torch.zeros(10, 7), D, X)
        assert "aten::convolution_backward" not in names.found
    finally:
        torch.set_float32_matmul_precision("highest")
    assert Product(weight, 3, 5)._multiply is not None
