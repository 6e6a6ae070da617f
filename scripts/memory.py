"""How far back does a cell remember? Accuracy against length for several cells, under the same budget.

python scripts/memory.py --quick
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from _command import run_command
from tqdm import tqdm

from gru_scratch.studies.memory.draw_memory import draw_spans, table
from gru_scratch.studies.memory.spans import MemoryOptions, Span, check_study, measure_spans, summarise
from gru_scratch.studies.results import claim_folder, save_study

PRESETS = {
    "recall": ((10, 20, 50, 100, 200, 500, 1000), 600),
    "adding": ((10, 20, 50, 100, 200), 1000),
    "copying": ((10, 20, 50), 3000),
}
"""Of each task: lengths and updates."""
QUICK = ((10, 50, 200), 300)


@dataclass(frozen=True)
class MemoryConfig:
    """Train cells to answer at the end what they read at the start, at several lengths, and draw how well they do."""

    task: Literal["recall", "adding", "copying"] = "recall"
    """recall: the first symbol decides the answer. adding: the sum of two marked numbers. copying: 10 symbols."""
    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells by name, or one's own as path/to/file.py:ClassName."""
    lengths: tuple[int, ...] | None = None
    """Steps (None: recall 10 to 1000, adding 10 to 200, copying 10 to 50)."""
    seeds: int = 3
    """Runs of each cell at each length."""
    first_seed: int = 0
    """Seed of the first of them."""
    updates: int | None = None
    """Most updates of a run; it stops when it has solved its task (None: recall 600, adding 1000, copying 3000)."""
    batch_size: int = 32
    """New sequences in an update."""
    num_hiddens: int = 32
    """Hidden units."""
    lr: float = 1e-2
    """Learning rate of Adam; docs/memory.md tells how it was chosen."""
    clip: float = 1.0
    """Largest norm that all gradients together may have; inf: any."""
    weights: Literal["orthogonal", "torch"] = "orthogonal"
    """Initial weights. orthogonal: recurrent blocks orthogonal, others Glorot's, biases 0. torch: as torch.nn's."""
    gate_bias: Literal["chrono", "one", "zero"] = "chrono"
    """Initial bias of the gate that keeps the state. chrono: log of U(1, length); one: 1; zero: as weights left it."""
    quick: bool = False
    """A first look: lengths 10, 50 and 200 and at most 300 updates, where these options are not given."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/memory-TASK, with a number added if that is taken)."""


def main() -> int:
    config = tyro.cli(MemoryConfig)
    lengths, updates = PRESETS[config.task]
    if config.quick:
        lengths, updates = QUICK
    lengths = lengths if config.lengths is None else config.lengths
    options = MemoryOptions(
        updates=updates if config.updates is None else config.updates,
        batch_size=config.batch_size,
        num_hiddens=config.num_hiddens,
        lr=config.lr,
        clip=config.clip,
        weights=config.weights,
        gate_bias=config.gate_bias,
    )
    options.validate()
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    check_study(config.task, config.cells, lengths, seeds)
    folder = claim_folder(config.out, f"memory-{config.task}")
    torch.set_num_threads(1)  # the matrices are small: a second thread costs more than it gains
    settings = (
        f"{options.num_hiddens} units, at most {options.updates} updates of {options.batch_size}, Adam {options.lr:g}, "
        f"clip {options.clip:g}, weights {options.weights}, gate bias {options.gate_bias}"
    )
    print(f"{config.task}: {settings}", flush=True)
    spans: list[Span] = []
    name = f"memory-{config.task}"
    total = len(set(lengths)) * len(dict.fromkeys(config.cells)) * len(seeds) * options.updates
    try:
        with tqdm(total=total, unit="update", disable=None) as bar:
            for span in measure_spans(config.task, config.cells, lengths, seeds, options, bar.update):
                spans.append(span)
                bar.set_postfix_str(f"{span.cell} at {span.length}: {span.accuracy:.0%}", refresh=False)
                save_study(folder, name, numbers(config.task, options, spans), {})  # what ends a long study leaves this
    finally:
        if spans:
            summaries = summarise(spans)
            picture = draw_spans(config.task, summaries, settings)
            paths = save_study(folder, name, numbers(config.task, options, spans), {name: picture})
            print(table(summaries))
            print("accuracy on new sequences: median (lowest to highest), seeds solved within the budget")
            print(f"{sum(s.seconds for s in spans):.0f} s of processor time; wrote {', '.join(map(str, paths))}")
        else:
            folder.rmdir()
    return 0


def numbers(task: str, options: MemoryOptions, spans: list[Span]) -> dict[str, object]:
    return {"task": task, "options": options, "summary": summarise(spans), "runs": spans}


if __name__ == "__main__":
    run_command(main)
