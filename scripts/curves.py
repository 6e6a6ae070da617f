"""Draw the losses of several runs in one picture, against minutes, updates or epochs.

python scripts/curves.py runs/small runs/large
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from _command import run_command

from gru_scratch.text.files import write_atomically
from gru_scratch.training.checkpoint import read_verified
from gru_scratch.training.curve import RunLosses, draw_losses


@dataclass(frozen=True)
class CurvesConfig:
    """Draw the losses of several runs in one picture: held out, and on the text that was put aside, in nats a token."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""
    x: Literal["minutes", "update", "epoch"] = "minutes"
    """What the losses are drawn against."""
    out: Path = Path("runs/curves.png")
    """PNG to write, over an old one."""


def main() -> int:
    config = tyro.cli(CurvesConfig)
    if not config.runs:
        raise ValueError("expected at least one run folder, received none")
    picture = draw_losses([read_losses(folder) for folder in config.runs], config.x)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(config.out, picture)
    print(f"written     {config.out}")
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


if __name__ == "__main__":
    run_command(main)
