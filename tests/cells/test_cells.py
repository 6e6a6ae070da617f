"""One exam for every cell: each engine, type of number, layout, direction and depth, in values and gradients.

New cells enter by themselves: what ``gru_scratch.cells`` exports is examined.
"""

from __future__ import annotations

import inspect
import pkgutil
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.layer_cases import HIDDEN, INPUT, LAYOUTS, Case, with_gradients
from support.one_layer import assert_close
from support.plain_layer import run_plain
from torch import nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

from gru_scratch import GRU, LSTM, RNN, Recurrent, cells
from gru_scratch.cells import Cell, GRUEquations, LayerNormGRUEquations, LSTMEquations, Zoneout

OPTIONS: dict[str, list[tuple[Any, ...]]] = {
    "GRUEquations": [(True,), (False,)],
    "RNNEquations": [("tanh",), ("relu",)],
    "MinGRUEquations": [(False,), (True,)],
    "MinLSTMEquations": [(False,), (True,)],
}
NAMESAKES = {
    "RNN tanh": (nn.RNN, RNN, {}),
    "RNN relu": (nn.RNN, RNN, {"nonlinearity": "relu"}),
    "GRU": (nn.GRU, GRU, {}),
    "LSTM": (nn.LSTM, LSTM, {}),
    "LSTM, projected": (nn.LSTM, LSTM, {"proj_size": 3}),
    "GRU, no bias": (nn.GRU, GRU, {"bias": False}),
    "LSTM, no bias": (nn.LSTM, LSTM, {"bias": False}),
}
ENGINES = ("textbook", "fused", "auto")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
DEEP = ({}, {"num_layers": 2}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True})


def shipped_cells() -> list[Cell]:
    """Every cell that the package exports, with each of its options, and zoneout of one, two and of mixed states."""
    classes = [
        c for c in (getattr(cells, name) for name in cells.__all__) if inspect.isclass(c) and issubclass(c, Cell)
    ]
    made = [c(*args) for c in classes if c not in (Cell, Zoneout) for args in OPTIONS.get(c.__name__, [()])]
    return [*made, *(Zoneout(cell, 0.3) for cell in (GRUEquations(False), LSTMEquations(), LayerNormGRUEquations()))]


CELLS = shipped_cells()

each_cell = pytest.mark.parametrize("number", range(len(CELLS)), ids=[repr(cell) for cell in CELLS])
each_engine = pytest.mark.parametrize("engine", ENGINES)
each_layout = pytest.mark.parametrize("layout", LAYOUTS)
DTYPES = {"float64": torch.float64, "float32": torch.float32}
DEPTHS = dict(zip(("one", "deep", "both ways", "deep both ways"), DEEP, strict=True))
QUICK = ("float64 one", "float64 deep both ways", "float32 deep both ways")  # the last depth has what the others have
each_size = pytest.mark.parametrize(
    ("dtype", "depth"),
    [
        pytest.param(dtype, depth, id=f"{d} {n}", marks=() if f"{d} {n}" in QUICK else pytest.mark.exhaustive)
        for d, dtype in DTYPES.items()
        for n, depth in DEPTHS.items()
    ],
)


def test_every_file_of_the_room_brings_a_cell_to_the_exam():
    brought = {type(cell).__module__.rpartition(".")[2] for cell in CELLS}
    assert {module.name for module in pkgutil.iter_modules(cells.__path__)} - {
        "base",
        "make",
        "recurrence",
        "user",
    } == brought


def sizes_of(layer: Any) -> list[tuple[int, int]]:
    """Rows and width of each state."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [HIDDEN] * len(layer.cell.states._fields)
    widths[0] = layer.proj_size or HIDDEN
    return [(rows, width) for width in widths]


@each_size
@each_layout
@each_engine
@pytest.mark.parametrize("name", NAMESAKES)
def test_layer_equals_its_namesake(name, engine, dtype, layout, depth):
    namesake, ours, options = NAMESAKES[name]
    layer = ours(INPUT, HIDDEN, dtype=dtype, engine=engine, **options, **depth)
    reference = namesake(INPUT, HIDDEN, dtype=dtype, **options, **depth)
    reference.load_state_dict(layer.state_dict())
    case = Case(layout, dtype, sizes_of(layer))
    found, found_grads = with_gradients(*case.call(layer), [*case.leaves, *layer.parameters()])
    if layout == "tokens":
        case.layout = "time first"
    if layout == "lengths":  # torch.nn has no such thing: it runs the sequences one by one
        expected_outputs, expected_states = run_one_by_one(reference, case)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "LSTM with projections is not supported with oneDNN"
            expected_outputs, expected_states = case.call(reference)
    expected, expected_grads = with_gradients(
        expected_outputs, expected_states, [*case.leaves, *reference.parameters()]
    )
    assert found.keys() == expected.keys()
    for a, b in zip([*found.values(), *found_grads], [*expected.values(), *expected_grads], strict=True):
        assert_close(a, b, TOLERANCE[dtype])


def run_one_by_one(reference: nn.Module, case: Case) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """A layer of ``torch.nn`` on each sequence alone; an empty one it cannot run, and its state stays."""
    outputs, finals = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for b, sequence in enumerate(case.sequences):
            states = [s[:, b] for s in case.states]
            if len(sequence):
                written, hx = reference(sequence, states[0] if len(states) == 1 else tuple(states))
                states = list(hx) if isinstance(hx, tuple) else [hx]
            outputs.append(written if len(sequence) else sequence)
            finals.append(states)
    return outputs, [torch.stack(each, 1) for each in zip(*finals, strict=True)]


def layer_of(cell: Cell, dtype: torch.dtype, **options: Any) -> Recurrent:
    """The same parameters for one cell and depth at every call, none of them zero, exact in every type of number."""
    random = torch.Generator().manual_seed(2)
    layer = Recurrent(cell, INPUT, HIDDEN, dtype=dtype, **options).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random) / 2)
    return layer


@cache
def plainly(number: int, layout: str, depth: int) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """The results of the plain loop, in float64."""
    layer = layer_of(CELLS[number], torch.float64, **DEEP[depth])
    case = Case(layout, torch.float64, sizes_of(layer))
    return with_gradients(*run_plain(layer, case.sequences, case.states), [*case.leaves, *layer.parameters()])


@each_size
@each_layout
@each_engine
@each_cell
def test_layer_of_any_cell_equals_the_plain_loop(number, engine, dtype, layout, depth):
    layer = layer_of(CELLS[number], dtype, engine=engine, **depth)
    case = Case(layout, dtype, sizes_of(layer))
    found, found_grads = with_gradients(*case.call(layer), [*case.leaves, *layer.parameters()])
    expected, expected_grads = plainly(number, layout, DEEP.index(depth))
    assert found.keys() == expected.keys()
    for a, b in zip([*found.values(), *found_grads], [*expected.values(), *expected_grads], strict=True):
        assert a.dtype == dtype
        assert_close(a.double(), b, TOLERANCE[dtype])


@each_cell
def test_gradients_are_those_of_finite_differences(number):
    layer = Recurrent(CELLS[number], 2, 2, dtype=torch.float64, bidirectional=True)
    layer.load_state_dict({name: torch.randn_like(p) for name, p in layer.named_parameters()})
    names = list(dict(layer.named_parameters()))
    hx = layer.initial_state(2, dtype=torch.float64)
    states = [torch.randn_like(s).requires_grad_() for s in (hx if isinstance(hx, tuple) else [hx])]

    def run(x, *rest):
        torch.manual_seed(3)  # zoneout draws the same
        given = rest[0] if len(states) == 1 else rest[: len(states)]
        parameters = dict(zip(names, rest[len(states) :], strict=True))
        outputs, final = torch.func.functional_call(layer, parameters, (x, given), {"lengths": torch.tensor([1, 3])})
        return outputs, *(final if isinstance(final, tuple) else [final])

    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *states, *layer.parameters()), fast_mode=True)


def joined(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """All numbers in a row: where some are 0 but for rounding, the largest of all is the measure."""
    return torch.cat([x.flatten() for x in tensors])


@settings(max_examples=150)
@given(data=st.data())
def test_any_shape_and_any_lengths(data):
    cell = data.draw(st.sampled_from(CELLS))
    steps, batch, input_size, hidden_size = (data.draw(st.integers(1, most)) for most in (7, 5, 4, 4))
    lengths = data.draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    options = data.draw(st.sampled_from(DEEP))
    layer = Recurrent(cell, input_size, hidden_size, dtype=torch.float64, **options).eval()
    hx = layer.initial_state(batch, dtype=torch.float64)
    states = [torch.randn_like(s).requires_grad_() for s in (hx if isinstance(hx, tuple) else [hx])]
    sequences = [torch.randn(n, input_size, dtype=torch.float64).requires_grad_() for n in lengths]
    leaves = [*layer.parameters(), *states, *sequences]
    padded = torch.full((steps, batch, input_size), torch.nan, dtype=torch.float64)
    padded = torch.stack([torch.cat([s, padded[len(s) :, b]]) for b, s in enumerate(sequences)], 1)
    given_hx = states[0] if len(states) == 1 else tuple(states)
    outputs, final = layer(padded, given_hx, lengths=lengths)
    found, found_grads = with_gradients(
        [outputs[:n, b] for b, n in enumerate(lengths)], list(final) if isinstance(final, tuple) else [final], leaves
    )
    expected, expected_grads = with_gradients(*run_plain(layer, sequences, states), leaves)
    assert found.keys() == expected.keys()
    assert_close(joined(found.values()), joined(expected.values()), 1e-10)
    assert_close(joined(found_grads), joined(expected_grads), 1e-10)
    assert not any(outputs[n:, b].any() for b, n in enumerate(lengths))
    if min(lengths) > 0:
        packed, last = layer(pack_sequence(sequences, enforce_sorted=False), given_hx)
        for a, b in zip(unpack_sequence(packed), sequences, strict=True):
            assert len(a) == len(b)
        found, _ = with_gradients(unpack_sequence(packed), list(last) if isinstance(last, tuple) else [last], leaves)
        assert_close(joined(found.values()), joined(expected[name] for name in found), 1e-10)


@pytest.mark.parametrize("engine", ["textbook", "fused", "auto"])
@each_cell
def test_bfloat16_stays_what_it_is_and_near_the_truth(number, engine):
    layer = layer_of(CELLS[number], torch.bfloat16, engine=engine)
    exact = layer_of(CELLS[number], torch.float64, engine=engine)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(8, 4, INPUT).bfloat16().requires_grad_()
    outputs, _ = layer(x)
    expected, _ = exact(x.double())
    assert outputs.dtype == torch.bfloat16
    assert_close(outputs.double(), expected, 0.05)
    (grad,) = torch.autograd.grad(outputs.float().square().sum(), x)
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), x)
    assert grad.dtype == torch.bfloat16
    error = (grad.double() - expected_grad.double()).norm() / expected_grad.double().norm()
    assert error < 0.1
