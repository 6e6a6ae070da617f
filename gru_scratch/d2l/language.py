"""The names of chapter 8 of edition 0.17: the text, its batches, training and prediction of a language model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn

from gru_scratch.d2l.notebook import Animator
from gru_scratch.generate.continuation import continuation
from gru_scratch.text.batches import Batch, seq_data_iter_random, seq_data_iter_sequential
from gru_scratch.text.corpus import clean_lines, load_text
from gru_scratch.text.vocab import Vocab
from gru_scratch.training.loop import train_epoch
from gru_scratch.training.update import sgd

Updater = torch.optim.Optimizer | Callable[[int], object]

# ------------------------------------------------------------------------------------------------ text (8.2, 8.3)


def read_time_machine() -> list[str]:
    """The cleaned lines of The Time Machine.

    Where it is neither at hand nor to be had, they are the shipped story's, and one line on stderr says so.
    """
    text = load_text()
    if text.notice:
        print(text.notice, file=sys.stderr)
    return clean_lines(text.raw)


def load_corpus_time_machine(max_tokens: int = -1) -> tuple[list[int], Vocab]:
    """The numbers of the text's characters and its vocabulary.

    With `max_tokens` above 0 there are at most so many numbers; the vocabulary is always the whole text's.
    """
    characters = "".join(read_time_machine())
    vocab = Vocab(characters)
    corpus: list[int] = vocab.encode(characters).tolist()
    return corpus[:max_tokens] if max_tokens > 0 else corpus, vocab


class SeqDataLoader:
    """Batches of The Time Machine; one epoch each time it is iterated over."""

    def __init__(self, batch_size: int, num_steps: int, use_random_iter: bool, max_tokens: int) -> None:
        self.data_iter_fn = seq_data_iter_random if use_random_iter else seq_data_iter_sequential
        self.corpus, self.vocab = load_corpus_time_machine(max_tokens)
        self.batch_size, self.num_steps = batch_size, num_steps

    def __iter__(self) -> Iterator[Batch]:
        return self.data_iter_fn(self.corpus, self.batch_size, self.num_steps)


def load_data_time_machine(
    batch_size: int, num_steps: int, use_random_iter: bool = False, max_tokens: int = 10000
) -> tuple[SeqDataLoader, Vocab]:
    """The loader of The Time Machine and its vocabulary."""
    data_iter = SeqDataLoader(batch_size, num_steps, use_random_iter, max_tokens)
    return data_iter, data_iter.vocab


# ------------------------------------------------------------------------------------------------ training (8.5)


def predict_ch8(prefix: Sequence[str], num_preds: int, net: Any, vocab: Any, device: Any) -> str:
    """`prefix` and the `num_preds` likeliest characters after it; a character that the vocabulary lacks is `<unk>`."""
    numbers = [vocab[token] for token in prefix]
    following = islice(continuation(net, numbers, device), num_preds)
    return "".join(vocab.to_tokens([*numbers, *following]))


def train_epoch_ch8(
    net: Any, train_iter: Iterable[Batch], loss: Any, updater: Updater, device: Any, use_random_iter: bool
) -> tuple[float, float]:
    """One epoch with gradients clipped at 1: the perplexity and the tokens per second.

    Raises ValueError, where the book gives nan or divides by zero, for a loss that is no number and for a text without
    a batch.
    """
    meter = train_epoch(net, train_iter, loss, updater, device, carry_state=not use_random_iter, clip=1)
    return meter.perplexity, meter.tokens_per_second


def train_ch8(
    net: Any,
    train_iter: Iterable[Batch],
    vocab: Any,
    lr: float,
    num_epochs: int,
    device: Any,
    use_random_iter: bool = False,
) -> None:
    """Train, print a continuation every 10 epochs, and at the end the perplexity, the speed and two continuations."""
    if num_epochs < 1:
        raise ValueError(f"expected num_epochs of at least 1, received {num_epochs}")
    loss = nn.CrossEntropyLoss()
    animator = Animator(xlabel="epoch", ylabel="perplexity", legend=["train"], xlim=[10, num_epochs])
    updater: Updater
    if isinstance(net, nn.Module):
        updater = torch.optim.SGD(net.parameters(), lr)
    else:
        updater = lambda batch_size: sgd(net.params, lr, batch_size)  # noqa: E731
    for epoch in range(1, num_epochs + 1):
        ppl, speed = train_epoch_ch8(net, train_iter, loss, updater, device, use_random_iter)
        if epoch % 10 == 0:
            print(predict_ch8("time traveller", 50, net, vocab, device))
            animator.add(epoch, [ppl])
    print(f"perplexity {ppl:.1f}, {speed:.1f} tokens/sec on {device}")
    print(predict_ch8("time traveller", 50, net, vocab, device))
    print(predict_ch8("traveller", 50, net, vocab, device))
