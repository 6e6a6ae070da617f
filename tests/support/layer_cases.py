"""What the exams of layers share: the ways to lay a batch out, and what to compare."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence

LAYOUTS = ("time first", "batch first", "one sequence", "packed", "packed unsorted", "lengths", "tokens")
STEPS, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
RAGGED = {"packed": (6, 4, 1), "packed unsorted": (1, 6, 4), "lengths": (4, 0, 6)}


def states_of(hx: Any) -> list[Tensor]:
    """The states as a list, of a cell with one or more."""
    return list(hx) if isinstance(hx, tuple) else [hx]


def as_hx(states: list[Tensor]) -> Any:
    """The inverse of :func:`states_of`."""
    return states[0] if len(states) == 1 else tuple(states)


class Case:
    """A batch in one of the layouts, with the numbers to differentiate by."""

    def __init__(self, layout: str, dtype: torch.dtype, sizes: list[tuple[int, int]], seed: int = 0) -> None:
        """``sizes``: for each state its (layers * directions, width)."""
        random = torch.Generator().manual_seed(seed)
        batch = 1 if layout == "one sequence" else BATCH
        self.layout = layout
        self.lengths = RAGGED.get(layout, (STEPS,) * batch)

        def leaf(*shape: int) -> Tensor:
            return torch.randn(shape, generator=random).to(dtype).requires_grad_()  # exact in both types of number

        self.states = [leaf(rows, batch, width) for rows, width in sizes]
        self.tokens = [torch.randint(INPUT, (n,), generator=random) for n in self.lengths]
        self.sequences = [leaf(n, INPUT) for n in self.lengths]
        if layout == "tokens":
            self.sequences = [nn.functional.one_hot(t, INPUT).to(dtype) for t in self.tokens]

    @property
    def leaves(self) -> list[Tensor]:
        """What to differentiate by, beside parameters."""
        return [*self.states, *(s for s in self.sequences if s.requires_grad and s.numel())]

    def call(self, layer: Any) -> tuple[list[Tensor], list[Tensor]]:
        """Run a layer on the batch in its layout; the outputs come back one sequence each."""
        layer.batch_first = self.layout == "batch first"
        hx, lengths = as_hx(self.states), self.lengths
        if self.layout in ("packed", "packed unsorted"):
            packed = pack_sequence(self.sequences, enforce_sorted=self.layout == "packed")
            outputs, hx = layer(packed, hx)
            assert isinstance(outputs, PackedSequence)
            return nn.utils.rnn.unpack_sequence(outputs), states_of(hx)
        if self.layout == "one sequence":
            outputs, hx = layer(self.sequences[0], as_hx([s.squeeze(1) for s in self.states]))
            return [outputs], [s.unsqueeze(1) for s in states_of(hx)]
        if self.layout == "tokens":
            outputs, hx = layer(torch.stack(self.tokens, 1), hx)
            return list(outputs.unbind(1)), states_of(hx)
        padded = pad_sequence(self.sequences, padding_value=torch.nan)
        if self.layout == "batch first":
            outputs, hx = layer(padded.transpose(0, 1), hx)
            return list(outputs), states_of(hx)
        if self.layout == "time first":
            outputs, hx = layer(padded, hx)
            return list(outputs.unbind(1)), states_of(hx)
        outputs, hx = layer(padded, hx, lengths=torch.tensor(lengths))
        for b, n in enumerate(lengths):
            assert torch.equal(outputs[n:, b], torch.zeros_like(outputs[n:, b]))
        return [outputs[:n, b] for b, n in enumerate(lengths)], states_of(hx)


def with_gradients(
    outputs: list[Tensor], states: list[Tensor], leaves: list[Tensor]
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Named results, and the gradients of a fixed random loss of them by ``leaves``."""
    random = torch.Generator().manual_seed(1)
    found = {f"output {k}": y for k, y in enumerate(outputs) if y.numel()}
    found |= {f"state {k}": s for k, s in enumerate(states)}
    loss = sum((y * torch.randn(y.shape, generator=random).to(y)).sum() for y in found.values())
    return found, list(torch.autograd.grad(loss, leaves, materialize_grads=True))
