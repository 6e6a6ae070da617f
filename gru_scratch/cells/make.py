"""From a user's class to a cell that every engine can run, or to a sentence on what is wrong with its declarations."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Iterator
from typing import Any

from gru_scratch.cells.base import Carry, Cell, Param, trace


def make_cell(cell: Cell | type[Cell], hidden_size: int = 2) -> Cell:
    """The cell, made from its class if need be, after its step has been traced on a state of ``hidden_size`` units.

    Raises:
        TypeError: it is neither.
        ValueError: its class needs arguments, a declaration is invalid, or its step cannot be run.
    """
    if isinstance(cell, type) and issubclass(cell, Cell):
        name = cell.__name__
        try:
            cell = cell()
        except TypeError as error:
            raise ValueError(f"{name} cannot be made without arguments: {error}") from error
    if not isinstance(cell, Cell):
        raise TypeError(f"expected a Cell or a subclass of it, received {cell!r}")
    for problem in misdeclared(cell):
        raise ValueError(f"{type(cell).__name__}{problem}")
    if "_recurrence" not in vars(cell):
        vars(cell)["_recurrence"] = trace(cell, hidden_size)
    _ = cell._key, cell._by_gate, cell._by_recurrent_gate  # now: torch.compile can only read them
    return cell


def misdeclared(cell: Cell) -> Iterator[str]:
    """What is invalid in the declarations of a cell: a sentence for each, to follow the name of its class."""
    if _is_of_older_contract(cell):
        yield OLDER_CONTRACT
        return
    gates, states = getattr(cell, "gates", None), getattr(cell, "states", None)
    fields: tuple[str, ...] = getattr(states, "_fields", ())
    if not (isinstance(gates, tuple) and gates and all(map(_is_name, gates)) and len(set(gates)) == len(gates)):
        yield f".gates must be a tuple of different names, received {gates!r}"
        return
    if not (isinstance(states, type) and fields):
        yield f".states must be a NamedTuple class, even for one state, received {states!r}"
        return
    if not callable(getattr(cell, "step", None)):
        yield " has no step(x, W, state)"
    if wrong := [name for name, param in cell.params.items() if not isinstance(param, Param)]:
        yield f".params must map names to Param, received {cell.params[wrong[0]]!r} for {wrong[0]!r}"
    yield from _wrong_carry(cell.carry, gates, fields)
    try:
        hash(cell)
    except TypeError as error:
        yield f": its options (public attributes) must be plain values that can be hashed: {error}"
    taken = [*gates, *fields, *cell.params, *cell.masks]
    if twice := sorted({name for name in taken if taken.count(name) > 1}):
        yield f": a name can stand for one gate, state, parameter or mask only, received {twice} twice"


OLDER_CONTRACT = (
    " is written for an older contract of cells; write its equations as one function, step(self, x, W, state), in which"
    " W.g(v) multiplies a vector v with the recurrent weights of gate g, for example"
    " f = torch.sigmoid(x.f + W.f(state.h)) and n = torch.tanh(x.n + W.n(f * state.h))"
)


def _is_of_older_contract(cell: Cell) -> bool:
    """Whether it has what a cell had before ``W``: a step in two halves, or one that receives the products ``h``."""
    if any(hasattr(cell, name) for name in ("before", "after", "second_product")):
        return True
    step = getattr(cell, "step", None)
    return callable(step) and [*inspect.signature(step).parameters][1:2] == ["h"]


def _wrong_carry(carry: Any, gates: tuple[str, ...], states: tuple[str, ...]) -> Iterator[str]:
    if carry is None:
        return
    if not isinstance(carry, Carry):
        yield f".carry must be a Carry, or None where no gate carries a state, received {carry!r}"
    elif carry.state not in states or carry.gate not in gates or carry.writes not in (None, *gates):
        yield f".carry must name one of its states {states} and of its gates {gates}, received {carry!r}"
    elif carry.sign not in (1, -1):
        yield f".carry must have the sign +1 or -1, received {carry.sign!r}"


def _is_name(name: object) -> bool:
    """Whether it can be a field of a NamedTuple."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name) and name[0] != "_"
