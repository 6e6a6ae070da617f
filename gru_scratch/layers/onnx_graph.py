"""A layer in a graph that ``torch.onnx.export`` writes: ONNX's operators GRU, LSTM and RNN, for any length and batch.

Both exporters work. The newer (``dynamo=True``) accepts any operator by its name; the older traces an autograd function
whose ``symbolic`` names the operator.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gru_scratch.convert.form import Direction, form_of
from gru_scratch.convert.onnx import operator_attributes, operator_inputs
from gru_scratch.engines.torch_private import absent_in_trace
from gru_scratch.engines.weights import is_dense
from gru_scratch.layers.ragged import Ragged
from gru_scratch.layers.stack import Parameters

VERSION = 14
"""The oldest version of the operators that has all that is needed here, and the one in most opsets."""


def check_call(input: Any, resets: Tensor | None) -> None:
    """Raise ValueError, with what to do instead, for a call that the operators of ONNX cannot compute."""
    if isinstance(input, PackedSequence):
        raise ValueError("ONNX has no packed sequences: call the layer with the padded batch and lengths=")
    if resets is not None:
        raise ValueError("ONNX's operators have no resets: call the layer for each piece, with the state to start from")


def has_operator(layer: Any, inputs: Tensor) -> bool:
    """Whether ONNX has an operator for ``layer``; without one, the steps of the layer are written out one by one.

    Raises:
        ValueError: there is no operator, and the length of ``inputs`` is not fixed, so steps cannot be written out.
    """
    try:
        form_of(layer, peepholes=True)
        if not layer.proj_size:
            return True
        what = f"a layer with proj_size={layer.proj_size}"
    except ValueError:
        what = f"a layer of {layer.cell!r}"
    if torch.compiler.is_exporting() and isinstance(inputs.shape[0], int):
        return False
    raise ValueError(
        f"ONNX has no operator for {what}: export it with dynamo=True and a fixed length, where its steps are written "
        "out one by one"
    )


def run_stack(
    layer: Any,
    inputs: Tensor,
    states: Sequence[Tensor],
    parameters: list[list[Parameters]],
    ragged: Ragged | None,
    drop: Callable[[Tensor], Tensor],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Write an operator for each layer; called like :func:`gru_scratch.layers.stack.run_stack`, with the same results.

    While the graph is written the results have the right shapes, and no meaningful values.
    """
    form = form_of(layer, peepholes=True)
    attributes = operator_attributes(layer, form)
    lengths = None if ragged is None else ragged.lengths.to(torch.int32)
    if not is_dense(inputs):
        numbers = torch.arange(layer.input_size, device=inputs.device)
        inputs = (inputs.unsqueeze(-1) == numbers).to(states[0].dtype)  # one-hot, (T, B, D)
    finals = []
    for depth, directions in enumerate(parameters):
        count = len(directions)
        W, R, B, P = operator_inputs(form, [Direction(*p.weights[:4]) for p in directions], [p.own for p in directions])
        start = [state[depth * count : (depth + 1) * count] for state in states]
        peepholes = [] if P is None else [P]
        outputs, *final = _operator(form.kind, attributes, [inputs, W, R, B, lengths, *start, *peepholes])
        if lengths is not None:  # the operator leaves zeros past a sequence's end
            final = [torch.where((lengths > 0).unsqueeze(-1), s, s_0) for s, s_0 in zip(final, start, strict=True)]
        finals.append(final)
        inputs = outputs.transpose(1, 2).flatten(2)  # (T, directions, B, H) → (T, B, directions * H)
        if depth + 1 < len(parameters):
            inputs = drop(inputs)
    return inputs, tuple(torch.cat(each) for each in zip(*finals, strict=True))


def _operator(kind: str, attributes: Mapping[str, Any], inputs: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """The outputs (T, directions, B, H) and the final states (directions, B, H) of an operator."""
    if not torch.compiler.is_exporting():
        return _Traced.apply(kind, attributes, *inputs)  # type: ignore[no-any-return, no-untyped-call]
    x, state = inputs[0], inputs[5]
    assert x is not None
    assert state is not None
    count = 2 if kind == "LSTM" else 1
    shapes = [(x.shape[0], state.shape[0], *x.shape[1:2], state.shape[2]), *[state.shape] * count]
    return torch.onnx.ops.symbolic_multi_out(
        kind, inputs, dict(attributes), dtypes=[x.dtype] * (1 + count), shapes=shapes, version=VERSION
    )


class _Traced(torch.autograd.Function):
    """The operator for the older exporter."""

    @staticmethod
    def forward(ctx: Any, kind: str, attributes: Mapping[str, Any], *inputs: Tensor | None) -> tuple[Tensor, ...]:
        x, state = inputs[0], inputs[5]
        assert x is not None
        assert state is not None
        outputs = x.new_zeros(x.shape[0], state.shape[0], x.shape[1], state.shape[2])
        return outputs, *(state.new_zeros(state.shape) for _ in range(2 if kind == "LSTM" else 1))

    @staticmethod
    def symbolic(g: Any, kind: str, attributes: Mapping[str, Any], *inputs: Any) -> Any:
        typed = {f"{name}_{_letter(value)}": value for name, value in attributes.items()}
        given = [absent_in_trace(g) if x is None else x for x in inputs]
        return g.op(kind, *given, **typed, outputs=3 if kind == "LSTM" else 2)


def _letter(value: Any) -> str:
    """The letter by which the older exporter knows the type of an attribute."""
    return "i" if isinstance(value, int) else "s"
