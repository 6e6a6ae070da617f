"""Threads of a run: quotas, the faster number, and the sign that other programs hold them up; and memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gru_scratch.training import hardware
from gru_scratch.training.build import build_model
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.threads import WATCHED_SECONDS, ThreadWatch, fastest_threads


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", None)])
def test_a_quota_limits_them(tmp_path: Path, quota: str, expected: int | None) -> None:
    free = hardware.threads_at_hand(tmp_path)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert hardware.threads_at_hand(tmp_path) == (expected or free)


def test_the_faster_number_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    before, clock = torch.get_num_threads(), [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    slow = {1: 1.0, 2: 20.0}

    def work() -> None:
        clock[0] += slow[torch.get_num_threads()]

    try:
        assert fastest_threads(work, 2) == 1
        slow[2] = 0.6
        assert fastest_threads(work, 2) == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("threads", "share", "says"), [(2, 0.5, True), (2, 0.98, False), (1, 0.5, False)])
def test_a_busy_machine_is_noticed_once(threads: int, share: float, says: bool) -> None:
    now = [0.0]
    watch = ThreadWatch(lambda: now[0], lambda: now[0] * threads * share)
    assert watch.advice(threads) is None
    now[0] = WATCHED_SECONDS + 1
    advice = watch.advice(threads)
    assert (advice is not None) == says
    if advice:
        assert "--threads 1 is likely to be faster" in advice
    assert watch.advice(threads) is None


def test_what_needs_more_memory_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "machine_bytes", lambda: 2**30)
    with pytest.raises(ValueError, match=r"a gru of 99,999,999 hidden units needs at least .* GiB of memory, and this"):
        build_model(TrainConfig(num_hiddens=99_999_999), 28, torch.device("cpu"))
    with pytest.raises(ValueError, match="threads must be at most 4096, received 100000000"):
        TrainConfig(threads=100_000_000)
    assert TrainConfig(threads="auto").threads == "auto"
