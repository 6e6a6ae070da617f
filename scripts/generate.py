"""Continue a prefix with a trained model.

python scripts/generate.py runs/gru-fused --prefix "time traveller" --length 200
python scripts/generate.py runs/gru-fused --temperature 0.8 --top-p 0.9 --n 3 --seed 1
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from _command import as_typed, run_command

from gru_scratch.generate.continuation import clean_prefix, streams
from gru_scratch.training.build import pick_device
from gru_scratch.training.folder import load_run

RULE = "-" * 20
"""Printed between samples."""


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a prefix with the model of a run folder, character after character (or word, or byte, as it learnt)."""

    run: tyro.conf.Positional[Path]
    """Run folder that scripts/train.py wrote."""
    prefix: str = "time traveller"
    """What to continue; cleaned as the text of the run was."""
    length: int = 200
    """Characters (words, bytes) to add."""
    temperature: float | None = None
    """0 takes the likeliest character each time, as the book does; 1 draws as the model's probabilities say; between
    them the likelier ones more often (None: 1 where an option below asks for samples, else 0)."""
    top_k: int | None = None
    """Draw from this many characters only, the likeliest."""
    top_p: float | None = None
    """Draw from the fewest characters only whose probabilities add up to this."""
    n: int = 1
    """Samples to draw, in one batch."""
    seed: int | None = None
    """Draw the same samples again for the same seed (None: others each time)."""
    best: bool = False
    """Take the parameters of the lowest held-out loss, not those of the end."""
    cell: str | None = None
    """Where the file of a cell of your own is now, as path/to/file.py:ClassName (None: where it was in training)."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""


def main() -> int:
    config = tyro.cli(GenerateConfig)
    device = pick_device(config.device)
    run = load_run(config.run, device, cell=config.cell, best=config.best)
    prefix = as_typed(config.prefix)
    if run.cleaning == "book":
        prefix = clean_prefix(prefix)
    if config.prefix and not prefix:
        raise ValueError(
            f"nothing is left of the prefix {config.prefix!r} after cleaning: it has no letter from a to z"
        )
    rows = streams(
        run.model,
        run.vocab,
        prefix,
        config.length,
        device,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        n=config.n,
        seed=config.seed,
        kind=run.config.tokens,
    )
    show(rows)
    return 0


def show(rows: Iterator[list[str]]) -> None:
    """Print the first sample as it comes, then the others, which have come with it."""
    others = []
    for first, *rest in rows:
        print(first, end="", flush=True)
        others.append(rest)
    print()
    for pieces in zip(*others, strict=True):
        print(RULE)
        print("".join(pieces))


if __name__ == "__main__":
    run_command(main)
