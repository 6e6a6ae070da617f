"""Engine "fused", the operators: forward and backward registered with ``torch.library``, so that a model compiles as one graph.

An operator takes no Python object, so a cell reaches it as a string, through the registry. What backward needs is an output of
the forward operator. Backward is an operator too, whose own derivative is an error: a second derivative is never silently 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gru_scratch import bptt, sequence, unroll
from gru_scratch.cells.base import Cell, State, registry
from gru_scratch.unroll import LayerWeights

_WEIGHTS = "Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, Tensor? weight_hr"
_LAYER = f"str cell, Tensor inputs, Tensor[] state, {_WEIGHTS}, Tensor[] params, Tensor[] masks, Tensor? lengths"


@torch.library.custom_op("gru_scratch::forward", mutates_args=(), schema=f"({_LAYER}, bool keep) -> Tensor[]")
def _forward(
    cell: str,
    inputs: Tensor,
    state: list[Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    weight_hr: Tensor | None,
    params: list[Tensor],
    masks: list[Tensor],
    lengths: Tensor | None,
    keep: bool,
) -> list[Tensor]:
    """Outputs, final states; and, to ``keep`` for backward, all states and the buffers."""
    the_cell, weights = registry[cell], LayerWeights(weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
    named = dict(zip(the_cell.params, params, strict=True)), dict(zip(the_cell.masks, masks, strict=True))
    states, buffers = sequence.forward(the_cell, inputs, tuple(state), weights, *named, lengths)
    outputs = states[0][1:].clone() if keep else states[0][1:]
    if lengths is None:
        final = [s[-1].clone() for s in states]
    else:
        rows = torch.arange(len(lengths), device=lengths.device)
        final = [s[lengths, rows] for s in states]
    return [outputs, *final, *(states if keep else ()), *(buffers if keep else ())]


@_forward.register_fake
def _(
    cell: str,
    inputs: Tensor,
    state: list[Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    weight_hr: Tensor | None,
    params: list[Tensor],
    masks: list[Tensor],
    lengths: Tensor | None,
    keep: bool,
) -> list[Tensor]:
    the_cell, weights = registry[cell], LayerWeights(weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
    steps, batch = inputs.shape[:2]
    new = weight_hh.new_empty
    outputs = new(steps, batch, state[0].shape[-1])
    final = [new(s.shape) for s in state]
    if not keep:
        return [outputs, *final]
    widths = sequence.buffer_widths(the_cell, weights)
    states = [new(steps + 1, batch, s.shape[-1]) for s in state]
    return [outputs, *final, *states, *(new(steps, batch, w * weights.hidden_size) for w in widths)]


@torch.library.custom_op(
    "gru_scratch::backward",
    mutates_args=(),
    schema=f"(Tensor grad_outputs, Tensor[] grad_state, {_LAYER}, Tensor[] kept, bool inputs_need_grad) -> Tensor[]",
)
def _backward(
    grad_outputs: Tensor,
    grad_state: list[Tensor],
    cell: str,
    inputs: Tensor,
    state: list[Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    weight_hr: Tensor | None,
    params: list[Tensor],
    masks: list[Tensor],
    lengths: Tensor | None,
    kept: list[Tensor],
    inputs_need_grad: bool,
) -> list[Tensor]:
    """Gradients of the inputs (empty where not asked for), the state, the five weights (empty where absent), the parameters."""
    the_cell, weights = registry[cell], LayerWeights(weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
    named = dict(zip(the_cell.params, params, strict=True)), dict(zip(the_cell.masks, masks, strict=True))
    states, buffers = kept[: len(state)], kept[len(state) :]
    found = bptt.backward(
        the_cell, inputs, weights, *named, lengths, states, buffers, grad_outputs, grad_state, inputs_need_grad
    )
    nothing = weight_hh.new_empty(0)
    wanted = [nothing if weight is None else grad for weight, grad in zip(weights, found.weights, strict=True)]
    return [
        nothing.clone() if x is nothing or x is None else x
        for x in (found.inputs, *found.state, *wanted, *(found.params[name] for name in the_cell.params))
    ]


@_backward.register_fake
def _(
    grad_outputs: Tensor,
    grad_state: list[Tensor],
    cell: str,
    inputs: Tensor,
    state: list[Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    weight_hr: Tensor | None,
    params: list[Tensor],
    masks: list[Tensor],
    lengths: Tensor | None,
    kept: list[Tensor],
    inputs_need_grad: bool,
) -> list[Tensor]:
    wanted = (inputs if inputs_need_grad else None, *state, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, *params)
    new = weight_hh.new_empty
    return [new(0) if x is None else new(x.shape) for x in wanted]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    """Through ``save_for_backward``, so that a weight changed in place before backward is noticed."""
    cell, x, state, *weights, params, masks, lengths, keep = inputs
    ctx.cell = cell
    ctx.sizes = (len(state), len(params), len(masks), len(output) - 1 - len(state))
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, *state, *weights, *params, *masks, lengths, *output[1 + len(state) :])
    ctx.output_shape = output[0].shape


def _differentiate(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    states, n_params, n_masks, _ = ctx.sizes
    saved = list(ctx.saved_tensors)

    def take(count: int) -> list[Any]:
        taken = saved[:count]
        del saved[:count]
        return taken

    (x,), state, weights, params, masks, (lengths,) = (take(n) for n in (1, states, 5, n_params, n_masks, 1))
    grad_outputs = weights[1].new_zeros(ctx.output_shape) if grads[0] is None else grads[0]
    grad_state = [torch.zeros_like(s) if g is None else g for s, g in zip(state, grads[1 : 1 + states], strict=True)]
    x_needs_grad = ctx.needs_input_grad[1] and x.is_floating_point()
    found = _backward(
        grad_outputs, grad_state, ctx.cell, x, state, *weights, params, masks, lengths, saved, x_needs_grad
    )
    d_x, d_state, d_weights, d_params = (
        found[0],
        found[1 : 1 + states],
        found[1 + states : 6 + states],
        found[6 + states :],
    )
    d_weights = [None if w is None else d for w, d in zip(weights, d_weights, strict=True)]
    return None, d_x if x_needs_grad else None, d_state, *d_weights, d_params, [None] * n_masks, None, None


def _refuse(ctx: Any, *grads: Any) -> None:
    raise RuntimeError('the fused engine has no second derivative: make the layer with engine="textbook"')


_forward.register_autograd(_differentiate, setup_context=_keep)
_backward.register_autograd(_refuse)


def run(
    cell: Cell,
    inputs: Tensor,
    state: State,
    weights: LayerWeights,
    params: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Run ``cell`` over a sequence: the same call, and the same results, as :func:`gru_scratch.unroll.run`.

    ``lengths`` must be sorted falling. Under ``torch.func`` transforms and in forward-mode differentiation, which a
    hand-written backward cannot serve, the textbook loop runs instead.

    Raises:
        RuntimeError: at a second derivative; it names ``engine="textbook"``.
    """
    params, masks = params or {}, masks or {}
    tensors = [inputs, *state, *(w for w in weights if w is not None), *params.values()]
    if not torch.compiler.is_compiling() and _transformed(tensors):
        return unroll.run(cell, inputs, state, weights, params, masks, lengths)
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    named = [params[name] for name in cell.params], [masks[name] for name in cell.masks]
    found = _forward(registry.key(cell), inputs, list(state), *weights, *named, lengths, keep)
    return found[0], cell.states(*found[1 : 1 + len(state)])


def _transformed(tensors: list[Tensor]) -> bool:
    """Whether a ``torch.func`` transform or forward-mode differentiation is at work on any of the tensors."""
    if torch._C._functorch.maybe_current_level() is not None:
        return True
    return forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(x).tangent is not None for x in tensors)
