"""What the engines promise beyond right numbers: safe with autograd, even in memory, repeatable, open about limits."""

from __future__ import annotations

import gc
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.layer_cases import as_hx, states_of
from support.one_layer import assert_close, one_layer
from support.sample_cells import CELLS
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from gru_scratch import GRU, LSTM, RNN, Recurrent
from gru_scratch.cells import GRUEquations, LSTMEquations, MGUEquations, RNNEquations
from gru_scratch.engines import operators, textbook
from gru_scratch.engines.fused import bptt, forward
from gru_scratch.engines.fused.in_place import loop_of

BOOK_CELLS = [GRUEquations(True), GRUEquations(False), LSTMEquations(), RNNEquations("tanh"), RNNEquations("relu")]
NAMESAKES = {"RNN": (nn.RNN, RNN), "GRU": (nn.GRU, GRU), "LSTM": (nn.LSTM, LSTM)}
LAYERS = [
    lambda **options: GRU(3, 4, **options),
    lambda **options: GRU(3, 4, reset_after=False, **options),
    lambda **options: LSTM(3, 4, num_layers=2, bidirectional=True, **options),
    lambda **options: Recurrent(MGUEquations, 3, 4, **options),
]
# PyTorch's own forward mode runs TorchScript when it is first used.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
LAYER_NAMES = ["gru", "book's gru", "deep lstm", "mgu"]
each_layer = pytest.mark.parametrize("make", LAYERS, ids=LAYER_NAMES)


# The two checks that a shipped cell's own code stands on.


@pytest.mark.parametrize("lengths", [None, (7, 5, 1, 0)], ids=["whole", "ragged"])
@pytest.mark.parametrize("tokens", [False, True], ids=["dense", "tokens"])
@pytest.mark.parametrize("cell", BOOK_CELLS, ids=repr)
def test_loop_in_place_equals_generic_loop(cell, tokens, lengths, monkeypatch):
    assert loop_of(cell) is not None
    monkeypatch.setattr(bptt, "STRETCH", 2 * 4 * 5)  # several stretches of time
    layer = one_layer(cell, tokens=tokens, lengths=lengths)
    by_loop = layer.results(operators.fused)
    monkeypatch.setattr(forward, "loop_of", lambda cell: None)
    for found, expected in zip(by_loop, layer.results(operators.fused), strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("cell", [*BOOK_CELLS, MGUEquations()], ids=repr)
def test_derivative_by_hand_equals_that_of_autograd(cell):
    assert cell.derivative is not None
    by_autograd = type(f"Plain{type(cell).__name__}", (type(cell),), {"derivative": None})
    layer = one_layer(cell)
    plain = replace(layer, cell=by_autograd(**cell.options()))
    for found, expected in zip(layer.results(operators.fused), plain.results(operators.fused), strict=True):
        assert_close(found, expected)


# Training.


def train(layer: nn.Module, head: nn.Module, steps: int) -> Iterator[float]:
    """Losses of plain gradient descent on a task that needs memory: say what came two steps ago."""
    parameters = [*layer.parameters(), *head.parameters()]
    random = torch.Generator().manual_seed(4)
    for _ in range(steps):
        x = torch.randn(8, 6, 3, generator=random, dtype=torch.float64)
        y = head(layer(x)[0])
        loss = nn.functional.mse_loss(y[2:], x[:-2])
        for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= 0.5 * grad
        yield loss.item()


@pytest.mark.parametrize("engine", ["textbook", "fused"])
@pytest.mark.parametrize("name", NAMESAKES)
def test_two_hundred_updates_give_the_losses_of_torch_nn(name, engine):
    curves = []
    for make in NAMESAKES[name]:
        torch.manual_seed(5)
        options = {} if make is NAMESAKES[name][0] else {"engine": engine}
        layer, head = make(3, 8, dtype=torch.float64, **options), nn.Linear(8, 3, dtype=torch.float64)
        curves.append(torch.tensor(list(train(layer, head, 200))))
    expected, found = curves
    assert expected[-20:].mean() < 0.9 * expected[:20].mean()  # it learns, so that there is a curve to compare
    assert (found - expected).abs().max() <= 1e-9


@each_layer
@pytest.mark.parametrize("threads", [1, 2])
def test_repeats_are_bitwise_equal(make, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layer, x = make(), torch.randn(20, 16, 3)
        runs = []
        for _ in range(3):
            y, _ = layer(x)
            runs.append([y, *torch.autograd.grad(y.square().sum(), list(layer.parameters()))])
        assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))
    finally:
        torch.set_num_threads(before)


@each_layer
def test_one_thread_and_two_agree(make):
    before = torch.get_num_threads()
    layer, x = make(dtype=torch.float64), torch.randn(30, 64, 3, dtype=torch.float64)
    try:
        runs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y, _ = layer(x)
            runs.append([y, *torch.autograd.grad(y.square().sum(), list(layer.parameters()))])
        for a, b in zip(*runs, strict=True):
            assert_close(a, b)
    finally:
        torch.set_num_threads(before)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize(
    "make", [LAYERS[0], *(pytest.param(make, marks=pytest.mark.exhaustive) for make in LAYERS[1:])], ids=LAYER_NAMES
)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc to see the memory held")
def test_memory_does_not_grow_over_a_thousand_steps(make):
    layer, x = make(), torch.ones(2, 256, 3)
    state = None
    for step in range(1050):
        y, state = layer(x, state)  # forward leaves 50 kB or more for backward
        y.sum().backward()
        state = as_hx([s.detach_() for s in states_of(state)])
        layer.zero_grad()
        if step == 50:
            gc.collect()
            objects, held = len(gc.get_objects()), resident()
    gc.collect()
    assert len(gc.get_objects()) < objects + 500
    assert resident() - held < 10e6


# Autograd's own guarantees.


@each_layer
@pytest.mark.parametrize("which", ["weight_ih_l0", "weight_hh_l0"])
def test_a_weight_changed_before_backward_is_noticed(make, which):
    layer = make()
    y, _ = layer(torch.randn(5, 2, 3))
    with torch.no_grad():
        getattr(layer, which).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@each_layer
def test_two_live_graphs_do_not_disturb_each_other(make):
    layer = make(dtype=torch.float64)
    xs = [torch.randn(5, 2, 3, dtype=torch.float64) for _ in range(2)]
    parameters = list(layer.parameters())
    alone = [torch.autograd.grad(layer(x)[0].square().sum(), parameters) for x in xs]
    first, second = (layer(x)[0].square().sum() for x in xs)
    together = [torch.autograd.grad(second, parameters), torch.autograd.grad(first, parameters)]
    for a, b in zip([*alone[1], *alone[0]], [*together[0], *together[1]], strict=True):
        assert torch.equal(a, b)


@each_layer
def test_a_retained_graph_gives_the_same_gradients_again(make):
    layer = make(dtype=torch.float64)
    y, _ = layer(torch.randn(5, 2, 3, dtype=torch.float64))
    loss, parameters = y.square().sum(), list(layer.parameters())
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    other = torch.autograd.grad(y.sum(), parameters, retain_graph=True)
    again = torch.autograd.grad(loss, parameters)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, parameters)


@each_layer
def test_inference_keeps_nothing_for_backward(make, monkeypatch):
    kept = []

    def spied(forward: Any) -> Any:
        def spy(*arguments: Any) -> Any:
            kept.append(arguments[-1])
            return forward(*arguments)

        return spy

    for engine, kernels in list(operators.KERNELS.items()):
        monkeypatch.setitem(operators.KERNELS, engine, kernels._replace(forward=spied(kernels.forward)))
    layer, x = make(), torch.randn(5, 2, 3)
    if layer.explain_engine().startswith("builtin"):
        layer.engine = "fused"  # what PyTorch's own kernel keeps cannot be seen
    with torch.no_grad():
        quiet = layer(x)[0]
    with torch.inference_mode():
        assert torch.equal(layer(x)[0], quiet)
    assert kept
    assert not any(kept)
    frozen = layer.requires_grad_(False)(x)[0]
    assert torch.equal(frozen, quiet)
    assert not any(kept)
    layer(x.requires_grad_())
    assert kept[-1]


# Transforms and forward mode.


def pair(make: Any) -> tuple[nn.Module, nn.Module]:
    """The same layer on both engines."""
    layer, reference = make(dtype=torch.float64), make(dtype=torch.float64, engine="textbook")
    reference.load_state_dict(layer.state_dict())
    return layer, reference


@forward_mode
@each_layer
def test_transforms_of_torch_func_are_right(make):
    layer, reference = pair(make)
    x, v = torch.randn(2, 4, 2, 3, dtype=torch.float64).unbind(0)
    grad, hessian = (f(lambda x: reference(x)[0].sin().sum())(x) for f in (torch.func.grad, torch.func.hessian))

    def loss(x: Tensor) -> Tensor:
        return layer(x)[0].sin().sum()

    assert_close(torch.func.grad(loss)(x), grad)
    assert_close(torch.func.jacrev(torch.func.jacrev(loss))(x), hessian)
    assert_close(torch.func.jacfwd(torch.func.grad(loss))(x), hessian)
    assert_close(torch.func.jvp(loss, (x,), (v,))[1], (grad * v).sum())
    batch = torch.stack([x, v])
    assert_close(torch.func.vmap(torch.func.grad(loss))(batch)[0], grad)
    assert_close(torch.func.vmap(loss)(batch), torch.stack([loss(x), loss(v)]))


@forward_mode
@each_layer
def test_transforms_are_right_with_the_batch_first(make):
    layer, reference = pair(lambda **options: make(batch_first=True, **options))
    x, v = torch.randn(2, 2, 4, 3, dtype=torch.float64).unbind(0)
    jacobian = torch.autograd.functional.jacobian(lambda x: reference(x)[0], x)
    along = (jacobian * v).sum((-3, -2, -1))
    assert_close(torch.func.jvp(lambda x: layer(x)[0], (x,), (v,))[1], along)
    assert_close(torch.func.jacrev(lambda x: layer(x)[0])(x), jacobian)
    for strategy in ("reverse-mode", "forward-mode"):
        found = torch.autograd.functional.jacobian(lambda x: layer(x)[0], x, vectorize=True, strategy=strategy)
        assert_close(found, jacobian)
    assert_close(torch.func.vmap(lambda x: layer(x)[0])(torch.stack([x, v]))[1], layer(v)[0])


@each_layer
def test_vmap_goes_over_lengths(make):
    layer, _ = pair(make)
    x, lengths = torch.randn(4, 2, 3, dtype=torch.float64), torch.tensor([[2, 4], [0, 1], [4, 4]])
    together = torch.func.vmap(lambda n: layer(x, lengths=n)[0])(lengths)
    for found, n in zip(together, lengths, strict=True):
        assert_close(found, layer(x, lengths=n)[0])


@each_layer
def test_gradients_by_sample_and_ensembles_are_right(make):
    layers = [make(dtype=torch.float64) for _ in range(3)]
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    stacked, _ = torch.func.stack_module_state(layers)

    def outputs(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layers[0], parameters, (x,))[0]

    together = torch.func.vmap(outputs, (0, None))(stacked, x)
    for y, layer in zip(together, layers, strict=True):
        assert_close(y, layer(x)[0])
    parameters = {name: p.detach() for name, p in layers[0].named_parameters()}
    by_sample = torch.func.vmap(torch.func.grad(lambda p, x: outputs(p, x).sin().sum()), (None, 1))(parameters, x)
    whole = torch.autograd.grad(layers[0](x)[0].sin().sum(), list(layers[0].parameters()))
    for name, expected in zip(parameters, whole, strict=True):
        assert_close(by_sample[name].sum(0), expected)


@forward_mode
@each_layer
@pytest.mark.parametrize("lengths", [None, [4, 2]], ids=["whole", "ragged"])
def test_forward_mode_is_right_for_inputs_and_for_weights(make, lengths):
    layer, reference = pair(make)
    x, v = torch.randn(2, 4, 2, 3, dtype=torch.float64).unbind(0)
    leaves = {"x": x.clone().requires_grad_(), **dict(reference.named_parameters())}
    loss = reference(leaves["x"], lengths=lengths)[0].sin().sum()
    by_x, *by_weights = torch.autograd.grad(loss, list(leaves.values()))
    with forward_ad.dual_level():
        y = layer(forward_ad.make_dual(x, v), lengths=lengths)[0].sin().sum()
        assert_close(forward_ad.unpack_dual(y).tangent, (by_x * v).sum())
        dual = {name: forward_ad.make_dual(p.detach(), p.detach()) for name, p in layer.named_parameters()}
        y = torch.func.functional_call(layer, dual, (x,), {"lengths": lengths})[0].sin().sum()
        expected = sum((g * p).sum() for g, p in zip(by_weights, layer.parameters(), strict=True))
        assert_close(forward_ad.unpack_dual(y).tangent, expected.detach())
        plain = layer(x, lengths=lengths)[0]
        assert forward_ad.unpack_dual(plain).tangent is None


@each_layer
def test_many_gradients_at_once_are_right(make):
    layer, _ = pair(make)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    y, _ = layer(x)
    directions = torch.randn(3, *y.shape, dtype=torch.float64)

    def backwards(v: Tensor) -> Tensor:
        return torch.autograd.grad(y, x, v, retain_graph=True)[0]

    for found, v in zip(torch.func.vmap(backwards)(directions), directions, strict=True):
        assert_close(found, backwards(v))
    leaves = [x, *layer.parameters()]
    together = torch.autograd.grad(y, leaves, directions, is_grads_batched=True, retain_graph=True)
    for k, v in enumerate(directions):
        for found, expected in zip(together, torch.autograd.grad(y, leaves, v, retain_graph=True), strict=True):
            assert_close(found[k], expected)
    assert torch.autograd.gradcheck(lambda x: layer(x)[0], x, check_batched_grad=True)


def test_textbook_tells_every_step_to_whoever_looks():
    seen: list[int] = []
    layer = one_layer(LSTMEquations())
    textbook.run(layer.cell, layer.inputs, layer.state, layer.weights, observe=lambda t, state, gates: seen.append(t))
    assert seen == list(range(7))


class Passing(TorchDispatchMode):
    """What FLOP counters and memory trackers are made of."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_every_cell_runs_under_a_dispatch_mode(cell):
    layer = Recurrent(cell, 3, 4, bidirectional=True)
    x = torch.randn(5, 2, 3)
    expected = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
    with Passing():
        found = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
