"""Second and third derivatives: by the textbook loop, differentiated in place of the engine's own backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.one_layer import assert_close, one_layer
from support.sample_cells import CELLS, ZONED
from torch import Tensor

from gru_scratch import GRU, LSTM
from gru_scratch.cells import GRUEquations, LSTMEquations, RNNEquations
from gru_scratch.engines import operators, textbook
from gru_scratch.engines.weights import LayerWeights

BOOK = [GRUEquations(), GRUEquations(False), LSTMEquations(), RNNEquations(), RNNEquations("relu")]
T, B, D, H = 3, 2, 2, 2


@pytest.mark.parametrize("lengths", [None, (3, 1)], ids=["whole", "ragged"])
@pytest.mark.parametrize("cell", [*BOOK, *CELLS, *ZONED], ids=repr)
def test_second_derivatives_are_those_of_finite_differences(cell, lengths):
    layer = one_layer(cell, steps=T, batch=B, input_size=D, hidden_size=H, lengths=lengths)
    weights, states = layer.weights, len(layer.state)
    tensors = [layer.inputs, *layer.state, *weights[:4], *layer.params.values()]

    def loss(x: Tensor, *rest: Tensor) -> Tensor:
        state, rest = cell.states(*rest[:states]), rest[states:]
        params = dict(zip(layer.params, rest[4:], strict=True))
        y, final = operators.fused(cell, x, state, LayerWeights(*rest[:4]), params, layer.masks, layer.lengths)
        return y.sin().sum() + sum(s.square().sum() for s in final)

    assert torch.autograd.gradgradcheck(loss, tensors, fast_mode=True)


def derivatives(run: Any, loss_of: Callable[[Any, Tensor], Tensor], order: int) -> list[Tensor]:
    """The loss, and its derivatives by the input up to ``order``, each of the sine of the one before."""
    x = torch.linspace(-1, 1, T * B * D, dtype=torch.float64).view(T, B, D).requires_grad_()
    value = loss_of(run, x)
    found = [value]
    for _ in range(order):
        (grad,) = torch.autograd.grad(value, x, create_graph=True)
        found.append(grad)
        value = grad.sin().sum()
    return found


WEIGHTS = [torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (6, 6)]


def state_from_input(run: Any, x: Tensor) -> Tensor:
    """The initial state is computed from the input."""
    weights = LayerWeights(*WEIGHTS)
    return run(GRUEquations(), x, GRUEquations.states(x[0].tanh() * x[1]), weights)[0].cos().sum()


def tied_weights(run: Any, x: Tensor) -> Tensor:
    """One tensor is both weights, and depends on the input."""
    W = WEIGHTS[0] * x.mean()
    return run(GRUEquations(), x, GRUEquations.states(x[0]), LayerWeights(W, W))[0].cos().sum()


def one_layer_twice(run: Any, x: Tensor) -> Tensor:
    """The same weights in two layers, the second on what the first puts out."""
    weights = LayerWeights(*(w * x.sum().cos() for w in WEIGHTS))
    state = GRUEquations.states(torch.zeros(B, H, dtype=torch.float64))
    y, final = run(GRUEquations(False), x, state, weights)
    return run(GRUEquations(False), y, final, weights)[0].cos().sum()


@pytest.mark.parametrize("loss_of", [state_from_input, tied_weights, one_layer_twice])
def test_three_derivatives_where_a_tensor_has_more_than_one_part(loss_of):
    found = derivatives(operators.fused, loss_of, order=3)
    for value, expected in zip(found, derivatives(textbook.run, loss_of, order=3), strict=True):
        assert_close(value, expected, 1e-10)


@pytest.mark.parametrize("make", [GRU, LSTM])
def test_tools_of_second_derivatives_work_on_a_layer(make):
    layer = make(D, H, dtype=torch.float64)
    reference = make(D, H, dtype=torch.float64, engine="textbook")
    reference.load_state_dict(layer.state_dict())
    x, v = torch.randn(2, T, 1, D, dtype=torch.float64)
    tools = torch.autograd.functional

    def both(tool: Any, *arguments: Tensor) -> None:
        found, expected = (tool(lambda x, m=m: m(x)[0].sin().sum(), x, *arguments) for m in (layer, reference))
        pairs = [(found, expected)] if isinstance(found, Tensor) else zip(found, expected, strict=True)
        for one, other in pairs:
            assert_close(one, other, 1e-10)

    both(tools.hessian)
    for tool in (tools.hvp, tools.vhp, tools.jvp):
        both(tool, v)


def test_a_gradient_penalty_trains_as_with_the_textbook_loop():
    layer = GRU(D, H, dtype=torch.float64)
    reference = GRU(D, H, dtype=torch.float64, engine="textbook")
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, D, dtype=torch.float64)
    for model in (layer, reference):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            inputs = x.clone().requires_grad_()
            (grad,) = torch.autograd.grad(model(inputs)[0].square().sum(), inputs, create_graph=True)
            (grad.square().sum() + model(x)[0].sum()).backward()
            optimizer.step()
    for found, expected in zip(layer.parameters(), reference.parameters(), strict=True):
        assert_close(found, expected, 1e-10)
