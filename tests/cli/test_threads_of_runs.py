"""--threads auto measures in every command that trains, keeps its number, and leaves the run as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.script_runs import RunScript

from gru_scratch.training import threads
from gru_scratch.training.checkpoint import read_snapshot

SMALL = ["--num-hiddens", 6, "--embedding", 4, "--batch-size", 8, "--dropout", 0.3]
COMMANDS = {
    "train": [*SMALL, "--max-tokens", 400, "--num-steps", 7],
    "train_translator": [*SMALL, "--num-pairs", 40],
    "train_classifier": SMALL,
}


@pytest.fixture
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("script", COMMANDS)
@pytest.mark.usefixtures("same_threads")
def test_auto_measures_once(
    in_process: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    measured = []

    def measure(work: Callable[[], object], most: int) -> int:
        measured.append(most)
        work()
        return 1

    monkeypatch.setattr(threads, "fastest_threads", measure)
    options = [*COMMANDS[script], "--max-updates", 3]
    status, out, _ = in_process(script, *options, "--threads", "auto", "--out", "auto")
    assert (status, len(measured)) == (0, 1)
    assert "cpu, 1 thread\n" in out
    assert read_snapshot(tmp_path / "auto" / "state").record["threads"] == 1
    assert in_process(script, *options, "--threads", 1, "--out", "one")[0] == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("auto", "one")]
    assert weights[0] == weights[1]
    assert in_process(script, "--resume", "auto", "--max-updates", 4)[0] == 0
    assert len(measured) == 1
