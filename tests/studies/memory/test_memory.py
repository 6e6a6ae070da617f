"""The memory study: its tasks, its initial values, and its runs."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from torch import Tensor

from gru_scratch.cells import CELLS, Cell, GRUEquations, LSTMEquations
from gru_scratch.layers import Recurrent
from gru_scratch.layers.initial import initialise_layer
from gru_scratch.studies.memory.draw_memory import draw_spans, table
from gru_scratch.studies.memory.memory_options import MemoryOptions
from gru_scratch.studies.memory.spans import Span, SpanSummary, measure_span, measure_spans, summarise
from gru_scratch.studies.memory.tasks import TASKS
from gru_scratch.training.drawing import COLOURS

SMALL = MemoryOptions(updates=3, batch_size=4, num_hiddens=5)
KNOWN = [kind for kind in CELLS.values() if kind.carry is not None]


def draw(task: str, length: int, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    return TASKS[task].draw(length, batch_size, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("length", [1, 2, 50])
def test_recall_asks_for_the_first_symbol_which_appears_nowhere_else(length: int) -> None:
    symbols, answers = draw("recall", length)
    assert symbols.shape == (length, 500)
    assert torch.equal(answers, symbols[:1])
    assert set(answers.flatten().tolist()) == {0, 1, 2, 3}
    assert set(symbols[1:].flatten().tolist()) == (set() if length == 1 else {4, 5, 6, 7})


@pytest.mark.parametrize("length", [2, 3, 50])
def test_adding_marks_one_number_of_each_half_and_asks_for_their_sum(length: int) -> None:
    inputs, answers = draw("adding", length)
    numbers, marks = inputs.unbind(-1)
    assert torch.equal(marks[: length // 2].sum(0), torch.ones(500))
    assert torch.equal(marks[length // 2 :].sum(0), torch.ones(500))
    assert float(numbers.min()) >= 0
    assert float(numbers.max()) < 1
    for b in range(20):
        marked = [float(numbers[t, b]) for t in range(length) if marks[t, b] == 1]
        assert float(answers[0, b]) == pytest.approx(sum(marked))


@pytest.mark.parametrize("length", [1, 7])
def test_copying_asks_for_ten_symbols_in_order_after_the_mark(length: int) -> None:
    symbols, answers = draw("copying", length)
    assert torch.equal(symbols[:10], answers)
    assert answers.max() < 8
    assert (symbols[10 : 9 + length] == 8).all()  # blanks
    assert (symbols[9 + length] == 9).all()  # the mark
    assert (symbols[10 + length :] == 8).all()
    assert len(symbols) == length + 20
    assert TASKS["copying"].num_answers == 10


@pytest.mark.parametrize("name", TASKS)
def test_chance_is_what_an_answer_reaches_that_knows_nothing(name: str) -> None:
    task = TASKS[name]
    _, answers = draw(name, 10, batch_size=20_000)
    know_nothing = torch.zeros(task.num_answers, 20_000, task.output_size)
    if name == "adding":
        know_nothing += 1  # the mean of the sum
    assert task.accuracy(know_nothing, answers) == pytest.approx(task.chance, abs=0.01)
    assert float(task.loss(know_nothing, answers)) == pytest.approx(task.chance_loss, rel=0.02)


@pytest.mark.parametrize("name", TASKS)
def test_right_answers_score_full_marks(name: str) -> None:
    task = TASKS[name]
    _, answers = draw(name, 10)
    right = answers.unsqueeze(-1) if name == "adding" else torch.nn.functional.one_hot(answers, task.output_size)
    assert task.accuracy(right.float(), answers) == 1.0
    assert float(task.loss(1000.0 * right if name != "adding" else right, answers)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", KNOWN)
def test_the_carrying_gate_is_the_one_that_keeps_the_state(kind: type[Cell]) -> None:
    """With its bias far on that side a step leaves the carried state as it was, whatever the input is."""
    layer, carry = Recurrent(kind, 3, 6).double(), kind.carry
    k = layer.cell.gates.index(carry.gate)
    for name, value in layer.state_dict().items():
        if name.startswith("bias_ih"):
            value[6 * k : 6 * (k + 1)] = 50.0 * carry.sign
            if carry.writes:
                i = layer.cell.gates.index(carry.writes)
                value[6 * i : 6 * (i + 1)] = -50.0
    start = torch.randn(len(layer.cell.states._fields), 1, 2, 6, dtype=torch.float64)
    _, end = layer(torch.randn(1, 2, 3, dtype=torch.float64), start[0] if len(start) == 1 else tuple(start))
    carried = end if len(start) == 1 else end[-1]
    torch.testing.assert_close(carried, start[-1])


@pytest.mark.parametrize("cell", CELLS)
def test_orthogonal_weights(cell: str) -> None:
    layer = Recurrent(CELLS[cell], 3, 6)
    initialise_layer(layer, "orthogonal", "zero", 10)
    values, gates = layer.state_dict(), layer.cell.recurrence.gates
    for block in values["weight_hh_l0"].chunk(len(gates)) if gates else ():
        torch.testing.assert_close(block @ block.T, torch.eye(6), atol=1e-5, rtol=0)
    assert not any(value.any() for name, value in values.items() if name.startswith("bias"))


def test_gate_biases() -> None:
    layer = Recurrent(LSTMEquations, 3, 2000)
    initialise_layer(layer, "torch", "chrono", 200)
    i, f, *_ = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().chunk(4)
    assert torch.equal(i, -f)
    spans = f.exp()  # U(1, 200)
    assert 1 <= float(spans.min()) < 3
    assert 198 < float(spans.max()) <= 200.001
    assert float(spans.mean()) == pytest.approx(100.5, rel=0.05)
    layer = Recurrent(GRUEquations, 3, 4)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    initialise_layer(layer, "torch", "zero", 10)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    initialise_layer(layer, "torch", "one", 10)
    assert torch.equal((layer.bias_ih_l0 + layer.bias_hh_l0)[4:8], torch.ones(4))
    assert torch.equal(layer.bias_ih_l0[:4], before["bias_ih_l0"][:4])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plain", "zero", 3), "received 'plain'"),
        (("torch", "two", 3), "received 'two'"),
        (("torch", "one", 0), "received 0"),
    ],
)
def test_initial_values_that_there_are_not(arguments: tuple[str, str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        initialise_layer(Recurrent(GRUEquations, 3, 4), *arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", TASKS)
def test_a_run_repeats_and_leaves_the_global_generator_alone(task: str) -> None:
    before = torch.get_rng_state()
    first, second = (measure_span(task, "gru", 4, 1, SMALL) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.accuracy, first.loss) == (second.accuracy, second.loss)
    assert first.loss != measure_span(task, "gru", 4, 2, SMALL).loss
    assert first.updates == 3


def test_a_run_learns_and_stops_when_it_has() -> None:
    done: list[int] = []
    options = MemoryOptions(updates=1000, batch_size=32, num_hiddens=16, lr=1e-2)
    span = measure_span("recall", "gru", 5, 0, options, done.append)
    assert span.solved
    assert span.accuracy > 0.99
    assert span.updates < 500
    assert sum(done) == 1000  # a bar is full at the end
    assert span.parameters == 3 * 16 * (8 + 16 + 2) + 16 * 4 + 4


def test_the_answer_cannot_be_known_without_memory() -> None:
    """A model that forgets at once stays at chance: no task leaks its answer."""
    for name, task in TASKS.items():
        inputs, answers = task.draw(30, 4000, torch.Generator().manual_seed(1))
        last = inputs[-1] if inputs.dim() == 2 else inputs[-1, :, 0]
        seen = torch.corrcoef(torch.stack((last.float(), answers[-1].float())))[0, 1]
        assert math.isnan(seen) or abs(float(seen)) < 0.06, name


def test_a_study_runs_every_length_cell_and_seed_once() -> None:
    spans = list(measure_spans("recall", ("rnn", "gru", "rnn"), (3, 2, 3), (4, 5), SMALL))
    assert [(s.length, s.cell, s.seed) for s in spans] == [
        (length, cell, seed) for length in (2, 3) for cell in ("rnn", "gru") for seed in (4, 5)
    ]


def test_a_summary_is_of_the_seeds() -> None:
    def span(seed: int, accuracy: float, solved: bool) -> Span:
        return Span("recall", "gru", 10, seed, accuracy, 0.1, 100 * (seed + 1), solved, 7, 0.0)

    (row,) = summarise([span(0, 0.5, False), span(1, 1.0, True), span(2, 0.75, False)])
    assert (row.lowest, row.median, row.highest) == (0.5, 0.75, 1.0)
    assert (row.seeds, row.solved, row.updates) == (3, 1, 200)
    assert "| GRU | 75 % (50 to 100), 1/3 |" in table([row])
    assert draw_spans("recall", [row], "settings").startswith(b"\x89PNG")


def test_of_cells_that_do_the_same_none_hides_another() -> None:
    rows = [SpanSummary(cell, length, 3, 1.0, 1.0, 1.0, 3, 100) for cell in COLOURS for length in (10, 100)]
    picture = imread(io.BytesIO(draw_spans("recall", rows, "settings")))[..., :3]
    above_the_legend = picture[: int(0.8 * len(picture))]
    for cell, colour in COLOURS.items():
        seen = (np.abs(above_the_legend - to_rgb(colour)).max(-1) < 0.02).sum()
        assert seen > 100, cell


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sorting", ("gru",), (3,), (0,)), "received 'sorting'"),
        (("recall", ("gro",), (3,), (0,)), "unknown cell 'gro'"),
        (("recall", (), (3,), (0,)), "at least one cell"),
        (("recall", ("gru",), (3, 0), (0,)), r"received \[3, 0\]"),
        (("adding", ("gru",), (1,), (0,)), "at least 2"),
        (("recall", ("gru",), (), (0,)), r"received \[\]"),
        (("recall", ("gru",), (3,), ()), "at least one seed"),
        (("recall", ("gru",), (3,), (-1,)), r"received \[-1\]"),
    ],
)
def test_what_cannot_be_studied(arguments: tuple, said: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=said):
        list(measure_spans(*arguments, SMALL))


@pytest.mark.parametrize(
    ("name", "value"), [("updates", 0), ("batch_size", -1), ("num_hiddens", 0), ("lr", math.nan), ("clip", 0.0)]
)
def test_options_that_no_run_can_use(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        MemoryOptions(**{name: value})
