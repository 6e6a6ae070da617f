"""Texts as data modules: The Time Machine, and English sentences with their French translations."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from gru_scratch.d2l.sentences import preprocess_nmt, read_data_nmt, truncate_pad
from gru_scratch.d2l.v1.training import DataModule
from gru_scratch.text import vocab as text_vocab
from gru_scratch.text.corpus import load_text
from gru_scratch.text.reading import split_lines


class Vocab(text_vocab.Vocab):
    """Numbers for tokens as edition 1.0 has them: all tokens sorted, `<unk>` and the reserved ones among them."""

    def __init__(self, tokens: Sequence[Any] = (), min_freq: int = 0, reserved_tokens: Sequence[str] = ()) -> None:
        super().__init__(list(tokens), min_freq, list(reserved_tokens))
        self._number(sorted(set(self.idx_to_token)))

    def to_tokens(self, indices: Any) -> Any:
        """The token that has a number; of several numbers, the list of tokens."""
        tokens = [self.idx_to_token[number] for number in torch.as_tensor(indices).flatten().tolist()]
        return tokens[0] if len(tokens) == 1 else tokens

    @property
    def unk(self) -> int:
        """The number of the unknown token."""
        return self.token_to_idx[text_vocab.UNKNOWN]


class TimeMachine(DataModule):
    """Windows of The Time Machine: inputs X and labels Y, one character further on, each (examples, num_steps).

    The first `num_train` are for training, the `num_val` after them for validation. Where the text is neither at hand
    nor to be had, the windows are the shipped story's, and one line on stderr says so.
    """

    num_steps: int
    num_train: int
    num_val: int

    def __init__(self, batch_size: int, num_steps: int, num_train: int = 10000, num_val: int = 5000) -> None:
        super().__init__()
        self.save_hyperparameters()
        corpus, self.vocab = self.build(self._download())
        count = max(0, len(corpus) - num_steps)
        if num_train + num_val > count:
            raise ValueError(
                f"expected num_train + num_val of at most {count}, the text's windows of {num_steps + 1} characters, "
                f"received {num_train} + {num_val}"
            )
        numbers = torch.tensor(corpus)
        self.X, self.Y = numbers[:-1].unfold(0, num_steps, 1), numbers[1:].unfold(0, num_steps, 1)

    def _download(self) -> str:
        text = load_text()
        if text.notice:
            print(text.notice, file=sys.stderr)
        return "".join(split_lines(text.raw))

    def _preprocess(self, text: str) -> str:
        return re.sub("[^A-Za-z]+", " ", text).lower()

    def _tokenize(self, text: str) -> list[str]:
        return list(text)

    def build(self, raw_text: str, vocab: Vocab | None = None) -> tuple[list[int], Vocab]:
        """The numbers of a text's characters and their vocabulary: `vocab`, or else the text's own."""
        tokens = self._tokenize(self._preprocess(raw_text))
        vocab = Vocab(tokens) if vocab is None else vocab
        return vocab[tokens], vocab

    def get_dataloader(self, train: bool) -> DataLoader[Any]:
        end = self.num_train + self.num_val
        return self.get_tensorloader((self.X, self.Y), train, _part(train, self.num_train, end))


class MTFraEng(DataModule):
    """Pairs of sentences as numbers: `arrays` has sources, targets, valid lengths of the sources, and labels.

    A target begins with `<bos>`; its labels are the tokens one step further on. The first `num_train` pairs of the file
    are for training, the others that were read for validation.
    """

    num_steps: int
    num_train: int
    num_val: int

    def __init__(self, batch_size: int, num_steps: int = 9, num_train: int = 512, num_val: int = 128) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.arrays, self.src_vocab, self.tgt_vocab = self._build_arrays(self._download())
        if len(self.arrays[0]) < num_train + num_val:
            raise ValueError(
                f"expected num_train + num_val of at most {len(self.arrays[0])}, the pairs of the file, "
                f"received {num_train} + {num_val}"
            )

    def _download(self) -> str:
        return read_data_nmt()

    def _preprocess(self, text: str) -> str:
        return preprocess_nmt(text)

    def _tokenize(self, text: str, max_examples: int | None = None) -> tuple[list[list[str]], list[list[str]]]:
        lines = text.split("\n")
        columns = [line.split("\t") for line in (lines[: max_examples + 1] if max_examples else lines)]
        pairs = [[[*filter(None, side.split(" ")), "<eos>"] for side in pair] for pair in columns if len(pair) == 2]
        return [source for source, _ in pairs], [target for _, target in pairs]

    def _build_arrays(
        self, raw_text: str, src_vocab: Vocab | None = None, tgt_vocab: Vocab | None = None
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Vocab, Vocab]:
        source, target = self._tokenize(self._preprocess(raw_text), self.num_train + self.num_val)
        sources = [truncate_pad(line, self.num_steps, "<pad>") for line in source]
        targets = [["<bos>", *truncate_pad(line, self.num_steps, "<pad>")] for line in target]
        src_vocab = src_vocab or Vocab(sources, min_freq=2)
        tgt_vocab = tgt_vocab or Vocab(targets, min_freq=2)
        X, Y = torch.tensor(src_vocab[sources]), torch.tensor(tgt_vocab[targets])
        return (X, Y[:, :-1], X.ne(src_vocab["<pad>"]).sum(dim=1), Y[:, 1:]), src_vocab, tgt_vocab

    def build(self, src_sentences: Sequence[str], tgt_sentences: Sequence[str]) -> tuple[Tensor, ...]:
        """The arrays of other sentences under the same vocabularies."""
        lines = [f"{source}\t{target}" for source, target in zip(src_sentences, tgt_sentences, strict=False)]
        return self._build_arrays("\n".join(lines), self.src_vocab, self.tgt_vocab)[0]

    def get_dataloader(self, train: bool) -> DataLoader[Any]:
        return self.get_tensorloader(self.arrays, train, _part(train, self.num_train, None))


def _part(train: bool, num_train: int, end: int | None) -> slice:
    """The first examples for training, those after them for validation."""
    return slice(num_train) if train else slice(num_train, end)
