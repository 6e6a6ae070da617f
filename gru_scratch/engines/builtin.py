"""Engine "builtin": PyTorch's own kernel, for the cells that ``torch.nn`` has.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``P`` size of the projected state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gru_scratch.cells.base import Cell, State
from gru_scratch.cells.gru import GRUEquations
from gru_scratch.cells.lstm import LSTMEquations
from gru_scratch.cells.rnn import RNNEquations
from gru_scratch.engines.weights import LayerWeights, is_dense


def kernel_of(cell: Cell) -> str | None:
    """The name of PyTorch's kernel that computes a cell; None where there is none."""
    step: Any = type(cell).step
    if isinstance(cell, GRUEquations) and step is GRUEquations.step and cell.reset_after:
        return "gru"
    if step is LSTMEquations.step:
        return "lstm"
    if isinstance(cell, RNNEquations) and step is RNNEquations.step:
        return f"rnn_{cell.nonlinearity}"
    return None


def run(
    cell: Cell,
    inputs: Tensor,
    state: State,
    weights: LayerWeights,
    params: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    lengths: Tensor | None = None,
    every: bool = False,
) -> tuple[Tensor, State]:
    """Run ``cell`` over a sequence: the same call as :func:`gru_scratch.engines.textbook.run`.

    Tokens become one-hot vectors, since the kernel reads vectors only; ``lengths`` must be in descending order. The
    kernel puts out the first state alone, so ``every`` is for cells without another.
    """
    if not is_dense(inputs):
        inputs = F.one_hot(inputs.long(), weights.weight_ih.shape[1]).to(weights.weight_ih.dtype)
    if lengths is None:
        return _call(cell, (inputs,), state, weights, batch_first=(False,))
    steps, alive = len(inputs), int((lengths > 0).sum())
    if alive == 0:
        return state[0].new_zeros(steps, *state[0].shape), state
    packed = pack_padded_sequence(inputs[:, :alive], lengths[:alive].cpu())
    going = cell.states(*(s[:alive].contiguous() for s in state))
    rows, final = _call(cell, packed[:2], going, weights)
    outputs, _ = pad_packed_sequence(PackedSequence(rows, packed.batch_sizes), total_length=steps)
    ended = [s[alive:] for s in state]
    final = cell.states(*(torch.cat(both) for both in zip(final, ended, strict=True)))
    return F.pad(outputs, (0, 0, 0, len(lengths) - alive)), final


def _call(
    cell: Cell, data: tuple[Tensor, ...], state: State, weights: LayerWeights, batch_first: tuple[bool, ...] = ()
) -> tuple[Tensor, State]:
    """One layer in one direction."""
    kernel: Any = getattr(torch, str(kernel_of(cell)))
    start = [s.unsqueeze(0) for s in state]
    hx = start if len(start) > 1 else start[0]
    flat = [w for w in weights if w is not None]
    biased, layers, dropout, trains, both_ways = weights.bias_ih is not None, 1, 0.0, torch.is_grad_enabled(), False
    outputs, *final = kernel(*data, hx, flat, biased, layers, dropout, trains, both_ways, *batch_first)
    return outputs, cell.states(*(s.squeeze(0) for s in final))
