"""A layer of any cell as plainly as can be: a sequence at a time, a step at a time, nothing padded, sorted or flipped.

The reference for what a layer adds to its cell: layouts, lengths, directions, depth.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from gru_scratch.layers.layer import RecurrentLayer


def run_plain(layer: Any, sequences: list[Tensor], states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Run ``layer`` in evaluation mode.

    Args:
        sequences: one tensor (its length, D) each.
        states: for each state of the cell (layers * directions, number of sequences, H or P).

    Returns:
        The outputs, (its length, directions * H) each, and the final states, in the form of ``states``.
    """
    assert isinstance(layer, RecurrentLayer)
    outputs, finals = [], []
    for b, sequence in enumerate(sequences):
        final = []
        rows = list(sequence)
        for directions in layer.layer_parameters():
            found = []
            for backwards, (weights, own) in enumerate(directions):
                start = layer.cell.states(*(s[len(final), b : b + 1] for s in states))
                read = rows[::-1] if backwards else rows
                written, last = _run_one_way(layer.cell, read, start, weights, own)
                found.append(written[::-1] if backwards else written)
                final.append(last)
            rows = [torch.cat(row) for row in zip(*found, strict=True)]
        outputs.append(torch.stack(rows) if rows else sequence[:0])
        finals.append(final)
    stacked = [
        torch.stack([torch.cat([final[row][k] for final in finals]) for row in range(len(finals[0]))])
        for k in range(len(states))
    ]
    return outputs, stacked


def _run_one_way(cell: Any, rows: list[Tensor], state: Any, weights: Any, own: Any) -> tuple[list[Tensor], Any]:
    """One layer in one direction over one sequence, as its equations say: a product for each gate."""
    H, dtype = weights.hidden_size, weights.weight_hh.dtype
    gates = [gate for product in cell.recurrence.products for gate in product.gates]
    gates = [gate for gate in cell.gates if gate in gates]
    bias_ih = 0 if weights.bias_ih is None else weights.bias_ih
    bias_hh = torch.zeros(len(gates) * H, dtype=dtype) if weights.bias_hh is None else weights.bias_hh

    def multiply(gate: str, vector: Tensor) -> Tensor:
        k = gates.index(gate)
        return vector @ weights.weight_hh[k * H : (k + 1) * H].T + bias_hh[k * H : (k + 1) * H]

    W = SimpleNamespace(**{gate: partial(multiply, gate) for gate in gates})
    written = []
    for row in rows:
        masks = {name: m[0] for name, m in cell.draw_masks((1, 1, H), False, weights.weight_hh).items()}
        x = cell.name_x((weights.weight_ih @ row + bias_ih).unsqueeze(0))
        state, _ = cell.step(x, W, state, **own, **masks)
        if weights.weight_hr is not None:
            state = state._replace(**{state._fields[0]: state[0] @ weights.weight_hr.T})
        written.append(state[0][0])
    return written, state
