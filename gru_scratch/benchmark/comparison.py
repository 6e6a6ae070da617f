"""One comparison: several programs for the same thing, timed in turn, checked against each other, and summed up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gru_scratch.benchmark.peak import peak_memory
from gru_scratch.benchmark.timing import Action, Budget, Clock, Ratio, in_turn, median_interval, paired_ratio

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Rounding moves no number by more than this part of the largest in its tensor; a wrong equation does."""

SHARE = 0.01
"""See :func:`differences`."""
Values = Mapping[str, Tensor]
"""What a program computed, by name: the loss, and the gradient of each parameter."""


class NotAvailableError(Exception):
    """There is no such program for a model, or not on this machine; the message is for its row in the table."""


@dataclass(frozen=True)
class Program:
    """Something to time."""

    run: Action
    values: Callable[[], Values] | None = None
    """What it computes, to be compared with the base's; None: it has no values, and gets no ratio."""
    clear: Callable[[], object] = lambda: None
    """Lets go of what a run left behind."""
    note: str = ""
    """What a reader of its figures should know."""


Builder = Callable[[], Program]
"""Makes a program, or raises :class:`NotAvailableError`."""


@dataclass(frozen=True)
class Row:
    """What is known of one program."""

    name: str
    seconds: Sequence[float] = ()
    """Of each round; none where the program could not run."""
    ratio: Ratio | None = None
    """How many times as fast as the base; None for the base, and where the values disagree."""
    differences: Mapping[str, float] = field(default_factory=dict)
    """From the base's values, see :func:`differences`."""
    peak_memory: int | None = None
    """Bytes."""
    note: str = ""
    refused: bool = False
    """Whether it failed, or computed other values than the base."""

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the median, in seconds."""
        return median_interval(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """The rows of one table."""

    title: str
    details: Mapping[str, object]
    """What was run, as JSON holds it."""
    tokens: int
    """That one run goes through."""
    base: str | None
    """The row that ratios and differences refer to: the first that could run and has values."""
    rows: Sequence[Row]

    def row(self, name: str) -> Row | None:
        """The row of that name, if it could run."""
        return next((row for row in self.rows if row.name == name and row.seconds), None)


@dataclass(frozen=True)
class Method:
    """How to measure."""

    clock: Clock
    budget: Budget
    device: torch.device
    memory: bool = True
    """Whether to look at peak memory too, in a pass of its own."""


def differences(found: Values, expected: Values) -> dict[str, float]:
    """For each name the largest difference between two tensors, over the largest magnitude in the expected one.

    A gradient whose terms cancel is too small to compare with: no scale is less than SHARE of the largest gradient.
    What only one of the two has, or has in another shape, and what is no number, differs infinitely.
    """
    sizes = {name: value.double().abs().max().item() for name, value in expected.items()}
    least = SHARE * max((size for name, size in sizes.items() if name != "loss"), default=0.0)

    def difference(name: str) -> float:
        if name not in found or name not in expected or found[name].shape != expected[name].shape:
            return float("inf")
        largest = (found[name].double() - expected[name].double()).abs().max().item()
        scale = sizes[name] if name == "loss" else max(sizes[name], least)
        if largest == 0:
            return 0.0
        return largest / scale if scale > 0 and largest < float("inf") else float("inf")  # of nan neither holds

    return {name: difference(name) for name in {**expected, **found}}


def agree(difference: Mapping[str, float], dtype: torch.dtype = torch.float32) -> bool:
    """Whether these differences are no more than rounding."""
    return all(value <= TOLERANCE[dtype] for value in difference.values())


def worst(difference: Mapping[str, float]) -> str:
    """The name of what differs most."""
    return max(difference, key=lambda name: difference[name])


def compare(
    title: str, details: Mapping[str, object], tokens: int, builders: Mapping[str, Builder], method: Method
) -> Comparison:
    """Build the programs, compare their values, time them in turn, and sum up.

    A program that is not available, or fails, gets a row that says so. One whose values differ from the base's by more
    than rounding is timed, but gets no ratio.
    """
    programs: dict[str, Program] = {}
    absent: dict[str, Row] = {}
    found: dict[str, Values] = {}
    for name, build in builders.items():
        try:
            programs[name] = build()
            found[name] = _first_run(programs[name])
        except NotAvailableError as error:
            absent[name] = Row(name, note=str(error))
        except Exception as error:  # a user's cell can fail in any way, and memory can run out
            message = " ".join(str(error).split())[:200]
            absent[name] = Row(name, note=f"fails: {type(error).__name__}: {message}", refused=True)
            programs.pop(name, None)
    base = next((name for name, values in found.items() if values), None)
    apart = {name: differences(values, found[base]) for name, values in found.items() if values} if base else {}
    del found
    samples = in_turn({name: program.run for name, program in programs.items()}, method.clock, method.budget)
    made = {name: _row(name, program, base, samples, apart.get(name, {}), method) for name, program in programs.items()}
    return Comparison(title, details, tokens, base, [{**absent, **made}[name] for name in builders])


def _row(
    name: str,
    program: Program,
    base: str | None,
    samples: Mapping[str, Sequence[float]],
    difference: Mapping[str, float],
    method: Method,
) -> Row:
    ratio, note, refused = None, program.note, False
    if base is not None and difference and name != base:
        refused = not agree(difference)
        if refused:
            what = worst(difference)
            note = f"no ratio: {what} differs from that of {base} by {difference[what]:.0e} of its size"
        else:
            ratio = paired_ratio(samples[base], samples[name])
    peak = None
    if method.memory and program.values is not None:
        program.clear()
        peak = peak_memory(program.run, method.device)
        program.clear()
    return Row(name, samples[name], ratio, difference, peak, note, refused)


def _first_run(program: Program) -> Values:
    """Copies of its values, as its next run may write over them; none if it has none."""
    if program.values is None:
        program.run()
        return {}
    return {name: value.detach().clone() for name, value in program.values().items()}
