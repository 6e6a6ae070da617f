"""The options of a training run, in one place: names, defaults, help and checks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

CELLS = ("rnn", "gru", "lstm")
ENGINES = ("textbook", "builtin")


@dataclass(frozen=True)
class TrainConfig:
    """Train a character model. The defaults are the settings of Dive into Deep Learning, chapters 8 and 9."""

    cell: str = "gru"
    """Recurrent cell: rnn, gru or lstm."""
    engine: Literal["textbook", "builtin"] = "textbook"
    """textbook: the equations of gru_scratch/scratch. builtin: the layer of torch.nn."""
    text: Path | None = None
    """Text file to learn, in UTF-8 (None: The Time Machine)."""
    batch_size: int = 32
    """Sequences in a minibatch."""
    num_steps: int = 35
    """Characters of a sequence, through which gradients flow."""
    num_hiddens: int = 256
    """Hidden units."""
    lr: float = 1.0
    """Learning rate of stochastic gradient descent."""
    clip: float = 1.0
    """Largest norm that all gradients together may have."""
    epochs: int = 500
    """Passes over the training text."""
    max_tokens: int = 10_000
    """Train on this many characters from the start of the text; -1 for all of it."""
    sampling: Literal["sequential", "random"] = "sequential"
    """sequential: a batch goes on where the one before ended, and so does its state. random: shuffled, state zero."""
    val_fraction: float | None = None
    """Part to test on, of what max-tokens leaves over (None: 0.1 of it). If it leaves nothing over, this part of the
    text, its end, is kept from training, but only when this option is given."""
    seed: int = 0
    """Seed of the initial parameters and of the order of batches."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""
    out: Path | None = None
    """Folder to write, new or empty (None: runs/CELL-ENGINE, with a number added if that is taken)."""

    def validate(self) -> None:
        """Raise ValueError or TypeError, in one sentence, for the first option that no run can use."""
        _one_of("cell", self.cell, CELLS)
        _one_of("engine", self.engine, ENGINES)
        _one_of("sampling", self.sampling, ("sequential", "random"))
        for name in ("batch_size", "num_steps", "num_hiddens", "epochs"):
            _whole_number(name, getattr(self, name), least=1)
        _whole_number("seed", self.seed, least=0)
        _whole_number("max_tokens", self.max_tokens, least=-1)
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2**63, received {self.seed}")
        if self.max_tokens == 0:
            raise ValueError("max_tokens must be at least 1, or -1 for the whole text, received 0")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be a finite number above 0, received {self.lr}")
        if not self.clip > 0:
            raise ValueError(f"clip must be a number above 0, received {self.clip}")
        if self.val_fraction is not None and not 0 <= self.val_fraction <= 1:
            raise ValueError(f"val_fraction must be between 0 and 1, received {self.val_fraction}")

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them: paths as strings."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, options: dict[str, Any]) -> TrainConfig:
        """The inverse of `to_json`. ValueError for options that are not these, or that `validate` refuses."""
        paths = {name: Path(options[name]) for name in ("text", "out") if isinstance(options.get(name), str)}
        try:
            config = cls(**{**options, **paths})
            config.validate()
        except TypeError as error:
            raise ValueError(f"these are not the options of a run: {error}") from None
        return config


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, received {value!r}")


def _whole_number(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, received {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, received {value}")
