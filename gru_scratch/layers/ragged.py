"""Sequences of different lengths in the engines' layout: time first, padded at the end, longest sequence first.

Legend: ``T`` steps, ``B`` batch, ``N`` steps of all sequences together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gru_scratch.engines.torch_private import assert_in_graph, is_batched


class Ragged(NamedTuple):
    """The lengths of a batch, and how it was sorted."""

    lengths: Tensor  # (B,), descending
    order: Tensor | None  # (B,), the place of each sequence in the caller's batch; None: unchanged
    back: Tensor | None  # (B,), the inverse of order

    def pick(self, x: Tensor, batch_first: bool) -> Tensor:
        """The caller's batch, (T, B, ...) or (B, T, ...) → (T, B, ...), longest first, zero past a sequence's end.

        It is one indexed copy. Values past a sequence's end are not read, so that they may be anything.
        """
        steps, batch = x.shape[1::-1] if batch_first else x.shape[:2]
        time, which = self._grid(steps)
        which = which if self.order is None else self.order
        rows = which * steps + time if batch_first else time * batch + which  # (T, B)
        rows = torch.where(time < self.lengths, rows, steps * batch)
        flat = x.flatten(0, 1)
        read = torch.cat([flat, flat.new_zeros(1, *flat.shape[1:])]).index_select(0, rows.view(-1))
        return read.view(steps, batch, *x.shape[2:])

    def sort(self, x: Tensor) -> Tensor:
        """(·, B, ...) in the caller's order → longest first."""
        return x if self.order is None else x.index_select(1, self.order)

    def unsort(self, x: Tensor) -> Tensor:
        """(·, B, ...) longest first → in the caller's order."""
        return x if self.back is None else x.index_select(1, self.back)

    def flip_rows(self, steps: int) -> Tensor:
        """The rows (T * B,) that reverse each sequence within its length, in a batch seen as (T * B, ...)."""
        time, which = self._grid(steps)
        flipped = torch.where(time < self.lengths, self.lengths - 1 - time, time)
        return (flipped * len(self.lengths) + which).view(-1)

    def _grid(self, steps: int) -> tuple[Tensor, Tensor]:
        """The numbers of the steps, (T, 1), and of the sequences, (B,)."""
        device = self.lengths.device
        return torch.arange(steps, device=device).unsqueeze(1), torch.arange(len(self.lengths), device=device)


class Resets(NamedTuple):
    """Where the sequences of a batch start anew."""

    mask: Tensor  # (T, B) bool: before which steps
    fresh: Sequence[Tensor]  # the states that they start from, (L * directions, B, ...) each

    def sort(self, batch_of: Ragged) -> Resets:
        """The same of a batch sorted by length."""
        return Resets(batch_of.sort(self.mask), [batch_of.sort(s) for s in self.fresh])

    def of_directions(self, lengths: Tensor | None, rows: Tensor | None) -> list[Tensor]:
        """The mask as each direction reads it, forward and backward; ``rows``: as for :func:`flip`.

        Backward in time, the state is cleared after the step that the mask names, and before the one that precedes it.
        """
        mask = self.mask
        if lengths is not None:
            mask = mask & (torch.arange(len(mask), device=mask.device).unsqueeze(1) < lengths)
        after = torch.cat([mask[1:], torch.zeros_like(mask[:1])])
        return [mask.contiguous(), flip(after, rows)]


def flip(x: Tensor, rows: Tensor | None) -> Tensor:
    """Reverse (T, B, ...) in time: by the rows of :meth:`Ragged.flip_rows`, or all sequences over all steps."""
    return x.flip(0) if rows is None else x.flatten(0, 1).index_select(0, rows).view_as(x)


def check_lengths(lengths: Tensor | Sequence[int], batch: int, steps: int, device: torch.device) -> Tensor:
    """``lengths`` as a tensor (B,) of int64 on ``device``.

    Raises:
        TypeError: they are not integers.
        ValueError: there is not one for each sequence, or one is below 0 or above the number of steps.
    """
    given = torch.as_tensor(lengths, device=device)
    if given.numel() == 0:
        given = given.long()  # an empty list becomes a tensor of float32
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise TypeError(f"lengths must be integers, received {given.dtype}")
    if given.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), one for each sequence, received {tuple(given.shape)}")
    if torch.onnx.is_in_onnx_export():
        return given.long()  # a graph that is being written has no values to check
    inside = ((given >= 0) & (given <= steps)).all()
    if torch.compiler.is_compiling():
        assert_in_graph(inside, f"lengths must be between 0 and {steps}")
    elif given.device.type != "meta" and not is_batched(given) and not inside:
        raise ValueError(f"lengths must be between 0 and {steps}, received {given.tolist()}")
    return given.long()


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


def from_lengths(lengths: Tensor, steps: int) -> Ragged | None:
    """Sort by length; None where every sequence has all the steps."""
    looks = (
        not torch.compiler.is_compiling() and lengths.device.type == "cpu"
    )  # reading values would wait for another device
    looks = looks and not is_batched(lengths)
    if looks and bool((lengths == steps).all()):
        return None
    if looks and bool((lengths[:-1] >= lengths[1:]).all()):
        return Ragged(lengths, None, None)
    order = lengths.argsort(descending=True, stable=True)
    return Ragged(lengths.index_select(0, order), order, order.argsort())


def packed_lengths(batch_sizes: Tensor, total: int) -> Tensor:
    """The lengths (B,), descending, from the number of sequences that have each step, (T,).

    Raises:
        RuntimeError: ``batch_sizes`` grow, or do not add up to the ``total`` number of rows.
    """
    if not torch.compiler.is_compiling():
        if (batch_sizes[1:] > batch_sizes[:-1]).any():
            raise RuntimeError(f"batch_sizes of a PackedSequence must not grow, received {batch_sizes.tolist()}")
        if (received := int(batch_sizes.sum())) != total:
            raise RuntimeError(f"batch_sizes of a PackedSequence must add up to its {total} rows, received {received}")
    batch = torch.arange(int(batch_sizes[0]))
    return (batch_sizes.unsqueeze(1) > batch).sum(0)


def padded_rows(batch_sizes: Tensor, lengths: Tensor) -> Tensor:
    """The row in the packed data for each place of the padded batch, (T * B,); past its end a sequence's last row."""
    first = batch_sizes.cumsum(0) - batch_sizes  # (T,), where a step's rows begin
    steps = torch.arange(len(batch_sizes)).unsqueeze(1).minimum(lengths - 1)  # (T, B)
    return (first[steps] + torch.arange(len(lengths))).view(-1)


def packed_rows(batch_sizes: Tensor, total: int) -> Tensor:
    """The place in the padded batch, among T * B, of each row of the packed data, (N,)."""
    batch = int(batch_sizes[0])
    before = torch.arange(len(batch_sizes)) * batch - (batch_sizes.cumsum(0) - batch_sizes)
    return torch.arange(total) + before.repeat_interleave(batch_sizes, output_size=total)
