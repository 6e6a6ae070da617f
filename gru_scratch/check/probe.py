"""One step of a cell on random numbers: most faults show before any engine runs the cell.

Legend: ``B`` batch, ``H`` hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell

BATCH, HIDDEN = 3, 5

TOLERANCE = 1e-9
"""The largest difference, as a share of the largest magnitude, that is called rounding in float64."""


class StepError(Exception):
    """A step that an engine cannot use; the message is a sentence that says why."""


@dataclass(frozen=True)
class Probe:
    """The arguments of a step, by name; the leading dimensions are (B,), or (T, B)."""

    x: dict[str, Tensor]  # (..., H) each, by gate
    products: dict[str, Tensor]  # (..., H) each, by gate: what W gives, whatever it multiplies
    state: dict[str, Tensor]  # (..., H) each
    params: dict[str, Tensor]
    masks: dict[str, Tensor]  # (..., H) each

    @classmethod
    def draw(cls, cell: Cell, *leading: int, dtype: torch.dtype = torch.float64) -> Probe:
        """Draw random numbers; parameters are close to their initial values, masks are those of training."""

        def numbers(names: Iterable[str]) -> dict[str, Tensor]:
            return {name: torch.randn(*leading, HIDDEN, dtype=dtype) for name in names}

        return cls(
            numbers(cell.gates),
            numbers(cell.recurrence.gates),
            numbers(cell.states._fields),
            draw_params(cell, dtype),
            {
                name: mask.reshape(*leading, HIDDEN)
                for name, mask in draw_masks(cell, (leading[:-1] or (1,))[0], dtype).items()
            },
        )

    def map(self, change: Callable[[Tensor], Tensor]) -> Probe:
        """The same with ``change`` applied to all but the parameters, which are copied."""

        def changed(named: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: change(value) for name, value in named.items()}

        params = {name: value.clone() for name, value in self.params.items()}
        return Probe(changed(self.x), changed(self.products), changed(self.state), params, changed(self.masks))

    def copy(self) -> Probe:
        """The same numbers in other memory."""
        return self.map(torch.clone)

    def units(self) -> dict[str, Tensor]:
        """Every argument with a number for each row and unit, by its name in messages."""
        named = {f"x.{gate}": value for gate, value in self.x.items()}
        named.update({f"the product of W.{gate}": value for gate, value in self.products.items()})
        return {**named, **{f"state.{name}": value for name, value in self.state.items()}}

    def inputs(self) -> dict[str, Tensor]:
        """The same arguments by their names in :mod:`gru_scratch.engines.trace`."""
        return {**{f"x.{gate}": value for gate, value in self.x.items()}, **self.products, **self.state}

    def buffers(self, cell: Cell) -> tuple[Tensor, ...]:
        """The pre-activations as the engine's forward pass keeps them."""
        products = ([self.products[gate] for gate in product.gates] for product in cell.recurrence.products)
        return tuple(torch.cat(named, -1) for named in ([*self.x.values()], *products))


def draw_params(cell: Cell, dtype: torch.dtype) -> dict[str, Tensor]:
    """The cell's parameters, close to their initial values."""
    return {
        name: param.initial + 0.1 * torch.rand(param.sizes(HIDDEN), dtype=dtype) for name, param in cell.params.items()
    }


def draw_masks(cell: Cell, steps: int, dtype: torch.dtype, training: bool = True) -> dict[str, Tensor]:
    """The masks that the cell draws once a sequence.

    Raises:
        StepError: ``draw_masks`` raises, or draws others than ``masks`` names.
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
    """The results of one step by name: the new states, and the vectors that it multiplies.

    Raises:
        StepError: the step raises, or returns what an engine cannot use.
    """
    like = next(iter(probe.state.values()))
    inputs, vectors = probe.inputs(), dict[str, Tensor]()

    def take(gate: str, vector: Tensor) -> Tensor:
        vectors[gate] = vector
        return inputs[gate]

    x = cell.name_gates(probe.x)
    W = cell.name_recurrent({gate: partial(take, gate) for gate in cell.recurrence.gates})
    result = called("step", lambda: cell.step(x, W, cell.states(**probe.state), **probe.params, **probe.masks))
    if not (type(result) is tuple and len(result) == 2):
        raise StepError(f"step must return the pair (state, gates), received a {type(result).__name__}")
    new, gates = result
    if not isinstance(new, cell.states):
        fields = ", ".join(cell.states._fields)
        raise StepError(
            f"step must return its new state as {cell.states.__name__}({fields}), received a {type(new).__name__}"
        )
    if not isinstance(gates, dict):
        raise StepError(f"step must return its gates as a dict of tensors by name, received a {type(gates).__name__}")
    if skipped := [gate for gate in cell.recurrence.gates if gate not in vectors]:
        raise StepError(f"step does not always call W.{skipped[0]}: it branches on values, which no engine can follow")
    called_of = {product.vector: vectors[product.gates[0]] for product in cell.recurrence.products}
    outputs = {**new._asdict(), **{name: called_of[name] for name in cell.recurrence.vectors}}
    shown = {**{f"the new state {name!r}": value for name, value in new._asdict().items()}}
    shown.update({f"the vector that {name} multiplies": called_of[name] for name in cell.recurrence.vectors})
    shown.update({f"the gate {gate!r} that step returns": value for gate, value in gates.items()})
    for what, value in shown.items():
        look_at(what, value, tuple(like.shape), like.dtype)
    return outputs


def called(name: str, call: Callable[[], Any]) -> Any:
    """The result of a call of the cell's code; StepError, with a sentence, for any exception."""
    try:
        return call()
    except Exception as error:
        raise StepError(f"{name} raised {type(error).__name__}: {error}") from error


def look_at(what: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Raise StepError unless ``value`` is a tensor of that shape and dtype."""
    if not isinstance(value, Tensor):
        raise StepError(f"{what} must be a tensor, received a {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise StepError(f"{what} must have the shape {shape}, received {tuple(value.shape)}")
    if value.dtype != dtype:
        raise StepError(f"{what} must have the dtype of its inputs, {dtype}, received {value.dtype}")


def differs(value: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Where two tensors differ by more than rounding."""
    if not expected.numel():
        return expected.bool()
    same = (value == expected) | (value.isnan() & expected.isnan())
    return ~same & ~((value - expected).abs() <= tolerance * expected.abs().max())
