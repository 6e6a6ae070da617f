"""Many-to-one regression: the last state of a recurrent layer → the next value of a series."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gru_scratch.cells import Cell, resolve_cell
from gru_scratch.layers import Recurrent
from gru_scratch.layers.initial import initialise_layer
from gru_scratch.studies.forecast.forecast_options import ForecastOptions
from gru_scratch.studies.forecast.series import (
    Division,
    Forecast,
    Scaling,
    divide,
    free_run,
    linear_autoregression,
    persistence,
    windows,
)

LOOK_EVERY = 50
"""Updates between two looks at the validation part."""
ORIGINS = 200
"""Free-running forecasts that start from evenly spread points of the test part, at most."""


@dataclass(frozen=True)
class Errors:
    """How one forecaster did on the test part; root mean squared errors in the units of the series."""

    name: str
    seed: int | None
    parameters: int
    one_step: float
    """Over every value of the test part."""
    by_horizon: tuple[float, ...]
    """Free-running, 1, 2, ... steps ahead, over the same starting points for all."""
    one_step_values: tuple[float, ...]
    """The forecasts of every value of the test part."""
    free_values: tuple[float, ...]
    """The free run from the start of the test part."""


@dataclass(frozen=True)
class ForecastStudy:
    """A series, how it was divided and scaled, and the errors of all forecasts of it."""

    values: tuple[float, ...]
    division: Division
    scaling: Scaling
    origins: int
    """Starting points of the free runs that ``Errors.by_horizon`` is over."""
    errors: tuple[Errors, ...]


class LastStateModel(nn.Module):
    """The last output of a recurrent layer, then one linear layer: (B, T, features) → (B, features)."""

    def __init__(self, cell: type[Cell], num_hiddens: int, features: int = 1) -> None:
        super().__init__()
        self.layer = Recurrent(cell, features, num_hiddens, batch_first=True)
        self.head = nn.Linear(num_hiddens, features)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs, _ = self.layer(inputs)
        value: Tensor = self.head(outputs[:, -1])
        return value


def study_series(
    values: Tensor,
    cells: tuple[str, ...],
    seeds: int,
    options: ForecastOptions,
    progress: Callable[[int], object] = lambda updates: None,
) -> ForecastStudy:
    """Fit persistence, a linear autoregression and every cell from every seed, and test them on the last part.

    Arguments and errors are those of :func:`measure_series`.
    """
    *_, study = measure_series(values, cells, seeds, options, progress)
    return study


def measure_series(
    values: Tensor,
    cells: tuple[str, ...],
    seeds: int,
    options: ForecastOptions,
    progress: Callable[[int], object] = lambda updates: None,
) -> Iterator[ForecastStudy]:
    """:func:`study_series` run by run: after each one the study of all runs so far.

    All see the same ``order`` values. Scaling, autoregression and networks are fitted on the training part; the
    validation part chooses the update whose network is kept. ``progress`` is called with the number of updates done.

    Raises:
        ValueError, FileNotFoundError: values (N,) that are too few or all the same; an unknown cell; no seeds.
    """
    check_runs(cells, seeds)
    kinds = {name: resolve_cell(name) for name in cells}
    division = divide(len(values), options.order, options.horizon)
    scaling = Scaling.fit(values[: division.train])
    scaled = scaling.scale(values).float()
    fit = windows(scaled, options.order, options.order, division.train)
    choose = windows(scaled, options.order, division.train, division.validation)
    linear = linear_autoregression(*fit)
    origins = len(starting_points(division, options.horizon))
    errors = [
        measure("persistence", None, 0, persistence, scaled, division, scaling, options.horizon, options.order),
        measure("linear", None, options.order + 1, linear, scaled, division, scaling, options.horizon, options.order),
    ]
    for name, kind in kinds.items():
        for seed in range(seeds):
            model = train(kind, seed, fit, choose, options, progress)
            size = sum(p.numel() for p in model.parameters())
            forecast = forecaster(model)
            errors.append(
                measure(name, seed, size, forecast, scaled, division, scaling, options.horizon, options.order)
            )
            yield ForecastStudy(tuple(values.tolist()), division, scaling, origins, tuple(errors))


def check_runs(cells: tuple[str, ...], seeds: int) -> None:
    """Raise ValueError or FileNotFoundError, in one sentence, for an unknown cell, no cell or no seed."""
    if not cells or seeds < 1:
        raise ValueError(f"expected at least one cell and one seed, received {len(cells)} and {seeds}")
    for cell in cells:
        resolve_cell(cell)


def train(
    cell: type[Cell],
    seed: int,
    fit: tuple[Tensor, Tensor],
    choose: tuple[Tensor, Tensor],
    options: ForecastOptions,
    progress: Callable[[int], object] = lambda updates: None,
) -> LastStateModel:
    """Train with Adam on random windows of ``fit``; return the model as it was when it forecast ``choose`` best."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LastStateModel(cell, options.num_hiddens)
        initialise_layer(model.layer, "orthogonal", "one", options.order)
    inputs, targets = fit
    optimiser = torch.optim.Adam(model.parameters(), options.lr)
    generator = torch.Generator().manual_seed(seed)
    best, kept = math.inf, copy.deepcopy(model.state_dict())
    for update in range(1, options.updates + 1):
        rows = torch.randint(len(inputs), (options.batch_size,), generator=generator)
        optimiser.zero_grad()
        F.mse_loss(model(inputs[rows].unsqueeze(-1)).squeeze(-1), targets[rows]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        optimiser.step()
        progress(1)
        if update % LOOK_EVERY == 0 or update == options.updates:
            error = float(F.mse_loss(forecaster(model)(choose[0]), choose[1]))
            if error < best:
                best, kept = error, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model


def forecaster(model: LastStateModel) -> Forecast:
    """The model as a function of windows (B, p)."""

    @torch.no_grad()
    def forecast(window: Tensor) -> Tensor:
        value: Tensor = model(window.unsqueeze(-1)).squeeze(-1)
        return value

    return forecast


def starting_points(division: Division, horizon: int) -> list[int]:
    """First values of free runs that end within the test part, evenly spread."""
    room = division.length - horizon - division.validation
    count = min(ORIGINS, room + 1)
    return [division.validation + round(room * i / max(count - 1, 1)) for i in range(count)]


def measure(
    name: str,
    seed: int | None,
    parameters: int,
    forecast: Forecast,
    scaled: Tensor,
    division: Division,
    scaling: Scaling,
    horizon: int,
    order: int,
) -> Errors:
    """One forecaster on the test part: one step ahead everywhere, and free-running from the starting points."""
    inputs, targets = windows(scaled, order, division.validation, division.length)
    ahead = forecast(inputs)
    starts = torch.tensor(starting_points(division, horizon))
    runs = free_run(forecast, inputs[starts - division.validation], horizon)  # (origins, horizon)
    truth = torch.stack([scaled[start : start + horizon] for start in starts.tolist()])
    by_horizon = scaling.deviation * (runs - truth).double().square().mean(0).sqrt()
    return Errors(
        name,
        seed,
        parameters,
        scaling.deviation * float((ahead - targets).double().square().mean().sqrt()),
        tuple(by_horizon.tolist()),
        tuple(scaling.unscale(ahead.double()).tolist()),
        tuple(scaling.unscale(runs[0].double()).tolist()),
    )
