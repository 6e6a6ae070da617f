"""The engines that differentiate by hand, as operators of ``torch.library``: a model with a layer compiles whole.

An operator takes no Python object, so a cell reaches it as a string, through the registry, and so does the engine. What
backward needs is an output of the forward operator; backward is an operator too. Where its own derivative is wanted
(``create_graph=True``), backward differentiates the textbook loop instead, which is plain autograd of any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import register_flop_formula

from gru_scratch.cells.base import Cell, State, registry
from gru_scratch.engines import operator_rules as rules
from gru_scratch.engines import textbook, torch_private
from gru_scratch.engines.fused.bptt import backward as fused_backward
from gru_scratch.engines.fused.forward import buffer_shapes as fused_buffer_shapes
from gru_scratch.engines.fused.forward import forward as fused_forward
from gru_scratch.engines.native import run as native_run
from gru_scratch.engines.operands import GRADIENT_SCHEMA, LAYER_SCHEMA, Layer
from gru_scratch.engines.weights import LayerWeights


class Kernels(NamedTuple):
    """One engine: how it runs forward, how back, and the shapes of what forward keeps for that beside the states."""

    forward: Any
    backward: Any
    buffer_shapes: Any


KERNELS: Mapping[str, Kernels] = {
    "fused": Kernels(fused_forward, fused_backward, fused_buffer_shapes),
    "native": Kernels(native_run.forward, native_run.backward, native_run.buffer_shapes),
}

_library: Any = torch.library.Library("gru_scratch", "DEF")  # type: ignore[no-untyped-call]
_library.define(f"forward({LAYER_SCHEMA}) -> Tensor[]")
_library.define(f"backward({GRADIENT_SCHEMA}, {LAYER_SCHEMA}) -> Tensor[]")


def _forward(*args: Any) -> list[Tensor]:
    """Outputs, final states; and, to ``keep`` for backward, all states and the buffers."""
    layer = Layer(*args)
    cell, params, masks = layer.named()
    lengths = layer.lengths
    run = KERNELS[layer.engine].forward
    anew = () if layer.resets is None else (layer.resets, layer.fresh)
    with torch_private.within_kernel(layer.inputs.device.type):
        states, buffers = run(
            cell, layer.inputs, tuple(layer.state), layer.weights, params, masks, lengths, layer.keep, *anew
        )
    if layer.every:
        outputs = torch.cat([s[1:] for s in states], -1)
    else:  # no view: the caller may detach it in place
        outputs = states[0][1:].clone() if layer.keep else states[0][1:].data
    if lengths is None:
        final = [s[-1].clone() for s in states]
    else:
        rows = torch.arange(len(lengths), device=lengths.device)
        final = [s[lengths, rows] for s in states]
    return [outputs, *final, *(states if layer.keep else ()), *(buffers if layer.keep else ())]


def _forward_shapes(*args: Any) -> list[Tensor]:
    layer = Layer(*args)
    (steps, batch), new, state = layer.inputs.shape[:2], layer.weight_hh.new_empty, layer.state
    final = [new(s.shape) for s in state]
    width = sum(_output_sizes(layer))
    if not layer.keep:
        return [new(steps, batch, width) if layer.every else new(steps + 1, batch, width)[1:], *final]
    outputs = new(steps, batch, width)
    states = [new(steps + 1, batch, s.shape[-1]) for s in state]
    shapes = KERNELS[layer.engine].buffer_shapes(registry[layer.cell], steps, batch, layer.weights)
    return [outputs, *final, *states, *(new(shape) for shape in shapes)]


def _backward(
    inputs_need_grad: bool, grad_outputs: Tensor, grad_state: list[Tensor], kept: list[Tensor], *args: Any
) -> list[Tensor]:
    """The gradients in the order of :meth:`Layer.flat`, but of lengths, resets and masks; empty where there is none."""
    layer = Layer(*args)
    cell, params, masks = layer.named()
    states, buffers = kept[: len(layer.state)], kept[len(layer.state) :]
    with torch_private.within_kernel(layer.inputs.device.type):
        found = KERNELS[layer.engine].backward(
            cell,
            layer.inputs,
            layer.weights,
            params,
            masks,
            layer.lengths,
            states,
            buffers,
            torch.split(grad_outputs, _output_sizes(layer), -1),
            grad_state,
            inputs_need_grad,
            *(() if layer.resets is None else (layer.resets, layer.fresh)),
        )
    weights = [d if w is not None else None for w, d in zip(layer.weights, found.weights, strict=True)]
    gradients = (found.inputs, *weights, *found.state, *found.fresh, *(found.params[name] for name in cell.params))
    return [grad_outputs.new_empty(0) if d is None else d for d in gradients]


def _backward_shapes(
    inputs_need_grad: bool, grad_outputs: Tensor, grad_state: list[Tensor], kept: list[Tensor], *args: Any
) -> list[Tensor]:
    layer = Layer(*args)
    others = (*layer.state, *(layer.fresh or ()), *(layer.params or ()))
    wanted = (layer.inputs if inputs_need_grad else None, *layer.weights, *others)
    return [grad_outputs.new_empty(0 if x is None else x.shape) for x in wanted]


def _output_sizes(layer: Layer) -> list[int]:
    """Of each state that a step puts out, how many numbers a row has."""
    return [s.shape[-1] for s in (layer.state if layer.every else layer.state[:1])]


class _Differentiable(torch.autograd.Function):
    """The forward operator, whose derivative is the backward operator."""

    @staticmethod
    def forward(
        ctx: Any, engine: str, cell: str, keep: bool, every: bool, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        layer = Layer.unflat(engine, cell, keep, every, tensors)
        with torch_private.below_autograd():
            outputs = _below_autograd(torch.ops.gru_scratch.forward, _forward, *layer)
        visible = 1 + len(layer.state)
        ctx.engine, ctx.cell, ctx.every = engine, cell, every
        ctx.count, ctx.output_shape = len(tensors), outputs[0].shape
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*outputs[visible:])
        ctx.save_for_backward(*tensors, *outputs[visible:])  # so that a weight changed in place is noticed
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        layer = Layer.unflat(ctx.engine, ctx.cell, True, ctx.every, saved[: ctx.count])
        grad_outputs = layer.weight_hh.new_zeros(ctx.output_shape) if grads[0] is None else grads[0]
        grad_state = [s.new_zeros(s.shape) if g is None else g for s, g in zip(layer.state, grads[1:], strict=False)]
        if torch.is_grad_enabled():
            found = _backward_of_textbook(layer, [grad_outputs, *grad_state], ctx.needs_input_grad[4:])
            return None, None, None, None, *found
        inputs_need_grad = ctx.needs_input_grad[4]
        kept = list(saved[ctx.count :])
        with torch_private.below_autograd():
            found = _below_autograd(
                torch.ops.gru_scratch.backward, _backward, inputs_need_grad, grad_outputs, grad_state, kept, *layer
            )
        d_weights = [d if w is not None else None for w, d in zip(layer.weights, found[1:6], strict=True)]
        d_inputs = found[0] if inputs_need_grad else None
        return None, None, None, None, d_inputs, *d_weights, None, None, *found[6:], *(None for _ in layer.masks or ())


def _below_autograd(operator: Any, kernel: Any, *args: Any) -> Any:
    """The operator, where it can be called below autograd; else its kernel, lest it come back here for ever."""
    return operator(*args) if torch_private.has("torch._C._AutoDispatchBelowAutograd") else kernel(*args)


def _backward_of_textbook(layer: Layer, grads: Sequence[Tensor], wanted: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """The gradients of all tensors of :meth:`Layer.flat` by the textbook loop, which can be differentiated again.

    Every tensor enters as an alias of its own: where one was computed from another (an initial state from the input),
    or stands in two places (tied weights), each place gets its own share and no more.
    """
    tensors = layer.flat()
    aliases = [x.view_as(x) if x is not None and want else x for x, want in zip(tensors, wanted, strict=True)]
    alias = Layer.unflat(layer.engine, layer.cell, True, layer.every, aliases)
    cell, params, masks = alias.named()
    outputs, final = textbook.run(
        cell,
        alias.inputs,
        cell.states(*alias.state),
        alias.weights,
        params,
        masks,
        alias.lengths,
        layer.every,
        alias.resets,
        None if alias.resets is None else cell.states(*alias.fresh or ()),
    )
    reached = [(y, g) for y, g in zip((outputs, *final), grads, strict=True) if y.requires_grad]
    read, arriving = zip(*reached, strict=True)
    of = [x for x, want in zip(aliases, wanted, strict=True) if want]
    each = iter(torch.autograd.grad(read, of, arriving, create_graph=True, allow_unused=True))  # type: ignore[arg-type]
    return tuple(next(each) if want else None for want in wanted)


def _differentiable_forward(*args: Any) -> list[Tensor]:
    layer = Layer(*args)
    return list(_Differentiable.apply(layer.engine, layer.cell, layer.keep, layer.every, *layer.flat()))  # type: ignore[no-untyped-call]


_library.impl("forward", _forward, "CompositeExplicitAutograd")
_library.impl("backward", _backward, "CompositeExplicitAutograd")
_library.impl("forward", _differentiable_forward, "Autograd")
torch.library.register_fake("gru_scratch::forward", _forward_shapes, lib=_library)
torch.library.register_fake("gru_scratch::backward", _backward_shapes, lib=_library)


torch.library.register_vmap("gru_scratch::backward", rules.backward_of_many, lib=_library)
if torch_private.HAS_OLDER_VMAP:
    _library.impl("backward", rules.backward_under_older_vmap, "Batched")
register_flop_formula(torch.ops.gru_scratch.forward)(rules.forward_flops)
register_flop_formula(torch.ops.gru_scratch.backward)(rules.backward_flops)


def run(
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
    """Run ``cell`` over a sequence: the same call, and the same results, as :func:`gru_scratch.engines.textbook.run`.

    ``lengths`` must be sorted falling. Under ``torch.func`` transforms and in forward-mode differentiation, which a
    hand-written backward cannot serve, and for complex numbers the textbook loop runs instead; also where
    ``torch.export`` is told a length, so that what it saves needs none of this package's operators.
    """
    params, masks = params or {}, masks or {}
    anew = () if fresh is None else tuple(fresh)
    tensors = [inputs, *state, *anew, *(w for w in weights if w is not None), *params.values()]
    served = not (torch_private.transformed() and (torch.compiler.is_compiling() or _concerned(tensors)))
    if not served or weights.weight_hh.is_complex() or _is_exported_at(inputs.shape[0]):
        return textbook.run(cell, inputs, state, weights, params, masks, lengths, every, resets, fresh)
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    keep = tracing or (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))
    named = [params[name] for name in cell.params], [masks[name] for name in cell.masks]
    forward: Any = torch.ops.gru_scratch.forward
    if not (keep or torch.compiler.is_compiling()) and torch_private.comes_straight_to_kernel([*tensors, *named[1]]):
        forward = _forward  # a step of one sequence takes less time than the dispatcher
    found = forward(
        engine, cell.registry_key, keep, every, inputs, *weights, lengths, resets, list(state), list(anew), *named
    )
    return found[0], cell.states(*found[1 : 1 + len(state)])


fused = partial(run, "fused")
native = partial(run, "native")


def _is_exported_at(steps: int | torch.SymInt) -> bool:
    """Whether ``torch.export`` writes a program for this length alone: a length that may change is a ``SymInt``, of
    which no loop can be written out. (Its ``strict`` mode does not let us see which; it keeps the operator.)"""
    return torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling() and isinstance(steps, int)


def _concerned(tensors: list[Tensor]) -> bool:
    """Whether what is at work may be at work on these: forward-mode differentiation shows on the tensors themselves."""
    return torch_private.under_func_transform() or any(map(_has_tangent, tensors))


def _has_tangent(x: Tensor) -> bool:
    return forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
