"""The form of a layer, which says what it computes, and its parameters by direction: the common part of conversions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gru_scratch.cells import GRUEquations, LSTMEquations, PeepholeLSTMEquations, RNNEquations

TORCH = {"RNN": "a", "GRU": "rzn", "LSTM": "ifgo"}
"""The gates of each kind in the order of `torch.nn`'s rows."""


@dataclass(frozen=True)
class Form:
    """What a layer computes."""

    kind: str
    """RNN, GRU or LSTM."""
    activation: str = "tanh"
    """The activation of an RNN."""
    reset_after: bool = True
    """Whether the reset gate of a GRU acts after the candidate's recurrent product."""
    peepholes: bool = False
    """Whether an LSTM has peepholes."""

    @property
    def gates(self) -> str:
        """The gates, in the order of `torch.nn`'s rows."""
        return TORCH[self.kind]


class Direction(NamedTuple):
    """The parameters of one layer in one direction, in the layout of `torch.nn`."""

    weight_ih: Tensor  # (G * H, D)
    weight_hh: Tensor  # (G * H, H)
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    @property
    def bias(self) -> Tensor | None:
        """The sum of both biases, for conventions with one."""
        return None if self.bias_ih is None or self.bias_hh is None else self.bias_ih + self.bias_hh


def form_of(layer: nn.Module, peepholes: bool = False) -> Form:
    """What `layer` computes: a layer of `torch.nn`, or one of this package.

    Args:
        layer: the layer.
        peepholes: whether the other convention has an LSTM with peepholes.

    Raises:
        TypeError: it is no recurrent layer.
        ValueError: its cell is none of RNN, GRU and LSTM.
    """
    cell: Any = getattr(layer, "cell", None)
    kind = type(cell)  # exactly: a subclass has equations of its own
    if kind is RNNEquations:
        return Form("RNN", activation=cell.nonlinearity)
    if kind is GRUEquations:
        return Form("GRU", reset_after=cell.reset_after)
    if kind is LSTMEquations:
        return Form("LSTM")
    if peepholes and kind is PeepholeLSTMEquations:
        return Form("LSTM", peepholes=True)
    if cell is not None:
        raise ValueError(f"only an RNN, a GRU and an LSTM have other conventions, received a layer of {cell!r}")
    if not isinstance(layer, nn.RNNBase):
        raise TypeError(f"expected a recurrent layer, received {type(layer).__name__}")
    if layer.mode.startswith("RNN"):
        return Form("RNN", activation=layer.mode.removeprefix("RNN_").lower())
    return Form(layer.mode)


def suffixes(layer: Any) -> list[str]:
    """The endings of the parameters' names: layer after layer, in each the forward and then the backward direction."""
    return [f"_l{k}{end}" for k in range(layer.num_layers) for end in ("", "_reverse")[: 1 + layer.bidirectional]]


def directions(layer: Any, target: str) -> list[Direction]:
    """The parameters of a layer, in the order of :func:`suffixes`.

    Raises:
        ValueError: the layer has a projected state, and `target` has none.
    """
    if layer.proj_size:
        raise ValueError(f"{target} has no projected state, received a layer with proj_size={layer.proj_size}")
    weights = {name: value.detach() for name, value in layer.state_dict().items()}
    return [Direction(*(weights.get(name + end) for name in Direction._fields)) for end in suffixes(layer)]  # type: ignore[arg-type]


def to_state_dict(layer: Any, parameters: Iterable[Direction]) -> dict[str, Tensor]:
    """A `state_dict` for `layer`, from its parameters by direction. A missing bias becomes 0.

    Raises:
        ValueError: a shape is not the layer's, or there is a bias and the layer has none.
    """
    state: dict[str, Tensor] = {}
    for end, direction in zip(suffixes(layer), parameters, strict=True):
        for name, value in direction._asdict().items():
            expected = getattr(layer, name + end, None)
            if expected is None:
                if value is not None and value.any():
                    raise ValueError("these parameters have biases, the layer has none: make it with bias=True")
                continue
            made = torch.zeros_like(expected.detach()) if value is None else value
            if made.shape != expected.shape:
                raise ValueError(
                    f"{name + end}: expected the shape {tuple(expected.shape)}, received {tuple(made.shape)}"
                )
            state[name + end] = made.detach().clone()
    return state


def check_same(expected: Form, received: Form, source: str) -> None:
    """Raise ValueError, with the reason, unless both forms compute the same from the same parameters."""
    if expected.kind != received.kind:
        raise ValueError(f"{source}: expected the kind {expected.kind} as the layer, received {received.kind}")
    if expected.kind == "RNN" and expected.activation != received.activation:
        raise ValueError(f"the layer's activation is {expected.activation}, that of {source} is {received.activation}")
    if expected.kind == "GRU" and expected.reset_after != received.reset_after:
        where = {True: "after the candidate's recurrent product", False: "before the candidate's recurrent product"}
        raise ValueError(
            f"the reset gate of {source} acts {where[received.reset_after]}, that of the layer "
            f"{where[expected.reset_after]}: no choice of parameters makes the two equal"
        )


def reorder(rows: Tensor, given: str, wanted: str, dim: int = 0) -> Tensor:
    """The blocks of the gates along `dim`, brought from the order `given` into the order `wanted`."""
    width = rows.shape[dim] // len(given)
    return torch.cat([rows.narrow(dim, given.index(gate) * width, width) for gate in wanted], dim)


def to_array(value: Tensor) -> np.ndarray[Any, Any]:
    """A copy as a NumPy array; bfloat16, which NumPy lacks, becomes float32."""
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).contiguous().numpy().copy()


def to_tensor(value: Any) -> Tensor:
    """A copy as a tensor, from an array or anything that NumPy can read."""
    return value.detach().clone() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))


def check_shape(what: str, value: Tensor, *allowed: Sequence[int]) -> None:
    """Raise ValueError unless the shape is one of those allowed."""
    if tuple(value.shape) not in {tuple(shape) for shape in allowed}:
        shapes = " or ".join(str(tuple(shape)) for shape in allowed)
        raise ValueError(f"{what} must have the shape {shapes}, received {tuple(value.shape)}")
