"""One layer with random numbers in float64, for the tests that compare engines with each other or with a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.weights import LayerWeights


@dataclass(frozen=True)
class OneLayer:
    """All that an engine's ``run`` takes; the floating-point tensors but the masks are leaves."""

    cell: Cell
    inputs: Tensor
    state: Any
    weights: LayerWeights
    params: dict[str, Tensor]
    masks: dict[str, Tensor]
    lengths: Tensor | None

    def run(self, engine: Callable[..., tuple[Tensor, Any]]) -> tuple[Tensor, Any]:
        return engine(self.cell, self.inputs, self.state, self.weights, self.params, self.masks, self.lengths)

    @property
    def leaves(self) -> list[Tensor]:
        tensors = [self.inputs, *self.state, *self.weights, *self.params.values()]
        return [x for x in tensors if x is not None and x.requires_grad]

    def results(self, engine: Callable[..., tuple[Tensor, Any]]) -> list[Tensor]:
        """Outputs, final states, and the gradients of all leaves under a fixed random loss."""
        outputs, final = self.run(engine)
        random = torch.Generator().manual_seed(1)
        shares = [(x * torch.randn(x.shape, generator=random, dtype=x.dtype)).sum() for x in (outputs, *final)]
        grads = torch.autograd.grad(sum(shares), self.leaves, allow_unused=True, materialize_grads=True)
        return [outputs, *final, *grads]


def one_layer(
    cell: Cell,
    *,
    steps: int = 7,
    batch: int = 4,
    input_size: int = 3,
    hidden_size: int = 5,
    proj_size: int = 0,
    tokens: bool = False,
    lengths: tuple[int, ...] | None = None,
    bias: bool = True,
    training: bool = True,
) -> OneLayer:
    """Draw a layer from PyTorch's generator, its initial state and its parameters too."""

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64).requires_grad_()

    rows, output_size = len(cell.gates) * hidden_size, proj_size or hidden_size
    recurrent_rows = len(cell.recurrence.gates) * hidden_size
    inputs = torch.randint(input_size, (steps, batch)) if tokens else leaf(steps, batch, input_size)
    weights = LayerWeights(
        leaf(rows, input_size),
        leaf(recurrent_rows, output_size),
        leaf(rows) if bias else None,
        leaf(recurrent_rows) if bias else None,
        leaf(proj_size, hidden_size) if proj_size else None,
    )
    sizes = [output_size, *(hidden_size for _ in cell.states._fields[1:])]
    return OneLayer(
        cell,
        inputs,
        cell.states(*(leaf(batch, size) for size in sizes)),
        weights,
        {name: leaf(*param.sizes(hidden_size)) for name, param in cell.params.items()},
        cell.draw_masks((steps, batch, hidden_size), training, weights.weight_hh.detach()),
        None if lengths is None else torch.tensor(lengths),
    )


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """The largest difference is within ``tolerance`` of the largest magnitude."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    scale = expected.detach().abs().max().item() if expected.numel() else 0.0
    difference = (found - expected).detach().abs().max().item() if expected.numel() else 0.0
    assert difference <= tolerance * scale, f"differs by {difference:.1e} at a magnitude of {scale:.1e}"
