"""torch.compile and torch.export: a model with a layer is one graph, whose size has nothing to do with its length."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
import torch
from support.compiler import skip_without_compiler
from support.layer_cases import as_hx, states_of
from support.one_layer import assert_close
from torch import Tensor, nn
from torch.library import opcheck

from gru_scratch import GRU, LSTM, RNN, Recurrent
from gru_scratch.cells import LayerNormGRUEquations, LSTMEquations, MGUEquations, PeepholeLSTMEquations
from gru_scratch.cells.base import registry

VOCAB, HIDDEN = 6, 8
MODELS = {
    "gru": lambda: GRU(VOCAB, HIDDEN),
    "book's gru, batch first": lambda: GRU(VOCAB, HIDDEN, batch_first=True, reset_after=False),
    "deep lstm, both ways": lambda: LSTM(VOCAB, HIDDEN, 2, bidirectional=True),
    "projected lstm": lambda: LSTM(VOCAB, HIDDEN, proj_size=3),
    "rnn": lambda: RNN(VOCAB, HIDDEN, nonlinearity="relu", bias=False),
    "peephole lstm": lambda: Recurrent(PeepholeLSTMEquations, VOCAB, HIDDEN, 2),
    "mgu by autograd, zoneout": lambda: Recurrent(MGUWithout, VOCAB, HIDDEN, zoneout=0.2).eval(),
    "layer-norm gru": lambda: Recurrent(LayerNormGRUEquations, VOCAB, HIDDEN),
}
# Each model on tokens or on vectors in turn; the first on both.
TURNS = [("gru", False), *((name, number % 2 == 0) for number, name in enumerate(MODELS))]
each_model = pytest.mark.parametrize(
    ("make", "tokens"), [(MODELS[n], t) for n, t in TURNS], ids=[f"{n}, {'tokens' if t else 'dense'}" for n, t in TURNS]
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::DeprecationWarning:importlib")


class MGUWithout(MGUEquations):
    """As a user would write it."""

    derivative = None


class Model(nn.Module):
    """A language model, as users compile them."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rnn = layer
        width = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
        self.head = nn.Linear(width, VOCAB)

    def forward(self, x: Tensor, hx: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        y, hx = self.rnn(x, hx, lengths=lengths)
        return self.head(y), hx


@pytest.fixture(autouse=True)
def forget_compiled_graphs() -> None:
    torch._dynamo.reset()


def results(model: Any, parameters: list[Tensor], *inputs: Any) -> list[Tensor]:
    """Outputs, states, and gradients of a loss of both by parameters and inputs."""
    y, hx = model(*inputs)
    hx = states_of(hx)
    leaves = [*parameters, *(x for x in inputs if isinstance(x, Tensor) and x.requires_grad)]
    loss = y.sin().sum() + sum(s.cos().sum() for s in hx)
    return [y, *hx, *torch.autograd.grad(loss, leaves)]


def compare(model: Any, compiled: Any, *inputs: Any) -> None:
    parameters = list(model.parameters())
    pairs = zip(results(compiled, parameters, *inputs), results(model, parameters, *inputs), strict=True)
    for found, expected in pairs:
        assert_close(found, expected, 1e-5)


@each_model
def test_a_model_is_one_graph_with_the_values_and_gradients_of_eager(make, tokens):
    model = Model(make())
    x = torch.randint(VOCAB, (5, 3)) if tokens else torch.randn(5, 3, VOCAB, requires_grad=True)
    compare(model, torch.compile(model, fullgraph=True, backend="aot_eager"), x)


def test_the_default_compiler_makes_it_as_well():
    skip_without_compiler()
    model = Model(GRU(VOCAB, HIDDEN))
    compiled = torch.compile(model, fullgraph=True)
    compare(model, compiled, torch.randn(5, 3, VOCAB, requires_grad=True))
    with torch.no_grad():
        x = torch.randint(VOCAB, (5, 3))
        assert_close(compiled(x)[0], model(x)[0], 1e-5)


class Counter:
    """A backend that counts the operations that it is given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        self.sizes.append(len(graph.graph.nodes))
        return graph.forward


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_the_graph_does_not_grow_with_the_sequence(options):
    counter = Counter()
    for steps in (2, 500):
        torch._dynamo.reset()
        model = Model(GRU(VOCAB, HIDDEN, **options))
        torch.compile(model, fullgraph=True, backend=counter, dynamic=False)(torch.randn(steps, 2, VOCAB))
    assert len(counter.sizes) == 2
    assert counter.sizes[0] == counter.sizes[1]


def test_lengths_are_compiled_and_wrong_ones_noticed():
    for bidirectional in (False, True):
        model = Model(LSTM(VOCAB, HIDDEN, bidirectional=bidirectional))
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        x = torch.randn(6, 4, VOCAB)
        compare(model, compiled, x, None, torch.tensor([3, 0, 6, 2]))
        with pytest.raises(RuntimeError, match="lengths must be between 0 and 6"):
            compiled(x, None, torch.tensor([3, 0, 7, 2]))


def test_a_state_goes_in_and_its_gradient_comes_back():
    model = Model(LSTM(VOCAB, HIDDEN, 2))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    hx = as_hx([torch.randn(2, 3, HIDDEN, requires_grad=True) for _ in range(2)])
    found, expected = (
        torch.autograd.grad(m(torch.ones(4, 3, VOCAB), hx)[0].square().sum(), hx) for m in (compiled, model)
    )
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, 1e-5)


def test_sizes_may_change_without_compiling_again():
    counter = Counter()
    model = Model(GRU(VOCAB, HIDDEN))
    compiled = torch.compile(model, fullgraph=True, backend=counter, dynamic=True)
    for steps, batch in ((5, 4), (7, 3), (40, 2)):
        compare(model, compiled, torch.randn(steps, batch, VOCAB))
    assert len(counter.sizes) == 1


def test_another_cell_does_not_compile_again_what_is_compiled():
    counter = Counter()
    model = Model(GRU(VOCAB, HIDDEN))
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    x = torch.randn(5, 2, VOCAB)
    compiled(x)
    Recurrent(LSTMEquations, VOCAB, HIDDEN)(x)
    compiled(x)
    assert len(counter.sizes) == 1


def test_autocast_is_compiled_with_the_types_of_eager():
    for layer in (GRU(VOCAB, HIDDEN), LSTM(VOCAB, HIDDEN)):
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        x = torch.randn(5, 2, VOCAB)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found, expected = compiled(x)[0], layer(x)[0]
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_transforms_inside_a_compiled_function_are_right():
    layer = GRU(3, 4, dtype=torch.float64)
    x, v = (torch.randn(2, 1, 3, dtype=torch.float64) for _ in range(2))

    def loss(x: Tensor) -> Tensor:
        return layer(x)[0].sin().sum()

    def tangent(x: Tensor) -> Tensor:
        return torch.func.jvp(loss, (x,), (v,))[1]

    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(leaf), leaf)
    assert_close(torch.compile(tangent, backend="aot_eager")(x), (grad * v).sum())
    assert_close(torch.compile(torch.func.grad(loss), backend="aot_eager")(x), grad)
    assert_close(torch.compile(torch.func.vmap(torch.func.grad(loss)), backend="aot_eager")(x[None])[0], grad)
    assert_close(torch.func.grad(torch.compile(loss, backend="aot_eager"))(x), grad)


def test_the_layers_of_torch_nn_are_left_to_pytorch():
    with pytest.raises(torch._dynamo.exc.Unsupported, match="RNN, GRU, or LSTM"):
        torch.compile(nn.GRU(3, 4), fullgraph=True, backend="eager")(torch.ones(2, 2, 3))
    assert not torch._dynamo.config.allow_rnn


@pytest.mark.parametrize(
    "compiler_first",
    [pytest.param(True, marks=pytest.mark.exhaustive), False],
    ids=["compiler imported first", "compiler imported later"],
)
def test_the_order_of_imports_does_not_matter_and_we_do_not_import_the_compiler(compiler_first):
    program = f"""
import sys, torch
if {compiler_first}: import torch._dynamo
from gru_scratch import GRU, GRUCell, LSTMCell, RNNCell
layer = GRU(3, 4)
layer(torch.ones(2, 2, 3))[0].sum().backward()
assert ("torch._dynamo" in sys.modules) == {compiler_first}
torch.compile(layer, fullgraph=True, backend="eager")(torch.ones(2, 2, 3))
for cell in (GRUCell(3, 4), LSTMCell(3, 4), RNNCell(3, 4)):  # none has run yet
    torch.compile(cell, fullgraph=True, backend="eager")(torch.ones(2, 3))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # by PyTorch 2.10 itself
@each_model
def test_a_model_is_exported_saved_and_loaded(make, tokens):
    model = Model(make()).eval()
    x = torch.randint(VOCAB, (4, 5)) if tokens else torch.randn(4, 5, VOCAB)
    sizes = {"x": {0: torch.export.Dim("rows", min=2), 1: torch.export.Dim("columns", min=2)}}
    program = torch.export.export(model, (x,), dynamic_shapes=sizes)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for inputs in (x, torch.cat([x, x]), torch.cat([x, x, x], 1)):
        expected = model(inputs)[0]
        assert_close(program.module()(inputs)[0], expected, 1e-5)
        assert_close(loaded(inputs)[0], expected, 1e-5)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # by PyTorch 2.14 itself
@pytest.mark.parametrize("every", [False, True], ids=["", "every state"])
@each_model
def test_the_operators_keep_pytorchs_rules(make, tokens, every):
    check_operators(make(), tokens, every, "fused")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("tokens", [False, True], ids=["numbers", "tokens"])
def test_native_operators_with_resets_keep_pytorchs_rules(tokens):
    skip_without_compiler()
    check_operators(LSTM(VOCAB, HIDDEN), tokens, True, "native", resets=True)


def check_operators(layer, tokens, every, engine, resets=False):
    (parameters, *_), *_ = layer.layer_parameters()
    masks = layer.cell.draw_masks((5, 2, HIDDEN), False, parameters.weights.weight_hh)
    sizes = [layer.proj_size or HIDDEN, *(HIDDEN for _ in layer.cell.states._fields[1:])]
    lengths = torch.tensor([5, 2]) if tokens else None
    for learning in (True, False):

        def leaf(x: Tensor | None, learning: bool = learning) -> Tensor | None:
            return None if x is None else x.detach().clone().requires_grad_(learning)

        inputs = torch.randint(VOCAB, (5, 2)) if tokens else leaf(torch.randn(5, 2, VOCAB))
        layer_arguments = (
            inputs,
            *map(leaf, parameters.weights),
            lengths,
            torch.rand(5, 2) < 0.3 if resets else None,
            [leaf(torch.randn(2, size)) for size in sizes],
            [leaf(torch.randn(2, size)) for size in sizes] if resets else [],
            [leaf(p) for p in parameters.own.values()],
            list(masks.values()),
        )
        arguments = (engine, registry.key(layer.cell), learning, every, *layer_arguments)
        opcheck(torch.ops.gru_scratch.forward.default, arguments)
    arguments = (*arguments[:2], True, *arguments[3:])
    kept = torch.ops.gru_scratch.forward(*arguments)[1 + len(sizes) :]
    grads = torch.randn(5, 2, sum(sizes) if every else sizes[0]), [torch.randn(2, size) for size in sizes]
    opcheck(torch.ops.gru_scratch.backward.default, (not tokens, *grads, kept, *arguments))
