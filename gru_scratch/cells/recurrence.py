"""Which products a step takes of which vectors: found by running it once and looking at what it multiplies."""

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
    """In the order of the weights' rows."""


class Recurrence(NamedTuple):
    """What a step multiplies with recurrent weights."""

    products: tuple[Product, ...]
    """In the order in which the step first asks for them."""
    gates: tuple[str, ...]
    """The gates that multiply anything, in the order of the weights' rows; the others have no recurrent weights."""
    vectors: tuple[str, ...]
    """The vectors among ``products`` that the step computes itself, in their order."""


def trace_recurrence(
    step: Callable[[Any, Any, Any], Any], gates: Sequence[str], x: Any, state: Any, products: Mapping[str, Tensor]
) -> Recurrence:
    """Run ``step(x, W, state)``, where ``W.g(v)`` notes the vector ``v`` and gives ``products[g]``.

    Raises:
        ValueError: a gate's product is taken twice, or of something that is no tensor.
    """
    taken: dict[str, Tensor] = {}

    def take(gate: str, vector: Tensor) -> Tensor:
        if gate in taken:
            raise ValueError(f"W.{gate} is called twice in a step: a gate's product is taken at most once")
        if not isinstance(vector, Tensor):
            raise ValueError(f"W.{gate} multiplies a tensor, received a {type(vector).__name__}")
        taken[gate] = vector
        return products[gate]

    named: Any = namedtuple
    step(x, named("W", gates)(*(partial(take, gate) for gate in gates)), state)
    names = {id(value): name for name, value in state._asdict().items()}
    together: dict[str, list[str]] = {}
    for gate, vector in taken.items():  # which keeps the vectors alive, so that no two have one id
        together.setdefault(names.setdefault(id(vector), f"W.{gate}"), []).append(gate)
    found = tuple(Product(name, tuple(sorted(own, key=gates.index))) for name, own in together.items())
    return Recurrence(
        found,
        tuple(gate for gate in gates if gate in taken),
        tuple(product.vector for product in found if product.vector not in state._fields),
    )
