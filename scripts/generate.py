"""Continue a prefix with a trained model.

python scripts/generate.py runs/gru-textbook --prefix "time traveller" --length 200
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from _command import run_command

from gru_scratch.generate import clean_prefix, generate
from gru_scratch.training.build import pick_device
from gru_scratch.training.folder import load_run


@dataclass(frozen=True)
class GenerateConfig:
    """Continue a prefix with the model of a run folder, one likeliest character after another."""

    run: tyro.conf.Positional[Path]
    """Run folder that scripts/train.py wrote."""
    prefix: str = "time traveller"
    """What to continue; cleaned as the text of the run was."""
    length: int = 200
    """Characters to add."""
    cell: str | None = None
    """Where the file of a cell of your own is now, as path/to/file.py:ClassName (None: where it was in training)."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""


def main() -> int:
    config = tyro.cli(GenerateConfig)
    device = pick_device(config.device)
    run = load_run(config.run, device, cell=config.cell)
    prefix = clean_prefix(config.prefix) if run.cleaning == "book" else config.prefix
    if config.prefix and not prefix:
        raise ValueError(
            f"nothing is left of the prefix {config.prefix!r} after cleaning: it has no letter from a to z"
        )
    print(generate(run.model, run.vocab, prefix, config.length, device, kind=run.config.tokens))
    return 0


if __name__ == "__main__":
    run_command(main)
