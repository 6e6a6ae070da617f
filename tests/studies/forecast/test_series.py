"""Forecasting: the series, their division in time, the simple forecasts, the networks, and columns of CSV files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gru_scratch.studies.forecast.csv_column import read_column
from gru_scratch.studies.forecast.draw_series import draw_forecasts, table
from gru_scratch.studies.forecast.forecast_options import ForecastOptions
from gru_scratch.studies.forecast.regression import LastStateModel, starting_points, study_series
from gru_scratch.studies.forecast.series import (
    GENERATED,
    Scaling,
    divide,
    free_run,
    linear_autoregression,
    mackey_glass,
    noisy_sine,
    persistence,
    shortest_length,
    windows,
)
from gru_scratch.training.drawing import log_scale, new_figure

SMALL = ForecastOptions(order=3, horizon=4, updates=2, batch_size=5, num_hiddens=4)


def test_the_books_series() -> None:
    x = noisy_sine(1000, 3)
    noise = x.numpy() - np.sin(0.01 * np.arange(1, 1001))
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(0.2, rel=0.05)
    assert not torch.equal(x, noisy_sine(1000, 4))


def test_mackey_glass_obeys_its_equation() -> None:
    """Between sampled values, by the trapezoidal rule: x(t+1) - x(t) is the integral of the right side."""
    x = mackey_glass(400, 0).numpy()
    late = x[:-17]
    slope = 0.2 * late / (1 + late**10) - 0.1 * x[17:]
    np.testing.assert_allclose(np.diff(x)[17:], (slope[1:] + slope[:-1]) / 2, atol=2.5e-3)
    assert len(x) == 400
    assert 0.2 < x.min() < 0.6
    assert 1.2 < x.max() < 1.5


@pytest.mark.parametrize("name", GENERATED)
def test_generated_series_repeat(name: str) -> None:
    assert torch.equal(GENERATED[name](50, 7), GENERATED[name](50, 7))


def test_windows_are_the_values_before() -> None:
    x = torch.arange(10.0)
    inputs, targets = windows(x, 3, 5, 8)
    assert targets.tolist() == [5, 6, 7]
    assert inputs.tolist() == [[2, 3, 4], [3, 4, 5], [4, 5, 6]]
    with pytest.raises(ValueError, match="received 3, 2, 8"):
        windows(x, 3, 2, 8)


@pytest.mark.parametrize(("order", "horizon"), [(1, 1), (3, 4), (32, 100), (50, 2)])
def test_the_shortest_series_that_can_be_divided(order: int, horizon: int) -> None:
    length = shortest_length(order, horizon)
    division = divide(length, order, horizon)
    assert order < division.train < division.validation < length
    assert starting_points(division, horizon)[-1] + horizon <= length
    with pytest.raises(ValueError, match=f"it has {length // 2} values"):
        divide(length // 2, order, horizon)


def test_scaling() -> None:
    x = torch.tensor([1.0, 2.0, 6.0])
    scaling = Scaling.fit(x)
    assert scaling.mean == 3
    assert scaling.deviation == pytest.approx(np.std([1, 2, 6], ddof=1))
    torch.testing.assert_close(scaling.unscale(scaling.scale(x)), x)
    with pytest.raises(ValueError, match="all 5 values to train on are 7"):
        Scaling.fit(torch.full((5,), 7.0))


def test_the_autoregression_finds_the_coefficients_of_one() -> None:
    x = [0.3, 1.0]
    for _ in range(60):
        x.append(1.6 * x[-1] - 0.95 * x[-2] + 0.5)
    series = torch.tensor(x, dtype=torch.float64)
    forecast = linear_autoregression(*windows(series, 2, 2, 40))
    inputs, targets = windows(series, 2, 40, 62)
    torch.testing.assert_close(forecast(inputs), targets)
    torch.testing.assert_close(free_run(forecast, inputs[:1], 22)[0], series[40:62])


def test_the_autoregression_is_numpys_least_squares() -> None:
    x = noisy_sine(200, 0)
    inputs, targets = windows(x, 5, 5, 200)
    design = np.column_stack((inputs.numpy(), np.ones(len(inputs))))
    expected = design @ np.linalg.lstsq(design, targets.numpy(), rcond=None)[0]
    np.testing.assert_allclose(linear_autoregression(inputs, targets)(inputs).numpy(), expected)


def test_a_free_run_reads_its_own_forecasts() -> None:
    def forecast(window: Tensor) -> Tensor:
        return window[:, 0] + 2 * window[:, -1]

    assert free_run(forecast, torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 3).tolist() == [[3, 7, 17], [2, 5, 12]]
    assert persistence(torch.tensor([[1.0, 2.0]])).tolist() == [2]


def test_the_model_is_the_last_state_through_one_linear_layer() -> None:
    from gru_scratch.cells import GRUEquations

    model = LastStateModel(GRUEquations, 4, features=2)
    x = torch.randn(3, 5, 2)
    namesake = torch.nn.GRU(2, 4, batch_first=True)
    namesake.load_state_dict(model.layer.state_dict())
    torch.testing.assert_close(model(x), model.head(namesake(x)[1][0]))


def test_errors_are_those_of_a_plain_loop() -> None:
    values = noisy_sine(60, 1)
    study = study_series(values, ("rnn",), 1, SMALL)
    error = study.errors[0]
    assert error.name == "persistence"
    x, start = values.numpy(), study.division.validation
    assert error.one_step == pytest.approx(np.sqrt(np.mean((x[start:] - x[start - 1 : -1]) ** 2)), rel=1e-5)
    points = starting_points(study.division, 4)
    assert points[0] == start
    assert points[-1] == 60 - 4
    for h in range(4):
        expected = np.sqrt(np.mean([(x[p + h] - x[p - 1]) ** 2 for p in points]))
        assert error.by_horizon[h] == pytest.approx(expected, rel=1e-5)
    assert error.one_step_values == pytest.approx(x[start - 1 : -1].tolist(), abs=1e-6)
    for each in study.errors:  # the free run's first step is a forecast of one step
        assert each.free_values[0] == pytest.approx(each.one_step_values[0], abs=1e-6)


def test_nothing_is_learnt_from_the_test_part() -> None:
    """Another future leaves scaling, autoregression and network as they were: the first forecast is the same."""
    values = noisy_sine(60, 1)
    other = values.clone()
    other[48:] += 100 * torch.randn(12, dtype=torch.float64)
    one, two = (study_series(x, ("gru",), 2, SMALL) for x in (values, other))
    assert one.division.validation == 48
    assert one.scaling == two.scaling
    for a, b in zip(one.errors, two.errors, strict=True):
        assert a.one_step_values[0] == b.one_step_values[0]
        assert a.free_values == b.free_values
        assert a.one_step != b.one_step


def test_a_network_learns_a_series() -> None:
    """After training it beats persistence on a sine without noise."""
    values, done = torch.sin(0.3 * torch.arange(300, dtype=torch.float64)), []
    options = ForecastOptions(order=8, horizon=5, updates=150, batch_size=32, num_hiddens=12, lr=1e-2)
    study = study_series(values, ("gru",), 1, options, done.append)
    naive, linear, network = study.errors
    assert network.one_step < naive.one_step / 3
    assert linear.one_step < 1e-4
    assert sum(done) == 150
    assert table(study).count("\n") == 4
    assert draw_forecasts(study, "sine").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((torch.zeros(60), ("gru",), 1), "there is nothing to learn"),
        ((torch.arange(12.0), ("gru",), 1), "the series is too short: it has 12 values"),
        ((torch.arange(60.0), ("gro",), 1), "unknown cell 'gro'"),
        ((torch.arange(60.0), (), 1), "at least one cell"),
        ((torch.arange(60.0), ("gru",), 0), "one seed"),
    ],
)
def test_what_cannot_be_studied(arguments: tuple, said: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=said):
        study_series(*arguments, SMALL)


@pytest.mark.parametrize(
    ("name", "value"), [("order", 0), ("horizon", 0), ("updates", 0), ("lr", math.inf), ("clip", 0)]
)
def test_options_that_no_run_can_use(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        ForecastOptions(**{name: value})


def csv_file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("t,x\n0,1.5\n1,-2e3\n2,3\n", ","),
        ("\ufefft,x\r\n0,1.5\r\n1,-2e3\r\n2,3\r\n\r\n\r\n", ","),
        ('"t";" x "\n0;"1.5"\n1; -2e3 \n2;3', ";"),
        ("x\tnote\n1.5\t\n-2e3\tb\n3\t\n", "\t"),
    ],
)
def test_a_column(tmp_path: Path, content: str, delimiter: str) -> None:
    values = read_column(csv_file(tmp_path, content), "x", delimiter)
    assert values.dtype == torch.float64
    assert values.tolist() == [1.5, -2000.0, 3.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "a.csv is empty"),
        ("\n\n", "a.csv is empty"),
        ("t,x\n", "no row below"),
        ("t,y\n0,1\n", "a.csv has no column 'x': its first row names 't', 'y'"),
        ("x,x\n0,1\n", "has 2 columns 'x'"),
        ("t,x\n0,1\n1,\n2,3\n", "line 3 of .*a.csv, column 'x', is empty"),
        ("t,x\n0,1\n1\n2,3\n", "line 3 of .*, is empty"),
        ("t,x\n0,1\n\n2,3\n", "line 3 of .*, is empty"),
        ("t,x\n0,1\n1,n/a\n", "line 3 of .*, column 'x', holds 'n/a'"),
        ("t,x\n0,nan\n", "line 2 of .* holds 'nan'"),
        ("t,x\n0,1_000\n", "line 2 of .* holds '1_000'"),
        ('t,x\n0,"1,5"\n', "line 2 of .* holds '1,5': expected a finite number, with a point"),
        ('t,x\n"two\nlines",1\n1,oops\n', "line 4 of .* holds 'oops'"),
        ('t,x\n0,"1\n', "is no CSV file, at line 2"),
        (b"t,x\n0,\xff\n", "no UTF-8 text: byte 0xff at 6"),
        (b"t,x\n0,\x00\n", "a.csv"),
    ],
)
def test_a_column_that_cannot_be_read(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        read_column(csv_file(tmp_path, content), "x")
    assert "\n" not in str(raised.value)


def test_no_csv_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no CSV file"):
        read_column(tmp_path / "b.csv", "x")
    with pytest.raises(ValueError, match="received the folder"):
        read_column(tmp_path, "x")
    with pytest.raises(ValueError, match="one character, received ''"):
        read_column(tmp_path, "x", "")


@pytest.mark.parametrize(("values", "shown"), [([0.2, 0.9], {"0.2", "0.3"}), ([0.001, 0.2], {"0.001", "0.01", "0.1"})])
def test_a_logarithmic_axis_has_plain_numbers(values: list[float], shown: set[str]) -> None:
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot(values)
    log_scale(axes)
    figure.canvas.draw()
    labels = {text.get_text() for text in axes.get_yticklabels(which="both")}
    assert shown <= labels
    assert not any("$" in label for label in labels)
