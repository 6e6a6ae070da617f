"""The options of the forecasting study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from gru_scratch.studies.study_options import check_clip, check_counts, check_fits, check_rate
from gru_scratch.training.options import Otherwise


@dataclass(frozen=True)
class ForecastOptions:
    """The options that all runs of a study share."""

    order: int = 32
    """Past values that a forecast reads."""
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
    """Norm to which all gradients together are clipped; inf is not at all."""

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid option."""
        check_counts(self, "order", "horizon", "updates", "batch_size", "num_hiddens")
        check_fits(self, "batch_size", "order", states=self.batch_size * self.order)
        check_rate(self.lr)
        check_clip(self.clip)


@dataclass(frozen=True)
class ForecastArguments(ForecastOptions):
    """Forecast a series; compare with persistence and a linear autoregression."""

    series: Literal["mackey-glass", "noisy-sine"] = "mackey-glass"
    """Series to generate: mackey-glass, chaotic without noise, or noisy-sine, the book's sin(0.01 t) + 0.2 N(0, 1)."""
    length: int = 2000
    """Values to generate."""
    csv: Annotated[Path | None, Otherwise("none")] = None
    """CSV file with the series, to read instead; its first row names the columns, its rows are in the order of time."""
    column: Annotated[str | None, Otherwise("none")] = None
    """Name of the column of --csv that is the series."""
    delimiter: str = ","
    """Character between the columns of --csv."""
    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells by name, or your own as path/to/file.py:ClassName."""
    seeds: int = 3
    """Runs of each cell, from seeds 0, 1, ..."""
    quick: bool = False
    """A first look: 200 updates, whatever --updates says."""
    save_series: Annotated[Path | None, Otherwise("none")] = None
    """New CSV file to write the series to, with the columns step and value."""
    threads: int = 1
    """Threads of the processor; a second one seldom helps, as the matrices are small."""
    out: Annotated[Path | None, Otherwise("runs/forecast, numbered where that is taken")] = None
    """Folder to write, new or empty."""

    def __post_init__(self) -> None:
        """Check nothing: see `part_of`."""
