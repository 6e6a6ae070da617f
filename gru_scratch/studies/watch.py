"""Gradient flow of a language model, layer by layer, for a training run to log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gru_scratch import unroll
from gru_scratch.cells import Cell, GRUEquations, make_cell, resolve_cell
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.studies.flow import Flow, gradient_flow, singular_values, spread_lags
from gru_scratch.training.build import Model, get_weights
from gru_scratch.training.config import TrainConfig
from gru_scratch.unroll import LayerWeights


@dataclass(frozen=True)
class LayerFlow:
    """One layer of a stack."""

    layer: int
    """From 0, the lowest."""
    flow: Flow
    """Of the layer's own state, with what it reads held."""
    singular_values: dict[str, float]
    """Of each gate's recurrent block, the largest."""


def watch_model(config: TrainConfig, model: Model, tokens: Tensor, steps: int | None = None) -> list[LayerFlow]:
    """Measure a model of a training run, of any engine, on the first ``steps`` of some tokens (N,).

    ``steps`` is ``config.num_steps`` where it is None, the span that gradients flow through in training; computed in
    float32, which takes about as long as some updates.

    Raises:
        ValueError: there are no tokens.
    """
    piece = tokens[: config.num_steps if steps is None else steps]
    if not len(piece):
        raise ValueError("gradient flow needs at least one token to be measured on, received none")
    weights = {name: weight.cpu().float() for name, weight in get_weights(config, model).items()}
    return model_flow(
        cell_of(config, model), weights, torch.as_tensor(piece).long().view(-1, 1), spread_lags(len(piece))
    )


def cell_of(config: TrainConfig, model: Model) -> Cell:
    """The equations that a model runs; ``torch.nn``'s layers and the functions of ``scratch/`` go by their names."""
    layer = getattr(model, "rnn", None)
    if isinstance(layer, RecurrentLayer):
        return layer.cell
    return GRUEquations(bool(config.resets_after)) if config.cell == "gru" else make_cell(resolve_cell(config.cell))


@torch.no_grad()
def model_flow(cell: Cell, weights: Mapping[str, Tensor], tokens: Tensor, lags: Sequence[int]) -> list[LayerFlow]:
    """Every layer of a model of one direction, from the lowest up.

    Args:
        cell: the equations of every layer.
        weights: the model's parameters under the names of ``RNNModel``.
        tokens: (T, B).
        lags: see :func:`gru_scratch.studies.flow.gradient_flow`.
    """
    inputs = weights["embedding.weight"][tokens] if "embedding.weight" in weights else tokens
    found: list[LayerFlow] = []
    while f"rnn.weight_ih_l{len(found)}" in weights:
        suffix = f"_l{len(found)}"
        own = {name: weights[f"rnn.{name}{suffix}"] for name in cell.params}
        layer = LayerWeights(
            *(weights.get(f"rnn.{name}{suffix}") for name in LayerWeights._fields)  # type: ignore[arg-type]
        )
        flow = gradient_flow(cell, layer, own, inputs, lags, dtype=layer.weight_hh.dtype)
        found.append(LayerFlow(len(found), flow, singular_values(cell, layer)))
        start = cell.initial_state(inputs.shape[1], layer.hidden_size, dtype=layer.weight_hh.dtype)
        masks = cell.draw_masks((*inputs.shape[:2], layer.hidden_size), False, layer.weight_hh)
        inputs, _ = unroll.run(cell, inputs, start, layer, own, masks)
    return found
