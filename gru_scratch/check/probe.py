"""One step of a cell on random numbers: what is wrong with it can be told before any engine runs it.

Legend: ``B`` batch, ``H`` hidden size, ``G`` gates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.trace import VECTOR

BATCH, HIDDEN = 3, 5

TOLERANCE = 1e-9
"""The largest difference, as a share of the largest magnitude, that is called rounding in float64."""


class StepError(Exception):
    """A sentence on why a step cannot be read."""


@dataclass(frozen=True)
class Probe:
    """What a step is given; the leading sizes are (B,), or (T, B)."""

    x: Tensor  # (..., G * H)
    h: Tensor  # (..., gates of the first product * H)
    state: tuple[Tensor, ...]  # (..., H) each
    product: Tensor  # (..., H): read with a second product alone
    params: dict[str, Tensor]
    masks: dict[str, Tensor]  # (..., H) each

    @classmethod
    def draw(cls, cell: Cell, *leading: int, dtype: torch.dtype = torch.float64) -> Probe:
        """Random numbers; parameters lie near their initial values, masks are those of training."""

        def numbers(width: int) -> Tensor:
            return torch.randn(*leading, width * HIDDEN, dtype=dtype)

        return cls(
            numbers(len(cell.gates)),
            numbers(len(cell.first_product)),
            tuple(numbers(1) for _ in cell.states._fields),
            numbers(1),
            draw_params(cell, dtype),
            {
                name: mask.reshape(*leading, HIDDEN)
                for name, mask in draw_masks(cell, (leading[:-1] or (1,))[0], dtype).items()
            },
        )

    def map(self, change: Callable[[Tensor], Tensor]) -> Probe:
        """The same with ``change`` applied to all but the parameters, which are copied."""
        return Probe(
            change(self.x),
            change(self.h),
            tuple(map(change, self.state)),
            change(self.product),
            {name: value.clone() for name, value in self.params.items()},
            {name: change(value) for name, value in self.masks.items()},
        )

    def copy(self) -> Probe:
        """The same numbers in other memory."""
        return self.map(torch.clone)

    def units(self, cell: Cell) -> dict[str, Tensor]:
        """Views of all that has a number for each row and unit, by the name that the step knows it by."""
        named = {f"x.{gate}": value for gate, value in cell.name_x(self.x)._asdict().items()}
        named.update({f"h.{gate}": value for gate, value in cell.name_h(self.h)._asdict().items()})
        named.update({f"state.{name}": value for name, value in zip(cell.states._fields, self.state, strict=True)})
        return {**named, "product": self.product} if cell.second_product else named


def draw_params(cell: Cell, dtype: torch.dtype) -> dict[str, Tensor]:
    """The cell's parameters, near their initial values."""
    return {
        name: param.initial + 0.1 * torch.rand(param.sizes(HIDDEN), dtype=dtype) for name, param in cell.params.items()
    }


def draw_masks(cell: Cell, steps: int, dtype: torch.dtype, training: bool = True) -> dict[str, Tensor]:
    """What the cell draws once a sequence.

    Raises:
        StepError: it raises, or draws other things than ``masks`` names.
    """
    shape = (steps, BATCH, HIDDEN)
    masks = called("draw_masks", lambda: cell.draw_masks(shape, training, torch.zeros((), dtype=dtype)))
    if not isinstance(masks, dict) or tuple(masks) != tuple(cell.masks):
        names = tuple(masks) if isinstance(masks, dict) else masks
        raise StepError(f"draw_masks must return a dict of the masks {tuple(cell.masks)}, received {names!r}")
    for name, mask in masks.items():
        look_at(f"the mask {name!r}", mask, shape, dtype)
    return masks


def outcome(cell: Cell, probe: Probe) -> dict[str, Tensor]:
    """One step: the new states by name, and with a second product the vector that is multiplied.

    Raises:
        StepError: the cell's functions raise, or return what an engine cannot read.
    """
    x, h, state = cell.name_x(probe.x), cell.name_h(probe.h), cell.states(*probe.state)
    extras = {**probe.params, **probe.masks}
    shape, dtype = tuple(probe.product.shape), probe.product.dtype
    vectors: dict[str, Tensor] = {}
    if cell.second_product is None:
        name = "step"
        new, gates = _pair("step", "state, gates", lambda: cell.step(x, h, state, **extras))
    else:
        name = "after"
        vector, first = _pair("before", "vector, gates", lambda: cell.before(x, h, state, **extras))
        look_at("the vector that before returns", vector, shape, dtype)
        _look_at_gates("before", first, shape, dtype)
        vectors[VECTOR] = vector
        new, gates = _pair("after", "state, gates", lambda: cell.after(x, h, state, first, probe.product, **extras))
    if not isinstance(new, cell.states):
        fields = ", ".join(cell.states._fields)
        raise StepError(
            f"{name} must return its new state as {cell.states.__name__}({fields}), received a {type(new).__name__}"
        )
    for field, value in new._asdict().items():
        look_at(f"the new state {field!r}", value, shape, dtype)
    _look_at_gates(name, gates, shape, dtype)
    return {**new._asdict(), **vectors}


def called(name: str, call: Callable[[], Any]) -> Any:
    """What a function of the cell returns; what it raises becomes a sentence."""
    try:
        return call()
    except Exception as error:
        raise StepError(f"{name} raised {type(error).__name__}: {error}") from error


def look_at(what: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Raise StepError unless ``value`` is a tensor of that shape and type."""
    if not isinstance(value, Tensor):
        raise StepError(f"{what} must be a tensor, received a {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise StepError(f"{what} must have the shape {shape}, received {tuple(value.shape)}")
    if value.dtype != dtype:
        raise StepError(f"{what} must be {dtype} like the numbers it is made from, received {value.dtype}")


def differs(value: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Where two tensors differ by more than rounding."""
    same = (value == expected) | (value.isnan() & expected.isnan())
    return ~same & ~((value - expected).abs() <= tolerance * expected.abs().max())


def _pair(name: str, results: str, call: Callable[[], Any]) -> tuple[Any, Any]:
    result = called(name, call)
    if not (type(result) is tuple and len(result) == 2):
        raise StepError(f"{name} must return the pair ({results}), received a {type(result).__name__}")
    return result


def _look_at_gates(name: str, gates: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if not isinstance(gates, dict):
        raise StepError(f"{name} must return its gates as a dict of tensors by name, received a {type(gates).__name__}")
    for gate, value in gates.items():
        look_at(f"the gate {gate!r} that {name} returns", value, shape, dtype)
