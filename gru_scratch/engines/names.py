"""The names of the engines, in one table that needs no PyTorch, so that a help page can show it at once."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias, get_args

Engine: TypeAlias = Literal["auto", "native", "fused", "textbook", "builtin"]
"""auto: the fastest of the others that serves. native: the cell compiled to C. fused: PyTorch's operators, with
gradients by hand. textbook: the equations step by step, with autograd. builtin: the kernel of ``torch.nn``, for the
cells it has."""

ENGINES: tuple[Engine, ...] = get_args(Engine)

DEFAULT_VARIABLE = "GRU_SCRATCH_ENGINE"
"""The environment variable that names the engine of a layer or a run that asks for none."""


def check_engine(engine: str | None) -> str:
    """The engine's name; for None the default's, which is "auto" unless the environment names another.

    Raises:
        ValueError: there is no engine of that name.
    """
    asked = os.environ.get(DEFAULT_VARIABLE) or "auto" if engine is None else engine
    if asked not in ENGINES:
        where = f", from the environment variable {DEFAULT_VARIABLE}" if engine is None else ""
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, received {asked!r}{where}")
    return asked
