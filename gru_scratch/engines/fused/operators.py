"""Engine "fused", the operators: registered with ``torch.library``, so that a model with a layer compiles as one graph.

An operator takes no Python object, so a cell reaches it as a string, through the registry. What backward needs is an
output of the forward operator. Backward is an operator too, whose own derivative is an error: a second derivative is
never silently 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from gru_scratch.cells.base import Cell, State, registry
from gru_scratch.engines import textbook
from gru_scratch.engines.fused import bptt, forward
from gru_scratch.engines.weights import LayerWeights

_LAYER = (
    "str cell, bool keep, Tensor inputs, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh,"
    " Tensor? weight_hr, Tensor? lengths, Tensor[] state, Tensor[] params, Tensor[] masks"
)
_library: Any = torch.library.Library("gru_scratch", "DEF")  # type: ignore[no-untyped-call]
_library.define(f"forward({_LAYER}) -> Tensor[]")
_library.define(
    f"backward(bool inputs_need_grad, Tensor grad_outputs, Tensor[] grad_state, Tensor[] kept, {_LAYER}) -> Tensor[]"
)

_KEYS = torch._C.DispatchKey
_FUNC_KEYS = (
    _KEYS.FuncTorchDynamicLayerFrontMode,
    _KEYS.FuncTorchDynamicLayerBackMode,
    _KEYS.FuncTorchGradWrapper,
)


class Layer(NamedTuple):
    """What both operators take, in the order of their schema."""

    cell: str
    keep: bool
    inputs: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor | None
    lengths: Tensor | None
    state: list[Tensor]
    params: list[Tensor]
    masks: list[Tensor]

    @property
    def weights(self) -> LayerWeights:
        """The weights under their names."""
        return LayerWeights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, self.weight_hr)

    def named(self) -> tuple[Cell, dict[str, Tensor], dict[str, Tensor]]:
        """The cell, its parameters and its masks."""
        cell = registry[self.cell]
        return cell, dict(zip(cell.params, self.params, strict=True)), dict(zip(cell.masks, self.masks, strict=True))

    def flat(self) -> list[Tensor | None]:
        """All tensors in a row: autograd's functions take no lists."""
        return [*self[2:9], *self.state, *self.params, *self.masks]

    @classmethod
    def unflat(cls, cell: str, keep: bool, tensors: Sequence[Tensor | None]) -> Layer:
        """The inverse of :meth:`flat`."""
        the_cell = registry[cell]
        ends = list(accumulate((7, len(the_cell.states._fields), len(the_cell.params), len(the_cell.masks))))
        lists = (list(tensors[a:b]) for a, b in pairwise(ends))
        return cls._make((cell, keep, *tensors[:7], *lists))


@contextmanager
def _within_kernel(inputs: Tensor) -> Iterator[None]:
    """Autocast off: the type of number is settled outside. torch.func on: dispatch modes around it have it off."""
    device, excluded = inputs.device.type, torch._C._dispatch_tls_local_exclude_set()
    with ExitStack() as stack:
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
        if excluded.has(_FUNC_KEYS[0]):
            included = torch._C._dispatch_tls_local_include_set()
            stack.enter_context(
                torch._C._ForceDispatchKeyGuard(
                    included, reduce(lambda keys, key: keys.remove(key), _FUNC_KEYS, excluded)
                )
            )
        yield


def _forward(*args: Any) -> list[Tensor]:
    """Outputs, final states; and, to ``keep`` for backward, all states and the buffers."""
    layer = Layer(*args)
    cell, params, masks = layer.named()
    lengths = layer.lengths
    with _within_kernel(layer.inputs):
        states, buffers = forward.forward(cell, layer.inputs, tuple(layer.state), layer.weights, params, masks, lengths)
    outputs = states[0][1:].clone() if layer.keep else states[0][1:].data  # no view: the caller may detach it in place
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
    if not layer.keep:
        return [new(steps + 1, batch, state[0].shape[-1])[1:], *final]
    outputs = new(steps, batch, state[0].shape[-1])
    H = layer.weights.hidden_size
    states = [new(steps + 1, batch, s.shape[-1]) for s in state]
    widths = forward.buffer_widths(registry[layer.cell], layer.weights)
    return [outputs, *final, *states, *(new(steps, batch, width * H) for width in widths)]


def _backward(
    inputs_need_grad: bool, grad_outputs: Tensor, grad_state: list[Tensor], kept: list[Tensor], *args: Any
) -> list[Tensor]:
    """The gradients in the order of :meth:`Layer.flat`, without lengths and masks; empty where there is nothing."""
    layer = Layer(*args)
    cell, params, masks = layer.named()
    states, buffers = kept[: len(layer.state)], kept[len(layer.state) :]
    with _within_kernel(layer.inputs):
        found = bptt.backward(
            cell,
            layer.inputs,
            layer.weights,
            params,
            masks,
            layer.lengths,
            states,
            buffers,
            grad_outputs,
            grad_state,
            inputs_need_grad,
        )
    weights = [d if w is not None else None for w, d in zip(layer.weights, found.weights, strict=True)]
    gradients = (found.inputs, *weights, *found.state, *(found.params[name] for name in cell.params))
    return [grad_outputs.new_empty(0) if d is None else d for d in gradients]


def _backward_shapes(
    inputs_need_grad: bool, grad_outputs: Tensor, grad_state: list[Tensor], kept: list[Tensor], *args: Any
) -> list[Tensor]:
    layer = Layer(*args)
    wanted = (layer.inputs if inputs_need_grad else None, *layer.weights, *layer.state, *layer.params)
    return [grad_outputs.new_empty(0 if x is None else x.shape) for x in wanted]


class _Differentiable(torch.autograd.Function):
    """The forward operator, whose derivative is the backward operator."""

    @staticmethod
    def forward(ctx: Any, cell: str, keep: bool, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        layer = Layer.unflat(cell, keep, tensors)
        with torch._C._AutoDispatchBelowAutograd():
            outputs = torch.ops.gru_scratch.forward(*layer)
        visible = 1 + len(layer.state)
        ctx.cell, ctx.count, ctx.output_shape = cell, len(tensors), outputs[0].shape
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*outputs[visible:])
        ctx.save_for_backward(*tensors, *outputs[visible:])  # so that a weight changed in place is noticed
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        layer = Layer.unflat(ctx.cell, True, saved[: ctx.count])
        grad_outputs = layer.weight_hh.new_zeros(ctx.output_shape) if grads[0] is None else grads[0]
        grad_state = [s.new_zeros(s.shape) if g is None else g for s, g in zip(layer.state, grads[1:], strict=False)]
        inputs_need_grad = ctx.needs_input_grad[2]
        kept = list(saved[ctx.count :])
        guard = nullcontext() if torch.is_grad_enabled() else torch._C._AutoDispatchBelowAutograd()
        with guard:  # with create_graph the operator's own derivative is wanted: it refuses
            found = torch.ops.gru_scratch.backward(inputs_need_grad, grad_outputs, grad_state, kept, *layer)
        d_weights = [d if w is not None else None for w, d in zip(layer.weights, found[1:6], strict=True)]
        d_inputs = found[0] if inputs_need_grad else None
        return None, None, d_inputs, *d_weights, None, *found[6:], *(None for _ in layer.masks)


class _NoSecondDerivative(torch.autograd.Function):
    """The backward operator, whose derivative is an error."""

    @staticmethod
    def forward(ctx: Any, inputs_need_grad: bool, keep: bool, cell: str, sizes: tuple[int, int], *tensors: Any) -> Any:
        states, kept = sizes
        grad_outputs, grad_state = tensors[0], list(tensors[1 : 1 + states])
        layer = Layer.unflat(cell, keep, tensors[1 + states + kept :])
        with torch._C._AutoDispatchBelowAutograd():
            kept_tensors = list(tensors[1 + states : 1 + states + kept])
            return tuple(
                torch.ops.gru_scratch.backward(inputs_need_grad, grad_outputs, grad_state, kept_tensors, *layer)
            )

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError('the fused engine has no second derivative: make the layer with engine="textbook"')


def _differentiable_forward(*args: Any) -> list[Tensor]:
    layer = Layer(*args)
    return list(_Differentiable.apply(layer.cell, layer.keep, *layer.flat()))  # type: ignore[no-untyped-call]


def _once_differentiable_backward(
    inputs_need_grad: bool, grad_outputs: Tensor, grad_state: list[Tensor], kept: list[Tensor], *args: Any
) -> list[Tensor]:
    layer = Layer(*args)
    tensors = (grad_outputs, *grad_state, *kept, *layer.flat())
    sizes = len(grad_state), len(kept)
    return list(_NoSecondDerivative.apply(inputs_need_grad, layer.keep, layer.cell, sizes, *tensors))  # type: ignore[no-untyped-call]


_library.impl("forward", _forward, "CompositeExplicitAutograd")
_library.impl("backward", _backward, "CompositeExplicitAutograd")
_library.impl("forward", _differentiable_forward, "Autograd")
_library.impl("backward", _once_differentiable_backward, "Autograd")
torch.library.register_fake("gru_scratch::forward", _forward_shapes, lib=_library)
torch.library.register_fake("gru_scratch::backward", _backward_shapes, lib=_library)


def _backward_of_many(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[list[Tensor], list[int]]:
    """One after another: for gradients of many losses at once (``is_grads_batched``)."""

    def pick(k: int) -> tuple[Any, ...]:
        return tree_map(lambda x, dim: x if dim is None else x.select(dim, k), args, in_dims)  # type: ignore[no-any-return]

    found = [torch.ops.gru_scratch.backward(*pick(k)) for k in range(info.batch_size)]
    return [torch.stack(each) for each in zip(*found, strict=True)], [0] * len(found[0])


def _backward_of_many_at_once(*args: Any) -> list[Tensor]:
    """The same for PyTorch's older vmap, which ``is_grads_batched`` and ``gradcheck`` use: it hides the dimension."""
    level = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    hidden = torch._C._functorch.is_legacy_batchedtensor
    leaves, tree = tree_flatten(args)
    many = [isinstance(x, Tensor) and hidden(x) for x in leaves]
    shown = [torch._remove_batch_dim(x, level, 1, 0) if m else x for x, m in zip(leaves, many, strict=True)]
    if any(isinstance(x, Tensor) and hidden(x) for x in shown):
        raise RuntimeError('batches of batched gradients need torch.func.vmap, or a layer made with engine="textbook"')
    count = next(len(x) for x, m in zip(shown, many, strict=True) if m)
    picked = ([x[k] if m else x for x, m in zip(shown, many, strict=True)] for k in range(count))
    found = [torch.ops.gru_scratch.backward(*tree_unflatten(one, tree)) for one in picked]
    return [torch._add_batch_dim(torch.stack(each), 0, level) for each in zip(*found, strict=True)]


torch.library.register_vmap("gru_scratch::backward", _backward_of_many, lib=_library)
_library.impl("backward", _backward_of_many_at_once, "Batched")


def run(
    cell: Cell,
    inputs: Tensor,
    state: State,
    weights: LayerWeights,
    params: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Run ``cell`` over a sequence: the same call, and the same results, as :func:`gru_scratch.engines.textbook.run`.

    ``lengths`` must be sorted falling. Under ``torch.func`` transforms and in forward-mode differentiation, which a
    hand-written backward cannot serve, and for complex numbers the textbook loop runs instead.

    Raises:
        RuntimeError: at a second derivative; it names ``engine="textbook"``.
    """
    params, masks = params or {}, masks or {}
    tensors = [inputs, *state, *(w for w in weights if w is not None), *params.values()]
    served = not (transformed() and (torch.compiler.is_compiling() or _concerned(tensors)))
    if not served or weights.weight_hh.is_complex():
        return textbook.run(cell, inputs, state, weights, params, masks, lengths)
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    keep = tracing or (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))
    named = [params[name] for name in cell.params], [masks[name] for name in cell.masks]
    found = torch.ops.gru_scratch.forward(registry.key(cell), keep, inputs, *weights, lengths, list(state), *named)
    return found[0], cell.states(*found[1 : 1 + len(state)])


def transformed() -> bool:
    """Whether a ``torch.func`` transform or forward-mode differentiation is at work."""
    return torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0


# A compiler cannot trace this look, but takes it while it traces, and compiles again where the answer is another. The
# same as torch.compiler.assume_constant_result, which would import the compiler now.
transformed._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _concerned(tensors: list[Tensor]) -> bool:
    """Whether what is at work may be at work on these: forward-mode differentiation shows on the tensors themselves."""
    return torch._C._functorch.maybe_current_level() is not None or any(map(_has_tangent, tensors))


def _has_tangent(x: Tensor) -> bool:
    return forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
