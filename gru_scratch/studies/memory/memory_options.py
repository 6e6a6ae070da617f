"""The options of the memory study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from gru_scratch.studies.study_options import check_clip, check_counts, check_fits, check_rate


class Preset(NamedTuple):
    """What a task is studied with unless options say otherwise."""

    lengths: tuple[int, ...]
    updates: int


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "recall": Preset((10, 20, 50, 100, 200, 500, 1000), 600),
        "adding": Preset((10, 20, 50, 100, 200), 1000),
        "copying": Preset((10, 20, 50), 3000),
    }
)
QUICK = Preset((10, 50, 200), 300)


@dataclass(frozen=True)
class MemoryOptions:
    """What all runs of a study share."""

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

    def __post_init__(self) -> None:
        """Raise ValueError, in one sentence, for the first option that no run can use."""
        if self.updates is not None:
            check_counts(self, "updates")
        check_counts(self, "batch_size", "num_hiddens")
        check_fits(self, "batch_size", states=self.batch_size)
        check_rate(self.lr)
        check_clip(self.clip)


@dataclass(frozen=True)
class MemoryArguments(MemoryOptions):
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
    quick: bool = False
    """A first look: lengths 10, 50 and 200 and at most 300 updates, where these options are not given."""
    threads: int = 1
    """Threads of the processor; the matrices are small, so that a second one seldom gains anything."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/memory-TASK, with a number added if that is taken)."""

    def __post_init__(self) -> None:
        """Nothing: see `part_of`."""

    @property
    def preset(self) -> Preset:
        """What is taken where lengths and updates are not given."""
        return QUICK if self.quick else PRESETS[self.task]
