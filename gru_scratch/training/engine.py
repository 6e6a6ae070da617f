"""The engine of a run: the one that its options name, or for `auto` the one chosen for its model on this machine.

A run with `auto` chooses once, when it begins, and keeps its choice when it is resumed, since another engine rounds
sums in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.models.language import RNNModelScratch
from gru_scratch.training.build import Model
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.sentence_options import SentenceOptions


def settle_engine(model: Model | nn.Module, kept: str | None = None) -> str:
    """The engine that the model runs on, which its layers then keep to; `kept` is that of a run that goes on.

    Raises ValueError, with the reason and advice, if the engine cannot run the model on this machine.
    """
    if isinstance(model, RNNModelScratch):
        return "textbook"
    layers = [each for each in model.modules() if isinstance(each, RecurrentLayer)]
    for layer in layers:  # of one cell, one size and one dtype: what serves one serves all
        asked = layer.engine
        layer.engine = kept or asked
        engine, _, reason = layer.explain_engine().partition(": ")
        if engine == "none":
            advice = "--engine auto takes the fastest that can"
            if kept is not None:
                advice = f"the run was made with {kept}; --engine fused goes on under another"
            raise ValueError(f"{reason}; {advice}")
        layer.engine = engine
    return layers[0].engine if layers else "builtin"


def kept_engine(config: TrainConfig | SentenceOptions, identity: Mapping[str, Any]) -> str | None:
    """The engine that a run of this identity keeps to; None if another is asked for now, or if it noted none."""
    asked_before = identity["options"].get("engine")
    return identity.get("engine") if asked_before == config.engine else None
