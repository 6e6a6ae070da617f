"""Forecast a series with recurrent networks, and see whether they beat a linear model."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from gru_scratch.studies.forecast.csv_column import read_column
from gru_scratch.studies.forecast.draw_series import draw_forecasts, table
from gru_scratch.studies.forecast.forecast_options import ForecastArguments, ForecastOptions
from gru_scratch.studies.forecast.regression import ForecastStudy, check_runs, measure_series
from gru_scratch.studies.forecast.series import GENERATED, divide
from gru_scratch.studies.results import claim_folder, save_study
from gru_scratch.studies.study_options import check_seeds, check_threads, part_of
from gru_scratch.text.files import write_atomically
from gru_scratch.training.threads import limit_threads


def main(given: ForecastArguments) -> int:
    check_threads(given.threads)
    check_seeds(given.seeds)
    options = part_of(given, ForecastOptions, **{"updates": 200} if given.quick else {})
    cells = tuple(dict.fromkeys(given.cells))
    check_runs(cells, given.seeds)
    values, name = read(given)
    divide(len(values), options.order, options.horizon)
    if given.save_series is not None:
        save_series(given.save_series, values)
    folder = claim_folder(given.out, "forecast")
    limit_threads(given.threads)
    study: ForecastStudy | None = None
    try:
        with tqdm(total=len(cells) * given.seeds * options.updates, unit="update", disable=None) as bar:
            for study in measure_series(values, cells, given.seeds, options, bar.update):
                save_study(folder, "forecast", numbers(name, options, study), {})  # what ends a long study leaves this
    finally:
        if study is None:
            folder.rmdir()
        else:
            keep(folder, name, options, study)
    return 0


def numbers(name: str, options: ForecastOptions, study: ForecastStudy) -> dict[str, object]:
    return {"series": name, "options": options, "study": study}


def keep(folder: Path, name: str, options: ForecastOptions, study: ForecastStudy) -> None:
    """Write the study and its picture, and print its table."""
    values = study.values
    title = f"{name}: {len(values):,} values, the last {len(values) - study.division.validation:,} to test on"
    paths = save_study(folder, "forecast", numbers(name, options, study), {"forecast": draw_forecasts(study, title)})
    print(f"{title}; order {options.order}; standard deviation of the training part {study.scaling.deviation:.3g}")
    print(table(study))
    print(f"root mean squared error in the units of the series; more than one step ahead: {study.origins} free runs")
    print(f"wrote {', '.join(map(str, paths))}")


def read(given: ForecastArguments) -> tuple[Tensor, str]:
    """The series and its name."""
    if given.csv is not None:
        if given.column is None:
            raise ValueError(f"--csv needs --column: which column of {given.csv} is the series?")
        for name in ("series", "length"):
            if getattr(given, name) != getattr(ForecastArguments, name):
                raise ValueError(f"--{name} is of a series to generate: it has no effect with --csv {given.csv}")
        return read_column(given.csv, given.column, given.delimiter), f"{given.csv.name}, {given.column}"
    if given.column is not None:
        raise ValueError(f"--column {given.column} needs --csv: which file has that column?")
    if given.delimiter != ForecastArguments.delimiter:
        raise ValueError(f"--delimiter {given.delimiter!r} needs --csv: which file has it between its columns?")
    if given.length < 1:
        raise ValueError(f"length must be at least 1, received {given.length}")
    return GENERATED[given.series](given.length, 0), given.series


def save_series(path: Path, values: Tensor) -> None:
    if path.exists():
        raise ValueError(f"{path} is there already: give --save-series a new file")
    text = io.StringIO()
    csv.writer(text).writerows([("step", "value"), *enumerate(values.tolist())])
    write_atomically(path, text.getvalue().encode())
