"""The names of the book's package (`d2l` 0.17) that its chapters on recurrent networks use, on top of this library.

    from gru_scratch import d2l             # where the book has: from d2l import torch as d2l

The same calls give the same numbers, bit for bit, and print the same lines. Models, batches, the training loop and
generation are the library's own; here are only the book's signatures. This module alone prints, as the book does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

from gru_scratch.d2l.notebook import Animator, plot, set_axes, set_figsize, use_svg_display
from gru_scratch.generate.continuation import continuation
from gru_scratch.models.language import RNNModel, RNNModelScratch
from gru_scratch.text.batches import Batch, seq_data_iter_random, seq_data_iter_sequential
from gru_scratch.text.corpus import clean_lines, load_text
from gru_scratch.text.vocab import Vocab, count_corpus, tokenize
from gru_scratch.training.loop import train_epoch
from gru_scratch.training.update import grad_clipping, sgd

__all__ = [
    "Accumulator",
    "Animator",
    "RNNModel",
    "RNNModelScratch",
    "SeqDataLoader",
    "Timer",
    "Vocab",
    "count_corpus",
    "grad_clipping",
    "load_corpus_time_machine",
    "load_data_time_machine",
    "plot",
    "plt",
    "predict_ch8",
    "read_time_machine",
    "reshape",
    "seq_data_iter_random",
    "seq_data_iter_sequential",
    "set_axes",
    "set_figsize",
    "sgd",
    "size",
    "tensor",
    "tokenize",
    "train_ch8",
    "train_epoch_ch8",
    "try_gpu",
    "use_svg_display",
]

Updater = torch.optim.Optimizer | Callable[[int], object]
tensor = torch.tensor


def reshape(x: Tensor, *shape: Any) -> Tensor:
    return x.reshape(*shape)


def size(x: Tensor) -> int:
    """How many numbers a tensor holds."""
    return x.numel()


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


def try_gpu(i: int = 0) -> torch.device:
    """The GPU number `i` where there is one, else the CPU."""
    return torch.device(f"cuda:{i}" if i < torch.cuda.device_count() else "cpu")


class Timer:
    """Times of several runs, in seconds."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.start()

    def start(self) -> None:
        self.tik = time.time()

    def stop(self) -> float:
        """Note the time since `start` and return it."""
        self.times.append(time.time() - self.tik)
        return self.times[-1]

    def avg(self) -> float:
        return sum(self.times) / len(self.times)

    def sum(self) -> float:
        return sum(self.times)

    def cumsum(self) -> list[float]:
        return [sum(self.times[: i + 1]) for i in range(len(self.times))]


class Accumulator:
    """`n` running sums."""

    def __init__(self, n: int) -> None:
        self.data = [0.0] * n

    def add(self, *args: Any) -> None:
        values = [float(arg.detach() if isinstance(arg, Tensor) else arg) for arg in args]
        self.data = [total + value for total, value in zip(self.data, values, strict=False)]

    def reset(self) -> None:
        self.data = [0.0] * len(self.data)

    def __getitem__(self, idx: int) -> float:
        return self.data[idx]
