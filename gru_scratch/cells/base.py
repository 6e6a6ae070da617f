"""The contract of a cell, and the registry that gives an engine a cell by name.

A cell knows one step; an engine knows time. A cell of your own is a class with three things::

    class UpdateState(NamedTuple):
        h: Tensor

    class UpdateCell(Cell):
        gates = ("z", "n")
        states = UpdateState

        def step(self, x, W, state):
            z = torch.sigmoid(x.z + W.z(state.h))
            n = torch.tanh(x.n + W.n(state.h))
            return UpdateState(z * state.h + (1 - z) * n), {"z": z, "n": n}

Legend: ``B`` batch, ``H`` hidden size, ``T`` steps.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from gru_scratch.cells.recurrence import Recurrence, trace_recurrence

Gates: TypeAlias = dict[str, Tensor]
"""The intermediate values of a step by name, which studies show and a derivative by hand reads."""

State: TypeAlias = Any
"""An instance of the cell's own NamedTuple; ``Any`` because every cell has its own fields."""

PreActivations: TypeAlias = Any
"""A NamedTuple with one tensor (B, H) for each gate: ``x.z``."""

RecurrentWeights: TypeAlias = Any
"""A NamedTuple with one function for each gate: ``W.z(v)`` is ``v W_hz + b_hz`` of a vector ``v``, (B, H)."""

Coefficients: TypeAlias = dict[str, dict[str, Tensor]]
"""The diagonal Jacobian of a step: see :attr:`Cell.derivative`."""


class Param(NamedTuple):
    """A parameter of the cell itself: its shape, with ``"H"`` for the hidden size, and its initial value."""

    shape: tuple[str | int, ...] = ("H",)
    initial: float = 0.0

    def sizes(self, hidden_size: int) -> tuple[int, ...]:
        """The shape, with the hidden size in the place of ``"H"``."""
        return tuple(hidden_size if size == "H" else int(size) for size in self.shape)


class Carry(NamedTuple):
    """The gate that says how much of a state a unit keeps from one step to the next."""

    state: str
    """The name of the state that is carried."""
    gate: str
    """The name of the gate that carries it."""
    sign: int = +1
    """+1 where an open gate keeps the state, -1 where it overwrites it."""
    writes: str | None = None
    """The name of the gate that lets the new value in; None where it is the same gate."""


CACHED = ("_by_gate", "_by_recurrent_gate", "_key", "_recurrence")
"""The attributes in which a cell caches what tracing its step has shown, and its key."""


class Cell:
    """One step of a recurrent network, as equations.

    A subclass declares

    - ``gates``: the names of its pre-activations, in the order of the weights' rows,
    - ``states``: a NamedTuple class, even for one state; the first is the layer's output,
    - ``step(x, W, state)``: the equations, *elementwise* but for the products. ``x.g`` is the input's pre-activation of
      gate ``g``, ``x_t W_xg + b_xg``; ``W.g(v)`` is ``v W_hg + b_hg``, called at most once a step, with a state or any
      vector that the step computes. All products of one vector (one tensor object) are computed as one. A gate that
      never calls ``W`` has no recurrent weights. The step returns the new state, and a dict of intermediate values,

    and, where it needs them,

    - ``carry``: which gate carries which state (:class:`Carry`), which initial values and studies read; None: no gate
      does,
    - ``params``: parameters of its own, name → :class:`Param`; ``step`` gets them by keyword,
    - ``elementwise = False``: units within a row mix (layer norm); the engine then differentiates step by step,
    - ``masks``: names of what ``draw_masks`` draws, once a sequence (zoneout); ``step`` gets them by keyword,
    - ``derivative``: the diagonal Jacobian by hand; without it autograd computes the same values.

    Two cells of one class with the same options are the same cell.
    """

    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[Any]
    step: Callable[..., tuple[State, Gates]]
    carry: Carry | None = None
    params: Mapping[str, Param] = {}
    masks: tuple[str, ...] = ()
    elementwise: bool = True

    derivative: Any = None
    """Optional ``derivative(x, product, gates, state, new, out) -> Coefficients``, elementwise, for many steps at once.

    It receives what the step read and computed: the input's pre-activations ``x.g``, the products ``product.g`` that
    ``W.g`` returned, the ``gates`` that the step returned, the states before and after it. The result maps each new
    state's name to its derivative with respect to

    - a gate's name: that gate's recurrent product (and the input's pre-activation, where no other is given),
    - ``"x."`` and the gate's name: the input's pre-activation, where its derivative differs,
    - a state's name: the state before,
    - ``"new."`` and a state's name: another new state that this one is computed from (the LSTM's h from its c);

    and each vector that the step computes and multiplies, ``"W.n"`` where ``W.n`` is first called with it, to its
    derivative likewise. An entry that is missing is 0.

    ``out`` maps the names of pre-activations to the tensors in which the engine wants their coefficients: writing
    there, as ``through_sigmoid(..., out["z"])`` does, saves a copy.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """New equations do not inherit the derivative of the old ones."""
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.derivative = vars(cls).get("derivative")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.options() == vars_of(other)

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.options().items()))))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options().items())
        return f"{type(self).__name__}({options})"

    def __getstate__(self) -> dict[str, Any]:
        """The attributes for pickle and copy, without the cached ones, which can be computed again."""
        return {name: value for name, value in vars(self).items() if name not in CACHED}

    def options(self) -> dict[str, Any]:
        """The arguments of the constructor, kept as the public attributes of the instance."""
        return vars_of(self)

    def initial_state(
        self, batch_size: int, hidden_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Zeros, (B, H) for each state."""
        return self.states(
            *(torch.zeros(batch_size, hidden_size, device=device, dtype=dtype) for _ in self.states._fields)
        )

    def draw_masks(self, shape: tuple[int, int, int], training: bool, like: Tensor) -> dict[str, Tensor]:
        """A tensor (T, B, H) for each of ``masks``; none by default."""
        return {}

    @cached_property
    def _by_gate(self) -> Any:
        return namedtuple("x", self.gates)

    @cached_property
    def _by_recurrent_gate(self) -> Any:
        return namedtuple("W", self.recurrence.gates)

    @cached_property
    def _recurrence(self) -> Recurrence:
        return trace(self, hidden_size=2)

    @cached_property
    def _key(self) -> str:
        return registry.key(self)

    @property
    def registry_key(self) -> str:
        """The name by which operators know the cell, computed once."""
        return self._key

    @property
    def recurrence(self) -> Recurrence:
        """What the step multiplies with recurrent weights."""
        return self._recurrence

    def name_x(self, x: Tensor) -> PreActivations:
        """Name the slices of the input's pre-activations, (..., G * H), by gate."""
        return self._by_gate(*x.chunk(len(self.gates), -1))

    def name_gates(self, values: Mapping[str, Tensor]) -> PreActivations:
        """Name one value for each gate by its gate."""
        return self._by_gate(*(values[gate] for gate in self.gates))

    def name_recurrent(self, values: Mapping[str, Any]) -> Any:
        """Name one value for each gate that calls ``W``, by its gate: its product, or the function that computes it."""
        return self._by_recurrent_gate(*(values[gate] for gate in self.recurrence.gates))


def through_sigmoid(gradient: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """``gradient * y * (1 - y)``: from the gradient of y = sigmoid(a) to that of a, in one pass over memory."""
    if out is None:
        return torch.ops.aten.sigmoid_backward(gradient, y)  # type: ignore[no-any-return]
    return torch.ops.aten.sigmoid_backward.grad_input(gradient, y, grad_input=out)  # type: ignore[no-any-return]


def through_tanh(gradient: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """``gradient * (1 - y²)``: from the gradient of y = tanh(a) to that of a, in one pass over memory."""
    if out is None:
        return torch.ops.aten.tanh_backward(gradient, y)  # type: ignore[no-any-return]
    return torch.ops.aten.tanh_backward.grad_input(gradient, y, grad_input=out)  # type: ignore[no-any-return]


def vars_of(cell: object) -> dict[str, Any]:
    """The public instance attributes: a cell's options."""
    return {name: value for name, value in vars(cell).items() if not name.startswith("_")}


def trace(cell: Cell, hidden_size: int) -> Recurrence:
    """Run one step of ``cell`` on one sequence, with ``hidden_size`` units, and record what it multiplies.

    Raises:
        ValueError: the step cannot be run.
    """

    def units(width: int = 1) -> Tensor:
        return torch.full((1, width * hidden_size), 0.5, device="cpu")

    params = {n: torch.full(p.sizes(hidden_size), p.initial, device="cpu") for n, p in cell.params.items()}
    step = partial(cell.step, **params, **{name: units() for name in cell.masks})
    x, state = cell.name_x(units(len(cell.gates))), cell.states(*(units() for _ in cell.states._fields))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return trace_recurrence(step, cell.gates, x, state, {gate: units() for gate in cell.gates})
    except Exception as error:
        raise ValueError(f"{type(cell).__name__}: step raised {type(error).__name__}: {error}") from error


class Registry:
    """Cells by name: an operator of ``torch.library`` takes strings, not Python objects."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}

    def key(self, cell: Cell) -> str:
        """The name under which ``cell`` is registered; a number is added where another cell has that name."""
        name, count = repr(cell), 1
        while name in self._cells and self._cells[name] != cell:
            count += 1
            name = f"{cell!r}#{count}"
        if name not in self._cells:
            self._cells[name] = cell
        return name

    def __getitem__(self, key: str) -> Cell:
        return self._cells[key]


registry = Registry()
