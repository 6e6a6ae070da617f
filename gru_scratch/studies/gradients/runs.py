"""Gradient flow before and during training: three cells on a text, with and without clipping.

The text, its sampling and the updates are those of the book's chapter: sequential batches, stochastic gradient descent.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from gru_scratch.cells import resolve_cell
from gru_scratch.layers import Recurrent
from gru_scratch.layers.initial import initialise_layer
from gru_scratch.models.language import RNNModel
from gru_scratch.studies.gradients.flow import Flow, gradient_flow, singular_values, spread_lags
from gru_scratch.studies.gradients.gradient_options import GradientOptions
from gru_scratch.text.batches import SequenceLoader
from gru_scratch.training.loop import updates
from gru_scratch.training.update import NotFiniteError


def _as_it_is(layer: Recurrent, span: int) -> None:
    """U(-1/√H, 1/√H), the values that the layer was made with."""


@torch.no_grad()
def _three_times(layer: Recurrent, span: int) -> None:
    layer.get_parameter("weight_hh_l0").mul_(3.0)


def _chrono(layer: Recurrent, span: int) -> None:
    initialise_layer(layer, "orthogonal", "chrono", span)


STARTS: Mapping[str, Callable[[Recurrent, int], None]] = MappingProxyType(
    {"as torch.nn": _as_it_is, "recurrent weights × 3": _three_times, "orthogonal, chrono": _chrono}
)
"""Initial values to compare; the last are those of the memory study."""


@dataclass(frozen=True)
class Look:
    """What was measured of a model after some updates."""

    update: int
    flow: Flow
    singular_values: dict[str, float]
    """Of each gate's recurrent block, the largest."""


@dataclass
class GradientRun:
    """One cell in training, from one seed."""

    cell: str
    clip: float | None
    """None: not clipped."""
    seed: int
    looks: list[Look] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    """Of all gradients together, before clipping, for every update."""
    losses: list[float] = field(default_factory=list)
    """Cross-entropy in nats a character, before every update."""
    stopped_at: int | None = None
    """The update that a loss or gradient which is not finite made impossible."""


def flow_at_start(
    cell_name: str, vocab_size: int, pieces: Tensor, start: str, seed: int, options: GradientOptions
) -> Look:
    """A fresh model on pieces of text (T, B), its layer begun in one of the ways of ``STARTS``."""
    model = _model(cell_name, vocab_size, options, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        STARTS[start](model.rnn, options.span)
    return _look(model, pieces, options, 0)


def watch_training(
    cell_name: str,
    corpus: Tensor,
    pieces: Tensor,
    vocab_size: int,
    seed: int,
    clip: float | None,
    options: GradientOptions,
    progress: Callable[[int], object] = lambda updates: None,
) -> GradientRun:
    """Train one model on ``corpus`` (N,) and measure it on ``pieces`` (T, B).

    ``progress`` is called with the number of updates done since its last call; the looks after an update that cannot be
    made are left out.
    """
    model = _model(cell_name, vocab_size, options, seed)
    run = GradientRun(cell_name, clip, seed)
    looks, last = set(options.looks), max(options.looks)
    if 0 in looks:
        run.looks.append(_look(model, pieces, options, 0))
    optimiser = torch.optim.SGD(model.parameters(), options.lr)
    loader = SequenceLoader(corpus, options.batch_size, options.num_steps, generator=random.Random(seed))
    theta = math.inf if clip is None else clip
    device = torch.device("cpu")
    while len(run.losses) < last and run.stopped_at is None:
        steps = updates(model, loader, F.cross_entropy, optimiser, device, carry_state=True, clip=theta)
        try:
            for update in steps:
                run.losses.append(update.summed_loss / update.tokens)
                run.gradient_norms.append(update.norm)
                progress(1)
                if len(run.losses) in looks:
                    run.looks.append(_look(model, pieces, options, len(run.losses)))
                if len(run.losses) == last:
                    break
        except NotFiniteError:
            run.stopped_at = len(run.losses) + 1
    progress(last - len(run.losses))
    return run


def pieces_of(corpus: Tensor, options: GradientOptions) -> Tensor:
    """``sequences`` pieces of ``span`` characters, evenly spread over a text (N,): (span, sequences).

    Raises:
        ValueError: the text is shorter than a piece.
    """
    room = len(corpus) - options.span
    if room < 0:
        raise ValueError(f"the text is too short: it has {len(corpus)} characters, and a span needs {options.span}")
    starts = [round(room * i / max(options.sequences - 1, 1)) for i in range(options.sequences)]
    return torch.stack([corpus[start : start + options.span] for start in starts], 1)


def _model(cell_name: str, vocab_size: int, options: GradientOptions, seed: int) -> RNNModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RNNModel(Recurrent(resolve_cell(cell_name), vocab_size, options.num_hiddens), vocab_size)


def _look(model: RNNModel, pieces: Tensor, options: GradientOptions, update: int) -> Look:
    ((parameters,),) = model.rnn.layer_parameters()
    cell, weights = model.rnn.cell, parameters.weights
    flow = gradient_flow(cell, weights, parameters.own, pieces, spread_lags(options.span))
    return Look(update, flow, singular_values(cell, weights))
