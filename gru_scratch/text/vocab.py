"""From text to tokens to token indices, and back: the book's vocabulary.

A token is a character, a word between white space, or a byte. A byte is stored as the character of the same number (0
to 255), so that every token is a string.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

UNKNOWN = "<unk>"
KINDS = ("char", "word", "byte")


def split_tokens(text: str, kind: str) -> Sequence[str]:
    """The tokens of a text: a `str`, which is a sequence of characters or bytes, or a list of words.

    Bytes are those of UTF-8. Raises ValueError for another kind.
    """
    if kind == "char":
        return text
    if kind == "word":
        return text.split()
    if kind == "byte":
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    raise ValueError(f"tokens must be one of {', '.join(KINDS)}, received {kind!r}")


def join_tokens(tokens: Iterable[str], kind: str) -> str:
    """The text that tokens stand for: the inverse of `split_tokens`, but for the white space between words.

    Bytes that are not UTF-8 become U+FFFD.
    """
    if kind == "word":
        return " ".join(tokens)
    text = "".join(tokens)
    return text.encode("latin-1").decode("utf-8", "replace") if kind == "byte" else text


def token_writer(kind: str) -> Callable[[str], str]:
    """A function to be called with one token after another, which returns the text that each adds.

    The first bytes of a character add nothing, and its last byte adds the character.
    """
    if kind == "byte":
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda byte: decoder.decode(byte.encode("latin-1"))
    before = " " if kind == "word" else ""
    return lambda token: before + token


def tokenize(lines: Sequence[str], token: str = "word") -> list[list[str]]:
    """The tokens of each line: its words, or with `token="char"` its characters."""
    if token == "word":
        return [line.split() for line in lines]
    if token == "char":
        return [list(line) for line in lines]
    raise ValueError(f"expected the kind of token 'char' or 'word', received {token!r}")


def count_corpus(tokens: Sequence[Any]) -> Counter[Any]:
    """How often each token occurs in a list of tokens, or in a list of lists of them."""
    if len(tokens) == 0 or isinstance(tokens[0], list):
        return Counter(token for line in tokens for token in line)
    return Counter(tokens)


class Vocab:
    """The indices of tokens ("Dive into Deep Learning" 0.17, section 8.2).

    `<unk>` has index 0, then come the reserved tokens, then the others by descending frequency; tokens that are equally
    frequent keep the order of their first appearance. Tokens rarer than `min_freq` are left out, and every token that
    is not in the vocabulary has index 0.

        vocab = Vocab("time traveller")
        vocab["t"], vocab[["t", "r"]], vocab.to_tokens([1, 2])
    """

    def __init__(
        self,
        tokens: Sequence[Any] | None = None,
        min_freq: int = 0,
        reserved_tokens: Sequence[str] | None = None,
    ) -> None:
        self._build(count_corpus(tokens if tokens is not None else []), min_freq, reserved_tokens or [])

    @classmethod
    def from_counts(cls, counts: Counter[Any], min_freq: int = 0) -> Vocab:
        """The vocabulary of a text from the counts of its tokens, in the order of their first appearance."""
        vocab = cls()
        vocab._build(counts, min_freq, [])
        return vocab

    def _build(self, counts: Counter[Any], min_freq: int, reserved_tokens: Sequence[str]) -> None:
        self._token_freqs = counts.most_common()
        names = [UNKNOWN, *reserved_tokens]
        taken = set(names)
        common = [token for token, count in self._token_freqs if count >= min_freq and token not in taken]
        self._number(names + common)

    def _number(self, idx_to_token: list[str]) -> None:
        self.idx_to_token = idx_to_token
        self.token_to_idx = {token: index for index, token in enumerate(idx_to_token)}

    def __len__(self) -> int:
        return len(self.idx_to_token)

    @overload
    def __getitem__(self, tokens: str) -> int: ...
    @overload
    def __getitem__(self, tokens: list[Any] | tuple[Any, ...]) -> list[Any]: ...
    def __getitem__(self, tokens: Any) -> Any:
        """The index of a token; for a list or tuple of tokens, nested at any depth, the list of indices."""
        if isinstance(tokens, (list, tuple)):
            return [self[token] for token in tokens]
        return self.token_to_idx.get(tokens, self.unk)

    @overload
    def to_tokens(self, indices: int) -> str: ...
    @overload
    def to_tokens(self, indices: list[int] | tuple[int, ...]) -> list[str]: ...
    def to_tokens(self, indices: Any) -> Any:
        """The token of an index; for a list or tuple of indices, the list of tokens."""
        if isinstance(indices, (list, tuple)):
            return [self.idx_to_token[index] for index in indices]
        return self.idx_to_token[indices]

    @property
    def unk(self) -> int:
        """The index of the unknown token."""
        return 0

    @property
    def token_freqs(self) -> list[tuple[Any, int]]:
        """All tokens that were counted, with their counts, the most frequent first."""
        return self._token_freqs

    def encode(self, tokens: Sequence[str]) -> Tensor:
        """The indices of a text's tokens as one int64 tensor (N,); a `str` is a text of N characters."""
        if not isinstance(tokens, str):
            numbers = (self.token_to_idx.get(token, self.unk) for token in tokens)
            return torch.from_numpy(np.fromiter(numbers, np.int64, count=len(tokens)))
        codes = np.frombuffer(tokens.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        table = np.full(int(codes.max(initial=0)) + 1, self.unk, dtype=np.int64)
        for token, index in self.token_to_idx.items():
            if isinstance(token, str) and len(token) == 1 and ord(token) < len(table):
                table[ord(token)] = index
        return torch.from_numpy(table[codes])

    def to_json(self) -> str:
        """The vocabulary as JSON in ASCII, which `from_json` reads back; TypeError unless all tokens are strings."""
        for token in [*self.idx_to_token, *(token for token, _ in self._token_freqs)]:
            if not isinstance(token, str):
                raise TypeError(f"expected tokens that are str, received the {type(token).__name__} {token!r}")
        return json.dumps({"idx_to_token": self.idx_to_token, "token_freqs": self._token_freqs})

    @classmethod
    def from_json(cls, text: str) -> Vocab:
        """The vocabulary that `to_json` wrote; ValueError if `text` is something else."""
        try:
            content = json.loads(text)
            names, frequencies = content["idx_to_token"], content["token_freqs"]
            counted = [(token, count) for token, count in frequencies]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError("expected a vocabulary as Vocab.to_json writes it, received other text") from None
        strings = [*names, *(token for token, _ in counted)] if isinstance(names, list) else [None]
        if not all(isinstance(token, str) for token in strings) or not all(type(count) is int for _, count in counted):
            raise ValueError(
                "expected a vocabulary of strings with whole numbers as their counts, received other values"
            )
        if names[:1] != [UNKNOWN]:
            raise ValueError(f"expected a vocabulary that begins with {UNKNOWN!r}, received {names[:1]}")
        vocab = cls()
        vocab._token_freqs = counted
        vocab._number(names)
        return vocab
