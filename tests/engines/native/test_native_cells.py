"""Engine "native": every elementwise cell, of every size, against autograd through the plain loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_exam import Problem
from support.sample_cells import CELLS, ZONED

from gru_scratch.cells import Cell, GRUEquations, LSTMEquations, MGUEquations, RNNEquations

SHIPPED = [RNNEquations(), RNNEquations("relu"), GRUEquations(), GRUEquations(False), LSTMEquations()]
ELEMENTWISE = [cell for cell in [*SHIPPED, *CELLS, *ZONED] if cell.elementwise and "ByAutograd" not in repr(cell)]


@pytest.mark.parametrize("cell", ELEMENTWISE, ids=repr)
def test_values_and_gradients_are_those_of_autograd(cell: Cell) -> None:
    Problem(cell).check()
    Problem(cell, tokens=True, lengths=[5, 5, 4, 2, 2, 1, 1]).check()
    Problem(cell, steps=3, batch=1, hidden_size=9, bias=False).check()
    Problem(cell, resets=True).check()


@pytest.mark.parametrize("cell", [LSTMEquations(), GRUEquations()], ids=repr)
def test_float32(cell: Cell) -> None:
    Problem(cell, steps=20, batch=13, hidden_size=37, dtype=torch.float32).check()


@settings(max_examples=60)
@given(
    st.sampled_from([GRUEquations(False), LSTMEquations(), MGUEquations()]),
    st.integers(1, 6),
    st.sampled_from([1, 2, 3, 5, 8, 13, 24, 31]),
    st.sampled_from([1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 31, 64, 67]),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_every_size_and_number_of_threads(
    cell: Cell, steps: int, batch: int, hidden_size: int, count: int, tokens: bool, ragged: bool, resets: bool
) -> None:
    lengths = sorted(torch.randint(1, steps + 1, (batch,)).tolist(), reverse=True) if ragged else None
    problem = Problem(cell, steps, batch, hidden_size, tokens, lengths, resets=resets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gru_scratch.engines.native.run.thread_count", lambda rows, steps, multiplications: count)
        problem.check()
        once, again = problem.by_native(), problem.by_native()
    assert all(torch.equal(value, again[name]) for name, value in once.items())


def test_a_sequence_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backward walks few steps at a time where the gradients of all of them would take much memory."""
    monkeypatch.setattr("gru_scratch.engines.native.run.CHUNK_BYTES", 3 * 7 * 3 * 11 * 8 + 8)
    for cell in (GRUEquations(), GRUEquations(False)):
        Problem(cell, steps=10).check()
        Problem(cell, steps=10, tokens=True, lengths=[10, 9, 8, 6, 5, 2, 1]).check()
        Problem(cell, steps=10, resets=True).check()


def test_tokens_of_a_large_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows are gathered and summed outside the loop."""
    monkeypatch.setattr("gru_scratch.engines.native.run.TABLE_BYTES", 0)
    Problem(LSTMEquations(), tokens=True).check()
    Problem(LSTMEquations(), steps=1, batch=2, tokens=True).check()


@pytest.mark.parametrize("cell", ELEMENTWISE, ids=repr)
def test_what_is_kept_for_backward_changes_no_value(cell: Cell) -> None:
    problem = Problem(cell)
    kept, not_kept = problem.by_native(), problem.by_native(keep=False)
    assert all(torch.equal(value, kept[name]) for name, value in not_kept.items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_in_its_row(bad: float) -> None:
    problem = Problem(LSTMEquations())
    with torch.no_grad():
        problem.inputs[2, 3, 0] = bad
    found, expected = problem.by_native(), problem.by_autograd()
    assert torch.equal(found["outputs"].isnan(), expected["outputs"].isnan())
    assert torch.equal(found["d inputs"].isnan(), expected["d inputs"].isnan())


def test_a_token_outside_the_vocabulary() -> None:
    problem = Problem(GRUEquations(), tokens=True)
    problem.inputs[1, 2] = 6
    with pytest.raises(IndexError, match="expected tokens from 0 to 5, received 6"):
        problem.by_native()
