"""The way back from a layer or cell of ours to that of ``torch.nn`` which it subclasses."""

from __future__ import annotations

from typing import Any

from torch import nn


def as_namesake(module: nn.Module) -> nn.Module:
    """The module of ``torch.nn`` that ``module`` stands in for, with the very same parameters.

    TorchScript reads no engine: ``torch.jit.script`` gets this one, and leaves it in the place of ``module`` in the
    model that it was given. Script a copy of a model that is to go on with ours.

    Raises:
        RuntimeError: there is none that computes the same.
    """
    namesake: Any = next(c for c in type(module).__mro__ if c.__module__ == nn.RNNBase.__module__)
    if not getattr(module, "reset_after", True):
        raise RuntimeError(
            f"no nn.{namesake.__name__} has its reset gate before the product: TorchScript cannot run it"
        )
    if getattr(module, "dropout_masks", "torch") != "torch" or getattr(module, "weight_dropout", 0):
        raise RuntimeError(f"no nn.{namesake.__name__} drops out as this one does: TorchScript cannot run it")
    twin: nn.Module = namesake.__new__(namesake)
    twin.__dict__.update(module.__dict__)
    return twin
