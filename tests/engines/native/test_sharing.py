"""Threads that share the rows of a batch, or the units of too few rows: they change no value."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from native_exam import Problem
from support.compiler import skip_without_compiler
from support.sample_cells import OldAndNew
from torch import Tensor

from gru_scratch.cells import Cell, GRUEquations, LSTMEquations
from gru_scratch.engines.native import sharing
from gru_scratch.engines.native.library import Library
from gru_scratch.engines.native.steps import Steps


def values(monkeypatch: pytest.MonkeyPatch, problem: Problem, threads: int) -> dict[str, torch.Tensor]:
    name = "gru_scratch.engines.native.run.thread_count"
    monkeypatch.setattr(name, lambda rows, steps, multiplications: threads)
    return problem.by_native()


@pytest.mark.parametrize("cell", [LSTMEquations(), GRUEquations(False)], ids=repr)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_units_are_shared_where_rows_are_few(cell: Cell, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sum is in another order for it. More threads than cores, so that some keep the others waiting."""
    problem = Problem(cell, steps=40, batch=batch, hidden_size=100)
    alone, together = values(monkeypatch, problem, 1), values(monkeypatch, problem, 4)
    assert all(torch.equal(alone[name], value) for name, value in together.items())


@pytest.mark.parametrize("batch", [1, 3])
def test_single_steps_whose_units_are_shared(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is done does not put the new states in place of the old while another still reads these."""
    skip_without_compiler()
    problem, x = Problem(OldAndNew(), batch=batch, hidden_size=200), torch.zeros(batch, 400, dtype=torch.float64)

    def states_after(steps: int, threads: int) -> Tensor:
        monkeypatch.setattr("gru_scratch.engines.native.steps.thread_count", lambda *_: threads)
        monkeypatch.setattr("gru_scratch.engines.native.steps.STEPS_ALONE", 0)  # shared, whoever is late
        with torch.no_grad():
            call = Steps(problem.cell, problem.state, problem.weights, {}, x)
            for _ in range(steps):
                call()
        return torch.stack([*call.state])

    alone = states_after(300, threads=1)
    for threads in (4, 5):
        assert torch.equal(states_after(300, threads), alone)


def test_after_a_thread_was_late_one_goes_on_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_compiler()
    threads_of: list[int] = []

    def step(self: Library, layer: object, threads: int) -> bool:
        threads_of.append(threads)
        return threads > 1

    monkeypatch.setattr("gru_scratch.engines.native.steps.thread_count", lambda *_: 2)
    monkeypatch.setattr(Library, "step", step)
    problem = Problem(GRUEquations(), batch=1, hidden_size=4)
    with torch.no_grad():
        call = Steps(problem.cell, problem.state, problem.weights, {}, torch.zeros(1, 12, dtype=torch.float64))
        for _ in range(33):
            call()
    assert threads_of == [2, *[1] * 10, 2, *[1] * 20, 2]


@pytest.mark.parametrize("batch", [1, 5])
def test_threads_of_our_own_where_openmp_is_out_of_reach(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(LSTMEquations(), steps=9, batch=batch, hidden_size=20)
    alone = values(monkeypatch, problem, 1)
    monkeypatch.setattr(sharing, "openmp", lambda: None)
    together = values(monkeypatch, problem, 3)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)  # fewer rows in a tile: sums in another order


def test_as_many_threads_as_there_is_work_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    large = 4 * 256 * 256
    assert sharing.thread_count(32, 35, large) == 8
    assert sharing.thread_count(1, 512, large) == 8, "of the units"
    assert sharing.thread_count(1, 1, large) == 1, "one step of one row"
    assert sharing.thread_count(1, 1, 4 * 512 * 512) == 6, "the same, of weights that are large for one core"
    assert sharing.thread_count(3, 300, 4 * 16 * 16) == 1, "too little for any"
    assert sharing.thread_count(3, 100_000, 4 * 16 * 16) == 3, "too little in a step to meet after it"
    assert sharing.thread_count(0, 35, large) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    skip_without_compiler()
    script = """
import os, torch
from gru_scratch.engines.native import run
from gru_scratch.layers import LSTM
layer, inputs = LSTM(8, 32, engine="native"), [torch.randn(9, 6, 8), torch.randn(9, 1, 8)]
run.thread_count = lambda rows, steps, multiplications: 2
with torch.no_grad():
    before = [layer(x)[0] for x in inputs]
    child = os.fork()
    if not child:
        os._exit(all(torch.equal(layer(x)[0], y) for x, y in zip(inputs, before)))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("1\n", "")
