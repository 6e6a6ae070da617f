"""Resets: the steps that follow one are a sequence of their own.

For an engine whose loop clears no state the batch is cut at its resets, the pieces run side by side as sequences of
different lengths, and their outputs are put back in place.

Legend: ``T`` steps, ``B`` batch, ``S`` segments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gru_scratch.cells.base import Cell, State
from gru_scratch.engines.weights import LayerWeights


def starts(states: Tensor, resets: Tensor, fresh: Tensor) -> Tensor:
    """The states (T, B, H) as the steps start from them: ``fresh`` ones, (B, H), where ``resets`` (T, B) is true.

    Few rows are copied once more, which costs a third of choosing each number by a mask.
    """
    found, rows = states.clone(memory_format=torch.contiguous_format), resets.flatten().nonzero().squeeze(1)
    found.flatten(0, 1).index_copy_(0, rows, fresh.index_select(0, rows % len(fresh)))
    return found


def by_segments(run: Callable[..., tuple[Tensor, State]]) -> Callable[..., tuple[Tensor, State]]:
    """An engine that is called as :func:`gru_scratch.engines.textbook.run`, from one that knows no resets."""

    @wraps(run)
    def run_segments(
        cell: Cell,
        inputs: Tensor,
        state: State,
        weights: LayerWeights,
        params: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
        lengths: Tensor | None = None,
        every: bool = False,
        resets: Tensor | None = None,
        fresh: Any = None,
    ) -> tuple[Tensor, State]:
        if resets is None or (lengths is not None and not bool(lengths.any())):
            return run(cell, inputs, state, weights, params, masks, lengths, every)
        pieces = cut(resets, lengths)
        start = cell.states(*(pieces.begin(given, new) for given, new in zip(state, fresh, strict=True)))
        drawn = {name: pieces.pick(mask) for name, mask in (masks or {}).items()}
        outputs, final = run(cell, pieces.pick(inputs), start, weights, params, drawn, pieces.lengths, every)
        return pieces.lay_back(outputs), cell.states(*map(pieces.end, final, state))

    return run_segments


class Segments(NamedTuple):
    """The pieces of a batch, longest first."""

    which: Tensor  # (S,), the sequence that a segment belongs to
    start: Tensor  # (S,), its first step
    lengths: Tensor  # (S,), descending
    is_first: Tensor  # (S,) bool, whether it is its sequence's first, with no reset before it
    outputs: (
        Tensor  # (T, B), where a step's output lies among those of the segments, (longest * S) rows; else their end
    )
    ends: Tensor  # (B,), each sequence's last segment; S and more: the sequence has none

    def pick(self, x: Tensor) -> Tensor:
        """(T, B, ...) → (longest, S, ...), zero past a segment's end."""
        steps, batch = x.shape[:2]
        time = torch.arange(int(self.lengths.max()), device=x.device).unsqueeze(1)  # (longest, 1)
        rows = torch.where(time < self.lengths, (self.start + time) * batch + self.which, steps * batch)
        return _with_zeros(x).index_select(0, rows.view(-1)).view(len(time), len(self.which), *x.shape[2:])

    def begin(self, given: Tensor, fresh: Tensor) -> Tensor:
        """The states (S, ...) that the segments start from: those of the batch, (B, ...), where no reset is before."""
        given, fresh = given.index_select(0, self.which), fresh.index_select(0, self.which)
        return torch.where(self.is_first.unsqueeze(-1), given, fresh)

    def end(self, states: Tensor, given: Tensor) -> Tensor:
        """The final states of the batch from those of the segments; a sequence without steps keeps its initial ones."""
        return torch.cat([states, given]).index_select(0, self.ends)

    def lay_back(self, outputs: Tensor) -> Tensor:
        """(longest, S, ...) → (T, B, ...), zero past a sequence's end."""
        rows = _with_zeros(outputs).index_select(0, self.outputs.reshape(-1))
        return rows.view(*self.outputs.shape, *outputs.shape[2:])


def cut(resets: Tensor, lengths: Tensor | None) -> Segments:
    """Cut a batch where ``resets`` (T, B) is true, within the ``lengths`` (B,) of its sequences, not all of them 0."""
    steps, batch = resets.shape
    device = resets.device
    time = torch.arange(steps, device=device).unsqueeze(1)
    ends = torch.full((batch,), steps, device=device) if lengths is None else lengths
    alive = time < ends
    starts = (resets | (time == 0)) & alive
    which, start = starts.t().nonzero().unbind(1)  # in the order of the sequences, and of time
    count = len(which)
    is_last = torch.ones(count, dtype=torch.bool, device=device)
    is_last[:-1] = which[1:] != which[:-1]
    stop = torch.where(is_last, ends.index_select(0, which), start.roll(-1))
    order = (stop - start).argsort(descending=True, stable=True)
    rank = order.argsort()  # of each segment, its place among the longest
    number = starts.t().reshape(-1).cumsum(0).view(batch, steps).t() - 1  # (T, B), the segment that a step lies in
    inside = number.clamp(min=0)
    longest = int((stop - start).max())
    offset, place = time - start[inside], rank[inside]
    return Segments(
        which[order],
        start[order],
        (stop - start)[order],
        ((start == 0) & ~resets[0].index_select(0, which))[order],
        torch.where(alive, offset * count + place, longest * count),
        (count + torch.arange(batch, device=device)).scatter(0, which[is_last], rank[is_last]),
    )


def _with_zeros(x: Tensor) -> Tensor:
    """(n, m, ...) → (n * m + 1, ...), of which the last row is zero."""
    flat = x.flatten(0, 1)
    return torch.cat([flat, flat.new_zeros(1, *flat.shape[1:])])
