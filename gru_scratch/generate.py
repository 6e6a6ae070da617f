"""Text from a trained model: warm up on a prefix, then one character after another.

The state is carried from character to character, so each costs one step, however long the text has become.

Source: Dive into Deep Learning, section 8.5 (`predict_ch8`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from gru_scratch.text.corpus import clean_lines
from gru_scratch.text.kinds import join_tokens, split_tokens
from gru_scratch.text.vocab import Vocab
from gru_scratch.training.loop import CharModel

Choose = Callable[[Tensor], Tensor]
"""From logits (N, V), one row a text, the number of the next character of each, (N,)."""


BOOK_PREFIXES = ("time traveller", "traveller")


def greedy(logits: Tensor) -> Tensor:
    """The likeliest character; the first of equals."""
    return logits.argmax(dim=1)


def continuation(net: CharModel, prefix: Sequence[int], device: torch.device, choose: Choose = greedy) -> Iterator[int]:
    """The numbers of the characters that follow `prefix` (numbers, at least one), without end."""
    if not len(prefix):
        raise ValueError("expected a prefix of at least one character, received an empty one")
    state = net.begin_state(batch_size=1, device=device)
    inputs = torch.tensor(prefix, device=device).reshape(-1, 1, 1)
    with torch.no_grad():
        for x in inputs[:-1]:  # warm-up: (1, 1), one sequence of one step
            _, state = net(x, state)
    x = inputs[-1]
    while True:
        # Not around the yield: the caller's code must not run without gradients.
        with torch.no_grad():
            logits, state = net(x, state)
            x = choose(logits).reshape(1, 1)
        yield int(x)


def generate(
    net: CharModel, vocab: Vocab, prefix: str, length: int, device: torch.device, *, kind: str = "char"
) -> str:
    """`prefix` and the `length` tokens that the model holds likeliest to follow, one after the other.

    `kind` is what its tokens are: char, word or byte.

    Raises ValueError if `prefix` is empty or has tokens that are not in the vocabulary; the message names them.
    """
    tokens = list(split_tokens(prefix, kind))
    check_prefix(vocab, tokens)
    if length < 0:
        raise ValueError(f"length must be at least 0, received {length}")
    following = continuation(net, vocab[tokens], device)
    return join_tokens([*tokens, *(vocab.to_tokens(next(following)) for _ in range(length))], kind)


def samples(
    net: CharModel, vocab: Vocab, device: torch.device, *, opening: str, length: int = 50, kind: str = "char"
) -> list[str]:
    """Continuations of the book's two prefixes; of `opening`, the text's own, if it lacks some of their tokens."""
    known = set(vocab.token_to_idx)
    prefixes = [prefix for prefix in BOOK_PREFIXES if set(split_tokens(prefix, kind)) <= known] or [opening]
    return [generate(net, vocab, prefix, length, device, kind=kind) for prefix in prefixes]


def check_prefix(vocab: Vocab, prefix: Sequence[str]) -> None:
    """ValueError unless `prefix` has a token, and all of its tokens are in the vocabulary."""
    if not prefix:
        raise ValueError("the prefix is empty: the model needs at least one character to start from")
    unknown = sorted(set(prefix) - set(vocab.token_to_idx))
    if unknown:
        noun = "characters" if all(len(token) == 1 for token in unknown) else "words"
        raise ValueError(f"the prefix has {noun} that the model's vocabulary lacks: {' '.join(map(repr, unknown))}")


def clean_prefix(prefix: str) -> str:
    """`prefix` cleaned as the text was: letters a to z, in lower case, and single spaces."""
    return "".join(clean_lines(prefix))
