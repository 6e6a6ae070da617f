"""What other tools see in the place of a layer: ``torch.fx`` a node of its graph, TorchScript the namesake."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Proxy
from torch.fx.proxy import TraceError


def as_leaf(module: Any, *arguments: Any, **options: Any) -> Any:
    """The call of ``module`` in the graph that is being traced; options that are None are left out.

    Raises:
        TraceError: ``module`` itself is being traced.
    """
    tracer: Any = next(x for x in (*arguments, *options.values()) if isinstance(x, Proxy)).tracer
    given = {name: value for name, value in options.items() if value is not None}
    path = tracer.path_of_module(module)
    if not path:
        raise TraceError(f"torch.fx traces a model with a {type(module).__name__} in it, not the layer by itself")
    return tracer.create_proxy("call_module", path, arguments, given)


def as_namesake(module: nn.Module) -> nn.Module:
    """The module of ``torch.nn`` that computes the same as ``module``, with the same parameter objects.

    TorchScript cannot run an engine: ``torch.jit.script`` puts this module into the model in the place of ``module``.
    Script a copy of a model that is still to run on the engines of this package.

    Raises:
        RuntimeError: no module of ``torch.nn`` computes the same.
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
