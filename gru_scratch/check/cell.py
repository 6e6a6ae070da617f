"""The check of a cell, from what it declares to whole sequences."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch

from gru_scratch.cells.base import Cell
from gru_scratch.cells.make import make_cell
from gru_scratch.check.agreement import STEPS, wrong_sequence
from gru_scratch.check.probe import BATCH, HIDDEN, Probe, StepError, called, draw_masks, look_at, outcome
from gru_scratch.check.step import wrong_step


def check_cell(cell: Cell | type[Cell]) -> None:
    """Check a cell in float64 on random numbers, and return if it is right.

    - It has what it declares, and its step returns tensors of the right shape, dtype and class.
    - A step changes none of its arguments, and computes the same each time.
    - Rows of the batch do not mix, and units do not, unless it declares ``elementwise = False``.
    - A derivative by hand equals autograd's.
    - The engine ``fused`` equals ``textbook`` in values and all gradients: with vectors, with token indices, with
      lengths and, where the step reads its first state through products alone, with a projection.

    Raises:
        TypeError: it is no cell.
        ValueError: it is not right; the message has a line for each fault.
    """
    cell = make_cell(cell)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for stage in (_uncopyable, _unreadable, wrong_step, wrong_sequence):
            if findings := list(stage(cell)):
                raise ValueError("\n- ".join([f"{cell!r} is not right:", *findings]))


def _uncopyable(cell: Cell) -> Iterator[str]:
    """Options that do not survive a copy or a comparison."""
    try:
        alike = copy.deepcopy(cell) == cell and hash(copy.deepcopy(cell)) == hash(cell)
    except Exception as error:
        yield f"its options (public attributes) must be plain values that can be copied, compared and hashed: {error}"
    else:
        if not alike:
            yield "a copy of it is not equal to it: its options (public attributes) must be plain values"


def _unreadable(cell: Cell) -> Iterator[str]:
    """An initial state that an engine cannot use."""
    try:
        state = called("initial_state", lambda: cell.initial_state(BATCH, HIDDEN, dtype=torch.float64))
        if not isinstance(state, cell.states):
            yield f"initial_state must return a {cell.states.__name__}, received a {type(state).__name__}"
            return
        for name, value in state._asdict().items():
            look_at(f"the initial state {name!r}", value, (BATCH, HIDDEN), torch.float64)
        draw_masks(cell, STEPS, torch.float64, training=False)
        outcome(cell, Probe.draw(cell, BATCH))
        outcome(cell, Probe.draw(cell, BATCH, dtype=torch.float32))
    except StepError as error:
        yield str(error)
