"""Zoneout, for any cell: some units keep their old state for a step (Krueger et al., 2017, arXiv:1606.01305)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Carry, Cell, Gates, Param, PreActivations, RecurrentWeights, State
from gru_scratch.cells.make import make_cell

PREFIX = "zoneout_"
"""The name of a state's mask is this prefix and the state's name."""


class WrappedCell(Cell):
    """A cell around another one: a subclass overrides ``step``, and ``draw_masks`` if it draws random numbers.

    It has the declarations of the inner cell.
    """

    def __init__(self, cell: Cell | type[Cell]) -> None:
        self.cell = make_cell(cell)

    @property
    def gates(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.cell.gates

    @property
    def states(self) -> Any:
        return self.cell.states

    @property
    def carry(self) -> Carry | None:  # type: ignore[override]
        return self.cell.carry

    @property
    def params(self) -> Mapping[str, Param]:  # type: ignore[override]
        return self.cell.params

    @property
    def masks(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.cell.masks

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        return self.cell.elementwise

    def initial_state(
        self, batch_size: int, hidden_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        return self.cell.initial_state(batch_size, hidden_size, device=device, dtype=dtype)

    def draw_masks(self, shape: tuple[int, int, int], training: bool, like: Tensor) -> dict[str, Tensor]:
        return self.cell.draw_masks(shape, training, like)


class Zoneout(WrappedCell):
    """A cell whose units keep their old state with a probability p::

        s' = m * s + (1 - m) * step(x, W, s)            for each state s of the cell

    In training ``m`` is 1 with probability p, else 0, drawn for every step, sequence and unit from PyTorch's generator;
    in evaluation it is p, the expectation.

    Args:
        cell: the cell, or its class.
        p: the probability of keeping the old value, one for all states or one for each, in the order of the cell's
            ``states``: for an LSTM ``(p of h, p of c)``, in the paper (0.05, 0.5).

    Raises:
        TypeError: ``cell`` is no cell.
        ValueError: a probability is not between 0 and 1, their number is not that of the states, or ``cell`` is a
            ``Zoneout`` already.
    """

    def __init__(self, cell: Cell | type[Cell], p: float | Sequence[float]) -> None:
        super().__init__(cell)
        names = self.states._fields
        self.p = tuple(float(x) for x in p) if isinstance(p, Sequence) else (float(p),) * len(names)
        if isinstance(self.cell, Zoneout):
            raise ValueError(f"{self.cell!r} has a zoneout already")
        if len(self.p) != len(names):
            raise ValueError(f"zoneout needs one probability, or one for each state of {names}, received {p!r}")
        if not all(0 <= x <= 1 for x in self.p):
            raise ValueError(f"a probability of zoneout must be between 0 and 1, received {p!r}")

    @property
    def _zoned(self) -> dict[str, float]:
        """The states that have a mask, and their probabilities."""
        return {name: p for name, p in zip(self.states._fields, self.p, strict=True) if p > 0}

    @property
    def masks(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.cell.masks, *(PREFIX + name for name in self._zoned))

    def draw_masks(self, shape: tuple[int, int, int], training: bool, like: Tensor) -> dict[str, Tensor]:
        """For each state (T, B, H), in the dtype of ``like``: 1 keeps the old value, 0 does not; in evaluation p."""
        drawn = super().draw_masks(shape, training, like)
        for name, p in self._zoned.items():
            drawn[PREFIX + name] = (
                torch.bernoulli(like.new_empty(shape), p) if training else like.new_full((), p).expand(shape)
            )
        return drawn

    def step(self, x: PreActivations, W: RecurrentWeights, state: State, **params: Tensor) -> tuple[State, Gates]:
        masks = {name: params.pop(PREFIX + name) for name in self._zoned}
        new, gates = self.cell.step(x, W, state, **params)
        kept = {name: m * getattr(state, name) + (1 - m) * getattr(new, name) for name, m in masks.items()}
        return new._replace(**kept), gates
