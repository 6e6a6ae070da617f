"""The options of the study of gradient flow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gru_scratch.studies.study_options import check_counts, check_fits, check_rate


@dataclass(frozen=True)
class GradientOptions:
    """What all runs of a study share."""

    span: int = 500
    """The longest k, in steps."""
    looks: tuple[int, ...] = (0, 100, 300, 1000)
    """Updates after which the flow is measured; the last one ends the run."""
    sequences: int = 2
    """Pieces of the text, not trained on where it is long enough, that a look measures."""
    num_hiddens: int = 64
    """Hidden units."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Characters of a sequence, through which gradients flow in training."""
    lr: float = 2.0
    """Learning rate of stochastic gradient descent: twice the book's, so that clipping has something to do."""
    clip: float = 1.0
    """Largest norm that all gradients together may have, in the runs that are clipped."""

    def __post_init__(self) -> None:
        """Raise ValueError, in one sentence, for the first option that no run can use."""
        check_counts(self, "span", "sequences", "num_hiddens", "batch_size", "num_steps")
        check_fits(self, "batch_size", "num_steps", states=self.batch_size * self.num_steps)
        looked_at = 2 * self.sequences * (self.span + self.num_hiddens)  # float64: states, and the product of Jacobians
        check_fits(self, "sequences", "span", states=looked_at)
        if not self.looks or min(self.looks) < 0 or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks must be updates from 0 on, each later than the last, received {list(self.looks)}")
        check_rate(self.lr)
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise ValueError(f"clip must be a finite number above 0, received {self.clip}")


@dataclass(frozen=True)
class GradientArguments(GradientOptions):
    """Measure gradient flow before and during training on a text, with and without clipping, and draw it."""

    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells by name, or one's own as path/to/file.py:ClassName."""
    seeds: int = 3
    """Runs of each cell, from seeds 0, 1, ..."""
    text: Annotated[Path | tuple[Path, ...] | None, tyro.conf.arg(metavar="PATH [PATH ...]")] = None
    """Text to learn, in UTF-8: a file, or several; a folder is its .txt and .abc files (None: The Time Machine)."""
    max_tokens: int = 10_000
    """Train on this many characters from the start of the text."""
    quick: bool = False
    """A first look: one seed, and updates 0, 100 and 200, whatever the options say."""
    threads: int = 1
    """Threads of the processor; the matrices are small, so that a second one seldom gains anything."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/gradients, with a number added if that is taken)."""

    def __post_init__(self) -> None:
        """Nothing: see `part_of`."""
