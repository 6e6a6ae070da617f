"""Pairs of sentences as token indices, in batches of similar length.

Legend: ``B`` pairs of a batch, ``S`` steps of the source, ``T`` steps of the target, padding included.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gru_scratch.text.batches import Generator
from gru_scratch.text.pairs import Pair, clean_sentence
from gru_scratch.text.vocab import Vocab, join_tokens, split_tokens

PAD, BOS, EOS = 1, 2, 3
RESERVED = ("<pad>", "<bos>", "<eos>")
"""The indices of the reserved tokens; `<unk>` is 0."""
POOL = 20
"""The number of batches whose pairs are sorted by length together."""


class Language:
    """One side of the pairs: from sentences to token indices, and back."""

    def __init__(self, vocab: Vocab, kind: str) -> None:
        self.vocab, self.kind = vocab, kind

    @classmethod
    def of(cls, sentences: Sequence[str], kind: str, min_freq: int = 0) -> Language:
        """The language with the vocabulary of these sentences."""
        tokens = [token for sentence in sentences for token in split_tokens(clean_sentence(sentence), kind)]
        return cls(Vocab(tokens, min_freq, RESERVED), kind)

    def tokens(self, sentence: str) -> list[str]:
        """The tokens of a sentence after cleaning."""
        return list(split_tokens(clean_sentence(sentence), self.kind))

    def encode(self, sentence: str) -> list[int]:
        """The indices of a sentence's tokens, with `<eos>` at the end."""
        return [*self.vocab[self.tokens(sentence)], EOS]

    def decode(self, numbers: Sequence[int]) -> str:
        """The sentence up to `<eos>`, in the form that `clean_sentence` gives."""
        end = numbers.index(EOS) if EOS in numbers else len(numbers)
        return join_tokens(self.vocab.to_tokens(list(numbers[:end])), self.kind)

    def unknown(self, sentence: str) -> list[str]:
        """The tokens of a sentence that the vocabulary lacks."""
        return [token for token in dict.fromkeys(self.tokens(sentence)) if token not in self.vocab.token_to_idx]


class NumberedPair(NamedTuple):
    """A pair as token indices, both sides with `<eos>` at the end."""

    source: list[int]
    target: list[int]


class PairBatch(NamedTuple):
    """A batch for teacher forcing: the decoder reads `target_in` and is to predict `target_out`."""

    source: Tensor  # (B, S)
    source_lengths: Tensor  # (B,)
    target_in: Tensor  # (B, T), begins with <bos>
    target_out: Tensor  # (B, T), ends with <eos>, padded with <pad>


def number_pairs(pairs: Sequence[Pair], source: Language, target: Language, longest: int) -> list[NumberedPair]:
    """The pairs as token indices, without those of which a side has more than `longest` tokens."""
    numbered = [NumberedPair(source.encode(pair.source), target.encode(pair.target)) for pair in pairs]
    return [pair for pair in numbered if max(map(len, pair)) <= longest + 1]


def pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Sequences of token indices as one tensor (B, S), padded with `<pad>`, and their lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows]), lengths


def batch_of(pairs: Sequence[NumberedPair]) -> PairBatch:
    """A batch, padded to its longest pair."""
    source, lengths = pad([pair.source for pair in pairs])
    target, _ = pad([pair.target for pair in pairs])
    target_in = torch.cat([torch.full((len(pairs), 1), BOS), target[:, :-1]], dim=1)
    return PairBatch(source, lengths, target_in, target)


class PairEpoch(Sequence[PairBatch]):
    """The batches of one epoch in random order, each of pairs of similar length; `epoch[i]` makes batch `i` alone."""

    def __init__(self, pairs: Sequence[NumberedPair], batch_size: int, generator: Generator) -> None:
        self.pairs = pairs
        self.batches = similar_batches([(len(s), len(t)) for s, t in pairs], batch_size, generator)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> PairBatch:  # type: ignore[override]  # single batches only, no slices
        return batch_of([self.pairs[place] for place in self.batches[index]])


def similar_batches(lengths: Sequence[tuple[int, ...]], batch_size: int, generator: Generator) -> list[list[int]]:
    """Batches of example indices: shuffled, sorted by length within pools, cut, and the batches shuffled."""
    order = _shuffled(len(lengths), generator)
    batches: list[list[int]] = []
    for start in range(0, len(order), POOL * batch_size):
        pool = sorted(order[start : start + POOL * batch_size], key=lengths.__getitem__)
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in _shuffled(len(batches), generator)]


def _shuffled(count: int, generator: Generator) -> list[int]:
    """The integers below `count` in an order that `generator` draws."""
    order = array("q", range(count))
    generator.shuffle(order)
    return list(order)
