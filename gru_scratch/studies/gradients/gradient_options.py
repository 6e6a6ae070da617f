"""The options of the study of gradient flow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gru_scratch.studies.study_options import check_counts, check_fits, check_rate
from gru_scratch.training.options import Otherwise


@dataclass(frozen=True)
class GradientOptions:
    """The options that all runs of a study share."""

    span: int = 500
    """Longest distance k, in steps."""
    looks: tuple[int, ...] = (0, 100, 300, 1000)
    """Numbers of updates after which gradient flow is measured; the last one ends the run."""
    sequences: int = 2
    """Pieces of text to measure on, not trained on if the text is long enough."""
    num_hiddens: int = 64
    """Hidden units."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Characters of a sequence, through which gradients flow in training."""
    lr: float = 2.0
    """Learning rate of stochastic gradient descent; the default is twice the book's, so that clipping has an effect."""
    clip: float = 1.0
    """Norm to which all gradients together are clipped, in the runs with clipping."""

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid option."""
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
    """Measure gradient flow before and during training, with and without clipping."""

    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells by name, or your own as path/to/file.py:ClassName."""
    seeds: int = 3
    """Runs of each cell, from seeds 0, 1, ..."""
    text: Annotated[
        Path | tuple[Path, ...] | None, tyro.conf.arg(metavar="PATH [PATH ...]"), Otherwise("The Time Machine")
    ] = None
    """Text to learn, in UTF-8: a file, or several; a folder is its .txt and .abc files."""
    max_tokens: int = 10_000
    """Train on this many characters from the start of the text."""
    quick: bool = False
    """A first look: one seed, and updates 0, 100 and 200, whatever the options say."""
    threads: int = 1
    """Threads of the processor; a second one seldom helps, as the matrices are small."""
    out: Annotated[Path | None, Otherwise("runs/gradients, numbered where that is taken")] = None
    """Folder to write, new or empty."""

    def __post_init__(self) -> None:
        """Check nothing: see `part_of`."""
