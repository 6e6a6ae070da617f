"""Generation against the book's, and what it does with prefixes."""

from __future__ import annotations

from itertools import islice
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from gru_scratch import GRU, RNNModel
from gru_scratch.generate.continuation import (
    check_prefix,
    clean_prefix,
    continuation,
    continuations,
    device_of,
    generate,
    samples,
    stream,
    streams,
)
from gru_scratch.text.vocab import Vocab, split_tokens, token_writer
from gru_scratch.training.build import build_model, get_weights, set_weights
from gru_scratch.training.config import TrainConfig
from gru_scratch.training.data import BOOK_PREFIXES

CPU = torch.device("cpu")
VOCAB = Vocab(list("time traveller and other words"))


def lively_model(cell: str, engine: str, **options: Any) -> Any:
    """Large random weights, the same for every engine, so drawn that its greedy text is not one letter for ever."""
    config = TrainConfig(cell=cell, engine=engine, num_hiddens=16, **options)  # type: ignore[arg-type]
    model = build_model(config, len(VOCAB), CPU)
    torch.manual_seed(2)
    weights = {
        name: torch.randn(weight.shape, dtype=weight.dtype) * 2.5 for name, weight in get_weights(config, model).items()
    }
    set_weights(config, model, weights)
    return model


class Counter:
    """Predicts the number after the one it is given; its state counts the characters it has read."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def begin_state(self, batch_size: int, device: torch.device) -> Tensor:
        return torch.zeros(1, batch_size, 1)

    def __call__(self, X: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.shapes.append(tuple(X.shape))
        self.state = state + 1
        return torch.nn.functional.one_hot((X.T.reshape(-1) + 1) % 10, 10).float(), self.state


@pytest.mark.parametrize(
    ("cell", "engine"), [(c, e) for c in ("rnn", "gru", "lstm") for e in ("fused", "textbook", "builtin")]
)
def test_it_is_the_books_predict_ch8(book: ModuleType, cell: str, engine: str) -> None:
    # In float64: with such weights a last bit of float32 grows to another letter within the text.
    net = lively_model(cell, engine, precision="fp64")
    ours = generate(net, VOCAB, "time traveller", 60, CPU)
    assert ours == book.predict_ch8("time traveller", 60, net, VOCAB, CPU)
    assert len(set(ours[14:])) > 1


def test_the_state_is_carried_and_never_recomputed() -> None:
    net = Counter()
    assert list(islice(continuation(net, [3, 4, 5], CPU), 6)) == [6, 7, 8, 9, 0, 1]
    assert net.shapes == [(1, 1)] * 8  # two to warm up, six characters
    assert net.state.item() == 8


def test_another_way_to_choose() -> None:
    asked: list[tuple[int, ...]] = []

    def always_seven(logits: Tensor) -> Tensor:
        asked.append(tuple(logits.shape))
        return torch.tensor([7])

    assert list(islice(continuation(Counter(), [1], CPU, always_seven), 3)) == [7, 7, 7]
    assert asked == [(1, 10)] * 3


def test_gradients_are_off_inside_and_on_outside() -> None:
    net = lively_model("gru", "textbook")
    following = continuation(net, [1, 2], CPU)
    next(following)
    assert torch.is_grad_enabled()
    assert all(param.grad is None for param in net.params)


def test_a_prefix_of_one_character_and_no_character_to_add() -> None:
    net = lively_model("lstm", "textbook")
    assert generate(net, VOCAB, "t", 0, CPU) == "t"
    assert len(generate(net, VOCAB, "t", 5, CPU)) == 6


def test_what_no_text_can_follow() -> None:
    net = lively_model("gru", "textbook")
    with pytest.raises(ValueError, match="the prefix is empty"):
        generate(net, VOCAB, "", 5, CPU)
    with pytest.raises(ValueError, match="at least one character"):
        next(continuation(net, [], CPU))
    with pytest.raises(ValueError, match="'!' 'T' 'é'"):
        generate(net, VOCAB, "Time é!", 5, CPU)
    with pytest.raises(ValueError, match="length must be at least 0, received -1"):
        generate(net, VOCAB, "t", -1, CPU)


def test_the_unknown_token_is_not_a_character() -> None:
    with pytest.raises(ValueError, match="'<'"):
        check_prefix(VOCAB, "<unk>")


def test_prefixes_are_cleaned_as_texts_are() -> None:
    assert clean_prefix("  The Time-Traveller, (1895)!") == "the time traveller"
    assert clean_prefix("1895!") == ""


def test_samples_use_the_books_prefixes_or_the_texts_own_opening() -> None:
    net = lively_model("gru", "textbook")
    lines = samples(net, VOCAB, CPU, BOOK_PREFIXES)
    assert [line[: len(prefix)] for line, prefix in zip(lines, BOOK_PREFIXES, strict=True)] == list(BOOK_PREFIXES)
    small = Vocab(list("abc"))
    model = build_model(TrainConfig(num_hiddens=4), len(small), CPU)
    assert [line[:3] for line in samples(model, small, CPU, ["cab"], length=5)] == ["cab"]


@pytest.mark.parametrize(("cell", "engine"), [("gru", "fused"), ("lstm", "textbook"), ("gru", "builtin")])
class TestManyTexts:
    def test_greedy_ones_are_the_one(self, cell: str, engine: str) -> None:
        net = lively_model(cell, engine)
        one = generate(net, VOCAB, "time", 30)
        assert generate(net, VOCAB, "time", 30, n=3, temperature=0) == [one] * 3
        assert generate(net, VOCAB, "time", 30, n=1) == [one]

    def test_each_is_drawn_by_itself_and_a_seed_repeats_them(self, cell: str, engine: str) -> None:
        net = lively_model(cell, engine)
        texts = generate(net, VOCAB, "time", 30, n=4, temperature=20.0, seed=1)
        assert len(set(texts)) == 4
        assert all(text.startswith("time") and len(text) == 34 for text in texts)
        assert texts == generate(net, VOCAB, "time", 30, n=4, temperature=20.0, seed=1)
        assert texts != generate(net, VOCAB, "time", 30, n=4, temperature=20.0, seed=2)

    def test_the_iterators_join_to_the_texts(self, cell: str, engine: str) -> None:
        net = lively_model(cell, engine)
        how: dict[str, Any] = {"temperature": 2.0, "top_k": 5, "top_p": 0.9, "seed": 3}
        rows = list(streams(net, VOCAB, "time", 20, n=2, **how))
        assert rows[0] == ["time", "time"]
        assert len(rows) == 21
        assert ["".join(pieces) for pieces in zip(*rows, strict=True)] == generate(net, VOCAB, "time", 20, n=2, **how)
        assert "".join(stream(net, VOCAB, "time", 20, **how)) == generate(net, VOCAB, "time", 20, **how)
        endless = stream(net, VOCAB, "time")
        assert "".join(islice(endless, 21)) == generate(net, VOCAB, "time", 20)


def test_options_that_ask_for_samples_set_the_temperature_to_1() -> None:
    net = lively_model("gru", "fused")
    book = generate(net, VOCAB, "time", 20)
    assert generate(net, VOCAB, "time", 20, temperature=0, top_k=5, seed=1) == book
    for how in ({"seed": 1}, {"seed": 1, "top_k": 5}, {"seed": 1, "top_p": 0.99}):
        assert generate(net, VOCAB, "time", 20, **how) == generate(net, VOCAB, "time", 20, temperature=1.0, **how)
    assert generate(net, VOCAB, "time", 20, n=2, seed=1) == generate(
        net, VOCAB, "time", 20, n=2, seed=1, temperature=1.0
    )


def test_unknown_is_never_drawn() -> None:
    class Unknown(Counter):
        def __call__(self, X: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            scores = torch.zeros(X.numel(), len(VOCAB))
            scores[:, 0] = 9.0
            return scores, state

    assert generate(Unknown(), VOCAB, "t", 3, CPU) == "t" + "<unk>" * 3
    assert "<" not in generate(Unknown(), VOCAB, "t", 200, CPU, temperature=1.0, seed=0)


def test_wrong_numbers_are_named_before_a_token_is_made() -> None:
    net = lively_model("gru", "fused")
    with pytest.raises(ValueError, match="n must be at least 1, received 0"):
        streams(net, VOCAB, "time", 5, n=0)
    with pytest.raises(ValueError, match="length must be at least 0, received -1"):
        stream(net, VOCAB, "time", -1)
    with pytest.raises(ValueError, match="top_k must be at least 1, received 0"):
        stream(net, VOCAB, "time", 5, top_k=0)
    with pytest.raises(ValueError, match="vocabulary lacks: 'T'"):
        streams(net, VOCAB, "Time", 5)
    with pytest.raises(TypeError, match="length must be a whole number, received None"):
        generate(net, VOCAB, "time", None)  # type: ignore[call-overload]


@pytest.mark.parametrize("engine", ["fused", "builtin"])
def test_dropout_is_off_and_the_mode_stays(engine: str) -> None:
    layer = GRU(len(VOCAB), 16, 2, dropout=0.9) if engine == "fused" else torch.nn.GRU(len(VOCAB), 16, 2, dropout=0.9)
    net = RNNModel(layer, len(VOCAB)).train()
    first = generate(net, VOCAB, "time", 40)
    assert net.training
    assert net.rnn.training
    assert {generate(net, VOCAB, "time", 40) for _ in range(3)} == {first}
    assert generate(net.eval(), VOCAB, "time", 40) == first
    assert not net.training


def test_what_has_been_learnt_since_is_seen() -> None:
    net = lively_model("gru", "fused")
    before = generate(net, VOCAB, "time", 20)
    with torch.no_grad():
        net.linear.bias[VOCAB["v"]] = 1e6
    assert generate(net, VOCAB, "time", 20) == "time" + "v" * 20
    assert before != "time" + "v" * 20


def test_batches_of_any_model() -> None:
    net = Counter()
    assert list(islice(continuations(net, [3, 4], CPU, n=2), 2)) == [[5, 5], [6, 6]]
    assert net.shapes == [(2, 1)] * 3


def test_where_a_model_is() -> None:
    assert device_of(lively_model("gru", "fused")) == CPU
    assert device_of(lively_model("gru", "textbook")) == CPU


class TestKindsOfTokens:
    @pytest.mark.parametrize(
        ("kind", "text"), [("char", "a—b ü"), ("word", "the time traveller went"), ("byte", "a—b ü, 時")]
    )
    def test_the_writer_writes_what_was_split(self, kind: str, text: str) -> None:
        first, *rest = split_tokens(text, kind)
        write = token_writer(kind)
        assert first + "".join(map(write, rest)) == text

    def test_a_character_comes_with_its_last_byte_and_a_bad_byte_as_a_sign(self) -> None:
        write = token_writer("byte")
        assert [write(byte) for byte in "時".encode().decode("latin-1")] == ["", "", "時"]
        assert [write("\xff"), write("a")] == ["\ufffd", "a"]

    def test_words_and_bytes(self) -> None:
        words = Vocab(["the", "time", "traveller", "went", "the", "time"])
        net = RNNModel(GRU(len(words), 8), len(words))
        text = generate(net, words, "the  time", 5, kind="word")
        assert len(text.split()) == 7
        assert text.startswith("the time ")
        with pytest.raises(ValueError, match="words that the model's vocabulary lacks: 'machine'"):
            generate(net, words, "the machine", 5, kind="word")
        data = Vocab(split_tokens("ü" * 3, "byte"))  # two bytes
        net = RNNModel(GRU(len(data), 8), len(data))
        with torch.no_grad():
            net.linear.bias.copy_(torch.tensor([-9.0, 9.0, -9.0]))  # the first byte, again and again
        assert set(generate(net, data, "ü", 4, kind="byte")[1:]) == {"\ufffd"}
