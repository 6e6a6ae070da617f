"""The options of the forecasting study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gru_scratch.studies.study_options import check_clip, check_counts, check_fits, check_rate


@dataclass(frozen=True)
class ForecastOptions:
    """What all runs of a study share."""

    order: int = 32
    """Values that a forecast looks back at."""
    horizon: int = 100
    """Steps of a free run, which reads its own forecasts."""
    updates: int = 1500
    """Updates of a run."""
    batch_size: int = 64
    """Windows in an update."""
    num_hiddens: int = 32
    """Hidden units."""
    lr: float = 3e-3
    """Learning rate of Adam."""
    clip: float = 1.0
    """Largest norm that all gradients together may have; inf: any."""

    def __post_init__(self) -> None:
        """Raise ValueError, in one sentence, for the first option that no run can use."""
        check_counts(self, "order", "horizon", "updates", "batch_size", "num_hiddens")
        check_fits(self, "batch_size", "order", states=self.batch_size * self.order)
        check_rate(self.lr)
        check_clip(self.clip)


@dataclass(frozen=True)
class ForecastArguments(ForecastOptions):
    """Train cells to say the next value of a series; compare with persistence and a linear autoregression."""

    series: Literal["mackey-glass", "noisy-sine"] = "mackey-glass"
    """Series to generate. mackey-glass: chaotic, without noise. noisy-sine: the book's, sin(0.01 t) + 0.2 N(0, 1)."""
    length: int = 2000
    """Values to generate."""
    csv: Path | None = None
    """CSV file to read a column of instead; its first row names the columns, its rows are in the order of time."""
    column: str | None = None
    """Name of that column."""
    delimiter: str = ","
    """What stands between the columns."""
    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells by name, or one's own as path/to/file.py:ClassName."""
    seeds: int = 3
    """Runs of each cell, from seeds 0, 1, ..."""
    quick: bool = False
    """A first look: 200 updates, whatever the option says."""
    save_series: Path | None = None
    """New CSV file to write the series into, as columns step and value."""
    threads: int = 1
    """Threads of the processor; the matrices are small, so that a second one seldom gains anything."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/forecast, with a number added if that is taken)."""

    def __post_init__(self) -> None:
        """Nothing: see `part_of`."""
