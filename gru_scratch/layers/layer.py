"""What every layer does around its engine: look at the input, lay it out, and give it back as it came.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence

from gru_scratch.cells.base import Cell
from gru_scratch.engines.torch_private import transformed, under_func_transform
from gru_scratch.engines.weights import is_dense
from gru_scratch.layers import ragged
from gru_scratch.layers.dropout import DropoutMasks, dropout
from gru_scratch.layers.leaf import as_leaf
from gru_scratch.layers.number_types import autocast_type, check_devices, check_types
from gru_scratch.layers.ragged import Ragged
from gru_scratch.layers.stack import Parameters, run_stack

TOKEN_TYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class RecurrentLayer:
    """The forward pass of a layer, mixed into a module that has the parameters and, as ``torch.nn``'s, the checks."""

    accepts_tokens = True
    engine: str = "fused"
    dropout_masks: DropoutMasks = "torch"
    weight_dropout: float = 0.0

    cell: Cell
    input_size: int
    hidden_size: int
    proj_size: int
    num_layers: int
    batch_first: bool
    bidirectional: bool
    dropout: float
    training: bool
    check_forward_args: Any
    permute_hidden: Any

    def layer_parameters(self) -> list[list[Parameters]]:
        """For each layer the parameters of its directions."""
        raise NotImplementedError

    def _parameters_of_a_call(self) -> list[list[Parameters]]:
        """The parameters; in training with the recurrent weights that ``weight_dropout`` leaves, drawn anew."""
        layers = self.layer_parameters()
        if not (self.training and self.weight_dropout):
            return layers
        return [[each.drop(self.weight_dropout) for each in directions] for directions in layers]

    def autocast_types(
        self, low: torch.dtype, states: Sequence[torch.dtype], device: str, packed: bool
    ) -> list[torch.dtype]:
        """What type each state comes to be under autocast to ``low``, from the types of the initial ones."""
        return [torch.promote_types(state, low) for state in states]

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        """The state to start from where none is given: zeros (L * directions, B, P or H), or a tuple of such."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.hidden_size] * len(self.cell.states._fields)
        sizes[0] = self.proj_size or self.hidden_size
        return self._join([torch.zeros(rows, batch_size, size, device=device, dtype=dtype) for size in sizes])

    def forward(self, input: Any, hx: Any = None, *, lengths: Tensor | Sequence[int] | None = None) -> tuple[Any, Any]:
        """Run the layer over a batch of sequences, as the layers of ``torch.nn`` do.

        Args:
            input: (T, B, D); (B, T, D) with ``batch_first``; (T, D) for one sequence; or a ``PackedSequence``. Integers
                of one dimension less are token indices, the same as one-hot vectors of size D.
            hx: the initial state, (L * directions, B, P or H), or (L * directions, P or H) for one sequence; a tuple of
                such for a cell of several states; None: zeros.
            lengths: (B,), the sequences' lengths in any order, 0 allowed: past its length a sequence's input is not
                read, its outputs are zero and its state stays.

        Returns:
            The outputs of the last layer, in the layout of ``input``, (..., directions * (P or H)); the final state.

        Raises:
            ValueError, RuntimeError: as ``torch.nn``'s layers; ValueError for lengths or tokens out of range.
            TypeError: lengths are not integers.
        """
        if isinstance(input, Proxy):
            return as_leaf(self, input, hx=hx, lengths=lengths)  # type: ignore[no-any-return]
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("lengths cannot be given beside a PackedSequence, which has its own")
            return self._forward_packed(input, hx)
        parameters = self._parameters_of_a_call()
        tokens = input.dim() < 3 and input.dtype in TOKEN_TYPES
        batched = input.dim() == 3 - tokens
        if not batched:
            self._check_one_sequence(input, tokens, lengths)
            input = input.unsqueeze(0 if self.batch_first else 1)
        inputs = input.transpose(0, 1) if self.batch_first else input  # (T, B, ...)
        batch = inputs.shape[1]
        hx = self._start(input, tokens, batch, parameters) if hx is None else self._with_batch(hx, batched)
        self.check_forward_args(_as_one_hot(input, parameters) if tokens else input, hx, None)
        if lengths is None:
            outputs, states = self._run(inputs, self._split(hx), parameters)
        else:
            outputs, states = self._run_ragged(input, self._split(hx), parameters, lengths)
        if not batched:
            return outputs.squeeze(1), self._join([s.squeeze(1) for s in states])
        return _batch_first(outputs) if self.batch_first else outputs, self._join(states)

    def _run_ragged(
        self,
        input: Tensor,
        states: Sequence[Tensor],
        parameters: list[list[Parameters]],
        lengths: Tensor | Sequence[int],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Sort the caller's batch by length, run, and put it back in order."""
        inputs = input.transpose(0, 1) if self.batch_first else input
        steps, batch = inputs.shape[:2]
        batch_of = ragged.from_lengths(ragged.check_lengths(lengths, batch, steps, input.device), steps)
        if batch_of is None:
            return self._run(inputs, states, parameters)
        inputs = batch_of.pick(input, self.batch_first)
        outputs, states = self._run(inputs, [batch_of.sort(s) for s in states], parameters, batch_of)
        return batch_of.unsort(outputs), [batch_of.unsort(s) for s in states]

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        """Pad by one indexed copy, run, and take the packed rows back by another."""
        data, batch_sizes, sorted_indices, unsorted_indices = input
        parameters = self._parameters_of_a_call()
        tokens = data.dtype in TOKEN_TYPES and data.dim() == 1
        lengths = ragged.packed_lengths(batch_sizes, len(data))
        if hx is None:
            hx = self._start(data, tokens, len(lengths), parameters)
        else:
            hx = self.permute_hidden(hx, sorted_indices)
        self.check_forward_args(_as_one_hot(data, parameters) if tokens else data, hx, batch_sizes)
        places = ragged.padded_rows(batch_sizes, lengths).to(data.device)
        inputs = data.index_select(0, places).view(len(batch_sizes), len(lengths), *data.shape[1:])
        batch_of = None if len(places) == len(data) else Ragged(lengths.to(data.device), None, None)
        outputs, states = self._run(inputs, self._split(hx), parameters, batch_of, packed=True)
        rows = outputs.flatten(0, 1)
        if batch_of is not None:
            rows = rows.index_select(0, ragged.packed_rows(batch_sizes, len(data)).to(data.device))
        packed = PackedSequence(rows, batch_sizes, sorted_indices, unsorted_indices)
        return packed, self.permute_hidden(self._join(states), unsorted_indices)

    def _run(
        self,
        inputs: Tensor,
        states: Sequence[Tensor],
        parameters: list[list[Parameters]],
        batch_of: Ragged | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Check what ``torch.nn`` checks last, settle the type of number, and run the layers."""
        weight = parameters[0][0].weights.weight_hh
        if inputs.shape[0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        check_devices(inputs, states, weight)
        dense = is_dense(inputs)
        if not dense:
            inputs = _check_tokens(inputs, self.input_size)
        low = autocast_type(inputs, states, weight)
        if low is None:
            check_types(inputs, states, weight)
            return self._run_stack(inputs, states, parameters, batch_of)
        device = inputs.device.type
        types = self.autocast_types(low, [s.dtype for s in states], device, packed)
        compute = reduce(torch.promote_types, types)
        with torch.autocast(device, enabled=False):
            outputs, states = self._run_stack(
                inputs.to(compute) if dense else inputs,
                [s.to(compute) for s in states],
                [[each.to(compute) for each in directions] for directions in parameters],
                batch_of,
            )
            return outputs.to(types[0]), [s.to(t) for s, t in zip(states, types, strict=True)]

    def _run_stack(
        self,
        inputs: Tensor,
        states: Sequence[Tensor],
        parameters: list[list[Parameters]],
        batch_of: Ragged | None,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        drop = partial(dropout, p=self.dropout, training=self.training, masks=self.dropout_masks)
        return run_stack(self.engine, self.cell, inputs, states, parameters, batch_of, self.training, drop)

    def _start(self, input: Tensor, tokens: bool, batch: int, parameters: list[list[Parameters]]) -> Any:
        dtype = parameters[0][0].weights.weight_hh.dtype if tokens else input.dtype
        return self.initial_state(batch, device=input.device, dtype=dtype)

    def _check_one_sequence(self, input: Tensor, tokens: bool, lengths: Any) -> None:
        if input.dim() != 2 - tokens:
            noun = " tensor" if self._title == "RNN" else ""
            raise ValueError(f"{self._title}: Expected input to be 2D or 3D, got {input.dim()}D{noun} instead")
        if lengths is not None:
            raise ValueError(f"lengths needs a batch of sequences, received one of shape {tuple(input.shape)}")

    @property
    def _title(self) -> str:
        """The name in messages: that of the namesake, in a subclass too."""
        return next(c.__name__ for c in type(self).__mro__ if c.__module__.startswith(__package__))

    def _with_batch(self, hx: Any, batched: bool) -> Any:
        """The initial state with a batch dimension; RuntimeError unless it has one exactly where the input has."""
        dims = 3 if batched else 2
        kind = f"For {'batched 3-D' if batched else 'unbatched 2-D'} input"
        states = self._split(hx)
        if any(s.dim() != dims for s in states):
            if len(states) == 1:
                raise RuntimeError(f"{kind}, hx should also be {dims}-D but got {hx.dim()}-D tensor")
            found = ", ".join(f"{s.dim()}-D" for s in states)
            raise RuntimeError(f"{kind}, hx and cx should also be {dims}-D but got ({found}) tensors")
        return hx if batched else self._join([s.unsqueeze(1) for s in states])

    def _split(self, hx: Any) -> Sequence[Tensor]:
        """The states of the caller's ``hx``, which is a tensor for a cell of one state."""
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


def _batch_first(outputs: Tensor) -> Tensor:
    """(T, B, ...) → (B, T, ...): in place, as nn.GRU does it, since a view could not be detached in place."""
    return outputs.transpose(0, 1) if transformed() else outputs.transpose_(0, 1)


def _as_one_hot(tokens: Tensor, parameters: list[list[Parameters]]) -> Tensor:
    """A stand-in for checks: the shape and type of the one-hot vectors, in no memory."""
    weight = parameters[0][0].weights.weight_ih
    return weight.new_empty(1).expand(*tokens.shape, weight.shape[1])


def _check_tokens(tokens: Tensor, size: int) -> Tensor:
    """Token indices as the engines take them; ValueError for one out of range, where a look is no wait for a device."""
    looks = tokens.device.type == "cpu" and not torch.compiler.is_compiling()
    if looks and tokens.numel() and not under_func_transform():
        least, most = (int(x) for x in torch.aminmax(tokens))
        if least < 0 or most >= size:
            wrong = least if least < 0 else most
            raise ValueError(f"token indices must be between 0 and {size - 1}, received {wrong}")
    return tokens if tokens.dtype in (torch.int32, torch.int64) else tokens.long()
