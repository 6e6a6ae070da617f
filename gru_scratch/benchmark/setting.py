"""What is trained on: the sizes, and one minibatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Input = Literal["tokens", "dense", "dense-with-gradient"]


class Batch(NamedTuple):
    """One minibatch; all programs get the same."""

    X: Tensor  # (B, T) token indices, or (B, T, D)
    y: Tensor  # (T * B,) the tokens to predict, the first step of all sequences first


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

    @property
    def tokens(self) -> int:
        """In a minibatch."""
        return self.batch_size * self.num_steps

    @property
    def width(self) -> int:
        """D, of what the recurrent layer reads."""
        return self.vocab_size if self.input == "tokens" else self.input_size

    def draw(self, device: torch.device, seed: int = 0) -> Batch:
        """Random tokens or numbers: how long a step takes does not depend on which."""
        generator = torch.Generator().manual_seed(seed)
        shape = self.batch_size, self.num_steps
        if self.input == "tokens":
            X = torch.randint(self.vocab_size, shape, generator=generator)
        else:
            X = torch.randn(*shape, self.input_size, generator=generator)
        y = torch.randint(self.vocab_size, (self.tokens,), generator=generator)
        X, y = X.to(device), y.to(device)
        return Batch(X.requires_grad_(self.input == "dense-with-gradient"), y)

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
