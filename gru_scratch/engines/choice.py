"""Which engine runs a layer: the one that was asked for, or for "auto" the fastest that serves.

They differ in speed alone. "native" is the fastest wherever a cell can be compiled. Without it PyTorch's own kernel is
taken where it is the fastest left: on CUDA always, on a CPU for the RNN and the LSTM; so that a layer that drops in is
nowhere slower than its namesake.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, State, registry
from gru_scratch.engines import builtin, operators, textbook
from gru_scratch.engines.native.compiler import CompilerError
from gru_scratch.engines.native.library import library_of
from gru_scratch.engines.native.tracing import NotElementwiseError
from gru_scratch.engines.segments import by_segments
from gru_scratch.engines.torch_private import answer_while_compiling, transformed
from gru_scratch.engines.weights import LayerWeights, hidden_size_of

Run: TypeAlias = Callable[..., tuple[Tensor, Any]]
"""An engine, called as :func:`gru_scratch.engines.textbook.run`."""

RUNS: Mapping[str, Run] = {
    "native": operators.native,
    "fused": operators.fused,
    "textbook": textbook.run,
    "builtin": by_segments(builtin.run),
}

ROUNDED_PAYS = 512
"""Hidden units from which on products that PyTorch may round make up for what the native loop gains, on a processor
that has instructions for them."""

logger = logging.getLogger(__name__)


class Choice(NamedTuple):
    """An engine, and why no other."""

    engine: str
    reason: str


def run_with(
    engine: str,
    cell: Cell,
    inputs: Tensor,
    state: State,
    weights: LayerWeights,
    params: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    lengths: Tensor | None = None,
    every: bool = False,
    resets: Tensor | None = None,
    fresh: State | None = None,
) -> tuple[Tensor, State]:
    """Run ``cell`` over a sequence by the engine of a name: the same call as :func:`gru_scratch.engines.textbook.run`.

    Raises:
        RuntimeError: the engine was asked for by name and cannot run this; the message says why.
    """
    chosen = engine_for(engine, cell.registry_key, *facts(weights))
    if chosen == "builtin" and transformed():
        chosen = "textbook"
    every = every and len(state) > 1
    traced = torch.compiler.is_exporting() or (torch.compiler.is_compiling() and not inputs.is_cuda)
    if chosen == "builtin" and (every or traced):
        chosen = "fused"  # that kernel returns the first state alone, and PyTorch compiles no derivative of it on a CPU
    return RUNS[chosen](cell, inputs, state, weights, params, masks, lengths, every, resets, fresh)


def runner(engine: str, every: bool = False) -> Run:
    """The engine of a name, as a function to call; ``every``: as for :func:`gru_scratch.engines.textbook.run`."""
    return partial(run_with, engine, every=every)


class Situation(NamedTuple):
    """What of a layer decides which engine runs it."""

    dtype: torch.dtype
    device: str
    hidden_size: int
    projected: bool
    """Whether its state is projected."""
    rounded: bool
    """Whether PyTorch may round what it multiplies in float32 to bfloat16, and has instructions for that here."""


def facts(weights: LayerWeights, dtype: torch.dtype | None = None) -> Situation:
    """The situation of a layer, in its own dtype or in another."""
    like = weights.weight_ih
    projected = weights.weight_hr is not None
    return Situation(dtype or like.dtype, like.device.type, hidden_size_of(weights), projected, may_round())


@answer_while_compiling
def may_round() -> bool:
    """:attr:`Situation.rounded`, as PyTorch is set now."""
    onednn: Any = torch.backends.mkldnn
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return onednn.matmul.fp32_precision == "bf16" and bool(capabilities.get("amx_bf16"))


@answer_while_compiling
def engine_for(engine: str, cell: str, *situation: Any) -> str:
    """The name of the engine that runs.

    Raises:
        RuntimeError: the one that was asked for cannot.
    """
    choice = choose(engine, registry[cell], Situation(*situation))
    if engine not in ("auto", choice.engine):
        raise RuntimeError(f"engine {engine!r} cannot run this layer: {choice.reason}")
    return choice.engine


def choose(engine: str, cell: Cell, situation: Situation) -> Choice:
    """The engine that runs a layer if ``engine`` is asked for, and the reason."""
    dtype, device, hidden_size, projected, rounded = situation
    if engine in ("fused", "textbook"):
        return Choice(engine, "it was asked for by name")
    kernel = builtin.kernel_of(cell)
    if engine == "builtin" and kernel is not None:
        return Choice(engine, "it was asked for by name")
    if engine == "builtin":
        return Choice("fused", f"torch.nn has no kernel for {cell!r}")
    refusal = native_refusal(cell, dtype, device, projected)
    if engine == "native":
        return Choice("native", "it was asked for by name") if refusal is None else Choice("fused", refusal)
    if refusal is None and not (rounded and dtype == torch.float32 and hidden_size >= ROUNDED_PAYS):
        return Choice("native", "it is the fastest, and serves")
    refusal = refusal or "PyTorch may round products here, by which fused gains more"
    plain = dtype in (torch.float32, torch.float64) and not projected
    if kernel is not None and (device == "cuda" or (device == "cpu" and kernel != "gru" and plain)):
        return Choice("builtin", f"the kernel of torch.nn is the fastest left: {refusal}")
    return Choice("fused", refusal)


def native_refusal(cell: Cell, dtype: torch.dtype, device: str, projected: bool) -> str | None:
    """Why the native engine cannot run a cell, in a clause; None if it can."""
    name = type(cell).__name__
    if device != "cpu":
        return f"the native engine runs on a CPU, not on {device}"
    if dtype not in (torch.float32, torch.float64):
        return f"the native engine computes in float32 and float64, not in {dtype}"
    if projected:
        return "the native engine has no projected state"
    if not cell.elementwise:
        return f"{name} mixes the units of a row, which native code does not"
    try:
        library_of(cell, dtype)
    except NotElementwiseError as error:
        return f"the step of {name} {error}"
    except CompilerError as error:
        _warn_once(str(error))
        return str(error)
    return None


@cache
def _warn_once(why: str) -> None:
    logger.warning("no native code: %s. Another engine runs, which is slower.", why)
