"""Generation against the book's, and what it does with prefixes."""

from __future__ import annotations

from itertools import islice
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from gru_scratch.generate import BOOK_PREFIXES, check_prefix, clean_prefix, continuation, generate, samples
from gru_scratch.text.vocab import Vocab
from gru_scratch.training.build import build_model, get_weights, set_weights
from gru_scratch.training.config import TrainConfig

CPU = torch.device("cpu")
VOCAB = Vocab(list("time traveller and other words"))


def lively_model(cell: str, engine: str) -> Any:
    """Large random weights, the same for every engine, so drawn that its greedy text is not one letter for ever."""
    config = TrainConfig(cell=cell, engine=engine, num_hiddens=16)  # type: ignore[arg-type]
    model = build_model(config, len(VOCAB), CPU)
    torch.manual_seed(2)
    weights = {name: torch.randn(weight.shape) * 2.5 for name, weight in get_weights(config, model).items()}
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
    net = lively_model(cell, engine)
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
    lines = samples(net, VOCAB, CPU, opening="other words")
    assert [line[: len(prefix)] for line, prefix in zip(lines, BOOK_PREFIXES, strict=True)] == list(BOOK_PREFIXES)
    small = Vocab(list("abc"))
    model = build_model(TrainConfig(num_hiddens=4), len(small), CPU)
    assert [line[:3] for line in samples(model, small, CPU, opening="cab", length=5)] == ["cab"]
