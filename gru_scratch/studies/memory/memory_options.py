"""The options of the memory study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

from gru_scratch.studies.study_options import check_clip, check_counts, check_fits, check_rate
from gru_scratch.training.options import Otherwise


class Preset(NamedTuple):
    """The defaults of a task."""

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
    """The options that all runs of a study share."""

    updates: Annotated[int | None, Otherwise("recall 600, adding 1000, copying 3000")] = None
    """Updates of a run at most; it ends earlier once it has solved its task."""
    batch_size: int = 32
    """New sequences in an update."""
    num_hiddens: int = 32
    """Hidden units."""
    lr: float = 1e-2
    """Learning rate of Adam; docs/memory.md says how it was chosen."""
    clip: float = 1.0
    """Norm to which all gradients together are clipped; inf is not at all."""
    weights: Literal["orthogonal", "torch"] = "orthogonal"
    """Initial weights: with orthogonal, recurrent blocks are orthogonal, others Glorot-uniform and biases 0; torch is
    as in torch.nn."""
    gate_bias: Literal["chrono", "one", "zero"] = "chrono"
    """Initial bias of the gate that keeps the state: chrono is log(u), u from U(1, length); one is 1; zero is that of
    --weights."""

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid option."""
        if self.updates is not None:
            check_counts(self, "updates")
        check_counts(self, "batch_size", "num_hiddens")
        check_fits(self, "batch_size", states=self.batch_size)
        check_rate(self.lr)
        check_clip(self.clip)


@dataclass(frozen=True)
class MemoryArguments(MemoryOptions):
    """Measure how far back a cell remembers, on a task at several lengths."""

    task: Literal["recall", "adding", "copying"] = "recall"
    """In recall the first symbol is the answer; in adding it is the sum of two marked numbers; in copying it is the 10
    symbols at the start."""
    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells by name, or your own as path/to/file.py:ClassName."""
    lengths: Annotated[tuple[int, ...] | None, Otherwise("recall 10 to 1000, adding 10 to 200, copying 10 to 50")] = (
        None
    )
    """Lengths of the sequences, in steps."""
    seeds: int = 3
    """Runs of each cell at each length."""
    first_seed: int = 0
    """Seed of the first of these runs."""
    quick: bool = False
    """A first look: the defaults are lengths 10, 50 and 200 and 300 updates."""
    threads: int = 1
    """Threads of the processor; a second one seldom helps, as the matrices are small."""
    out: Annotated[Path | None, Otherwise("runs/memory-TASK, numbered where that is taken")] = None
    """Folder to write, new or empty."""

    def __post_init__(self) -> None:
        """Check nothing: see `part_of`."""

    @property
    def preset(self) -> Preset:
        """The lengths and updates that hold by default."""
        return QUICK if self.quick else PRESETS[self.task]
