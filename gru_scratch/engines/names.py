"""The names of the engines, in one table that needs no PyTorch, so that a help page can show it at once."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

LayerEngine: TypeAlias = Literal["fused", "textbook"]
"""What a layer of this package runs on."""

Engine: TypeAlias = Literal["fused", "textbook", "builtin"]
"""What a training run runs on: builtin is the layer of ``torch.nn``."""

LAYER_ENGINES: tuple[LayerEngine, ...] = get_args(LayerEngine)
ENGINES: tuple[Engine, ...] = get_args(Engine)
