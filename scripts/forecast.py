"""Forecast a series with recurrent networks, and see whether they beat a straight line.

python scripts/forecast.py --quick
python scripts/forecast.py --csv prices.csv --column close
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from _command import run_command
from torch import Tensor
from tqdm import tqdm

from gru_scratch.studies.forecast.csv_column import read_column
from gru_scratch.studies.forecast.draw_series import draw_forecasts, table
from gru_scratch.studies.forecast.regression import ForecastOptions, check_runs, study_series
from gru_scratch.studies.results import claim_folder, save_study
from gru_scratch.studies.forecast.series import GENERATED, divide
from gru_scratch.training.checkpoint import write_atomically


@dataclass(frozen=True)
class ForecastConfig:
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
    order: int = 32
    """Values that a forecast looks back at."""
    horizon: int = 100
    """Steps of a free run, which reads its own forecasts."""
    seeds: int = 3
    """Runs of each cell, from seeds 0, 1, ..."""
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
    quick: bool = False
    """A first look: 200 updates, whatever the option says."""
    save_series: Path | None = None
    """New CSV file to write the series into, as columns step and value."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/forecast, with a number added if that is taken)."""


def main() -> int:
    config = tyro.cli(ForecastConfig)
    options = ForecastOptions(
        order=config.order,
        horizon=config.horizon,
        updates=200 if config.quick else config.updates,
        batch_size=config.batch_size,
        num_hiddens=config.num_hiddens,
        lr=config.lr,
        clip=config.clip,
    )
    options.validate()
    cells = tuple(dict.fromkeys(config.cells))
    check_runs(cells, config.seeds)
    values, name = read(config)
    divide(len(values), options.order, options.horizon)
    if config.save_series is not None:
        save_series(config.save_series, values)
    folder = claim_folder(config.out, "forecast")
    torch.set_num_threads(1)  # the matrices are small: a second thread costs more than it gains
    try:
        with tqdm(total=len(cells) * config.seeds * options.updates, unit="update", disable=None) as bar:
            study = study_series(values, cells, config.seeds, options, bar.update)
    except BaseException:
        folder.rmdir()
        raise
    title = f"{name}: {len(values):,} values, the last {len(values) - study.division.validation:,} to test on"
    paths = save_study(
        folder,
        "forecast",
        {"series": name, "options": options, "study": study},
        {"forecast": draw_forecasts(study, title)},
    )
    print(f"{title}; order {options.order}; standard deviation of the training part {study.scaling.deviation:.3g}")
    print(table(study))
    print(f"root mean squared error in the units of the series; more than one step ahead: {study.origins} free runs")
    print(f"wrote {', '.join(map(str, paths))}")
    return 0


def read(config: ForecastConfig) -> tuple[Tensor, str]:
    """The series and its name."""
    if config.csv is not None:
        if config.column is None:
            raise ValueError(f"--csv needs --column: which column of {config.csv} is the series?")
        return read_column(config.csv, config.column, config.delimiter), f"{config.csv.name}, {config.column}"
    if config.column is not None:
        raise ValueError(f"--column {config.column} needs --csv: which file has that column?")
    if config.length < 1:
        raise ValueError(f"length must be at least 1, received {config.length}")
    return GENERATED[config.series](config.length, 0), config.series


def save_series(path: Path, values: Tensor) -> None:
    if path.exists():
        raise ValueError(f"{path} is there already: give --save-series a new file")
    text = io.StringIO()
    csv.writer(text).writerows([("step", "value"), *enumerate(values.tolist())])
    write_atomically(path, text.getvalue().encode())


if __name__ == "__main__":
    run_command(main)
