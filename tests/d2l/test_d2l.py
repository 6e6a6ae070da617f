"""The book's names: the same numbers, bit for bit, and the same lines as the book's own package."""

from __future__ import annotations

import copy
import math
import random
import re
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pytest
import torch
from support.readers_programs import LAYERS, PROGRAMS, parameters
from torch import Tensor, nn

from gru_scratch import d2l
from gru_scratch.scratch import gru, lstm, rnn
from gru_scratch.text import corpus

SCRATCH = {
    "rnn": (rnn.get_rnn_params, rnn.init_rnn_state, rnn.rnn),
    "gru": (gru.get_gru_params, gru.init_gru_state, gru.gru),
    "lstm": (lstm.get_lstm_params, lstm.init_lstm_state, lstm.lstm),
}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _draw_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made without a window."""
    mpl.use("agg")


def make_net(package: Any, cell: str, built_in: bool, vocab_size: int) -> Any:
    torch.manual_seed(4)
    if built_in:
        return package.RNNModel(LAYERS[cell](vocab_size, 24), vocab_size)
    return package.RNNModelScratch(vocab_size, 24, CPU, *SCRATCH[cell])


# ------------------------------------------------------------------------------------------------ programs


def run(program: str, package: ModuleType, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[Tensor]]:
    """What a program prints, but for its speed, and what it has learnt."""
    torch.manual_seed(0)
    random.seed(0)
    learnt = PROGRAMS[program](package)
    return re.sub(r"[\d.]+ tokens/sec", "N tokens/sec", capsys.readouterr().out).splitlines(), learnt


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_readers_program_runs_the_same(program: str, book: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    lines, ours = run(program, d2l, capsys)
    book_lines, theirs = run(program, book, capsys)
    assert lines == book_lines
    assert len(lines) >= 4
    assert all(torch.equal(mine, its) for mine, its in zip(ours, theirs, strict=True))
    if "rnn" in program or "nn." in program:
        assert re.fullmatch(r"perplexity \d+\.\d, N tokens/sec on \S+", lines[-3])
        assert [line[: len("traveller")] for line in lines[-2:]] == ["time trav", "traveller"]


# ------------------------------------------------------------------------------------------------ text


@pytest.mark.parametrize("max_tokens", [-1, 0, 500])
def test_corpus_is_the_books(book: ModuleType, max_tokens: int) -> None:
    numbers, vocab = d2l.load_corpus_time_machine(max_tokens)
    book_numbers, book_vocab = book.load_corpus_time_machine(max_tokens)
    assert numbers == book_numbers
    assert vocab.idx_to_token == book_vocab.idx_to_token
    assert d2l.read_time_machine() == book.read_time_machine()


@pytest.mark.parametrize("use_random_iter", [False, True])
def test_loader_is_the_books(book: ModuleType, use_random_iter: bool) -> None:
    loader, vocab = d2l.load_data_time_machine(8, 10, use_random_iter, 1000)
    book_loader, book_vocab = book.load_data_time_machine(8, 10, use_random_iter, 1000)
    assert vocab.token_freqs == book_vocab.token_freqs
    assert loader.corpus == book_loader.corpus
    for _ in range(2):
        random.seed(6)
        ours = list(loader)
        random.seed(6)
        theirs = list(book_loader)
        assert len(ours) > 5
        for (X, Y), (book_X, book_Y) in zip(ours, theirs, strict=True):
            assert torch.equal(X, book_X)
            assert torch.equal(Y, book_Y)


def test_the_story_is_announced_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(corpus, "time_machine_places", list)
    d2l.load_data_time_machine(32, 35)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "shipped story" in printed.err


# ------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("built_in", [False, True])
@pytest.mark.parametrize("use_random_iter", [False, True])
def test_an_epoch_leaves_the_books_parameters_and_perplexity(
    book: ModuleType, cell: str, built_in: bool, use_random_iter: bool
) -> None:
    results = []
    for package in (d2l, book):
        train_iter, vocab = package.load_data_time_machine(16, 12, use_random_iter, 3000)
        net = make_net(package, cell, built_in, len(vocab))
        if built_in:
            updater: Any = torch.optim.SGD(net.parameters(), 1)
        else:
            updater = lambda batch_size, net=net, package=package: package.sgd(net.params, 1, batch_size)  # noqa: E731
        random.seed(1)
        loss = nn.CrossEntropyLoss()
        perplexities = []
        for _ in range(2):
            perplexity, speed = package.train_epoch_ch8(net, train_iter, loss, updater, CPU, use_random_iter)
            assert speed > 0
            perplexities.append(perplexity)
        results.append((perplexities, parameters(net)))
    (ours, our_params), (theirs, book_params) = results
    assert ours == theirs
    assert ours[1] < ours[0]
    assert all(torch.equal(mine, its) for mine, its in zip(our_params, book_params, strict=True))


@pytest.mark.parametrize("theta", [1e-3, 0.5, 1e3])
@pytest.mark.parametrize("built_in", [False, True])
def test_clipping_is_the_books(book: ModuleType, theta: float, built_in: bool) -> None:
    net = make_net(d2l, "gru", built_in, 9)
    for param in parameters(net):
        param.grad = torch.randn_like(param)
    its = copy.deepcopy(net)
    for param, other in zip(parameters(net), parameters(its), strict=True):
        other.grad = param.grad.clone()
    norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in parameters(net)))
    for bound in (theta, theta * norm):
        d2l.grad_clipping(net, bound)
        book.grad_clipping(its, bound)
        assert all(torch.equal(p.grad, o.grad) for p, o in zip(parameters(net), parameters(its), strict=True))


def test_sgd_is_the_books(book: ModuleType) -> None:
    params = [torch.randn(3, 4, requires_grad=True) for _ in range(2)]
    others = [p.detach().clone().requires_grad_(True) for p in params]
    for p, o in zip(params, others, strict=True):
        p.grad = torch.randn_like(p)
        o.grad = p.grad.clone()
    d2l.sgd(params, 0.3, 7)
    book.sgd(others, 0.3, 7)
    for p, o in zip(params, others, strict=True):
        assert torch.equal(p, o)
        assert not p.grad.any()


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("built_in", [False, True])
@pytest.mark.parametrize("prefix", ["time traveller", "t", "Zürich 1895", list("tea")])
def test_prediction_is_the_books(book: ModuleType, cell: str, built_in: bool, prefix: str | list[str]) -> None:
    """A character that the vocabulary lacks is <unk>, as the book has it."""
    vocab = d2l.Vocab("the time traveller was late for tea")
    net = make_net(d2l, cell, built_in, len(vocab))
    with torch.no_grad():
        for param in parameters(net):
            param.add_(torch.randn_like(param))
    for num_preds in (0, 1, 30):
        expected = book.predict_ch8(prefix, num_preds, net, vocab, CPU)
        assert d2l.predict_ch8(prefix, num_preds, net, vocab, "cpu") == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("built_in", [False, True])
def test_train_prints_the_books_lines(book: ModuleType, built_in: bool, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for package in (d2l, book):
        train_iter, vocab = package.load_data_time_machine(16, 12, max_tokens=2000)
        net = make_net(package, "lstm", built_in, len(vocab))
        random.seed(1)
        package.train_ch8(net, train_iter, vocab, 1, 11, CPU)
        printed.append(capsys.readouterr().out.splitlines())
    assert len(printed[0]) == 4
    assert re.fullmatch(r"perplexity \d+\.\d, \d+\.\d tokens/sec on cpu", printed[0][1])
    for lines in printed:
        lines[1] = lines[1].partition(",")[0]
    assert printed[0] == printed[1]


def test_what_the_book_would_spoil_is_an_error() -> None:
    vocab = d2l.Vocab("tea time")
    net = make_net(d2l, "gru", True, len(vocab))
    with pytest.raises(ValueError, match="no batch"):
        d2l.train_ch8(net, [], vocab, 1, 10, CPU)
    with pytest.raises(ValueError, match="num_epochs of at least 1, received 0"):
        d2l.train_ch8(net, [], vocab, 1, 0, CPU)


# ------------------------------------------------------------------------------------------------ small tools


def test_try_gpu_falls_back_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(d2l.try_gpu(i)) for i in (0, 1, 2)] == ["cuda:0", "cuda:1", "cpu"]


def test_tensor_helpers(book: ModuleType) -> None:
    x = d2l.tensor([[1, 2, 3], [4, 5, 6]])
    assert torch.equal(x, book.tensor([[1, 2, 3], [4, 5, 6]]))
    assert d2l.size(x) == book.size(x) == 6
    assert torch.equal(d2l.reshape(x, (3, 2)), book.reshape(x, (3, 2)))


def test_accumulator_is_the_books(book: ModuleType) -> None:
    for package in (d2l, book):
        metric = package.Accumulator(2)
        metric.add(torch.tensor(1.5, requires_grad=True), 2)
        metric.add(1, True)
        assert (metric[0], metric[1]) == (2.5, 3.0)
        metric.reset()
        assert metric.data == [0.0, 0.0]


def test_timer_is_the_books(book: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in (d2l, book):
        clock = iter([10.0, 13.0, 20.0, 24.0])
        monkeypatch.setattr("time.time", lambda clock=clock: next(clock))
        timer = package.Timer()
        assert timer.stop() == 3.0
        timer.start()
        assert timer.stop() == 4.0
        assert (timer.avg(), timer.sum(), timer.cumsum(), timer.times) == (3.5, 7.0, [3.0, 7.0], [3.0, 4.0])
        monkeypatch.undo()


def test_names_of_the_issue_are_there() -> None:
    assert all(hasattr(d2l, name) for name in d2l.__all__)
    assert len(d2l.__all__) == len(set(d2l.__all__))
