"""Any recurrent layer on a padded batch: those of this package with `lengths=`, those of `torch.nn` by packing.

Legend: ``B`` sequences, ``S`` steps, ``D`` input size, ``H`` hidden size, ``L`` layers.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gru_scratch.layers.dropout import dropout
from gru_scratch.layers.layer import RecurrentLayer


def run_ragged(layer: nn.Module, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a layer on inputs (S, B, D), each sequence up to its length, (B,), at least 1.

    Returns:
        The outputs (S, B, directions * H), zero past a sequence's end, and its final states, (L * directions, B, H).
    """
    if isinstance(layer, RecurrentLayer):
        outputs, state = layer.forward(inputs, lengths=lengths)
    else:
        packed = pack_padded_sequence(inputs, lengths.cpu(), enforce_sorted=False)
        packed_outputs, state = layer(packed)
        outputs, _ = pad_packed_sequence(packed_outputs, total_length=len(inputs))
    return outputs, as_tuple(state)


def read_tokens(
    layer: nn.Module,
    tokens: Tensor,
    embedding: nn.Embedding,
    drop: float,
    hx: Any = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a layer on the embeddings (S, B, D) of tokens (S, B), of whose numbers dropout zeroes the fraction `drop`.

    Returns:
        The outputs (S, B, directions * H) and the final states, (L * directions, B, H).
    """
    if isinstance(layer, RecurrentLayer) and not drop:
        outputs, state = layer.read_tokens(tokens, embedding.weight, hx, lengths=lengths)
        return outputs, as_tuple(state)
    embedded = dropout(embedding(tokens), drop, True, "quick")
    if lengths is not None:
        return run_ragged(layer, embedded, lengths)
    outputs, state = layer(embedded, hx)
    return outputs, as_tuple(state)


def as_tuple(state: Any) -> tuple[Tensor, ...]:
    """A layer's state as a tuple, also for a cell with a single state."""
    return (state,) if isinstance(state, Tensor) else tuple(state)


def as_state(states: tuple[Tensor, ...]) -> Any:
    """The inverse of `as_tuple`: the state in the form that the layer takes."""
    return states[0] if len(states) == 1 else states


def final_outputs(layer: nn.Module, states: tuple[Tensor, ...]) -> Tensor:
    """The last layer's final state, all directions side by side, (B, directions * H)."""
    directions = 2 if cast(Any, layer).bidirectional else 1
    return torch.cat(list(states[0][-directions:]), dim=-1)


def count_states(layer: nn.Module) -> int:
    """The number of tensors in the layer's state."""
    if isinstance(layer, RecurrentLayer):
        return len(layer.cell.states._fields)
    return 2 if isinstance(layer, nn.LSTM) else 1
