"""The engine of a run: the one that its options name, or for `auto` the one chosen for its model on this machine.

A run with `auto` chooses once, when it begins, and keeps its choice when it is resumed, since another engine rounds
sums in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gru_scratch.layers.layer import RecurrentLayer
from gru_scratch.models.language import RNNModelScratch
from gru_scratch.training.build import Model
from gru_scratch.training.config import TrainConfig


def settle_engine(model: Model, kept: str | None = None) -> str:
    """The engine of the model, which is then fixed in its layer; `kept` is that of a run that is resumed.

    Raises ValueError, with the reason and advice, if the engine cannot run the model on this machine.
    """
    if isinstance(model, RNNModelScratch):
        return "textbook"
    layer = model.rnn
    if not isinstance(layer, RecurrentLayer):
        return "builtin"
    asked = layer.engine
    layer.engine = kept or asked
    engine, _, reason = layer.explain_engine().partition(": ")
    if engine == "none":
        advice = "--engine auto takes the fastest that can"
        if kept is not None:
            advice = f"the run was made with {kept}; --engine fused goes on under another"
        raise ValueError(f"{reason}; {advice}")
    layer.engine = engine
    return engine


def kept_engine(config: TrainConfig, identity: Mapping[str, Any]) -> str | None:
    """The engine recorded in a run's identity; None if the options name another one now, or none was recorded."""
    asked_before = identity["options"].get("engine")
    return identity.get("engine") if asked_before == config.engine else None
