"""Resets: where the state is cleared inside a sequence, the steps that follow are a sequence of their own.

So no state is ever cleared: the batch is cut at its resets, the pieces are run side by side as sequences of different
lengths, and their outputs are put back in place. This works with every engine, cell and direction, and the loop over
time gets shorter.

Legend: ``T`` steps, ``B`` batch, ``S`` segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Segments(NamedTuple):
    """The pieces of a batch, longest first."""

    which: Tensor  # (S,), the sequence that a segment belongs to
    start: Tensor  # (S,), its first step
    lengths: Tensor  # (S,), descending
    is_first: Tensor  # (S,) bool, whether it is its sequence's first, with no reset before it
    is_last: Tensor  # (S,) bool, whether it is its sequence's last
    outputs: (
        Tensor  # (T, B), where a step's output lies among those of the segments, (longest * S) rows; else their end
    )
    ends: Tensor  # (2, B), each sequence's last and first segment; S and more: the sequence has none

    def pick(self, x: Tensor, batch_first: bool) -> Tensor:
        """The caller's batch, (T, B, ...) or (B, T, ...) → (longest, S, ...), zero past a segment's end."""
        steps, batch = x.shape[1::-1] if batch_first else x.shape[:2]
        time = torch.arange(int(self.lengths.max()), device=x.device).unsqueeze(1)  # (longest, 1)
        place = self.start + time
        rows = self.which * steps + place if batch_first else place * batch + self.which
        rows = torch.where(time < self.lengths, rows, steps * batch)
        flat = x.flatten(0, 1)
        read = torch.cat([flat, flat.new_zeros(1, *flat.shape[1:])]).index_select(0, rows.view(-1))
        return read.view(len(time), len(self.which), *x.shape[2:])

    def begin(self, given: Tensor, fresh: Tensor, directions: int) -> Tensor:
        """The states (L * directions, S, ...) that the segments start from.

        Args:
            given: the initial states of the batch, (L * directions, B, ...), for the segment of each sequence that a
                direction reads first.
            fresh: likewise, for all other segments.
        """
        goes_on = torch.stack([self.is_first, self.is_last][:directions])  # (directions, S)
        goes_on = goes_on.repeat(len(given) // directions, 1).view(len(given), -1, *[1] * (given.dim() - 2))
        return torch.where(goes_on, given.index_select(1, self.which), fresh.index_select(1, self.which))

    def end(self, states: Tensor, given: Tensor, directions: int) -> Tensor:
        """The final states of the batch from those of the segments; a sequence without steps keeps its initial ones."""
        every = torch.cat([states, given], 1)
        return torch.stack([row.index_select(0, self.ends[k % directions]) for k, row in enumerate(every)])

    def lay_back(self, outputs: Tensor) -> Tensor:
        """(longest, S, ...) → (T, B, ...), zero past a sequence's end."""
        flat = outputs.flatten(0, 1)
        read = torch.cat([flat, flat.new_zeros(1, *flat.shape[1:])]).index_select(0, self.outputs.reshape(-1))
        return read.view(*self.outputs.shape, *outputs.shape[2:])


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
    none = count + torch.arange(batch, device=device)
    return Segments(
        which[order],
        start[order],
        (stop - start)[order],
        ((start == 0) & ~resets[0].index_select(0, which))[order],
        is_last[order],
        torch.where(alive, offset * count + place, longest * count),
        torch.stack([none.scatter(0, which[k], rank[k]) for k in (is_last, start == 0)]),
    )


def check_resets(resets: Any, batch: int, steps: int, batch_first: bool, batched: bool) -> Tensor:
    """``resets`` as a tensor (T, B).

    Raises:
        TypeError: ``resets`` is no tensor of booleans.
        ValueError: its shape is not that of the batch.
    """
    if not isinstance(resets, Tensor) or resets.dtype != torch.bool:
        received = resets.dtype if isinstance(resets, Tensor) else type(resets).__name__
        raise TypeError(f"resets must be a tensor of torch.bool, true where a new sequence starts, received {received}")
    expected: Sequence[int] = ((batch, steps) if batch_first else (steps, batch)) if batched else (steps,)
    if tuple(resets.shape) != tuple(expected):
        raise ValueError(f"resets must have shape {tuple(expected)}, one for each step, received {tuple(resets.shape)}")
    if not batched:
        return resets.unsqueeze(1)
    return resets.t() if batch_first else resets
