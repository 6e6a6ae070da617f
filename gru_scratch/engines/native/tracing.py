"""From a cell's step to expressions: the step is run once with symbols in place of tensors.

A symbol knows PyTorch's elementwise operations by name and answers each with a new symbol. Whatever else a step does
with one (branch on its value, mix its units, change it in place), and any tensor that the step makes or reads itself,
is refused by name: nothing that may be different in another step is ever taken for a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, NoReturn

from torch import Tensor
from torch.overrides import TorchFunctionMode

from gru_scratch.cells.base import Cell, Param
from gru_scratch.cells.recurrence import Recurrence
from gru_scratch.engines.native.expressions import ONE, ZERO, Node, leaf, number, select
from gru_scratch.engines.native.operations import OPERATIONS


class NotElementwiseError(ValueError):
    """A step does what has no expression; the message says what, as a clause about the step."""


class Equations(NamedTuple):
    """What a step computes for one unit."""

    new: dict[str, Node]
    """The new states, by name."""
    vectors: dict[str, Node]
    """The vectors that the step computes and multiplies, by the names that :class:`Recurrence` gives them."""
    names: dict[Node, str]
    """What the cell itself calls some of its values."""
    recurrence: Recurrence


class Symbol:
    """One value of a step, in place of a tensor (B, H)."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Symbol:
        return _apply(function.__name__, args, kwargs or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in OPERATIONS:
            _refuse(name)
        return partial(_call, name, self)

    def _refuse_branch(self, *_: object) -> NoReturn:
        raise NotElementwiseError("branches on values")

    def _refuse_parts(self, *_: object) -> NoReturn:
        raise NotElementwiseError("takes parts of a tensor by index")

    __bool__ = __float__ = __int__ = __index__ = _refuse_branch
    __getitem__ = __iter__ = __len__ = _refuse_parts
    __hash__ = None  # type: ignore[assignment]


def _operator(name: str) -> Callable[..., Symbol]:
    return lambda self, *others: _apply(name, (self, *others), {})


def _swapped(name: str) -> Callable[[Symbol, Any], Symbol]:
    return lambda self, other: _apply(name, (other, self), {})


def _in_place(name: str) -> Callable[[Symbol, Any], NoReturn]:
    return lambda self, other: _refuse(f"__i{name}__")


for _name in ("add", "sub", "mul", "truediv", "pow", "and", "or"):
    setattr(Symbol, f"__{_name}__", _operator(_name))
    setattr(Symbol, f"__r{_name}__", _swapped(_name))
    setattr(Symbol, f"__i{_name}__", _in_place(_name))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(Symbol, f"__{_name}__", _operator(_name))


class _NothingElse(TorchFunctionMode):
    """Refuses what PyTorch is asked for beside operations on symbols."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Symbol:
        return _apply(getattr(function, "__name__", repr(function)), args, kwargs or {})


def _call(name: str, *args: Any, **options: Any) -> Symbol:
    return _apply(name, args, options)


def _apply(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Symbol:
    operation = OPERATIONS.get(name)
    values = [*args, *options.values()]
    if not any(isinstance(value, Symbol) for value in values):
        raise NotElementwiseError(f"calls {name} on tensors of its own")
    if any(isinstance(value, Tensor) for value in values):
        raise NotElementwiseError(f"reads a tensor of its own (in {name})")
    if operation is None:
        _refuse(name)
    try:
        return Symbol(operation(*map(_operand, args), **{key: _operand(value) for key, value in options.items()}))
    except (TypeError, NotImplementedError) as error:
        raise NotElementwiseError(f"calls {name} in a form that has no expression ({error})") from error


def _operand(value: Any) -> Any:
    """Symbols and numbers as nodes; flags and names as they are."""
    if isinstance(value, Symbol):
        return value._node
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _refuse(name: str) -> NoReturn:
    if name.endswith("_"):
        raise NotElementwiseError(f"changes a tensor in place ({name})")
    raise NotElementwiseError(f"uses {name}, which is not among the elementwise operations that have an expression")


def trace(cell: Cell) -> Equations:
    """The equations of a step.

    Raises:
        NotElementwiseError: the step does what has no expression.
    """
    first, second = _trace_once(cell), _trace_once(cell)
    if (first.new, first.vectors) != (second.new, second.vectors):
        raise NotElementwiseError("has other equations each time that it is run")
    return first


def _trace_once(cell: Cell) -> Equations:
    recurrence = cell.recurrence
    multiplied: dict[str, Node] = {}

    def take(gate: str, vector: Symbol) -> Symbol:
        multiplied[gate] = vector._node
        return Symbol(leaf("product", gate))

    x = cell._by_gate(*(Symbol(leaf("x", gate)) for gate in cell.gates))
    W = cell.name_recurrent({gate: partial(take, gate) for gate in recurrence.gates})
    state = cell.states(*(Symbol(leaf("state", name)) for name in cell.states._fields))
    extras = {name: _param(name, param) for name, param in cell.params.items()}
    extras.update({name: Symbol(leaf("mask", name)) for name in cell.masks})
    with _NothingElse():
        new, gates = cell.step(x, W, state, **extras)
    values = {name: _result(name, value) for name, value in new._asdict().items()}
    vectors = {p.vector: multiplied[p.gates[0]] for p in recurrence.products if p.vector in recurrence.vectors}
    names = {value._node: name for name, value in dict[str, Any](gates).items() if isinstance(value, Symbol)}
    return Equations(values, vectors, names, recurrence)


def _param(name: str, param: Param) -> Symbol:
    if param.shape not in (("H",), (1,), ()):
        raise NotElementwiseError(f"has a parameter {name} that is neither one number nor one for each unit")
    return Symbol(leaf("param", name))


def _result(name: str, value: Any) -> Node:
    if not isinstance(value, Symbol):
        raise NotElementwiseError(f"gives a {type(value).__name__} for the state {name}, where a tensor is expected")
    return select(value._node, ONE, ZERO) if value._node.is_condition else value._node
