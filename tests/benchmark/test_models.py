"""What is timed: the same model under every engine, the floor, the ladder, and the pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.image
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gru_scratch.benchmark import charts, jobs, ladder, models, plans
from gru_scratch.benchmark.compare_options import ENGINES, CompareArguments
from gru_scratch.benchmark.comparison import Comparison, Method, NotAvailableError, Row, agree, differences
from gru_scratch.benchmark.floor import products as floor
from gru_scratch.benchmark.jobs import FLOOR, compare_generation, compare_training
from gru_scratch.benchmark.ladder import BOOK_LOOP, RUNGS, changed, compare_ladder, without
from gru_scratch.benchmark.models import ModelKind, Programs, model_kinds
from gru_scratch.benchmark.peak import peak_memory
from gru_scratch.benchmark.plans import columns, summary
from gru_scratch.benchmark.setting import SIX_SETTINGS, Setting
from gru_scratch.benchmark.timing import Budget, Ratio
from gru_scratch.cells import GRUEquations, LSTMEquations
from gru_scratch.engines.fused import bptt, products

CPU = torch.device("cpu")
SMALL = Setting(3, 5, 8, 7)
NOT_COMPILED = [name for name in ENGINES if name not in ("builtin-unrolled", "fused-compiled")]


class OneSecond:
    """A clock for which everything takes a second."""

    def time(self, action: object) -> float:
        assert callable(action)
        action()
        return 1.0


METHOD = Method(OneSecond(), Budget(0, least=1), CPU, memory=False)

KINDS = [kind for cell in ("rnn", "gru", "lstm", "mgu", "layer-norm-gru") for kind in model_kinds(cell)]


@pytest.mark.parametrize("input", ["tokens", "dense", "dense-with-gradient"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
def test_all_engines_compute_the_same(kind: ModelKind, input: str) -> None:
    setting = replace(SMALL, input=input, input_size=6)
    programs = Programs(kind, setting, CPU)
    found = {name: programs.build(name).values() for name in kind.engines(NOT_COMPILED)}
    first = next(iter(found))
    assert len(found) > 1
    assert set(found[first]) == {"loss", *programs.weights} | ({"input"} if input == "dense-with-gradient" else set())
    for name, values in found.items():
        assert agree(differences(values, found[first])), name
    assert all(value.abs().max() > 0 for value in found[first].values())


def test_a_step_leaves_no_gradient_and_no_trace() -> None:
    programs = Programs(model_kinds("gru")[0], SMALL, CPU)
    step = programs.build("fused")
    first, again = step.values(), step.values()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.equal(step(), first["loss"])


def test_another_equation_is_noticed() -> None:
    """The two GRUs, from the same parameters: the difference that the comparison must never let through."""
    after, before = model_kinds("gru")
    wrong = replace(before, builtin=nn.GRU)
    found = compare_training(wrong, SMALL, ("builtin", "textbook", "fused"), METHOD)
    assert [row.ratio for row in found.rows] == [None, None, None]
    assert [row.refused for row in found.rows] == [False, True, True]
    right = compare_training(after, SMALL, ("builtin", "textbook", "fused"), METHOD)
    assert [row.refused for row in right.rows] == [False, False, False]


def test_which_engines_there_are_for_a_model() -> None:
    rnn, (after, before), mgu = model_kinds("rnn")[0], model_kinds("gru"), model_kinds("mgu")[0]
    every = tuple(ENGINES)
    assert rnn.engines(every) == list(every)
    assert after.engines(every) == list(every)
    assert before.engines(every) == ["textbook", "textbook-layer", "fused", "fused-compiled", "native"]
    assert mgu.engines(every) == ["textbook-layer", "fused", "fused-compiled", "native"]
    assert mgu.engines(("fused", "textbook", "builtin")) == ["textbook", "fused"]


def test_builtin_is_left_alone_by_the_compiler() -> None:
    step = Programs(model_kinds("lstm")[0], SMALL, CPU).build("builtin-compiled")
    assert step.note == "torch.compile leaves it as it is"


def test_a_compiler_that_fails_gets_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile(model: nn.Module) -> nn.Module:
        def fail(*args: object) -> None:
            raise RuntimeError("no C++ compiler")

        return fail  # type: ignore[return-value]

    monkeypatch.setattr(models.torch, "compile", compile)
    with pytest.raises(NotAvailableError, match="does not compile: RuntimeError"):
        Programs(model_kinds("gru")[0], SMALL, CPU).build("builtin-compiled")


@pytest.mark.parametrize("input", ["tokens", "dense", "dense-with-gradient"])
@pytest.mark.parametrize("kind", KINDS[:4], ids=lambda kind: kind.title)
def test_the_floor_is_the_products_of_a_training_step(kind: ModelKind, input: str) -> None:
    """Just those that PyTorch counts in the textbook's own step."""
    setting = replace(SMALL, input=input, input_size=6)
    counts = []
    for run in (Programs(kind, setting, CPU).build("textbook-layer"), floor(kind.cell, setting, CPU)):
        with FlopCounterMode(display=False) as counter:
            run()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_the_rungs_compute_the_same() -> None:
    for cell in ("gru", "lstm"):
        for kind in model_kinds(cell):
            found = compare_ladder(kind, SMALL, METHOD)
            names = [BOOK_LOOP, *RUNGS, *(["builtin"] if kind.builtin else [])]
            assert [(row.name, row.refused, row.note) for row in found.rows] == [(name, False, "") for name in names]
            assert "1.00 (1.00 to 1.00)" in ladder.ladder_table([found])


def test_a_rung_takes_away_what_it_says() -> None:
    cell = without(GRUEquations(reset_after=False), "derivative")
    assert (cell.derivative, cell.options()) == (None, {"reset_after": False})
    assert without(LSTMEquations(), "derivative") == without(LSTMEquations(), "derivative") != LSTMEquations()


def test_the_engine_is_as_before_after_a_rung() -> None:
    before = bptt.STRETCH, products._kernels
    changes = (bptt, "STRETCH", 1), (products, "_kernels", None)

    def fail() -> None:
        with changed(changes):
            assert (bptt.STRETCH, products._kernels) == (1, None)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (bptt.STRETCH, products._kernels) == before


def test_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "TOKENS", 4)
    for kind in KINDS:
        found = compare_generation(kind, SMALL, NOT_COMPILED, METHOD)
        assert [row.refused for row in found.rows] == [False] * len(found.rows)
        assert found.tokens == 4
        assert all(set(row.differences) == {"scores"} for row in found.rows if row.seconds)


@pytest.mark.parametrize("name", ["book", "char-rnn", "one-sequence"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_fused_step_holds_little_more_than_builtin(cell: str, name: str) -> None:
    programs = Programs(model_kinds(cell)[0], SIX_SETTINGS[name], CPU)
    fused, builtin = (peak_memory(programs.build(engine), CPU) for engine in ("fused", "builtin"))
    assert fused <= 1.1 * builtin


def test_the_six_settings() -> None:
    assert len(SIX_SETTINGS) == 6
    measured = []
    for kind, setting, engines in columns("book"):
        small = replace(SMALL, input=setting.input, input_size=6)
        measured.append(("book", compare_training(kind, small, engines, METHOD)))
    assert [engines[1:] for _, _, engines in columns("book")] == [("fused", "native")] * 6
    lines = summary(measured).splitlines()[2:]
    assert len(lines) == 6
    assert all("1.00 (1.00 to 1.00) covers 1" in line and "| book " in line for line in lines)


def pixels(png: bytes) -> tuple[int, int]:
    height, width = matplotlib.image.imread(io.BytesIO(png)).shape[:2]
    return width, height


def fake_comparison(title: str = "GRU") -> Comparison:
    rows = [
        Row("builtin", [0.02, 0.021, 0.022]),
        Row("fused", [0.01, 0.011, 0.012], Ratio(1.9, 1.8, 2.0), {"loss": 0.0}),
        Row("builtin-unrolled", note="does not compile"),
        Row(FLOOR, [0.001, 0.001, 0.001]),
    ]
    return Comparison(title, {}, 10, "builtin", rows)


@pytest.mark.parametrize("panels", [0, 1, 2, 5])
def test_bars_are_drawn(panels: int) -> None:
    png = charts.draw_bars([fake_comparison()] * panels, "title", "one step")
    assert pixels(png)[0] == 1104


@pytest.mark.parametrize(("models", "sizes"), [(1, (8,)), (3, (1, 4, 16))])
def test_a_sweep_is_drawn(models: int, sizes: tuple[int, ...]) -> None:
    points = {f"model {k}": [(size, fake_comparison()) for size in sizes] for k in range(models)}
    assert pixels(charts.draw_sweep(points, "title", "batch size", "one step"))[0] == 1104


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "clock_for", lambda device: OneSecond())


def sizes_of(config: CompareArguments) -> list[str]:
    return [label for label, _ in plans.make_plan(config, CPU).jobs]


def test_the_plans() -> None:
    assert sizes_of(CompareArguments()) == ["RNN", "GRU, reset after", "GRU, reset before", "LSTM"]
    lstm = partial(CompareArguments, cells=("lstm",))
    assert sizes_of(lstm(sweep="batch", sizes=(9, 3, 3))) == ["LSTM, batch 3", "LSTM, batch 9"]
    assert sizes_of(lstm(sweep="hidden"))[-1] == "LSTM, hidden 1024"
    assert sizes_of(lstm(generate=True)) == sizes_of(lstm(ladder=True)) == ["LSTM"]
    assert len(sizes_of(CompareArguments(six_settings=True))) == 36
    assert len(sizes_of(CompareArguments(six_settings=True, only=("long", "book")))) == 12


def test_a_plan_that_was_interrupted_tells_what_is_done(quick: None) -> None:
    config = CompareArguments(("gru",), sweep="steps", sizes=(2, 3), batch_size=2, num_hiddens=4, seconds=0)
    plan = plans.make_plan(config, CPU)
    done = [job() for _, job in plan.jobs[:3]]
    assert "GRU, reset before, steps 2" in plan.text(done)
    assert "steps 3" not in plan.text(done).partition("reset before")[2]
    assert list(plan.pictures(done, "here")) == ["sweep-steps.png"]


def test_a_cell_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "cells.py").write_text(
        "from typing import NamedTuple\nimport torch\nfrom gru_scratch import Cell\n\n"
        "class S(NamedTuple):\n    h: torch.Tensor\n\n"
        "class Mine(Cell):\n    gates = ('a',)\n    states = S\n"
        "    def step(self, x, W, state):\n        return S((torch.tanh(x.a + W.a(state.h)) + state.h) / 2), {}\n\n"
        "class Broken(Mine):\n    def step(self, x, W, state):\n"
        "        return S(x.nothing) if len(state.h) > 1 else super().step(x, W, state)\n"
    )
    mine, broken = (model_kinds(f"{tmp_path}/cells.py:{name}")[0] for name in ("Mine", "Broken"))
    found = compare_training(mine, SMALL, ("builtin", "textbook", "fused"), METHOD, floor=True)
    assert [(row.name, row.refused) for row in found.rows] == [("textbook", False), ("fused", False), (FLOOR, False)]
    found = compare_training(broken, SMALL, ("textbook", "fused"), METHOD)
    assert all(row.refused and row.note.startswith("fails: AttributeError: ") for row in found.rows)
