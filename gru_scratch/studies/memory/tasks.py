"""Three made-up tasks whose answer lies a known number of steps back.

Legend: ``T`` steps, ``B`` batch, ``D`` input size, ``A`` answers, asked at the last steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Task:
    """What a model reads, and what it must answer at the end. Subclasses define how sequences are drawn."""

    input_size: ClassVar[int]
    """D, or the number of symbols."""
    output_size: ClassVar[int]
    """Scores, or values, of one answer."""
    num_answers: ClassVar[int] = 1
    """A."""
    chance: ClassVar[float]
    """The accuracy of the best answer that does not look back."""
    chance_loss: ClassVar[float]
    """The loss of that answer."""
    loss_name: ClassVar[str] = "cross-entropy, nats"
    label: ClassVar[str]
    least_length: ClassVar[int] = 1
    length_label: ClassVar[str] = "length of the sequence"

    def draw(self, length: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs, (T, B) symbols or (T, B, D) values, and the answers (A, B)."""
        raise NotImplementedError

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """Mean cross-entropy of the outputs (A, B, output_size)."""
        return F.cross_entropy(outputs.flatten(0, 1), answers.flatten())

    def accuracy(self, outputs: Tensor, answers: Tensor) -> float:
        """Part of the answers that are right."""
        return float((outputs.argmax(-1) == answers).float().mean())


class Recall(Task):
    """The first symbol decides the answer at the end, as the checksum in the book's section 9.1 does.

    ``length`` symbols: the first is one of 4 to be kept, the others are drawn from 4 that mean nothing. After the last
    the model is asked for the first.
    """

    input_size = 8
    output_size = 4
    chance = 0.25
    chance_loss = 1.3863  # log 4
    label = "first-symbol recall"

    def draw(self, length: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(4, 8, (length, batch_size), generator=generator)
        symbols[0] -= 4
        return symbols, symbols[:1].clone()


class Adding(Task):
    """The sum of the two marked numbers among ``length`` (Hochreiter and Schmidhuber, 1997, experiment 4).

    Each step has a number, U(0, 1), and a mark; one number of the first half and one of the second are marked. An
    answer is right within 0.04, the paper's bound.
    """

    input_size = 2
    output_size = 1
    chance = 0.0784  # P(|x + y - 1| < 0.04) = 0.08 - 0.04²
    chance_loss = 1 / 6  # the variance of the sum
    loss_name = "mean squared error"
    label = "adding problem"
    least_length = 2

    def draw(self, length: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        numbers, marks = torch.rand(length, batch_size, generator=generator), torch.zeros(length, batch_size)
        columns, half = torch.arange(batch_size), length // 2
        first = torch.randint(0, half, (batch_size,), generator=generator)
        second = torch.randint(half, length, (batch_size,), generator=generator)
        marks[first, columns] = marks[second, columns] = 1
        return torch.stack((numbers, marks), -1), (numbers * marks).sum(0, keepdim=True)

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return F.mse_loss(outputs.squeeze(-1), answers)

    def accuracy(self, outputs: Tensor, answers: Tensor) -> float:
        return float(((outputs.squeeze(-1) - answers).abs() < 0.04).float().mean())


class Copying(Task):
    """Ten symbols to be said again, in order, after ``length`` blanks (Hochreiter and Schmidhuber, 1997; Arjovsky et
    al., 2016, arXiv:1511.06464).

    10 symbols out of 8, ``length`` - 1 blanks, one mark that asks, and 10 blanks, during which the answers are asked:
    ``length`` + 20 steps, and each answer lies ``length`` + 10 steps back. Loss and accuracy are of the answers alone.
    """

    input_size = 10
    output_size = 8
    num_answers = 10
    chance = 0.125
    chance_loss = 2.0794  # log 8
    label = "copying"
    length_label = "blanks between the symbols and the answers"

    def draw(self, length: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        blank, mark, count = 8, 9, self.num_answers
        answers = torch.randint(0, 8, (count, batch_size), generator=generator)
        symbols = torch.full((length + 2 * count, batch_size), blank)
        symbols[:count] = answers
        symbols[length + count - 1] = mark
        return symbols, answers


TASKS: dict[str, Task] = {"recall": Recall(), "adding": Adding(), "copying": Copying()}
