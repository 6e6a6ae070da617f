"""What every layer does around its engine: check the input, bring it into the engines' layout, and restore its own.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from gru_scratch.engines.torch_private import is_any_autocast_enabled, transformed
from gru_scratch.layers import onnx_graph, ragged
from gru_scratch.layers.ragged import Ragged, Resets
from gru_scratch.layers.runner import Runner, RunStack
from gru_scratch.layers.stack import Parameters
from gru_scratch.layers.standins import as_leaf

ResetTo: TypeAlias = Literal["zero", "hx"]

USES_OF_A_ROW = 2
"""How often each token of the vocabulary has to occur in a batch, on average, for products by vocabulary to pay."""

TOKEN_TYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class RecurrentLayer(Runner):
    """The forward pass of a layer: a mixin for a module that has the parameters and the checks of ``torch.nn``."""

    accepts_tokens = True
    input_size: int
    num_layers: int
    batch_first: bool
    weight_ih_l0: Tensor
    check_forward_args: Any
    permute_hidden: Any

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Any:
        """The state to start from where none is given: zeros (L * directions, B, P or H), or a tuple of them."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.hidden_size] * len(self.cell.states._fields)
        sizes[0] = self.proj_size or self.hidden_size
        return self._join([torch.zeros(rows, batch_size, size, device=device, dtype=dtype) for size in sizes])

    def forward(
        self,
        input: Any,
        hx: Any = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        reset_to: ResetTo = "zero",
    ) -> tuple[Any, Any]:
        """Run the layer over a batch of sequences, as the layers of ``torch.nn`` do.

        Args:
            input: (T, B, D); (B, T, D) with ``batch_first``; (T, D) for one sequence; or a ``PackedSequence``. Integers
                of one dimension less are token indices, the same as one-hot vectors of size D.
            hx: the initial state, (L * directions, B, P or H), or (L * directions, P or H) for one sequence; for a cell
                with several states a tuple of them; None: zeros.
            lengths: (B,), the sequences' lengths in any order, 0 allowed: past its length a sequence's input is not
                read, its outputs are zero and its state stays.
            resets: booleans (T, B), (B, T) with ``batch_first``, or (T,): where true, the state is cleared before that
                step, so that a new sequence starts there. In the backward direction nothing passes from that step to
                the one before it. Like ``is_init`` of TorchRL, it is true at the first step of an episode.
            reset_to: the state after a reset: "zero", where the layer starts without ``hx``, or "hx", the given one.

        Returns:
            The outputs of the last layer, in the layout of ``input``, (..., directions * (P or H)); the final state.

        Raises:
            ValueError, RuntimeError: as the layers of ``torch.nn``; ValueError for lengths or tokens out of range, for
                resets of a wrong shape, and for lengths or resets beside a ``PackedSequence``.
            TypeError: lengths are not integers, or resets not booleans.
        """
        if isinstance(input, Proxy):
            options = {"reset_to": reset_to} if resets is not None else {}
            return as_leaf(self, input, hx=hx, lengths=lengths, resets=resets, **options)  # type: ignore[no-any-return]
        if torch.onnx.is_in_onnx_export():
            onnx_graph.check_call(input, resets)
        if isinstance(input, PackedSequence):
            for name, given in (("lengths", lengths), ("resets", resets)):
                if given is not None:
                    raise ValueError(f"{name} cannot be given beside a PackedSequence, which has its own lengths")
            return self._forward_packed(input, hx)
        return self._forward_padded(input, hx, lengths, resets, reset_to, self._run_stack)

    def read_tokens(
        self,
        tokens: Tensor,
        embedding: Tensor,
        hx: Any = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor, Any]:
        """Run the layer on the embeddings of tokens: the same as ``layer(F.embedding(tokens, embedding), hx)``.

        Where tokens occur many times, the engine "native" multiplies the weights with each row of the embedding once,
        not with that of each token.

        Args:
            tokens: indices (T, B), or (B, T) with ``batch_first``.
            embedding: (V, D), a row for each token of the vocabulary.

        Returns and raises what :meth:`forward` does.
        """
        often = tokens.device.type == "cpu" and USES_OF_A_ROW * len(embedding) <= tokens.numel()
        if not (often and self.explain_engine(embedding).startswith("native:")):
            return self.forward(F.embedding(tokens, embedding), hx, lengths=lengths)
        return self._forward_padded(tokens, hx, lengths, None, "zero", self._run_stack, embedding)

    def all_states(
        self,
        input: Tensor,
        hx: Any = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        reset_to: ResetTo = "zero",
    ) -> Any:
        """Every state of the last layer after every step, differentiable: of an LSTM the memory cells, too.

        The engine is that of :meth:`forward`; but PyTorch's own kernel returns the first state alone, so where that
        runs a cell with several states, "fused" runs its last layer. Arguments and errors are those of :meth:`forward`,
        without packed sequences.

        Returns:
            A tensor in the layout of ``input``, (..., directions * (P or H)), or for a cell with several states a tuple
            of them. The first is what :meth:`forward` returns.
        """
        every, _ = self._forward_padded(input, hx, lengths, resets, reset_to, partial(self._run_stack, every=True))
        directions = 2 if self.bidirectional else 1
        sizes = [self.proj_size or self.hidden_size, *(self.hidden_size for _ in self.cell.states._fields[1:])]
        states = torch.split(every.view(*every.shape[:-1], directions, sum(sizes)), sizes, -1)
        return self._join([state.flatten(-2) for state in states])

    def _forward_padded(
        self,
        input: Tensor,
        hx: Any,
        lengths: Tensor | Sequence[int] | None,
        resets: Tensor | None,
        reset_to: ResetTo,
        run: RunStack,
        embedding: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """Check the input, run the layers, and return the outputs in the layout of the input."""
        parameters = self._parameters_of_a_call()
        if embedding is not None:
            parameters[0] = [each.of_tokens(embedding) for each in parameters[0]]
        tokens = input.dim() < 3 and input.dtype in TOKEN_TYPES
        batched = input.dim() == 3 - tokens
        if not batched:
            self._check_one_sequence(input, tokens, lengths)
            input = input.unsqueeze(0 if self.batch_first else 1)
        inputs = input.transpose(0, 1) if self.batch_first else input  # (T, B, ...)
        batch = inputs.shape[1]
        hx = self._start(input, tokens, batch, parameters) if hx is None else self._with_batch(hx, batched)
        self.check_forward_args(self._as_one_hot(input, parameters) if tokens else input, hx, None)
        states = self._split(hx)
        if lengths is not None:
            lengths = ragged.check_lengths(lengths, batch, inputs.shape[0], input.device)
        anew = None
        if resets is not None:
            resets = ragged.check_resets(resets, batch, inputs.shape[0], self.batch_first, batched)
            fresh = states
            if _checked(reset_to) == "zero":
                fresh = self._split(self._start(input, tokens, batch, parameters))
            anew = Resets(resets, fresh)
        if lengths is not None:
            outputs, states = self._run_ragged(input, states, parameters, lengths, run, anew)
        else:
            outputs, states = self._run(inputs, states, parameters, run, anew=anew)
        if not batched:
            return outputs.squeeze(1), self._join([s.squeeze(1) for s in states])
        return _batch_first(outputs) if self.batch_first else outputs, self._join(states)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        """Pad the sequences by one indexed copy, run the layers, and pack the outputs by another."""
        data, batch_sizes, sorted_indices, unsorted_indices = input
        parameters = self._parameters_of_a_call()
        tokens = data.dtype in TOKEN_TYPES and data.dim() == 1
        lengths = ragged.packed_lengths(batch_sizes, len(data))
        if hx is None:
            hx = self._start(data, tokens, len(lengths), parameters)
        else:
            hx = self.permute_hidden(hx, sorted_indices)
        self.check_forward_args(self._as_one_hot(data, parameters) if tokens else data, hx, batch_sizes)
        places = ragged.padded_rows(batch_sizes, lengths).to(data.device)
        inputs = data.index_select(0, places).view(len(batch_sizes), len(lengths), *data.shape[1:])
        batch_of = None if len(places) == len(data) else Ragged(lengths.to(data.device), None, None)
        outputs, states = self._run(inputs, self._split(hx), parameters, self._run_stack, batch_of, packed=True)
        rows = outputs.flatten(0, 1)
        if batch_of is not None:
            rows = rows.index_select(0, ragged.packed_rows(batch_sizes, len(data)).to(data.device))
        packed = PackedSequence(rows, batch_sizes, sorted_indices, unsorted_indices)
        return packed, self.permute_hidden(self._join(states), unsorted_indices)

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Check the input's dtype and shape as the layers of ``torch.nn`` do, by the weights that it meets now."""
        weight = self.weight_ih_l0
        if input.dtype != weight.dtype and not is_any_autocast_enabled():
            like = torch.empty(1, 1, 1, dtype=input.dtype, device="meta")
            nn.RNN(1, 1, dtype=weight.dtype, device="meta").check_input(like, None)  # raises, in this version's words
        dims = 3 if batch_sizes is None else 2
        if input.dim() != dims:
            raise RuntimeError(f"input must have {dims} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _start(self, input: Tensor, tokens: bool, batch: int, parameters: list[list[Parameters]]) -> Any:
        dtype = parameters[0][0].weights.weight_hh.dtype if tokens else input.dtype
        return self.initial_state(batch, device=input.device, dtype=dtype)

    def _as_one_hot(self, tokens: Tensor, parameters: list[list[Parameters]]) -> Tensor:
        """A tensor for checks with the shape and dtype of what tokens stand for, which takes no memory."""
        return parameters[0][0].weights.weight_hh.new_empty(1).expand(*tokens.shape, self.input_size)

    def _check_one_sequence(self, input: Tensor, tokens: bool, lengths: Any) -> None:
        if input.dim() != 2 - tokens:
            noun = " tensor" if self._title == "RNN" else ""
            raise ValueError(f"{self._title}: Expected input to be 2D or 3D, got {input.dim()}D{noun} instead")
        if lengths is not None:
            raise ValueError(f"lengths needs a batch of sequences, received one of shape {tuple(input.shape)}")

    def _with_batch(self, hx: Any, batched: bool) -> Any:
        """The initial state with a batch dimension; RuntimeError if only one of input and state has one."""
        dims = 3 if batched else 2
        kind = f"For {'batched 3-D' if batched else 'unbatched 2-D'} input"
        states = self._split(hx)
        if any(s.dim() != dims for s in states):
            if len(states) == 1:
                raise RuntimeError(f"{kind}, hx should also be {dims}-D but got {hx.dim()}-D tensor")
            received = ", ".join(f"{s.dim()}-D" for s in states)
            raise RuntimeError(f"{kind}, hx and cx should also be {dims}-D but got ({received}) tensors")
        return hx if batched else self._join([s.unsqueeze(1) for s in states])


def _batch_first(outputs: Tensor) -> Tensor:
    """(T, B, ...) → (B, T, ...): in place, as nn.GRU does it, since a view could not be detached in place."""
    return outputs.transpose(0, 1) if transformed() else outputs.transpose_(0, 1)


def _checked(reset_to: str) -> str:
    if reset_to not in ("zero", "hx"):
        raise ValueError(f"reset_to must be 'zero' or 'hx', received {reset_to!r}")
    return reset_to
