"""Faults in the results of one step."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from functools import partial
from operator import itemgetter

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, Coefficients
from gru_scratch.check.probe import BATCH, HIDDEN, Probe, StepError, called, differs, draw_masks, look_at, outcome
from gru_scratch.engines.fused.jacobian import Layout, Stretch, coefficients, outputs_of
from gru_scratch.engines.trace import reads_of


def wrong_step(cell: Cell) -> Iterator[str]:
    """Faults in the results of one step: a sentence for each."""
    try:
        with torch.no_grad():
            if findings := [*_side_effects(cell), *_random_masks(cell)]:
                yield from findings
                return
            yield from _mixing(cell)
            yield from _leading_sizes(cell)
            yield from _unused_params(cell)
            _warn_of_repeated_vectors(cell)
        if cell.derivative is not None and cell.elementwise:
            yield from _wrong_derivative(cell)
    except StepError as error:
        yield str(error)


def _side_effects(cell: Cell) -> Iterator[str]:
    probe = Probe.draw(cell, BATCH)
    given = probe.copy()
    first, second = outcome(cell, given), outcome(cell, probe.copy())
    if endless := {name for name, value in first.items() if not value.isfinite().all()}:
        yield f"on ordinary random numbers {_list(endless)} is infinite or not a number"
        return
    for kind in ("x", "products", "state", "params", "masks"):
        if not all(map(torch.equal, getattr(probe, kind).values(), getattr(given, kind).values())):
            yield f"a step changes {kind} in place, which the engines still need"
    if any(not torch.equal(first[name], second[name]) for name in first):
        yield "two steps on the same numbers differ: draw random numbers in draw_masks, keep memory in the state"


def _random_masks(cell: Cell) -> Iterator[str]:
    generator = torch.get_rng_state()
    first = draw_masks(cell, 2, torch.float64)
    torch.set_rng_state(generator)
    second = draw_masks(cell, 2, torch.float64)
    if any(not torch.equal(first[name], second[name]) for name in first):
        yield "draw_masks must draw from PyTorch's generator: two draws from one seed differ"


def _mixing(cell: Cell) -> Iterator[str]:
    """Results of a row or unit that depend on an input of another; inputs on which nothing depends."""
    probe = Probe.draw(cell, BATCH)
    base = outcome(cell, probe)
    idle: set[str] = set()
    for source in probe.units():
        rows: set[str] = set()
        units: set[str] = set()
        moved = False
        for row, unit, target, change in _changes(cell, probe, base, source):
            moved = moved or bool(change.any())
            change[row, unit] = False
            if change[row].any():
                units.add(target)
            change[row] = False
            if change.any():
                rows.add(target)
        if rows:
            yield f"rows of the batch mix: {_list(rows)} of one row changes with {source} of another"
        if units and cell.elementwise:
            yield f"units mix: {_list(units)} of one unit changes with {source} of another; declare elementwise = False"
        if not moved:
            idle.add(source)
    for gate in cell.gates:
        if not ({f"x.{gate}", f"the product of W.{gate}"} & {*probe.units()}) - idle:
            yield f"it declares the gate {gate!r}, which changes nothing"


def _changes(cell: Cell, probe: Probe, base: dict[str, Tensor], source: str) -> Iterator[tuple[int, int, str, Tensor]]:
    """Where each result changes when one number of an input does, up or down."""
    for row in range(BATCH):
        for unit in range(HIDDEN):
            for shift in (1.0, -1.0):
                moved = probe.copy()
                moved.units()[source][row, unit] += shift
                for target, value in outcome(cell, moved).items():
                    yield row, unit, target, differs(value, base[target], 1e-12)


def _list(outputs: set[str]) -> str:
    return " and ".join(
        f"the vector that {name} multiplies" if name.startswith("W.") else f"the new {name}" for name in sorted(outputs)
    )


def _leading_sizes(cell: Cell) -> Iterator[str]:
    """An engine that differentiates by hand calls the step for many time steps at once."""
    probe = Probe.draw(cell, 2, BATCH)
    try:
        together = outcome(cell, probe)
    except StepError as error:
        yield f"a step must take (T, B, H) as (B, H): {error}"
        return
    for t in range(2):
        alone = outcome(cell, probe.map(itemgetter(t)))
        if wrong := {name for name in alone if differs(together[name][t], alone[name]).any()}:
            yield f"a step must take (T, B, H) as (B, H), its dimensions counted from the end: {_list(wrong)} differs"
            return


def _unused_params(cell: Cell) -> Iterator[str]:
    probe = Probe.draw(cell, BATCH)
    base = outcome(cell, probe)
    for name in cell.params:
        moved = probe.copy()
        moved.params[name] += torch.rand_like(moved.params[name])
        if all(torch.equal(value, base[target]) for target, value in outcome(cell, moved).items()):
            yield f"it declares the parameter {name!r}, which changes nothing"


def _warn_of_repeated_vectors(cell: Cell) -> None:
    """Warn of equal vectors in two tensor objects: they take two products, which is right but slower."""
    probe = Probe.draw(cell, BATCH)
    outputs = outcome(cell, probe)
    known = [(f"state.{name}", value) for name, value in probe.state.items()]
    for name in cell.recurrence.vectors:
        for other in (other for other, value in known if torch.equal(value, outputs[name])):
            warnings.warn(
                f"{cell!r}: {name} multiplies a vector of its own that equals that of {other}: pass both one tensor, "
                "kept in a variable, and one product serves both",
                stacklevel=2,
            )
        known.append((name, outputs[name]))


def _wrong_derivative(cell: Cell) -> Iterator[str]:
    probe = Probe.draw(cell, 1, BATCH)
    state = tuple(probe.state.values())
    stretch = Stretch(state, state, probe.buffers(cell), probe.masks)
    plain = copy.copy(cell)
    plain.derivative = None
    layout = Layout(cell)
    out = layout.places(layout.new(torch.empty(0, dtype=torch.float64), 1, BATCH, HIDDEN))
    by_hand = called("derivative", lambda: coefficients(cell, stretch, probe.params, None, out)[0])
    by_autograd = coefficients(plain, stretch, probe.params, None, out)[0]
    apart = {f"x.{gate}" for gate in reads_of(cell).apart}
    inputs = tuple(name for name in probe.inputs() if not name.startswith("x.") or name in apart)
    known = {*inputs, *(f"new.{state}" for state in cell.states._fields)}
    for output, row in by_hand.items():
        if strange := {output} - {*outputs_of(cell)} or set(row) - known:
            yield f"derivative has an entry for {strange.pop()!r}, which the step does not read by itself"
            return
        for key, value in row.items():
            look_at(f"what derivative has for {key!r} of {_list({output})}", value, (1, BATCH, HIDDEN), torch.float64)
    zeros = torch.zeros_like(state[0])
    for output in outputs_of(cell):
        expected = _whole_row(by_autograd, output, inputs, zeros)
        row = called("derivative", partial(_whole_row, by_hand, output, inputs, zeros))
        if wrong := [key for key in inputs if differs(row[key], expected[key]).any()]:
            yield f"derivative of {_list({output})} is not what autograd finds with respect to {', '.join(wrong)}"


def _whole_row(by_output: Coefficients, output: str, inputs: tuple[str, ...], zeros: Tensor) -> dict[str, Tensor]:
    """The derivative of one result by every input, with zeros for missing entries, and through other new states."""
    row = by_output.get(output, {})
    whole = {key: row.get(key, zeros) for key in inputs}
    for key, slope in row.items():
        if key.startswith("new."):
            way = _whole_row(by_output, key.removeprefix("new."), inputs, zeros)
            whole = {name: value + slope * way[name] for name, value in whole.items()}
    return whole
