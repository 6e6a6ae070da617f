"""Text from a trained model: warm up on a prefix, then one token after another.

The state is carried from token to token, so each costs one step, however long the text has become.

Source: "Dive into Deep Learning" 0.17, section 8.5 (`predict_ch8`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, overload

import torch
from torch import Tensor, nn

from gru_scratch.generate.sampling import Choose, Sampling, check_whole, greedy
from gru_scratch.generate.stepping import Stepper, can_step
from gru_scratch.text.corpus import clean_lines
from gru_scratch.text.vocab import Vocab, join_tokens, split_tokens, token_writer
from gru_scratch.training.loop import CharModel


class Reader(Protocol):
    """A model that reads some texts side by side: a `Stepper`, or `CallByCall`."""

    def read(self, tokens: Tensor) -> None:
        """Read the next token of each text, (N,)."""

    def score(self, tokens: Tensor) -> Tensor:
        """Read the next token of each text, (N,), and return the scores of the one after, (N, V)."""


class CallByCall:
    """Any model, called once for every token, in evaluation mode and without gradients."""

    def __init__(self, net: CharModel, n: int, device: torch.device) -> None:
        self.net, self.state = net, net.begin_state(batch_size=n, device=device)

    def read(self, tokens: Tensor) -> None:
        self.score(tokens)

    @torch.no_grad()
    def score(self, tokens: Tensor) -> Tensor:
        module = self.net if isinstance(self.net, nn.Module) and self.net.training else None
        if module is not None:
            module.eval()
        scores, self.state = self.net(tokens.unsqueeze(1), self.state)  # n sequences of one step
        if module is not None:
            module.train()
        return scores


def continuations(
    net: CharModel, prefix: Sequence[int], device: torch.device, choose: Choose = greedy, n: int = 1
) -> Iterator[list[int]]:
    """The indices of the tokens that follow `prefix` (indices, at least one) in each of `n` texts, without end."""
    if not len(prefix):
        raise ValueError("expected a prefix of at least one character, received an empty one")
    reader: Reader = Stepper(net, n) if can_step(net) else CallByCall(net, n, device)
    rows = torch.tensor(prefix, device=device).unsqueeze(1).repeat(1, n)  # (T, n)
    for tokens in rows[:-1]:  # warm-up
        reader.read(tokens)
    tokens = rows[-1]
    while True:
        # Not around the yield: the caller's code must not run without gradients.
        with torch.no_grad():
            tokens = choose(reader.score(tokens))
        yield tokens.tolist()


def continuation(net: CharModel, prefix: Sequence[int], device: torch.device, choose: Choose = greedy) -> Iterator[int]:
    """The indices of the tokens that follow `prefix` (indices, at least one), without end."""
    for (number,) in continuations(net, prefix, device, choose):
        yield number


def streams(
    net: CharModel,
    vocab: Vocab,
    prefix: str,
    length: int | None = None,
    device: torch.device | None = None,
    *,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    n: int = 1,
    seed: int | None = None,
    kind: str = "char",
) -> Iterator[list[str]]:
    """`n` texts side by side, piece by piece: first `prefix` for each, then what each next token adds to its text.

    Args:
        net: the model; its parameters must not change while texts are generated.
        vocab: its vocabulary.
        prefix: the text to continue.
        length: how many tokens to add (None: without end).
        device: the device of the model (None: that of its parameters).
        temperature, top_k, top_p, seed: as in `Sampling`. A `temperature` of None is 1 where one of the others is given
            or `n` is above 1, else 0: the likeliest token, as in the book.
        n: how many texts.
        kind: the kind of the vocabulary's tokens: char, word or byte.

    Raises:
        ValueError: `prefix` is empty or has tokens that the vocabulary lacks, which the message names; `length` or `n`
            is too small, or `length` too large; or as `Sampling`.
        TypeError: as `Sampling`.
    """
    if temperature is None:
        temperature = 0.0 if n == 1 and top_k is top_p is seed is None else 1.0
    sampling = Sampling(temperature, top_k, top_p, seed)
    tokens = list(split_tokens(prefix, kind))
    check_prefix(vocab, tokens)
    check_whole("n", n, least=1)
    if length is not None:
        check_whole("length", length, least=0)
        if length > sys.maxsize:
            raise ValueError(f"length must be at most {sys.maxsize}, received {length}")
    device = device_of(net) if device is None else device
    choose = sampling.chooser(len(vocab), device, never=[vocab.unk])
    rows = continuations(net, vocab[tokens], device, choose, n)
    writers = [token_writer(kind) for _ in range(n)]

    def pieces() -> Iterator[list[str]]:
        yield [join_tokens(tokens, kind)] * n
        for row in islice(rows, length):
            yield [write(vocab.idx_to_token[number]) for write, number in zip(writers, row, strict=True)]

    return pieces()


def stream(
    net: CharModel,
    vocab: Vocab,
    prefix: str,
    length: int | None = None,
    device: torch.device | None = None,
    **how: Any,
) -> Iterator[str]:
    """One text, piece by piece: `prefix`, then what each token adds. Arguments and errors are those of `streams`."""
    return (piece for (piece,) in streams(net, vocab, prefix, length, device, **how))


@overload
def generate(
    net: CharModel,
    vocab: Vocab,
    prefix: str,
    length: int,
    device: torch.device | None = None,
    *,
    n: None = None,
    **how: Any,
) -> str: ...
@overload
def generate(
    net: CharModel, vocab: Vocab, prefix: str, length: int, device: torch.device | None = None, *, n: int, **how: Any
) -> list[str]: ...
def generate(
    net: CharModel,
    vocab: Vocab,
    prefix: str,
    length: int,
    device: torch.device | None = None,
    *,
    n: int | None = None,
    **how: Any,
) -> str | list[str]:
    """`prefix` and `length` tokens that follow it: one text, or with `n` a list of `n` texts.

        generate(net, vocab, "time traveller", 200)
        generate(net, vocab, "time traveller", 200, temperature=0.8, top_k=10, top_p=0.9, n=5, seed=1)

    Arguments and errors are those of `streams`. For byte tokens, an unfinished last character is left out.
    """
    check_whole("length", length, least=0)
    rows = streams(net, vocab, prefix, length, device, n=1 if n is None else n, **how)
    texts = ["".join(pieces) for pieces in zip(*rows, strict=True)]
    return texts[0] if n is None else texts


def samples(
    net: CharModel,
    vocab: Vocab,
    device: torch.device,
    prefixes: Sequence[str],
    *,
    length: int = 50,
    kind: str = "char",
) -> list[str]:
    """The likeliest continuation of each of several prefixes."""
    return [generate(net, vocab, prefix, length, device, kind=kind) for prefix in prefixes]


def check_prefix(vocab: Vocab, prefix: Sequence[str]) -> None:
    """Raise ValueError unless `prefix` has a token and all of its tokens are in the vocabulary."""
    if not prefix:
        raise ValueError("the prefix is empty: the model needs at least one character to start from")
    unknown = sorted(set(prefix) - set(vocab.token_to_idx))
    if unknown:
        noun = "characters" if all(len(token) == 1 for token in unknown) else "words"
        raise ValueError(f"the prefix has {noun} that the model's vocabulary lacks: {' '.join(map(repr, unknown))}")


def clean_prefix(prefix: str) -> str:
    """`prefix` cleaned as the text was: letters a to z, in lower case, and single spaces."""
    return "".join(clean_lines(prefix))


def device_of(net: Any) -> torch.device:
    """The device of a model's parameters."""
    param: Tensor = next(net.parameters()) if isinstance(net, nn.Module) else net.params[0]
    return param.device
