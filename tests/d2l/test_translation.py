"""The names of chapters 9.5 to 9.7 and 10.2 to 10.4: the same numbers, bit for bit, as the book's own package."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.made_pairs import made_text, write_pairs
from support.readers_decoders import DECODERS, EMBEDDING, HIDDENS, LAYERS
from torch import Tensor, nn

from gru_scratch import d2l
from gru_scratch.text import corpus

CPU = torch.device("cpu")
STEPS, BATCH = 8, 16


@pytest.fixture(autouse=True)
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, book: ModuleType) -> Path:
    """Both packages read pairs of our own; the folder that they are in."""
    folder = write_pairs(tmp_path)
    monkeypatch.setenv(corpus.DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr(book, "download_extract", lambda name: str(folder))
    return folder


def same(ours: Any, theirs: Any) -> bool:
    """Whether all tensors of two lists are equal, bit for bit."""
    return all(torch.equal(mine, its) for mine, its in zip(ours, theirs, strict=True))


# ------------------------------------------------------------------------------------------------ sentences (9.5)


def test_text_and_tokens_are_the_books(book: ModuleType) -> None:
    assert d2l.read_data_nmt() == book.read_data_nmt() == made_text()
    marks = "No!  Yes ,no.\t. .\n, \xa0?Oh\u202f!!É"
    for text in (made_text(), marks):
        assert d2l.preprocess_nmt(text) == book.preprocess_nmt(text)
    text = d2l.preprocess_nmt(made_text())
    for num_examples in (None, 0, 1, 60, 1000):
        assert d2l.tokenize_nmt(text, num_examples) == book.tokenize_nmt(text, num_examples)


@pytest.mark.parametrize("num_steps", [2, 3, 5])
def test_padding_is_the_books(book: ModuleType, num_steps: int) -> None:
    assert d2l.truncate_pad([4, 5, 6], num_steps, 1) == book.truncate_pad([4, 5, 6], num_steps, 1)
    lines = [["i", "run", "."], ["you"], ["it", "is", "i", "!"]]
    vocab = d2l.Vocab(lines, reserved_tokens=["<pad>", "<bos>", "<eos>"])
    ours, theirs = (package.build_array_nmt(lines, vocab, num_steps) for package in (d2l, book))
    assert same(ours, theirs)
    assert [t.dtype for t in ours] == [t.dtype for t in theirs]


def test_batches_are_the_books(book: ModuleType) -> None:
    seen = []
    for package in (d2l, book):
        torch.manual_seed(5)
        data_iter, src_vocab, tgt_vocab = package.load_data_nmt(BATCH, STEPS, num_examples=70)
        assert len(data_iter) == 5
        seen.append([src_vocab.idx_to_token, tgt_vocab.idx_to_token, [*data_iter, *data_iter], torch.rand(1)])
    (*vocabs, ours, after), (*its_vocabs, theirs, its_after) = seen
    assert vocabs == its_vocabs
    assert all(same(batch, its) for batch, its in zip(ours, theirs, strict=True))
    assert torch.equal(after, its_after)  # as many numbers were drawn


def test_a_file_without_a_pair_is_refused(pairs: Path) -> None:
    (pairs / "fra.txt").write_text("no tab\nin it\n")
    with pytest.raises(ValueError, match="no line of a source and a target"):
        d2l.load_data_nmt(BATCH, STEPS)


# ------------------------------------------------------------------------------------------------ models (9.6, 9.7)


def test_encoder_is_the_books(book: ModuleType) -> None:
    X = torch.randint(0, 10, (4, 7))
    results = []
    for package in (d2l, book):
        torch.manual_seed(2)
        encoder = package.Seq2SeqEncoder(10, EMBEDDING, HIDDENS, LAYERS, dropout=0.5)
        results.append([*encoder(X), *encoder.eval()(X, torch.ones(4)), *encoder.parameters()])
    assert same(*results)


def test_bases_say_what_has_to_be_defined() -> None:
    for call, missing in (
        (lambda: d2l.Encoder()(torch.zeros(1)), "Encoder has to define forward"),
        (lambda: d2l.Decoder()(torch.zeros(1), None), "Decoder has to define forward"),
        (lambda: d2l.Decoder().init_state(None), "Decoder has to define init_state"),
        (lambda: d2l.AttentionDecoder().attention_weights, "AttentionDecoder has to define the property"),
    ):
        with pytest.raises(NotImplementedError, match=missing):
            call()


@pytest.mark.parametrize(("shape", "value"), [((2, 3), 0), ((2, 3, 4), -1)])
def test_sequence_mask_is_the_books(book: ModuleType, shape: tuple[int, ...], value: int) -> None:
    X = torch.randn(shape)
    its = X.clone()
    assert d2l.sequence_mask(X, torch.tensor([1, 2]), value) is X
    assert torch.equal(X, book.sequence_mask(its, torch.tensor([1, 2]), value))


def test_masked_loss_is_the_books(book: ModuleType) -> None:
    scores = torch.randn(3, 4, 10, requires_grad=True)
    labels = torch.randint(0, 10, (3, 4))
    results = []
    for package in (d2l, book):
        loss = package.MaskedSoftmaxCELoss()(scores, labels, torch.tensor([4, 2, 0]))
        results.append([loss, *torch.autograd.grad(loss.sum(), scores)])
    assert same(*results)
    assert results[0][0][2] == 0


@pytest.mark.parametrize("kind", ["additive", "dot"])
def test_attention_is_the_books(book: ModuleType, kind: str) -> None:
    queries, keys, values = torch.randn(2, 3, 5), torch.randn(2, 4, 5), torch.randn(2, 4, 6)
    results = []
    for package in (d2l, book):
        torch.manual_seed(3)
        attention = (
            package.AdditiveAttention(key_size=5, query_size=5, num_hiddens=8, dropout=0.1)
            if kind == "additive"
            else package.DotProductAttention(dropout=0.5)
        )
        context = attention(queries, keys, values, torch.tensor([2, 4]))
        results.append([context, attention.attention_weights, *attention.parameters()])
        results[-1].append(package.masked_softmax(torch.ones(2, 2, 4), torch.tensor([[1, 3], [2, 4]])))
    assert same(*results)


# ------------------------------------------------------------------------------------------------ training (9.7, 10.4)


def train(package: ModuleType, kind: str, num_epochs: int = 10) -> tuple[Any, Any, Any]:
    torch.manual_seed(4)
    data_iter, src_vocab, tgt_vocab = package.load_data_nmt(BATCH, STEPS, 60)
    encoder = package.Seq2SeqEncoder(len(src_vocab), EMBEDDING, HIDDENS, LAYERS, dropout=0.1)
    net = package.EncoderDecoder(encoder, DECODERS[kind](package, len(tgt_vocab), dropout=0.1))
    package.train_seq2seq(net, data_iter, 0.02, num_epochs, tgt_vocab, CPU)
    return net, src_vocab, tgt_vocab


@pytest.mark.parametrize("kind", DECODERS)
def test_a_readers_decoder_trains_and_predicts_as_with_the_book(
    book: ModuleType, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters: list[list[Tensor]] = []
    said = []
    translations = []
    for package in (d2l, book):
        net, src_vocab, tgt_vocab = train(package, kind)
        parameters.append(list(net.parameters()))
        said.append(capsys.readouterr().out)
        keep = kind == "attending"
        for sentence in ("I run .", "tom, sleep now .", "nobody knows this one at all , it is far too long"):
            translation, weights = package.predict_seq2seq(net, sentence, src_vocab, tgt_vocab, STEPS, CPU, keep)
            translations.append((translation, [step[0][0][0].tolist() for step in weights]))
            assert bool(weights) == keep
    assert same(*parameters)
    assert re.fullmatch(r"loss \d\.\d{3}, \d+\.\d tokens/sec on cpu\n", said[0])
    assert said[0].partition(",")[0] == said[1].partition(",")[0]
    assert translations[:3] == translations[3:]
    assert any(translation for translation, _ in translations)


def test_what_the_book_would_spoil_is_an_error() -> None:
    net = d2l.EncoderDecoder(nn.Linear(1, 1), nn.Linear(1, 1))
    with pytest.raises(ValueError, match="no batch"):
        d2l.train_seq2seq(net, [], 0.1, 1, {"<bos>": 1}, CPU)
    with pytest.raises(ValueError, match="num_epochs of at least 1, received 0"):
        d2l.train_seq2seq(net, [], 0.1, 0, {"<bos>": 1}, CPU)


@pytest.mark.parametrize(
    ("predicted", "label"),
    [
        ("va !", "va !"),
        ("j'ai perdu .", "j'ai perdu ."),
        ("il est riche , il est", "il est calme ."),
        ("a a a b", "a a b b"),
        ("ab c d", "a bc d"),
        ("non .", "je suis chez moi ."),
    ],
)
def test_bleu_is_the_books(book: ModuleType, predicted: str, label: str) -> None:
    for k in (1, 2):
        assert d2l.bleu(predicted, label, k) == book.bleu(predicted, label, k)
    assert 0 <= d2l.bleu(predicted, label, 9) <= 1  # the book's divides by zero
