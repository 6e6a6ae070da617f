"""From token indices to batches (X, Y) of shape (B, T): random sampling and sequential partitioning.

Both cut the text into windows of T + 1 tokens: X is all but the last, Y all but the first. Random numbers are drawn
once, at the start of an epoch; after that, batch `i` depends on `i` alone. So a place in the data is the state of the
generator at the start of the epoch and one number:

    loader = SequenceLoader(corpus, batch_size=32, num_steps=35)
    for X, Y in loader: ...             # one epoch
    epoch = loader.epoch()              # the same, with a length and an order
    X, Y = epoch[7]

Tokens that stay in a file (`MappedTokens`) are cut in the same way, in memory that does not grow with the text: random
sampling then computes the order of the pieces instead of shuffling a list of them.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gru_scratch.text.token_file import MappedTokens

Batch = tuple[Tensor, Tensor]
Corpus = Tensor | MappedTokens


class Generator(Protocol):
    """The interface of a random generator: `random.Random`, or the module `random` itself, as in the book."""

    def randint(self, a: int, b: int, /) -> int: ...
    def shuffle(self, x: array[int], /) -> None: ...


class Epoch(Sequence[Batch]):
    """The batches of one epoch, in order; `epoch[i]` makes batch `i` and no other."""

    def __init__(self, corpus: Corpus, num_batches: int, length: int) -> None:
        self.corpus, self.num_batches, self.length = corpus, num_batches, length

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> Batch:  # type: ignore[override]  # single batches only, no slices
        if not 0 <= index < self.num_batches:
            raise IndexError(f"expected the number of one of {self.num_batches} batches, received {index}")
        if isinstance(self.corpus, MappedTokens):
            tokens = self.corpus.windows(self.starts(index), self.length)
        else:
            tokens = self.window(self.corpus, index).long()  # (B, T + 1)
        return tokens[:, :-1], tokens[:, 1:]

    def window(self, corpus: Tensor, index: int) -> Tensor:
        """The tokens (B, T + 1) of batch `index`: one gather from a view."""
        return corpus.unfold(0, self.length, 1)[torch.from_numpy(self.starts(index))]

    def starts(self, index: int) -> NDArray[np.int64]:
        """The places (B,) where the windows of batch `index` begin."""
        raise NotImplementedError


class RandomEpoch(Epoch):
    """Neighbouring pieces of T tokens, from a random offset on, in random order."""

    def __init__(self, corpus: Corpus, batch_size: int, num_steps: int, generator: Generator) -> None:
        self.offset = generator.randint(0, num_steps - 1)
        num_subseqs = max(len(corpus) - self.offset - 1, 0) // num_steps
        super().__init__(corpus, num_subseqs // batch_size, num_steps + 1)
        self.batch_size, self.num_steps = batch_size, num_steps
        self.order: NDArray[np.int64] | Permutation
        if isinstance(corpus, MappedTokens):
            self.order = Permutation(num_subseqs, [generator.randint(0, 2**32 - 1) for _ in range(4)])
        else:
            order = array("q", range(num_subseqs))
            generator.shuffle(order)
            self.order = np.array(order)

    def starts(self, index: int) -> NDArray[np.int64]:
        start = index * self.batch_size
        return self.offset + self.num_steps * self.order[start : start + self.batch_size]


class SequentialEpoch(Epoch):
    """The text from a random offset on as B long rows; each batch continues where the one before it ended."""

    def __init__(self, corpus: Corpus, batch_size: int, num_steps: int, generator: Generator) -> None:
        offset = generator.randint(0, num_steps)
        length = max(len(corpus) - offset - 1, 0) // batch_size
        super().__init__(corpus, length // num_steps, num_steps + 1)
        self.batch_size, self.num_steps = batch_size, num_steps
        self.offset, self.row_length = offset, length

    def starts(self, index: int) -> NDArray[np.int64]:
        return self.offset + index * self.num_steps + self.row_length * np.arange(self.batch_size)

    def window(self, corpus: Tensor, index: int) -> Tensor:
        """A view: the rows are equally far apart."""
        first = self.offset + index * self.num_steps
        last = first + self.row_length * (self.batch_size - 1) + self.length
        return corpus[first:last].unfold(0, self.length, self.row_length)


def seq_data_iter_random(
    corpus: Sequence[int] | Corpus, batch_size: int, num_steps: int, generator: Generator | None = None
) -> Iterator[Batch]:
    """The book's random sampling: one epoch of (X, Y), each (B, T) int64, drawn with the first batch.

    Source: "Dive into Deep Learning" 0.17, section 8.3.
    """
    yield from RandomEpoch(*checked(corpus, batch_size, num_steps), generator or random)


def seq_data_iter_sequential(
    corpus: Sequence[int] | Corpus, batch_size: int, num_steps: int, generator: Generator | None = None
) -> Iterator[Batch]:
    """The book's sequential partitioning: one epoch of (X, Y), each (B, T) int64, drawn with the first batch.

    Source: "Dive into Deep Learning" 0.17, section 8.3.
    """
    yield from SequentialEpoch(*checked(corpus, batch_size, num_steps), generator or random)


class SequenceLoader:
    """Epochs of a text, one for each iteration over it.

    Raises ValueError unless the text is long enough for one batch under every offset that may be drawn.
    """

    def __init__(
        self,
        corpus: Sequence[int] | Corpus,
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

    def epoch(self, generator: Generator | None = None) -> Epoch:
        """Draw the next epoch, from another generator if one is given."""
        kind = RandomEpoch if self.use_random_iter else SequentialEpoch
        return kind(self.corpus, self.batch_size, self.num_steps, generator or self.generator)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.epoch())


def checked(corpus: Sequence[int] | Corpus, batch_size: int, num_steps: int) -> tuple[Corpus, int, int]:
    """The corpus, a tensor (N,) if it is in memory, and both sizes; ValueError unless these are integers above 0."""
    for name, size in (("batch_size", batch_size), ("num_steps", num_steps)):
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"expected {name} as a whole number of at least 1, received {size!r}")
    if isinstance(corpus, MappedTokens):
        return corpus, batch_size, num_steps
    row = torch.as_tensor(corpus)
    if row.dim() != 1:
        raise ValueError(f"expected a corpus of one dimension, received shape {tuple(row.shape)}")
    return row, batch_size, num_steps


class Permutation:
    """A random order that is computed, not stored: random access without memory.

    A permutation of 0 .. size - 1, chosen by its keys (four whole numbers below 2**32); `order[a:b]` is a part of it.

    A Feistel network: a number of 2b bits is cut into halves, and each round adds to one half (by exclusive or) a hash
    of the other, which can be undone, so that no two numbers meet. A result of `size` or more goes through it again,
    until it is below; as 2**(2b) < 4 * size, that is rarely more than a few times. Source: Black and Rogaway,
    "Ciphers with arbitrary finite domains" (2002).
    """

    def __init__(self, size: int, keys: Sequence[int]) -> None:
        self.size = size
        self.bits = max((max(size - 1, 1).bit_length() + 1) // 2, 1)
        self.keys = np.array(keys, np.uint64)

    def __getitem__(self, part: slice) -> NDArray[np.int64]:
        values = np.arange(*part.indices(self.size)).astype(np.uint64)
        outside = np.ones(len(values), bool)
        while outside.any():
            values[outside] = self._rounds(values[outside])
            outside = values >= self.size
        return values.astype(np.int64)

    def _rounds(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        shift = np.uint64(self.bits)
        mask = np.uint64((1 << self.bits) - 1)
        left, right = values >> shift, values & mask
        for key in self.keys:
            left, right = right, left ^ (_mix(right ^ (key << np.uint64(32))) & mask)
        return (left << shift) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of 64 bits (the finaliser of SplitMix64); its products are meant to overflow."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
