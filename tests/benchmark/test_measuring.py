"""The measuring itself, on clocks and programs that do as they are told."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gru_scratch.benchmark import machine, report, timing
from gru_scratch.benchmark.comparison import (
    TOLERANCE,
    Comparison,
    Method,
    NotAvailableError,
    Program,
    Row,
    agree,
    compare,
    differences,
    worst,
)
from gru_scratch.benchmark.peak import peak_memory
from gru_scratch.benchmark.timing import (
    Budget,
    DeviceClock,
    Ratio,
    WallClock,
    clock_for,
    in_turn,
    median_interval,
    paired_ratio,
)
from gru_scratch.training.hardware import pick_device

CPU = torch.device("cpu")


class FakeClock:
    """Each action tells how long it took."""

    def time(self, action: Callable[[], Any]) -> float:
        return float(action())


class Log:
    """Actions that note their calls, and take a second, or what they are told."""

    def __init__(self, **seconds: float) -> None:
        self.calls: list[str] = []
        self.actions = {name: self._action(name, value) for name, value in seconds.items()}

    def _action(self, name: str, seconds: float) -> Callable[[], float]:
        def action() -> float:
            self.calls.append(name)
            return seconds

        return action


def test_every_round_runs_every_action_once() -> None:
    log = Log(a=1.0, b=2.0, c=3.0)
    samples = in_turn(log.actions, FakeClock(), Budget(0, least=20), warm_up=2)
    rounds = [log.calls[k : k + 3] for k in range(0, len(log.calls), 3)]
    assert len(rounds) == 22
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert rounds[:2] == [["a", "b", "c"]] * 2  # the warm-up
    assert len({tuple(each) for each in rounds[2:]}) > 3  # then none always follows the same other
    assert samples == {"a": [1.0] * 20, "b": [2.0] * 20, "c": [3.0] * 20}


def test_the_order_is_drawn_from_the_seed() -> None:
    def order(seed: int) -> list[str]:
        log = Log(a=1.0, b=1.0, c=1.0)
        in_turn(log.actions, FakeClock(), Budget(0), seed=seed)
        return log.calls

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_the_warm_up_is_not_counted() -> None:
    slow_at_first = iter([9.0, 9.0, *[1.0] * 7])
    assert in_turn({"a": lambda: next(slow_at_first)}, FakeClock(), Budget(0, least=7), warm_up=2) == {"a": [1.0] * 7}


def test_a_machine_that_slows_down_does_not_change_a_ratio() -> None:
    """Samples of one round are a pair: what slows both down cancels, whatever the order was."""
    calls = {"fast": count(1), "slow": count(1)}
    actions = {"fast": lambda: next(calls["fast"]) * 1.0, "slow": lambda: next(calls["slow"]) * 3.0}
    samples = in_turn(actions, FakeClock(), Budget(0, least=30))
    assert paired_ratio(samples["slow"], samples["fast"]) == Ratio(3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("budget", "seconds_a_round", "expected"),
    [
        (Budget(10, least=7, most=101), 1.0, 10),
        (Budget(10, least=7, most=101), 5.0, 7),  # never fewer
        (Budget(10, least=7, most=101), 0.001, 101),  # never more
        (Budget(0, least=7, most=101), 1.0, 7),
        (Budget(10, least=7, most=101), 0.0, 101),
    ],
)
def test_rounds_fit_the_budget(budget: Budget, seconds_a_round: float, expected: int) -> None:
    assert budget.rounds(seconds_a_round) == expected


def test_a_round_costs_all_actions_together() -> None:
    log = Log(a=1.0, b=3.0)
    assert len(in_turn(log.actions, FakeClock(), Budget(40))["a"]) == 10


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_collected_while_the_clock_runs(enabled: bool) -> None:
    seen = []

    def action() -> float:
        seen.append(gc.isenabled())
        if len(seen) == 9:
            raise RuntimeError("an action that fails")
        return 1.0

    gc.enable() if enabled else gc.disable()
    try:
        with pytest.raises(RuntimeError, match="an action that fails"):
            in_turn({"a": action}, FakeClock(), Budget(0, least=20), warm_up=2)
        assert not any(seen[2:])
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_the_wall_clock() -> None:
    now = iter([10.0, 12.5])
    ran = []
    assert WallClock(lambda: next(now)).time(lambda: ran.append(1)) == 2.5
    assert ran == [1]
    assert isinstance(clock_for(CPU), WallClock)


def test_the_device_clock_marks_start_and_end_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            happened.append("record")

        def synchronize(self) -> None:
            happened.append("wait for it")

        def elapsed_time(self, end: Event) -> float:
            return 12.0  # ms

    class Device:
        def __init__(self, device: torch.device) -> None:
            happened.append(str(device))

        def __enter__(self) -> None:
            pass

        def __exit__(self, *error: object) -> None:
            pass

    cuda = SimpleNamespace(Event=Event, device=Device, synchronize=lambda: happened.append("wait for all"))
    monkeypatch.setattr(timing.torch, "cuda", cuda)
    clock = clock_for(torch.device("cuda:1"))
    assert isinstance(clock, DeviceClock)
    assert clock.time(lambda: happened.append("action")) == 0.012
    assert happened == ["cuda:1", "wait for all", "record", "action", "record", "wait for it"]


@pytest.mark.parametrize(("n", "rank"), [(1, 1), (2, 1), (5, 1), (6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (100, 40)])
def test_the_interval_has_the_ranks_of_the_tables(n: int, rank: int) -> None:
    """Of the sign test, as statistics books print them."""
    samples = [float(x) for x in range(1, n + 1)]
    random.Random(n).shuffle(samples)
    assert median_interval(samples) == (rank, n + 1 - rank)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    draw, median = random.Random(0).expovariate, 0.6931471805599453
    hits = 0
    for _ in range(2000):
        low, high = median_interval([draw(1.0) for _ in range(15)])
        hits += low <= median <= high
    assert 0.95 <= hits / 2000 <= 0.975  # exactly 0.965 for 15 samples


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60))
def test_the_interval_holds_the_samples_median(samples: list[float]) -> None:
    low, high = median_interval(samples)
    assert min(samples) <= low <= statistics.median(samples) <= high <= max(samples)


def test_a_ratio_and_its_spread() -> None:
    ratio = paired_ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    assert ratio == Ratio(2.0, 2.0, 3.0)
    assert not ratio.covers_one
    assert Ratio(1.1, 0.9, 1.2).covers_one
    assert report.ratio_text(ratio) == "2.00 (2.00 to 3.00)"
    assert report.ratio_text(Ratio(1.1, 0.9, 1.2)) == "1.10 (0.90 to 1.20) covers 1"


@pytest.mark.parametrize("pair", [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_without_a_partner_are_refused(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match=f"received {len(pair[0])} and {len(pair[1])}"):
        paired_ratio(*pair)


def test_differences_are_over_the_size_of_what_is_expected() -> None:
    expected = {"loss": torch.tensor(2.0), "w": torch.tensor([0.0, -10.0, 1.0])}
    found = {"loss": torch.tensor(2.0), "w": torch.tensor([0.0, -10.0, 1.5])}
    assert differences(found, expected) == {"loss": 0.0, "w": pytest.approx(0.05)}
    assert worst(differences(found, expected)) == "w"
    assert not agree(differences(found, expected))
    assert agree(differences(expected, expected))


def test_a_gradient_in_which_all_cancels_is_held_to_the_size_of_the_others() -> None:
    expected = {"loss": torch.tensor(500.0), "w": torch.tensor(20.0), "b": torch.tensor(1e-9)}
    found = {**expected, "b": torch.tensor(2e-7)}
    assert differences(found, expected)["b"] == pytest.approx(1e-6, rel=0.01)
    assert not agree(differences({**expected, "b": torch.tensor(1e-4)}, expected))


@pytest.mark.parametrize(
    "found",
    [{}, {"w": torch.ones(3)}, {"w": torch.full((2,), torch.nan)}, {"w": torch.full((2,), torch.inf)}],
)
def test_what_cannot_be_compared_differs_infinitely(found: dict[str, torch.Tensor]) -> None:
    assert differences(found, {"w": torch.ones(2)}) == {"w": float("inf")}
    assert differences({"w": torch.ones(2), "x": torch.ones(1)}, {"w": torch.ones(2)})["x"] == float("inf")
    assert differences({"w": torch.ones(2)}, {"w": torch.zeros(2)}) == {"w": float("inf")}
    assert differences({"w": torch.zeros(2)}, {"w": torch.zeros(2)}) == {"w": 0.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_is_tolerated_and_no_more(dtype: torch.dtype) -> None:
    assert agree({"w": TOLERANCE[dtype]}, dtype)
    assert not agree({"w": 2 * TOLERANCE[dtype]}, dtype)


def program(value: float, seconds: float = 1.0) -> Program:
    return Program(lambda: seconds, lambda: {"loss": torch.tensor(value), "w": torch.tensor([value, 1.0])})


def not_there() -> Program:
    raise NotAvailableError("not installed")


def broken() -> Program:
    def values() -> dict[str, torch.Tensor]:
        raise ZeroDivisionError("of a user's cell")

    return Program(lambda: 1.0, values)


@pytest.fixture
def mixed() -> Comparison:
    builders = {
        "missing": not_there,
        "base": lambda: program(3.0, 2.0),
        "rounded": lambda: program(3.00001, 1.0),
        "wrong": lambda: program(3.1, 0.5),
        "broken": broken,
        "floor": lambda: Program(lambda: 0.25),
    }
    return compare("a model", {"size": 1}, 10, builders, Method(FakeClock(), Budget(0), CPU, memory=False))


def test_no_ratio_where_values_disagree(mixed: Comparison) -> None:
    rows = {row.name: row for row in mixed.rows}
    assert list(rows) == ["missing", "base", "rounded", "wrong", "broken", "floor"]
    assert mixed.base == "base"  # the first that is there
    assert rows["rounded"].ratio == Ratio(2.0, 2.0, 2.0)
    assert rows["wrong"].ratio is None
    assert rows["wrong"].note == "no ratio: loss differs from that of base by 3e-02 of its size"
    assert rows["wrong"].seconds == [0.5] * 7
    assert rows["missing"] == Row("missing", note="not installed")
    assert rows["broken"].note == "fails: ZeroDivisionError: of a user's cell"
    assert rows["floor"].ratio is None
    assert rows["base"].ratio is None
    assert [row.name for row in mixed.rows if row.refused] == ["wrong", "broken"]


def test_the_table(mixed: Comparison) -> None:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.table([mixed]).splitlines()]
    header = ["model", "engine", "ms", "tokens/s", "times as fast", "loss differs", "gradients differ", "note"]
    assert lines[0] == header  # no column of scores or memory, which nothing has
    assert lines[2] == ["a model", "missing", "", "", "", "", "", "not installed"]
    assert lines[3] == ["a model", "base", "2e+03", "5", "1 (base)", "", "", ""]
    assert lines[4] == ["a model", "rounded", "1e+03", "10", "2.00 (2.00 to 2.00)", "3e-06", "3e-06", ""]
    assert lines[5][4:7] == ["", "3e-02", "3e-02"]
    assert lines[7] == ["a model", "floor", "250", "40", "", "", "", ""]
    assert len({len(line) for line in report.table([mixed]).splitlines()}) == 1


def test_nothing_that_runs_is_no_error() -> None:
    found = compare("a model", {}, 1, {"missing": not_there}, Method(FakeClock(), Budget(0), CPU))
    assert found.base is None
    assert "not installed" in report.table([found])
    assert "Medians of no rounds" in report.explanation([found])


def test_memory_is_looked_at_in_a_pass_of_its_own_from_a_clean_start() -> None:
    events: list[str] = []

    def build() -> Program:
        def run() -> float:
            events.append("run")
            torch.zeros(1000)
            return 1.0

        return Program(run, lambda: {"loss": torch.tensor(1.0)}, lambda: events.append("clear"))

    found = compare("a model", {}, 1, {"a": build}, Method(FakeClock(), Budget(0), CPU))
    assert events == ["run"] * 9 + ["clear", "run", "clear"]
    assert found.rows[0].peak_memory == 4000
    assert len(found.rows[0].seconds) == 7


def grow_and_shrink() -> None:
    first = torch.zeros(1000)  # 4,000 bytes
    del first
    second, third = torch.zeros(500), torch.zeros(2000)  # 10,000
    del second, third


def keep_ten() -> list[torch.Tensor]:
    return [torch.zeros(1000) for _ in range(10)]


@pytest.mark.parametrize(
    ("action", "expected"), [(grow_and_shrink, 10_000), (keep_ten, 40_000), (lambda: None, 0)], ids=["peak", "all", "0"]
)
def test_peak_memory(action: Callable[[], object], expected: int, capfd: pytest.CaptureFixture[str]) -> None:
    torch.ones(5)
    assert peak_memory(action, CPU) == expected
    assert capfd.readouterr() == ("", "")  # the profiler keeps quiet


def test_peak_memory_of_a_device_is_what_its_allocator_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"now": 100, "peak": 900}

    def action() -> None:
        held["peak"] = max(held["peak"], held["now"] + 250)

    cuda = SimpleNamespace(
        synchronize=lambda device: None,
        memory_allocated=lambda device: held["now"],
        reset_peak_memory_stats=lambda device: held.update(peak=held["now"]),
        max_memory_allocated=lambda device: held["peak"],
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    assert peak_memory(action, torch.device("cuda")) == 250


def test_the_machine_is_described() -> None:
    found = machine.describe_machine(CPU)
    assert found["threads"] == torch.get_num_threads()
    assert found["cores"] >= 1
    assert found["processor"]
    assert found["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(("load", "busy"), [(None, False), (0.4, False), (3.0, True)])
def test_other_programs_are_noticed(monkeypatch: pytest.MonkeyPatch, load: float | None, busy: bool) -> None:
    monkeypatch.setattr(machine, "load", lambda: load)
    assert machine.is_busy(machine.describe_machine(CPU) | {"cores": 2}) is busy


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1"])
def test_devices(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device(name, machine.TIMED) == torch.device(name)


@pytest.mark.parametrize("name", ["tpu", "mps", "cuda:", "cuda:x", "cuda:2", "cpu:0", ""])
def test_devices_that_cannot_be_timed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=rf"^device .*{name!r}"):
        pick_device(name, machine.TIMED)


def test_float32_is_float32_on_both_sides() -> None:
    def switches() -> Sequence[bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = switches()
    try:
        machine.like_with_like()
        assert switches() == (False, False)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
