"""A run that is killed at any moment and resumed ends as the run that was never killed, bit for bit."""

from __future__ import annotations

import json
import random
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support.script_runs import start_train, train

from gru_scratch.text.corpus import Text
from gru_scratch.training.checkpoint import Snapshot, read_snapshot
from gru_scratch.training.folder import load_run

SMALL = shlex.split(
    "--num-hiddens 6 --batch-size 4 --num-steps 7 --max-tokens 400 --val-fraction 0.001 --save-seconds 0"
)
BOOK = ["--epochs", "4"]
MODERN = shlex.split(
    "--cell lstm --num-layers 2 --dropout 0.3 --embedding 5 --optimizer adamw --lr 0.01 --schedule cosine --warmup 5 "
    "--sampling random --keep best --max-updates 50 --eval-every 6"
)
KILLS = 11
BY_THE_CLOCK = ("seconds", "minutes")


def read(folder: Path) -> tuple[Snapshot, list[dict[str, Any]]]:
    """The state of a run and the records of its metrics, without what the clock says."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [{k: v for k, v in json.loads(line).items() if k not in BY_THE_CLOCK} for line in lines]
    return read_snapshot(folder / "state"), records


def check_same_end(folder: Path, whole: Path) -> None:
    (state, records), (expected, expected_records) = read(folder), read(whole)
    assert state.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert torch.equal(state.tensors[name], tensor), name
    assert state.record["update"] == expected.record["update"]
    assert records == expected_records
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def written(state: Path) -> int:
    """When it was written, 0 for never."""
    return state.stat().st_mtime_ns if state.exists() else 0


def kill_at_random(cwd: Path, folder: str, chance: random.Random, *options: object) -> bool:
    """Begin the run, or go on with it, and kill it: one time in four from its start on, else after some checkpoints.

    False if it came to its end before.
    """
    state = cwd / folder / "state"
    given = ["--resume", folder] if state.exists() else [*options, "--out", folder]
    process = start_train(cwd, *given)
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, 0.5))
    else:
        for _ in range(chance.randint(1, 13)):
            last = written(state)
            while written(state) == last and process.exitcode is None:
                time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))
    process.kill()
    process.join(60)
    assert process.exitcode in (0, -9), (cwd / "output.txt").read_text()
    return process.exitcode != 0


@pytest.mark.parametrize("options", [BOOK, MODERN], ids=["book", "modern"])
def test_killed_at_random_moments(tmp_path: Path, text: Text, options: list[str]) -> None:
    """Nearly all of such a run is the writing of checkpoints."""
    options = ["--text", str(text.path), *SMALL, *options]
    train(tmp_path, *options, "--out", "whole")
    chance, kills, ended = random.Random(len(options)), 0, 0
    while kills < KILLS:
        folder = f"killed-{ended}"
        if kill_at_random(tmp_path, folder, chance, *options):
            kills += 1
        else:
            check_same_end(tmp_path / folder, tmp_path / "whole")
            ended += 1
        state = tmp_path / folder / "state"
        if state.exists() and (tmp_path / folder / "manifest.json").exists():
            load_run(tmp_path / folder, torch.device("cpu"))
            assert read_snapshot(state).record["options"]["out"] == folder
    folder = f"killed-{ended}"
    going_on = ["--resume", folder] if (tmp_path / folder / "state").exists() else [*options, "--out", folder]
    train(tmp_path, *going_on)
    check_same_end(tmp_path / folder, tmp_path / "whole")
