"""Gradient flow of a language model, layer by layer, for a training run to log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gru_scratch.cells import Cell, GRUEquations, make_cell, resolve_cell
from gru_scratch.engines import textbook
from gru_scratch.engines.weights import LayerWeights
from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.studies.gradients.flow import Flow, gradient_flow, singular_values, spread_lags
from gru_scratch.text.batches import Corpus
from gru_scratch.training.build import Model
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.text_task import TextTask


@dataclass(frozen=True)
class LayerFlow:
    """One layer of a stack."""

    layer: int
    """From 0, the lowest."""
    flow: Flow
    """Of the layer's own state, with what it reads held."""
    singular_values: dict[str, float]
    """Of each gate's recurrent block, the largest."""


def watch_run(task: TextTask) -> list[LayerFlow]:
    """Measure the model of a run, of any engine, on the first ``num_steps`` tokens of its held-out text, or else of the
    text that it is trained on; in float32. It takes about as long as some updates.
    """
    text, count = task.text, task.config.num_steps
    tokens = first_tokens(text.held_out if len(text.held_out) else text.train, count)
    weights = {name: weight.cpu().float() for name, weight in task.weights().items()}
    return model_flow(cell_of(task.config, task.model), weights, tokens.view(-1, 1), spread_lags(len(tokens)))


def first_tokens(corpus: Corpus, count: int) -> Tensor:
    """The first tokens of a text, ``count`` at most, (n,)."""
    count = min(count, len(corpus))
    return corpus[:count].long() if isinstance(corpus, Tensor) else corpus.windows(np.array([0]), count)[0]


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
        lags: see :func:`gru_scratch.studies.gradients.flow.gradient_flow`.
    """
    inputs = weights["embedding.weight"][tokens] if "embedding.weight" in weights else tokens
    found: list[LayerFlow] = []
    while f"rnn.weight_ih_l{len(found)}" in weights:
        suffix = f"_l{len(found)}"
        own = {name: weights[f"rnn.{name}{suffix}"] for name in cell.params}
        layer = LayerWeights(
            *(weights.get(f"rnn.{name}{suffix}") for name in LayerWeights._fields)  # type: ignore[arg-type]
        )
        flow = gradient_flow(cell, layer, own, inputs, lags, dtype=layer.weight_ih.dtype)
        found.append(LayerFlow(len(found), flow, singular_values(cell, layer)))
        start = cell.initial_state(inputs.shape[1], layer.hidden_size, dtype=layer.weight_ih.dtype)
        masks = cell.draw_masks((*inputs.shape[:2], layer.hidden_size), False, layer.weight_ih)
        inputs, _ = textbook.run(cell, inputs, start, layer, own, masks)
    return found
