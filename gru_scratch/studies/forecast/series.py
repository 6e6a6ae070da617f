"""Series to forecast: generated ones, their division in time, and the simple forecasts that a network has to beat.

Legend: ``N`` steps of a series, ``B`` windows, ``p`` order: the values before that a forecast looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from gru_scratch.training.hardware import check_memory

Forecast = Callable[[Tensor], Tensor]
"""Windows of scaled values (B, p), the latest last → the value after each, (B,)."""


def noisy_sine(length: int, seed: int) -> Tensor:
    """sin(0.01 t) + 0.2 ε, ε ~ N(0, 1), for t = 1, 2, ...: the series of the book's section 8.1. (N,)"""
    _check_length(length, 3 * 8)
    t = torch.arange(1, length + 1, dtype=torch.float64)
    noise = torch.randn(length, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.sin(0.01 * t) + 0.2 * noise


def mackey_glass(length: int, seed: int) -> Tensor:
    """dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, a value for each unit of time (Mackey and Glass, 1977). (N,)

    Chaotic and free of noise. Ten Euler steps a unit, from 1.2 ± 0.1 for t <= 0; the first 300 units are left out.
    """
    fine, delay, skipped = 10, 170, 300
    _check_length(length, fine * 32)
    start = 1.2 + 0.2 * (torch.rand(1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).item() - 0.5)
    x = [start] * (delay + 1)
    for _ in range(fine * (length + skipped)):
        late = x[-delay - 1]
        x.append(x[-1] + (0.2 * late / (1 + late**10) - 0.1 * x[-1]) / fine)
    return torch.tensor(x[delay + 1 :: fine][skipped : skipped + length], dtype=torch.float64)


def _check_length(length: int, of_value: int) -> None:
    """ValueError where a series, with so many bytes for a value, is larger than this machine's memory."""
    check_memory(f"a series of {length:,} values", of_value * length)


GENERATED: Mapping[str, Callable[[int, int], Tensor]] = MappingProxyType(
    {"mackey-glass": mackey_glass, "noisy-sine": noisy_sine}
)


@dataclass(frozen=True)
class Division:
    """A series cut in time order: [0, train), [train, validation), [validation, length)."""

    train: int
    validation: int
    length: int


def divide(length: int, order: int, horizon: int) -> Division:
    """The first 60 % to train on, 20 % to choose the best update by, the last 20 % to test on.

    Raises:
        ValueError: a part is too short for a window of ``order`` values and a forecast of ``horizon`` steps.
    """
    division = Division(round(0.6 * length), round(0.8 * length), length)
    shortest = min(division.train - order, division.validation - division.train, length - division.validation)
    if shortest < horizon + 1 or division.train < 2 * order + 2:
        raise ValueError(
            f"the series is too short: it has {length} values, and order {order} with horizon {horizon} needs "
            f"at least {shortest_length(order, horizon)}"
        )
    return division


def shortest_length(order: int, horizon: int) -> int:
    """The least number of values that :func:`divide` surely takes."""
    return max(5 * (horizon + 1) + 5, -(-10 * max(2 * order + 2, order + horizon + 1) // 6) + 2)


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / deviation."""

    mean: float
    deviation: float

    @classmethod
    def fit(cls, values: Tensor) -> Scaling:
        """Mean and standard deviation of the values; ValueError where they are all the same."""
        deviation, mean = (float(x) for x in torch.std_mean(values))
        if not deviation > 1e-12 * max(1.0, abs(mean)):
            raise ValueError(
                f"all {len(values)} values to train on are {float(values[0]):g}: there is nothing to learn"
            )
        return cls(mean, deviation)

    def scale(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation

    def unscale(self, values: Tensor) -> Tensor:
        return values * self.deviation + self.mean


def windows(values: Tensor, order: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """The values at ``start`` ... ``stop`` - 1, (B,), and the ``order`` values before each, (B, p): views."""
    if not order <= start < stop <= len(values):
        raise ValueError(f"expected order <= start < stop <= {len(values)}, received {order}, {start}, {stop}")
    return values[start - order : stop - 1].unfold(0, order, 1), values[start:stop]


def persistence(window: Tensor) -> Tensor:
    """The forecast is the latest value of the window: (B, p) → (B,)."""
    return window[:, -1]


def linear_autoregression(inputs: Tensor, targets: Tensor) -> Forecast:
    """x_t = a_1 x_(t-1) + ... + a_p x_(t-p) + b by least squares; of several solutions that of the smallest norm.

    Args:
        inputs: windows (B, p), the latest value last.
        targets: the value after each, (B,).
    """
    design = torch.cat((inputs, torch.ones_like(inputs[:, :1])), 1).double()
    solution = torch.linalg.lstsq(design, targets.double().unsqueeze(1), driver="gelsd").solution
    weights = solution[:, 0]
    return lambda window: (window.double() @ weights[:-1] + weights[-1]).to(window)


def free_run(forecast: Forecast, window: Tensor, horizon: int) -> Tensor:
    """Feed forecasts back as inputs: (B, p) → (B, horizon)."""
    found = []
    for _ in range(horizon):
        value = forecast(window)
        found.append(value)
        window = torch.cat((window[:, 1:], value.unsqueeze(1)), 1)
    return torch.stack(found, 1)
