"""A layer as one node of a graph of ``torch.fx``, whose tracer takes every module outside ``torch.nn`` for code."""

from __future__ import annotations

from typing import Any

from torch.fx import Proxy
from torch.fx.proxy import TraceError


def as_leaf(module: Any, *arguments: Any, **options: Any) -> Any:
    """The call of ``module`` in the graph that is being traced; options that are None are left out.

    Raises:
        TraceError: it is ``module`` itself that is traced.
    """
    tracer: Any = next(x for x in (*arguments, *options.values()) if isinstance(x, Proxy)).tracer
    given = {name: value for name, value in options.items() if value is not None}
    path = tracer.path_of_module(module)
    if not path:
        raise TraceError(f"torch.fx traces a model with a {type(module).__name__} in it, not the layer by itself")
    return tracer.create_proxy("call_module", path, arguments, given)
