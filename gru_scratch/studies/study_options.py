"""What the options of all studies share: their checks, and the way from a command line to a study."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, TypeVar

from gru_scratch.training.hardware import check_memory
from gru_scratch.training.options import MOST_THREADS

MOST_SEEDS = 10_000
Options = TypeVar("Options")


def part_of(command: Any, kind: type[Options], **changes: Any) -> Options:
    """The options of a study, taken from those of its command, some of them changed.

    A command's dataclass inherits the options of its study, but not their checks: what these raise the parser would
    print as an error of its own. Here the study's options are made, and so checked.
    """
    return kind(**{field.name: getattr(command, field.name) for field in fields(kind)} | changes)  # type: ignore[arg-type]


def check_counts(options: Any, *names: str) -> None:
    """Raise ValueError for the first of these options that is below 1."""
    for name in names:
        if getattr(options, name) < 1:
            raise ValueError(f"{name} must be at least 1, received {getattr(options, name)}")


def check_threads(threads: int) -> None:
    """Raise ValueError for a number of threads that no machine can start."""
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads must be at least 1 and at most {MOST_THREADS}, received {threads}")


def check_seeds(seeds: int) -> None:
    """Raise ValueError for more runs than a study can list."""
    if seeds > MOST_SEEDS:
        raise ValueError(f"seeds must be at most {MOST_SEEDS:,}, received {seeds:,}")


def check_fits(options: Any, *names: str, states: int) -> None:
    """Raise ValueError where these options make a study larger than this machine's memory.

    Args:
        states: hidden states that are kept at once; beside them are the recurrent weights and their gradients.
    """
    H = options.num_hiddens
    sizes = ", ".join(f"{name} {getattr(options, name):,}" for name in ("num_hiddens", *names))
    check_memory(f"a study with {sizes}", 4 * H * (2 * H + states))


def check_rate(lr: float) -> None:
    """Raise ValueError for a learning rate that is not a finite number above 0."""
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a finite number above 0, received {lr}")


def check_clip(clip: float) -> None:
    """Raise ValueError for a bound on a norm that is not above 0; infinity means no clipping."""
    if not clip > 0:
        raise ValueError(f"clip must be a number above 0 (inf: none), received {clip}")
