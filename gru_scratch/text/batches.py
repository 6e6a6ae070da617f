"""A row of token numbers to batches (X, Y) of shape (B, T): random sampling and sequential partitioning.

Both cut the row into windows that are views of it, and Y is X moved on by one token. What is left to chance is drawn
once, at the start of an epoch; after that, batch `i` depends on `i` alone. So a place in the data is the state of the
generator at the start of the epoch and one number:

    loader = SequenceLoader(corpus, batch_size=32, num_steps=35)
    for X, Y in loader: ...             # one epoch
    epoch = loader.epoch()              # the same, with a length and an order
    X, Y = epoch[7]
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]


class Generator(Protocol):
    """What is asked of a source of chance: `random.Random`, or the module `random` itself, which is the book's."""

    def randint(self, a: int, b: int, /) -> int: ...
    def shuffle(self, x: array[int], /) -> None: ...


class Epoch(Sequence[Batch]):
    """The batches of one epoch, in order; `epoch[i]` makes batch `i` and no other."""

    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> Batch:  # type: ignore[override]  # single batches only, no slices
        if not 0 <= index < self.num_batches:
            raise IndexError(f"expected the number of one of {self.num_batches} batches, received {index}")
        tokens = self.window(index).long()  # (B, T + 1)
        return tokens[:, :-1], tokens[:, 1:]

    def window(self, index: int) -> Tensor:
        """The tokens (B, T + 1) of batch `index`: X is all but the last, Y all but the first."""
        raise NotImplementedError


class RandomEpoch(Epoch):
    """Neighbouring pieces of T tokens, from a random offset on, in random order: one gather a batch."""

    def __init__(self, corpus: Tensor, batch_size: int, num_steps: int, generator: Generator) -> None:
        offset = generator.randint(0, num_steps - 1)
        num_subseqs = max(len(corpus) - offset - 1, 0) // num_steps
        order = array("q", range(num_subseqs))
        generator.shuffle(order)
        super().__init__(num_subseqs // batch_size)
        self.order = torch.from_numpy(np.array(order))
        self.batch_size = batch_size
        if self.num_batches:
            self.windows = corpus[offset:].unfold(0, num_steps + 1, num_steps)  # (num_subseqs, T + 1), a view

    def window(self, index: int) -> Tensor:
        start = index * self.batch_size
        return self.windows[self.order[start : start + self.batch_size]]


class SequentialEpoch(Epoch):
    """The text from a random offset on as B long rows; each batch goes on where the one before it ended."""

    def __init__(self, corpus: Tensor, batch_size: int, num_steps: int, generator: Generator) -> None:
        offset = generator.randint(0, num_steps)
        length = max(len(corpus) - offset - 1, 0) // batch_size
        super().__init__(length // num_steps)
        self.num_steps = num_steps
        if self.num_batches:
            self.rows = corpus[offset:].unfold(0, length + 1, length)[:batch_size]  # (B, length + 1), a view

    def window(self, index: int) -> Tensor:
        start = index * self.num_steps
        return self.rows[:, start : start + self.num_steps + 1]


def seq_data_iter_random(
    corpus: Sequence[int] | Tensor, batch_size: int, num_steps: int, generator: Generator | None = None
) -> Iterator[Batch]:
    """The book's random sampling: one epoch of (X, Y), each (B, T) int64, drawn when the first batch is taken."""
    yield from RandomEpoch(*checked(corpus, batch_size, num_steps), generator or random)


def seq_data_iter_sequential(
    corpus: Sequence[int] | Tensor, batch_size: int, num_steps: int, generator: Generator | None = None
) -> Iterator[Batch]:
    """The book's sequential partitioning: one epoch of (X, Y), each (B, T) int64, drawn when the first is taken."""
    yield from SequentialEpoch(*checked(corpus, batch_size, num_steps), generator or random)


class SequenceLoader:
    """Epochs of a text, one for each time it is iterated over.

    Raises ValueError unless the text is long enough for one batch under every offset that may be drawn.
    """

    def __init__(
        self,
        corpus: Sequence[int] | Tensor,
        batch_size: int,
        num_steps: int,
        *,
        use_random_iter: bool = False,
        generator: Generator | None = None,
    ) -> None:
        self.corpus, self.batch_size, self.num_steps = checked(corpus, batch_size, num_steps)
        self.use_random_iter = use_random_iter
        self.generator = generator or random
        needed = batch_size * num_steps + num_steps + (0 if use_random_iter else 1)
        if len(self.corpus) < needed:
            raise ValueError(
                f"the text is too short: it has {len(self.corpus)} tokens, "
                f"and one batch of {batch_size} sequences of {num_steps} steps needs {needed}"
            )

    def epoch(self) -> Epoch:
        """Draw the next epoch."""
        kind = RandomEpoch if self.use_random_iter else SequentialEpoch
        return kind(self.corpus, self.batch_size, self.num_steps, self.generator)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.epoch())


def checked(corpus: Sequence[int] | Tensor, batch_size: int, num_steps: int) -> tuple[Tensor, int, int]:
    """The corpus as a tensor (N,), and both sizes, once they are seen to be whole numbers of at least 1."""
    for name, size in (("batch_size", batch_size), ("num_steps", num_steps)):
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"expected {name} as a whole number of at least 1, received {size!r}")
    row = torch.as_tensor(corpus)
    if row.dim() != 1:
        raise ValueError(f"expected a corpus of one dimension, received shape {tuple(row.shape)}")
    return row, batch_size, num_steps
