"""The contract of a cell, and the registry that gives an engine a cell by name.

A cell knows one step; an engine knows time. A cell of one's own is a class with three things::

    class UpdateState(NamedTuple):
        h: Tensor

    class UpdateCell(Cell):
        gates = ("z", "n")
        states = UpdateState

        def step(self, x, h, state):
            z, n = torch.sigmoid(x.z + h.z), torch.tanh(x.n + h.n)
            return UpdateState(z * state.h + (1 - z) * n), {"z": z, "n": n}

Legend: ``B`` batch, ``H`` hidden size, ``T`` steps.
"""

from __future__ import annotations

import keyword
from collections import namedtuple
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

Gates: TypeAlias = dict[str, Tensor]
"""What a step computed on its way, by name: what the studies look at and a hand-written derivative starts from."""

State: TypeAlias = Any
"""An instance of the cell's own NamedTuple; ``Any`` because every cell has its own fields."""

PreActivations: TypeAlias = Any
"""A NamedTuple with one tensor (B, H) for each gate: ``x.z``, ``h.z``."""

Coefficients: TypeAlias = dict[str, dict[str, Tensor]]
"""The diagonal Jacobian of a step: see :meth:`Cell.derivative`."""


def through_sigmoid(gradient: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """``gradient * y * (1 - y)``: the gradient before y = sigmoid(a), in one pass."""
    if out is None:
        return torch.ops.aten.sigmoid_backward(gradient, y)  # type: ignore[no-any-return]
    return torch.ops.aten.sigmoid_backward.grad_input(gradient, y, grad_input=out)  # type: ignore[no-any-return]


def through_tanh(gradient: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    """``gradient * (1 - y²)``: the gradient before y = tanh(a), in one pass."""
    if out is None:
        return torch.ops.aten.tanh_backward(gradient, y)  # type: ignore[no-any-return]
    return torch.ops.aten.tanh_backward.grad_input(gradient, y, grad_input=out)  # type: ignore[no-any-return]


class Param(NamedTuple):
    """A parameter of the cell itself: its shape, with ``"H"`` for the hidden size, and its initial value."""

    shape: tuple[str | int, ...] = ("H",)
    initial: float = 0.0

    def sizes(self, hidden_size: int) -> tuple[int, ...]:
        """The shape in numbers."""
        return tuple(hidden_size if size == "H" else int(size) for size in self.shape)


class Cell:
    """One step of a recurrent network, as equations.

    A subclass declares

    - ``gates``: the names of its pre-activations, in the order of the weights' rows,
    - ``states``: a NamedTuple class, even for one state; the first is the layer's output,
    - ``step``: the equations, *elementwise* in the pre-activations and the state,

    and, where it needs them,

    - ``params``: parameters of its own, name → :class:`Param`; ``step`` gets them by keyword,
    - ``second_product``: the name of its last gate, when that gate's recurrent product is not taken of the state but of
      another vector (the book's GRU: ``r * h``). The step is then two functions, ``before`` and ``after``,
    - ``elementwise = False``: units within a row mix (layer norm); the engine then differentiates step by step,
    - ``projectable = True``: the step reads the first state only through its product, so that a layer may project it,
    - ``masks``: names of what ``draw_masks`` draws, once a sequence (zoneout); ``step`` gets them by keyword,
    - ``derivative``: the diagonal Jacobian by hand; without it autograd finds the same numbers.

    Two cells of one class with the same options are the same cell.
    """

    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[Any]
    params: Mapping[str, Param] = {}
    masks: tuple[str, ...] = ()
    second_product: str | None = None
    elementwise: bool = True
    projectable: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        """New equations do not inherit the derivative and the loop of the old ones."""
        super().__init_subclass__(**options)
        if vars(cls).keys() & {"step", "before", "after"}:
            cls.derivative = vars(cls).get("derivative")
            cls.in_place = vars(cls).get("in_place")
            cls.in_place_step = vars(cls).get("in_place_step")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.options() == vars_of(other)

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.options().items()))))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options().items())
        return f"{type(self).__name__}({options})"

    def options(self) -> dict[str, Any]:
        """What the constructor was told: the public attributes of the instance."""
        return vars_of(self)

    @cached_property
    def _gates_of_x(self) -> Any:
        return namedtuple("x", self.gates)

    @cached_property
    def _gates_of_h(self) -> Any:
        return namedtuple("h", self.first_product)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: without the two classes above, which can be made again."""
        return {name: value for name, value in vars(self).items() if name not in ("_gates_of_x", "_gates_of_h")}

    @property
    def first_product(self) -> tuple[str, ...]:
        """The gates whose recurrent product is taken of the state itself."""
        return self.gates[:-1] if self.second_product else self.gates

    def name_x(self, x: Tensor) -> PreActivations:
        """Name the slices of the input's pre-activations, (..., G * H), by gate."""
        return self._gates_of_x(*x.chunk(len(self.gates), -1))

    def name_h(self, h: Tensor) -> PreActivations:
        """Name the slices of the first recurrent product by gate."""
        return self._gates_of_h(*h.chunk(len(self.first_product), -1)) if self.first_product else self._gates_of_h()

    def initial_state(
        self, batch_size: int, hidden_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Zeros, (B, H) for each state."""
        return self.states(
            *(torch.zeros(batch_size, hidden_size, device=device, dtype=dtype) for _ in self.states._fields)
        )

    def step(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[State, Gates]:
        """One step: pre-activations of input and state, by gate, and the state → the new state, the gates."""
        raise NotImplementedError(f"{type(self).__name__} has no step(x, h, state)")

    def before(self, x: PreActivations, h: PreActivations, state: State, **params: Tensor) -> tuple[Tensor, Gates]:
        """With ``second_product``: the vector to multiply, and the gates so far."""
        raise NotImplementedError(f"{type(self).__name__} declares second_product but has no before(x, h, state)")

    def after(
        self, x: PreActivations, h: PreActivations, state: State, gates: Gates, product: Tensor, **params: Tensor
    ) -> tuple[State, Gates]:
        """With ``second_product``: the rest of the step, given that product."""
        raise NotImplementedError(f"{type(self).__name__} declares second_product but has no after(...)")

    def draw_masks(self, shape: tuple[int, int, int], training: bool, like: Tensor) -> dict[str, Tensor]:
        """A tensor (T, B, H) for each of ``masks``; none by default."""
        return {}

    derivative: Any = None
    """Optional ``derivative(gates, state, new, out) -> Coefficients``, elementwise, for many steps at once.

    ``gates`` are those that the step returned, ``state`` and ``new`` the states before and after it. The result maps
    each new state's name to its derivative with respect to

    - a gate's name: that gate's recurrent pre-activation (and the input's, where no other is given),
    - ``"x."`` and the gate's name: the input's pre-activation, where it differs: for the gates in ``x_apart``,
    - a state's name: the state before,
    - ``"new."`` and a state's name: another new state that this one is computed from (the LSTM's h from its c);

    with ``second_product``, ``"vector"`` maps likewise the derivative of the vector that is multiplied. What is missing
    is 0.

    ``out`` maps the names of pre-activations to where the engine wants their coefficients: to write there, as
    ``through_sigmoid(..., out["z"])`` does, saves a copy.
    """

    x_apart: tuple[str, ...] = ()
    """With ``derivative``: the gates whose derivative differs between the input's and the recurrent pre-activation."""

    in_place: Any = None
    """Optional ``in_place(sequence)``: the forward loop, with the equations done in place in ``sequence.buffers``
    (see :class:`gru_scratch.engines.fused.forward.Sequence`)."""

    buffers: tuple[int, ...] = ()
    """With ``in_place``: the widths, in gates, of the buffers (T, B, width * H) that it fills and backward reads."""

    kept_gates: Any = None
    """With ``in_place``: ``kept_gates(state, *buffers) -> Gates`` names the gates in a stretch of those buffers; with
    ``second_product`` also the ``"vector"`` that was multiplied."""

    in_place_step: Any = None
    """Optional ``in_place_step(x, h, state, multiply) -> Callable[[], None]``: one step without an allocation.

    The arguments are buffers that stay where they are: whenever the result is called, ``x`` (B, G * H) and ``h`` (B,
    gates of the first product * H) hold the pre-activations, to be written over, and ``state`` becomes the new state.
    ``multiply(vector)`` is the second product.
    """


def vars_of(cell: object) -> dict[str, Any]:
    """The public instance attributes: a cell's options."""
    return {name: value for name, value in vars(cell).items() if not name.startswith("_")}


def make_cell(cell: Cell | type[Cell]) -> Cell:
    """A cell from a cell or its class.

    Raises:
        TypeError: it is neither.
        ValueError: its class needs arguments, or it declares what cannot be.
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
    _ = registry.key(cell), cell._gates_of_x, cell._gates_of_h  # now: a compiler's trace of an engine only looks
    return cell


def misdeclared(cell: Cell) -> Iterator[str]:
    """What no engine can read in the declarations of a cell: a sentence each, to follow the name of its class."""
    gates, states = getattr(cell, "gates", None), getattr(cell, "states", None)
    fields: tuple[str, ...] = getattr(states, "_fields", ())
    if not (isinstance(gates, tuple) and gates and all(map(_is_name, gates)) and len(set(gates)) == len(gates)):
        yield f".gates must be a tuple of different names, received {gates!r}"
        return
    if not (isinstance(states, type) and fields):
        yield f".states must be a NamedTuple class, even for one state, received {states!r}"
        return
    if cell.second_product not in (None, gates[-1]):
        yield f".second_product must be the last gate, {gates[-1]!r}, received {cell.second_product!r}"
    if strange := [name for name in cell.x_apart if name not in gates]:
        yield f".x_apart must name gates, received {strange[0]!r}"
    if wrong := [name for name, param in cell.params.items() if not isinstance(param, Param)]:
        yield f".params must map names to Param, received {cell.params[wrong[0]]!r} for {wrong[0]!r}"
    try:
        hash(cell)
    except TypeError as error:
        yield f": its options (public attributes) must be plain values that can be hashed: {error}"
    taken = [*gates, *fields, *cell.params, *cell.masks, "vector"]
    if twice := sorted({name for name in taken if taken.count(name) > 1}):
        yield f": a name can stand for one gate, state, parameter or mask only, received {twice} twice"


def _is_name(name: object) -> bool:
    """Whether it can be a field of a NamedTuple."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name) and name[0] != "_"


class Registry:
    """Cells by name: an operator of ``torch.library`` takes strings, not Python objects."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}

    def key(self, cell: Cell) -> str:
        """The name under which ``cell`` can be found; another class under a taken name gets a name of its own."""
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
