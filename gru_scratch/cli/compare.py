"""Compare scratch with built-in: time, memory and values of a training step."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from gru_scratch.benchmark import machine, report
from gru_scratch.benchmark.compare_options import CompareArguments
from gru_scratch.benchmark.comparison import Comparison
from gru_scratch.benchmark.plans import Plan, make_plan
from gru_scratch.studies.results import claim_folder, remove_if_empty
from gru_scratch.text.files import write_atomically
from gru_scratch.training.hardware import pick_device
from gru_scratch.training.interrupts import exit_status


def main(given: CompareArguments) -> int:
    given.validate()
    device = pick_device(given.device, machine.TIMED)
    plan = make_plan(given, device)
    folder = claim_folder(given.out, "compare")
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    machine.like_with_like()
    described = machine.describe_machine(device)
    print(report.machine_lines(described), flush=True)
    if machine.is_busy(described):
        print("note: other programs are running: times are too long, and spreads too wide", file=sys.stderr)
    try:
        done, status = measure(plan)
        if done:
            print(f"\n{plan.text(done)}\n", flush=True)
            everything = report.to_json(described, given.to_json(), done)
            content = (json.dumps(everything, indent=1, allow_nan=False) + "\n").encode()
            write(folder, {"comparison.json": content, **plan.pictures(done, report.where(described))})
    finally:
        remove_if_empty(folder)
    if status:
        print(f"interrupted after {len(done)} of {len(plan.jobs)} comparisons", file=sys.stderr)
        return status
    return 1 if any(row.refused for comparison in done for row in comparison.rows) else 0


def measure(plan: Plan) -> tuple[list[Comparison], int]:
    """The comparisons, and 0 if they are all of them, else the exit status: an interrupt keeps those that are done."""
    done: list[Comparison] = []
    with tqdm(plan.jobs, unit="comparison", disable=None, leave=False) as bar:
        try:
            for label, job in bar:
                bar.set_postfix_str(label)
                done.append(job())
        except KeyboardInterrupt as error:
            return done, exit_status(error)
    return done, 0


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        write_atomically(folder / name, content)
    print(f"written     {', '.join(str(folder / name) for name in files)}")
