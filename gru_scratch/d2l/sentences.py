"""The names of chapter 9.5 of edition 0.17: pairs of sentences as arrays of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gru_scratch.d2l.tools import load_array
from gru_scratch.text.pairs import find_fra_eng
from gru_scratch.text.reading import read_text, split_lines
from gru_scratch.text.vocab import Vocab

Token = TypeVar("Token")
RESERVED = ["<pad>", "<bos>", "<eos>"]


def read_data_nmt() -> str:
    """The book's English and French sentences, a pair a line, from $GRU_SCRATCH_DATA/fra-eng/fra.txt or a download."""
    return "".join(split_lines(read_text(find_fra_eng())))


def preprocess_nmt(text: str) -> str:
    """The text in lower case, with plain spaces, and one also before each mark (,.!?) that has none."""
    text = re.sub("[\u202f\xa0]", " ", text).lower()
    return re.sub("(?<=[^ ])(?=[,.!?])", " ", text)


def tokenize_nmt(text: str, num_examples: int | None = None) -> tuple[list[list[str]], list[list[str]]]:
    """The words of source and target of each line that is a pair.

    With `num_examples` only so many lines and one more are read, as in the book.
    """
    lines = text.split("\n")
    columns = [line.split("\t") for line in (lines[: num_examples + 1] if num_examples else lines)]
    pairs = [[sentence.split(" ") for sentence in pair] for pair in columns if len(pair) == 2]
    return [source for source, _ in pairs], [target for _, target in pairs]


def truncate_pad(line: Sequence[Token], num_steps: int, padding_token: Token) -> list[Token]:
    """The first `num_steps` entries of a line, filled up with `padding_token` if it has fewer."""
    return [*line[:num_steps], *[padding_token] * (num_steps - len(line))]


def build_array_nmt(lines: Sequence[Sequence[str]], vocab: Vocab, num_steps: int) -> tuple[Tensor, Tensor]:
    """The numbers of each line's tokens and `<eos>`, cut or padded to `num_steps`, and how many are no padding."""
    pad, eos = vocab["<pad>"], vocab["<eos>"]
    array = torch.tensor([truncate_pad([*vocab[list(line)], eos], num_steps, pad) for line in lines])
    return array, (array != pad).sum(dim=1)


def load_data_nmt(batch_size: int, num_steps: int, num_examples: int = 600) -> tuple[DataLoader[Any], Vocab, Vocab]:
    """Batches of source, its valid lengths, target and its valid lengths; the vocabularies of source and target."""
    source, target = tokenize_nmt(preprocess_nmt(read_data_nmt()), num_examples)
    if not source:
        raise ValueError("the file of pairs has no line of a source and a target, separated by one tab")
    src_vocab, tgt_vocab = (Vocab(lines, min_freq=2, reserved_tokens=RESERVED) for lines in (source, target))
    arrays = [*build_array_nmt(source, src_vocab, num_steps), *build_array_nmt(target, tgt_vocab, num_steps)]
    return load_array(arrays, batch_size), src_vocab, tgt_vocab
