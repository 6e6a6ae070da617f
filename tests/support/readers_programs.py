"""Programs that a reader of the book's chapters 8 and 9 (edition 0.17) may write, each a function of the package `d2l`.

They are run with the book's own package and with ours; each prints what it has to tell and returns what it has learnt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import torch
from support.readers_cells import READERS_CELLS, ReadersCell
from torch import Tensor, nn
from torch.nn import functional as F

Package = ModuleType
HIDDENS, EPOCHS, RATE = 24, 10, 1
"""Small enough to run in a second; `train_ch8` has something to say every tenth epoch."""
LAYERS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def parameters(net: Any) -> list[Tensor]:
    return list(net.parameters()) if isinstance(net, nn.Module) else net.params


def count_words(d2l: Package) -> list[Tensor]:
    """Section 8.3: how often words, and pairs and triples of them, occur; how a sequence is cut into batches."""
    words = [word for line in d2l.tokenize(d2l.read_time_machine()) for word in line]
    frequencies = []
    for grams in (words, list(pairwise(words)), list(zip(words, words[1:], words[2:], strict=False))):
        vocab = d2l.Vocab(grams)
        print(len(vocab), vocab.token_freqs[:5])
        frequencies.append([count for _, count in vocab.token_freqs])
    d2l.plot(frequencies, xlabel="rank", ylabel="frequency", xscale="log", yscale="log", legend=["1", "2", "3"])
    for batches in (d2l.seq_data_iter_random, d2l.seq_data_iter_sequential):
        print([(X.tolist(), Y.tolist()) for X, Y in batches(list(range(31)), batch_size=2, num_steps=4)])
    return [d2l.tensor(counts) for counts in frequencies]


def train_readers_cell(d2l: Package, cell: str) -> list[Tensor]:
    """Sections 8.5, 9.1 and 9.2: functions of the reader's own as a model, trained by the package."""
    device = d2l.try_gpu()
    batches, vocab = d2l.load_data_time_machine(32, 35)
    net = d2l.RNNModelScratch(len(vocab), HIDDENS, device, *READERS_CELLS[cell])
    X = d2l.reshape(torch.arange(10), (2, 5)).to(device)
    scores, state = net(X, net.begin_state(X.shape[0], device))
    print(tuple(scores.shape), [tuple(part.shape) for part in state], d2l.size(scores))
    print(d2l.predict_ch8("time traveller ", 10, net, vocab, device))
    d2l.train_ch8(net, batches, vocab, RATE, EPOCHS, device)
    return parameters(net)


def train_layer(d2l: Package, cell: str) -> list[Tensor]:
    """Sections 8.6, 9.1 and 9.2: a layer of torch.nn in the package's model."""
    device = d2l.try_gpu()
    batches, vocab = d2l.load_data_time_machine(32, 35)
    net = d2l.RNNModel(LAYERS[cell](len(vocab), HIDDENS), vocab_size=len(vocab)).to(device)
    d2l.train_ch8(net, batches, vocab, RATE, EPOCHS, device)
    return parameters(net)


class ReadersModel(nn.Module):
    """A model of the reader's own with the two methods that the package's functions call."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.rnn = nn.GRU(vocab_size, HIDDENS, num_layers=2)
        self.scores = nn.Linear(HIDDENS, vocab_size)

    def forward(self, X: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hiddens, state = self.rnn(F.one_hot(X.T, self.vocab_size).float(), state)
        return self.scores(hiddens.flatten(0, 1)), state

    def begin_state(self, device: torch.device, batch_size: int = 1) -> Tensor:
        return torch.zeros(2, batch_size, HIDDENS, device=device)


def train_readers_model(d2l: Package) -> list[Tensor]:
    """A module of the reader's own, trained by the package on randomly sampled batches."""
    device = d2l.try_gpu()
    batches, vocab = d2l.load_data_time_machine(16, 20, use_random_iter=True, max_tokens=3000)
    net = ReadersModel(len(vocab)).to(device)
    d2l.train_ch8(net, batches, vocab, RATE, EPOCHS, device, use_random_iter=True)
    return parameters(net)


class ReadersNet:
    """The reader's own `RNNModelScratch`."""

    def __init__(self, vocab_size: int, cell: ReadersCell, device: torch.device) -> None:
        self.vocab_size, self.cell = vocab_size, cell
        self.params = cell.get_params(vocab_size, HIDDENS, device)

    def __call__(self, X: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.cell.forward(F.one_hot(X.T, self.vocab_size).float(), state, self.params)

    def begin_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, ...]:
        return self.cell.init_state(batch_size, HIDDENS, device)


def train_with_a_loop_of_ones_own(d2l: Package) -> list[Tensor]:
    """Section 8.5: model and training loop are the reader's; clipping, updates, sums and times the package's."""
    device = d2l.try_gpu()
    batches, vocab = d2l.load_data_time_machine(16, 20, max_tokens=3000)
    net = ReadersNet(len(vocab), READERS_CELLS["gru"], device)
    curve = d2l.Animator(xlabel="epoch", ylabel="perplexity", legend=["train"], xlim=[1, 3])
    timer = d2l.Timer()
    for epoch in range(3):
        state = net.begin_state(16, device)
        totals = d2l.Accumulator(2)
        for X, Y in batches:
            scores, state = net(X.to(device), tuple(part.detach() for part in state))
            loss = F.cross_entropy(scores, Y.T.flatten().to(device))
            loss.backward()
            d2l.grad_clipping(net, 1)
            d2l.sgd(net.params, RATE, batch_size=1)
            totals.add(loss * Y.numel(), Y.numel())
        perplexity = math.exp(totals[0] / totals[1])
        curve.add(epoch + 1, [perplexity])
        print(f"{perplexity:.6f}")
    assert timer.stop() > 0
    print(d2l.predict_ch8("time", 20, net, vocab, device))
    return net.params


PROGRAMS: dict[str, Callable[[Package], list[Tensor]]] = {
    "words": count_words,
    **{f"reader's {cell}": lambda d2l, cell=cell: train_readers_cell(d2l, cell) for cell in READERS_CELLS},
    **{f"nn.{LAYERS[cell].__name__}": lambda d2l, cell=cell: train_layer(d2l, cell) for cell in LAYERS},
    "reader's model": train_readers_model,
    "reader's loop": train_with_a_loop_of_ones_own,
}
