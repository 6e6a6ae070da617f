"""What is trained on: the sizes, and six of them that are compared; needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from gru_scratch.training.hardware import check_memory

Input = Literal["tokens", "dense", "dense-with-gradient"]


@dataclass(frozen=True)
class Setting:
    """The sizes of a training step: the book's by default."""

    batch_size: int = 32
    num_steps: int = 35
    num_hiddens: int = 256
    vocab_size: int = 28
    input: Input = "tokens"
    input_size: int = 128
    """Of a dense input; tokens stand for one-hot vectors of the vocabulary's size."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "num_steps", "num_hiddens", "vocab_size", "input_size"):
            size = getattr(self, name)
            if size < 1:
                raise ValueError(f"{name} must be at least 1, received {size}")
        weights, outputs = self.num_hiddens * (self.num_hiddens + self.width), self.tokens * self.num_hiddens
        check_memory(f"a training step of {self.words()}", 4 * (2 * weights + outputs))  # weights with their gradients

    @property
    def tokens(self) -> int:
        """In a minibatch."""
        return self.batch_size * self.num_steps

    @property
    def width(self) -> int:
        """D, of what the recurrent layer reads."""
        return self.vocab_size if self.input == "tokens" else self.input_size

    def words(self, leave_out: str = "") -> str:
        """The sizes in words, but for one of the fields."""
        sizes = {
            "batch_size": f"batch {self.batch_size}",
            "num_steps": f"steps {self.num_steps}",
            "num_hiddens": f"hidden {self.num_hiddens}",
            "vocab_size": f"vocabulary {self.vocab_size}",
            "input": "" if self.input == "tokens" else f"{self.input} input of {self.input_size}",
        }
        return ", ".join(word for name, word in sizes.items() if word and name != leave_out)


SIX_SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "book": Setting(32, 35, 256, 28),  # d2l 0.17
        "book-1.0": Setting(1024, 32, 32, 28),  # d2l 1.0
        "char-rnn": Setting(50, 50, 128, 65),
        "large": Setting(64, 128, 512, 65),
        "one-sequence": Setting(1, 512, 256, 65),
        "long": Setting(16, 1000, 128, 65),
    }
)
"""By name, from the book's to long sequences: batch, steps, hidden units, vocabulary; dense input is 128 wide."""
