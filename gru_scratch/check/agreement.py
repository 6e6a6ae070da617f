"""A cell over whole sequences: the engines on the same random layer, against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.check.probe import BATCH, HIDDEN, differs, draw_masks, draw_params
from gru_scratch.engines import operators, textbook
from gru_scratch.engines.trace import reads_of
from gru_scratch.engines.weights import LayerWeights

STEPS, INPUTS, PROJECTED = 4, 6, 2


def wrong_sequence(cell: Cell) -> Iterator[str]:
    """Layouts of a batch for which the engines do not agree."""
    lengths = torch.tensor([STEPS, 2, 0])
    layouts: dict[str, dict[str, Any]] = {
        "vectors": {},
        "token indices and lengths": {"tokens": True, "lengths": lengths},
    }
    try:
        if reads_of(cell).is_projectable(cell):
            layouts["a projection"] = {"projected": True}
    except Exception as error:
        yield f"differentiating a step raised {type(error).__name__}: {error}"
        return
    for layout, options in layouts.items():
        arguments, leaves = _random_layer(cell, **options)
        try:
            expected = _results(textbook.run, cell, arguments, leaves)
            actual = _results(operators.fused, cell, arguments, leaves)
        except Exception as error:
            yield f"running it over a sequence of {layout} raised {type(error).__name__}: {error}"
            return
        if wrong := [name for name, value in expected.items() if differs(actual[name], value).any()]:
            yield f"the engines fused and textbook do not agree with {layout}: {', '.join(wrong)}"


def _random_layer(
    cell: Cell, tokens: bool = False, lengths: Tensor | None = None, projected: bool = False
) -> tuple[tuple[Any, ...], dict[str, Tensor]]:
    """The arguments of an engine's ``run`` after the cell, and all tensors that have a gradient, by name."""

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64).requires_grad_()

    rows, recurrent_rows = len(cell.gates) * HIDDEN, len(cell.recurrence.gates) * HIDDEN
    width = PROJECTED if projected else HIDDEN
    weights = LayerWeights(
        leaf(rows, INPUTS),
        leaf(recurrent_rows, width),
        leaf(rows),
        leaf(recurrent_rows),
        leaf(width, HIDDEN) if projected else None,
    )
    inputs = torch.randint(INPUTS, (STEPS, BATCH)) if tokens else leaf(STEPS, BATCH, INPUTS)
    state = cell.states(leaf(BATCH, width), *(leaf(BATCH, HIDDEN) for _ in cell.states._fields[1:]))
    params = {name: value.requires_grad_() for name, value in draw_params(cell, torch.float64).items()}
    leaves = {f"initial {name}": value for name, value in state._asdict().items()}
    leaves.update({name: value for name, value in weights._asdict().items() if value is not None})
    leaves.update(params if tokens else {"inputs": inputs, **params})
    masks = draw_masks(cell, STEPS, torch.float64)
    return (inputs, state, weights, params, masks, lengths), leaves


def _results(run: Any, cell: Cell, arguments: tuple[Any, ...], leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs, final state, and the gradients of a fixed loss, by name."""
    with torch.enable_grad():
        outputs, final = run(cell, *arguments)
        values = {"outputs": outputs, **{f"final {name}": value for name, value in final._asdict().items()}}
        loss = sum((torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x) * x).sum() for x in values.values())
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {**values, **{f"gradient of {name}": grad for name, grad in zip(leaves, grads, strict=True)}}
