"""Runs a layer on a batch in the engines' layout: of equal lengths or ragged, with resets and autocast or without.

Legend: ``T`` steps, ``B`` batch, ``H`` hidden size, ``P`` size of the projected state, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell
from gru_scratch.engines.choice import choose, facts, runner
from gru_scratch.engines.torch_private import transformed, under_func_transform
from gru_scratch.engines.weights import is_dense
from gru_scratch.layers import onnx_graph, ragged
from gru_scratch.layers.dropout import DropoutMasks, dropout
from gru_scratch.layers.dtypes import autocast_type, check_devices, check_types
from gru_scratch.layers.ragged import Ragged, Resets
from gru_scratch.layers.stack import Parameters, run_stack

RunStack: TypeAlias = Callable[
    [Tensor, Sequence[Tensor], list[list[Parameters]], Ragged | None, Resets | None], tuple[Tensor, Sequence[Tensor]]
]
"""A function that runs the layers on a batch that is checked and in the engines' layout."""


class Runner:
    """Runs the layers whose parameters a subclass has."""

    engine: str = "auto"
    dropout_masks: DropoutMasks = "torch"
    weight_dropout: float = 0.0

    cell: Cell
    input_size: int
    hidden_size: int
    proj_size: int
    batch_first: bool
    bidirectional: bool
    dropout: float
    training: bool

    def layer_parameters(self) -> list[list[Parameters]]:
        """The parameters of each direction, for each layer."""
        raise NotImplementedError

    def explain_engine(self, input: Tensor | None = None) -> str:
        """Which engine runs the layer on this machine, and why: ``"native: it is the fastest, and serves"``.

        Args:
            input: an input of the layer; under autocast the choice depends on its device and dtype.
        """
        weights = self.layer_parameters()[0][0].weights
        if transformed() or weights.weight_ih.is_complex():
            return "textbook: the only one that transforms of torch.func, forward mode and complex numbers go through"
        low = None if input is None else autocast_type(input, (), weights.weight_ih)
        choice = choose(self.engine, self.cell, facts(weights, low))
        if self.engine not in ("auto", choice.engine):
            return f"none: engine {self.engine!r} cannot run this layer: {choice.reason}"
        return f"{choice.engine}: {choice.reason}"

    def _parameters_of_a_call(self) -> list[list[Parameters]]:
        """The parameters, in training with ``weight_dropout`` applied to the recurrent weights."""
        layers = self.layer_parameters()
        if not (self.training and self.weight_dropout):
            return layers
        return [[each.drop(self.weight_dropout) for each in directions] for directions in layers]

    def autocast_types(
        self, low: torch.dtype, states: Sequence[torch.dtype], device: str, packed: bool
    ) -> list[torch.dtype]:
        """The dtype of each final state under autocast to ``low``, from the dtypes of the initial ones."""
        return [torch.promote_types(state, low) for state in states]

    def _run_ragged(
        self,
        input: Tensor,
        states: Sequence[Tensor],
        parameters: list[list[Parameters]],
        lengths: Tensor,
        run: RunStack,
        anew: Resets | None,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Sort the caller's batch by length, run the layers, and restore the order."""
        inputs = input.transpose(0, 1) if self.batch_first else input
        if torch.onnx.is_in_onnx_export():  # its operators take sequences in any order
            return self._run(inputs, states, parameters, run, Ragged(lengths, None, None), anew)
        batch_of = ragged.from_lengths(lengths, inputs.shape[0])
        if batch_of is None:
            return self._run(inputs, states, parameters, run, anew=anew)
        inputs = batch_of.pick(input, self.batch_first)
        anew = None if anew is None else anew.sort(batch_of)
        outputs, states = self._run(inputs, [batch_of.sort(s) for s in states], parameters, run, batch_of, anew)
        return batch_of.unsort(outputs), [batch_of.unsort(s) for s in states]

    def _run(
        self,
        inputs: Tensor,
        states: Sequence[Tensor],
        parameters: list[list[Parameters]],
        run: RunStack,
        batch_of: Ragged | None = None,
        anew: Resets | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Check what ``torch.nn`` checks last, determine the dtype, and run the layers."""
        weight = parameters[0][0].weights.weight_hh
        if inputs.shape[0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        check_devices(inputs, states, weight)
        dense = is_dense(inputs)
        if not dense:
            inputs = _check_tokens(inputs, parameters[0][0].weights.weight_ih.shape[1])
        low = autocast_type(inputs, states, weight)
        if low is None:
            check_types(inputs, states, weight)
            return run(inputs, states, parameters, batch_of, anew)
        device = inputs.device.type
        types = self.autocast_types(low, [s.dtype for s in states], device, packed)
        compute = reduce(torch.promote_types, types)
        with torch.autocast(device, enabled=False):
            outputs, states = run(
                inputs.to(compute) if dense else inputs,
                [s.to(compute) for s in states],
                [[each.to(compute) for each in directions] for directions in parameters],
                batch_of,
                None if anew is None else Resets(anew.mask, [s.to(compute) for s in anew.fresh]),
            )
            return outputs.to(types[0]), [s.to(t) for s, t in zip(states, types, strict=True)]

    def _run_stack(
        self,
        inputs: Tensor,
        states: Sequence[Tensor],
        parameters: list[list[Parameters]],
        batch_of: Ragged | None,
        anew: Resets | None,
        every: bool = False,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """``every``: a step of the last layer puts out all its states, one beside the other."""
        drop = partial(dropout, p=self.dropout, training=self.training, masks=self.dropout_masks)
        engine = self.engine
        if every and torch.onnx.is_in_onnx_export():
            engine = "textbook"  # ONNX's operators put out the first state alone: the steps are written out
        elif torch.onnx.is_in_onnx_export() and onnx_graph.has_operator(self, inputs):
            return onnx_graph.run_stack(self, inputs, states, parameters, batch_of, drop)
        run, last = runner(engine), runner(engine, every)
        return run_stack(run, last, self.cell, inputs, states, parameters, batch_of, anew, self.training, drop)

    @property
    def _title(self) -> str:
        """The name of the layer in messages: that of its namesake, also for a subclass."""
        return next(c.__name__ for c in type(self).__mro__ if c.__module__.startswith(__package__))

    def _split(self, hx: Any) -> Sequence[Tensor]:
        """The states of the caller's ``hx``, which is a single tensor for a cell with one state."""
        count = len(self.cell.states._fields)
        if count == 1:
            return (hx,)
        states = [hx[k] for k in range(count)]
        if len(hx) != count:
            raise RuntimeError(f"{self._title.lower()} expects {'two' if count == 2 else count} hidden states")
        if isinstance(hx, Tensor):
            raise TypeError(f"{self._title.lower()}(): argument 'hx' must be tuple of Tensors, not Tensor")
        return states

    def _join(self, states: Sequence[Tensor]) -> Any:
        """The inverse of :meth:`_split`."""
        return states[0] if len(states) == 1 else tuple(states)


def _check_tokens(tokens: Tensor, size: int) -> Tensor:
    """Token indices for the engines; on a CPU, ValueError for one out of range (elsewhere a check would wait)."""
    looks = tokens.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if looks and tokens.numel() and not under_func_transform():
        least, most = (int(x) for x in torch.aminmax(tokens))
        if least < 0 or most >= size:
            wrong = least if least < 0 else most
            raise ValueError(f"token indices must be between 0 and {size - 1}, received {wrong}")
    return tokens if tokens.dtype in (torch.int32, torch.int64) else tokens.long()
