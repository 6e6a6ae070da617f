"""Which vectors a step multiplies with recurrent weights: it is run once, and its calls of ``W`` are recorded."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor


class Product(NamedTuple):
    """A vector, and the gates that multiply it with their recurrent weights: one matrix product a step."""

    vector: str
    """The name of a state; or, for a vector that the step computes, ``"W."`` and the gate first called with it."""
    gates: tuple[str, ...]

    """Their names, in the order of the weights' rows."""


class Recurrence(NamedTuple):
    """What a step multiplies with recurrent weights."""

    products: tuple[Product, ...]
    """The products, in the order in which the step first asks for them."""
    gates: tuple[str, ...]
    """The gates that multiply anything, in the order of the weights' rows; the others have no recurrent weights."""
    vectors: tuple[str, ...]
    """The vectors among ``products`` that the step computes itself, in their order."""


def trace_recurrence(
    step: Callable[[Any, Any, Any], Any], gates: Sequence[str], x: Any, state: Any, products: Mapping[str, Tensor]
) -> Recurrence:
    """Run ``step(x, W, state)``, where ``W.g(v)`` records the vector ``v`` and returns ``products[g]``.

    Raises:
        ValueError: ``W.g`` is called twice, or with something that is no tensor.
    """
    vectors: dict[str, Tensor] = {}

    def multiply(gate: str, vector: Tensor) -> Tensor:
        if gate in vectors:
            raise ValueError(f"W.{gate} is called twice in a step: expected at most one call")
        if not isinstance(vector, Tensor):
            raise ValueError(f"W.{gate} multiplies a tensor, received a {type(vector).__name__}")
        vectors[gate] = vector
        return products[gate]

    named: Any = namedtuple
    step(x, named("W", gates)(*(partial(multiply, gate) for gate in gates)), state)
    names = {id(value): name for name, value in state._asdict().items()}
    gates_of: dict[str, list[str]] = {}
    for gate, vector in vectors.items():  # which keeps the vectors alive, so that no two have one id
        gates_of.setdefault(names.setdefault(id(vector), f"W.{gate}"), []).append(gate)
    made = tuple(Product(name, tuple(sorted(own, key=gates.index))) for name, own in gates_of.items())
    return Recurrence(
        made,
        tuple(gate for gate in gates if gate in vectors),
        tuple(product.vector for product in made if product.vector not in state._fields),
    )
