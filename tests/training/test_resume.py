"""Runs of every kind stopped, put into a file and gone on with: the same bits, and nothing else than more of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_runs import history_of, same_tensors, small_run, stopped_at, through_a_file

from gru_scratch.text.corpus import Text
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.folder import save_run

OWN_CELL = """
from typing import NamedTuple
import torch
from gru_scratch import Cell

class State(NamedTuple):
    h: torch.Tensor

class Leaky(Cell):
    gates = ("a",)
    states = State

    def step(self, x, W, state):
        a = torch.tanh(x.a + W.a(state.h))
        return State(0.5 * state.h + 0.5 * a), {"a": a}
"""

ADAMW: dict[str, Any] = {"optimizer": "adamw", "lr": 0.01}
KINDS: dict[str, dict[str, Any]] = {
    "adamw, cosine, warm-up, dropout, layers": {
        **ADAMW,
        "cell": "lstm",
        "num_layers": 2,
        "dropout": 0.3,
        "schedule": "cosine",
        "warmup": 6,
        "max_updates": 24,
    },
    "random, dropout, tied": {
        **ADAMW,
        "sampling": "random",
        "dropout": 0.3,
        "embedding": 6,
        "tie_weights": True,
        "init": "orthogonal",
    },
    "locked dropout, weight dropout": {
        **ADAMW,
        "num_layers": 2,
        "dropout": 0.3,
        "locked_dropout": True,
        "weight_dropout": 0.3,
    },
    "builtin, dropout, layers": {"engine": "builtin", "cell": "gru", "num_layers": 2, "dropout": 0.3, "lr": 0.1},
    "own cell": {"cell": "cells.py:Leaky", "num_layers": 2, "dropout": 0.2},
    "layer norm": {**ADAMW, "cell": "layer-norm-lstm"},
    "fp64": {**ADAMW, "precision": "fp64"},
    "bf16": {**ADAMW, "precision": "bf16"},
    "token file": {"token_dir": Path("tokens")},
    "token file, random": {"token_dir": Path("tokens"), "sampling": "random"},
    "best, patience": {"keep": "best", "patience": 2, "lr": 4.0, "eval_every": 3, "epochs": 8},
}


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cells.py").write_text(OWN_CELL)


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_with_the_same_bits(text: Text, tmp_path: Path, kind: str) -> None:
    options = KINDS[kind]
    whole = small_run(text.path, **options)
    assert whole.run()
    assert whole.state.update > 8
    part = small_run(text.path, **options)
    for update in (1, 5, whole.state.update - 1):
        part = stopped_at(part, update)
        snapshot = through_a_file(part.snapshot(), tmp_path / "state")
        part = small_run(text.path, **options)
        torch.manual_seed(99)  # what the process has drawn before is of no importance
        part.restore(snapshot)
    assert part.run()
    assert same_tensors(part.snapshot().tensors, whole.snapshot().tensors)
    assert history_of(part) == history_of(whole)
    assert same_tensors(part.final_weights(), whole.final_weights())


@pytest.mark.parametrize("engine", ["fused", "textbook", "builtin"])
def test_from_before_the_first_update(text: Text, tmp_path: Path, engine: str) -> None:
    first = small_run(text.path, engine=engine)
    kept = []
    first.run(save=lambda: kept.append(through_a_file(first.snapshot(), tmp_path / "state")), save_seconds=1e9)
    assert kept[0].record["update"] == 0
    second = small_run(text.path, engine=engine)
    second.restore(kept[0])
    second.run()
    assert same_tensors(second.snapshot().tensors, first.snapshot().tensors)


def test_metrics_are_cut_back_to_the_state(text: Text, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    run = stopped_at(small_run(text.path), 12)
    snapshot = run.snapshot()
    run.run()
    save_run(folder, run, "")
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    again = small_run(text.path)
    again.restore(snapshot)
    save_run(folder, again, "")
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1


class TestLonger:
    def test_it_goes_on_at_the_final_rate_of_the_schedule(self, text: Text) -> None:
        options: dict[str, Any] = {**ADAMW, "schedule": "cosine", "warmup": 3, "eval_every": 1}
        short = small_run(text.path, **options, max_updates=10)
        short.run()
        longer = small_run(text.path, **options, max_updates=16)
        longer.restore(short.snapshot())
        assert longer.run()
        rates = [record["lr"] for record in longer.state.history]
        assert len(rates) == 16
        assert rates[:10] == [record["lr"] for record in short.state.history]
        assert rates[9] > 0.001
        assert rates[10:] == pytest.approx([0.001] * 6)  # a tenth of the rate that the run was begun with

    def test_of_a_run_that_had_not_ended_the_schedule_stays_as_planned(self, text: Text) -> None:
        options: dict[str, Any] = {**ADAMW, "schedule": "cosine", "eval_every": 1}
        planned = small_run(text.path, **options, max_updates=10)
        planned.run()
        longer = small_run(text.path, **options, max_updates=16)
        longer.restore(stopped_at(small_run(text.path, **options, max_updates=10), 5).snapshot())
        longer.run()
        assert [record["lr"] for record in longer.state.history[:10]] == [
            record["lr"] for record in planned.state.history
        ]

    @pytest.mark.parametrize("sampling", ["sequential", "random"])
    def test_at_a_constant_rate_it_is_the_longer_run(self, text: Text, sampling: str) -> None:
        whole = small_run(text.path, epochs=5, sampling=sampling)
        whole.run()
        short = small_run(text.path, epochs=2, sampling=sampling)
        short.run()
        longer = small_run(text.path, epochs=5, sampling=sampling)
        longer.restore(short.snapshot())
        longer.run()
        assert same_tensors(longer.snapshot().tensors, whole.snapshot().tensors)
        assert history_of(longer) == history_of(whole)

    def test_a_run_by_the_clock_goes_on_from_the_time_it_has_had(self, text: Text) -> None:
        snapshot = stopped_at(small_run(text.path, minutes=60.0), 4).snapshot()
        run = small_run(text.path, minutes=60.0)
        run.restore(dataclasses.replace(snapshot, record={**snapshot.record, "seconds": 3600.0}))
        assert run.run()
        assert run.state.update == 4
        longer = small_run(text.path, minutes=61.0)
        longer.restore(dataclasses.replace(snapshot, record={**snapshot.record, "seconds": 3600.0}))
        stopped_at(longer, 6)
        assert 3600 < longer.state.seconds < 3660


OTHER_VALUES: dict[str, Any] = {
    "cell": "lstm",
    "tokens": "byte",
    "cleaning": "raw",
    "init": "torch",
    "optimizer": "adamw",
    "schedule": "cosine",
    "keep": "best",
    "precision": "fp64",
    "matmul_precision": "medium",
    "locked_dropout": True,
    "weight_dropout": 0.5,
    "sampling": "random",
    "compile": True,
    "tie_weights": True,
    "min_lr": 0.01,
    "patience": 7,
    "eval_every": 7,
    "threads": 1,
    "dropout": 0.5,
    "test_fraction": 0.1,
    "val_fraction": 0.5,
    "val_tokens": 7,
    "forget_bias": 1.0,
    "beta1": 0.5,
    "beta2": 0.5,
    "reset_at": "e",
}


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(TrainConfig) if field.name not in TrainConfig().may_differ]
)
def test_any_other_option_is_refused_by_name(text: Text, name: str) -> None:
    """Whatever options there will be: what is not in `OTHER_VALUES` is a number, and another one is tried."""
    run = small_run(text.path, **({"embedding": 6} if name == "tie_weights" else {}))
    old = getattr(run.config, name)
    other = dataclasses.replace(run.config, **{name: OTHER_VALUES[name] if name in OTHER_VALUES else old * 2 + 1})
    with pytest.raises(ValueError, match=rf"the run was made with {name} {old}, not "):
        other.check_goes_on(run.snapshot().record["options"])


@pytest.mark.parametrize(
    ("made", "given", "said"),
    [
        ({"epochs": 3}, {"epochs": 2}, "made with epochs 3, which may grow but not become 2"),
        ({"epochs": 500}, {"max_updates": 40}, "made with max_updates None, which may grow"),
        ({"max_updates": 9}, {"max_updates": 8}, "made with max_updates 9, which may grow but not become 8"),
        ({"max_updates": 9}, {"minutes": 8.0}, "made with max_updates 9, which may grow but not become None"),
        ({"minutes": 2.0}, {"minutes": 1.0}, r"made with minutes 2\.0, which may grow but not become 1\.0"),
    ],
)
def test_the_bound_may_only_grow(text: Text, made: dict[str, Any], given: dict[str, Any], said: str) -> None:
    snapshot = small_run(text.path, **made).snapshot()
    with pytest.raises(ValueError, match=said):
        small_run(text.path, **given).restore(snapshot)


def test_a_run_that_is_older_than_an_option_goes_on(text: Text) -> None:
    run = small_run(text.path)
    snapshot = run.snapshot()
    del snapshot.record["options"]["weight_dropout"]
    run.restore(snapshot)
    with pytest.raises(ValueError, match=r"the run was made with weight_dropout 0\.0, not 0\.5"):
        small_run(text.path, weight_dropout=0.5).restore(snapshot)
