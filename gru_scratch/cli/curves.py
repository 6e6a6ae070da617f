"""Draw the losses of several runs in one picture, against minutes, updates or epochs."""

from __future__ import annotations

import json
from pathlib import Path

from gru_scratch.cli.arguments import CurvesArguments
from gru_scratch.text.files import write_atomically
from gru_scratch.training.checkpoint import read_verified
from gru_scratch.training.curve import RunLosses, draw_losses


def main(given: CurvesArguments) -> int:
    if not given.runs:
        raise ValueError("expected at least one run folder, received none")
    picture = draw_losses([read_losses(folder) for folder in given.runs], given.x)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(given.out, picture)
    print(f"written     {given.out}")
    return 0


def read_losses(folder: Path) -> RunLosses:
    """ValueError, with the folder, if it is no run or has no held-out text."""
    if not folder.is_dir():
        raise ValueError(f"there is no run folder {folder}")
    records = [json.loads(line) for line in read_verified(folder, "metrics.jsonl").decode().splitlines()]
    if not any(record.get("held_out_loss") is not None for record in records):
        raise ValueError(f"the run in {folder} has no held-out loss: was a part of the text held out?")
    tested = json.loads(read_verified(folder, "test.json"))["carried"] if (folder / "test.json").exists() else None
    return RunLosses(folder.name, records, tested)
