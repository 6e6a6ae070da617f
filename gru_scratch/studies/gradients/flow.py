"""How strongly a state depends on an earlier one: the derivative ∂s_T/∂s_(T-k), and the recurrent matrix beside it.

    ∂s_T/∂s_(T-k) = J_T J_(T-1) ... J_(T-k+1),      J_t = ∂s_t/∂s_(t-1) with the input held

s is the whole state of a layer: h, or the LSTM's h and c side by side. The norm is the largest singular value: by how
much a small change of the old state can at most change the new one. For the plain RNN with ``tanh`` it is at most
σ_max(W_hh)^k (Pascanu et al., 2013, arXiv:1211.5063).

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``H`` hidden size, ``N`` numbers in a state (its fields together).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gru_scratch.cells import Cell, State
from gru_scratch.engines import textbook
from gru_scratch.engines.weights import LayerWeights


@dataclass(frozen=True)
class Flow:
    """The norm of ∂s_T/∂s_(T-k) for some k, over the sequences of a batch."""

    lags: tuple[int, ...]
    """k, rising."""
    norms: tuple[float, ...]
    """Geometric mean over the sequences; 0 below what a float holds, infinity above."""
    lowest: tuple[float, ...]
    highest: tuple[float, ...]


def gradient_flow(
    cell: Cell,
    weights: LayerWeights,
    params: Mapping[str, Tensor],
    inputs: Tensor,
    lags: Sequence[int],
    dtype: torch.dtype = torch.float64,
) -> Flow:
    """Measure one layer on a batch of sequences, from the cell's initial state.

    Args:
        cell, weights, params: the layer; see :func:`gru_scratch.engines.textbook.run`.
        inputs: (T, B, D), or symbols (T, B).
        lags: steps back, each from 1 to T.
        dtype: what to compute in.

    Raises:
        ValueError: no lags, or one out of range.
    """
    steps, batch = inputs.shape[:2]
    lags = sorted(set(lags))
    if not lags or lags[0] < 1 or lags[-1] > steps:
        raise ValueError(f"lags must be from 1 to the {steps} steps of the input, received {list(lags)}")
    weights = LayerWeights(*(None if w is None else w.detach().to(dtype) for w in weights))  # type: ignore[arg-type]
    params = {name: value.detach().to(dtype) for name, value in params.items()}
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    masks = cell.draw_masks((steps, batch, weights.hidden_size), False, weights.weight_ih)
    states = _states(cell, weights, params, inputs, masks)
    product = torch.eye(sum(part.shape[1] for part in states[0]), dtype=dtype).expand(batch, -1, -1)
    log_scale, found = torch.zeros(batch, dtype=dtype), []
    for k in range(1, lags[-1] + 1):
        t = steps - k
        now = {name: mask[t : t + 1] for name, mask in masks.items()}
        J = step_jacobian(cell, weights, params, inputs[t : t + 1], states[t], now)
        product = product @ J  # (B, N, N)
        size = product.abs().amax((1, 2)).clamp_min(torch.finfo(dtype).tiny)
        product = product / size[:, None, None]  # its largest entry is 1: it can neither vanish nor explode
        log_scale = log_scale + size.log()
        if k in lags:
            found.append(torch.linalg.matrix_norm(product, ord=2).log() + log_scale)
    logs = torch.stack(found)  # (K, B)
    return Flow(tuple(lags), *(tuple(x.exp().tolist()) for x in (logs.mean(1), logs.amin(1), logs.amax(1))))


def step_jacobian(
    cell: Cell,
    weights: LayerWeights,
    params: Mapping[str, Tensor],
    x: Tensor,
    state: State,
    masks: Mapping[str, Tensor],
) -> Tensor:
    """J, (B, N, N), of one step from ``state`` with input ``x``, (1, B, D) or (1, B).

    Each sequence is repeated N times; of the i-th copy the i-th number of the new state is asked, so that one backward
    pass yields every row.
    """
    sizes = [part.shape[1] for part in state]
    N = sum(sizes)
    old = torch.cat(tuple(state), 1).repeat_interleave(N, 0).requires_grad_()  # (B * N, N)
    with torch.enable_grad():
        _, new = textbook.run(
            cell,
            x.repeat_interleave(N, 1),
            cell.states(*torch.split(old, sizes, 1)),
            weights,
            params,
            {name: mask.repeat_interleave(N, 1) for name, mask in masks.items()},
        )
        rows = torch.cat(tuple(new), 1).view(-1, N, N).diagonal(dim1=1, dim2=2)
        (J,) = torch.autograd.grad(rows.sum(), old)
    return J.view(-1, N, N)


def singular_values(cell: Cell, weights: LayerWeights) -> dict[str, float]:
    """The largest singular value of each gate's recurrent block, (H, H or P), of the gates that have one."""
    gates = cell.recurrence.gates
    blocks = weights.weight_hh.detach().double().chunk(len(gates)) if gates else ()
    return {gate: float(torch.linalg.matrix_norm(W, ord=2)) for gate, W in zip(gates, blocks, strict=True)}


def spread_lags(longest: int, count: int = 40) -> tuple[int, ...]:
    """Steps back from 1 to ``longest``, closer together at the start."""
    if longest < 1:
        raise ValueError(f"the longest span must be at least 1 step, received {longest}")
    return tuple(sorted({round(longest ** (i / max(count - 1, 1))) for i in range(count)} | {longest}))


@torch.no_grad()
def _states(
    cell: Cell, weights: LayerWeights, params: Mapping[str, Tensor], inputs: Tensor, masks: Mapping[str, Tensor]
) -> list[State]:
    """The state before every step."""
    like = weights.weight_ih
    start = cell.initial_state(inputs.shape[1], weights.hidden_size, device=like.device, dtype=like.dtype)
    if weights.weight_hr is not None:
        start = start._replace(**{start._fields[0]: start[0].new_zeros(inputs.shape[1], weights.weight_hr.shape[0])})
    states = [start]
    textbook.run(cell, inputs, start, weights, params, masks, observe=lambda t, state, gates: states.append(state))
    return states
